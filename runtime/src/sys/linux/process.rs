//! Processes, and who this one is.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::process::{Resource, getrlimit, setrlimit};

/// Ends the process now, all of its threads with it: no exit handlers, no destructors, no flushing.
///
/// Whatever is buffered must have been flushed before. A thread that waits for standard input cannot hold it up.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit takes any integer, touches no memory of ours and does not return. Other threads die inside the kernel;
    // none of them runs another instruction that could see a half-torn-down process.
    unsafe { libc::_exit(code) }
}

/// Kills a process. One that is already gone is [`io::ErrorKind::NotFound`].
///
/// # Errors
///
/// What the system says.
pub fn kill(pid: u32) -> io::Result<()> {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    // Zero and negative numbers mean whole groups of processes: never those.
    let pid = pid
        .filter(|pid| pid.as_raw_nonzero().get() > 0)
        .ok_or(io::ErrorKind::NotFound)?;
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).map_err(|error| match error {
        rustix::io::Errno::SRCH => io::ErrorKind::NotFound.into(),
        error => error.into(),
    })
}

/// Lets this process have so many files open, if it may raise its own limit that far; else as many as it may.
///
/// # Errors
///
/// What the system says.
pub fn allow_open_files(count: u32) -> io::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = limit
        .maximum
        .map_or(u64::from(count), |most| most.min(count.into()));
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(wanted);
        setrlimit(Resource::Nofile, limit)?;
    }
    Ok(())
}

/// Does this process have the rights of root?
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Makes a directory that only its owner may enter, with its parents.
///
/// # Errors
///
/// What the system says. A directory that is there is none.
pub fn create_private_dir_all(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

/// Closes every descriptor but the three standard streams: what this process was handed by accident must not lie about behind
/// the second wall. To be called before anything is opened.
pub fn close_inherited_files() {
    // SAFETY: it takes three integers and touches no memory. Nothing of this process owns a descriptor above 2 yet: the caller
    // promises it, and a program's start leaves none open. A kernel without the call (before 5.9) closes nothing.
    unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0u32) };
}
