//! From an error to what is printed and returned. The one place that decides it.

use super::exit::Exit;
use super::ui;
use crate::engine;
pub(super) use crate::engine::with_causes;

/// Why a command failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The engine said so.
    Engine(Box<engine::Error>),
    /// What was typed means nothing.
    Usage {
        message: String,
        hint: Option<String>,
    },
    /// A file that the command line names, or output, failed.
    Io {
        doing: String,
        source: std::io::Error,
    },
    /// A process that was started for it has failed, and has said why.
    Told { text: String, exit: Exit },
    /// A command failed that starts nothing, or nothing of its own: Docker returns 1 then.
    Plain(Box<Failure>),
}

impl Failure {
    /// Makes a failure of what was typed.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::Usage {
            message: message.into(),
            hint: None,
        }
    }

    /// Adds what to do next.
    pub(super) fn with_hint(self, hint: impl Into<String>) -> Self {
        match self {
            Self::Usage { message, .. } => Self::Usage {
                message,
                hint: Some(hint.into()),
            },
            other => other,
        }
    }

    /// Has the command return 1 for it, as Docker's that start nothing do.
    pub(super) fn plainly(self) -> Self {
        Self::Plain(Box::new(self))
    }

    /// Prints it.
    pub(super) fn report(&self) {
        match self {
            Self::Engine(error) => ui::error(&with_causes(error.as_ref()), error.hint().as_deref()),
            Self::Usage { message, hint } => ui::error(message, hint.as_deref()),
            Self::Io { doing, source } => ui::error(&format!("{doing}: {source}"), None),
            Self::Told { text, .. } => ui::pass_on(text),
            Self::Plain(failure) => failure.report(),
        }
    }

    /// Returns the exit code for a command that starts a container.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Engine(error) => match error.kind() {
                engine::Kind::ProgramNotFound => Exit::NotFound,
                engine::Kind::ProgramNotRunnable => Exit::NotRunnable,
                engine::Kind::Engine => Exit::Engine,
            },
            Self::Told { exit, .. } => *exit,
            Self::Plain(_) => Exit::Failure,
            _ => Exit::Engine,
        }
    }
}

impl<E: Into<engine::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Engine(Box::new(error.into()))
    }
}
