//! Files that are being written, and how they become visible: all at once or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::LayerError;

/// Makes names unique within the process; the process ID makes them unique among processes that run.
static COUNTER: AtomicU64 = AtomicU64::new(0);

/// A directory for files that are being written. Removed when dropped; what a killed process leaves is swept later.
#[derive(Debug)]
pub(super) struct TempDir {
    path: PathBuf,
}

impl TempDir {
    /// Makes a directory in `parent`, which is made if it is absent.
    pub(super) fn new(parent: &Path) -> Result<Self, LayerError> {
        create_directories(parent)?;
        loop {
            let number = COUNTER.fetch_add(1, Ordering::Relaxed);
            let path = parent.join(format!("{}-{number}", std::process::id()));
            match directory_builder().create(&path) {
                Ok(()) => return Ok(Self { path }),
                // Left by a killed process that had our ID.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(LayerError::io("creating", &path)(error)),
            }
        }
    }

    /// Returns the path that a file in the directory has or will have.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Moves the files `names`, which have been synced, to the directory `target`. The last of them marks it as complete.
    ///
    /// Of several processes that publish the same, the first wins. A target that is there and not complete (written by another
    /// version, or half gone) is completed file by file: it is never taken away, since another process may have found it complete
    /// just now.
    ///
    /// A file that has its name has its bytes; the names themselves do not wait for the disk. A layer that loses one to a power
    /// cut is packed again.
    pub(super) fn publish(self, target: &Path, names: &[&str]) -> Result<(), LayerError> {
        let parent = target.parent().unwrap_or(target);
        create_directories(parent)?;
        let mut moved = fs::rename(&self.path, target);
        if moved.is_err() && target.is_file() {
            // No layer, whoever put it there.
            drop(fs::remove_file(target));
            moved = fs::rename(&self.path, target);
        }
        match moved {
            Ok(()) => Ok(()),
            Err(_) if target.is_dir() => {
                let complete = names.iter().all(|name| target.join(name).is_file());
                if !complete {
                    for name in names {
                        replace(&self.file(name), &target.join(name))?;
                    }
                }
                Ok(())
            }
            Err(error) => Err(LayerError::io("creating", target)(error)),
        }
    }

    /// Moves one synced file to `target`, replacing what is there. Readers see the old file or the new one.
    pub(super) fn publish_file(self, name: &str, target: &Path) -> Result<(), LayerError> {
        let parent = target.parent().unwrap_or(target);
        create_directories(parent)?;
        replace(&self.file(name), target)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // Gone after a rename; if it cannot be removed, the next sweep tries again.
        drop(fs::remove_dir_all(&self.path));
    }
}

/// Creates a file that must not exist yet, for its owner only.
pub(super) fn create_file(path: &Path) -> Result<File, LayerError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(LayerError::io("creating", path))
}

/// Creates a directory and those above it, for their owner only.
pub(super) fn create_directories(path: &Path) -> Result<(), LayerError> {
    directory_builder()
        .recursive(true)
        .create(path)
        .map_err(LayerError::io("creating", path))
}

/// Makes a directory's entries survive a power cut. Windows has no such call; its file systems keep them in their journal.
pub(super) fn sync_directory(path: &Path) -> Result<(), LayerError> {
    if cfg!(windows) {
        return Ok(());
    }
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(LayerError::io("syncing", path))
}

fn directory_builder() -> DirBuilder {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

fn replace(from: &Path, to: &Path) -> Result<(), LayerError> {
    fs::rename(from, to).map_err(LayerError::io("replacing", to))
}
