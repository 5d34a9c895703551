//! `coracle wait`

use super::super::error::Failure;
use super::super::{Exit, ui};
use super::{for_each, printing};
use crate::engine::Engine;

/// Wait until containers have ended, and print their exit codes
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Containers: names, or the beginnings of their IDs
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(in super::super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    Ok(for_each(&args.containers, |name| {
        let code = engine.wait(&engine.find_container(name)?.container)?;
        ui::line(&code.to_string()).map_err(printing)
    }))
}
