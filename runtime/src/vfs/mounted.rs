//! A directory in a mount: the host's, or one in memory.

use super::errno::{Errno, Result};
use super::file::Data;
use super::host::{self, HostDir, HostEntry};
use super::node::{SetTimes, Stat};
use super::tmpfs::TmpDir;

/// Modes of what a guest makes in a host's directory: it belongs to a host's user, so the process' own umask counts.
pub(super) const HOST_FILE_MODE: u32 = 0o666;
const HOST_DIRECTORY_MODE: u32 = 0o777;

/// Bits of a mode that give nobody the rights of somebody else.
const PLAIN: u32 = 0o1777;

/// Only its owner sets a file's mode: whoever may write to it nevertheless leaves that as it is.
fn may_be_anothers(result: Result<()>) -> Result<()> {
    match result {
        Err(Errno::NotPermitted) => Ok(()),
        result => result,
    }
}

/// A directory in a mount. Each name is one plain component, and no link is followed.
#[derive(Clone, Debug)]
pub(super) enum MountedDir {
    Host(HostDir),
    Memory(TmpDir),
}

/// Hands a call to whichever it is.
macro_rules! each {
    ($self:ident, $dir:ident => $call:expr) => {
        match $self {
            Self::Host($dir) => $call,
            Self::Memory($dir) => $call,
        }
    };
}

impl MountedDir {
    pub(super) fn stat(&self) -> Result<Stat> {
        each!(self, dir => dir.stat())
    }

    pub(super) fn stat_at(&self, name: &[u8]) -> Result<Option<Stat>> {
        each!(self, dir => dir.stat_at(name))
    }

    pub(super) fn open_dir(&self, name: &[u8]) -> Result<Self> {
        Ok(match self {
            Self::Host(dir) => Self::Host(dir.open_dir(name)?),
            Self::Memory(dir) => Self::Memory(dir.open_dir(name)?),
        })
    }

    pub(super) fn open_file(&self, name: &[u8], read: bool, write: bool) -> Result<Data> {
        Ok(match self {
            Self::Host(dir) => Data::Mounted(dir.open_file(name, read, write)?),
            Self::Memory(dir) => Data::Memory(dir.open_file(name)?),
        })
    }

    pub(super) fn create_file(&self, name: &[u8]) -> Result<Data> {
        Ok(match self {
            Self::Host(dir) => Data::Mounted(dir.create_file(name, HOST_FILE_MODE)?),
            Self::Memory(dir) => Data::Memory(dir.create_file(name)?),
        })
    }

    pub(super) fn read_link(&self, name: &[u8]) -> Result<Vec<u8>> {
        each!(self, dir => dir.read_link(name))
    }

    pub(super) fn list(&self) -> Result<Vec<HostEntry>> {
        each!(self, dir => dir.list())
    }

    pub(super) fn create_dir(&self, name: &[u8]) -> Result<()> {
        match self {
            Self::Host(dir) => dir.create_dir(name, HOST_DIRECTORY_MODE),
            Self::Memory(dir) => dir.create_dir(name),
        }
    }

    pub(super) fn symlink(&self, target: &[u8], name: &[u8]) -> Result<()> {
        each!(self, dir => dir.symlink(target, name))
    }

    pub(super) fn remove_file(&self, name: &[u8]) -> Result<()> {
        each!(self, dir => dir.remove_file(name))
    }

    pub(super) fn remove_dir(&self, name: &[u8]) -> Result<()> {
        each!(self, dir => dir.remove_dir(name))
    }

    pub(super) fn rename(&self, from: &[u8], to_dir: &Self, to: &[u8]) -> Result<()> {
        match (self, to_dir) {
            (Self::Host(dir), Self::Host(to_dir)) => dir.rename(from, to_dir, to),
            (Self::Memory(dir), Self::Memory(to_dir)) => dir.rename(from, to_dir, to),
            _ => Err(Errno::CrossDevice),
        }
    }

    pub(super) fn hard_link(&self, from: &[u8], to_dir: &Self, to: &[u8]) -> Result<()> {
        match (self, to_dir) {
            (Self::Host(dir), Self::Host(to_dir)) => dir.hard_link(from, to_dir, to),
            (Self::Memory(dir), Self::Memory(to_dir)) => dir.hard_link(from, to_dir, to),
            _ => Err(Errno::CrossDevice),
        }
    }

    pub(super) fn set_times(&self, times: SetTimes) -> Result<()> {
        each!(self, dir => dir.set_times(times))
    }

    pub(super) fn set_times_at(&self, name: &[u8], times: SetTimes) -> Result<()> {
        each!(self, dir => dir.set_times_at(name, times))
    }

    /// Sets the directory's mode. What is in memory has its own.
    pub(super) fn set_mode(&self, mode: u32) -> Result<()> {
        match self {
            Self::Host(dir) => may_be_anothers(dir.set_mode(mode & PLAIN)),
            Self::Memory(_) => Ok(()),
        }
    }

    /// Sets the mode of a regular file.
    pub(super) fn set_mode_at(&self, name: &[u8], mode: u32) -> Result<()> {
        match self {
            Self::Host(dir) => {
                let file = dir.open_file(name, true, false)?;
                may_be_anothers(host::set_file_mode(&file, mode & PLAIN))
            }
            Self::Memory(_) => Ok(()),
        }
    }

    /// Memory has nothing to be synchronised with.
    pub(super) fn sync(&self) -> Result<()> {
        match self {
            Self::Host(dir) => dir.sync(),
            Self::Memory(_) => Ok(()),
        }
    }
}
