//! Brings entries of the lower into the upper, before they change.
//!
//! A file is copied aside and moved into place complete, so that another process sees the old one or the new one. A
//! hard link is not kept: the copy is a file of its own, as with the kernel's overlayfs without an index. The times
//! of the directory above stay as they are, because nothing in it changed for the guest.

use std::fs::File;

use super::errno::{Errno, Result};
use super::guest_fs::Fs;
use super::host::{self, HostDir};
use super::lower::NodeId;
use super::mounted::MountedDir;
use super::node::{FileKind, SetTime, SetTimes, Stat};
use super::origin;
use super::place::{Body, Entry, Place};
use super::quota::ENTRY_COST;
use super::upper::{Guard, Unfinished, Upper, is_reserved};

/// Of files that a guest makes: what a umask of 022 leaves, whatever the host's is.
pub(super) const FILE_MODE: u32 = 0o644;
/// Of directories that a guest makes.
pub(super) const DIRECTORY_MODE: u32 = 0o755;

/// A directory whose names may change.
pub(super) enum Site {
    /// In the upper; `lower` is the directory that shines through.
    Own { dir: HostDir, lower: Option<NodeId> },
    /// In a mount.
    Mounted(MountedDir),
}

impl Fs {
    pub(super) fn writable_upper(&self) -> Result<&Upper> {
        match &self.upper {
            Some(upper) if !self.read_only => Ok(upper),
            _ => Err(Errno::ReadOnly),
        }
    }

    /// Makes the last directory of a walk ready for a change of names.
    pub(super) fn site(&self, guard: Option<&Guard<'_>>, dirs: &[Place]) -> Result<Site> {
        let place = dirs.last().ok_or(Errno::Io)?;
        self.check_writable(place)?;
        match &place.body {
            Body::Mounted { dir: Some(dir), .. } => Ok(Site::Mounted(dir.clone())),
            // There is nothing behind it.
            Body::Mounted { dir: None, .. } => Err(Errno::ReadOnly),
            &Body::Own { lower, .. } => {
                let dir = self.ensure_upper(guard.ok_or(Errno::ReadOnly)?, dirs)?;
                Ok(Site::Own { dir, lower })
            }
        }
    }

    /// Makes sure that the last directory of a walk is in the upper, with all above it.
    pub(super) fn ensure_upper(&self, guard: &Guard<'_>, dirs: &[Place]) -> Result<HostDir> {
        let mut above: Option<HostDir> = None;
        for place in dirs {
            let Body::Own { upper, lower } = &place.body else {
                // A mount point's directory in the guest's own tree can't be below a mount.
                return Err(Errno::Io);
            };
            above = Some(match (upper, above) {
                (Some(upper), _) => upper.clone(),
                (None, Some(above)) => match above.open_dir(&place.name) {
                    Err(Errno::NoEntry) => self.copy_up_dir(guard, &above, &place.name, *lower)?,
                    // Made since the walk, by this very call for its other path.
                    result => result?,
                },
                // A walk starts at the root or at a directory in the upper.
                (None, None) => return Err(Errno::Io),
            });
        }
        above.ok_or(Errno::Io)
    }

    /// Copies one directory without what is in it; a hollow one gets the attributes of a new one.
    pub(super) fn copy_up_dir(
        &self,
        guard: &Guard<'_>,
        above: &HostDir,
        name: &[u8],
        lower: Option<NodeId>,
    ) -> Result<HostDir> {
        let upper = self.writable_upper()?;
        let stat = lower.map(|node| self.lower_stat(node)).transpose()?;
        let (new, ()) = upper.unfinished(|work, free| work.create_dir(free, DIRECTORY_MODE))?;
        let dir = new.work().open_dir(new.name())?;
        match stat {
            Some(stat) => {
                upper.note_copies()?;
                dir.set_mode(origin::record_dir(&dir, &stat))?;
                dir.set_times(times(&stat))?;
            }
            None => dir.set_mode(DIRECTORY_MODE)?,
        }
        guard.taking(ENTRY_COST, || {
            unchanged(above, || new.place(guard, above, name))
        })?;
        if let Some(node) = lower {
            self.lower_handles.copied_up(node, &dir);
        }
        Ok(dir)
    }

    /// Copies a file aside. Needs no lock, and may take long. `with_data`: otherwise the copy is empty and new.
    ///
    /// What it takes, [`copy_cost`], is counted already.
    pub(super) fn copy_aside(
        &self,
        node: NodeId,
        stat: &Stat,
        with_data: bool,
    ) -> Result<(Unfinished<'_>, File)> {
        let upper = self.writable_upper()?;
        let (new, file) = upper.unfinished(|work, free| work.create_file(free, FILE_MODE))?;
        if with_data {
            let extent = self.lower.open(node)?;
            host::copy_range(&extent.file, extent.offset, extent.len, &file)?;
        }
        upper.note_copies()?;
        host::set_file_mode(&file, origin::record_file(&file, stat))?;
        if with_data {
            host::set_file_times(&file, times(stat))?;
        }
        Ok((new, file))
    }

    /// Copies one entry that is no directory. `NotPermitted` for what is neither file nor symlink.
    pub(super) fn copy_up(
        &self,
        guard: &Guard<'_>,
        dir: &HostDir,
        name: &[u8],
        node: NodeId,
        stat: &Stat,
    ) -> Result<()> {
        let place = |new: Unfinished<'_>| unchanged(dir, || new.place(guard, dir, name));
        match stat.kind {
            FileKind::File => guard.taking(copy_cost(stat, true), || {
                place(self.copy_aside(node, stat, true)?.0)
            }),
            FileKind::Symlink => {
                let upper = self.writable_upper()?;
                let target = self.lower.read_link(node)?;
                let (new, ()) = upper.unfinished(|work, free| work.symlink(&target, free))?;
                new.work().set_times_at(new.name(), times(stat))?;
                guard.taking(ENTRY_COST, || place(new))
            }
            _ => Err(Errno::NotPermitted),
        }
    }

    /// `Invalid` for a name that the guest's own file system keeps for itself.
    pub(super) fn check_new_name(&self, dir: &Place, name: &[u8]) -> Result<()> {
        match dir.body {
            Body::Own { .. } if is_reserved(name) => Err(Errno::Invalid),
            _ => Ok(()),
        }
    }

    /// The upper's directory that holds a found entry, with the entry itself in it: copied up if it was not there.
    pub(super) fn bring_up(
        &self,
        guard: &Guard<'_>,
        dirs: &[Place],
        name: &[u8],
        entry: &Entry,
    ) -> Result<HostDir> {
        let dir = self.ensure_upper(guard, dirs)?;
        if let Entry::Lower(node, stat) = entry {
            self.copy_up(guard, &dir, name, *node, stat)?;
        }
        Ok(dir)
    }
}

/// What a copy counts for.
pub(super) fn copy_cost(stat: &Stat, with_data: bool) -> u64 {
    ENTRY_COST.saturating_add(if with_data { stat.size } else { 0 })
}

/// Runs a change to a directory that the guest must not notice, and gives the directory its times back.
pub(super) fn unchanged(dir: &HostDir, change: impl FnOnce() -> Result<()>) -> Result<()> {
    let before = dir.stat()?;
    change()?;
    dir.set_times(times(&before))
}

pub(super) fn times(stat: &Stat) -> SetTimes {
    SetTimes {
        atime: SetTime::At(stat.atime),
        mtime: SetTime::At(stat.mtime),
    }
}
