//! Setting modes and owners by path: what no guest can do, and who copies files into a container must.

use super::directory::Handle;
use super::errno::{Errno, Result};
use super::guest_fs::Fs;
use super::node::{Attributes, FileKind};
use super::origin;
use super::place::{Body, Entry};
use super::walk::{Follow, Last};

impl Fs {
    pub(super) fn set_attributes_at(
        &self,
        handle: &Handle,
        path: &[u8],
        attributes: Attributes,
    ) -> Result<()> {
        let guard = self.guard()?;
        let mut found = self.resolve(handle, path, Follow::Never)?;
        if let Entry::Directory(place) = &found.entry {
            self.check_writable(place)?;
            if let (Last::Name(_), Body::Own { .. }) = (&found.last, &place.body) {
                found.dirs.push(place.clone());
            }
            return match &place.body {
                Body::Mounted { dir: Some(dir), .. } => dir.set_mode(attributes.mode),
                Body::Mounted { dir: None, .. } => Err(Errno::ReadOnly),
                Body::Own { .. } => {
                    let guard = guard.as_ref().ok_or(Errno::ReadOnly)?;
                    origin::give_dir(&self.ensure_upper(guard, &found.dirs)?, attributes)
                }
            };
        }
        match found.entry.kind() {
            None => return Err(Errno::NoEntry),
            Some(FileKind::File) => {}
            // Links have neither.
            Some(FileKind::Symlink) => return Ok(()),
            Some(_) => return Err(Errno::NotPermitted),
        }
        // A single file that is mounted is the host's.
        let name = found.name(Errno::Io, Errno::Io)?;
        self.check_writable(found.dir())?;
        match (&found.dir().body, &guard) {
            _ if matches!(found.entry, Entry::MountedFile(_)) => Ok(()),
            (Body::Mounted { dir: Some(dir), .. }, _) => dir.set_mode_at(name, attributes.mode),
            (Body::Own { .. }, Some(guard)) => {
                let dir = self.bring_up(guard, &found.dirs, name, &found.entry)?;
                origin::give_file(&dir.open_file(name, true, false)?, attributes)
            }
            _ => Err(Errno::ReadOnly),
        }
    }
}
