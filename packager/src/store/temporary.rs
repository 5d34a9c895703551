//! Files that are written beside their place and renamed into it.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use cap_std::fs::{Dir, File, OpenOptions};

use super::error::{Context as _, StoreError};
use super::layout::{self, INGEST};

/// Names tried before giving up: with 64 random bits, a second try means that something else is wrong.
const TRIES: usize = 8;

/// A new file in `.ingest`, removed when dropped unless it was renamed.
#[derive(Debug)]
pub(super) struct Temporary {
    /// The root, so that the file can be removed without the store.
    dir: Dir,
    /// Relative to the root.
    path: PathBuf,
    renamed: bool,
}

impl Temporary {
    pub(super) fn create(dir: &Dir, root: &Path) -> Result<(Self, File), StoreError> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        let mut last = io::Error::from(ErrorKind::AlreadyExists);
        for _ in 0..TRIES {
            // A `RandomState` is seeded by the system; no other randomness is at hand here, and none better is needed:
            // a name that is taken is refused by the system.
            let random = RandomState::new().build_hasher().finish();
            let path = PathBuf::from(format!("{INGEST}/{random:016x}"));
            match dir.open_with(&path, &options) {
                Ok(file) => {
                    let dir = dir
                        .try_clone()
                        .context("opening directory", || root.to_owned())?;
                    let temporary = Self {
                        dir,
                        path,
                        renamed: false,
                    };
                    return Ok((temporary, file));
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => last = error,
                // A layout that another tool made has no such directory yet.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    layout::create_private_dir(dir, INGEST)
                        .context("creating directory", || root.join(INGEST))?;
                    last = error;
                }
                Err(error) => return Err(error).context("creating", || root.join(path)),
            }
        }
        Err(last).context("creating a file in", || root.join(INGEST))
    }

    /// Returns the path relative to the root.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Renames the file to its place; what was there before is gone. The caller has synced the file, and syncs the directory.
    pub(super) fn rename(mut self, to: &Path) -> io::Result<()> {
        self.dir.rename(&self.path, &self.dir, to)?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            // If this fails, the next garbage collection tries again and reports it.
            self.dir.remove_file(&self.path).unwrap_or_default();
        }
    }
}

/// Replaces a small file directly under the root: readers see the old bytes or the new ones.
pub(super) fn replace(dir: &Dir, root: &Path, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
    let (temporary, mut file) = Temporary::create(dir, root)?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .context("writing", || root.join(temporary.path()))?;
    drop(file);
    temporary
        .rename(Path::new(name))
        .context("replacing", || root.join(name))?;
    layout::sync_dir(dir, root, ".")
}
