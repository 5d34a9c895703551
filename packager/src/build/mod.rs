//! Dockerfiles: from a text and a directory to an image in the store.
//!
//! ```text
//! Dockerfile ─ containerfile ─► instructions ─ plan ─► steps ─ builder ─► layers, config, manifest, index
//!                                                               ▲
//!                                      build context ─ copy ────┘
//! ```
//!
//! The builder runs nothing: an image gets its files through COPY and ADD, and its config through the other
//! instructions. What Docker would do beyond that is refused by name and line, never skipped.
//!
//! The same inputs give the same digest on every machine: entries are sorted, times are the given date, owners and modes
//! are uniform unless the Dockerfile states them, and every document is written in one canonical form.

mod append;
mod builder;
pub mod containerfile;
mod context;
mod copy;
mod date;
mod error;
mod ignore;
mod pattern;
pub mod plan;
mod tree;
mod write;

use std::error::Error;

use cap_std::fs::Dir;

pub use append::{AppendError, append};
pub use context::{ContextError, IgnoreFileError};
pub use copy::CopyError;
pub use error::{BaseError, BuildError};
pub use ignore::IgnoreError;
pub use tree::TreeError;

use crate::digest::Digest;
use crate::image::{Descriptor, Image};
use crate::layer::LayerStore;
use crate::platform::Platform;
use crate::reference::Reference;
use crate::store::Store;

/// What to build.
#[derive(Debug)]
pub struct BuildRequest {
    /// The directory whose files can be copied. Nothing outside it can.
    pub context: Dir,
    /// The text of the Dockerfile.
    pub dockerfile: String,
    /// What messages call the Dockerfile. `<name>.dockerignore` in the context is its ignore file.
    pub dockerfile_name: String,
    /// Values for ARG; the last of a name counts.
    pub args: Vec<(String, String)>,
    /// Labels beside those of the Dockerfile, which they replace.
    pub labels: Vec<(String, String)>,
    /// The stage to build, if it must be a certain one.
    pub target: Option<String>,
    /// The time of the image and of all files in it, in seconds since 1970.
    pub source_date: i64,
    /// The platform of the image, unless FROM names another.
    pub platform: Platform,
    /// Names that the image is to have. [`build`] gives none: its caller does, when the image is ready in its eyes too.
    pub tags: Vec<Reference>,
}

/// Where base images come from.
pub trait BaseImages {
    /// Returns an image, which is in the store with all its layers then.
    fn fetch(
        &self,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<Image, Box<dyn Error + Send + Sync>>;
}

/// How far a build is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildEvent {
    /// An instruction is about to be carried out.
    Step {
        /// Its number, from 1.
        number: usize,
        /// How many there are.
        total: usize,
        /// The instruction, with its variables replaced.
        text: String,
    },
    /// The instruction made a layer, which is in the store.
    Layer {
        /// The compressed layer.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
    },
}

/// An image that was built.
#[derive(Clone, Debug)]
pub struct Built {
    /// The image's index, with one entry.
    pub descriptor: Descriptor,
    /// That entry.
    pub image: Image,
    /// What the author of the Dockerfile should look at.
    pub warnings: Vec<String>,
}

/// Builds an image into the store, and prepares its layers, so that it can be run at once.
///
/// The image has no name yet. If the build fails or is killed, whole blobs may stay in the store, which garbage collection
/// removes; nothing refers to them.
///
/// # Errors
///
/// [`BuildError`] names file, line and column of what is wrong in the Dockerfile, and the source of what cannot be copied.
/// [`BuildError::hint`] may say what to do about it.
pub fn build(
    request: &BuildRequest,
    store: &Store,
    layers: &LayerStore,
    bases: &dyn BaseImages,
    progress: &dyn Fn(BuildEvent),
) -> Result<Built, BuildError> {
    builder::run(request, store, layers, bases, progress)
}
