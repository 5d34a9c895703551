//! From a blob to a packed layer, in one pass: decompress, hash, keep, index.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::digest::Hasher;
use crate::image::TarLayer;
use crate::store::Store;

use super::compress::Decoder;
use super::encode::encode;
use super::error::{LayerError, TarError};
use super::limits::Limits;
use super::scan::scan;
use super::source::Stream;
use super::store::{INDEX, LayerLease, LayerStore, TAR, write_index};
use super::temp::create_file;

/// Packs one layer. On an error nothing of it is kept.
pub(super) fn pack(
    layers: &LayerStore,
    store: &Store,
    layer: &TarLayer<'_>,
    lease: &LayerLease,
) -> Result<(), LayerError> {
    let limits = layers.limits();
    let reading = |source| LayerError::Read {
        layer: layer.digest.clone(),
        source,
    };
    let blob = store
        .open_blob(&layer.digest)
        .map_err(|source| LayerError::Store {
            blob: layer.digest.to_string(),
            source,
        })?;
    let size = blob.size();
    let (decoder, compression) = Decoder::new(blob).map_err(reading)?;
    if compression != layer.compression {
        return Err(LayerError::Compression {
            layer: layer.digest.clone(),
            got: compression,
            want: layer.compression,
        });
    }

    let temp = layers.temp_dir(lease)?;
    let path = temp.file(TAR);
    let tee = Tee {
        file: create_file(&path)?,
        path: &path,
        decoder,
        hasher: Hasher::for_digest(layer.diff_id),
        written: 0,
        size,
        limits,
        layer,
        fault: None,
    };
    let mut source = Stream::new(tee);
    let scanned = scan(&mut source, limits.names).and_then(|tree| {
        // What follows the end mark is part of the layer too, and of its digest.
        match io::copy(&mut source, &mut io::sink()) {
            Ok(_) => Ok(tree),
            Err(source) => Err(TarError::Io {
                position: 0,
                source,
            }),
        }
    });
    let tree = match (scanned, source.get_mut().fault.take()) {
        (_, Some(fault)) => return Err(fault),
        (Ok(tree), None) => tree,
        (Err(TarError::Io { source, .. }), None) => return Err(reading(source)),
        (Err(source), None) => {
            return Err(LayerError::Tar {
                layer: layer.digest.to_string(),
                source,
            });
        }
    };

    let Tee {
        file,
        decoder,
        hasher,
        ..
    } = source.into_inner();
    if decoder.drain().map_err(reading)? {
        return Err(LayerError::TrailingBytes {
            layer: layer.digest.clone(),
        });
    }
    let diff_id = hasher.finish();
    if diff_id != *layer.diff_id {
        return Err(LayerError::DiffId {
            layer: layer.digest.clone(),
            got: diff_id,
            want: layer.diff_id.clone(),
        });
    }
    file.sync_all().map_err(LayerError::io("syncing", &path))?;
    drop(file);
    let index: PathBuf = temp.file(INDEX);
    let encoder = encode(&tree, &diff_id, limits.names).map_err(|source| LayerError::Index {
        path: index.clone(),
        source,
    })?;
    drop(tree);
    write_index(encoder, &index)?;
    temp.publish(&layers.layer_dir(&diff_id), &[TAR, INDEX])
}

/// Gives on the uncompressed bytes of a blob, and keeps and hashes them meanwhile.
struct Tee<'a, R: Read> {
    decoder: Decoder<R>,
    file: File,
    path: &'a Path,
    hasher: Hasher,
    written: u64,
    /// Compressed size in bytes.
    size: u64,
    limits: &'a Limits,
    layer: &'a TarLayer<'a>,
    /// Why the last read failed, if it was not the blob's fault.
    fault: Option<LayerError>,
}

impl<R: Read> Tee<'_, R> {
    fn keep(&mut self, bytes: &[u8]) -> Result<(), LayerError> {
        self.written = self.written.saturating_add(bytes.len() as u64);
        if self.written > self.limits.layer_bytes {
            return Err(LayerError::TooLarge {
                layer: self.layer.digest.to_string(),
                limit: self.limits.layer_bytes,
            });
        }
        let honest = self.size.saturating_mul(self.limits.expansion);
        if self.written > self.limits.free_bytes && self.written > honest {
            return Err(LayerError::Expansion {
                layer: self.layer.digest.clone(),
                size: self.size,
                limit: self.limits.expansion,
            });
        }
        self.hasher.update(bytes);
        self.file
            .write_all(bytes)
            .map_err(LayerError::io("writing", self.path))
    }
}

impl<R: Read> Read for Tee<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.decoder.read(buffer)?;
        match self.keep(&buffer[..len]) {
            Ok(()) => Ok(len),
            Err(fault) => {
                self.fault = Some(fault);
                Err(io::Error::other("stopped"))
            }
        }
    }
}
