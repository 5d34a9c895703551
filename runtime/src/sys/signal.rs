//! Signals by name and number.

use std::fmt;
use std::str::FromStr;

/// A signal, by Linux' number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal(i32);

/// Names and numbers as on x86-64 and arm64 Linux.
const NAMES: [(&str, i32); 31] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
];

/// The text names no signal.
#[derive(Debug, thiserror::Error)]
#[error("invalid signal: {text}")]
pub struct InvalidSignal {
    /// What was given.
    text: String,
}

impl Signal {
    /// Ends a process that has no say in it.
    pub const KILL: Self = Self(9);
    /// Asks a process to end.
    pub const TERM: Self = Self(15);
    /// Lets a stopped process go on.
    pub const CONT: Self = Self(18);
    /// Stops a process until it may go on.
    pub const STOP: Self = Self(19);

    /// Returns the number.
    pub fn number(self) -> i32 {
        self.0
    }
}

impl FromStr for Signal {
    type Err = InvalidSignal;

    /// Reads `TERM`, `SIGTERM`, `sigterm` or `15`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.to_ascii_uppercase();
        let name = name.strip_prefix("SIG").unwrap_or(&name);
        let number = text.parse().ok();
        NAMES
            .iter()
            .find(|(known, value)| *known == name || Some(*value) == number)
            .map(|(_, number)| Self(*number))
            .ok_or_else(|| InvalidSignal {
                text: text.to_owned(),
            })
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => write!(f, "SIG{name}"),
            None => self.0.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_has_a_name_and_a_number() {
        for text in ["TERM", "SIGTERM", "sigterm", "15"] {
            assert_eq!(text.parse::<Signal>().expect(text), Signal::TERM);
        }
        assert_eq!(Signal::KILL.to_string(), "SIGKILL");
        for bad in ["", "0", "-9", "32", "SIG", "TERMX", "9 "] {
            assert!(bad.parse::<Signal>().is_err(), "{bad:?}");
        }
    }
}
