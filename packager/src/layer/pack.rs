//! From a blob to a packed layer, in one pass: decompress, hash, keep, index.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::digest::{Digest, Hasher};
use crate::media_type::Compression;
use crate::store::Store;

use super::compress::Decoder;
use super::encode::encode;
use super::error::{LayerError, TarError};
use super::limits::Limits;
use super::scan::scan;
use super::source::Stream;
use super::store::{INDEX, LayerLease, LayerStore, TAR, write_index};
use super::temp::create_file;

/// What an image says of a layer that is to be packed.
#[derive(Clone, Copy)]
pub(super) struct Expected<'a> {
    pub(super) compression: Compression,
    pub(super) diff_id: &'a Digest,
}

/// Packs one layer, and returns its diff ID. On an error nothing of it is kept.
///
/// The compressed bytes are not hashed on the way: what is kept is checked against the diff ID, or goes by the one that it has.
/// Only if something is wrong the blob is read again, to tell damage on this disk from a layer that never was right.
pub(super) fn pack(
    layers: &LayerStore,
    store: &Store,
    blob: &Digest,
    expected: Option<Expected<'_>>,
    lease: &LayerLease,
) -> Result<Digest, LayerError> {
    unpack(layers, store, blob, expected, lease).map_err(|error| match error {
        LayerError::Read { .. }
        | LayerError::Tar { .. }
        | LayerError::DiffId { .. }
        | LayerError::TrailingBytes { .. }
        | LayerError::Compression { .. } => match store.check_blob(blob) {
            Ok(()) => error,
            Err(source) => LayerError::Read {
                layer: blob.clone(),
                source: io::Error::new(io::ErrorKind::InvalidData, source),
            },
        },
        error => error,
    })
}

fn unpack(
    layers: &LayerStore,
    store: &Store,
    blob: &Digest,
    expected: Option<Expected<'_>>,
    lease: &LayerLease,
) -> Result<Digest, LayerError> {
    let limits = layers.limits();
    let reading = |source| LayerError::Read {
        layer: blob.clone(),
        source,
    };
    let (file, size) = store
        .open_unchecked(blob)
        .map_err(|source| LayerError::Store {
            blob: blob.to_string(),
            source,
        })?;
    let (decoder, compression) = Decoder::new(file).map_err(reading)?;
    if let Some(Expected {
        compression: want, ..
    }) = expected
        && compression != want
    {
        return Err(LayerError::Compression {
            layer: blob.clone(),
            got: compression,
            want,
        });
    }

    let temp = layers.temp_dir(lease)?;
    let path = temp.file(TAR);
    let tee = Tee {
        file: create_file(&path)?,
        path: &path,
        decoder,
        hasher: expected.map_or_else(Hasher::sha256, |expected| {
            Hasher::for_digest(expected.diff_id)
        }),
        written: 0,
        size,
        limits,
        blob,
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
                layer: blob.to_string(),
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
            layer: blob.clone(),
        });
    }
    let diff_id = hasher.finish();
    if let Some(Expected { diff_id: want, .. }) = expected
        && diff_id != *want
    {
        return Err(LayerError::DiffId {
            layer: blob.clone(),
            got: diff_id,
            want: want.clone(),
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
    temp.publish(&layers.layer_dir(&diff_id), &[TAR, INDEX])?;
    Ok(diff_id)
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
    blob: &'a Digest,
    /// Why the last read failed, if it was not the blob's fault.
    fault: Option<LayerError>,
}

impl<R: Read> Tee<'_, R> {
    fn keep(&mut self, bytes: &[u8]) -> Result<(), LayerError> {
        self.written = self.written.saturating_add(bytes.len() as u64);
        if self.written > self.limits.layer_bytes {
            return Err(LayerError::TooLarge {
                layer: self.blob.to_string(),
                limit: self.limits.layer_bytes,
            });
        }
        let honest = self.size.saturating_mul(self.limits.expansion);
        if self.written > self.limits.free_bytes && self.written > honest {
            return Err(LayerError::Expansion {
                layer: self.blob.clone(),
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
