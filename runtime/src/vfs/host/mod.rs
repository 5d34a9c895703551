//! The host's file system, mostly one name at a time. All calls to the operating system of this folder are here.
//!
//! Every function that takes a name refuses one that is not a single plain component, and none follows a symlink; those
//! that take a path (`beneath`) have the kernel's promise for each name of it. So
//! whatever a guest, an image or another process puts into a directory, no call here can leave the directory that the
//! handle stands for.

mod attribute;
mod beneath;
mod dir;
mod file;

pub(super) use attribute::{attribute, set_attribute};
pub(super) use beneath::Beneath;
pub(super) use dir::{HostDir, HostEntry};
pub(super) use file::{
    allocate, append, copy_range, file_stat, read_at, set_file_mode, set_file_times, set_len,
    write_at,
};

use rustix::fs::{self, FileType, Timespec, Timestamps};

use super::errno::{Errno, Result};
use super::node::{FileKind, SetTime, SetTimes, Stat, Timestamp};

/// A place between two changes of the host's state, where a test can end the world.
#[cfg(test)]
use super::tests::crash::step;
#[cfg(not(test))]
fn step() -> Result<()> {
    Ok(())
}

fn timestamps(times: SetTimes) -> Result<Timestamps> {
    Ok(Timestamps {
        last_access: timespec(times.atime)?,
        last_modification: timespec(times.mtime)?,
    })
}

fn timespec(time: SetTime) -> Result<Timespec> {
    Ok(match time {
        SetTime::Omit => Timespec {
            tv_sec: 0,
            tv_nsec: fs::UTIME_OMIT,
        },
        SetTime::Now => Timespec {
            tv_sec: 0,
            tv_nsec: fs::UTIME_NOW,
        },
        SetTime::At(Timestamp { sec, nsec }) if nsec < 1_000_000_000 => Timespec {
            tv_sec: sec,
            tv_nsec: nsec.into(),
        },
        SetTime::At(_) => return Err(Errno::Invalid),
    })
}

fn guest_kind(kind: FileType) -> Option<FileKind> {
    Some(match kind {
        FileType::RegularFile => FileKind::File,
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Symlink,
        FileType::CharacterDevice => FileKind::CharDevice,
        FileType::BlockDevice => FileKind::BlockDevice,
        FileType::Fifo => FileKind::Fifo,
        FileType::Socket => FileKind::Socket,
        _ => return None,
    })
}

#[allow(
    clippy::unnecessary_cast,
    clippy::cast_lossless,
    reason = "the fields' types differ between systems and processors"
)]
fn guest_stat(stat: &fs::Stat) -> Stat {
    Stat {
        dev: stat.st_dev as u64,
        ino: stat.st_ino as u64,
        // A kind that this list lacks is as closed as a socket.
        kind: guest_kind(FileType::from_raw_mode(stat.st_mode)).unwrap_or(FileKind::Socket),
        mode: stat.st_mode as u32 & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        nlink: stat.st_nlink as u64,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        atime: Timestamp {
            sec: stat.st_atime as i64,
            nsec: stat.st_atime_nsec as u32,
        },
        mtime: Timestamp {
            sec: stat.st_mtime as i64,
            nsec: stat.st_mtime_nsec as u32,
        },
        ctime: Timestamp {
            sec: stat.st_ctime as i64,
            nsec: stat.st_ctime_nsec as u32,
        },
    }
}
