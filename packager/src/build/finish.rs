//! From the last stage to an image in the store.

use serde_json::json;

use super::builder::World;
use super::stage::Stage;
use super::{BuildError, Built};
use crate::digest::Digest;
use crate::image::{
    Descriptor, Document, Image, ImageConfig, ImageError, MediaType, RootFs, canonical_json,
    descriptor,
};
use crate::media_type::{
    Compression, Distribution, Kind, OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD, OCI_MANIFEST,
};
use crate::store::Store;

/// Writes config, manifest and index, and prepares the image to be run.
pub(super) fn write(
    world: &World<'_>,
    stage: Stage,
    created: &str,
    warnings: Vec<String>,
) -> Result<Built, BuildError> {
    let store = world.store;
    let mut config = stage.config;
    for (name, value) in &world.request.labels {
        config.config.labels.insert(name.clone(), value.clone());
    }
    config.created = Some(created.to_owned());
    config.rootfs = RootFs::layers(config.rootfs.diff_ids);
    let config = canonical_json(&config);
    // Refuses a config that no store would read again.
    ImageConfig::parse(&config)?;
    let config_descriptor = put(store, OCI_CONFIG, &config)?;
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config_descriptor,
        "layers": stage.layers,
    });
    let annotations: serde_json::Map<String, serde_json::Value> = world
        .request
        .annotations
        .iter()
        .map(|(name, value)| (name.clone(), value.clone().into()))
        .collect();
    if !annotations.is_empty() {
        manifest["annotations"] = annotations.into();
    }
    let manifest = canonical_json(&manifest);
    let Document::Manifest(parsed) = Document::parse(&manifest, OCI_MANIFEST)? else {
        return Err(BuildError::Image(ImageError::Ambiguous));
    };
    let mut manifest_descriptor = put(store, OCI_MANIFEST, &manifest)?;
    let image = Image::new(manifest_descriptor.clone(), parsed, &config)?;
    manifest_descriptor.set_platform(Some((&stage.platform).into()));
    let descriptor = index(store, &[&manifest_descriptor])?;
    world.layers.prepare(store, &image)?;
    Ok(Built {
        descriptor,
        entry: manifest_descriptor,
        image,
        warnings,
    })
}

/// Returns a stage as an image whose config and manifest are nowhere.
pub(super) fn unstored(stage: &Stage) -> Result<Image, BuildError> {
    let describe = |media_type: &str, bytes: &[u8]| {
        descriptor(media_type, &Digest::sha256_of(bytes), bytes.len() as u64)
    };
    let config = canonical_json(&stage.config);
    let manifest = canonical_json(&json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": describe(OCI_CONFIG, &config),
        "layers": stage.layers,
    }));
    let Document::Manifest(parsed) = Document::parse(&manifest, OCI_MANIFEST)? else {
        return Err(BuildError::Image(ImageError::Ambiguous));
    };
    Ok(Image::new(
        describe(OCI_MANIFEST, &manifest),
        parsed,
        &config,
    )?)
}

/// Puts the images of several builds into one index, and returns its descriptor.
///
/// # Errors
///
/// The store cannot be written.
pub fn combine(store: &Store, built: &[Built]) -> Result<Descriptor, BuildError> {
    let entries: Vec<&Descriptor> = built.iter().map(|built| &built.entry).collect();
    index(store, &entries)
}

fn index(store: &Store, entries: &[&Descriptor]) -> Result<Descriptor, BuildError> {
    let index = canonical_json(&json!({
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": entries,
    }));
    put(store, OCI_INDEX, &index)
}

fn put(store: &Store, media_type: &str, bytes: &[u8]) -> Result<Descriptor, BuildError> {
    let (digest, size) = store.put_blob(bytes)?;
    Ok(descriptor(media_type, &digest, size))
}

/// Returns the descriptor that an OCI manifest may hold of a layer: under OCI's name, not Docker's. `None` if the layer may
/// not be copied.
pub(super) fn oci_layer(layer: &Descriptor) -> Option<Descriptor> {
    let media_type = match Kind::of(layer.media_type().as_ref()) {
        Kind::TarLayer(compression, Distribution::Free) => match compression {
            Compression::None => OCI_LAYER,
            Compression::Gzip => OCI_LAYER_GZIP,
            Compression::Zstd => OCI_LAYER_ZSTD,
        },
        _ => return None,
    };
    let mut layer = layer.clone();
    layer.set_media_type(MediaType::from(media_type));
    Some(layer)
}
