use std::io::{self, BufWriter, ErrorKind, Write};

use cap_std::fs::File;

use super::error::{Context as _, StoreError};
use super::layout::{self, BLOBS};
use super::lock::Lease;
use super::temporary::Temporary;
use super::{Store, reader};
use crate::digest::{Digest, Hasher};

/// Bytes gathered before a write: callers hand over pieces as small as a tar header.
const BUFFER: usize = 128 << 10;

/// Writes a blob. It is in the store only after [`BlobWriter::commit`]; dropped before, it leaves nothing.
#[derive(Debug)]
pub struct BlobWriter {
    store: Store,
    /// Keeps garbage collection from taking the temporary file for a dead process's.
    _lease: Lease,
    file: BufWriter<File>,
    temporary: Temporary,
    hasher: Hasher,
    written: u64,
    expected: Option<(Digest, u64)>,
}

impl BlobWriter {
    pub(super) fn new(store: &Store, expected: Option<(&Digest, u64)>) -> Result<Self, StoreError> {
        let lease = store.lease()?;
        let (temporary, file) = Temporary::create(store.dir(), store.root())?;
        let hasher = match expected {
            Some((digest, _)) => Hasher::for_digest(digest),
            None => Hasher::sha256(),
        };
        Ok(Self {
            store: store.clone(),
            _lease: lease,
            file: BufWriter::with_capacity(BUFFER, file),
            temporary,
            hasher,
            written: 0,
            expected: expected.map(|(digest, size)| (digest.clone(), size)),
        })
    }

    /// Returns the bytes written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Checks size and digest, and puts the blob in its place, where it lasts through a power cut.
    ///
    /// A blob that is there already with the same size stays; one with another size is damaged, and is replaced.
    ///
    /// # Errors
    ///
    /// Size or digest are not the expected ones, or the file system fails; then the store is as before.
    pub fn commit(self) -> Result<(Digest, u64), StoreError> {
        let digest = self.hasher.finish();
        let size = self.written;
        if let Some((want, want_size)) = self.expected {
            if size != want_size {
                return Err(StoreError::WrongSize {
                    digest: want,
                    got: size,
                    want: want_size,
                });
            }
            if digest != want {
                return Err(StoreError::WrongDigest { got: digest, want });
            }
        }
        let store = self.store;
        if store.has_blob(&digest, size)? {
            return Ok((digest, size));
        }
        let temporary = self.temporary;
        self.file
            .into_inner()
            .map_err(io::IntoInnerError::into_error)
            .and_then(|file| file.sync_all())
            .context("writing", || store.path(temporary.path()))?;
        place(&store, temporary, &digest)?;
        Ok((digest, size))
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some((digest, want)) = &self.expected {
            let got = self.written.saturating_add(bytes.len() as u64);
            if got > *want {
                // Stop at once: a stranger must not fill the disk before the digest is found to be wrong.
                let error = StoreError::WrongSize {
                    digest: digest.clone(),
                    got,
                    want: *want,
                };
                return Err(io::Error::new(ErrorKind::InvalidData, error));
            }
        }
        let count = self.file.write(bytes)?;
        self.hasher.update(bytes.get(..count).unwrap_or_default());
        self.written = self.written.saturating_add(count as u64);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn place(store: &Store, temporary: Temporary, digest: &Digest) -> Result<(), StoreError> {
    let directory = format!("{BLOBS}/{}", digest.algorithm());
    // sha512 is rare, and a layout that another tool made may lack even the other.
    for path in [BLOBS, &directory] {
        layout::create_private_dir(store.dir(), path)
            .context("creating directory", || store.path(path))?;
    }
    let path = layout::blob_path(digest);
    temporary
        .rename(&path)
        .context("renaming a new blob to", || store.path(&path))?;
    layout::sync_dir(store.dir(), store.root(), &directory)
}

pub(super) fn put(store: &Store, bytes: &[u8]) -> Result<(Digest, u64), StoreError> {
    let digest = Digest::sha256_of(bytes);
    let size = bytes.len() as u64;
    if store.has_blob(&digest, size)? {
        return Ok((digest, size));
    }
    let mut writer = BlobWriter::new(store, Some((&digest, size)))?;
    if let Err(error) = writer.write_all(bytes) {
        return Err(reader::store_error(error, || {
            store.path(layout::blob_path(&digest))
        }));
    }
    writer.commit()
}
