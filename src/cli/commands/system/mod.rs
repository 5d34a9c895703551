//! `coracle system`

mod check;
mod df;
mod install_unit;
mod prune;

use std::path::Path;

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
    InstallUnit(install_unit::Args),
    Prune(prune::Args),
}

impl Args {
    /// Is a data folder to be repaired, that may be too damaged to be opened?
    pub(in super::super) fn repairs(&self) -> bool {
        matches!(&self.command, Command::Check(args) if args.repair)
    }
}

/// Repairs a data folder.
pub(in super::super) fn repair(root: &Path, args: &Args) -> Result<Exit, Failure> {
    let (engine, mended) = Engine::open_mended(root)?;
    match &args.command {
        Command::Check(args) => check::run(&engine, args, mended),
        _ => run(&engine, args),
    }
}

pub(in super::super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    match &args.command {
        Command::Check(args) => check::run(engine, args, Vec::new()),
        Command::Df(args) => df::run(engine, args),
        Command::InstallUnit(args) => install_unit::run(engine, args),
        Command::Prune(args) => prune::run(engine, args),
    }
}
