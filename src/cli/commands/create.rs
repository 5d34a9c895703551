//! `coracle create`

use std::ops::ControlFlow;

use super::super::error::Failure;
use super::super::{Exit, ui};
use super::start::plain;
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
    if args.container.records() {
        return Err(Failure::usage(
            "--record has no meaning here: it is the process that runs the program which writes the file",
        ));
    }
    if args.container.detaches() {
        return Err(Failure::usage(
            "--detach has no meaning here: a container that is created does not run yet",
        )
        .with_hint("leave it out, and start the container with `coracle start`"));
    }
    let ready = match run::make_ready(engine, args.container)? {
        ControlFlow::Continue(ready) => ready,
        ControlFlow::Break(exit) => return Ok(exit),
    };
    let container = engine.create(&ready.prepared).map_err(plain)?;
    if let Some(file) = ready.cidfile {
        file.write(container.config.id.as_str())?;
    }
    ui::line(container.config.id.as_str()).map_err(printing)?;
    Ok(Exit::Success)
}
