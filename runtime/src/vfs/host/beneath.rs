//! Paths of several names in one call, below a directory and through no link.

use std::fs::File;

use super::HostDir;
use crate::vfs::errno::Result;

/// What the kernel says of a path.
pub(in crate::vfs) enum Beneath<T> {
    Found(T),
    /// The path ends where a name is not there.
    Absent,
    /// A link, no directory where one should be, or nothing that this kernel can do.
    Unsure,
}

#[cfg(target_os = "linux")]
impl HostDir {
    /// Opens a directory.
    pub(in crate::vfs) fn open_dir_beneath(&self, path: &[u8]) -> Result<Beneath<Self>> {
        use rustix::fs::OFlags;
        Ok(
            match self.beneath(path, OFlags::PATH | OFlags::DIRECTORY, 0) {
                Beneath::Found(fd) => Beneath::Found(Self::from(fd)),
                Beneath::Absent => Beneath::Absent,
                Beneath::Unsure => Beneath::Unsure,
            },
        )
    }

    /// Opens a regular file; see [`HostDir::open_file`]. Anything else is `Unsure`.
    pub(in crate::vfs) fn open_file_beneath(
        &self,
        path: &[u8],
        read: bool,
        write: bool,
    ) -> Result<Beneath<File>> {
        Ok(
            match self.beneath(path, super::dir::file_flags(read, write), 0) {
                Beneath::Found(fd) => match super::dir::regular(fd) {
                    Ok(file) => Beneath::Found(file),
                    Err(_) => Beneath::Unsure,
                },
                Beneath::Absent => Beneath::Absent,
                Beneath::Unsure => Beneath::Unsure,
            },
        )
    }

    /// Makes a file that was not there, open for reading and writing.
    pub(in crate::vfs) fn create_file_beneath(
        &self,
        path: &[u8],
        mode: u32,
    ) -> Result<Beneath<File>> {
        use rustix::fs::OFlags;
        super::step()?;
        let flags = super::dir::file_flags(true, true) | OFlags::CREATE | OFlags::EXCL;
        Ok(match self.beneath(path, flags, mode) {
            Beneath::Found(fd) => Beneath::Found(File::from(fd)),
            Beneath::Absent => Beneath::Absent,
            Beneath::Unsure => Beneath::Unsure,
        })
    }

    fn beneath(
        &self,
        path: &[u8],
        flags: rustix::fs::OFlags,
        mode: u32,
    ) -> Beneath<std::os::fd::OwnedFd> {
        use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat2(self, path, flags, Mode::from_raw_mode(mode), resolve) {
            Ok(fd) => Beneath::Found(fd),
            Err(rustix::io::Errno::NOENT) => Beneath::Absent,
            Err(_) => Beneath::Unsure,
        }
    }
}

/// Without such a call every path is walked by name.
#[cfg(not(target_os = "linux"))]
impl HostDir {
    pub(in crate::vfs) fn open_dir_beneath(&self, _path: &[u8]) -> Result<Beneath<Self>> {
        Ok(Beneath::Unsure)
    }

    pub(in crate::vfs) fn open_file_beneath(
        &self,
        _path: &[u8],
        _read: bool,
        _write: bool,
    ) -> Result<Beneath<File>> {
        Ok(Beneath::Unsure)
    }

    pub(in crate::vfs) fn create_file_beneath(
        &self,
        _path: &[u8],
        _mode: u32,
    ) -> Result<Beneath<File>> {
        Ok(Beneath::Unsure)
    }
}
