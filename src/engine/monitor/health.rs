//! Asking from time to time whether a program is well. Each time another process asks, so that nothing that happens there can hold
//! up who watches.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use coracle_runtime::container::{Checked, Health, HealthCheck};
use coracle_runtime::sys::Process;
use jiff::Timestamp;

use super::life::read_ready;

/// When it is asked, and who asks.
pub(super) struct Checker {
    check: HealthCheck,
    /// Since when the program runs.
    since: Instant,
    /// When it is asked next, or has to have answered.
    due: Instant,
    asking: Option<Asking>,
}

struct Asking {
    child: Child,
    process: Process,
    start: Timestamp,
    output: Option<File>,
    said: Vec<u8>,
}

impl Checker {
    pub(super) fn new(check: HealthCheck, since: Instant) -> Self {
        let pause = check.pause(Duration::ZERO, Health::default().status);
        Self {
            due: since + pause,
            check,
            since,
            asking: None,
        }
    }

    /// When there is something to do, at the latest.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// What tells of it when there is something to do earlier.
    pub(super) fn watched(&self) -> Vec<BorrowedFd<'_>> {
        let Some(asking) = &self.asking else {
            return Vec::new();
        };
        let output = asking.output.as_ref().map(AsFd::as_fd);
        [Some(asking.process.as_fd()), output]
            .into_iter()
            .flatten()
            .collect()
    }

    /// Does what is to be done now. Says whether the word for how well it is has changed.
    pub(super) fn go_on(&mut self, health: &mut Health, ask: &mut dyn FnMut() -> Command) -> bool {
        let over = self.due <= Instant::now();
        let Some(asking) = &mut self.asking else {
            if !over {
                return false;
            }
            return match start(ask()) {
                Ok(asking) => {
                    self.asking = Some(asking);
                    self.due = Instant::now() + Duration::from_nanos(self.check.timeout);
                    false
                }
                Err(error) => {
                    let now = Timestamp::now();
                    self.note(health, now, -1, error.to_string())
                }
            };
        };
        read_ready(
            &mut asking.output,
            &mut asking.said,
            Checked::LONGEST_OUTPUT,
        );
        let ended = asking.process.wait(Duration::ZERO).unwrap_or(false);
        if !ended && !over {
            return false;
        }
        if !ended {
            drop(asking.child.kill());
        }
        let status = asking.child.wait();
        read_ready(
            &mut asking.output,
            &mut asking.said,
            Checked::LONGEST_OUTPUT,
        );
        let (code, output) = if ended {
            let code = status.ok().and_then(|status| status.code()).unwrap_or(-1);
            (code, String::from_utf8_lossy(&asking.said).into_owned())
        } else {
            let time = Duration::from_nanos(self.check.timeout);
            (-1, format!("the check took longer than {time:?}"))
        };
        let begun = asking.start;
        self.asking = None;
        self.note(health, begun, code, output)
    }

    fn note(&mut self, health: &mut Health, start: Timestamp, code: i32, output: String) -> bool {
        let ran = self.since.elapsed();
        let checked = Checked {
            start,
            end: Timestamp::now(),
            exit_code: code,
            output,
        };
        let changed = health.add(checked, &self.check, ran);
        self.due = Instant::now() + self.check.pause(ran, health.status);
        changed
    }
}

impl Drop for Checker {
    fn drop(&mut self) {
        if let Some(asking) = &mut self.asking {
            // The program has ended; nobody waits for the answer.
            drop(asking.child.kill());
            drop(asking.child.wait());
        }
    }
}

fn start(mut command: Command) -> io::Result<Asking> {
    let (reader, writer) = io::pipe()?;
    let child = command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()?;
    // The command holds the other ends of its output: they must go for it to have an end.
    drop(command);
    let process = Process::open(child.id())?.ok_or(io::ErrorKind::NotFound)?;
    Ok(Asking {
        child,
        process,
        start: Timestamp::now(),
        output: Some(File::from(OwnedFd::from(reader))),
        said: Vec::new(),
    })
}
