//! Error numbers as a guest sees them, and the one table that maps a host's errors to them.

use std::io;

/// What a file operation answers instead of a value.
pub type Result<T> = std::result::Result<T, Errno>;

/// An error number in POSIX' sense. Bindings translate it into their WASI version's own code.
///
/// It carries no text and no host path: nothing of the host leaks to the guest through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Errno {
    /// `EACCES`: the host refused it.
    #[error("permission denied")]
    Access,
    /// `EAGAIN`: would block, or lost a race too often.
    #[error("resource temporarily unavailable")]
    Again,
    /// `EBADF`: the handle was not opened for this.
    #[error("bad file descriptor")]
    BadFd,
    /// `EBUSY`: a mount point is in the way.
    #[error("device or resource busy")]
    Busy,
    /// `EXDEV`: the two names are in different mounts.
    #[error("cross-device link")]
    CrossDevice,
    /// `EEXIST`: the name is taken.
    #[error("file exists")]
    Exist,
    /// `EFBIG`: beyond the largest file size.
    #[error("file too large")]
    FileTooLarge,
    /// `EINTR`: a signal came first.
    #[error("interrupted")]
    Interrupted,
    /// `EINVAL`: the request makes no sense.
    #[error("invalid argument")]
    Invalid,
    /// `EIO`: the host's storage failed, or an image's data is damaged.
    #[error("input/output error")]
    Io,
    /// `EISDIR`: a directory, where a file was asked for.
    #[error("is a directory")]
    IsDir,
    /// `ELOOP`: too many symbolic links, or one where none may be.
    #[error("too many levels of symbolic links")]
    Loop,
    /// `EMFILE`, `ENFILE`: no descriptors left on the host.
    #[error("too many open files")]
    ManyFiles,
    /// `EMLINK`: the host allows no more hard links to this file.
    #[error("too many links")]
    ManyLinks,
    /// `ENAMETOOLONG`: a name above 255 bytes or a path above 4096.
    #[error("file name too long")]
    NameTooLong,
    /// `ENOENT`: no such file or directory.
    #[error("no such file or directory")]
    NoEntry,
    /// `ENOMEM`: the host is out of memory.
    #[error("out of memory")]
    NoMemory,
    /// `ENOSPC`: the host's disk is full.
    #[error("no space left on device")]
    NoSpace,
    /// `ENOTDIR`: not a directory, where one was needed.
    #[error("not a directory")]
    NotDir,
    /// `ENOTEMPTY`: the directory has entries.
    #[error("directory not empty")]
    NotEmpty,
    /// `EPERM`: forbidden by the rules of this file system, whoever asks.
    #[error("operation not permitted")]
    NotPermitted,
    /// `ENOTSUP`: not possible on this host.
    #[error("not supported")]
    NotSupported,
    /// `EOVERFLOW`: a number does not fit.
    #[error("value too large")]
    Overflow,
    /// `EPIPE`: nobody reads the other end.
    #[error("broken pipe")]
    Pipe,
    /// `EDQUOT`: over the quota.
    #[error("disk quota exceeded")]
    Quota,
    /// `EROFS`: a read-only file system or mount.
    #[error("read-only file system")]
    ReadOnly,
    /// `ESPIPE`: not a thing with positions.
    #[error("illegal seek")]
    Seek,
    /// `ETXTBSY`: the file is a program that runs.
    #[error("text file busy")]
    TextBusy,
}

impl From<io::Error> for Errno {
    fn from(error: io::Error) -> Self {
        #[cfg(unix)]
        if let Some(code) = rustix::io::Errno::from_io_error(&error) {
            return code.into();
        }
        error.kind().into()
    }
}

impl From<io::ErrorKind> for Errno {
    fn from(kind: io::ErrorKind) -> Self {
        use io::ErrorKind as K;
        match kind {
            K::NotFound => Self::NoEntry,
            K::PermissionDenied => Self::Access,
            K::AlreadyExists => Self::Exist,
            K::WouldBlock => Self::Again,
            K::NotADirectory => Self::NotDir,
            K::IsADirectory => Self::IsDir,
            K::DirectoryNotEmpty => Self::NotEmpty,
            K::ReadOnlyFilesystem => Self::ReadOnly,
            K::InvalidInput | K::InvalidFilename => Self::Invalid,
            K::StorageFull => Self::NoSpace,
            K::NotSeekable => Self::Seek,
            K::QuotaExceeded => Self::Quota,
            K::FileTooLarge => Self::FileTooLarge,
            K::ResourceBusy => Self::Busy,
            K::ExecutableFileBusy => Self::TextBusy,
            K::CrossesDevices => Self::CrossDevice,
            K::TooManyLinks => Self::ManyLinks,
            K::Interrupted => Self::Interrupted,
            K::Unsupported => Self::NotSupported,
            K::OutOfMemory => Self::NoMemory,
            K::BrokenPipe => Self::Pipe,
            _ => Self::Io,
        }
    }
}

#[cfg(unix)]
impl From<rustix::io::Errno> for Errno {
    fn from(code: rustix::io::Errno) -> Self {
        use rustix::io::Errno as E;
        match code {
            E::ACCESS => Self::Access,
            E::AGAIN => Self::Again,
            E::BADF => Self::BadFd,
            E::BUSY => Self::Busy,
            E::XDEV => Self::CrossDevice,
            E::EXIST => Self::Exist,
            E::FBIG => Self::FileTooLarge,
            E::INTR => Self::Interrupted,
            E::INVAL => Self::Invalid,
            E::ISDIR => Self::IsDir,
            E::LOOP => Self::Loop,
            E::MFILE | E::NFILE => Self::ManyFiles,
            E::MLINK => Self::ManyLinks,
            E::NAMETOOLONG => Self::NameTooLong,
            // ESTALE: what a network file system says of something that was removed.
            E::NOENT | E::STALE => Self::NoEntry,
            E::NOMEM => Self::NoMemory,
            E::NOSPC => Self::NoSpace,
            E::NOTDIR => Self::NotDir,
            E::NOTEMPTY => Self::NotEmpty,
            E::PERM => Self::NotPermitted,
            E::NOTSUP | E::NOSYS => Self::NotSupported,
            E::OVERFLOW => Self::Overflow,
            E::PIPE => Self::Pipe,
            E::DQUOT => Self::Quota,
            E::ROFS => Self::ReadOnly,
            E::SPIPE => Self::Seek,
            E::TXTBSY => Self::TextBusy,
            _ => Self::Io,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_that_has_its_own_number_keeps_it() {
        for (kind, want) in [
            (io::ErrorKind::NotFound, Errno::NoEntry),
            (io::ErrorKind::AlreadyExists, Errno::Exist),
            (io::ErrorKind::DirectoryNotEmpty, Errno::NotEmpty),
            (io::ErrorKind::ReadOnlyFilesystem, Errno::ReadOnly),
            (io::ErrorKind::CrossesDevices, Errno::CrossDevice),
            (io::ErrorKind::Other, Errno::Io),
        ] {
            assert_eq!(Errno::from(io::Error::from(kind)), want, "{kind:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn host_numbers_map_one_to_one() {
        use rustix::io::Errno as E;
        for (code, want) in [
            (E::PERM, Errno::NotPermitted),
            (E::ACCESS, Errno::Access),
            (E::LOOP, Errno::Loop),
            (E::NAMETOOLONG, Errno::NameTooLong),
            (E::DQUOT, Errno::Quota),
            (E::STALE, Errno::NoEntry),
            (E::NXIO, Errno::Io),
        ] {
            assert_eq!(Errno::from(io::Error::from(code)), want, "{code:?}");
        }
    }
}
