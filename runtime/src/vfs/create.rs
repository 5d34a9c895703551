//! Making directories, symlinks and hard links.

use super::copy_up::{DIRECTORY_MODE, Site};
use super::directory::Handle;
use super::errno::{Errno, Result};
use super::guest_fs::Fs;
use super::host::HostDir;
use super::node::FileKind;
use super::place::Entry;
use super::quota::ENTRY_COST;
use super::upper::{Guard, clear_whiteout, set_opaque};
use super::walk::{Follow, Found, check_path};

impl Fs {
    pub(super) fn create_dir(&self, handle: &Handle, path: &[u8]) -> Result<()> {
        if let Some(()) = self.create_dir_directly(handle, path)? {
            return Ok(());
        }
        let guard = self.guard()?;
        let found = self.resolve(handle, path, Follow::Never)?;
        let name = self.free_name(&found)?;
        match (self.site(guard.as_ref(), &found.dirs)?, &guard) {
            (Site::Mounted(dir), _) => dir.create_dir(name),
            (Site::Own { .. }, None) => Err(Errno::ReadOnly),
            (Site::Own { dir, lower }, Some(guard)) => {
                if self.lower_child(lower, name)?.is_none() {
                    guard.taking(ENTRY_COST, || dir.create_dir(name, DIRECTORY_MODE))?;
                    return dir.open_dir(name)?.set_mode(DIRECTORY_MODE);
                }
                // Whatever the lower has there must not shine through, not for an instant.
                let (new, ()) = self
                    .writable_upper()?
                    .unfinished(|work, free| work.create_dir(free, DIRECTORY_MODE))?;
                let inside = new.work().open_dir(new.name())?;
                set_opaque(&inside, guard)?;
                inside.set_mode(DIRECTORY_MODE)?;
                guard.taking(ENTRY_COST, || new.place(guard, &dir, name))?;
                clear_whiteout(&dir, name, guard)
            }
        }
    }

    pub(super) fn symlink(&self, target: &[u8], handle: &Handle, path: &[u8]) -> Result<()> {
        check_path(target)?;
        let guard = self.guard()?;
        let found = self.resolve(handle, path, Follow::Never)?;
        let name = self.free_name(&found)?;
        if found.slash {
            return Err(Errno::NoEntry);
        }
        match (self.site(guard.as_ref(), &found.dirs)?, &guard) {
            (Site::Mounted(dir), _) => dir.symlink(target, name),
            (Site::Own { .. }, None) => Err(Errno::ReadOnly),
            (Site::Own { dir, lower }, Some(guard)) => {
                guard.taking(ENTRY_COST, || dir.symlink(target, name))?;
                self.uncover(guard, &dir, lower, name)
            }
        }
    }

    pub(super) fn hard_link(
        &self,
        from: (&Handle, &[u8]),
        follow: Follow,
        to: (&Handle, &[u8]),
    ) -> Result<()> {
        let guard = self.guard()?;
        let source = self.resolve(from.0, from.1, follow)?;
        if source.entry.kind().is_none() {
            return Err(Errno::NoEntry);
        }
        source.check_slash()?;
        let target = self.resolve(to.0, to.1, Follow::Never)?;
        let new = self.free_name(&target)?;
        if target.slash {
            return Err(Errno::NoEntry);
        }
        let source_mount = match &source.entry {
            Entry::MountedFile(point) => Some(*point),
            Entry::Directory(place) => place.mount(),
            _ => source.dir().mount(),
        };
        if source_mount != target.dir().mount() {
            return Err(Errno::CrossDevice);
        }
        if source.entry.kind() == Some(FileKind::Directory) {
            return Err(Errno::NotPermitted);
        }
        let name = source.name(Errno::NotPermitted, Errno::NotPermitted)?;
        match (self.site(guard.as_ref(), &target.dirs)?, &guard) {
            (Site::Mounted(to), _) => match self.site(None, &source.dirs)? {
                Site::Mounted(from) => from.hard_link(name, &to, new),
                Site::Own { .. } => Err(Errno::CrossDevice),
            },
            (Site::Own { .. }, None) => Err(Errno::ReadOnly),
            (Site::Own { dir, lower }, Some(guard)) => {
                let from = self.bring_up(guard, &source.dirs, name, &source.entry)?;
                guard.taking(ENTRY_COST, || from.hard_link(name, &dir, new))?;
                self.uncover(guard, &dir, lower, new)
            }
        }
    }

    /// The name of a new entry: free, in a directory that may change, and none of our own.
    fn free_name<'a>(&self, found: &'a Found) -> Result<&'a [u8]> {
        let name = found.name(Errno::Exist, Errno::Exist)?;
        if !matches!(found.entry, Entry::Absent) {
            return Err(Errno::Exist);
        }
        self.check_new_name(found.dir(), name)?;
        self.check_writable(found.dir())?;
        Ok(name)
    }

    /// Removes the whiteout that a new entry of the upper may have beside it. (With the entry it has no effect.)
    pub(super) fn uncover(
        &self,
        guard: &Guard<'_>,
        dir: &HostDir,
        lower: Option<super::NodeId>,
        name: &[u8],
    ) -> Result<()> {
        match self.lower_child(lower, name)? {
            Some(_) => clear_whiteout(dir, name, guard),
            None => Ok(()),
        }
    }
}
