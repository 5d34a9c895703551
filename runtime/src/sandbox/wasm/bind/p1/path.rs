//! Functions on paths.

use super::super::preopen::Start;
use super::Guest;
use super::memory::Memory;
use super::table::{Entry, Object, OpenDirectory, OpenFile, checked_flags, granted};
use super::types::{Abi, Errno, Result, fdflags, oflags, rights, set_times, write_filestat};
use crate::vfs::{Node, OpenOptions};

/// Reads `lookupflags`: whether a symlink at the end is followed.
fn follow(flags: u32) -> Result<bool> {
    match flags {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Errno::Inval.into()),
    }
}

pub(super) fn create_directory(
    memory: &mut Memory<'_>,
    guest: &mut Guest,
    fd: u32,
    path: u32,
    len: u32,
) -> Result {
    let start = guest.table.start(fd, rights::PATH_CREATE_DIRECTORY)?;
    let path = memory.path(path, len)?;
    let (directory, path) = start.place(&path);
    Ok(directory.create_dir(&path)?)
}

#[expect(clippy::too_many_arguments, reason = "the standard's signature")]
pub(super) fn filestat_get(
    memory: &mut Memory<'_>,
    guest: &mut Guest,
    fd: u32,
    flags: u32,
    path: u32,
    len: u32,
    out: u32,
    abi: Abi,
) -> Result {
    let start = guest.table.start(fd, rights::PATH_FILESTAT_GET)?;
    let follow = follow(flags)?;
    let path = memory.path(path, len)?;
    let (directory, path) = start.place(&path);
    let stat = directory.stat_at(&path, follow)?;
    write_filestat(memory, abi, out, &stat)
}

#[expect(clippy::too_many_arguments, reason = "the standard's signature")]
pub(super) fn filestat_set_times(
    memory: &mut Memory<'_>,
    guest: &mut Guest,
    fd: u32,
    flags: u32,
    path: u32,
    len: u32,
    atim: u64,
    mtim: u64,
    fst_flags: u32,
) -> Result {
    let start = guest.table.start(fd, rights::PATH_FILESTAT_SET_TIMES)?;
    let follow = follow(flags)?;
    let times = set_times(atim, mtim, fst_flags)?;
    let path = memory.path(path, len)?;
    let (directory, path) = start.place(&path);
    Ok(directory.set_times_at(&path, follow, times)?)
}

#[expect(clippy::too_many_arguments, reason = "the standard's signature")]
pub(super) fn link(
    memory: &mut Memory<'_>,
    guest: &mut Guest,
    old_fd: u32,
    old_flags: u32,
    old_path: u32,
    old_len: u32,
    new_fd: u32,
    new_path: u32,
    new_len: u32,
) -> Result {
    let old = guest.table.start(old_fd, rights::PATH_LINK_SOURCE)?;
    let new = guest.table.start(new_fd, rights::PATH_LINK_TARGET)?;
    let follow = follow(old_flags)?;
    let (old_path, new_path) = (
        memory.path(old_path, old_len)?,
        memory.path(new_path, new_len)?,
    );
    let ((old, old_path), (new, new_path)) = (old.place(&old_path), new.place(&new_path));
    Ok(old.hard_link(&old_path, follow, new, &new_path)?)
}

#[expect(clippy::too_many_arguments, reason = "the standard's signature")]
pub(super) fn open(
    memory: &mut Memory<'_>,
    guest: &mut Guest,
    fd: u32,
    dirflags: u32,
    path: u32,
    len: u32,
    oflags: u32,
    base: u64,
    _inheriting: u64,
    fd_flags: u32,
    out: u32,
) -> Result {
    let parent = guest.table.get(fd)?;
    let given = parent.inheriting;
    let has = |right: u64| base & right != 0;
    let start = guest.table.start(fd, rights::PATH_OPEN)?;
    let flags = checked_flags(fd_flags)?;
    let oflags = u16::try_from(oflags)
        .ok()
        .filter(|flags| flags & !oflags::ALL == 0)
        .ok_or(Errno::Inval)?;
    // A directory that gave these up does not open files for them.
    if base & (rights::FD_READ | rights::FD_WRITE) & !given != 0 {
        return Err(Errno::Notcapable.into());
    }
    let directory = oflags & oflags::DIRECTORY != 0;
    // What is certainly a directory is not opened for writing; guests ask for all rights that there are.
    let write = has(rights::FD_WRITE) && !directory;
    let options = OpenOptions {
        // Whoever asks for neither wants the handle itself, as O_PATH does.
        read: has(rights::FD_READ) || !write,
        write,
        // Kept here, because the guest can switch it.
        append: false,
        create: oflags & oflags::CREAT != 0,
        exclusive: oflags & oflags::EXCL != 0,
        truncate: oflags & oflags::TRUNC != 0,
        directory,
        follow: follow(dirflags)?,
    };
    if options.create {
        guest.table.get(fd)?.require(rights::PATH_CREATE_FILE)?;
    }
    if options.truncate {
        guest
            .table
            .get(fd)?
            .require(rights::PATH_FILESTAT_SET_SIZE)?;
    }
    let path = memory.path(path, len)?;
    // Before anything is made or cut that could not be handed out.
    if !guest.table.has_room() {
        return Err(Errno::Mfile.into());
    }
    let (from, path) = start.place(&path);
    let object = match from.open(&path, &options)? {
        Node::File(file) => Object::File(OpenFile { file, position: 0 }),
        Node::Directory(directory) => Object::Directory(OpenDirectory {
            start: Start::At(directory),
            preopen: None,
            listing: None,
        }),
    };
    let flags = if matches!(object, Object::File(_)) {
        flags
    } else {
        flags & !fdflags::APPEND
    };
    let inheriting = if matches!(object, Object::File(_)) {
        0
    } else {
        given
    };
    let entry = Entry {
        rights: granted(&object, given),
        inheriting,
        flags,
        object,
    };
    let opened = guest.table.insert(entry)?;
    memory.write_u32(out, opened)
}

#[expect(clippy::too_many_arguments, reason = "the standard's signature")]
pub(super) fn readlink(
    memory: &mut Memory<'_>,
    guest: &mut Guest,
    fd: u32,
    path: u32,
    len: u32,
    buffer: u32,
    buffer_len: u32,
    out: u32,
) -> Result {
    let start = guest.table.start(fd, rights::PATH_READLINK)?;
    let path = memory.path(path, len)?;
    let (directory, path) = start.place(&path);
    let target = directory.read_link(&path)?;
    let space = memory.slice(buffer, buffer_len)?;
    let fits = space.len().min(target.len());
    space[..fits].copy_from_slice(&target[..fits]);
    memory.write_u32(out, u32::try_from(fits).map_err(|_| Errno::Overflow)?)
}

pub(super) fn remove_directory(
    memory: &mut Memory<'_>,
    guest: &mut Guest,
    fd: u32,
    path: u32,
    len: u32,
) -> Result {
    let start = guest.table.start(fd, rights::PATH_REMOVE_DIRECTORY)?;
    let path = memory.path(path, len)?;
    let (directory, path) = start.place(&path);
    Ok(directory.remove_dir(&path)?)
}

#[expect(clippy::too_many_arguments, reason = "the standard's signature")]
pub(super) fn rename(
    memory: &mut Memory<'_>,
    guest: &mut Guest,
    old_fd: u32,
    old_path: u32,
    old_len: u32,
    new_fd: u32,
    new_path: u32,
    new_len: u32,
) -> Result {
    let old = guest.table.start(old_fd, rights::PATH_RENAME_SOURCE)?;
    let new = guest.table.start(new_fd, rights::PATH_RENAME_TARGET)?;
    let (old_path, new_path) = (
        memory.path(old_path, old_len)?,
        memory.path(new_path, new_len)?,
    );
    let ((old, old_path), (new, new_path)) = (old.place(&old_path), new.place(&new_path));
    Ok(old.rename(&old_path, new, &new_path)?)
}

pub(super) fn symlink(
    memory: &mut Memory<'_>,
    guest: &mut Guest,
    target: u32,
    target_len: u32,
    fd: u32,
    path: u32,
    len: u32,
) -> Result {
    let start = guest.table.start(fd, rights::PATH_SYMLINK)?;
    let (target, path) = (memory.path(target, target_len)?, memory.path(path, len)?);
    let (directory, path) = start.place(&path);
    Ok(directory.symlink(&target, &path)?)
}

pub(super) fn unlink_file(
    memory: &mut Memory<'_>,
    guest: &mut Guest,
    fd: u32,
    path: u32,
    len: u32,
) -> Result {
    let start = guest.table.start(fd, rights::PATH_UNLINK_FILE)?;
    let path = memory.path(path, len)?;
    let (directory, path) = start.place(&path);
    Ok(directory.remove_file(&path)?)
}
