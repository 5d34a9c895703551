//! Images in a file or folder: what `save` writes and `load` reads.
//!
//! | form | what it is |
//! |---|---|
//! | OCI layout | a folder with `oci-layout`, `index.json` and `blobs/` |
//! | OCI archive | such a folder as a tar |
//! | Docker archive | a tar with `manifest.json`; Docker since 25 writes one that is an OCI archive as well, and so do we |
//!
//! Archives are read in one pass, in whatever order their members are, so that they can come through a pipe. Each blob goes
//! straight into the store, checked against the digest that it is named after; nothing is unpacked. Names are the caller's
//! last step: what fails before leaves blobs that the next garbage collection takes.
//!
//! <https://github.com/opencontainers/image-spec/blob/main/image-layout.md>

mod contents;
mod docker;
mod error;
mod folder;
mod import;
mod load;
mod oci;
mod save;
#[cfg(test)]
mod tests;

pub use error::ArchiveError;
pub use import::{NewImage, import};
pub use load::{Input, Loaded, load};
pub use save::{Folder, Form, Saved, Sink, Tar, save};

/// The OCI layout's marker, and its content.
const MARKER: &str = "oci-layout";
/// The OCI layout's list of images.
const INDEX: &str = "index.json";
/// The OCI layout's blobs.
const BLOBS: &str = "blobs";
/// Docker's list of images.
const MANIFEST: &str = "manifest.json";
/// The list of images of Docker before 1.10.
const REPOSITORIES: &str = "repositories";

/// Images of one archive. Real ones have at most some dozens.
const MAX_IMAGES: usize = 1000;
