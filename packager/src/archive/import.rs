//! From a tar of a root file system to an image of one layer.

use std::io::{self, Read, Write as _};

use flate2::GzBuilder;
use serde_json::json;

use super::error::ArchiveError;
use crate::digest::{Digest, Hasher};
use crate::image::{Descriptor, History, Image, ImageConfig, RootFs, canonical_json, descriptor};
use crate::layer::{StreamError, bounded};
use crate::media_type::{OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST};
use crate::platform::Platform;
use crate::store::Store;

/// What an image is that is made of a root file system.
#[derive(Clone, Debug)]
pub struct NewImage {
    /// Its platform.
    pub platform: Platform,
    /// When it is said to be made, RFC 3339.
    pub created: String,
    /// Where it came from, for its history.
    pub comment: String,
}

/// Makes an image of a tar, plain or compressed with gzip or zstd, and returns its index and its entry. It has no name yet; whether
/// the tar is one, its packing tells.
///
/// # Errors
///
/// The tar cannot be read, or the store cannot be written.
pub fn import(
    store: &Store,
    tar: impl Read,
    new: &NewImage,
) -> Result<(Descriptor, Image), ArchiveError> {
    let (layer, diff_id) = layer(store, tar)?;
    let config = ImageConfig {
        created: Some(new.created.clone()),
        architecture: new.platform.architecture().to_owned(),
        os: new.platform.os().to_owned(),
        variant: new.platform.variant().map(str::to_owned),
        rootfs: RootFs::layers(vec![diff_id]),
        history: vec![History {
            created: Some(new.created.clone()),
            comment: Some(new.comment.clone()),
            ..History::default()
        }],
        ..ImageConfig::default()
    };
    let put = |media_type: &str, bytes: &[u8]| -> Result<Descriptor, ArchiveError> {
        let (digest, size) = store.put_blob(bytes)?;
        Ok(descriptor(media_type, &digest, size))
    };
    let config = put(OCI_CONFIG, &canonical_json(&config))?;
    let manifest = canonical_json(&json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer],
    }));
    let mut manifest = put(OCI_MANIFEST, &manifest)?;
    let image = store.image(&manifest, None, &new.platform)?;
    manifest.set_platform(Some((&new.platform).into()));
    let index = canonical_json(&json!({
        "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [manifest],
    }));
    Ok((put(OCI_INDEX, &index)?, image))
}

fn layer(store: &Store, tar: impl Read) -> Result<(Descriptor, Digest), ArchiveError> {
    let mut tar = bounded(tar).map_err(StreamError::Read)?;
    let blob = store.blob_writer(None)?;
    // Neither name nor time, and the code for an unknown system: nothing of the host gets into the blob.
    let mut encoder = GzBuilder::new()
        .mtime(0)
        .operating_system(255)
        .write(blob, flate2::Compression::default());
    let mut hasher = Hasher::sha256();
    let mut buffer = vec![0; 128 << 10];
    loop {
        let count = match tar.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(StreamError::Read(error).into()),
        };
        let bytes = buffer.get(..count).unwrap_or_default();
        hasher.update(bytes);
        encoder
            .write_all(bytes)
            .map_err(ArchiveError::io("writing", "the layer"))?;
    }
    let blob = encoder
        .finish()
        .map_err(ArchiveError::io("writing", "the layer"))?;
    let (digest, size) = blob.commit()?;
    Ok((descriptor(OCI_LAYER_GZIP, &digest, size), hasher.finish()))
}
