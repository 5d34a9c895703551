//! `coracle rm`

use super::super::error::Failure;
use super::super::{Exit, ui};
use super::{for_each, printing};
use crate::engine::Engine;

/// Remove containers and their files
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Kill the container first if it runs
    #[arg(short, long)]
    force: bool,
    /// Containers: names, or the beginnings of their IDs
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(in super::super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    let exit = for_each(&args.containers, |container| {
        engine.remove_container(container, args.force)?;
        ui::line(container).map_err(printing)
    });
    engine.tidy()?;
    Ok(exit)
}
