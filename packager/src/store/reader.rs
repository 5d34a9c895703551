use std::io::{self, ErrorKind, Read};
use std::path::PathBuf;

use cap_std::fs::File;

use super::error::{Context as _, StoreError};
use super::{Store, layout};
use crate::digest::{Digest, Hasher};

/// Reads a blob, and reports its end only if its size and digest are right.
///
/// A wrong blob is an [`io::Error`] that holds a [`StoreError`]: whoever reads to the end can trust what was read.
#[derive(Debug)]
pub struct BlobReader {
    file: File,
    digest: Digest,
    /// The size when the blob was opened, in bytes.
    size: u64,
    read: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Reading(Hasher),
    /// The end was reached, and everything was right.
    Right,
    Failed,
}

impl BlobReader {
    pub(super) fn open(store: &Store, digest: &Digest) -> Result<Self, StoreError> {
        let (file, size) = open(store, digest)?;
        Ok(Self {
            file,
            digest: digest.clone(),
            size,
            read: 0,
            state: State::Reading(Hasher::for_digest(digest)),
        })
    }

    /// Returns the blob's size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the digest that is checked.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    fn check_end(&mut self) -> io::Result<()> {
        let State::Reading(hasher) = std::mem::replace(&mut self.state, State::Failed) else {
            return Ok(());
        };
        if self.read != self.size {
            return Err(invalid(StoreError::WrongSize {
                digest: self.digest.clone(),
                got: self.read,
                want: self.size,
            }));
        }
        let got = hasher.finish();
        if got != self.digest {
            return Err(invalid(StoreError::WrongDigest {
                got,
                want: self.digest.clone(),
            }));
        }
        self.state = State::Right;
        Ok(())
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        match &mut self.state {
            State::Right => return Ok(0),
            State::Failed => return Err(io::Error::from(ErrorKind::InvalidData)),
            State::Reading(hasher) => {
                let count = self.file.read(buffer)?;
                self.read = self.read.saturating_add(count as u64);
                if self.read > self.size {
                    // Someone appends to the file while we read.
                    return self.check_end().map(|()| 0);
                }
                if count > 0 {
                    hasher.update(buffer.get(..count).unwrap_or_default());
                    return Ok(count);
                }
            }
        }
        self.check_end().map(|()| 0)
    }
}

/// Opens a blob's file, and returns its size as well.
pub(super) fn open(store: &Store, digest: &Digest) -> Result<(File, u64), StoreError> {
    let path = layout::blob_path(digest);
    let file = match store.dir().open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(StoreError::Missing {
                digest: digest.clone(),
                root: store.root().to_owned(),
            });
        }
        opened => opened.context("opening", || store.path(&path))?,
    };
    let size = file
        .metadata()
        .context("reading the size of", || store.path(&path))?
        .len();
    Ok((file, size))
}

fn invalid(error: StoreError) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}

/// Takes the store's error out of an I/O error of a [`BlobReader`].
pub(super) fn store_error(error: io::Error, path: impl FnOnce() -> PathBuf) -> StoreError {
    match error.downcast::<StoreError>() {
        Ok(error) => error,
        Err(source) => StoreError::Io {
            action: "reading",
            path: path(),
            source,
        },
    }
}
