//! The end that a person sits at.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, poll};

use super::frame::Frame;
use super::keys::DetachKeys;
use crate::sys::{self, RawTerminal};

/// Most that is read at once, in bytes.
const CHUNK: usize = 16 << 10;

/// How an attachment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The person has left; the program goes on.
    Detached,
    /// The other end was closed: the program has ended, or its watcher.
    Closed,
}

/// Joins this process' terminal with a container's: shows what that one shows, and sends what is typed, if `typing`. Puts this
/// process' terminal into raw mode meanwhile, where its standard input is one.
///
/// # Errors
///
/// What the system says of this process' own streams.
pub fn attach(mut stream: UnixStream, keys: &mut DetachKeys, typing: bool) -> io::Result<End> {
    let raw = if typing { RawTerminal::stdin()? } else { None };
    let resizes = sys::hear_resizes()?;
    let stdin = io::stdin();
    let mut typing = typing;
    send_size(&mut stream)?;
    let mut buffer = [0; CHUNK];
    loop {
        let wanted = if typing {
            PollFlags::IN
        } else {
            PollFlags::empty()
        };
        let mut fds = [
            PollFd::new(&stream, PollFlags::IN),
            PollFd::new(&resizes, PollFlags::IN),
            PollFd::new(&stdin, wanted),
        ];
        match poll(&mut fds[..if typing { 3 } else { 2 }], None) {
            Err(rustix::io::Errno::INTR) => continue,
            polled => polled?,
        };
        let [shown, resized, typed] = fds.map(|fd| !fd.revents().is_empty());
        if shown {
            match stream.read(&mut buffer) {
                Ok(0) => return Ok(End::Closed),
                Ok(count) => {
                    let mut out = io::stdout().lock();
                    out.write_all(buffer.get(..count).unwrap_or_default())?;
                    out.flush()?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Ok(End::Closed),
            }
        }
        if resized {
            rustix::io::read(&resizes, &mut buffer[..64])?;
            send_size(&mut stream)?;
        }
        if typed && typing {
            let count = rustix::io::read(stdin.as_fd(), &mut buffer)?;
            let (pass, left) = keys.filter(buffer.get(..count).unwrap_or_default());
            if count == 0 {
                typing = false;
                if !send(&mut stream, &Frame::End)? {
                    return Ok(End::Closed);
                }
            } else if !pass.is_empty() && !send(&mut stream, &Frame::Input(pass))? {
                return Ok(End::Closed);
            }
            if left {
                drop(raw);
                return Ok(End::Detached);
            }
        }
    }
}

/// Sends this process' standard input to its end, and says that it has ended.
///
/// # Errors
///
/// What the system says of standard input. That nobody takes it any more is none.
pub fn send_input(stream: &mut UnixStream) -> io::Result<()> {
    let stdin = io::stdin();
    let mut buffer = [0; CHUNK];
    loop {
        let count = match rustix::io::read(stdin.as_fd(), &mut buffer) {
            Err(rustix::io::Errno::INTR) => continue,
            read => read?,
        };
        let frame = match count {
            0 => Frame::End,
            count => Frame::Input(buffer.get(..count).unwrap_or_default().to_vec()),
        };
        if !send(stream, &frame)? || count == 0 {
            return Ok(());
        }
    }
}

/// Tells how large this process' terminal is, if it has one.
fn send_size(stream: &mut UnixStream) -> io::Result<()> {
    if let Ok(size) = sys::window_size(io::stdout()) {
        send(stream, &Frame::Size(size))?;
    }
    Ok(())
}

/// Sends a frame; says whether somebody took it.
fn send(stream: &mut UnixStream, frame: &Frame) -> io::Result<bool> {
    match stream.write_all(&frame.encode()) {
        Ok(()) => Ok(true),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
            ) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
