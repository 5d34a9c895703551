//! What killed processes have left: everything that [`ContainerStore::create_owned`] sweeps a little of at each start.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::record::is_running;
use super::store::{STATE, failed, read_bounded};
use super::sweep::{DEAD, FREED, NEW, STALE, is_abandoned, is_older_than};
use super::{ContainerError, ContainerStore, Id, Name};

impl ContainerStore {
    /// Lists directories that were in the making or in removal when their process was killed, ended containers that were to
    /// remove themselves, and names that lead to no container.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn strays(&self) -> Result<Vec<PathBuf>, ContainerError> {
        let mut strays = Vec::new();
        for path in entries(&self.staging())? {
            let ends_with = |ending| path.extension().is_some_and(|end| end == ending);
            // Whoever frees a name may be between two steps.
            let freed = ends_with(FREED) && is_older_than(&path, STALE);
            if ends_with(DEAD) || freed || (!ends_with(FREED) && is_abandoned(&path)) {
                strays.push(path);
            }
        }
        for path in entries(&self.ephemeral())? {
            if matches!(is_running(&path.join(STATE)), Ok(false)) {
                strays.push(path);
            }
        }
        for path in entries(&self.names())? {
            // Its creator may be between two steps.
            if is_older_than(&path, STALE) && !self.leads_anywhere(&path) {
                strays.push(path);
            }
        }
        Ok(strays)
    }

    /// Removes one that [`ContainerStore::strays`] has listed. One that is gone, or is no stray any more, is left alone.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn remove_stray(&self, path: &Path) -> Result<(), ContainerError> {
        if path.parent() == Some(&self.names()) {
            let name = path.file_name().and_then(|name| name.to_str());
            return match name.and_then(|name| name.parse::<Name>().ok()) {
                Some(name) => match self.release_stale_name(&name, path) {
                    Err(ContainerError::NameInUse { .. }) => Ok(()),
                    released => released,
                },
                // It is no name of a container: nothing can ever use it.
                None => fs::remove_file(path).map_err(failed("removing", path)),
            };
        }
        if path.extension().is_some_and(|end| end == FREED) {
            return fs::remove_file(path).map_err(failed("removing", path));
        }
        if path.extension().is_some_and(|end| end == DEAD) {
            return super::sweep::remove(path).map_err(failed("removing", path));
        }
        match is_running(&path.join(STATE)) {
            Ok(true) => Ok(()),
            _ => self.discard(path, None),
        }
    }

    pub(super) fn leads_anywhere(&self, name: &Path) -> bool {
        let text = read_bounded(name, 256).unwrap_or_default();
        let Ok(id) = String::from_utf8_lossy(&text).parse::<Id>() else {
            return false;
        };
        let new = self.staging().join(id.as_str()).with_extension(NEW);
        [
            self.kept().join(id.as_str()),
            self.ephemeral().join(id.as_str()),
            new,
        ]
        .iter()
        .any(|home| home.exists())
    }
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, ContainerError> {
    let listing = |error| failed("listing", directory)(error);
    match fs::read_dir(directory) {
        Ok(entries) => entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<io::Result<_>>()
            .map_err(listing),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(listing(error)),
    }
}
