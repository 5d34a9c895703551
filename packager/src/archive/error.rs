use std::io;

use crate::digest::Digest;
use crate::image::ImageError;
use crate::layer::StreamError;
use crate::reference::ReferenceError;
use crate::store::StoreError;

/// Why images could not be saved to, or loaded from, a file or folder.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The archive cannot be read, or is none.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A manifest or config in it.
    #[error("image {image}")]
    Image {
        /// The image: its digest or the name of its config.
        image: String,
        /// What is wrong.
        source: ImageError,
    },
    /// A file of a folder cannot be read or written.
    #[error("{action} {name}")]
    Io {
        /// What was being done, such as `reading`.
        action: &'static str,
        /// The file, relative to the archive or folder.
        name: String,
        /// Why not.
        source: io::Error,
    },
    /// Neither `index.json` nor `manifest.json` is there.
    #[error("it has neither index.json nor manifest.json: it is no archive of images")]
    NoImages,
    /// An archive of Docker before 1.10.
    #[error("it was saved by a Docker before 1.10 (2016), and has no manifest.json")]
    TooOld,
    /// The list of images is there, and empty.
    #[error("{list} lists no image")]
    Empty {
        /// The list.
        list: &'static str,
    },
    /// The list of images cannot be read.
    #[error("{list}: {problem}")]
    List {
        /// The list.
        list: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// Something is longer than in any honest archive.
    #[error("{what}: more than {limit}")]
    TooMany {
        /// What there is too much of.
        what: String,
        /// The limit.
        limit: u64,
    },
    /// A member's path leads out of the archive.
    #[error("the member {name} has a path that leaves the archive")]
    Path {
        /// The path, made harmless.
        name: String,
    },
    /// Two members have the same name: two readers could see two images.
    #[error("the archive has {name} twice")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// Something that was named is not there.
    #[error("{what} is not in it")]
    Missing {
        /// What.
        what: String,
    },
    /// A member's content is not what its name says.
    #[error("{name} has the wrong content: got {got}, want {want}")]
    Digest {
        /// The member.
        name: String,
        /// Digest of its content.
        got: Digest,
        /// Digest wanted.
        want: Digest,
    },
    /// An image has a name that is none.
    #[error(transparent)]
    Name(#[from] ReferenceError),
    /// The image cannot be written in the form that was asked for.
    #[error("image {image} is {shape}, which a Docker archive cannot hold")]
    NotForDocker {
        /// The image.
        image: String,
        /// What it is.
        shape: String,
    },
    /// The target folder has something in it.
    #[error("the folder is not empty")]
    NotEmpty,
}

impl ArchiveError {
    pub(super) fn io(action: &'static str, name: &str) -> impl FnOnce(io::Error) -> Self {
        let name = name.to_owned();
        move |source| Self::Io {
            action,
            name,
            source,
        }
    }

    /// Says what to do next, if that is known.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoImages => "`coracle import` makes an image of a tar with a root file system",
            Self::TooOld => "load it with a newer Docker and save it again",
            Self::NotForDocker { .. } => "save it with --format oci-archive",
            Self::NotEmpty => "name a folder that does not exist yet",
            _ => return None,
        })
    }
}
