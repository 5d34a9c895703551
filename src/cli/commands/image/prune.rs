//! `coracle image prune`

use super::super::super::Exit;
use super::super::super::args::prune::PruneArgs;
use super::super::super::error::Failure;
use super::super::pruned;
use crate::engine::{Engine, PruneImages};

/// Remove images without a name, or with --all every image that no container was made of
#[derive(clap::Args)]
pub(super) struct Args {
    /// Remove images with a name as well
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    prune: PruneArgs,
}

pub(super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    let filter = args.prune.filter()?;
    let (which, what) = if args.all {
        (PruneImages::All, "all images without a container")
    } else {
        (PruneImages::Unnamed, "all images without a name")
    };
    if !args.prune.is_confirmed(&[what])? {
        return Ok(Exit::Success);
    }
    pruned::print(&engine.prune_images(which, &filter)?)?;
    Ok(Exit::Success)
}
