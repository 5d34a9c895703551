//! Exit codes.

use std::process::ExitCode;

/// What the command returns to its caller. Docker's numbers, so that scripts need not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All went well.
    Success,
    /// A command other than `run` failed.
    Failure,
    /// Coracle itself failed before the guest started, or the command line is wrong: 125.
    Engine,
    /// The program was found but cannot be run: 126.
    NotRunnable,
    /// The program was not found: 127.
    NotFound,
    /// The guest's own exit code.
    Guest(u8),
}

impl Exit {
    /// Returns the number.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Engine => 125,
            Self::NotRunnable => 126,
            Self::NotFound => 127,
            Self::Guest(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_dockers() {
        let all = [
            Exit::Success,
            Exit::Failure,
            Exit::Engine,
            Exit::NotRunnable,
            Exit::NotFound,
            Exit::Guest(7),
        ];
        assert_eq!(all.map(Exit::code), [0, 1, 125, 126, 127, 7]);
    }
}
