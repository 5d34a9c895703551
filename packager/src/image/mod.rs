//! Manifests, indexes and configs: an image as a value.
//!
//! Manifest, index and descriptor are `oci-spec`'s types, which also read Docker's schema 2. The config is our own
//! [`ImageConfig`], because Docker's has fields that OCI's lacks and that must survive a build.
//!
//! What `oci-spec` holds in hash maps it would write in random order: everything that is written goes through
//! [`canonical_json`], so that the same image has the same digest on every machine.

pub mod artifact;
mod config;
mod document;
mod json;
pub mod select;
mod shape;

pub use oci_spec::image::{Descriptor, ImageIndex, ImageManifest, MediaType, Platform};

pub use config::{ContainerConfig, Empty, Healthcheck, History, ImageConfig, RootFs};
pub use document::{Document, Limits};
pub use json::canonical_json;
pub use shape::Shape;

use crate::digest::{Digest, DigestError};
use crate::media_type::{Compression, Kind};
use crate::platform;

/// Why bytes are not an image, or not one of the kind that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The document is larger than any honest one.
    #[error("{kind} has {got} bytes, want at most {limit}")]
    TooLarge {
        /// `manifest`, `index` or `config`.
        kind: &'static str,
        /// Its size in bytes.
        got: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The document is not JSON of the right form.
    #[error("parsing {kind}")]
    Json {
        /// `manifest`, `index` or `config`.
        kind: &'static str,
        /// What is wrong, with line and column.
        source: serde_json::Error,
    },
    /// A manifest of Docker's schema 1.
    #[error(
        "the manifest is of Docker's schema 1, which is not read: push the image again with a Docker of 2017 or later"
    )]
    Schema1,
    /// The document has a schema version that does not exist.
    #[error("{kind} has schemaVersion {got}, want 2")]
    SchemaVersion {
        /// `manifest` or `index`.
        kind: &'static str,
        /// What it says.
        got: u64,
    },
    /// The media type in the document is not the one it was announced with.
    #[error("the document says it is {got:?}, but was announced as {want:?}")]
    MediaTypeMismatch {
        /// `mediaType` in the document.
        got: String,
        /// `mediaType` in the descriptor or HTTP header.
        want: String,
    },
    /// The media type is neither an index's nor a manifest's.
    #[error("{media_type:?} is neither an image manifest nor an image index")]
    NotAnImage {
        /// The media type.
        media_type: String,
    },
    /// The document can be read as a manifest and as an index, so two readers could see two images.
    #[error("the document has the fields of both a manifest and an index")]
    Ambiguous,
    /// There are more layers or index entries than any honest image has.
    #[error("{kind} lists {got} {what}, want at most {limit}")]
    TooMany {
        /// `manifest` or `index`.
        kind: &'static str,
        /// `layers` or `entries`.
        what: &'static str,
        /// How many there are.
        got: usize,
        /// The limit.
        limit: usize,
    },
    /// A descriptor names its blob by something that cannot be verified.
    #[error("{what} has a digest that cannot be checked")]
    Digest {
        /// Which descriptor.
        what: String,
        /// What is wrong with its digest.
        source: DigestError,
    },
    /// Manifest and config disagree about the layers.
    #[error("the manifest lists {layers} layers, but the config {diff_ids} diff_ids")]
    LayerCount {
        /// Layers in the manifest.
        layers: usize,
        /// `rootfs.diff_ids` in the config.
        diff_ids: usize,
    },
    /// A layer is not a tar archive in a known compression.
    #[error("layer {index} has media type {media_type:?}, want a tar layer")]
    LayerType {
        /// Its place in the manifest, from 0.
        index: usize,
        /// Its media type.
        media_type: String,
    },
    /// The image is sound, but is not made of tar layers.
    #[error("the image is {shape}, which has no layers of files")]
    Unsupported {
        /// What it is.
        shape: Shape,
    },
}

/// Why no root file system can be made for an artifact.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArtifactError {
    /// It holds no program, or not one that can be found.
    #[error("the image is {shape}, which cannot be run: {problem}")]
    NotRunnable {
        /// What it is.
        shape: Shape,
        /// What is missing or too much.
        problem: String,
    },
}

/// One chosen manifest with its config.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Names the manifest.
    pub descriptor: Descriptor,
    /// The manifest.
    pub manifest: ImageManifest,
    /// The config that the manifest names.
    pub config: ImageConfig,
    /// Names the config: what Docker calls the image ID.
    pub config_digest: Digest,
}

/// A layer of files, as a manifest and a config describe it together.
#[derive(Clone, Debug, PartialEq)]
pub struct TarLayer<'a> {
    /// Names the blob.
    pub descriptor: &'a Descriptor,
    /// Digest of the blob, checked.
    pub digest: Digest,
    /// Digest of the uncompressed tar.
    pub diff_id: &'a Digest,
    /// How the blob is compressed.
    pub compression: Compression,
}

impl Image {
    /// Joins a manifest with the bytes of its config. The config of an artifact that is no image does not count.
    ///
    /// # Errors
    ///
    /// The config is too large or not a config, a digest cannot be checked, or the two disagree about layers.
    pub fn new(
        descriptor: Descriptor,
        manifest: ImageManifest,
        config: &[u8],
    ) -> Result<Self, ImageError> {
        let config_digest = checked_digest(manifest.config(), || "the config".to_owned())?;
        for (index, layer) in manifest.layers().iter().enumerate() {
            checked_digest(layer, || format!("layer {index}"))?;
        }
        let config = if has_image_config(&manifest) {
            ImageConfig::parse(config)?
        } else {
            ImageConfig::default()
        };
        let image = Self {
            descriptor,
            manifest,
            config,
            config_digest,
        };
        if image.shape() == Shape::TarLayers {
            image.check_layer_count()?;
        }
        Ok(image)
    }

    /// Returns the digest of the manifest.
    ///
    /// # Errors
    ///
    /// The descriptor's digest has an algorithm that cannot be verified.
    pub fn digest(&self) -> Result<Digest, ImageError> {
        checked_digest(&self.descriptor, || "the manifest".to_owned())
    }

    /// Tells in which of the known ways the image holds its program.
    pub fn shape(&self) -> Shape {
        Shape::of(&self.manifest, &self.config)
    }

    /// Returns the platform that the config states.
    pub fn platform(&self) -> platform::Platform {
        platform::Platform::new(
            &self.config.os,
            &self.config.architecture,
            self.config.variant.as_deref(),
        )
    }

    /// Returns the sizes of manifest, config and layers together, in bytes: what a pull into an empty store moves.
    pub fn transfer_size(&self) -> u64 {
        let blobs = self
            .manifest
            .layers()
            .iter()
            .chain([self.manifest.config(), &self.descriptor]);
        blobs.fold(0, |sum, blob| sum.saturating_add(blob.size()))
    }

    /// Returns the layers, base first, for an image that is made of tar layers.
    ///
    /// # Errors
    ///
    /// [`ImageError::Unsupported`] names the shape of an image that is not.
    pub fn tar_layers(&self) -> Result<Vec<TarLayer<'_>>, ImageError> {
        let shape = self.shape();
        if shape != Shape::TarLayers {
            return Err(ImageError::Unsupported { shape });
        }
        self.check_layer_count()?;
        let pairs = self
            .manifest
            .layers()
            .iter()
            .zip(&self.config.rootfs.diff_ids);
        pairs
            .enumerate()
            .map(|(index, (descriptor, diff_id))| {
                let media_type = descriptor.media_type().as_ref();
                let Kind::TarLayer(compression, _) = Kind::of(media_type) else {
                    return Err(ImageError::LayerType {
                        index,
                        media_type: media_type.to_owned(),
                    });
                };
                Ok(TarLayer {
                    descriptor,
                    digest: checked_digest(descriptor, || format!("layer {index}"))?,
                    diff_id,
                    compression,
                })
            })
            .collect()
    }

    fn check_layer_count(&self) -> Result<(), ImageError> {
        let layers = self.manifest.layers().len();
        let diff_ids = self.config.rootfs.diff_ids.len();
        if layers == diff_ids {
            return Ok(());
        }
        Err(ImageError::LayerCount { layers, diff_ids })
    }
}

/// Makes a descriptor of its three required fields.
pub fn descriptor(media_type: &str, digest: &Digest, size: u64) -> Descriptor {
    Descriptor::new(MediaType::from(media_type), size, digest)
}

/// Is the config one that [`ImageConfig`] describes? Charts, signatures and the like have configs of their own.
pub(crate) fn has_image_config(manifest: &ImageManifest) -> bool {
    let media_type = manifest.config().media_type().as_ref();
    matches!(Kind::of(media_type), Kind::Config | Kind::WasmConfig)
}

pub(crate) fn checked_digest(
    descriptor: &Descriptor,
    what: impl Fn() -> String,
) -> Result<Digest, ImageError> {
    Digest::of(descriptor).map_err(|source| ImageError::Digest {
        what: what(),
        source,
    })
}

#[cfg(test)]
mod tests;
