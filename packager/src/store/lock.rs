//! Locks between processes: advisory locks on files that are never removed.
//!
//! The system frees such a lock when its holder ends, however it ends.

use std::fs::{File, TryLockError};
use std::path::Path;

use cap_std::fs::{Dir, OpenOptions};

use super::Store;
use super::error::{Context as _, StoreError};
use super::layout::{LEASE, LOCK};

/// A share in the store: as long as it lives, nothing is collected as garbage.
#[derive(Debug)]
pub struct Lease {
    /// Holds the lock until it is dropped.
    _file: File,
}

impl Lease {
    pub(super) fn shared(store: &Store) -> Result<Self, StoreError> {
        let file = open(store.dir(), store.root(), LEASE)?;
        file.lock_shared()
            .context("locking", || store.path(LEASE))?;
        Ok(Self { _file: file })
    }

    /// Takes the whole store, or returns `None` while anyone has a share.
    pub(super) fn whole(store: &Store) -> Result<Option<Self>, StoreError> {
        let file = open(store.dir(), store.root(), LEASE)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).context("locking", || store.path(LEASE)),
        }
    }
}

/// Waits for the lock that whoever replaces `index.json` must hold. It is free again when the file is dropped.
pub(super) fn exclusive(dir: &Dir, root: &Path) -> Result<File, StoreError> {
    let file = open(dir, root, LOCK)?;
    file.lock().context("locking", || root.join(LOCK))?;
    Ok(file)
}

fn open(dir: &Dir, root: &Path, name: &str) -> Result<File, StoreError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true);
    dir.open_with(name, &options)
        .map(cap_std::fs::File::into_std)
        .context("opening", || root.join(name))
}
