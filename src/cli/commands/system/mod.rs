//! `coracle system`

mod check;

use super::super::Exit;
use super::super::error::Failure;
use crate::engine::Engine;

/// Look after the data folder
#[derive(clap::Args)]
pub(in super::super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Check(check::Args),
}

pub(in super::super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    match &args.command {
        Command::Check(args) => check::run(engine, args),
    }
}
