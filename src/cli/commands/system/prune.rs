//! `coracle system prune`

use super::super::super::Exit;
use super::super::super::args::prune::PruneArgs;
use super::super::super::error::Failure;
use super::super::pruned;
use crate::engine::{Engine, PruneImages, PruneVolumes};

/// Remove what is not needed: containers that do not run, images without a name, and what was packed or compiled for them
#[derive(clap::Args)]
pub(super) struct Args {
    /// Remove images with a name as well, if no container is left that was made of them
    #[arg(short, long)]
    all: bool,
    /// Remove volumes without a name of their own as well, if no container has them
    #[arg(long)]
    volumes: bool,
    #[command(flatten)]
    prune: PruneArgs,
}

pub(super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    let filter = args.prune.filter()?;
    let (which, images) = if args.all {
        (PruneImages::All, "all images without a container")
    } else {
        (PruneImages::Unnamed, "all images without a name")
    };
    let mut what = vec![
        "all containers that do not run",
        images,
        "packed layers and compiled code that nothing needs",
    ];
    if args.volumes {
        what.insert(
            1,
            "all volumes without a name of their own that no container has",
        );
    }
    if !args.prune.is_confirmed(&what)? {
        return Ok(Exit::Success);
    }
    let mut all = engine.prune_containers(&filter)?;
    if args.volumes {
        let volumes = engine.prune_volumes(PruneVolumes::Anonymous, &filter)?;
        all.volumes = volumes.volumes;
        all.bytes = all.bytes.saturating_add(volumes.bytes);
    }
    let images = engine.prune_images(which, &filter)?;
    all.images = images.images;
    all.bytes = all.bytes.saturating_add(images.bytes);
    // What earlier builds made goes with the images.
    all.bytes = all.bytes.saturating_add(engine.prune_builds()?);
    pruned::print(&all)?;
    Ok(Exit::Success)
}
