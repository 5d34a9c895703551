//! Processes, and who this one is.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags};

use super::super::signal::Signal;

use rustix::process::{Resource, getrlimit, setrlimit};

/// Ends the process now, all of its threads with it: no exit handlers, no destructors, no flushing.
///
/// Whatever is buffered must have been flushed before. A thread that waits for standard input cannot hold it up.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit takes any integer, touches no memory of ours and does not return. Other threads die inside the kernel;
    // none of them runs another instruction that could see a half-torn-down process.
    unsafe { libc::_exit(code) }
}

/// A process of this machine, held open: however long it is kept, it never means another process that got the same number.
#[derive(Debug)]
pub struct Process(OwnedFd);

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Process {
    /// Opens the process with this number. `None`: there is none.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn open(pid: u32) -> io::Result<Option<Self>> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        // Zero and negative numbers mean whole groups of processes: never those.
        let Some(pid) = pid.filter(|pid| pid.as_raw_nonzero().get() > 0) else {
            return Ok(None);
        };
        match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => Ok(Some(Self(handle))),
            Err(rustix::io::Errno::SRCH) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends it a signal. A process that has ended takes it in silence.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let signal = rustix::process::Signal::from_named_raw(signal.number())
            .ok_or(io::ErrorKind::InvalidInput)?;
        match rustix::process::pidfd_send_signal(&self.0, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until it has ended, or the time is over; says whether it has ended.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn wait(&self, patience: Duration) -> io::Result<bool> {
        let end = Instant::now() + patience;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).map_err(|_| io::ErrorKind::InvalidInput)?;
            let mut watched = [PollFd::new(&self.0, PollFlags::IN)];
            match rustix::event::poll(&mut watched, Some(&left)) {
                Ok(count) => return Ok(count > 0),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Has somebody stopped the process, as `SIGSTOP` does?
pub fn is_stopped(pid: u32) -> bool {
    // The state follows the program's name, which is in parentheses and may itself hold one. Read at once, as far as it is needed:
    // each call has the kernel write all of it anew.
    let mut buffer = [0; 128];
    let read = File::open(format!("/proc/{pid}/stat")).and_then(|mut file| file.read(&mut buffer));
    let text = buffer.get(..read.unwrap_or(0)).unwrap_or_default();
    let end = text.windows(2).rposition(|pair| pair == b") ");
    end.and_then(|end| text.get(end + 2)) == Some(&b'T')
}

/// Leaves the caller's session: no terminal can end this process any more.
///
/// # Errors
///
/// What the system says, such as that this process leads a group.
pub fn leave_session() -> io::Result<()> {
    rustix::process::setsid().map(drop).map_err(Into::into)
}

/// Has this process killed when the one ends that started it, which must have this number. Says whether that one still lives.
///
/// # Errors
///
/// What the system says.
pub fn end_with_parent(parent: u32) -> io::Result<bool> {
    let kill = rustix::process::Signal::KILL;
    rustix::process::set_parent_process_death_signal(Some(kill))?;
    // It may have ended before: then somebody else is the parent.
    let now = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
    Ok(now.is_some_and(|now| u32::try_from(now) == Ok(parent)))
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

/// Returns a second handle to this process' standard input, which may be written to as well if that is a terminal.
///
/// # Errors
///
/// What the system says, such as that no more files may be open.
pub fn standard_input() -> io::Result<File> {
    io::stdin().as_fd().try_clone_to_owned().map(File::from)
}

/// Runs this without the right to administer the machine, which root has: a handle that is opened meanwhile tells only what it tells
/// everyone. The right is there again afterwards, and other threads keep it.
///
/// # Errors
///
/// What the kernel says; it is not run then.
pub fn without_administration<T>(work: impl FnOnce() -> T) -> io::Result<T> {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    let all = capabilities(None)?;
    if !all.effective.contains(CapabilitySet::SYS_ADMIN) {
        return Ok(work());
    }
    let mut fewer = all;
    fewer.effective.remove(CapabilitySet::SYS_ADMIN);
    set_capabilities(None, fewer)?;
    let result = work();
    set_capabilities(None, all)?;
    Ok(result)
}

/// Does this process have the rights of root?
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Returns the number of the user whose rights this process has.
pub fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Returns the numbers of that user and group.
pub fn user_and_group() -> (u32, u32) {
    (user(), rustix::process::getegid().as_raw())
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
