//! One container, from a person's start to its last end.

use std::time::{Duration, Instant};

use coracle_runtime::container::{Backoff, Container, RestartPolicy, Watched};

use super::life::{Life, Outcome};
use super::{Commands, Watching};
use crate::engine::{Engine, Error};

/// How long to sleep between two looks whether somebody has stopped a container that waits for its next start.
const LOOK: Duration = Duration::from_millis(50);

impl Engine {
    /// Starts a container and watches over it until it has ended for good. Calls `started` when its program is about to run for the
    /// first time. It must run, and be watched over, nowhere else.
    ///
    /// # Errors
    ///
    /// What the system says. That the program cannot be started is no error, but [`Watching::Failed`].
    pub fn watch_over(
        &self,
        mut container: Container,
        commands: Commands<'_>,
        started: &mut dyn FnMut(),
    ) -> Result<Watching, Error> {
        let Some(_watch) = container.watch()? else {
            return Ok(Watching::Elsewhere);
        };
        if container.runs()? {
            return Ok(Watching::Elsewhere);
        }
        if container.is_stopped() {
            container.set_stopped(false)?;
        }
        let mut watched = Watched::default();
        if container.watched() != watched {
            container.set_watched(&watched)?;
        }
        let mut backoff = Backoff::default();
        let mut first = Some(started);
        loop {
            let life = Life::new(self, &container, commands, &mut watched);
            let outcome = life.run(&mut || {
                if let Some(started) = first.take() {
                    started();
                }
            })?;
            let exit = match outcome {
                // Nobody would start again what has never run.
                Outcome::NotStarted { said, code } if first.is_some() => {
                    if container.config.auto_remove {
                        self.clear(&container)?;
                    }
                    return Ok(Watching::Failed { said, code });
                }
                Outcome::NotStarted { code, .. } => Ended {
                    code,
                    ran: Duration::ZERO,
                },
                Outcome::Ended { code, ran } => Ended { code, ran },
            };
            // It may have been changed while it ran.
            if let Ok(now) = self.containers.find(container.config.id.as_str()) {
                container = now;
            }
            if !self.waits(&container, &exit, watched.restarts, &mut backoff) {
                break;
            }
            watched.restarts = watched.restarts.saturating_add(1);
            watched.health = None;
            container.set_watched(&watched)?;
        }
        if container.config.auto_remove {
            self.clear(&container)?;
            self.tell(&container, "destroy", &[]);
            // Nobody is there to hear of it; the next who tidies says so.
            drop(self.tidy());
        }
        Ok(Watching::Over)
    }

    /// Removes a container that has ended, and the volumes that only it has.
    fn clear(&self, container: &Container) -> Result<(), Error> {
        self.containers.clear(container)?;
        self.remove_volumes_of(&container.config)
    }

    /// Waits until the container is to be started again. False: it is not.
    fn waits(
        &self,
        container: &Container,
        ended: &Ended,
        restarts: u32,
        wait: &mut Backoff,
    ) -> bool {
        let policy: RestartPolicy = container.config.restart;
        if container.is_stopped() || !policy.restarts(ended.code, restarts) {
            return false;
        }
        let end = Instant::now() + wait.next(ended.ran);
        loop {
            // Removed, for instance.
            if container.is_stopped() || !container.folder().exists() {
                return false;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(LOOK));
        }
    }
}

struct Ended {
    code: u8,
    ran: Duration,
}
