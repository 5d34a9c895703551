//! The same layer, compressed otherwise or named otherwise.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::Path;

use flate2::GzBuilder;

use super::error::ConvertError;
use super::{Family, Losses};
use crate::digest::{Digest, Hasher};
use crate::image::{Descriptor, TarLayer, descriptor};
use crate::media_type::{
    Compression, DOCKER_FOREIGN_LAYER_GZIP, DOCKER_LAYER, DOCKER_LAYER_GZIP, DOCKER_LAYER_ZSTD,
    Distribution, Kind, OCI_FOREIGN_LAYER, OCI_FOREIGN_LAYER_GZIP, OCI_FOREIGN_LAYER_ZSTD,
    OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD,
};
use crate::store::{BlobWriter, Store};

/// Level of gzip: its default.
const GZIP_LEVEL: u32 = 6;
/// Level of zstd: its default.
const ZSTD_LEVEL: i32 = 3;

/// Returns a layer in a family's media type, compressed as wished; as it is where nothing is wished. `packed` is its uncompressed
/// archive, which is read only if it has to be compressed.
pub(super) fn layer(
    store: &Store,
    layer: &TarLayer<'_>,
    packed: &Path,
    family: Family,
    wanted: Option<Compression>,
    losses: &mut Losses,
) -> Result<Descriptor, ConvertError> {
    let old = layer.descriptor;
    let Kind::TarLayer(is, distribution) = Kind::of(old.media_type().as_ref()) else {
        return Ok(old.clone());
    };
    let is_here = store.has_blob(&layer.digest, old.size())?;
    let wanted = match distribution {
        // Whoever fetches it from its URLs gets the bytes that are there.
        Distribution::Restricted => is,
        Distribution::Free if is_here => wanted.unwrap_or(is),
        // Made here, of a program that had no layer of files.
        Distribution::Free => wanted.unwrap_or(Compression::Gzip),
    };
    let media_type =
        media_type(family, wanted, distribution).ok_or_else(|| ConvertError::NoDockerType {
            layer: layer.digest.clone(),
            compression: is,
        })?;
    if wanted == is && (is_here || distribution == Distribution::Restricted) {
        let mut kept = old.clone();
        kept.set_media_type(media_type.into());
        if family == Family::Docker && kept.annotations().is_some() {
            losses.add("the annotations of its layers");
            kept.set_annotations(None);
        }
        return Ok(kept);
    }
    let (digest, size) = compress(store, packed, layer.diff_id, wanted)?;
    Ok(descriptor(media_type, &digest, size))
}

/// Returns how a family calls a layer, if it has a word for it.
fn media_type(
    family: Family,
    compression: Compression,
    distribution: Distribution,
) -> Option<&'static str> {
    use Compression::{Gzip, None as Plain, Zstd};
    use Distribution::{Free, Restricted};
    Some(match (family, distribution, compression) {
        (Family::Oci, Free, Plain) => OCI_LAYER,
        (Family::Oci, Free, Gzip) => OCI_LAYER_GZIP,
        (Family::Oci, Free, Zstd) => OCI_LAYER_ZSTD,
        (Family::Oci, Restricted, Plain) => OCI_FOREIGN_LAYER,
        (Family::Oci, Restricted, Gzip) => OCI_FOREIGN_LAYER_GZIP,
        (Family::Oci, Restricted, Zstd) => OCI_FOREIGN_LAYER_ZSTD,
        (Family::Docker, Free, Plain) => DOCKER_LAYER,
        (Family::Docker, Free, Gzip) => DOCKER_LAYER_GZIP,
        (Family::Docker, Free, Zstd) => DOCKER_LAYER_ZSTD,
        (Family::Docker, Restricted, Gzip) => DOCKER_FOREIGN_LAYER_GZIP,
        (Family::Docker, Restricted, Plain | Zstd) => return None,
    })
}

fn compress(
    store: &Store,
    packed: &Path,
    diff_id: &Digest,
    compression: Compression,
) -> Result<(Digest, u64), ConvertError> {
    let failed = |source| ConvertError::Compress {
        layer: diff_id.clone(),
        source,
    };
    let mut tar = Hashed {
        file: File::open(packed).map_err(failed)?,
        hasher: Hasher::for_digest(diff_id),
    };
    let blob = store.blob_writer(None)?;
    let blob = encode(&mut tar, blob, compression).map_err(failed)?;
    let got = tar.hasher.finish();
    if got != *diff_id {
        return Err(ConvertError::Damaged {
            got,
            want: diff_id.clone(),
        });
    }
    Ok(blob.commit()?)
}

fn encode(
    tar: &mut Hashed,
    mut blob: BlobWriter,
    compression: Compression,
) -> io::Result<BlobWriter> {
    match compression {
        Compression::None => {
            io::copy(tar, &mut blob)?;
            blob.flush()?;
            Ok(blob)
        }
        Compression::Gzip => {
            // Neither name nor time, and the code for an unknown system: nothing of the host gets into the blob.
            let mut encoder = GzBuilder::new()
                .mtime(0)
                .operating_system(255)
                .write(blob, flate2::Compression::new(GZIP_LEVEL));
            io::copy(tar, &mut encoder)?;
            encoder.finish()
        }
        Compression::Zstd => {
            let mut encoder = zstd::stream::write::Encoder::new(blob, ZSTD_LEVEL)?;
            encoder.include_checksum(true)?;
            io::copy(tar, &mut encoder)?;
            encoder.finish()
        }
    }
}

/// Hashes what is read.
struct Hashed {
    file: File,
    hasher: Hasher,
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}
