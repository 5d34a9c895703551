//! A container that was started: looked at, signalled, stopped, removed.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use oci_spec::runtime::LinuxResources;
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions};
use serde::{Deserialize, Serialize};

use super::cgroup::{Cgroups, Stats};
use super::error::NativeError;

/// The signals that are passed on to a program in the foreground.
const FORWARDED: [i32; 7] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGWINCH,
];

/// What another process needs to find a container again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pid: i32,
    /// When the process began, in clock ticks since the machine did: its number alone may come to mean another.
    began: u64,
    cgroups: Cgroups,
    /// Does the first process take all others with it when it ends?
    own_pids: bool,
}

impl Record {
    pub(super) fn new(pid: i32, cgroups: Cgroups, own_pids: bool) -> io::Result<Self> {
        Ok(Self {
            pid,
            began: began(pid)?,
            cgroups,
            own_pids,
        })
    }

    /// The first process's number.
    pub fn pid(&self) -> u32 {
        self.pid.unsigned_abs()
    }

    pub(super) fn cgroups(&self) -> &Cgroups {
        &self.cgroups
    }
}

/// How a program has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
}

impl Ended {
    /// Returns the code as shells give it: 128 and the number of a signal.
    pub fn code(self) -> i32 {
        match self {
            Self::Exited(code) => code,
            Self::Signaled(signal) => 128 + signal,
        }
    }
}

/// A container, or a program that was added to one.
#[derive(Debug)]
pub struct Container {
    record: Record,
    pidfd: OwnedFd,
    terminal: Option<OwnedFd>,
    reports: Vec<String>,
}

impl Container {
    pub(super) fn new(record: Record, pidfd: OwnedFd) -> Self {
        Self {
            record,
            pidfd,
            terminal: None,
            reports: Vec::new(),
        }
    }

    /// Finds a container again.
    ///
    /// # Errors
    ///
    /// Its first process has ended.
    pub fn open(record: &Record) -> Result<Self, NativeError> {
        Self::find(record)
            .map_err(NativeError::step("opening the container's process"))?
            .ok_or(NativeError::Ended)
    }

    /// Finds a container again. `None`: its first process has ended.
    fn find(record: &Record) -> io::Result<Option<Self>> {
        let Some(pid) = Pid::from_raw(record.pid) else {
            return Ok(None);
        };
        let pidfd = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // Looked at after the handle was opened: if it is the same process now, then the handle means it.
        match began(record.pid) {
            Ok(time) if time == record.began => Ok(Some(Self::new(record.clone(), pidfd))),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The first process's number, as this process sees it.
    pub fn pid(&self) -> u32 {
        self.record.pid()
    }

    /// A handle of the first process, which is readable when that has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// What another process needs to find it again.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Returns the controlling end of its terminal, once, if it has one and no socket was named for that.
    pub fn take_terminal(&mut self) -> Option<OwnedFd> {
        self.terminal.take()
    }

    pub(super) fn set_terminal(&mut self, terminal: Option<OwnedFd>) {
        self.terminal = terminal;
    }

    /// What was not done as asked, in sentences without a full stop.
    pub fn reports(&self) -> &[String] {
        &self.reports
    }

    pub(super) fn report(&mut self, text: String) {
        self.reports.push(text);
    }

    /// Waits until the first process has ended. Only the process that started it can.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn wait(&self) -> Result<Ended, NativeError> {
        loop {
            let waited =
                rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED);
            match waited {
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    return Err(NativeError::step("waiting for the container")(error.into()));
                }
                Ok(None) => return Err(NativeError::Ended),
                Ok(Some(status)) => {
                    return Ok(match (status.exit_status(), status.terminating_signal()) {
                        (Some(code), _) => Ended::Exited(code),
                        (None, Some(signal)) => Ended::Signaled(signal),
                        (None, None) => return Err(NativeError::Ended),
                    });
                }
            }
        }
    }

    /// Waits as [`Container::wait`] does, and passes on what this process is sent meanwhile: the signals that ask a program for
    /// something. They no longer act on this process then.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn wait_and_forward(&self) -> Result<Ended, NativeError> {
        use rustix::event::{PollFd, PollFlags, poll};
        let step = || NativeError::step("passing on signals");
        let listener = crate::sys::linux::container::listen(&FORWARDED).map_err(step())?;
        loop {
            let mut watched = [
                PollFd::new(&self.pidfd, PollFlags::IN),
                PollFd::new(&listener, PollFlags::IN),
            ];
            match poll(&mut watched, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(step()(error.into())),
            }
            while let Some(signal) =
                crate::sys::linux::container::next_signal(listener.as_fd()).map_err(step())?
            {
                self.kill(signal)?;
            }
            if !watched[0].revents().is_empty() {
                return self.wait();
            }
        }
    }

    /// Sends a signal, any number that the kernel knows, to the first process. One that has ended takes it in silence.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn kill(&self, signal: i32) -> Result<(), NativeError> {
        crate::sys::linux::container::signal(self.pidfd.as_fd(), signal)
            .or_else(|error| match error.raw_os_error() {
                Some(libc::ESRCH) => Ok(()),
                _ => Err(error),
            })
            .map_err(NativeError::step(format!("sending signal {signal}")))
    }

    /// Ends all of the container's processes at once.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn kill_all(&self) -> Result<(), NativeError> {
        // What is frozen does not die.
        if self.record.cgroups.is_frozen() {
            drop(self.record.cgroups.freeze(false));
        }
        self.kill(libc::SIGKILL)?;
        end_the_rest(&self.record)
    }

    /// Sends a signal to each of the container's processes.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn kill_each(&self, signal: i32) -> Result<(), NativeError> {
        if self.record.cgroups.is_empty() {
            return self.kill(signal);
        }
        self.record
            .cgroups
            .signal(signal)
            .map_err(NativeError::step(format!("sending signal {signal}")))
    }

    /// Stops all of the container's processes where they are.
    ///
    /// # Errors
    ///
    /// The container has no cgroup that could, or the system says so.
    pub fn pause(&self) -> Result<(), NativeError> {
        self.record
            .cgroups
            .freeze(true)
            .map_err(NativeError::step("pausing the container"))
    }

    /// Lets them go on.
    ///
    /// # Errors
    ///
    /// As [`Container::pause`].
    pub fn resume(&self) -> Result<(), NativeError> {
        self.record
            .cgroups
            .freeze(false)
            .map_err(NativeError::step("resuming the container"))
    }

    /// Are they stopped?
    pub fn is_paused(&self) -> bool {
        self.record.cgroups.is_frozen()
    }

    /// Returns the numbers of its processes, as this process sees them.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn processes(&self) -> Result<Vec<u32>, NativeError> {
        if self.record.cgroups.is_empty() {
            return Ok(vec![self.pid()]);
        }
        let found = self
            .record
            .cgroups
            .processes()
            .map_err(NativeError::step("listing the container's processes"))?;
        Ok(found.into_iter().map(i32::unsigned_abs).collect())
    }

    /// Changes its limits.
    ///
    /// # Errors
    ///
    /// A limit that cannot be enforced.
    pub fn update(&self, resources: &LinuxResources) -> Result<(), NativeError> {
        self.record.cgroups.update(resources)
    }

    /// Returns what the kernel has counted.
    pub fn stats(&self) -> Stats {
        self.record.cgroups.stats()
    }

    /// Removes what is left of a container that has ended: processes that outlived the first one, and its cgroups.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn delete(self) -> Result<(), NativeError> {
        self.record.delete()
    }

    /// Ends and removes it after a failure, which is returned. A second failure must not hide the first.
    pub(super) fn give_up(self, error: NativeError) -> NativeError {
        drop(self.kill_all());
        drop(self.wait());
        drop(self.delete());
        error
    }
}

impl Record {
    /// Is its first process there?
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn is_running(&self) -> Result<bool, NativeError> {
        let found = Container::find(self)
            .map_err(NativeError::step("looking for the container's process"))?;
        Ok(found.is_some() && !is_zombie(self.pid))
    }

    /// Removes what is left of a container that has ended: processes that outlived the first one, and its cgroups.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn delete(&self) -> Result<(), NativeError> {
        end_the_rest(self)?;
        self.cgroups.remove()
    }
}

/// Ends processes that do not end with the first one.
fn end_the_rest(record: &Record) -> Result<(), NativeError> {
    if record.own_pids || record.cgroups.is_empty() {
        return Ok(());
    }
    record
        .cgroups
        .kill()
        .map_err(NativeError::step("ending the container's processes"))
}

/// The fields of /proc/PID/stat behind the name, which is in parentheses and may hold anything.
fn stat(pid: i32) -> io::Result<String> {
    let text = match fs::read_to_string(format!("/proc/{pid}/stat")) {
        // A process that ends while it is read.
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {
            return Err(io::ErrorKind::NotFound.into());
        }
        result => result?,
    };
    let (_, fields) = text.rsplit_once(") ").ok_or(io::ErrorKind::InvalidData)?;
    Ok(fields.to_owned())
}

/// When a process began: field 22 of proc_pid_stat(5).
fn began(pid: i32) -> io::Result<u64> {
    let fields = stat(pid)?;
    fields
        .split(' ')
        .nth(19)
        .and_then(|field| field.parse().ok())
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Has it ended, and nobody has asked yet how?
fn is_zombie(pid: i32) -> bool {
    stat(pid).is_ok_and(|fields| fields.starts_with(['Z', 'X']))
}
