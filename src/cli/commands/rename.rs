//! `coracle rename`

use super::super::Exit;
use super::super::error::Failure;
use super::start::plain;
use crate::engine::Engine;

/// Give a container another name
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// The container: its name, or the beginning of its ID
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// The new name
    #[arg(value_name = "NAME")]
    name: String,
}

pub(in super::super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    engine.rename(&args.container, &args.name).map_err(plain)?;
    Ok(Exit::Success)
}
