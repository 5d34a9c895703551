//! Signals as something that can be waited for with other things.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::check;

/// Keeps signals from acting on this thread, and opens a descriptor that they arrive on.
pub(crate) fn listen(signals: &[i32]) -> io::Result<OwnedFd> {
    // SAFETY: the set is made by sigemptyset before anything reads it, and lives through all calls.
    let number = unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, *signal);
        }
        check(i64::from(libc::sigprocmask(
            libc::SIG_BLOCK,
            &raw const set,
            std::ptr::null_mut(),
        )))?;
        check(i64::from(libc::signalfd(
            -1,
            &raw const set,
            libc::SFD_CLOEXEC | libc::SFD_NONBLOCK,
        )))?
    };
    // SAFETY: it has just been made for us.
    Ok(unsafe { OwnedFd::from_raw_fd(number as i32) })
}

/// Returns the next signal that has arrived, if any.
pub(crate) fn next_signal(listener: BorrowedFd<'_>) -> io::Result<Option<i32>> {
    // SAFETY: signalfd_siginfo is plain memory, for which zero is a value.
    let mut info: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
    // SAFETY: at most as many bytes are written as it has.
    let read = unsafe {
        libc::read(
            listener.as_raw_fd(),
            (&raw mut info).cast(),
            size_of::<libc::signalfd_siginfo>(),
        )
    };
    match check(read as i64) {
        Ok(0) => Ok(None),
        Ok(_) => Ok(i32::try_from(info.ssi_signo).ok()),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
