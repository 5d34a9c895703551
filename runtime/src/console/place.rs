//! Where a console's socket is.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// The socket's name in a container's folder.
const NAME: &str = "console";

/// Returns a path that is short enough for a socket's address, which holds 108 bytes, and the folder that it goes through.
fn short(dir: &Path) -> io::Result<(File, PathBuf)> {
    let folder = File::open(dir)?;
    let path = format!("/proc/self/fd/{}/{NAME}", folder.as_raw_fd());
    Ok((folder, path.into()))
}

/// Opens the socket. What a process left there that is gone is replaced: the caller is the only one that may serve it.
pub(super) fn listen(dir: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(dir.join(NAME)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let (_folder, path) = short(dir)?;
    UnixListener::bind(path)
}

/// Connects to the console of the container in this folder.
///
/// # Errors
///
/// What the system says; `NotFound` or `ConnectionRefused` if nobody serves it.
pub fn connect(dir: &Path) -> io::Result<UnixStream> {
    let (_folder, path) = short(dir)?;
    UnixStream::connect(path)
}
