//! `coracle policy`

mod check;
mod diff;
mod show;

use coracle_packager::image::Image;

use super::super::Exit;
use super::super::error::Failure;
use super::super::ui;
use crate::engine::{self, Engine, Requested};

/// Look at what images ask for, and what policies grant
#[derive(clap::Args)]
pub(in super::super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Check(check::Args),
    Diff(diff::Args),
    Show(show::Args),
}

pub(in super::super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    match &args.command {
        Command::Check(args) => check::run(engine, args),
        Command::Diff(args) => diff::run(engine, args),
        Command::Show(args) => show::run(engine, args),
    }
}

/// Reads what an image here asks for.
fn requested(engine: &Engine, name: &str) -> Result<Requested, Failure> {
    let found = engine.find_image(name)?;
    let image: Image = engine.open_image(&found.descriptor, None)?;
    let requested = engine::request(&image);
    if let Some(problem) = &requested.unread {
        ui::warning(&format!(
            "{name}: reading what the image asks for: {problem}"
        ));
    }
    Ok(requested)
}
