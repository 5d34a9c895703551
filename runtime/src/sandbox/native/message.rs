//! What a container's first process tells its launcher.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use super::error::Told;
use crate::sys::linux::container::{receive_with_file, send_with_file};

/// Longest message, in bytes. Longer reasons are cut.
const LONGEST: usize = 16 * 1024;

/// One message.
#[derive(Debug)]
pub(super) enum Message {
    /// It could not even become our program: the system's error number.
    NotStarted(i32),
    /// A step has failed, and it ends.
    Failed(Told),
    /// Namespaces and mounts are there; it waits for an answer.
    Asks,
    /// Here is the terminal's controlling end.
    Terminal,
    /// Something was not done as asked.
    Report(String),
    /// All is done but to begin; it waits at the gate.
    Ready,
}

impl Message {
    fn text(&self) -> io::Result<Vec<u8>> {
        let mut text = match self {
            Self::NotStarted(number) => [b"X".as_slice(), &number.to_ne_bytes()].concat(),
            Self::Failed(told) => {
                let mut told = told.clone();
                told.reason.truncate(floor(&told.reason));
                told.doing.truncate(floor(&told.doing));
                [b"E".to_vec(), serde_json::to_vec(&told)?].concat()
            }
            Self::Asks => b"A".to_vec(),
            Self::Terminal => b"T".to_vec(),
            Self::Report(text) => [b"D", text.as_bytes()].concat(),
            Self::Ready => b"R".to_vec(),
        };
        text.truncate(LONGEST);
        Ok(text)
    }

    /// Sends it.
    pub(super) fn send(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        use rustix::net::SendFlags;
        rustix::net::send(socket, &self.text()?, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Sends it with a descriptor.
    pub(super) fn send_with(&self, socket: BorrowedFd<'_>, file: BorrowedFd<'_>) -> io::Result<()> {
        debug_assert!(file.as_raw_fd() >= 0, "a descriptor");
        send_with_file(socket, &self.text()?, file)
    }

    /// Receives one. `None`: nobody has the other end any more, so the program has begun, or the process has ended.
    pub(super) fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<(Self, Option<OwnedFd>)>> {
        let mut text = vec![0; LONGEST];
        let (length, file) = receive_with_file(socket, &mut text)?;
        text.truncate(length);
        let Some((kind, rest)) = text.split_first() else {
            return Ok(None);
        };
        let message = match kind {
            b'X' => {
                let number = rest.try_into().map_err(io::Error::other)?;
                Self::NotStarted(i32::from_ne_bytes(number))
            }
            b'E' => Self::Failed(serde_json::from_slice(rest)?),
            b'A' => Self::Asks,
            b'T' => Self::Terminal,
            b'D' => Self::Report(String::from_utf8_lossy(rest).into_owned()),
            b'R' => Self::Ready,
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        Ok(Some((message, file)))
    }
}

/// Where a text may be cut so that two of them fit a message, escapes included.
fn floor(text: &str) -> usize {
    text.floor_char_boundary(LONGEST / 16)
}
