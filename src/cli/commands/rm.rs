//! `coracle rm`

use super::super::error::Failure;
use super::super::{Exit, ui};
use super::{for_each, printing};
use coracle_runtime::container::ContainerError;

use crate::engine::{Engine, Error, RemoveContainer};

/// Remove containers and their files
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Kill the container first if it runs
    #[arg(short, long)]
    force: bool,
    /// Remove the volumes that were made for it as well; those with a name stay
    #[arg(short, long)]
    volumes: bool,
    /// Containers: names, or the beginnings of their IDs
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(in super::super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    let exit = for_each(&args.containers, |container| {
        let how = RemoveContainer {
            force: args.force,
            volumes: args.volumes,
        };
        match engine.remove_container(container, how) {
            // As in Docker: what is not there is gone, as was wished.
            Err(error @ Error::Container(ContainerError::NotFound { .. })) if args.force => {
                Failure::from(error).report();
                Ok(())
            }
            removed => {
                removed?;
                ui::line(container).map_err(printing)
            }
        }
    });
    engine.tidy()?;
    Ok(exit)
}
