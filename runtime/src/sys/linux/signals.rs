//! Ending at once on a signal, and leaving a record of it.
//!
//! A handler does it rather than a thread: it costs nothing until a signal comes, and it works whatever the guest is doing.

use std::fs::File;
use std::io::{self, PipeWriter};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};

use super::timers;

/// The signals that end a program which does not handle them, and that a guest cannot.
const SIGNALS: [libc::c_int; 7] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGALRM,
    libc::SIGUSR1,
    libc::SIGUSR2,
];

/// The file that takes the record; -1 until there is one.
static FILE: AtomicI32 = AtomicI32::new(-1);

/// One record for each of [`SIGNALS`], made ahead because a handler may not allocate.
static RECORDS: [AtomicPtr<Vec<u8>>; SIGNALS.len()] =
    [const { AtomicPtr::new(std::ptr::null_mut()) }; SIGNALS.len()];

/// Makes each signal that asks this process to end write `record(signal)` to `file` and end it with code 128 + signal. A
/// signal that the caller had this process ignore, as `nohup` does, stays ignored.
///
/// The file must stay open for as long as the process lives, and the last call counts.
///
/// # Errors
///
/// What the system says.
pub fn end_on_signals(file: &File, record: impl Fn(i32) -> Vec<u8>) -> io::Result<()> {
    for (place, signal) in RECORDS.iter().zip(SIGNALS) {
        // Leaked: the handler may read it at any moment until the process ends.
        place.store(Box::into_raw(Box::new(record(signal))), Ordering::Release);
    }
    FILE.store(file.as_raw_fd(), Ordering::Release);
    for signal in SIGNALS {
        let taken = signal == libc::SIGALRM && timers::has_time_limit();
        if !taken && !is_ignored(signal)? {
            handle(signal, on_signal, Handler::Interrupts)?;
        }
    }
    Ok(())
}

/// The signals by which people and supervisors ask for an end in peace.
const PEACEFUL: [libc::c_int; 2] = [libc::SIGINT, libc::SIGTERM];

/// Where the first of [`PEACEFUL`] is written to; -1 if they end the process as the others do.
static BELL: AtomicI32 = AtomicI32::new(-1);

/// Makes the first SIGTERM or SIGINT write a byte to `bell`, and nothing more. The second does what it did before. A signal
/// that this process ignores stays ignored.
///
/// # Errors
///
/// What the system says.
pub fn ring_on_signals(bell: PipeWriter) -> io::Result<()> {
    // Never closed: the handler may write to it at any moment until the process ends.
    BELL.store(bell.into_raw_fd(), Ordering::Release);
    for signal in PEACEFUL {
        if !is_ignored(signal)? {
            handle(signal, on_signal, Handler::Interrupts)?;
        }
    }
    Ok(())
}

fn is_ignored(signal: libc::c_int) -> io::Result<bool> {
    // SAFETY: an all-zero sigaction is a valid value: no flags, an empty mask, the default action.
    let mut old: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: a null new action only asks; `old` is a valid place for the answer.
    let asked = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut old) };
    if asked != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(old.sa_sigaction == libc::SIG_IGN)
}

/// What a handled signal does to the system call that it comes into.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Handler {
    /// It fails with `EINTR`.
    Interrupts,
    /// It goes on.
    Restarts,
}

/// Has a function called for a signal. The function must do only what a handler may: no lock, no memory.
pub(super) fn handle(
    signal: libc::c_int,
    function: extern "C" fn(libc::c_int),
    handler: Handler,
) -> io::Result<()> {
    // SAFETY: an all-zero sigaction is a valid value: no flags, an empty mask, the default action.
    let mut new: libc::sigaction = unsafe { std::mem::zeroed() };
    new.sa_sigaction = function as usize;
    // A guest may have overflowed the stack that it runs on.
    new.sa_flags = libc::SA_ONSTACK;
    if handler == Handler::Restarts {
        new.sa_flags |= libc::SA_RESTART;
    }
    // SAFETY: `new` holds a handler of the signature that is called without SA_SIGINFO.
    let set = unsafe { libc::sigaction(signal, &raw const new, std::ptr::null_mut()) };
    if set != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Lets a signal through that the caller had this process block.
pub(super) fn unblock(signal: libc::c_int) -> io::Result<()> {
    // SAFETY: an all-zero set is a valid one, emptied and filled by its own functions; a null pointer says that the old mask is
    // not asked for.
    let unblocked = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut())
    };
    if unblocked == 0 {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(unblocked))
    }
}

extern "C" fn on_signal(signal: libc::c_int) {
    if PEACEFUL.contains(&signal) {
        let bell = BELL.swap(-1, Ordering::AcqRel);
        if bell >= 0 {
            // SAFETY: write(2) may be called from a handler; the byte is readable, and the descriptor was leaked open. The
            // pipe is empty, so it does not block. errno is put back: the handler may have come between a call and the look
            // at its errno.
            unsafe {
                let errno = libc::__errno_location();
                let before = *errno;
                libc::write(bell, [1_u8].as_ptr().cast(), 1);
                *errno = before;
            }
            return;
        }
    }
    if let Some(at) = SIGNALS.iter().position(|known| *known == signal) {
        let record = RECORDS[at].load(Ordering::Acquire);
        if !record.is_null() {
            // SAFETY: the pointer came from Box::into_raw, is never freed and never written through. write(2) may be called
            // from a handler; a record that cannot be written leaves nothing else to do.
            unsafe {
                let record = &*record;
                libc::write(
                    FILE.load(Ordering::Acquire),
                    record.as_ptr().cast(),
                    record.len(),
                );
            }
        }
    }
    // SAFETY: _exit may be called from a handler and does not return.
    unsafe { libc::_exit(128 + signal) }
}
