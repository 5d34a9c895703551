//! Host files that are open, and this process' rights to them.

use std::fs::File;
use std::os::unix::fs::FileExt;

use rustix::fs::{self, Mode};
use rustix::io::Errno as Code;

use super::{guest_stat, step, timestamps};
use crate::vfs::errno::{Errno, Result};
use crate::vfs::node::{SetTimes, Stat};

/// Bytes per step where the kernel can't copy for us.
const COPY_BUFFER: usize = 128 * 1024;

pub(in crate::vfs) fn file_stat(file: &File) -> Result<Stat> {
    Ok(guest_stat(&fs::fstat(file)?))
}

pub(in crate::vfs) fn set_file_times(file: &File, times: SetTimes) -> Result<()> {
    step()?;
    Ok(fs::futimens(file, &timestamps(times)?)?)
}

/// Gives the file exactly this mode.
pub(in crate::vfs) fn set_file_mode(file: &File, mode: u32) -> Result<()> {
    // Mostly it is right, and looking costs a thirtieth of a change that file systems write to their journal.
    if file_stat(file)?.mode == mode {
        return Ok(());
    }
    step()?;
    Ok(fs::fchmod(file, Mode::from_raw_mode(mode as _))?)
}

pub(in crate::vfs) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> Result<usize> {
    Ok(file.read_at(buffer, offset)?)
}

pub(in crate::vfs) fn write_at(file: &File, bytes: &[u8], offset: u64) -> Result<usize> {
    Ok(file.write_at(bytes, offset)?)
}

/// Writes at the end, wherever that is at this instant.
pub(in crate::vfs) fn append(file: &File, bytes: &[u8]) -> Result<usize> {
    #[cfg(target_os = "linux")]
    {
        let flags = rustix::io::ReadWriteFlags::APPEND;
        match rustix::io::pwritev2(file, &[std::io::IoSlice::new(bytes)], 0, flags) {
            Err(Code::NOSYS | Code::OPNOTSUPP) => {}
            result => return Ok(result?),
        }
    }
    // Two steps: another writer may come between them.
    write_at(file, bytes, file_stat(file)?.size)
}

pub(in crate::vfs) fn set_len(file: &File, len: u64) -> Result<()> {
    Ok(fs::ftruncate(file, len)?)
}

pub(in crate::vfs) fn allocate(file: &File, offset: u64, len: u64) -> Result<()> {
    Ok(fs::fallocate(
        file,
        fs::FallocateFlags::empty(),
        offset,
        len,
    )?)
}

/// Copies `len` bytes that start at `offset` into a new file. Fewer bytes there than that is `Io`.
pub(in crate::vfs) fn copy_range(from: &File, offset: u64, len: u64, to: &File) -> Result<()> {
    step()?;
    let done = copy_in_kernel(from, offset, len, to)?;
    let mut buffer = Vec::new();
    let mut at = done;
    while at < len {
        buffer.resize(COPY_BUFFER, 0);
        let want = usize::try_from(len - at)
            .unwrap_or(COPY_BUFFER)
            .min(COPY_BUFFER);
        let got = read_at(
            from,
            &mut buffer[..want],
            offset.checked_add(at).ok_or(Errno::Io)?,
        )?;
        if got == 0 {
            return Err(Errno::Io);
        }
        to.write_all_at(&buffer[..got], at)?;
        at += got as u64;
    }
    Ok(())
}

/// As much as the kernel copies by itself, which may be nothing. Yields the number of bytes.
#[cfg(target_os = "linux")]
fn copy_in_kernel(from: &File, offset: u64, len: u64, to: &File) -> Result<u64> {
    /// One call copies at most 2 GiB anyway.
    const STEP: u64 = 1 << 30;
    let mut done = 0;
    while done < len {
        let mut source = offset.checked_add(done).ok_or(Errno::Io)?;
        let mut target = done;
        let want = usize::try_from((len - done).min(STEP)).map_err(|_| Errno::Overflow)?;
        match fs::copy_file_range(from, Some(&mut source), to, Some(&mut target), want) {
            Ok(0) => break,
            Ok(copied) => done += copied as u64,
            Err(Code::NOSPC) => return Err(Errno::NoSpace),
            Err(Code::DQUOT) => return Err(Errno::Quota),
            // Between two file systems, or a kernel, filter or file system without it.
            Err(_) => break,
        }
    }
    Ok(done)
}

#[cfg(not(target_os = "linux"))]
fn copy_in_kernel(_from: &File, _offset: u64, _len: u64, _to: &File) -> Result<u64> {
    Ok(0)
}
