//! Manifests and indexes in one family's media types.

use serde_json::{Value, json};

use super::error::ConvertError;
use super::layers;
use super::{Family, Losses};
use crate::image::{Descriptor, Document, Image, Shape, canonical_json, descriptor};
use crate::layer::LayerStore;
use crate::media_type::{
    Compression, DOCKER_CONFIG, DOCKER_LIST, DOCKER_MANIFEST, Kind, OCI_CONFIG, OCI_INDEX,
    OCI_MANIFEST,
};
use crate::store::Store;

/// Is the image one of layers of files in this family's media types, with all of its layers compressed as wished? Then there is
/// nothing to convert.
pub fn is_in(image: &Image, family: Family, wanted: Option<Compression>) -> bool {
    image.shape() == Shape::TarLayers
        && image.descriptor.media_type().as_ref() == manifest_type(family)
        && image.manifest.config().media_type().as_ref() == config_type(family)
        && image.manifest.layers().iter().all(|layer| {
            let media_type = layer.media_type().as_ref();
            let docker = media_type.starts_with("application/vnd.docker.");
            let compressed = match Kind::of(media_type) {
                Kind::TarLayer(is, crate::media_type::Distribution::Free) => {
                    wanted.is_none_or(|wanted| wanted == is)
                }
                _ => true,
            };
            docker == (family == Family::Docker) && compressed
        })
}

/// Writes the manifest of an image in a family's media types, and returns its descriptor with its platform.
///
/// The config stays the same bytes, so that the image keeps its ID, unless it was made here: an image whose config the store does
/// not have gets a new one. Layers are compressed anew only where that is wished, from their packed form.
///
/// # Errors
///
/// The image has no layers of files, something of it is damaged, or the store cannot be written.
pub fn image(
    store: &Store,
    layers: &LayerStore,
    image: &Image,
    family: Family,
    wanted: Option<Compression>,
    losses: &mut Losses,
) -> Result<Descriptor, ConvertError> {
    let rootfs = layers.prepare_in_parallel(store, image)?;
    let tar_layers = image.tar_layers()?;
    let mut listed = Vec::with_capacity(tar_layers.len());
    for (layer, packed) in tar_layers.iter().zip(&rootfs.layers) {
        listed.push(layers::layer(store, layer, packed, family, wanted, losses)?);
    }
    let config = canonical_json(&image.config);
    let config = match stored_config(store, image)? {
        Some(mut config) => {
            config.set_media_type(config_type(family).into());
            config
        }
        None => {
            let (digest, size) = store.put_blob(&config)?;
            descriptor(config_type(family), &digest, size)
        }
    };
    let mut manifest = json!({
        "schemaVersion": 2, "mediaType": manifest_type(family), "config": config, "layers": listed,
    });
    let annotations = image.manifest.annotations();
    match family {
        Family::Oci => {
            set(&mut manifest, "annotations", json!(annotations));
            set(&mut manifest, "subject", json!(image.manifest.subject()));
        }
        Family::Docker => {
            losses.add_all(
                "annotations",
                annotations.iter().flatten().map(|(key, _)| key),
            );
            if image.manifest.subject().is_some() {
                losses.add("what it refers to (its subject)");
            }
        }
    }
    let manifest = canonical_json(&manifest);
    // Refuses what no store would read again.
    Document::parse(&manifest, manifest_type(family))?;
    let (digest, size) = store.put_blob(&manifest)?;
    let mut made = descriptor(manifest_type(family), &digest, size);
    made.set_platform(Some((&image.platform()).into()));
    Ok(made)
}

/// Writes an index of such images.
///
/// # Errors
///
/// There are too many entries, or the store cannot be written.
pub fn index(
    store: &Store,
    entries: &[Descriptor],
    family: Family,
    annotations: Value,
) -> Result<Descriptor, ConvertError> {
    let media_type = match family {
        Family::Oci => OCI_INDEX,
        Family::Docker => DOCKER_LIST,
    };
    let mut index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": entries});
    set(&mut index, "annotations", annotations);
    let index = canonical_json(&index);
    Document::parse(&index, media_type)?;
    let (digest, size) = store.put_blob(&index)?;
    Ok(descriptor(media_type, &digest, size))
}

/// Returns the config's descriptor, if the image's manifest names it and the store has it: that of an image made here is neither.
fn stored_config(store: &Store, image: &Image) -> Result<Option<Descriptor>, ConvertError> {
    let config = image.manifest.config();
    let bytes = canonical_json(&image.config);
    if !store.has_blob(&image.config_digest, config.size())? {
        return Ok(None);
    }
    let stored = store.read_blob(&image.config_digest, crate::image::Limits::CONFIG)?;
    // One that says something else is the artifact's, of which this image was made.
    let same = serde_json::from_slice::<crate::image::ImageConfig>(&stored)
        .is_ok_and(|stored| canonical_json(&stored) == bytes);
    Ok(same.then(|| config.clone()))
}

fn set(document: &mut Value, field: &str, value: Value) {
    let empty = value.as_object().is_some_and(serde_json::Map::is_empty);
    if let Value::Object(document) = document
        && !value.is_null()
        && !empty
    {
        document.insert(field.to_owned(), value);
    }
}

pub(super) fn manifest_type(family: Family) -> &'static str {
    match family {
        Family::Oci => OCI_MANIFEST,
        Family::Docker => DOCKER_MANIFEST,
    }
}

fn config_type(family: Family) -> &'static str {
    match family {
        Family::Oci => OCI_CONFIG,
        Family::Docker => DOCKER_CONFIG,
    }
}
