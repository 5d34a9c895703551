//! The file system's errors, in WASI 0.2's words.

use std::io;

use wasmtime_wasi::p2::FsError;
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;

use crate::vfs::Errno;

/// Translates an error number.
pub(super) fn code(errno: Errno) -> ErrorCode {
    match errno {
        Errno::Access => ErrorCode::Access,
        Errno::Again => ErrorCode::WouldBlock,
        Errno::BadFd => ErrorCode::BadDescriptor,
        Errno::Busy => ErrorCode::Busy,
        Errno::CrossDevice => ErrorCode::CrossDevice,
        Errno::Exist => ErrorCode::Exist,
        Errno::FileTooLarge => ErrorCode::FileTooLarge,
        Errno::Interrupted => ErrorCode::Interrupted,
        Errno::Invalid => ErrorCode::Invalid,
        Errno::Io => ErrorCode::Io,
        Errno::IsDir => ErrorCode::IsDirectory,
        Errno::Loop => ErrorCode::Loop,
        // There is no word for a full table of descriptors; this is the nearest that programs expect of an open.
        Errno::ManyFiles | Errno::NoMemory => ErrorCode::InsufficientMemory,
        Errno::ManyLinks => ErrorCode::TooManyLinks,
        Errno::NameTooLong => ErrorCode::NameTooLong,
        Errno::NoEntry => ErrorCode::NoEntry,
        Errno::NoSpace => ErrorCode::InsufficientSpace,
        Errno::NotDir => ErrorCode::NotDirectory,
        Errno::NotEmpty => ErrorCode::NotEmpty,
        Errno::NotPermitted => ErrorCode::NotPermitted,
        Errno::NotSupported => ErrorCode::Unsupported,
        Errno::Overflow => ErrorCode::Overflow,
        Errno::Pipe => ErrorCode::Pipe,
        Errno::Quota => ErrorCode::Quota,
        Errno::ReadOnly => ErrorCode::ReadOnly,
        Errno::Seek => ErrorCode::InvalidSeek,
        Errno::TextBusy => ErrorCode::TextFileBusy,
    }
}

/// Makes an error number what the file system's functions return.
pub(super) fn fail(errno: Errno) -> FsError {
    code(errno).into()
}

/// Finds the error number behind the error of a stream.
pub(super) fn of_stream(error: &wasmtime::Error) -> Option<ErrorCode> {
    if let Some(errno) = error.downcast_ref::<Errno>() {
        return Some(code(*errno));
    }
    let error = error.downcast_ref::<io::Error>()?;
    Some(code(match error.raw_os_error() {
        Some(number) => io::Error::from_raw_os_error(number).into(),
        None => error.kind().into(),
    }))
}
