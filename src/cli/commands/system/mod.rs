//! `coracle system`

mod check;
mod df;
mod prune;

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
    Df(df::Args),
    Prune(prune::Args),
}

pub(in super::super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    match &args.command {
        Command::Check(args) => check::run(engine, args),
        Command::Df(args) => df::run(engine, args),
        Command::Prune(args) => prune::run(engine, args),
    }
}
