use std::io;

use crate::digest::{Digest, DigestError};
use crate::image::ImageError;
use crate::layer::LayerError;
use crate::media_type::Compression;
use crate::store::StoreError;

/// Why an image could not be converted.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// Its blobs could not be read, or the new ones not written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its layers could not be packed.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// It has no layers of files, or contradicts itself.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A descriptor's digest cannot be checked.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// Docker has no media type for a layer.
    #[error(
        "Docker has no media type for layer {layer}, which is not to be distributed and has compression {compression}"
    )]
    NoDockerType {
        /// Digest of the blob.
        layer: Digest,
        /// Its compression.
        compression: Compression,
    },
    /// A layer could not be compressed.
    #[error("compressing layer {layer}")]
    Compress {
        /// Its diff ID.
        layer: Digest,
        /// Why not.
        source: io::Error,
    },
    /// The packed form of a layer is damaged.
    #[error("the packed form of layer {want} has the digest {got}")]
    Damaged {
        /// Digest of its bytes.
        got: Digest,
        /// Its diff ID.
        want: Digest,
    },
}
