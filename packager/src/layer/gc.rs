//! Removes packed layers that no image needs, and what killed processes left.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::digest::Digest;

use super::error::LayerError;
use super::store::LayerStore;
use super::temp::create_directories;

/// What a collection removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Packed layers.
    pub layers: u64,
    /// Merged indexes.
    pub chains: u64,
    /// Bytes of both.
    pub bytes: u64,
    /// Was nothing removed because the store is in use?
    pub busy: bool,
}

impl LayerStore {
    /// Removes what killed processes left half-written. Does nothing while the store is in use.
    ///
    /// # Errors
    ///
    /// Something cannot be removed.
    pub fn sweep(&self) -> Result<(), LayerError> {
        let temp = self.temp_root();
        if entries(&temp)?.is_empty() {
            return Ok(());
        }
        // Who writes holds a lease, so what is there without one has no owner.
        match self.try_exclusive()? {
            Some(_lock) => empty(&temp),
            None => Ok(()),
        }
    }

    /// Removes all packed layers and merged indexes but those named. Does nothing while there is a lease.
    ///
    /// A layer that a container reads may be removed only where open files outlive their names, which Windows does not do.
    ///
    /// # Errors
    ///
    /// Something cannot be removed.
    pub fn collect_garbage(
        &self,
        keep_chains: &[Digest],
        keep_diff_ids: &[Digest],
    ) -> Result<Collected, LayerError> {
        let Some(_lock) = self.try_exclusive()? else {
            return Ok(Collected {
                busy: true,
                ..Collected::default()
            });
        };
        let temp = self.temp_root();
        empty(&temp)?;
        // Locks that nobody holds, or there would be a lease. What they remember is made again.
        empty(&self.turns_root())?;
        let mut collected = Collected::default();
        // Chains first: a merged index is of no use without its layers.
        let chains: BTreeSet<PathBuf> = keep_chains
            .iter()
            .map(|chain| self.chains_root().join(chain.hex()))
            .collect();
        for chain in entries(&self.chains_root())? {
            if !chains.contains(&chain) {
                collected.bytes += remove(&chain, &temp)?;
                collected.chains += 1;
            }
        }
        let layers: BTreeSet<PathBuf> = keep_diff_ids
            .iter()
            .map(|diff_id| self.layer_dir(diff_id))
            .collect();
        for algorithm in ["sha256", "sha512"] {
            for layer in entries(&self.root().join(algorithm))? {
                if !layers.contains(&layer) {
                    collected.bytes += remove(&layer, &temp)?;
                    collected.layers += 1;
                }
            }
        }
        Ok(collected)
    }
}

/// Removes a directory, and returns the bytes of its files. It is moved aside first, so that nobody sees half of it.
fn remove(path: &Path, temp: &Path) -> Result<u64, LayerError> {
    let removing = |error| LayerError::io("removing", path)(error);
    let mut bytes = 0u64;
    for file in entries(path)? {
        let metadata = fs::symlink_metadata(&file).map_err(removing)?;
        bytes = bytes.saturating_add(metadata.len());
    }
    create_directories(temp)?;
    let aside = temp.join("removed");
    fs::rename(path, &aside).map_err(removing)?;
    fs::remove_dir_all(&aside).map_err(removing)?;
    Ok(bytes)
}

fn empty(directory: &Path) -> Result<(), LayerError> {
    for path in entries(directory)? {
        let removed = match path.is_dir() {
            true => fs::remove_dir_all(&path),
            false => fs::remove_file(&path),
        };
        match removed {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(LayerError::io("removing", &path)(error)),
        }
    }
    Ok(())
}

/// Returns what is in a directory; nothing if it is absent.
pub(super) fn entries(directory: &Path) -> Result<Vec<PathBuf>, LayerError> {
    let listing = |error| LayerError::io("listing", directory)(error);
    match fs::read_dir(directory) {
        Ok(entries) => entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()
            .map_err(listing),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(listing(error)),
    }
}
