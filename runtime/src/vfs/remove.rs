//! Removing names.

use super::copy_up::Site;
use super::directory::Handle;
use super::errno::{Errno, Result};
use super::guest_fs::Fs;
use super::place::{Body, Entry, Place};
use super::quota::ENTRY_COST;
use super::upper::{set_opaque, set_whiteout};
use super::walk::Follow;

impl Fs {
    pub(super) fn remove_file(&self, handle: &Handle, path: &[u8]) -> Result<()> {
        if let Some(()) = self.remove_file_directly(handle, path)? {
            return Ok(());
        }
        let guard = self.guard()?;
        let found = self.resolve(handle, path, Follow::Never)?;
        let name = found.name(Errno::IsDir, Errno::IsDir)?;
        self.check_writable(found.dir())?;
        match &found.entry {
            Entry::Absent => return Err(Errno::NoEntry),
            Entry::Directory(_) => return Err(Errno::IsDir),
            _ if found.slash => return Err(Errno::NotDir),
            Entry::MountedFile(_) => return Err(Errno::Busy),
            _ => {}
        }
        match (self.site(guard.as_ref(), &found.dirs)?, &guard) {
            (Site::Mounted(dir), _) => dir.remove_file(name),
            (Site::Own { .. }, None) => Err(Errno::ReadOnly),
            (Site::Own { dir, lower }, Some(guard)) => {
                // First what hides the lower's: beside an entry it has no effect.
                if self.lower_child(lower, name)?.is_some() {
                    set_whiteout(&dir, name, guard)?;
                }
                match found.entry {
                    Entry::Upper(_) => guard.giving(&dir, name, || dir.remove_file(name)),
                    _ => Ok(()),
                }
            }
        }
    }

    pub(super) fn remove_dir(&self, handle: &Handle, path: &[u8]) -> Result<()> {
        let guard = self.guard()?;
        let found = self.resolve(handle, path, Follow::Never)?;
        let name = found.name(Errno::Invalid, Errno::NotEmpty)?;
        self.check_writable(found.dir())?;
        let place = match &found.entry {
            Entry::Absent => return Err(Errno::NoEntry),
            Entry::Directory(place) => place,
            _ => return Err(Errno::NotDir),
        };
        if found.entry.holds_mount() {
            return Err(Errno::Busy);
        }
        if !self.is_empty(place)? {
            return Err(Errno::NotEmpty);
        }
        match (self.site(guard.as_ref(), &found.dirs)?, &guard) {
            (Site::Mounted(dir), _) => dir.remove_dir(name),
            (Site::Own { .. }, None) => Err(Errno::ReadOnly),
            (Site::Own { dir, lower }, Some(guard)) => {
                let Body::Own {
                    upper,
                    lower: below,
                } = &place.body
                else {
                    return Err(Errno::Busy);
                };
                let hidden = self.lower_child(lower, name)?.is_some();
                if let Some(upper) = upper
                    && below.is_some()
                {
                    // From here on the directory is empty by itself, wherever a handle on it or a kill finds it.
                    set_opaque(upper, guard)?;
                }
                if hidden {
                    set_whiteout(&dir, name, guard)?;
                }
                match upper {
                    None => Ok(()),
                    // Nothing in it but, perhaps, marks.
                    Some(upper) => {
                        if upper.list()?.is_empty() {
                            dir.remove_dir(name)?;
                        } else {
                            self.writable_upper()?.discard_dir(guard, &dir, name)?;
                        }
                        guard.give(ENTRY_COST);
                        Ok(())
                    }
                }
            }
        }
    }

    /// Has the directory no entry that a guest sees?
    pub(super) fn is_empty(&self, place: &Place) -> Result<bool> {
        Ok(self.list(place)?.is_empty())
    }
}
