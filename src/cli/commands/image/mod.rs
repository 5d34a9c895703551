//! `coracle image`: Docker's group, whose commands are those without `image` before them, and two of its own.

mod prune;

use super::super::Exit;
use super::super::error::Failure;
use super::{build, history, images, import, inspect, load, pull, push, rmi, save, tag};
use crate::engine::Engine;

/// Manage images
#[derive(clap::Args)]
pub(in super::super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Build(Box<build::Args>),
    History(history::Args),
    Import(import::Args),
    Inspect(inspect::ImageArgs),
    Load(load::Args),
    #[command(visible_alias = "list")]
    Ls(images::Args),
    Prune(prune::Args),
    Pull(pull::Args),
    Push(push::Args),
    #[command(visible_alias = "remove")]
    Rm(rmi::Args),
    Save(save::Args),
    Tag(tag::Args),
}

pub(in super::super) fn run(engine: &Engine, args: Args) -> Result<Exit, Failure> {
    match args.command {
        Command::Build(args) => build::run(engine, *args),
        Command::History(args) => history::run(engine, &args).map_err(Failure::plainly),
        Command::Import(args) => import::run(engine, &args).map_err(Failure::plainly),
        Command::Inspect(args) => inspect::images(engine, &args),
        Command::Load(args) => load::run(engine, &args).map_err(Failure::plainly),
        Command::Ls(args) => images::run(engine, &args).map_err(Failure::plainly),
        Command::Prune(args) => prune::run(engine, &args),
        Command::Pull(args) => pull::run(engine, &args),
        Command::Push(args) => push::run(engine, &args),
        Command::Rm(args) => rmi::run(engine, &args),
        Command::Save(args) => save::run(engine, &args).map_err(Failure::plainly),
        Command::Tag(args) => tag::run(engine, &args),
    }
}
