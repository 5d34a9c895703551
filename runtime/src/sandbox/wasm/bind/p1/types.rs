//! Numbers and records of preview 1, as its witx files lay them out.

use super::memory::Memory;
use crate::vfs::{self, FileKind, SetTime, SetTimes, Stat, Timestamp};

/// Why a host function does not return normally.
#[derive(Debug)]
pub(super) enum Failure {
    /// The guest gets an error number.
    Errno(Errno),
    /// The guest ends: it passed a pointer outside its memory. (witx: "the function shall trap")
    Pointer,
    /// The guest ends for another reason.
    End(wasmtime::Error),
}

/// What host functions return.
pub(super) type Result<T = ()> = std::result::Result<T, Failure>;

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<vfs::Errno> for Failure {
    fn from(errno: vfs::Errno) -> Self {
        Self::Errno(errno.into())
    }
}

/// An error number of preview 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Errno {
    Acces = 2,
    Again = 6,
    Badf = 8,
    Busy = 10,
    Connaborted = 13,
    Connreset = 15,
    Dquot = 19,
    Exist = 20,
    Fbig = 22,
    Intr = 27,
    Inval = 28,
    Io = 29,
    Isdir = 31,
    Loop = 32,
    Mfile = 33,
    Mlink = 34,
    Nametoolong = 37,
    Noent = 44,
    Nomem = 48,
    Nospc = 51,
    Notconn = 53,
    Notdir = 54,
    Notempty = 55,
    Notsock = 57,
    Notsup = 58,
    Overflow = 61,
    Perm = 63,
    Pipe = 64,
    Rofs = 69,
    Spipe = 70,
    Timedout = 73,
    Txtbsy = 74,
    Xdev = 75,
    Notcapable = 76,
}

impl From<vfs::Errno> for Errno {
    fn from(errno: vfs::Errno) -> Self {
        use vfs::Errno as E;
        match errno {
            E::Access => Self::Acces,
            E::Again => Self::Again,
            E::BadFd => Self::Badf,
            E::Busy => Self::Busy,
            E::CrossDevice => Self::Xdev,
            E::Exist => Self::Exist,
            E::FileTooLarge => Self::Fbig,
            E::Interrupted => Self::Intr,
            E::Invalid => Self::Inval,
            E::Io => Self::Io,
            E::IsDir => Self::Isdir,
            E::Loop => Self::Loop,
            E::ManyFiles => Self::Mfile,
            E::ManyLinks => Self::Mlink,
            E::NameTooLong => Self::Nametoolong,
            E::NoEntry => Self::Noent,
            E::NoMemory => Self::Nomem,
            E::NoSpace => Self::Nospc,
            E::NotDir => Self::Notdir,
            E::NotEmpty => Self::Notempty,
            E::NotPermitted => Self::Perm,
            E::NotSupported => Self::Notsup,
            E::Overflow => Self::Overflow,
            E::Pipe => Self::Pipe,
            E::Quota => Self::Dquot,
            E::ReadOnly => Self::Rofs,
            E::Seek => Self::Spipe,
            E::TextBusy => Self::Txtbsy,
        }
    }
}

/// Which of the two ABIs a module was built for. They differ in four functions only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Abi {
    /// `wasi_unstable`.
    Preview0,
    /// `wasi_snapshot_preview1`.
    Preview1,
}

/// `fdflags`.
pub(super) mod fdflags {
    pub(in super::super) const APPEND: u16 = 1 << 0;
    pub(in super::super) const DSYNC: u16 = 1 << 1;
    pub(in super::super) const NONBLOCK: u16 = 1 << 2;
    pub(in super::super) const RSYNC: u16 = 1 << 3;
    pub(in super::super) const SYNC: u16 = 1 << 4;
    pub(in super::super) const ALL: u16 = APPEND | DSYNC | NONBLOCK | RSYNC | SYNC;
}

/// `oflags`.
pub(super) mod oflags {
    pub(in super::super) const CREAT: u16 = 1 << 0;
    pub(in super::super) const DIRECTORY: u16 = 1 << 1;
    pub(in super::super) const EXCL: u16 = 1 << 2;
    pub(in super::super) const TRUNC: u16 = 1 << 3;
    pub(in super::super) const ALL: u16 = CREAT | DIRECTORY | EXCL | TRUNC;
}

/// `rights`.
pub(super) mod rights {
    pub(in super::super) const FD_DATASYNC: u64 = 1 << 0;
    pub(in super::super) const FD_READ: u64 = 1 << 1;
    pub(in super::super) const FD_SEEK: u64 = 1 << 2;
    pub(in super::super) const FD_FDSTAT_SET_FLAGS: u64 = 1 << 3;
    pub(in super::super) const FD_SYNC: u64 = 1 << 4;
    pub(in super::super) const FD_TELL: u64 = 1 << 5;
    pub(in super::super) const FD_WRITE: u64 = 1 << 6;
    pub(in super::super) const FD_ADVISE: u64 = 1 << 7;
    pub(in super::super) const FD_ALLOCATE: u64 = 1 << 8;
    pub(in super::super) const PATH_CREATE_DIRECTORY: u64 = 1 << 9;
    pub(in super::super) const PATH_CREATE_FILE: u64 = 1 << 10;
    pub(in super::super) const PATH_LINK_SOURCE: u64 = 1 << 11;
    pub(in super::super) const PATH_LINK_TARGET: u64 = 1 << 12;
    pub(in super::super) const PATH_OPEN: u64 = 1 << 13;
    pub(in super::super) const FD_READDIR: u64 = 1 << 14;
    pub(in super::super) const PATH_READLINK: u64 = 1 << 15;
    pub(in super::super) const PATH_RENAME_SOURCE: u64 = 1 << 16;
    pub(in super::super) const PATH_RENAME_TARGET: u64 = 1 << 17;
    pub(in super::super) const PATH_FILESTAT_GET: u64 = 1 << 18;
    pub(in super::super) const PATH_FILESTAT_SET_SIZE: u64 = 1 << 19;
    pub(in super::super) const PATH_FILESTAT_SET_TIMES: u64 = 1 << 20;
    pub(in super::super) const FD_FILESTAT_GET: u64 = 1 << 21;
    pub(in super::super) const FD_FILESTAT_SET_SIZE: u64 = 1 << 22;
    pub(in super::super) const FD_FILESTAT_SET_TIMES: u64 = 1 << 23;
    pub(in super::super) const PATH_SYMLINK: u64 = 1 << 24;
    pub(in super::super) const PATH_REMOVE_DIRECTORY: u64 = 1 << 25;
    pub(in super::super) const PATH_UNLINK_FILE: u64 = 1 << 26;
    pub(in super::super) const POLL_FD_READWRITE: u64 = 1 << 27;
    pub(in super::super) const SOCK_SHUTDOWN: u64 = 1 << 28;
    pub(in super::super) const SOCK_ACCEPT: u64 = 1 << 29;

    /// What can be done with a regular file.
    pub(in super::super) const FILE: u64 = FD_DATASYNC
        | FD_READ
        | FD_SEEK
        | FD_FDSTAT_SET_FLAGS
        | FD_SYNC
        | FD_TELL
        | FD_WRITE
        | FD_ADVISE
        | FD_ALLOCATE
        | FD_FILESTAT_GET
        | FD_FILESTAT_SET_SIZE
        | FD_FILESTAT_SET_TIMES
        | POLL_FD_READWRITE;
    /// What can be done with a directory.
    pub(in super::super) const DIRECTORY: u64 = FD_DATASYNC
        | FD_FDSTAT_SET_FLAGS
        | FD_SYNC
        | PATH_CREATE_DIRECTORY
        | PATH_CREATE_FILE
        | PATH_LINK_SOURCE
        | PATH_LINK_TARGET
        | PATH_OPEN
        | FD_READDIR
        | PATH_READLINK
        | PATH_RENAME_SOURCE
        | PATH_RENAME_TARGET
        | PATH_FILESTAT_GET
        | PATH_FILESTAT_SET_SIZE
        | PATH_FILESTAT_SET_TIMES
        | FD_FILESTAT_GET
        | FD_FILESTAT_SET_TIMES
        | PATH_SYMLINK
        | PATH_REMOVE_DIRECTORY
        | PATH_UNLINK_FILE;
    /// What can be done with a standard stream. No seeking: that is how wasi-libc knows a terminal.
    pub(in super::super) const STREAM: u64 =
        FD_FDSTAT_SET_FLAGS | FD_FILESTAT_GET | POLL_FD_READWRITE;
    /// What can be done with an open port.
    pub(in super::super) const LISTENER: u64 = STREAM | SOCK_ACCEPT;
    /// What can be done with a connection.
    pub(in super::super) const CONNECTION: u64 = STREAM | FD_READ | FD_WRITE | SOCK_SHUTDOWN;
}

/// `filetype`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum FileType {
    Unknown = 0,
    BlockDevice = 1,
    CharacterDevice = 2,
    Directory = 3,
    RegularFile = 4,
    SocketStream = 6,
    SymbolicLink = 7,
}

impl From<FileKind> for FileType {
    fn from(kind: FileKind) -> Self {
        match kind {
            FileKind::File => Self::RegularFile,
            FileKind::Directory => Self::Directory,
            FileKind::Symlink => Self::SymbolicLink,
            FileKind::CharDevice => Self::CharacterDevice,
            FileKind::BlockDevice => Self::BlockDevice,
            FileKind::Socket => Self::SocketStream,
            // Preview 1 has no number for it.
            FileKind::Fifo => Self::Unknown,
        }
    }
}

/// Converts a time to nanoseconds since 1970. What is earlier is 1970, what is later than 2554 is 2554.
fn nanoseconds(time: Timestamp) -> u64 {
    match u64::try_from(time.sec) {
        Ok(seconds) => seconds
            .saturating_mul(1_000_000_000)
            .saturating_add(u64::from(time.nsec)),
        Err(_) => 0,
    }
}

/// Converts nanoseconds since 1970 to a time.
fn timestamp(nanoseconds: u64) -> Timestamp {
    // Both fit: the quotient is below 2^35, the remainder below 10^9.
    Timestamp {
        sec: (nanoseconds / 1_000_000_000) as i64,
        nsec: (nanoseconds % 1_000_000_000) as u32,
    }
}

/// Reads `fstflags` and the two times that belong to them.
pub(super) fn set_times(atim: u64, mtim: u64, flags: u32) -> Result<SetTimes> {
    let one = |set: bool, now: bool, value: u64| match (set, now) {
        (true, true) => Err(Errno::Inval),
        (true, false) => Ok(SetTime::At(timestamp(value))),
        (false, true) => Ok(SetTime::Now),
        (false, false) => Ok(SetTime::Omit),
    };
    if flags > 0b1111 {
        return Err(Errno::Inval.into());
    }
    let has = |bit: u32| flags & 1 << bit != 0;
    Ok(SetTimes {
        atime: one(has(0), has(1), atim)?,
        mtime: one(has(2), has(3), mtim)?,
    })
}

/// Writes a `filestat`. Preview 0 counts links in 32 bits, and so has everything behind them elsewhere.
pub(super) fn write_filestat(memory: &mut Memory<'_>, abi: Abi, at: u32, stat: &Stat) -> Result {
    let mut record = [0; 64];
    record[0..8].copy_from_slice(&stat.dev.to_le_bytes());
    record[8..16].copy_from_slice(&stat.ino.to_le_bytes());
    record[16] = FileType::from(stat.kind) as u8;
    let rest = match abi {
        Abi::Preview1 => {
            record[24..32].copy_from_slice(&stat.nlink.to_le_bytes());
            32
        }
        Abi::Preview0 => {
            let nlink = u32::try_from(stat.nlink).unwrap_or(u32::MAX);
            record[20..24].copy_from_slice(&nlink.to_le_bytes());
            24
        }
    };
    let numbers = [
        stat.size,
        nanoseconds(stat.atime),
        nanoseconds(stat.mtime),
        nanoseconds(stat.ctime),
    ];
    for (place, number) in record[rest..].chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    memory.write(at, &record[..rest + 32])
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: Stat = Stat {
        dev: 1,
        ino: 2,
        kind: FileKind::File,
        mode: 0o644,
        uid: 0,
        gid: 0,
        nlink: 3,
        size: 4,
        atime: Timestamp { sec: 5, nsec: 6 },
        mtime: Timestamp { sec: -7, nsec: 8 },
        ctime: Timestamp {
            sec: i64::MAX,
            nsec: 0,
        },
    };

    fn numbers(bytes: &[u8]) -> Vec<u64> {
        let number = |chunk: &[u8]| u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
        bytes.chunks_exact(8).map(number).collect()
    }

    #[test]
    fn filestat_has_the_layout_of_each_abi() {
        let mut bytes = [0xff; 72];
        write_filestat(&mut Memory::new(&mut bytes), Abi::Preview1, 0, &STAT).expect("fits");
        assert_eq!(
            numbers(&bytes),
            [1, 2, 4, 3, 4, 5_000_000_006, 0, u64::MAX, u64::MAX]
        );
        let mut bytes = [0xff; 72];
        write_filestat(&mut Memory::new(&mut bytes), Abi::Preview0, 0, &STAT).expect("fits");
        assert_eq!(
            numbers(&bytes),
            [
                1,
                2,
                4 | 3 << 32,
                4,
                5_000_000_006,
                0,
                u64::MAX,
                u64::MAX,
                u64::MAX
            ]
        );
        let mut bytes = [0; 63];
        let result = write_filestat(&mut Memory::new(&mut bytes), Abi::Preview1, 0, &STAT);
        assert!(matches!(result, Err(Failure::Pointer)));
    }

    #[test]
    fn times_follow_their_flags() {
        let times = set_times(1_000_000_002, 9, 0b1001).expect("valid");
        assert_eq!(times.atime, SetTime::At(Timestamp { sec: 1, nsec: 2 }));
        assert_eq!(times.mtime, SetTime::Now);
        assert_eq!(set_times(1, 1, 0).expect("valid"), SetTimes::default());
        for wrong in [0b0011, 0b1100, 0b1_0000] {
            assert!(
                matches!(set_times(0, 0, wrong), Err(Failure::Errno(Errno::Inval))),
                "{wrong:b}"
            );
        }
    }
}
