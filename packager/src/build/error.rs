//! Why a build fails.

use std::error::Error;

use super::containerfile::{ContainerfileError, Location};
use super::context::IgnoreFileError;
use super::copy::CopyError;
use crate::image::ImageError;
use crate::layer::LayerError;
use crate::store::StoreError;

/// Why a build fails. Nothing has got a name then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The Dockerfile is wrong, or asks for what cannot be done.
    #[error(transparent)]
    Containerfile(Box<ContainerfileError>),
    /// The ignore file is wrong.
    #[error(transparent)]
    Ignore(#[from] IgnoreFileError),
    /// A build argument or label whose name cannot be one.
    #[error("{what} `{name}` is not a name with a value")]
    Argument {
        /// `build argument` or `label`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A date that an image config cannot state.
    #[error("source date {got} is not within the years 1970 to 9999")]
    SourceDate {
        /// Seconds since 1970.
        got: i64,
    },
    /// The base image cannot be had, or not be built upon.
    #[error("{at}: base image {name}")]
    Base {
        /// Where FROM names it.
        at: Location,
        /// The image.
        name: String,
        /// Why.
        source: BaseError,
    },
    /// An instruction cannot be carried out.
    #[error("{at}: carrying out `{step}`")]
    Step {
        /// Where it stands.
        at: Location,
        /// The instruction, with its variables replaced.
        step: String,
        /// Why.
        source: Box<CopyError>,
    },
    /// The program of a RUN ended with an error.
    #[error("{at}: `{step}` ended with exit code {code}")]
    Exit {
        /// Where it stands.
        at: Location,
        /// The instruction, with its variables replaced.
        step: String,
        /// The code.
        code: i32,
    },
    /// The program of a RUN cannot be run.
    #[error("{at}: running `{step}`")]
    Run {
        /// Where it stands.
        at: Location,
        /// The instruction, with its variables replaced.
        step: String,
        /// Why.
        source: super::Refusal,
    },
    /// No thread can be made for a stage.
    #[error("starting a thread for a stage")]
    Thread(#[source] std::io::Error),
    /// Another stage has failed, and that is the error.
    #[error("another stage has failed")]
    Stopped,
    /// The layer of an instruction cannot be written.
    #[error("{at}: writing the layer of `{step}`")]
    WriteLayer {
        /// Where it stands.
        at: Location,
        /// The instruction, with its variables replaced.
        step: String,
        /// Why.
        source: Box<LayerError>,
    },
    /// More layers than an image may have.
    #[error("{at}: the image gets more than {limit} layers")]
    TooManyLayers {
        /// The instruction that makes the first one too many.
        at: Location,
        /// The bound.
        limit: usize,
    },
    /// The finished image is not valid: its config or manifest is too large.
    #[error("putting the image together")]
    Image(#[from] ImageError),
    /// A layer cannot be prepared for use.
    #[error("preparing the image's layers")]
    Layer(#[from] LayerError),
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ContainerfileError> for BuildError {
    fn from(error: ContainerfileError) -> Self {
        Self::Containerfile(Box::new(error))
    }
}

impl BuildError {
    /// Returns what to do about it, if the message does not say it already.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Containerfile(error) => error.hint(),
            Self::Step { source, .. } => source.hint().map(str::to_owned),
            Self::Base {
                source: BaseError::Platform { got, .. },
                ..
            } => Some(format!(
                "to build for {got}, write `FROM --platform={got} …` or give --platform {got}"
            )),
            Self::TooManyLayers { .. } => {
                Some("each COPY and ADD makes a layer: let one copy several sources".to_owned())
            }
            _ => None,
        }
    }
}

/// Why an image cannot be built upon.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BaseError {
    /// It cannot be had.
    #[error("fetching it")]
    Fetch(#[source] Box<dyn Error + Send + Sync>),
    /// It is for another platform.
    #[error("it is for {got}, want {want}")]
    Platform {
        /// Its platform.
        got: String,
        /// The platform that is built for.
        want: String,
    },
    /// It is not made of layers of files.
    #[error("reading its layers")]
    Image(#[source] Box<ImageError>),
    /// It has a layer that may not be copied.
    #[error("its layer {index} may not be pushed elsewhere")]
    Restricted {
        /// The layer, from 0.
        index: usize,
    },
}
