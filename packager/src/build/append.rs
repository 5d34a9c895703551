//! One more layer on an image.

use serde_json::json;

use super::finish::oci_layer;
use crate::image::{
    Descriptor, Image, ImageConfig, ImageError, RootFs, canonical_json, descriptor,
};
use crate::layer::{LayerError, LayerStore, WrittenLayer};
use crate::media_type::{OCI_CONFIG, OCI_INDEX, OCI_MANIFEST};
use crate::store::{Store, StoreError};

/// Why an image could not get another layer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// It is not made of layers of files, or what came out is no image.
    #[error("adding a layer to the image")]
    Image(#[from] ImageError),
    /// It has a layer that may not be copied.
    #[error("the image's layer {index} may not be pushed elsewhere")]
    Restricted {
        /// The layer, from 0.
        index: usize,
    },
    /// The content store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The layers cannot be prepared.
    #[error(transparent)]
    Layer(#[from] LayerError),
}

/// Makes an image of `base` with one more layer, if there is one, and another config, whose list of layers does not count. Returns
/// its index and its entry; it has no name yet.
///
/// # Errors
///
/// As [`AppendError`] says. What was written nothing refers to.
pub fn append(
    store: &Store,
    layers: &LayerStore,
    base: &Image,
    layer: Option<WrittenLayer>,
    mut config: ImageConfig,
) -> Result<(Descriptor, Image), AppendError> {
    let mut descriptors = Vec::new();
    let mut diff_ids = Vec::new();
    for (index, tar) in base.tar_layers()?.iter().enumerate() {
        descriptors.push(oci_layer(tar.descriptor).ok_or(AppendError::Restricted { index })?);
        diff_ids.push(tar.diff_id.clone());
    }
    if let Some(layer) = layer {
        descriptors.push(layer.descriptor);
        diff_ids.push(layer.diff_id);
    }
    config.rootfs = RootFs::layers(diff_ids);
    let config = canonical_json(&config);
    // Refuses a config that no store would read again.
    ImageConfig::parse(&config)?;
    let put = |media_type: &str, bytes: &[u8]| -> Result<Descriptor, AppendError> {
        let (digest, size) = store.put_blob(bytes)?;
        Ok(descriptor(media_type, &digest, size))
    };
    let config = put(OCI_CONFIG, &config)?;
    let manifest = canonical_json(&json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": descriptors,
    }));
    let mut manifest = put(OCI_MANIFEST, &manifest)?;
    let platform = base.platform();
    let image = store.image(&manifest, None, &platform)?;
    manifest.set_platform(Some((&platform).into()));
    let index = canonical_json(&json!({
        "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [manifest],
    }));
    let index = put(OCI_INDEX, &index)?;
    layers.prepare(store, &image)?;
    Ok((index, image))
}
