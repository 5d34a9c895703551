use std::io;
use std::path::PathBuf;

use crate::digest::{Digest, DigestError};
use crate::image::ImageError;
use crate::image::select::SelectError;
use crate::platform::Platform;

/// What can fail in the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused something.
    #[error("{action} {path:?}")]
    Io {
        /// What was being done, such as `opening`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The directory is an OCI layout of a version that does not exist yet, or its marker is damaged.
    #[error("{path:?} is not an OCI image layout of version 1.0.0: {found}")]
    Layout {
        /// The file `oci-layout`.
        path: PathBuf,
        /// What it says instead.
        found: String,
    },
    /// `index.json` cannot be read. It is left as it is.
    #[error("the list of images {path:?} is damaged: {problem}")]
    DamagedIndex {
        /// The file `index.json`.
        path: PathBuf,
        /// What is wrong, with line and column where it is not JSON.
        problem: String,
    },
    /// A blob is not in the store.
    #[error("blob {digest} is not in the store {root:?}")]
    Missing {
        /// Its digest.
        digest: Digest,
        /// The store.
        root: PathBuf,
    },
    /// A blob has another size than it should.
    #[error("blob {digest} has the wrong size: got {got} bytes, want {want}")]
    WrongSize {
        /// Its digest.
        digest: Digest,
        /// Bytes found, or seen before we stopped reading.
        got: u64,
        /// Bytes wanted.
        want: u64,
    },
    /// A blob's bytes do not have its digest.
    #[error("the bytes have the wrong digest: got {got}, want {want}")]
    WrongDigest {
        /// Digest of the bytes.
        got: Digest,
        /// Digest wanted.
        want: Digest,
    },
    /// A blob is larger than its use allows.
    #[error("blob {digest} has {got} bytes, want at most {limit}")]
    TooLarge {
        /// Its digest.
        digest: Digest,
        /// Its size in bytes.
        got: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A blob is not the manifest, index or config that it should be.
    #[error("reading image {digest}")]
    Image {
        /// The blob, as its descriptor names it.
        digest: String,
        /// What is wrong.
        source: ImageError,
    },
    /// An index has no entry that fits.
    #[error("choosing from image index {digest}")]
    Select {
        /// The index.
        digest: String,
        /// What is wrong.
        source: SelectError,
    },
    /// An image is for another platform than was asked for.
    #[error("image {digest} is for {got}, want {want}")]
    Platform {
        /// The manifest.
        digest: String,
        /// The platform in its config.
        got: Box<Platform>,
        /// The platform asked for.
        want: Box<Platform>,
    },
    /// Indexes are nested deeper than any honest image.
    #[error("image index {digest} is nested more than {limit} deep")]
    Nesting {
        /// The index at which we stopped.
        digest: String,
        /// The limit.
        limit: usize,
    },
    /// An image lists more manifests, configs and layers than we follow.
    #[error("image {digest} lists more than {limit} blobs")]
    TooManyBlobs {
        /// The image.
        digest: String,
        /// The limit.
        limit: usize,
    },
    /// A descriptor's digest cannot be checked.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// A name needs a tag or a digest before it can be stored.
    #[error("image name {name:?} has neither tag nor digest")]
    Unnamed {
        /// The name.
        name: String,
    },
}

/// Turns an I/O error into one that says what was done to which file.
pub(super) trait Context<T> {
    fn context(self, action: &'static str, path: impl FnOnce() -> PathBuf)
    -> Result<T, StoreError>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(
        self,
        action: &'static str,
        path: impl FnOnce() -> PathBuf,
    ) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Io {
            action,
            path: path(),
            source,
        })
    }
}
