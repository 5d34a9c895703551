//! `coracle volume rm`

use super::super::super::error::Failure;
use super::super::super::{Exit, ui};
use super::super::{for_each, printing};
use crate::engine::Engine;

/// Remove volumes and their files, unless a container has them
#[derive(clap::Args)]
pub(super) struct Args {
    /// Do not mind what is not there
    #[arg(short, long)]
    force: bool,
    /// The volumes' names
    #[arg(required = true, value_name = "VOLUME")]
    volumes: Vec<String>,
}

pub(super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    Ok(for_each(&args.volumes, |name| {
        engine.remove_volume(name, args.force)?;
        ui::line(name).map_err(printing)
    }))
}
