//! How a run ended.

use std::fmt;

use wasmtime::Trap;
use wasmtime_wasi::I32Exit;

/// How a guest ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ended by itself, with this code.
    Exited(u8),
    /// It broke a rule of WebAssembly and was ended.
    Trapped {
        /// What it did, for people.
        message: String,
    },
    /// [`Interrupt::raise`](super::Interrupt::raise) ended it.
    Interrupted,
    /// It asked for more memory than its limit allows, did not get it, and ended by a trap or with a code that says failure.
    OutOfMemory {
        /// [`Outcome::INTERRUPTED`] if it trapped, as Docker has it for a program that was killed; else the guest's own.
        code: u8,
    },
    /// It has executed as many instructions as it was given.
    OutOfFuel,
}

impl Outcome {
    /// The exit code of a trapped guest: that of a native program that aborts (128 + SIGABRT).
    pub const TRAPPED: u8 = 134;
    /// The exit code of an interrupted guest, where the caller knows no better: that of a program that was killed (128 + SIGKILL).
    pub const INTERRUPTED: u8 = 137;
    /// The exit code of a guest that has used up its instructions: that of a native program whose processor time is over
    /// (128 + SIGXCPU).
    pub const OUT_OF_FUEL: u8 = 152;
    /// The exit code of a guest whose time is over: that of timeout(1).
    pub const TIMED_OUT: u8 = 124;

    /// Says the same of a guest that was refused memory before it ended so.
    pub(super) fn after_refused_memory(self) -> Self {
        match self {
            Self::Trapped { .. } => Self::OutOfMemory {
                code: Self::INTERRUPTED,
            },
            Self::Exited(code) if code != 0 => Self::OutOfMemory { code },
            other => other,
        }
    }

    /// Returns the exit code that a command line shows for it.
    pub fn code(&self) -> u8 {
        match self {
            Self::Exited(code) => *code,
            Self::Trapped { .. } => Self::TRAPPED,
            Self::Interrupted => Self::INTERRUPTED,
            Self::OutOfMemory { code } => *code,
            Self::OutOfFuel => Self::OUT_OF_FUEL,
        }
    }
}

/// Travels up through the guest's frames to end it with an exit code.
#[derive(Debug)]
pub(super) struct Exit(pub(super) u32);

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit with code {}", self.0)
    }
}

impl std::error::Error for Exit {}

/// Travels up through the guest's frames to end it from outside.
#[derive(Debug)]
pub(super) struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// Says how a guest ended that came back with an error.
pub(super) fn outcome(error: &wasmtime::Error) -> Outcome {
    if let Some(Exit(code)) = error.downcast_ref() {
        // Unix keeps the low eight bits.
        return Outcome::Exited((code & 0xff) as u8);
    }
    if let Some(I32Exit(code)) = error.downcast_ref() {
        return Outcome::Exited((code & 0xff) as u8);
    }
    if error.downcast_ref::<Interrupted>().is_some()
        || error.downcast_ref() == Some(&Trap::Interrupt)
    {
        return Outcome::Interrupted;
    }
    if error.downcast_ref() == Some(&Trap::OutOfFuel) {
        return Outcome::OutOfFuel;
    }
    let message = match error.downcast_ref::<Trap>() {
        Some(trap) => trap
            .to_string()
            .trim_start_matches("wasm trap: ")
            .to_owned(),
        None => format!("{error:#}"),
    };
    Outcome::Trapped { message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ending_has_its_outcome() {
        assert_eq!(outcome(&Exit(7).into()), Outcome::Exited(7));
        assert_eq!(outcome(&Exit(0x1ff).into()), Outcome::Exited(255));
        assert_eq!(outcome(&I32Exit(3).into()), Outcome::Exited(3));
        assert_eq!(outcome(&I32Exit(-1).into()), Outcome::Exited(255));
        assert_eq!(outcome(&Interrupted.into()), Outcome::Interrupted);
        assert_eq!(outcome(&Trap::Interrupt.into()), Outcome::Interrupted);
        let trapped = outcome(&Trap::IntegerDivisionByZero.into());
        assert_eq!(
            trapped,
            Outcome::Trapped {
                message: "integer divide by zero".to_owned()
            }
        );
        assert_eq!(trapped.code(), 134);
        let fuel = outcome(&Trap::OutOfFuel.into());
        assert_eq!((fuel.code(), fuel), (152, Outcome::OutOfFuel));
    }

    #[test]
    fn only_a_failure_after_refused_memory_is_blamed_on_it() {
        let trapped = Outcome::Trapped {
            message: "unreachable".to_owned(),
        };
        for (ended, code) in [(trapped, 137), (Outcome::Exited(3), 3)] {
            assert_eq!(ended.after_refused_memory(), Outcome::OutOfMemory { code });
        }
        for other in [Outcome::Exited(0), Outcome::Interrupted, Outcome::OutOfFuel] {
            assert_eq!(other.clone().after_refused_memory(), other);
        }
    }
}
