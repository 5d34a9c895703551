//! `coracle diff`

use super::super::error::Failure;
use super::super::sanitize::sanitize;
use super::super::{Exit, ui};
use super::printing;
use super::start::plain;
use crate::engine::{ChangeKind, Engine};

/// Show what a container has changed of its image's files: A for added, C for changed, D for deleted
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// The container: its name, or the beginning of its ID
    container: String,
}

pub(in super::super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    for (path, kind) in engine.diff(&args.container).map_err(plain)? {
        let letter = match kind {
            ChangeKind::Added => 'A',
            ChangeKind::Changed => 'C',
            ChangeKind::Deleted => 'D',
        };
        let path = sanitize(&String::from_utf8_lossy(&path));
        ui::line(&format!("{letter} /{path}")).map_err(printing)?;
    }
    Ok(Exit::Success)
}
