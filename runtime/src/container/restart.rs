//! When a container whose program has ended is started again.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Docker's restart policies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum RestartPolicy {
    /// Never.
    #[default]
    No,
    /// When it ended with another code than 0.
    OnFailure {
        /// At most so often; 0 for ever.
        most: u32,
    },
    /// Always, and after a boot; but not once somebody has stopped it, until the next boot.
    Always,
    /// Always, and after a boot; but not once somebody has stopped it.
    UnlessStopped,
}

/// The text names no restart policy.
#[derive(Debug, thiserror::Error)]
#[error("invalid restart policy: {text}")]
pub struct InvalidRestartPolicy {
    /// What was given.
    text: String,
}

impl RestartPolicy {
    /// Is a container started again that ended with this code, was started again so often already, and was not stopped by anybody?
    pub fn restarts(self, code: u8, restarts: u32) -> bool {
        match self {
            Self::No => false,
            Self::OnFailure { most } => code != 0 && (most == 0 || restarts < most),
            Self::Always | Self::UnlessStopped => true,
        }
    }

    /// Is a container started after a boot, given whether somebody had stopped it, and whether it ran or would have run again when
    /// the machine went down?
    pub fn starts_at_boot(self, stopped: bool, ran: bool) -> bool {
        match self {
            Self::No => false,
            Self::OnFailure { .. } => ran && !stopped,
            Self::Always => true,
            Self::UnlessStopped => !stopped,
        }
    }

    /// Returns the word without the number.
    pub fn word(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::OnFailure { .. } => "on-failure",
            Self::Always => "always",
            Self::UnlessStopped => "unless-stopped",
        }
    }

    /// Returns how often it is started again at most; 0: no bound of that kind.
    pub fn most(self) -> u32 {
        match self {
            Self::OnFailure { most } => most,
            _ => 0,
        }
    }
}

impl FromStr for RestartPolicy {
    type Err = InvalidRestartPolicy;

    /// Reads `no`, `on-failure`, `on-failure:5`, `always` or `unless-stopped`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidRestartPolicy {
            text: text.to_owned(),
        };
        let (word, number) = match text.split_once(':') {
            Some((word, number)) => (word, Some(number)),
            None => (text, None),
        };
        Ok(match (word, number) {
            ("no" | "", None) => Self::No,
            ("on-failure", None) => Self::OnFailure { most: 0 },
            ("on-failure", Some(number)) => Self::OnFailure {
                most: number.parse().map_err(|_| invalid())?,
            },
            ("always", None) => Self::Always,
            ("unless-stopped", None) => Self::UnlessStopped,
            _ => return Err(invalid()),
        })
    }
}

impl fmt::Display for RestartPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.most() {
            0 => f.write_str(self.word()),
            most => write!(f, "{}:{most}", self.word()),
        }
    }
}

impl TryFrom<String> for RestartPolicy {
    type Error = InvalidRestartPolicy;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<RestartPolicy> for String {
    fn from(policy: RestartPolicy) -> Self {
        policy.to_string()
    }
}

/// How long to wait before the next start: longer each time, so that what cannot start does not keep the machine busy.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff(Duration);

impl Backoff {
    /// The first wait.
    const FIRST: Duration = Duration::from_millis(100);
    /// The longest.
    const LONGEST: Duration = Duration::from_secs(60);
    /// Who has run so long is not failing: the next wait is the first again.
    const LONG_ENOUGH: Duration = Duration::from_secs(10);

    /// Returns how long to wait, given how long the program has run.
    pub fn next(&mut self, ran: Duration) -> Duration {
        self.0 = if self.0.is_zero() || ran >= Self::LONG_ENOUGH {
            Self::FIRST
        } else {
            (self.0 * 2).min(Self::LONGEST)
        };
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_dockers() {
        for text in [
            "no",
            "on-failure",
            "on-failure:5",
            "always",
            "unless-stopped",
        ] {
            assert_eq!(text.parse::<RestartPolicy>().expect(text).to_string(), text);
        }
        for bad in [
            "never",
            "always:1",
            "on-failure:",
            "on-failure:-1",
            "on-failure:x",
            "no:0",
        ] {
            assert!(bad.parse::<RestartPolicy>().is_err(), "{bad}");
        }
        let restarts = |text: &str, code, count| {
            let policy: RestartPolicy = text.parse().expect(text);
            policy.restarts(code, count)
        };
        assert!(!restarts("no", 1, 0));
        assert!(restarts("always", 0, 1000) && restarts("unless-stopped", 0, 1000));
        assert!(restarts("on-failure", 1, 1000) && !restarts("on-failure", 0, 0));
        assert!(restarts("on-failure:2", 1, 1) && !restarts("on-failure:2", 1, 2));
    }

    #[test]
    fn a_boot_brings_back_what_nobody_stopped() {
        let starts = |text: &str, stopped, ran| {
            let policy: RestartPolicy = text.parse().expect(text);
            policy.starts_at_boot(stopped, ran)
        };
        assert!(!starts("no", false, true));
        assert!(starts("on-failure", false, true) && !starts("on-failure", false, false));
        assert!(starts("always", true, false));
        assert!(starts("unless-stopped", false, false) && !starts("unless-stopped", true, true));
    }

    #[test]
    fn waits_double_up_to_a_minute() {
        let mut backoff = Backoff::default();
        let short = Duration::from_secs(1);
        let waits: Vec<u128> = (0..12).map(|_| backoff.next(short).as_millis()).collect();
        assert_eq!(
            waits,
            [
                100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000
            ]
        );
        assert_eq!(backoff.next(Duration::from_secs(10)).as_millis(), 100);
    }
}
