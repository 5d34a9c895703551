//! A container's life after it was created: start, stop, kill, pause, wait, what it said, and other programs in it.
//!
//! There is no daemon to ask. A container that runs is a process which holds a lock, and any command can find and signal it.

use std::io;
use std::time::{Duration, Instant};

use coracle_runtime::container::{
    Backend, Container, ContainerError, Exit, LastWords, Name, RestartPolicy, State,
};
use coracle_runtime::logs::{Follow, LogReader, Wanted};
use coracle_runtime::policy::Capability;
use coracle_runtime::spec::Output;
use coracle_runtime::sys::{self, Signal};

use super::backend::BackendError;
use super::events::of_container;
use super::run::Show;
use super::{ContainerSummary, Engine, Error, Prepared, network};

/// How long a container may take to end after it was asked to, in seconds: Docker's default.
const STOP_GRACE: i64 = 10;

/// How long a killed process may take to be gone.
const KILL_GRACE: Duration = Duration::from_secs(10);

/// How long a process may take to be halted: one that waits for a disk takes its time.
const HALT: Duration = Duration::from_secs(5);

/// How long the record of a program's end may come after that.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How long to wait before looking again at a process that has not said yet which it is.
const PAUSE: Duration = Duration::from_millis(2);

/// Longest single wait; a longer one is made of several.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// Another program for a container that runs.
#[derive(Clone, Debug, Default)]
pub struct Exec {
    /// The program and its arguments.
    pub args: Vec<String>,
    /// Environment, each `NAME=value`; added to the container's.
    pub env: Vec<String>,
    /// Replaces the container's working directory.
    pub cwd: Option<String>,
    /// Is this process's standard input the program's?
    pub open_stdin: bool,
    /// Was a terminal asked for?
    pub tty: bool,
    /// The user that it runs as, instead of the container's; a WebAssembly program has none.
    pub user: Option<String>,
    /// Does nobody see what it says?
    pub detached: bool,
    /// Is told the first few things that the program is refused.
    pub tell: Option<fn(&Capability)>,
}

impl Engine {
    /// Creates a container that is started later.
    ///
    /// # Errors
    ///
    /// If its name is taken, or what the file system says.
    pub fn create(&self, prepared: &Prepared) -> Result<Container, Error> {
        let volumes = self.make_volumes(&prepared.config, &prepared.lower)?;
        let container = self.containers.create(prepared.config.clone())?;
        if let Some(volumes) = volumes {
            volumes.keep();
        }
        self.tell(&container, "create", &[]);
        Ok(container)
    }

    /// Opens what a container that does not run needs of the host, to start it.
    ///
    /// # Errors
    ///
    /// If it runs; if its image, program or mounts are gone.
    pub fn prepare_start(&self, container: &Container) -> Result<Prepared, Error> {
        let config = container.config.clone();
        let listeners = network::reopen(&config.ports)?;
        self.prepare_again(container, config, listeners)
    }

    /// Runs the guest of a container that exists to its end, in this process. Its output is passed on as this process' own.
    ///
    /// Raises the second wall around this process; calls `ended` as [`Self::run`] does.
    ///
    /// # Errors
    ///
    /// As [`Self::run`]. Also if another process runs it already.
    pub fn start_here(
        &self,
        container: Container,
        prepared: Prepared,
        ended: &mut dyn FnMut(&Exit),
    ) -> Result<Exit, Error> {
        if container.is_watched()? {
            return Err(ContainerError::Running {
                name: container.config.name,
            }
            .into());
        }
        let owned = self.containers.own(container)?;
        let container = owned.container.clone();
        // Behind the wall no file can be opened to tell of it.
        let mut writer = self.event_writer();
        let mut tell = |action, more: &[(&str, String)]| {
            if let Some(writer) = &mut writer {
                // A full disk must not keep it from ending.
                drop(writer.add(&of_container(&container, action, more)));
            }
        };
        tell("start", &[]);
        let mut ended = |exit: &Exit| {
            tell("die", &[("exitCode", exit.code.to_string())]);
            ended(exit);
        };
        self.run_owned(owned, prepared, Show::Here, &mut || {}, &mut ended)
    }

    /// As [`Self::start_here`], for a process that another one watches over: what the guest says goes to the log alone, or to the
    /// terminal that is its standard input. Calls `started` when both walls are up and the guest is about to run.
    ///
    /// # Errors
    ///
    /// As [`Self::start_here`].
    pub fn host(
        &self,
        container: Container,
        prepared: Prepared,
        started: &mut dyn FnMut(),
        ended: &mut dyn FnMut(&Exit),
    ) -> Result<Exit, Error> {
        let show = if container.config.tty {
            Show::Terminal
        } else {
            Show::Nowhere
        };
        let owned = self.containers.own(container)?;
        self.run_owned(owned, prepared, show, started, ended)
    }

    /// Says of a container that its start failed, so that it is seen by who looks for it later.
    ///
    /// # Errors
    ///
    /// If it runs, or what the file system says.
    pub fn start_failed(&self, container: Container, error: &Error) -> Result<(), Error> {
        let mut owned = self.containers.own(container)?;
        let exit = Exit::because(error.kind().exit_code(), &super::with_causes(error));
        Ok(owned.finish(&exit)?)
    }

    /// Asks a container to end, and kills it if it does not within `timeout` seconds (its own if `None`, for ever if
    /// negative). One that does not run is no error.
    ///
    /// # Errors
    ///
    /// What the system says, or if it does not die.
    pub fn stop(
        &self,
        container: &Container,
        signal: Option<Signal>,
        timeout: Option<i64>,
    ) -> Result<(), Error> {
        let config = &container.config;
        let own = config.stop_signal.as_deref();
        let signal = signal
            .or_else(|| own.and_then(|text| text.parse().ok()))
            .unwrap_or(Signal::TERM);
        let timeout = timeout.or(config.stop_timeout).unwrap_or(STOP_GRACE);
        let patience = u64::try_from(timeout).ok().map(Duration::from_secs);
        if !container.is_active()? {
            // Also one that does not run is not started at the next boot.
            if config.restart != RestartPolicy::No {
                container.set_stopped(true)?;
            }
            return Ok(());
        }
        container.set_stopped(true)?;
        let paused = is_paused(&container.state()?);
        if self.signal(container, signal)? {
            self.tell(
                container,
                "kill",
                &[("signal", signal.number().to_string())],
            );
            if paused {
                // It could not take it.
                self.signal(container, Signal::CONT)?;
                self.freeze(container, false)?;
            }
        }
        let gone = self.wait_until_gone(container, patience)? || {
            if !self.signal(container, Signal::KILL)?
                && let Some(watcher) = container.watcher()?
            {
                // It is only just being started.
                watcher.signal(Signal::KILL).map_err(|source| Error::File {
                    doing: "ending the process that watches over",
                    path: container.folder(),
                    source,
                })?;
            }
            self.wait_until_gone(container, Some(KILL_GRACE))?
        };
        if gone {
            self.tell(container, "stop", &[]);
            return Ok(());
        }
        Err(Error::WouldNotDie {
            container: config.name.to_string(),
            seconds: KILL_GRACE.as_secs(),
        })
    }

    /// Sends a signal to a container's process.
    ///
    /// # Errors
    ///
    /// [`Error::NotRunning`], or what the system says.
    pub fn kill(&self, container: &Container, signal: Signal) -> Result<(), Error> {
        // As in Docker: who sends the signal by which it is stopped does not want it started again.
        let own = container.config.stop_signal.as_deref();
        let ends = match own.and_then(|own| own.parse().ok()) {
            Some(own) => signal == own || signal == Signal::KILL,
            None => true,
        };
        let stops = ends && container.is_active()?;
        if stops {
            container.set_stopped(true)?;
        }
        // Between two tries of a restart policy there is nobody to signal: the mark is enough.
        if !self.signal(container, signal)? && !stops {
            return Err(not_running(container));
        }
        self.tell(
            container,
            "kill",
            &[("signal", signal.number().to_string())],
        );
        if signal == Signal::KILL {
            // What is frozen does not die. That it has gone already is what was wanted.
            drop(self.freeze(container, false));
            // Docker's `kill` returns when it is dead.
            self.wait_until_gone(container, Some(KILL_GRACE))?;
        }
        Ok(())
    }

    /// Halts a container's process until it is let go on.
    ///
    /// # Errors
    ///
    /// [`Error::NotRunning`], [`Error::Paused`], or what the system says.
    pub fn pause(&self, container: &Container) -> Result<(), Error> {
        if is_paused(&container.state()?) {
            return Err(Error::Paused {
                container: container.config.name.to_string(),
            });
        }
        self.freeze(container, true)?;
        if !self.signal(container, Signal::STOP)? {
            return Err(not_running(container));
        }
        self.signal_execs(container, Signal::STOP)?;
        // The kernel halts it at its next chance; who comes after this command finds it halted.
        let end = Instant::now() + HALT;
        while matches!(container.state()?, State::Running { pid, .. } if !sys::is_stopped(pid))
            && Instant::now() < end
        {
            std::thread::sleep(PAUSE);
        }
        self.tell(container, "pause", &[]);
        Ok(())
    }

    /// Lets a halted container's process go on.
    ///
    /// # Errors
    ///
    /// [`Error::NotPaused`], or what the system says.
    pub fn unpause(&self, container: &Container) -> Result<(), Error> {
        if !is_paused(&container.state()?) {
            return Err(Error::NotPaused {
                container: container.config.name.to_string(),
            });
        }
        if !self.signal(container, Signal::CONT)? {
            return Err(not_running(container));
        }
        self.freeze(container, false)?;
        self.signal_execs(container, Signal::CONT)?;
        self.tell(container, "unpause", &[]);
        Ok(())
    }

    /// Gives a container another name.
    ///
    /// # Errors
    ///
    /// If none or several match, or the name is taken or no name.
    pub fn rename(&self, text: &str, name: &str) -> Result<(), Error> {
        let mut container = self.containers.find(text)?;
        let name: Name = name.parse()?;
        if container.config.name == name {
            return Err(Error::SameName {
                name: name.to_string(),
            });
        }
        let old = container.config.name.to_string();
        self.containers.rename(&mut container, name)?;
        self.tell(&container, "rename", &[("oldName", old)]);
        Ok(())
    }

    /// Waits until a container has ended, and returns its exit code. One that has never run is waited for as well.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn wait(&self, container: &Container) -> Result<u8, Error> {
        let words = container.last_words()?;
        loop {
            let state = match container.state() {
                // Removed at its end.
                Err(ContainerError::NotFound { .. }) => {
                    return Ok(words.exit()?.map_or(KILLED, |exit| exit.code));
                }
                state => state?,
            };
            match state {
                State::Exited { exit, .. } if !container.is_active()? => {
                    return Ok(exit.map_or(KILLED, |exit| exit.code));
                }
                State::Created => std::thread::sleep(Duration::from_millis(20)),
                _ => {
                    self.wait_until_gone(container, Some(LONGEST_WAIT))?;
                }
            }
        }
    }

    /// Returns the exit code of a container whose program has ended or is about to; `None`: it runs on.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn last_exit(&self, container: &Container, words: &LastWords) -> Result<Option<u8>, Error> {
        let end = Instant::now() + LAST_WORDS;
        loop {
            let active = container.is_active()?;
            if let Some(exit) = words.exit()? {
                return Ok(Some(exit.code));
            }
            if !active {
                return Ok(Some(KILLED));
            }
            if Instant::now() > end {
                return Ok(None);
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Is a container to be started after a boot? One that runs is not.
    pub fn starts_at_boot(summary: &ContainerSummary) -> bool {
        let container = &summary.container;
        let ran = match &summary.state {
            State::Running { .. } | State::Restarting { .. } => return false,
            State::Created => false,
            State::Exited { exit, .. } => exit.as_ref().is_none_or(|exit| exit.code != 0),
        };
        let policy = container.config.restart;
        policy.starts_at_boot(container.is_stopped(), ran)
    }

    /// Writes down that a person has started a container again.
    pub fn tell_restart(&self, container: &Container) {
        self.tell(container, "restart", &[]);
    }

    /// Shows what a container's guest has said; with `follow`, what it says from now on as well, until it ends. Returns whether
    /// some of it was removed before it could be shown, because the guest said more than the log keeps.
    ///
    /// # Errors
    ///
    /// [`Error::NoLog`] if it keeps none; what the file system or `show` says.
    pub fn logs(
        &self,
        container: &Container,
        wanted: &Wanted,
        follow: bool,
        show: &mut dyn FnMut(&coracle_runtime::logs::Entry) -> io::Result<()>,
    ) -> Result<bool, Error> {
        let path = container.log_path();
        if container.config.log.max_size == 0 {
            return Err(Error::NoLog {
                container: container.config.name.to_string(),
            });
        }
        let mut runs = || matches!(container.state(), Ok(State::Running { .. }));
        let mut more: Option<Follow<'_>> = None;
        if follow {
            more = Some(&mut runs);
        }
        LogReader::new(&path)
            .read(wanted, more, show)
            .map_err(|source| Error::File {
                doing: "reading the log",
                path,
                source,
            })
    }

    /// Opens what another program in a running container needs of the host.
    ///
    /// # Errors
    ///
    /// [`Error::NotRunning`], [`Error::Paused`]; if the program is not there or no program.
    pub fn prepare_exec(&self, container: &Container, exec: Exec) -> Result<Prepared, Error> {
        let state = container.state()?;
        if !matches!(state, State::Running { .. }) {
            return Err(not_running(container));
        }
        if is_paused(&state) {
            return Err(Error::Paused {
                container: container.config.name.to_string(),
            });
        }
        if exec.args.is_empty() {
            return Err(Error::NoCommand {
                image: container.config.image.clone(),
            });
        }
        let mut config = container.config.clone();
        config.env = super::spec::merge_env(&config.env, &exec.env);
        config.invoke = None;
        config.args = exec.args;
        config.open_stdin = exec.open_stdin;
        config.tty = exec.tty;
        if let Some(cwd) = exec.cwd {
            config.cwd = cwd;
        }
        if let Some(user) = exec.user {
            match &mut config.backend {
                Backend::Native(native) => native.user = Some(user),
                Backend::Wasm => return Err(BackendError::OnlyLinux { flag: "--user" }.into()),
            }
        }
        // The ports are the first program's.
        let mut prepared = self.prepare_again(container, config, Vec::new())?;
        prepared.tell = exec.tell;
        if exec.detached {
            prepared.output = Output::Nowhere;
        }
        Ok(prepared)
    }

    /// Runs another program in a running container, in this process, under the same policy and on the same files. It is
    /// ended with the container. Calls `started` when it is about to run.
    ///
    /// Raises the second wall around this process; calls `ended` as [`Self::run`] does.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub fn exec(
        &self,
        container: &Container,
        prepared: Prepared,
        started: &mut dyn FnMut(),
        ended: &mut dyn FnMut(&Exit),
    ) -> Result<Exit, Error> {
        let args = prepared.config.args.clone();
        let _lock = container.enter(&args)?;
        let command = args.join(" ");
        self.tell(container, &format!("exec_create: {command}"), &[]);
        // Behind the wall no file can be opened to tell of it.
        let mut writer = self.event_writer();
        let mut tell = |action: &str, more: &[(&str, String)]| {
            if let Some(writer) = &mut writer {
                // A full disk must not keep it from ending.
                drop(writer.add(&of_container(container, action, more)));
            }
        };
        tell(&format!("exec_start: {command}"), &[]);
        let mut ended = |exit: &Exit| {
            tell("exec_die", &[("exitCode", exit.code.to_string())]);
            ended(exit);
        };
        let path = container.state_path();
        let state = std::fs::File::open(&path).map_err(|source| Error::File {
            doing: "opening",
            path,
            source,
        })?;
        let mut state = Some(state);
        let mut raised = || {
            if let Some(state) = state.take() {
                end_with(state);
            }
            started();
        };
        self.run_beside(container, prepared, &mut raised, &mut ended)
    }

    /// Sends a signal to the other programs of a container.
    fn signal_execs(&self, container: &Container, signal: Signal) -> Result<(), Error> {
        for exec in container.execs()? {
            exec.process.signal(signal).map_err(|source| Error::File {
                doing: "sending a signal to a program in",
                path: container.folder(),
                source,
            })?;
        }
        Ok(())
    }

    /// Sends a signal; says whether the container ran.
    fn signal(&self, container: &Container, signal: Signal) -> Result<bool, Error> {
        let failed = |source| Error::File {
            doing: "sending a signal to the process in",
            path: container.state_path(),
            source,
        };
        let patience = Instant::now() + KILL_GRACE;
        loop {
            if let Some(process) = container.process()? {
                process.signal(signal).map_err(failed)?;
                return Ok(true);
            }
            if !container.is_active()? {
                return Ok(false);
            }
            if !container.runs()? && container.is_stopped() {
                // Its watcher does not start it again.
                return Ok(false);
            }
            // It has just been taken over by a process that will say in a moment which it is.
            if Instant::now() > patience {
                return Err(failed(io::ErrorKind::TimedOut.into()));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Waits until no process runs the container; says whether that is so. `None` waits for ever.
    fn wait_until_gone(
        &self,
        container: &Container,
        patience: Option<Duration>,
    ) -> Result<bool, Error> {
        // What no clock can count to is for ever.
        let end = patience.and_then(|patience| Instant::now().checked_add(patience));
        loop {
            if !container.is_active()? {
                return Ok(true);
            }
            let left = end.map_or(LONGEST_WAIT, |end| {
                end.saturating_duration_since(Instant::now())
            });
            if left.is_zero() {
                return Ok(false);
            }
            match container.process()? {
                Some(process) => {
                    process
                        .wait(left.min(LONGEST_WAIT))
                        .map_err(|source| Error::File {
                            doing: "waiting for the process in",
                            path: container.state_path(),
                            source,
                        })?;
                }
                None => std::thread::sleep(PAUSE.min(left)),
            }
        }
    }
}

/// The exit code of a container whose process was killed before it could say one.
const KILLED: u8 = 137;

/// Ends this process as soon as nobody runs the container any more.
fn end_with(state: std::fs::File) {
    let watch = move || {
        // The container's own process holds the lock as long as it lives.
        if state.lock_shared().is_ok() {
            sys::exit_now(i32::from(KILLED));
        }
    };
    // Without the thread the program outlives its container, which does no harm.
    drop(
        std::thread::Builder::new()
            .stack_size(64 << 10)
            .spawn(watch),
    );
}

/// Has somebody halted the container's process?
pub fn is_paused(state: &State) -> bool {
    matches!(state, State::Running { pid, .. } if sys::is_stopped(*pid))
}

fn not_running(container: &Container) -> Error {
    Error::NotRunning {
        container: container.config.name.to_string(),
    }
}
