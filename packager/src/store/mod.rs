//! The content store: blobs and names in an OCI image layout on disk.
//!
//! ```text
//! ROOT/oci-layout            marks the layout
//! ROOT/index.json            names; replaced atomically
//! ROOT/.index.json.previous  names as they were before the last change
//! ROOT/blobs/sha256/<hex>    manifests, configs, layers
//! ROOT/.ingest/<random>      what is being written
//! ROOT/.lock                 held by the one who replaces index.json
//! ROOT/.lease                shared by all who write; taken alone by garbage collection
//! ```
//!
//! Any OCI tool can read it. Several processes may use it at once, and one may be killed at any instruction: a blob or
//! `index.json` is written to a file beside it, synced and renamed, so that others see the old state or the new one. What a
//! killed process leaves in `.ingest` goes with the next garbage collection.
//!
//! <https://github.com/opencontainers/image-spec/blob/main/image-layout.md>

mod error;
mod gc;
mod images;
mod layout;
mod lock;
mod mend;
mod names;
mod reader;
mod restore;
mod temporary;
mod verify;
mod writer;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::fs::{Dir, File};

pub use error::StoreError;
pub use gc::Freed;
pub use images::Reachable;
pub use lock::Lease;
pub use mend::Mended;
pub use names::{NamedImage, StoredImage};
pub use reader::BlobReader;
pub use verify::{Damage, RestoredNames, VerifiedBlobs, VerifiedNames};
pub use writer::BlobWriter;

use crate::digest::Digest;
use error::Context as _;

/// A content store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// For messages, and for those who must hand it to another program.
    root: PathBuf,
    dir: Dir,
}

impl Store {
    /// Opens the store at `root`, and creates what is absent. New directories are for their owner only.
    ///
    /// # Errors
    ///
    /// The directory cannot be made or opened, or holds something else than an OCI image layout.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let dir = layout::open(root)?;
        Ok(Self {
            inner: Arc::new(Inner {
                root: root.to_owned(),
                dir,
            }),
        })
    }

    /// Returns the directory, which is an OCI image layout.
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    fn dir(&self) -> &Dir {
        &self.inner.dir
    }

    fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.inner.root.join(relative)
    }

    /// Takes a share in the store: while it lives, no garbage is collected, not even by another process.
    ///
    /// Hold one from before the first blob of an image is written, or found to be there, until the image has its name.
    /// Waits while garbage is being collected.
    ///
    /// # Errors
    ///
    /// The lock file cannot be made or locked.
    pub fn lease(&self) -> Result<Lease, StoreError> {
        Lease::shared(self)
    }

    /// Tells whether a blob is there with this size. One with another size is as good as absent.
    ///
    /// # Errors
    ///
    /// The file system fails.
    pub fn has_blob(&self, digest: &Digest, size: u64) -> Result<bool, StoreError> {
        Ok(self.blob_size(digest)? == Some(size))
    }

    /// Returns a blob's size in bytes, or `None` if it is absent.
    ///
    /// # Errors
    ///
    /// The file system fails.
    pub fn blob_size(&self, digest: &Digest) -> Result<Option<u64>, StoreError> {
        let path = layout::blob_path(digest);
        match self.dir().metadata(&path) {
            Ok(metadata) if metadata.is_file() => Ok(Some(metadata.len())),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context("reading the size of", || self.path(path)),
        }
    }

    /// Opens a blob. The reader checks size and digest before it reports the end.
    ///
    /// # Errors
    ///
    /// [`StoreError::Missing`], or the file system fails.
    pub fn open_blob(&self, digest: &Digest) -> Result<BlobReader, StoreError> {
        BlobReader::open(self, digest)
    }

    /// Opens a blob for who checks its content otherwise, and returns its size as well.
    pub(crate) fn open_unchecked(&self, digest: &Digest) -> Result<(File, u64), StoreError> {
        reader::open(self, digest)
    }

    /// Reads a blob to its end, and so checks its size and digest.
    ///
    /// # Errors
    ///
    /// It is missing, or its bytes do not have its digest.
    pub fn check_blob(&self, digest: &Digest) -> Result<(), StoreError> {
        self.read_through(digest).map(drop)
    }

    /// Reads a whole blob of at most `limit` bytes, checked.
    ///
    /// # Errors
    ///
    /// It is missing, larger than `limit`, or its bytes do not have its digest.
    pub fn read_blob(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, StoreError> {
        let mut reader = self.open_blob(digest)?;
        let size = reader.size();
        if size > limit {
            return Err(StoreError::TooLarge {
                digest: digest.clone(),
                got: size,
                limit,
            });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        match reader.read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(reader::store_error(error, || {
                self.path(layout::blob_path(digest))
            })),
        }
    }

    /// Starts to write a blob, whose digest and size are checked if they are known.
    ///
    /// # Errors
    ///
    /// The temporary file cannot be made.
    pub fn blob_writer(&self, expected: Option<(&Digest, u64)>) -> Result<BlobWriter, StoreError> {
        BlobWriter::new(self, expected)
    }

    /// Writes a whole blob.
    ///
    /// # Errors
    ///
    /// The file system fails.
    pub fn put_blob(&self, bytes: &[u8]) -> Result<(Digest, u64), StoreError> {
        writer::put(self, bytes)
    }
}

#[cfg(test)]
mod tests;
