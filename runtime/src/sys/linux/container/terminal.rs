//! Terminals.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::check;

/// Unlocks the terminal whose controlling end this is, and opens its other end without resolving a path.
pub(crate) fn terminal_peer(controller: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let unlocked: libc::c_int = 0;
    // SAFETY: TIOCSPTLCK reads one int.
    check(i64::from(unsafe {
        libc::ioctl(
            controller.as_raw_fd(),
            libc::TIOCSPTLCK,
            &raw const unlocked,
        )
    }))?;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: TIOCGPTPEER takes an integer and returns a descriptor.
    let number = check(i64::from(unsafe {
        libc::ioctl(controller.as_raw_fd(), libc::TIOCGPTPEER, flags)
    }))?;
    // SAFETY: it has just been made for us.
    Ok(unsafe { OwnedFd::from_raw_fd(number as i32) })
}

/// Makes a terminal the controlling one of this process's session, which it leads.
pub(crate) fn become_controlling(terminal: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: TIOCSCTTY takes an integer.
    check(i64::from(unsafe {
        libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY, 0)
    }))
    .map(drop)
}

/// Sets a terminal's size, in characters.
pub(crate) fn set_terminal_size(
    terminal: BorrowedFd<'_>,
    rows: u16,
    columns: u16,
) -> io::Result<()> {
    let size = libc::winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: TIOCSWINSZ reads one winsize.
    check(i64::from(unsafe {
        libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size)
    }))
    .map(drop)
}
