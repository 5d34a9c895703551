//! From one form of an image to another: OCI's and Docker's documents, compressions, and images whose program is a layer by
//! itself.
//!
//! | function | what it makes |
//! |---|---|
//! | [`image`] | an image with layers of files, in OCI's or Docker's media types, its layers compressed as wished |
//! | [`index`] | an index of such images |
//! | [`artifact`] | the CNCF's Wasm artifact: one module or component |
//! | [`component_layer`] | runwasi's image: a config with the program as its layer |
//!
//! Nothing is changed in place: what is made is new, and shares the blobs that stay the same. What the result cannot say is
//! named in [`Losses`]; whether that is too much is for the caller to decide, before anything gets a name.

mod document;
mod error;
mod layers;
mod losses;
mod program;

pub use document::{image, index, is_in};
pub use error::ConvertError;
pub use losses::Losses;
pub use program::{Interface, Program, artifact, component_layer};

/// Whose media types a document has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// The OCI's.
    Oci,
    /// Docker's, schema 2.
    Docker,
}

#[cfg(test)]
mod tests;
