//! `coracle create`

use super::super::error::Failure;
use super::super::{Exit, ui};
use super::{printing, run};
use crate::engine::Engine;

/// Create a container, to be started later
///
/// Takes what `run` takes. Everything is decided and checked now; `start` runs the program.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    #[command(flatten)]
    container: run::Args,
}

pub(in super::super) fn run(engine: &Engine, args: Args) -> Result<Exit, Failure> {
    let ready = run::make_ready(engine, args.container)?;
    let container = engine.create(&ready.prepared)?;
    if let Some(file) = ready.cidfile {
        file.write(container.config.id.as_str())?;
    }
    ui::line(container.config.id.as_str()).map_err(printing)?;
    Ok(Exit::Success)
}
