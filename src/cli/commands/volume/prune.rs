//! `coracle volume prune`

use super::super::super::Exit;
use super::super::super::args::prune::PruneArgs;
use super::super::super::error::Failure;
use super::super::pruned;
use crate::engine::{Engine, PruneVolumes};

/// Remove the volumes whose names were made up and that no container has; with --all those with names of their own as well
#[derive(clap::Args)]
pub(super) struct Args {
    /// Remove volumes with names of their own as well
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    prune: PruneArgs,
}

pub(super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    let filter = args.prune.filter()?;
    let (which, what) = if args.all {
        (PruneVolumes::All, "all volumes that no container has")
    } else {
        (
            PruneVolumes::Anonymous,
            "all volumes without a name of their own that no container has",
        )
    };
    if !args.prune.is_confirmed(&[what])? {
        return Ok(Exit::Success);
    }
    pruned::print(&engine.prune_volumes(which, &filter)?)?;
    Ok(Exit::Success)
}
