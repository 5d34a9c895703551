//! Timers that reach a guest wherever it is, without a thread that waits: the second wall goes up around a process of one.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::time::Duration;

use wasmtime::Engine;

use super::signals::{self, Handler};
use crate::sys::Ending;

/// What [`on_time_over`] does; null until there is a limit.
static TIME_OVER: AtomicPtr<(i32, Ending)> = AtomicPtr::new(std::ptr::null_mut());
/// The engine whose epoch [`on_processor_time`] steps; null until there is one.
static ENGINE: AtomicPtr<Engine> = AtomicPtr::new(std::ptr::null_mut());

/// Ends this process when so much time has passed: writes the record to `file` and the message to standard error. Nothing
/// that a guest does can hold it up, nor what the host does for it. Must be called before the second wall goes up, and once.
///
/// The file must stay open for as long as the process lives. [`end_on_signals`](super::end_on_signals) leaves the signal
/// that is used here alone; a process that sends it from outside gets what it asks for.
///
/// # Errors
///
/// What the system says.
pub fn end_after(time: Duration, file: &File, ending: Ending) -> io::Result<()> {
    // Leaked: the handler may read it at any moment until the process ends.
    let ending = Box::into_raw(Box::new((file.as_raw_fd(), ending)));
    TIME_OVER.store(ending, Ordering::Release);
    signals::handle(libc::SIGALRM, on_time_over, Handler::Interrupts)?;
    signals::unblock(libc::SIGALRM)?;
    start(libc::ITIMER_REAL, time, Duration::ZERO)
}

/// Is the signal of [`end_after`] taken?
pub(super) fn has_time_limit() -> bool {
    !TIME_OVER.load(Ordering::Acquire).is_null()
}

/// Makes the engine's epoch go on by one each time that this process has used so much processor time, so that guests are asked
/// for an account. One that waits is not woken. Must be called before the second wall goes up.
///
/// # Errors
///
/// What the system says.
pub fn step_epochs(engine: &Engine, every: Duration) -> io::Result<()> {
    // Leaked: the handler may read it at any moment until the process ends.
    ENGINE.store(Box::into_raw(Box::new(engine.clone())), Ordering::Release);
    signals::handle(libc::SIGPROF, on_processor_time, Handler::Restarts)?;
    signals::unblock(libc::SIGPROF)?;
    start(libc::ITIMER_PROF, every, every)
}

extern "C" fn on_time_over(_: libc::c_int) {
    let ending = TIME_OVER.load(Ordering::Acquire);
    if ending.is_null() {
        return;
    }
    // SAFETY: the pointer came from Box::into_raw, is never freed and never written through.
    let (file, ending) = unsafe { &*ending };
    for (fd, bytes) in [
        (*file, &ending.record),
        (libc::STDERR_FILENO, &ending.message),
    ] {
        // A pipe that nobody empties must not hold up the end; what does not fit is lost.
        let mut ready = libc::pollfd {
            fd,
            events: libc::POLLOUT,
            revents: 0,
        };
        // SAFETY: poll(2) and write(2) may be called from a handler, get one valid pollfd, and bytes that live for ever.
        // What cannot be written leaves nothing else to do.
        unsafe {
            if libc::poll(&raw mut ready, 1, 0) == 1 {
                libc::write(fd, bytes.as_ptr().cast(), bytes.len());
            }
        }
    }
    // SAFETY: _exit may be called from a handler and does not return.
    unsafe { libc::_exit(ending.code.into()) }
}

extern "C" fn on_processor_time(_: libc::c_int) {
    let engine = ENGINE.load(Ordering::Acquire);
    if !engine.is_null() {
        // SAFETY: the pointer came from Box::into_raw, is never freed and never written through. increment_epoch is one atomic
        // addition, as its documentation says: "signal-safe".
        unsafe { (*engine).increment_epoch() }
    }
}

fn start(timer: libc::c_int, first: Duration, then: Duration) -> io::Result<()> {
    let value = libc::itimerval {
        it_interval: timeval(then),
        it_value: timeval(first),
    };
    // SAFETY: `value` is a valid itimerval; a null pointer says that the old one is not asked for.
    let set = unsafe { libc::setitimer(timer, &raw const value, std::ptr::null_mut()) };
    if set == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Rounds up to a microsecond, since zero would mean never.
fn timeval(time: Duration) -> libc::timeval {
    let micros = time.as_nanos().div_ceil(1000);
    libc::timeval {
        tv_sec: (micros / 1_000_000).try_into().unwrap_or(libc::time_t::MAX),
        // Below a million.
        tv_usec: (micros % 1_000_000) as libc::suseconds_t,
    }
}
