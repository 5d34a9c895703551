//! `coracle volume`

mod create;
pub(super) mod inspect;
mod ls;
mod prune;
mod rm;

use super::super::Exit;
use super::super::error::Failure;
use crate::engine::Engine;

/// Manage volumes: folders that outlive the containers which use them
#[derive(clap::Args)]
pub(in super::super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Create(create::Args),
    Inspect(inspect::Args),
    #[command(visible_alias = "list")]
    Ls(ls::Args),
    Prune(prune::Args),
    #[command(visible_alias = "remove")]
    Rm(rm::Args),
}

pub(in super::super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    match &args.command {
        Command::Create(args) => create::run(engine, args),
        Command::Inspect(args) => inspect::run(engine, args),
        Command::Ls(args) => ls::run(engine, args),
        Command::Prune(args) => prune::run(engine, args),
        Command::Rm(args) => rm::run(engine, args),
    }
}
