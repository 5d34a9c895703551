//! Puts right what keeps packed layers from being found or locked.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::LayerError;
use super::gc::entries;
use super::store::{LOCKS, LayerStore, TURNS};

impl LayerStore {
    /// Removes folders that stand where a lock of the store in `root` belongs, files that stand where one of its folders or
    /// layers does, and returns their paths. All of it is made again when it is needed.
    ///
    /// # Errors
    ///
    /// Something cannot be listed or removed.
    pub fn mend(root: &Path) -> Result<Vec<PathBuf>, LayerError> {
        let mut mended = Vec::new();
        let folders = ["sha256", "sha512", "chains", "tmp", TURNS].map(|name| root.join(name));
        for folder in &folders {
            if is(folder, fs::FileType::is_file)? {
                remove(folder, &mut mended)?;
            }
        }
        let locks = LOCKS.map(|name| root.join(name));
        for lock in locks.into_iter().chain(entries(&root.join(TURNS))?) {
            if is(&lock, fs::FileType::is_dir)? {
                remove(&lock, &mut mended)?;
            }
        }
        for parent in &folders[..3] {
            for layer in entries(parent)? {
                if is(&layer, fs::FileType::is_file)? {
                    remove(&layer, &mut mended)?;
                }
            }
        }
        Ok(mended)
    }
}

fn is(path: &Path, kind: impl Fn(&fs::FileType) -> bool) -> Result<bool, LayerError> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(kind(&found.file_type())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(LayerError::io("searching", path)(error)),
    }
}

fn remove(path: &Path, mended: &mut Vec<PathBuf>) -> Result<(), LayerError> {
    let removed = match path.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    };
    removed.map_err(LayerError::io("removing", path))?;
    mended.push(path.to_owned());
    Ok(())
}
