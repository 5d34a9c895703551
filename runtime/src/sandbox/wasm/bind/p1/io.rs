//! Functions that move data: reading, writing, listing.
//!
//! Data goes straight between the guest's memory and the host's descriptor; nothing is copied on the way.

use std::io::{self, IoSlice};

use super::Guest;
use super::memory::Memory;
use super::table::{Entry, Object, Stream};
use super::types::{Errno, Failure, FileType, Result, fdflags, rights};
use crate::sandbox::wasm::exit::Interrupted;
use crate::sandbox::wasm::stdio::Input;
use crate::vfs;

/// Size of a `dirent` before its name.
const DIRENT: usize = 24;

/// Returns what a read from a descriptor has to wait for.
pub(super) fn waits_for(guest: &mut Guest, fd: u32) -> Option<Input> {
    let Guest { table, streams, .. } = guest;
    let entry = table.get(fd).ok()?;
    let waits =
        matches!(entry.object, Object::Stream(Stream::Stdin)) && !entry.has(fdflags::NONBLOCK);
    waits.then(|| streams.stdin.clone())
}

pub(super) fn read(
    memory: &mut Memory<'_>,
    guest: &mut Guest,
    fd: u32,
    iovs: u32,
    count: u32,
    out: u32,
) -> Result {
    let Guest { table, streams, .. } = guest;
    let entry = table.get(fd)?;
    let read = match &mut entry.object {
        Object::Stream(Stream::Stdin) => {
            entry.require(rights::FD_READ)?;
            if entry.has(fdflags::NONBLOCK) && !streams.stdin.is_ready().map_err(errno)? {
                return Err(Errno::Again.into());
            }
            match memory.buffers(iovs, count)?.first() {
                // One buffer: a second read could block although there is something to give.
                Some(&(buffer, len)) => streams
                    .stdin
                    .read(memory.slice(buffer, len)?)
                    .map_err(errno)?,
                None => 0,
            }
        }
        Object::File(_) => {
            entry.require_open(rights::FD_READ, |file| file.readable())?;
            let open = entry.file()?;
            let read = read_file(memory, &open.file, iovs, count, open.position)?;
            open.position = open.position.saturating_add(read as u64);
            read
        }
        _ => return Err(Errno::Badf.into()),
    };
    memory.write_u32(out, u32::try_from(read).map_err(|_| Errno::Overflow)?)
}

pub(super) fn pread(
    memory: &mut Memory<'_>,
    guest: &mut Guest,
    fd: u32,
    iovs: u32,
    count: u32,
    offset: u64,
    out: u32,
) -> Result {
    let entry = guest.table.get(fd)?;
    positioned(entry)?;
    entry.require_open(rights::FD_READ, |file| file.readable())?;
    let read = read_file(memory, &entry.file()?.file, iovs, count, offset)?;
    memory.write_u32(out, u32::try_from(read).map_err(|_| Errno::Overflow)?)
}

pub(super) fn write(
    memory: &mut Memory<'_>,
    guest: &mut Guest,
    fd: u32,
    iovs: u32,
    count: u32,
    out: u32,
) -> Result {
    let Guest { table, streams, .. } = guest;
    let entry = table.get(fd)?;
    let written = match &mut entry.object {
        Object::Stream(stream @ (Stream::Stdout | Stream::Stderr)) => {
            let output = if *stream == Stream::Stdout {
                &streams.stdout
            } else {
                &streams.stderr
            };
            entry.require(rights::FD_WRITE)?;
            let mut parts = Vec::new();
            for (buffer, len) in memory.buffers(iovs, count)? {
                parts.push(IoSlice::new(memory.read(buffer, len)?));
            }
            if parts.is_empty() {
                0
            } else {
                output.write(&parts).map_err(errno)?
            }
        }
        Object::File(_) => {
            entry.require_open(rights::FD_WRITE, |file| file.writable())?;
            let append = entry.has(fdflags::APPEND);
            let open = entry.file()?;
            let written = write_file(
                memory,
                &open.file,
                iovs,
                count,
                (!append).then_some(open.position),
            )?;
            // As on Unix, an appended write leaves the position at the file's end.
            open.position = if append {
                open.file.stat()?.size
            } else {
                open.position.saturating_add(written as u64)
            };
            entry.flush()?;
            written
        }
        _ => return Err(Errno::Badf.into()),
    };
    memory.write_u32(out, u32::try_from(written).map_err(|_| Errno::Overflow)?)
}

pub(super) fn pwrite(
    memory: &mut Memory<'_>,
    guest: &mut Guest,
    fd: u32,
    iovs: u32,
    count: u32,
    offset: u64,
    out: u32,
) -> Result {
    let entry = guest.table.get(fd)?;
    positioned(entry)?;
    entry.require_open(rights::FD_WRITE, |file| file.writable())?;
    let written = write_file(memory, &entry.file()?.file, iovs, count, Some(offset))?;
    entry.flush()?;
    memory.write_u32(out, u32::try_from(written).map_err(|_| Errno::Overflow)?)
}

fn positioned(entry: &Entry) -> Result {
    match entry.object {
        Object::File(_) => Ok(()),
        Object::Directory(_) => Err(Errno::Badf.into()),
        _ => Err(Errno::Spipe.into()),
    }
}

impl Entry {
    /// Fails with `badf` for what it was not opened for, and with `notcapable` for what was given up.
    fn require_open(&mut self, right: u64, open_for: impl FnOnce(&vfs::File) -> bool) -> Result {
        if !open_for(&self.file()?.file) {
            return Err(Errno::Badf.into());
        }
        self.require(right)
    }

    /// Does what the flags ask for after a write.
    fn flush(&mut self) -> Result {
        if self.has(fdflags::SYNC) {
            self.file()?.file.sync_all()?;
        } else if self.has(fdflags::DSYNC) {
            self.file()?.file.sync_data()?;
        }
        Ok(())
    }
}

fn read_file(
    memory: &mut Memory<'_>,
    file: &vfs::File,
    iovs: u32,
    count: u32,
    mut offset: u64,
) -> Result<usize> {
    let mut total: usize = 0;
    for (buffer, len) in memory.buffers(iovs, count)? {
        let buffer = memory.slice(buffer, len)?;
        let full = buffer.len();
        let read = match file.read_at(buffer, offset) {
            Ok(read) => read,
            Err(_) if total > 0 => break,
            Err(error) => return Err(error.into()),
        };
        total = total.saturating_add(read);
        offset = offset.saturating_add(read as u64);
        if read < full {
            break;
        }
    }
    Ok(total)
}

/// Writes at `offset`, or at the end without one.
fn write_file(
    memory: &mut Memory<'_>,
    file: &vfs::File,
    iovs: u32,
    count: u32,
    mut offset: Option<u64>,
) -> Result<usize> {
    let mut total: usize = 0;
    for (buffer, len) in memory.buffers(iovs, count)? {
        let bytes = memory.read(buffer, len)?;
        let written = match offset {
            Some(offset) => file.write_at(bytes, offset),
            None => file.append(bytes),
        };
        let written = match written {
            Ok(written) => written,
            Err(_) if total > 0 => break,
            Err(error) => return Err(error.into()),
        };
        total = total.saturating_add(written);
        offset = offset.map(|offset| offset.saturating_add(written as u64));
        if written < bytes.len() {
            break;
        }
    }
    Ok(total)
}

pub(super) fn readdir(
    memory: &mut Memory<'_>,
    guest: &mut Guest,
    fd: u32,
    buffer: u32,
    len: u32,
    cookie: u64,
    out: u32,
) -> Result {
    let open = guest.table.directory(fd, rights::FD_READDIR)?;
    let directory = open.start.directory();
    // A new listing begins with cookie 0; later cookies count entries of the one that was begun.
    let listing = match &open.listing {
        Some(listing) if cookie > 0 => listing.clone(),
        _ => directory.read_dir()?.into(),
    };
    open.listing = Some(listing.clone());
    let here = directory.stat()?.ino;
    if cookie == 0 {
        guest.table.forget_other_listings(fd);
    }
    let dots = [
        (here, FileType::Directory, &b"."[..]),
        (here, FileType::Directory, &b".."[..]),
    ];
    let names = listing
        .iter()
        .map(|entry| (entry.ino, FileType::from(entry.kind), &*entry.name));
    let skip = usize::try_from(cookie).unwrap_or(usize::MAX);

    let space = memory.slice(buffer, len)?;
    let mut used = 0;
    for (index, (ino, kind, name)) in dots.into_iter().chain(names).enumerate().skip(skip) {
        let mut record = [0; DIRENT];
        record[0..8].copy_from_slice(&(index as u64).saturating_add(1).to_le_bytes());
        record[8..16].copy_from_slice(&ino.to_le_bytes());
        record[16..20].copy_from_slice(
            &u32::try_from(name.len())
                .map_err(|_| Errno::Overflow)?
                .to_le_bytes(),
        );
        record[20] = kind as u8;
        for part in [&record, name] {
            // The last entry may be cut: a full buffer tells the guest that there is more.
            let rest = space.get_mut(used..).unwrap_or_default();
            let fits = rest.len().min(part.len());
            rest[..fits].copy_from_slice(&part[..fits]);
            used = used.saturating_add(fits);
        }
        if used >= space.len() {
            break;
        }
    }
    memory.write_u32(out, u32::try_from(used).map_err(|_| Errno::Overflow)?)
}

/// Translates an error of a standard stream.
fn errno(error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::Interrupted {
        return Failure::End(Interrupted.into());
    }
    Errno::from(vfs::Errno::from(error)).into()
}
