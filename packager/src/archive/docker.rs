//! `manifest.json` of a Docker archive.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::contents::{Contents, Stored};
use super::error::ArchiveError;
use super::{BLOBS, MANIFEST, MAX_IMAGES};
use crate::digest::{Digest, shown};
use crate::image::{
    Descriptor, Image, ImageConfig, ImageError, Limits, canonical_json, descriptor,
};
use crate::layer::compression_of;
use crate::media_type::{
    Compression, OCI_CONFIG, OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, OCI_MANIFEST,
};
use crate::reference::Reference;
use crate::store::Store;

/// One image. Paths are members of the archive.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Entry {
    config: String,
    /// Names, familiar or whole. Go writes `null` for none.
    repo_tags: Option<Vec<String>>,
    /// Base first.
    layers: Option<Vec<String>>,
}

impl Entry {
    /// Describes an image whose blobs lie as in an OCI layout.
    pub(super) fn of(image: &Image, names: &[Reference]) -> Result<Self, ArchiveError> {
        let shape = image.shape();
        let layers = image.tar_layers().map_err(|_| ArchiveError::NotForDocker {
            image: image.config_digest.to_string(),
            shape: shape.to_string(),
        })?;
        Ok(Self {
            config: blob_path(&image.config_digest),
            // Whole names: Podman takes a familiar one for a name of its own.
            repo_tags: Some(names.iter().map(ToString::to_string).collect()),
            layers: Some(
                layers
                    .iter()
                    .map(|layer| blob_path(&layer.digest))
                    .collect(),
            ),
        })
    }

    pub(super) fn names(&self) -> Result<Vec<Reference>, ArchiveError> {
        let tags = self.repo_tags.iter().flatten();
        tags.map(|tag| Ok(Reference::parse(tag)?.or_latest()))
            .collect()
    }

    /// Returns the image's ID, where its config is there.
    pub(super) fn id<'a>(&self, contents: &'a Contents) -> Option<&'a Digest> {
        contents
            .find(&self.config)
            .ok()
            .map(|stored| &stored.digest)
    }

    /// Makes an OCI manifest for the image's config and layers, the same one each time.
    pub(super) fn manifest(
        &self,
        store: &Store,
        contents: &Contents,
    ) -> Result<Descriptor, ArchiveError> {
        let config = contents.find(&self.config)?;
        let failed = |source| ArchiveError::Image {
            image: shown(&self.config),
            source,
        };
        let parsed = ImageConfig::parse(&store.read_blob(&config.digest, Limits::CONFIG)?);
        let diff_ids = parsed.map_err(failed)?.rootfs.diff_ids;
        let paths = self.layers.as_deref().unwrap_or_default();
        if paths.len() != diff_ids.len() || paths.len() > Limits::LAYERS {
            return Err(failed(ImageError::LayerCount {
                layers: paths.len(),
                diff_ids: diff_ids.len(),
            }));
        }
        let mut layers = Vec::new();
        for (path, diff_id) in paths.iter().zip(&diff_ids) {
            let stored = contents.find(path)?;
            layers.push(layer(store, path, stored, diff_id)?);
        }
        let manifest = canonical_json(&json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": descriptor(OCI_CONFIG, &config.digest, config.size),
            "layers": layers,
        }));
        let (digest, size) = store.put_blob(&manifest)?;
        Ok(descriptor(OCI_MANIFEST, &digest, size))
    }
}

fn layer(
    store: &Store,
    path: &str,
    stored: &Stored,
    diff_id: &Digest,
) -> Result<Descriptor, ArchiveError> {
    let compression = compression_of(store.open_blob(&stored.digest)?);
    let media_type = match compression.map_err(ArchiveError::io("reading", path))? {
        // The digest of a compressed one is checked when it is packed.
        Compression::None if stored.digest != *diff_id => {
            return Err(ArchiveError::Digest {
                name: shown(path),
                got: stored.digest.clone(),
                want: diff_id.clone(),
            });
        }
        Compression::None => OCI_LAYER,
        Compression::Gzip => OCI_LAYER_GZIP,
        Compression::Zstd => OCI_LAYER_ZSTD,
    };
    Ok(descriptor(media_type, &stored.digest, stored.size))
}

pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Entry>, ArchiveError> {
    let entries: Option<Vec<Entry>> =
        serde_json::from_slice(bytes).map_err(|error| ArchiveError::List {
            list: MANIFEST,
            problem: error.to_string(),
        })?;
    let entries = entries.unwrap_or_default();
    if entries.len() > MAX_IMAGES {
        return Err(ArchiveError::TooMany {
            what: format!("images in {MANIFEST}"),
            limit: MAX_IMAGES as u64,
        });
    }
    Ok(entries)
}

/// Returns where a blob lies in an OCI layout.
pub(super) fn blob_path(digest: &Digest) -> String {
    format!("{BLOBS}/{}/{}", digest.algorithm(), digest.hex())
}
