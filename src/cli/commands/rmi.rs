//! `coracle rmi`

use super::super::error::{Failure, with_causes};
use super::super::{Exit, ui};
use super::{for_each, printing};
use crate::engine::{Engine, Error, RemovedImage};

/// Remove images
///
/// Removes names; an image goes with its last name.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Remove every name of an image given by its ID, also if a container was made from it
    #[arg(short, long)]
    force: bool,
    /// Images: names, or the beginnings of their IDs
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

pub(in super::super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    let exit = for_each(&args.images, |image| {
        let removed = match engine.remove_image(image, args.force) {
            // As in Docker: what is not there is gone, as was wished.
            Err(error @ Error::NoSuchImage { .. }) if args.force => {
                Failure::from(error).report();
                return Ok(());
            }
            removed => removed?,
        };
        for removed in removed {
            let line = match removed {
                RemovedImage::Untagged(name) => format!("Untagged: {}", name.familiar()),
                RemovedImage::Deleted(digest) => format!("Deleted: {digest}"),
            };
            ui::line(&line).map_err(printing)?;
        }
        Ok(())
    });
    if let Err(error) = engine.tidy() {
        ui::warning(&format!(
            "files that nothing needs stay: {}",
            with_causes(&error)
        ));
    }
    Ok(exit)
}
