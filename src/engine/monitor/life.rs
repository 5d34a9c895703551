//! One life of a container: from one start of its program to the end of that.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use coracle_runtime::console::Console;
use coracle_runtime::console::server::Lines;
use coracle_runtime::container::{Container, Exit, Watched};
use coracle_runtime::logs::{LogConfig, LogWriter};
use coracle_runtime::sys::{self, Process, Pty};

use super::health::Checker;
use super::{Commands, STARTED};
use crate::engine::{Engine, Error};

/// Most that is kept of what that process says on its standard error, in bytes.
const MOST_SAID: usize = 64 << 10;

/// How a life ended.
pub(super) enum Outcome {
    /// The program could not be started.
    NotStarted { said: String, code: u8 },
    /// It ran so long, and ended with this code.
    Ended { code: u8, ran: Duration },
}

pub(super) struct Life<'a> {
    engine: &'a Engine,
    container: &'a Container,
    commands: Commands<'a>,
    watched: &'a mut Watched,
}

impl<'a> Life<'a> {
    pub(super) fn new(
        engine: &'a Engine,
        container: &'a Container,
        commands: Commands<'a>,
        watched: &'a mut Watched,
    ) -> Self {
        Self {
            engine,
            container,
            commands,
            watched,
        }
    }

    /// Starts the program, and watches it to its end. Calls `started` when it is about to run.
    pub(super) fn run(mut self, started: &mut dyn FnMut()) -> Result<Outcome, Error> {
        let (mut console, mut host) = self.start().map_err(|source| self.failed(source))?;
        let result = self.watch(&mut console, &mut host, started);
        if result.is_err() {
            // It must not go on without somebody who watches.
            drop(host.child.kill());
        }
        let status = host.child.wait();
        console.close();
        result.map_err(|source| self.failed(source))?;
        let status = status.map_err(|source| self.failed(source))?;
        Ok(self.end(&host, status))
    }

    /// Starts the process that hosts the program.
    fn start(&self) -> io::Result<(Console, Host)> {
        let config = &self.container.config;
        // The inner end is kept open here: so the outer one has no end before everything was shown.
        let (lines, stdin, inner) = if config.tty {
            let Pty { outer, inner } = sys::open_terminal()?;
            let stdin = Stdio::from(inner.try_clone()?);
            (Lines::Terminal(outer), stdin, Some(inner))
        } else if config.open_stdin {
            let (reader, writer) = io::pipe()?;
            let lines = Lines::Pipe {
                writer: File::from(OwnedFd::from(writer)),
                once: config.stdin_once,
            };
            (lines, Stdio::from(reader), None)
        } else {
            (Lines::None, Stdio::null(), None)
        };
        let log = if config.tty && config.log != LogConfig::NONE {
            Some(LogWriter::open(&self.container.log_path(), config.log)?)
        } else {
            None
        };
        let console = Console::open(&self.container.folder(), lines, log)?;
        let parent = std::process::id().to_string();
        let mut child = (self.commands)(&["host", "--parent", &parent, config.id.as_str()])
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let process = Process::open(child.id())?.ok_or(io::ErrorKind::NotFound)?;
        Ok((
            console,
            Host {
                tells: child
                    .stdout
                    .take()
                    .map(|pipe| File::from(OwnedFd::from(pipe))),
                complains: child
                    .stderr
                    .take()
                    .map(|pipe| File::from(OwnedFd::from(pipe))),
                child,
                process,
                told: Vec::new(),
                said: Vec::new(),
                since: None,
                _inner: inner,
            },
        ))
    }

    /// Serves all who have to do with the program until its process has ended.
    fn watch(
        &mut self,
        console: &mut Console,
        host: &mut Host,
        started: &mut dyn FnMut(),
    ) -> io::Result<()> {
        let mut checker = None;
        loop {
            let (ready, until) = {
                let mut fds: Vec<BorrowedFd<'_>> = vec![host.process.as_fd()];
                let checked = checker.as_ref().map(Checker::watched).unwrap_or_default();
                for fd in [&host.tells, &host.complains].into_iter().flatten() {
                    fds.push(fd.as_fd());
                }
                fds.extend(checked);
                let until = checker.as_ref().map(Checker::due);
                (console.serve(&fds, until)?, until)
            };
            host.listen();
            if host.since.is_none() && host.told == STARTED {
                host.since = Some(Instant::now());
                host.tells = None;
                self.engine.tell(self.container, "start", &[]);
                let check = self.container.config.health.clone();
                checker = check.map(|check| Checker::new(check, Instant::now()));
                if checker.is_some() {
                    self.watched.health = Some(coracle_runtime::container::Health::default());
                    self.note();
                }
                started();
            }
            if let (Some(checker), Some(health)) = (&mut checker, &mut self.watched.health)
                && (until.is_some_and(|until| until <= Instant::now())
                    || ready.iter().any(|is| *is))
            {
                let id = self.container.config.id.as_str();
                let was = health.clone();
                if checker.go_on(health, &mut || (self.commands)(&["probe", id])) {
                    let word = health.status.word();
                    self.engine
                        .tell(self.container, &format!("health_status: {word}"), &[]);
                }
                if *health != was {
                    self.note();
                }
            }
            if ready.first().copied().unwrap_or(false) {
                // What it said last is in the pipe.
                host.listen();
                return Ok(());
            }
        }
    }

    /// Writes down what is known. It is for those who ask; without it the container goes on.
    fn note(&self) {
        if let Err(error) = self.container.set_watched(self.watched) {
            tracing::debug!(%error, "what is known of the container could not be written");
        }
    }

    /// Sees to it that how it ended is on record, and tells.
    fn end(&self, host: &Host, status: ExitStatus) -> Outcome {
        self.container.release_execs();
        let otherwise = unsaid(status);
        let exit = match self.container.settle(&otherwise) {
            Ok(Some(exit)) => exit,
            _ => otherwise,
        };
        let Some(since) = host.since else {
            return Outcome::NotStarted {
                said: String::from_utf8_lossy(&host.said).into_owned(),
                code: exit.code,
            };
        };
        let ran = since.elapsed();
        if exit.out_of_memory {
            self.engine.tell(self.container, "oom", &[]);
        }
        let more = [
            ("exitCode", exit.code.to_string()),
            ("execDuration", ran.as_secs().to_string()),
        ];
        self.engine.tell(self.container, "die", &more);
        Outcome::Ended {
            code: exit.code,
            ran,
        }
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::File {
            doing: "watching over the container in",
            path: self.container.folder(),
            source,
        }
    }
}

/// Says how a program ended whose process could not say so.
fn unsaid(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::because(
            u8::try_from(code).unwrap_or(u8::MAX),
            "its process ended without saying how the program did",
        ),
        (None, signal) => {
            let signal = signal.unwrap_or_default();
            let code = u8::try_from(128 + signal).unwrap_or(u8::MAX);
            Exit::because(code, &format!("ended by signal {signal}"))
        }
    }
}

/// The process that hosts the program.
struct Host {
    child: Child,
    process: Process,
    /// Its standard output, until it has said that the program is about to run.
    tells: Option<File>,
    told: Vec<u8>,
    /// Its standard error.
    complains: Option<File>,
    said: Vec<u8>,
    /// Since when the program runs.
    since: Option<Instant>,
    _inner: Option<File>,
}

impl Host {
    /// Reads what it has said by now.
    fn listen(&mut self) {
        read_ready(&mut self.tells, &mut self.told, STARTED.len());
        read_ready(&mut self.complains, &mut self.said, MOST_SAID);
    }
}

/// Reads what is there, without waiting for more; keeps so much of it, and lets the pipe go at its end.
pub(super) fn read_ready(pipe: &mut Option<File>, kept: &mut Vec<u8>, most: usize) {
    let mut buffer = [0; 4096];
    while let Some(file) = pipe {
        if !sys::is_readable(&*file).unwrap_or(true) {
            return;
        }
        match file.read(&mut buffer) {
            Ok(count) if count > 0 => {
                let room = most.saturating_sub(kept.len()).min(count);
                kept.extend(buffer.get(..room).unwrap_or_default());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            _ => *pipe = None,
        }
    }
}
