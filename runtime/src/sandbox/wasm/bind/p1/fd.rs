//! Functions on one descriptor that move no data.

use super::Guest;
use super::memory::Memory;
use super::table::{Object, checked_flags, nameless, stream_stat};
use super::types::{
    Abi, Errno, Failure, FileType, Result, fdflags, rights, set_times, write_filestat,
};
use crate::vfs::FileKind;

/// `advice` has six values; all are hints that nothing here needs.
const HIGHEST_ADVICE: u32 = 5;

pub(super) fn advise(
    _: &mut Memory<'_>,
    guest: &mut Guest,
    fd: u32,
    _offset: u64,
    _len: u64,
    advice: u32,
) -> Result {
    let entry = guest.table.get(fd)?;
    entry.file()?;
    entry.require(rights::FD_ADVISE)?;
    if advice > HIGHEST_ADVICE {
        Err(Errno::Inval.into())
    } else {
        Ok(())
    }
}

pub(super) fn allocate(
    _: &mut Memory<'_>,
    guest: &mut Guest,
    fd: u32,
    offset: u64,
    len: u64,
) -> Result {
    let entry = guest.table.get(fd)?;
    writable(entry.file()?.file.writable())?;
    entry.require(rights::FD_ALLOCATE)?;
    if len == 0 {
        return Err(Errno::Inval.into());
    }
    Ok(entry.file()?.file.allocate(offset, len)?)
}

pub(super) fn close(_: &mut Memory<'_>, guest: &mut Guest, fd: u32) -> Result {
    guest.table.remove(fd).map(drop)
}

pub(super) fn datasync(_: &mut Memory<'_>, guest: &mut Guest, fd: u32) -> Result {
    sync_with(guest, fd, rights::FD_DATASYNC)
}

pub(super) fn sync(_: &mut Memory<'_>, guest: &mut Guest, fd: u32) -> Result {
    sync_with(guest, fd, rights::FD_SYNC)
}

fn sync_with(guest: &mut Guest, fd: u32, right: u64) -> Result {
    let entry = guest.table.get(fd)?;
    // Linux: EINVAL for what can't be synchronized.
    if !matches!(entry.object, Object::File(_) | Object::Directory(_)) {
        return Err(Errno::Inval.into());
    }
    entry.require(right)?;
    match &entry.object {
        Object::File(open) if right == rights::FD_DATASYNC => open.file.sync_data()?,
        Object::File(open) => open.file.sync_all()?,
        Object::Directory(open) => open.start.directory().sync()?,
        _ => {}
    }
    Ok(())
}

pub(super) fn fdstat_get(memory: &mut Memory<'_>, guest: &mut Guest, fd: u32, out: u32) -> Result {
    let Guest { table, streams, .. } = guest;
    let entry = table.get(fd)?;
    let kind = match &entry.object {
        Object::Stream(stream) if streams.terminal(*stream) => FileType::CharacterDevice,
        Object::Stream(_) => FileType::Unknown,
        Object::File(_) => FileType::RegularFile,
        Object::Directory(_) => FileType::Directory,
        Object::Listener(_) | Object::Connection(_) => FileType::SocketStream,
    };
    let mut record = [0; 24];
    record[0] = kind as u8;
    record[2..4].copy_from_slice(&entry.flags.to_le_bytes());
    record[8..16].copy_from_slice(&entry.rights.to_le_bytes());
    record[16..24].copy_from_slice(&entry.inheriting.to_le_bytes());
    memory.write(out, &record)
}

pub(super) fn fdstat_set_flags(
    _: &mut Memory<'_>,
    guest: &mut Guest,
    fd: u32,
    flags: u32,
) -> Result {
    let entry = guest.table.get(fd)?;
    let flags = checked_flags(flags)?;
    entry.require(rights::FD_FDSTAT_SET_FLAGS)?;
    // As Linux' F_SETFL: how writes are synchronized is fixed when the file is opened.
    const SYNC: u16 = fdflags::DSYNC | fdflags::RSYNC | fdflags::SYNC;
    entry.flags = flags & !SYNC | entry.flags & SYNC;
    Ok(())
}

pub(super) fn fdstat_set_rights(
    _: &mut Memory<'_>,
    guest: &mut Guest,
    fd: u32,
    base: u64,
    inheriting: u64,
) -> Result {
    let entry = guest.table.get(fd)?;
    if base & !entry.rights != 0 || inheriting & !entry.inheriting != 0 {
        return Err(Errno::Notcapable.into());
    }
    (entry.rights, entry.inheriting) = (base, inheriting);
    Ok(())
}

pub(super) fn filestat_get(
    memory: &mut Memory<'_>,
    guest: &mut Guest,
    fd: u32,
    out: u32,
    abi: Abi,
) -> Result {
    let Guest { table, streams, .. } = guest;
    let entry = table.get(fd)?;
    entry.require(rights::FD_FILESTAT_GET)?;
    let stat = match &entry.object {
        Object::Stream(stream) => stream_stat(streams.terminal(*stream)),
        Object::File(open) => open.file.stat()?,
        Object::Directory(open) => open.start.directory().stat()?,
        Object::Listener(_) | Object::Connection(_) => nameless(FileKind::Socket),
    };
    write_filestat(memory, abi, out, &stat)
}

pub(super) fn filestat_set_size(
    _: &mut Memory<'_>,
    guest: &mut Guest,
    fd: u32,
    size: u64,
) -> Result {
    let entry = guest.table.get(fd)?;
    // POSIX: EINVAL for a file that is not open for writing.
    if !entry.file()?.file.writable() {
        return Err(Errno::Inval.into());
    }
    entry.require(rights::FD_FILESTAT_SET_SIZE)?;
    Ok(entry.file()?.file.set_len(size)?)
}

pub(super) fn filestat_set_times(
    _: &mut Memory<'_>,
    guest: &mut Guest,
    fd: u32,
    atim: u64,
    mtim: u64,
    flags: u32,
) -> Result {
    let times = set_times(atim, mtim, flags)?;
    let entry = guest.table.get(fd)?;
    if !matches!(entry.object, Object::File(_) | Object::Directory(_)) {
        return Err(Errno::Badf.into());
    }
    entry.require(rights::FD_FILESTAT_SET_TIMES)?;
    match &entry.object {
        Object::File(open) => open.file.set_times(times)?,
        Object::Directory(open) => open.start.directory().set_times(times)?,
        _ => {}
    }
    Ok(())
}

pub(super) fn prestat_get(memory: &mut Memory<'_>, guest: &mut Guest, fd: u32, out: u32) -> Result {
    if matches!(guest.table.get(fd)?.object, Object::Listener(_)) {
        // A tag that stands for nothing yet. Those who look for directories pass it over; at an error they would stop.
        return memory.write_u64(out, 1);
    }
    let name = preopen(guest, fd)?;
    let len = u32::try_from(name.len()).map_err(|_| Errno::Overflow)?;
    // The tag: 0 is a directory.
    memory.write_u32(out, 0)?;
    memory.write_u32(out.checked_add(4).ok_or(Failure::Pointer)?, len)
}

pub(super) fn prestat_dir_name(
    memory: &mut Memory<'_>,
    guest: &mut Guest,
    fd: u32,
    path: u32,
    len: u32,
) -> Result {
    let name = preopen(guest, fd)?;
    if usize::try_from(len).is_ok_and(|len| len < name.len()) {
        return Err(Errno::Nametoolong.into());
    }
    memory.write(path, name.as_bytes())
}

/// Guests look for names from descriptor 3 upwards until they get `badf`.
fn preopen(guest: &mut Guest, fd: u32) -> Result<&'static str> {
    match &guest.table.get(fd)?.object {
        Object::Directory(open) => open.preopen.ok_or(Errno::Badf.into()),
        _ => Err(Errno::Badf.into()),
    }
}

pub(super) fn renumber(_: &mut Memory<'_>, guest: &mut Guest, from: u32, to: u32) -> Result {
    guest.table.renumber(from, to)
}

pub(super) fn seek(
    memory: &mut Memory<'_>,
    guest: &mut Guest,
    fd: u32,
    offset: i64,
    whence: u32,
    out: u32,
    abi: Abi,
) -> Result {
    let entry = seekable(guest, fd)?;
    // Asking where one is, is the lesser right.
    entry.require(if offset == 0 && whence == whence_cur(abi) {
        rights::FD_TELL
    } else {
        rights::FD_SEEK
    })?;
    let open = entry.file()?;
    let base = match (abi, whence) {
        (Abi::Preview1, 0) | (Abi::Preview0, 2) => 0,
        (Abi::Preview1, 1) | (Abi::Preview0, 0) => open.position,
        (Abi::Preview1, 2) | (Abi::Preview0, 1) => open.file.stat()?.size,
        _ => return Err(Errno::Inval.into()),
    };
    // A position is a signed 64-bit number on every host.
    let position = base
        .checked_add_signed(offset)
        .filter(|position| i64::try_from(*position).is_ok());
    open.position = position.ok_or(Errno::Inval)?;
    memory.write_u64(out, open.position)
}

fn whence_cur(abi: Abi) -> u32 {
    match abi {
        Abi::Preview0 => 0,
        Abi::Preview1 => 1,
    }
}

pub(super) fn tell(memory: &mut Memory<'_>, guest: &mut Guest, fd: u32, out: u32) -> Result {
    let entry = seekable(guest, fd)?;
    entry.require(rights::FD_TELL)?;
    memory.write_u64(out, entry.file()?.position)
}

fn seekable(guest: &mut Guest, fd: u32) -> Result<&mut super::table::Entry> {
    let entry = guest.table.get(fd)?;
    match entry.object {
        Object::File(_) => Ok(entry),
        Object::Directory(_) => Err(Errno::Badf.into()),
        _ => Err(Errno::Spipe.into()),
    }
}

fn writable(yes: bool) -> Result {
    if yes { Ok(()) } else { Err(Errno::Badf.into()) }
}
