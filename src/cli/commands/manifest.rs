//! `coracle manifest`: Docker's and Podman's group for indexes.

use coracle_packager::platform::Platform;
use coracle_packager::reference::Reference;

use super::super::args::labels;
use super::super::error::Failure;
use super::super::{Exit, ui};
use super::tag::new_name;
use super::{for_each, printing, push};
use crate::engine::{Engine, EntryChange};

/// Put images for several platforms together under one name
///
/// Such an index is kept here like an image; its images must be here when it is pushed.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Make an index of images that are here
    Create {
        /// Add to an index that is there
        #[arg(short, long)]
        amend: bool,
        /// The index's name
        list: String,
        /// Images; of one with several entries the one that would be run here
        images: Vec<String>,
    },
    /// Add an image to an index
    Add {
        /// Add all entries of the image that are here
        #[arg(long)]
        all: bool,
        /// Add the image's entry for this platform
        #[arg(long, value_name = "OS/ARCH", conflicts_with = "all")]
        platform: Option<String>,
        #[command(flatten)]
        change: Change,
        /// The index
        list: String,
        /// The image: its name, or the beginning of its ID
        image: String,
    },
    /// Change what an index says of an entry
    Annotate {
        #[command(flatten)]
        change: Change,
        /// The index
        list: String,
        /// The entry: its digest, or an image here
        image: String,
    },
    /// Show an index, as JSON
    Inspect {
        /// The index
        list: String,
    },
    /// Push an index and its images to the registry that its name says
    Push {
        /// Remove it here afterwards
        #[arg(short, long)]
        purge: bool,
        #[command(flatten)]
        push: push::Args,
    },
    /// Remove indexes; images with names of their own stay
    Rm {
        /// The indexes
        #[arg(required = true, value_name = "LIST")]
        lists: Vec<String>,
    },
}

#[derive(clap::Args)]
struct Change {
    /// Say that the entry is for this operating system
    #[arg(long)]
    os: Option<String>,
    /// Say that it is for this architecture
    #[arg(long)]
    arch: Option<String>,
    /// Say that it is for this variant of the architecture
    #[arg(long)]
    variant: Option<String>,
    /// Add an annotation to the entry
    #[arg(long = "annotation", value_name = "KEY=VALUE")]
    annotations: Vec<String>,
}

impl Change {
    fn parse(&self) -> Result<EntryChange, Failure> {
        Ok(EntryChange {
            os: self.os.clone(),
            architecture: self.arch.clone(),
            variant: self.variant.clone(),
            annotations: labels::parse(&self.annotations)?.into_iter().collect(),
        })
    }
}

pub(in super::super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    let digest = match &args.command {
        Command::Create {
            amend,
            list,
            images,
        } => engine.create_list(&new_name(list)?, images, *amend)?,
        Command::Add {
            all,
            platform,
            change,
            list,
            image,
        } => {
            let platform = platform.as_deref().map(Platform::parse).transpose()?;
            let change = change.parse()?;
            engine.add_to_list(&name(list)?, image, platform.as_ref(), *all, &change)?
        }
        Command::Annotate {
            change,
            list,
            image,
        } => engine.annotate_list(&name(list)?, image, &change.parse()?)?,
        Command::Inspect { list } => {
            let text = engine.inspect_list(&name(list)?)?;
            let value: serde_json::Value = serde_json::from_slice(&text)
                .map_err(std::io::Error::from)
                .map_err(printing)?;
            ui::json_pretty(&value).map_err(printing)?;
            return Ok(Exit::Success);
        }
        Command::Push { purge, push: args } => {
            let exit = push::run(engine, args)?;
            if *purge {
                engine.remove_list(&name(args.image())?)?;
            }
            return Ok(exit);
        }
        Command::Rm { lists } => {
            return Ok(for_each(lists, |list| {
                let name = name(list)?;
                engine.remove_list(&name)?;
                // Also what a build made is an index: it must be seen that its name is gone.
                ui::line(&format!("Untagged: {}", name.familiar())).map_err(printing)
            }));
        }
    };
    ui::line(&digest.to_string()).map_err(printing)?;
    Ok(Exit::Success)
}

fn name(text: &str) -> Result<Reference, Failure> {
    Ok(Reference::parse(text)?.or_latest())
}
