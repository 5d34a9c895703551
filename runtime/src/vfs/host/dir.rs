//! Host directories.

use std::ffi::CStr;
use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno as Code;

use super::{guest_kind, guest_stat, step, timestamps};
use crate::vfs::errno::{Errno, Result};
use crate::vfs::limits::{MAX_LISTED, MAX_NAME};
use crate::vfs::node::{FileKind, SetTimes, Stat};

const HERE: &CStr = c".";

/// Room for directory entries per `getdents64` call; one entry is at most 280 bytes.
const LIST_BUFFER: usize = 32 * 1024;

/// A handle on a host directory. Cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::vfs) struct HostDir(Arc<OwnedFd>);

/// One name in a host directory.
pub(in crate::vfs) struct HostEntry {
    pub(in crate::vfs) name: Vec<u8>,
    pub(in crate::vfs) ino: u64,
    pub(in crate::vfs) kind: FileKind,
}

impl From<cap_std::fs::Dir> for HostDir {
    fn from(dir: cap_std::fs::Dir) -> Self {
        Self(Arc::new(dir.into_std_file().into()))
    }
}

impl From<OwnedFd> for HostDir {
    fn from(fd: OwnedFd) -> Self {
        Self(Arc::new(fd))
    }
}

impl AsFd for HostDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Lets a name through that is one plain component.
fn single(name: &[u8]) -> Result<&[u8]> {
    match name {
        b"" | b"." | b".." => Err(Errno::Invalid),
        _ if name.len() > MAX_NAME => Err(Errno::NameTooLong),
        _ if name.iter().any(|byte| matches!(byte, b'/' | 0)) => Err(Errno::Invalid),
        _ => Ok(name),
    }
}

/// Looks only: needs no permission to read, and has no side effect.
#[cfg(target_os = "linux")]
const LOOK: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
const LOOK: OFlags = OFlags::RDONLY;

impl HostDir {
    /// Is it the same descriptor? Two of one directory are not.
    pub(in crate::vfs) fn is_same_handle(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Describes the directory itself, with the host's own numbers.
    pub(in crate::vfs) fn stat(&self) -> Result<Stat> {
        Ok(guest_stat(&fs::fstat(self)?))
    }

    /// Describes what has the name; a symlink is described itself.
    pub(in crate::vfs) fn stat_at(&self, name: &[u8]) -> Result<Option<Stat>> {
        match fs::statat(self, single(name)?, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(guest_stat(&stat))),
            Err(Code::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(in crate::vfs) fn exists(&self, name: &[u8]) -> Result<bool> {
        Ok(self.stat_at(name)?.is_some())
    }

    /// Opens a directory; anything else, a symlink to one also, is `NotDir`.
    pub(in crate::vfs) fn open_dir(&self, name: &[u8]) -> Result<Self> {
        let flags = LOOK | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match fs::openat(self, single(name)?, flags, Mode::empty()) {
            Ok(fd) => Ok(Self(Arc::new(fd))),
            Err(Code::LOOP) => Err(Errno::NotDir),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a regular file. Never waits, whatever the name turns out to be. A symlink is `Loop`, a device `NotPermitted`.
    pub(in crate::vfs) fn open_file(&self, name: &[u8], read: bool, write: bool) -> Result<File> {
        let fd = fs::openat(self, single(name)?, file_flags(read, write), Mode::empty()).map_err(
            |error| {
                if error == Code::NXIO {
                    Errno::NotPermitted
                } else {
                    error.into()
                }
            },
        )?;
        regular(fd)
    }

    /// Makes a file that was not there, open for reading and writing.
    pub(in crate::vfs) fn create_file(&self, name: &[u8], mode: u32) -> Result<File> {
        step()?;
        let flags = file_flags(true, true) | OFlags::CREATE | OFlags::EXCL;
        let fd = fs::openat(self, single(name)?, flags, Mode::from_raw_mode(mode as _))?;
        Ok(File::from(fd))
    }

    /// Opens a file, making it if it is not there.
    pub(in crate::vfs) fn open_or_create(&self, name: &[u8], mode: u32) -> Result<File> {
        let flags = file_flags(true, true) | OFlags::CREATE;
        regular(fs::openat(
            self,
            single(name)?,
            flags,
            Mode::from_raw_mode(mode as _),
        )?)
    }

    /// Reads a symlink's target.
    pub(in crate::vfs) fn read_link(&self, name: &[u8]) -> Result<Vec<u8>> {
        Ok(fs::readlinkat(self, single(name)?, Vec::new())?.into_bytes())
    }

    /// Lists the directory, without `.` and `..`, in the host's order.
    pub(in crate::vfs) fn list(&self) -> Result<Vec<HostEntry>> {
        let mut entries = Vec::new();
        self.each_entry(|name, ino, kind| {
            if name == b"." || name == b".." {
                return Ok(());
            }
            if entries.len() >= MAX_LISTED {
                return Err(Errno::Overflow);
            }
            // Some file systems leave the kind out of the listing.
            let kind = match guest_kind(kind) {
                Some(kind) => kind,
                None => match self.stat_at(name)? {
                    Some(stat) => stat.kind,
                    None => return Ok(()),
                },
            };
            entries.push(HostEntry {
                name: name.to_vec(),
                ino,
                kind,
            });
            Ok(())
        })?;
        Ok(entries)
    }

    #[cfg(target_os = "linux")]
    fn each_entry(&self, mut visit: impl FnMut(&[u8], u64, FileType) -> Result<()>) -> Result<()> {
        let fd = self.reopen()?;
        let mut buffer = [MaybeUninit::uninit(); LIST_BUFFER];
        let mut entries = fs::RawDir::new(fd, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            visit(entry.file_name().to_bytes(), entry.ino(), entry.file_type())?;
        }
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    fn each_entry(&self, mut visit: impl FnMut(&[u8], u64, FileType) -> Result<()>) -> Result<()> {
        for entry in fs::Dir::new(self.reopen()?)? {
            let entry = entry?;
            visit(entry.file_name().to_bytes(), entry.ino(), entry.file_type())?;
        }
        Ok(())
    }

    /// The directory once more, open for more than looking, and with a read position of its own.
    fn reopen(&self) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(fs::openat(self, HERE, flags, Mode::empty())?)
    }

    pub(in crate::vfs) fn create_dir(&self, name: &[u8], mode: u32) -> Result<()> {
        step()?;
        Ok(fs::mkdirat(
            self,
            single(name)?,
            Mode::from_raw_mode(mode as _),
        )?)
    }

    pub(in crate::vfs) fn remove_file(&self, name: &[u8]) -> Result<()> {
        step()?;
        Ok(fs::unlinkat(self, single(name)?, AtFlags::empty())?)
    }

    pub(in crate::vfs) fn remove_dir(&self, name: &[u8]) -> Result<()> {
        step()?;
        match fs::unlinkat(self, single(name)?, AtFlags::REMOVEDIR) {
            // Some systems say so of a directory that is not empty.
            Err(Code::EXIST) => Err(Errno::NotEmpty),
            result => Ok(result?),
        }
    }

    /// Moves a name, replacing what is there.
    pub(in crate::vfs) fn rename(&self, from: &[u8], to_dir: &Self, to: &[u8]) -> Result<()> {
        step()?;
        match fs::renameat(self, single(from)?, to_dir, single(to)?) {
            Err(Code::EXIST) => Err(Errno::NotEmpty),
            result => Ok(result?),
        }
    }

    /// Moves a name to where nothing is; otherwise `Exist`.
    pub(in crate::vfs) fn rename_new(&self, from: &[u8], to_dir: &Self, to: &[u8]) -> Result<()> {
        step()?;
        match fs::renameat_with(
            self,
            single(from)?,
            to_dir,
            single(to)?,
            RenameFlags::NOREPLACE,
        ) {
            // The file system lacks the flag. The caller holds the upper's lock, so looking first is enough.
            Err(Code::INVAL | Code::NOSYS | Code::NOTSUP) if !to_dir.exists(to)? => {
                Ok(fs::renameat(self, from, to_dir, to)?)
            }
            result => Ok(result?),
        }
    }

    /// Swaps two names at once. `NotSupported` where the file system can't.
    pub(in crate::vfs) fn exchange(
        &self,
        one: &[u8],
        other_dir: &Self,
        other: &[u8],
    ) -> Result<()> {
        step()?;
        match fs::renameat_with(
            self,
            single(one)?,
            other_dir,
            single(other)?,
            RenameFlags::EXCHANGE,
        ) {
            Err(Code::INVAL | Code::NOSYS) => Err(Errno::NotSupported),
            result => Ok(result?),
        }
    }

    pub(in crate::vfs) fn hard_link(&self, from: &[u8], to_dir: &Self, to: &[u8]) -> Result<()> {
        step()?;
        Ok(fs::linkat(
            self,
            single(from)?,
            to_dir,
            single(to)?,
            AtFlags::empty(),
        )?)
    }

    pub(in crate::vfs) fn symlink(&self, target: &[u8], name: &[u8]) -> Result<()> {
        step()?;
        Ok(fs::symlinkat(target, self, single(name)?)?)
    }

    /// Sets the directory's own times.
    pub(in crate::vfs) fn set_times(&self, times: SetTimes) -> Result<()> {
        step()?;
        Ok(fs::utimensat(
            self,
            HERE,
            &timestamps(times)?,
            AtFlags::empty(),
        )?)
    }

    /// Sets the times of what has the name; a symlink's own.
    pub(in crate::vfs) fn set_times_at(&self, name: &[u8], times: SetTimes) -> Result<()> {
        step()?;
        Ok(fs::utimensat(
            self,
            single(name)?,
            &timestamps(times)?,
            AtFlags::SYMLINK_NOFOLLOW,
        )?)
    }

    /// Gives the directory exactly this mode, whatever the process' umask.
    pub(in crate::vfs) fn set_mode(&self, mode: u32) -> Result<()> {
        if self.stat()?.mode == mode {
            return Ok(());
        }
        step()?;
        Ok(fs::fchmod(self.reopen()?, Mode::from_raw_mode(mode as _))?)
    }

    /// The directory's record; see [`super::attribute`].
    pub(in crate::vfs) fn attribute(&self) -> Result<Vec<u8>> {
        super::attribute(&self.reopen()?.into())
    }

    /// Sets the directory's record.
    pub(in crate::vfs) fn set_attribute(&self, value: &[u8]) -> Result<()> {
        super::set_attribute(&self.reopen()?.into(), value)
    }

    pub(in crate::vfs) fn sync(&self) -> Result<()> {
        Ok(fs::fsync(self.reopen()?)?)
    }
}

pub(super) fn file_flags(read: bool, write: bool) -> OFlags {
    let access = match (read, write) {
        (true, true) => OFlags::RDWR,
        (false, true) => OFlags::WRONLY,
        _ => OFlags::RDONLY,
    };
    // NONBLOCK: opening a pipe must not wait for its other end. It means nothing to a regular file.
    access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC
}

pub(super) fn regular(fd: OwnedFd) -> Result<File> {
    match guest_stat(&fs::fstat(&fd)?).kind {
        FileKind::File => Ok(fd.into()),
        FileKind::Directory => Err(Errno::IsDir),
        FileKind::Symlink => Err(Errno::Loop),
        _ => Err(Errno::NotPermitted),
    }
}
