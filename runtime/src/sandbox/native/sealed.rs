//! This program's executable, so that no container can write to it.
//!
//! A container whose root is the host's root could reach the launcher's own file through /proc/self/exe, and overwrite what the next
//! command of the host's user executes (CVE-2019-5736). So its first process runs from a view of the file that has no way to
//! be written to: an overlay of read-only layers, or, where that cannot be made, a sealed copy in memory.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, SealFlags};

use crate::sys::linux::container::{Attributes, NewFileSystem};

const SELF: &str = "/proc/self/exe";

/// Opens this program's executable for executing, so that no container can write to it.
pub(super) fn executable() -> io::Result<OwnedFd> {
    if rustix::process::geteuid().is_root() {
        return read_only_view().or_else(|_| sealed_copy());
    }
    // A container is never more than this user. What they cannot write to, it cannot either.
    if rustix::fs::access(SELF, rustix::fs::Access::WRITE_OK).is_ok() {
        return sealed_copy();
    }
    Ok(rustix::fs::open(
        SELF,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

fn read_only_view() -> io::Result<OwnedFd> {
    let path = std::fs::read_link(SELF)?;
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::NotFound.into());
    };
    let directory = open_directory(directory)?;
    // An overlay without an upper layer needs two lower ones. The other is an empty file system.
    let empty = NewFileSystem::open(c"tmpfs")?.mount(Attributes::READ_ONLY)?;
    let overlay = NewFileSystem::open(c"overlay")?;
    let number = |file: &OwnedFd| format!("/proc/self/fd/{}", file.as_raw_fd());
    overlay.set(
        "lowerdir",
        &format!("{}:{}", number(&directory), number(&empty)),
    )?;
    let mounted = overlay.mount(
        Attributes::READ_ONLY
            .with(Attributes::NO_SUID)
            .with(Attributes::NO_DEVICES),
    )?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let found = rustix::fs::openat2(&mounted, name, flags, Mode::empty(), resolve)?;
    // The name may mean another file by now: after an update, say.
    let (ours, there) = (std::fs::metadata(SELF)?, rustix::fs::fstat(&found)?);
    if (ours.size() as i64, ours.mtime(), ours.mtime_nsec())
        != (there.st_size, there.st_mtime, there.st_mtime_nsec as i64)
    {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(found)
}

fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

fn sealed_copy() -> io::Result<OwnedFd> {
    use rustix::fs::MemfdFlags;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memory = File::from(rustix::fs::memfd_create("coracle", flags)?);
    io::copy(&mut File::open(SELF)?, &mut &memory)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&memory, seals)?;
    // A descriptor that can be written to cannot be executed.
    let path = format!("/proc/self/fd/{}", memory.as_fd().as_raw_fd());
    Ok(rustix::fs::open(
        path,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}
