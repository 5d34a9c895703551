//! Is a container's program well?

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How a container is asked whether it is well. Times are in nanoseconds, as in image configs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// What is asked.
    pub probe: Probe,
    /// Time between two checks.
    pub interval: u64,
    /// Time that one may take.
    pub timeout: u64,
    /// So many failures one after the other make it unhealthy.
    pub retries: u32,
    /// For so long after a start failures do not count.
    pub start_period: u64,
    /// Time between two checks meanwhile.
    pub start_interval: u64,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Probe {
    /// Another program of the container's files; it is well if that ends with 0.
    Command(Vec<String>),
    /// The same, for a shell to make sense of.
    Shell {
        /// The shell and its arguments before the command.
        shell: Vec<String>,
        /// The command.
        command: String,
    },
    /// It answers an HTTP request to one of its ports with a status below 400.
    Http {
        /// The container's port.
        port: u16,
        /// The path, with its query.
        path: String,
    },
    /// It accepts a connection to one of its ports.
    Tcp {
        /// The container's port.
        port: u16,
    },
}

impl HealthCheck {
    /// Docker's defaults, in nanoseconds.
    const INTERVAL: u64 = 30_000_000_000;
    const TIMEOUT: u64 = 30_000_000_000;
    const START_INTERVAL: u64 = 5_000_000_000;
    const RETRIES: u32 = 3;
    /// Shortest time that may be asked for, in nanoseconds: Docker's.
    pub const SHORTEST: u64 = 1_000_000;

    /// Asks this, as often as Docker would.
    pub fn new(probe: Probe) -> Self {
        Self {
            probe,
            interval: Self::INTERVAL,
            timeout: Self::TIMEOUT,
            retries: Self::RETRIES,
            start_period: 0,
            start_interval: Self::START_INTERVAL,
        }
    }

    /// Returns the time until the next check, for a container that has run so long and is so well.
    pub fn pause(&self, ran: Duration, status: HealthStatus) -> Duration {
        let starting =
            status == HealthStatus::Starting && ran < Duration::from_nanos(self.start_period);
        Duration::from_nanos(if starting {
            self.start_interval
        } else {
            self.interval
        })
    }
}

/// Docker's words for how well a container is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// It has not been well yet, nor failed often enough.
    #[default]
    Starting,
    /// It is well.
    Healthy,
    /// It has failed too often.
    Unhealthy,
}

impl HealthStatus {
    /// Returns the word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// What one check has said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Checked {
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// 0: it is well; -1: it took too long.
    pub exit_code: i32,
    /// What it wrote, or what went wrong.
    pub output: String,
}

impl Checked {
    /// Most output that is kept, in bytes: Docker's.
    pub const LONGEST_OUTPUT: usize = 4096;
}

/// How well a container is, as its last checks have it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Health {
    /// In a word.
    pub status: HealthStatus,
    /// Failures one after the other.
    pub failing_streak: u32,
    /// The last checks, oldest first.
    pub log: Vec<Checked>,
}

impl Health {
    /// How many checks are kept.
    const KEPT: usize = 5;

    /// Adds a check, made when the container had run so long. Says whether the word has changed.
    pub fn add(&mut self, checked: Checked, check: &HealthCheck, ran: Duration) -> bool {
        let before = self.status;
        if checked.exit_code == 0 {
            self.failing_streak = 0;
            self.status = HealthStatus::Healthy;
        } else {
            let excused =
                before == HealthStatus::Starting && ran < Duration::from_nanos(check.start_period);
            if !excused {
                self.failing_streak = self.failing_streak.saturating_add(1);
                if self.failing_streak >= check.retries {
                    self.status = HealthStatus::Unhealthy;
                }
            }
        }
        self.log.push(checked);
        let over = self.log.len().saturating_sub(Self::KEPT);
        self.log.drain(..over);
        self.status != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_make_it_unhealthy_and_one_success_well() {
        let mut check = HealthCheck::new(Probe::Tcp { port: 80 });
        check.start_period = 10_000_000_000;
        let mut health = Health::default();
        let mut add = |code, ran| {
            let checked = Checked {
                start: Timestamp::UNIX_EPOCH,
                end: Timestamp::UNIX_EPOCH,
                exit_code: code,
                output: String::new(),
            };
            let changed = health.add(checked, &check, Duration::from_secs(ran));
            (
                health.status.word(),
                health.failing_streak,
                changed,
                health.log.len(),
            )
        };
        // It may take its time to start.
        assert_eq!(add(1, 1), ("starting", 0, false, 1));
        assert_eq!(add(0, 2), ("healthy", 0, true, 2));
        // Once it was well, it is no longer excused.
        assert_eq!(add(1, 3), ("healthy", 1, false, 3));
        assert_eq!(add(2, 4), ("healthy", 2, false, 4));
        assert_eq!(add(-1, 5), ("unhealthy", 3, true, 5));
        assert_eq!(add(1, 6), ("unhealthy", 4, false, 5));
        assert_eq!(add(0, 7), ("healthy", 0, true, 5));
    }
}
