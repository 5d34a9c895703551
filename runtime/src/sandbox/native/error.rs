//! Why a native container could not be made or handled.

use std::io;

use serde::{Deserialize, Serialize};

use super::seccomp::SeccompError;

/// Why a native container could not be made or handled.
#[derive(Debug, thiserror::Error)]
pub enum NativeError {
    /// The specification asks for something that is not enforced here. It is never ignored.
    #[error("the container asks for {0}, which is not supported")]
    Unsupported(String),
    /// The specification contradicts itself or the specification it follows.
    #[error("the container's configuration is invalid: {0}")]
    Invalid(String),
    /// A step on this side failed.
    #[error("{doing}: {source}")]
    Step {
        /// What was being done, and with what.
        doing: String,
        /// What the system says.
        source: io::Error,
    },
    /// A step inside the new namespaces failed.
    #[error("{doing}: {reason}")]
    Inside {
        /// What was being done, and with what.
        doing: String,
        /// What the system says.
        reason: String,
    },
    /// The program cannot be started.
    #[error("starting `{program}`: {reason}")]
    Program {
        /// As the container names it.
        program: String,
        /// What the system says.
        reason: String,
        /// Is there no such file? Otherwise it is there and cannot be executed.
        missing: bool,
    },
    /// The container's process has ended, without a word, before its program began.
    #[error("the container's first process has ended before the program began")]
    Ended,
    /// The system call filter cannot be made.
    #[error(transparent)]
    Seccomp(#[from] SeccompError),
}

impl NativeError {
    /// Names the step in which the system failed.
    pub(super) fn step(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Step { doing, source }
    }
}

/// What the first process tells about a failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) doing: String,
    pub(super) reason: String,
    /// Was it the program that could not be started? Then, is it missing?
    pub(super) program: Option<bool>,
}

impl From<Told> for NativeError {
    fn from(told: Told) -> Self {
        let Told {
            doing,
            reason,
            program,
        } = told;
        match program {
            Some(missing) => Self::Program {
                program: doing,
                reason,
                missing,
            },
            None => Self::Inside { doing, reason },
        }
    }
}

impl Told {
    /// Names the step in which the system failed.
    pub(super) fn step<E: std::fmt::Display>(doing: impl Into<String>) -> impl FnOnce(E) -> Self {
        let doing = doing.into();
        move |error| Self {
            doing,
            reason: error.to_string(),
            program: None,
        }
    }
}
