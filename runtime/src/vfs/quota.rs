//! A bound on the upper, and the count of what is used of it.
//!
//! Each name counts with [`ENTRY_COST`], each file with its length, holes included, once for all its names. So one
//! number bounds bytes and names, and is told without asking the host how it stores them. What hides the image's files
//! (whiteouts) is not counted: there cannot be more of it than the image has names.
//!
//! The count is a number in the work directory, changed only by who holds the upper's lock: exact among processes. It is
//! raised before the change and lowered after, so that a killed process leaves it too high, never too low; the first
//! process that comes to an upper where nobody is counts anew.
//!
//! A file whose last name is removed while it is open stays counted until the last handle is closed, whichever process
//! has it: every open file of the upper has a shared lock on it, and who gets it alone is the last. If that one is killed,
//! its part is missing until the next count.

use std::collections::BTreeSet;
use std::fs::File;

use super::errno::{Errno, Result};
use super::host::{self, HostDir};
use super::node::FileKind;
use super::upper::{Guard, is_reserved};

/// Bytes that one name counts for: a block on common host file systems.
pub(super) const ENTRY_COST: u64 = 4096;

/// What may be used, and the file that says what is.
#[derive(Debug)]
pub(super) struct Usage {
    pub(super) limit: u64,
    pub(super) file: File,
}

impl Usage {
    fn used(&self) -> Result<u64> {
        let mut number = [0; 8];
        match host::read_at(&self.file, &mut number, 0)? {
            8 => Ok(u64::from_le_bytes(number)),
            _ => Err(Errno::Io),
        }
    }

    pub(super) fn set_used(&self, used: u64) -> Result<()> {
        match host::write_at(&self.file, &used.to_le_bytes(), 0)? {
            8 => Ok(()),
            _ => Err(Errno::Io),
        }
    }
}

impl Guard<'_> {
    /// Is anything counted?
    pub(super) fn counts(&self) -> bool {
        self.usage().is_some()
    }

    /// How much more may be used.
    pub(super) fn left(&self) -> Result<u64> {
        match self.usage() {
            Some(usage) => Ok(usage.limit.saturating_sub(usage.used()?)),
            None => Ok(u64::MAX),
        }
    }

    /// Counts what will be used. `NoSpace` if that is too much.
    pub(super) fn take(&self, bytes: u64) -> Result<()> {
        let Some(usage) = self.usage() else {
            return Ok(());
        };
        if bytes == 0 {
            return Ok(());
        }
        let used = usage.used()?.saturating_add(bytes);
        if used > usage.limit {
            return Err(Errno::NoSpace);
        }
        usage.set_used(used)
    }

    /// Counts what is not used any more.
    pub(super) fn give(&self, bytes: u64) {
        if let Some(usage) = self.usage()
            && bytes > 0
        {
            // If that fails, too much is counted until the next count.
            let _too_high = usage
                .used()
                .and_then(|used| usage.set_used(used.saturating_sub(bytes)));
        }
    }

    /// Makes something that counts.
    pub(super) fn taking<T>(&self, bytes: u64, make: impl FnOnce() -> Result<T>) -> Result<T> {
        self.take(bytes)?;
        make().inspect_err(|_| self.give(bytes))
    }

    /// Takes away the name of what is no directory.
    pub(super) fn giving(
        &self,
        dir: &HostDir,
        name: &[u8],
        take_away: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        if !self.counts() {
            return take_away();
        }
        // A symlink has no length that counts, and can't be opened.
        let file = dir.open_file(name, true, false).ok();
        take_away()?;
        self.give(ENTRY_COST);
        if let Some(file) = file {
            self.give_if_last(&file)?;
        }
        Ok(())
    }

    /// Counts a file out that has no name, unless somebody else has it open.
    pub(super) fn give_if_last(&self, file: &File) -> Result<()> {
        let stat = host::file_stat(file)?;
        if stat.nlink == 0 && file.try_lock().is_ok() {
            self.give(stat.size);
        }
        Ok(())
    }
}

/// Counts an upper, whatever was counted before.
pub(super) fn count(upper: &HostDir) -> Result<u64> {
    let mut used: u64 = 0;
    let mut linked = BTreeSet::new();
    // Paths, not handles: a guest can make more directories than there are descriptors.
    let mut todo: Vec<Vec<Vec<u8>>> = vec![Vec::new()];
    while let Some(path) = todo.pop() {
        let mut dir = upper.clone();
        for name in &path {
            dir = dir.open_dir(name)?;
        }
        for entry in dir.list()? {
            if is_reserved(&entry.name) {
                continue;
            }
            used = used.saturating_add(ENTRY_COST);
            match entry.kind {
                FileKind::Directory => todo.push([&path[..], &[entry.name]].concat()),
                FileKind::File => {
                    if let Some(stat) = dir.stat_at(&entry.name)?
                        && (stat.nlink == 1 || linked.insert(stat.ino))
                    {
                        used = used.saturating_add(stat.size);
                    }
                }
                _ => {}
            }
        }
    }
    Ok(used)
}
