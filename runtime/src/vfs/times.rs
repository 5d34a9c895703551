//! Setting times by path.

use super::directory::Handle;
use super::errno::{Errno, Result};
use super::guest_fs::Fs;
use super::host;
use super::mounts::Access;
use super::node::SetTimes;
use super::place::{Body, Entry};
use super::walk::{Follow, Last};

impl Fs {
    pub(super) fn set_times_at(
        &self,
        handle: &Handle,
        path: &[u8],
        follow: Follow,
        times: SetTimes,
    ) -> Result<()> {
        let guard = self.guard()?;
        let mut found = self.resolve(handle, path, follow)?;
        found.check_slash()?;
        match &found.entry {
            Entry::Absent => return Err(Errno::NoEntry),
            Entry::MountedFile(point) => {
                if self.mounts.access(*point) == Access::ReadOnly {
                    return Err(Errno::ReadOnly);
                }
                return host::set_file_times(self.mounted_file(*point)?, times);
            }
            Entry::Directory(place) => {
                self.check_writable(place)?;
                if let (Last::Name(_), Body::Own { .. }) = (&found.last, &place.body) {
                    found.dirs.push(place.clone());
                }
                return match &place.body {
                    Body::Mounted { dir: Some(dir), .. } => dir.set_times(times),
                    Body::Mounted { dir: None, .. } => Err(Errno::ReadOnly),
                    Body::Own { .. } => {
                        let guard = guard.as_ref().ok_or(Errno::ReadOnly)?;
                        self.ensure_upper(guard, &found.dirs)?.set_times(times)
                    }
                };
            }
            _ => {}
        }
        let name = found.name(Errno::Io, Errno::Io)?;
        self.check_writable(found.dir())?;
        match (&found.dir().body, &guard) {
            (Body::Mounted { dir: Some(dir), .. }, _) => dir.set_times_at(name, times),
            (Body::Own { .. }, Some(guard)) => self
                .bring_up(guard, &found.dirs, name, &found.entry)?
                .set_times_at(name, times),
            _ => Err(Errno::ReadOnly),
        }
    }
}
