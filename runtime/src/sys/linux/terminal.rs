//! Terminals: making a pair of ends, taking one over, and putting the user's own into raw mode and back.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};

use super::signals::{self, Handler};
use crate::sys::WindowSize;

/// The two ends of a terminal.
#[derive(Debug)]
pub struct Pty {
    /// The end of whoever shows it and types.
    pub outer: File,
    /// The program's end.
    pub inner: File,
}

/// Makes a terminal. Neither end becomes anybody's controlling terminal.
///
/// # Errors
///
/// What the system says, such as that there are too many.
pub fn open_terminal() -> io::Result<Pty> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the path is a C string that lives for ever; open(2) reads nothing else of ours.
    let outer = owned(unsafe { libc::open(c"/dev/ptmx".as_ptr(), flags) })?;
    let unlocked: libc::c_int = 0;
    // SAFETY: TIOCSPTLCK reads one int, which lives until the call returns.
    check(unsafe { libc::ioctl(outer.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked) })?;
    // SAFETY: TIOCGPTPEER takes its flags by value and returns a new descriptor; it touches no memory of ours.
    let inner = owned(unsafe { libc::ioctl(outer.as_raw_fd(), libc::TIOCGPTPEER, flags) })?;
    Ok(Pty {
        outer: outer.into(),
        inner: inner.into(),
    })
}

/// Makes the terminal behind this descriptor the controlling one of this process, which must lead a session without one: its
/// keys for interrupting and ending reach this process from then on.
///
/// # Errors
///
/// What the system says.
pub fn control_terminal(terminal: impl AsFd) -> io::Result<()> {
    // SAFETY: TIOCSCTTY takes an int by value.
    check(unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCSCTTY, 0) })
}

/// Asks how large a terminal is.
///
/// # Errors
///
/// What the system says, such as that it is no terminal.
pub fn window_size(terminal: impl AsFd) -> io::Result<WindowSize> {
    // SAFETY: an all-zero winsize is a valid one.
    let mut size: libc::winsize = unsafe { std::mem::zeroed() };
    // SAFETY: TIOCGWINSZ fills one winsize, which `size` is a valid place for.
    check(unsafe {
        libc::ioctl(
            terminal.as_fd().as_raw_fd(),
            libc::TIOCGWINSZ,
            &raw mut size,
        )
    })?;
    Ok(WindowSize {
        rows: size.ws_row,
        columns: size.ws_col,
    })
}

/// Says how large a terminal is. The program that uses it is told by a signal.
///
/// # Errors
///
/// What the system says.
pub fn set_window_size(terminal: impl AsFd, size: WindowSize) -> io::Result<()> {
    let size = libc::winsize {
        ws_row: size.rows,
        ws_col: size.columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: TIOCSWINSZ reads one winsize, which lives until the call returns.
    check(unsafe {
        libc::ioctl(
            terminal.as_fd().as_raw_fd(),
            libc::TIOCSWINSZ,
            &raw const size,
        )
    })
}

/// How the terminal was before it was made raw, and which it is; null while it is not raw.
static BEFORE: AtomicPtr<(libc::c_int, libc::termios)> = AtomicPtr::new(std::ptr::null_mut());

/// A terminal in raw mode: every key reaches the reader as it is typed, and nothing is made of it. It is as it was before when
/// this value goes, and also when the process is ended by a signal that can be caught.
#[derive(Debug)]
pub struct RawTerminal(());

impl RawTerminal {
    /// Makes this process' standard input raw. `None`: it is no terminal.
    ///
    /// # Errors
    ///
    /// What the system says. One at a time: a second is refused.
    pub fn stdin() -> io::Result<Option<Self>> {
        let fd = libc::STDIN_FILENO;
        // SAFETY: an all-zero termios is a valid value to be filled.
        let mut before: libc::termios = unsafe { std::mem::zeroed() };
        // SAFETY: tcgetattr fills one termios, which `before` is a valid place for.
        if unsafe { libc::tcgetattr(fd, &raw mut before) } != 0 {
            return Ok(None);
        }
        let mut raw = before;
        // SAFETY: cfmakeraw changes the termios that it is given, and nothing else.
        unsafe { libc::cfmakeraw(&raw mut raw) };
        let kept = Box::into_raw(Box::new((fd, before)));
        let taken = BEFORE.compare_exchange(
            std::ptr::null_mut(),
            kept,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        if taken.is_err() {
            // SAFETY: `kept` came from Box::into_raw above, and nobody else has seen it.
            drop(unsafe { Box::from_raw(kept) });
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
            signals::handle(signal, restore_and_end, Handler::Interrupts)?;
        }
        // SAFETY: tcsetattr reads one termios, which lives until the call returns.
        check(unsafe { libc::tcsetattr(fd, libc::TCSADRAIN, &raw const raw) })?;
        Ok(Some(Self(())))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        restore();
    }
}

/// Puts the terminal back. May be called from a handler. What was kept is not freed: a handler may be reading it.
fn restore() {
    let kept = BEFORE.swap(std::ptr::null_mut(), Ordering::AcqRel);
    if !kept.is_null() {
        // SAFETY: the pointer came from Box::into_raw, is never freed and never written through. tcsetattr may be called from a
        // handler.
        unsafe {
            let (fd, before) = &*kept;
            libc::tcsetattr(*fd, libc::TCSADRAIN, before);
        }
    }
}

extern "C" fn restore_and_end(signal: libc::c_int) {
    restore();
    // SAFETY: _exit may be called from a handler and does not return.
    unsafe { libc::_exit(128 + signal) }
}

/// Where [`on_resize`] writes to; -1 until somebody listens.
static RESIZED: AtomicI32 = AtomicI32::new(-1);

/// Returns what can be read from whenever the user's terminal has another size. A byte may stand for several changes.
///
/// # Errors
///
/// What the system says.
pub fn hear_resizes() -> io::Result<OwnedFd> {
    let mut ends = [0; 2];
    // SAFETY: pipe2 fills two ints, which `ends` is a valid place for.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) })?;
    // SAFETY: the call has just made this descriptor, and nobody else owns it. The other one is never closed: the handler may
    // write to it at any moment until the process ends.
    let reader = unsafe { OwnedFd::from_raw_fd(ends[0]) };
    RESIZED.store(ends[1], Ordering::Release);
    signals::handle(libc::SIGWINCH, on_resize, Handler::Restarts)?;
    Ok(reader)
}

extern "C" fn on_resize(_: libc::c_int) {
    let bell = RESIZED.load(Ordering::Acquire);
    // SAFETY: write(2) may be called from a handler; the byte is readable, the descriptor was leaked open and does not block.
    // errno is put back: the handler may have come between a call and the look at its errno.
    unsafe {
        let errno = libc::__errno_location();
        let before = *errno;
        libc::write(bell, [1_u8].as_ptr().cast(), 1);
        *errno = before;
    }
}

/// The process that [`pass_on`] sends to; -1 until there is one.
static RECEIVER: AtomicI32 = AtomicI32::new(-1);

/// Sends the signals that ask this process to end to another one instead, from now on.
///
/// # Errors
///
/// What the system says.
pub fn pass_signals_on(process: BorrowedFd<'_>) -> io::Result<()> {
    let kept = process.try_clone_to_owned()?;
    // Leaked: the handler may use it at any moment until the process ends.
    RECEIVER.store(std::os::fd::IntoRawFd::into_raw_fd(kept), Ordering::Release);
    for signal in [
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGQUIT,
        libc::SIGTERM,
        libc::SIGUSR1,
        libc::SIGUSR2,
    ] {
        signals::handle(signal, pass_on, Handler::Restarts)?;
    }
    Ok(())
}

extern "C" fn pass_on(signal: libc::c_int) {
    let receiver = RECEIVER.load(Ordering::Acquire);
    // SAFETY: a bare system call with integers and a null pointer, which a handler may make; the descriptor was leaked open.
    // errno is put back as in `on_resize`.
    unsafe {
        let errno = libc::__errno_location();
        let before = *errno;
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            receiver,
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        );
        *errno = before;
    }
}

fn owned(fd: libc::c_int) -> io::Result<OwnedFd> {
    check(fd)?;
    // SAFETY: the caller has just been given this descriptor by the system, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn what_is_typed_is_read_and_echoed() {
        let Pty { outer, inner } = open_terminal().expect("a terminal");
        let size = WindowSize {
            rows: 31,
            columns: 97,
        };
        set_window_size(&outer, size).expect("set");
        assert_eq!(window_size(&inner).expect("asked"), size);
        (&outer).write_all(b"hello\n").expect("typed");
        let mut line = [0; 6];
        (&inner).read_exact(&mut line).expect("read");
        assert_eq!(&line, b"hello\n");
        let mut echo = [0; 7];
        (&outer).read_exact(&mut echo).expect("shown");
        assert_eq!(&echo, b"hello\r\n");
        assert!(window_size(File::open("/dev/null").expect("a file")).is_err());
    }
}
