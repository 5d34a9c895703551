//! `coracle push`

use coracle_packager::reference::Reference;

use super::super::args::registry::RegistryArgs;
use super::super::error::Failure;
use super::super::progress::Progress;
use super::super::{Exit, registries, ui};
use super::printing;
use crate::engine::Engine;

/// Push an image to a registry
///
/// The image's name says which: `registry.example:5000/team/app:1.2`. Give an image such a name with `coracle tag`.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Show no progress
    #[arg(short, long)]
    quiet: bool,
    /// Push the program alone, as a Wasm artifact (CNCF); refused if the image is more than that
    #[arg(long)]
    artifact: bool,
    #[command(flatten)]
    registry: RegistryArgs,
    /// The image's name
    #[arg(value_name = "NAME[:TAG]")]
    image: String,
}

impl Args {
    /// Returns the image's name as it was typed.
    pub(super) fn image(&self) -> &str {
        &self.image
    }
}

pub(in super::super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    let reference = Reference::parse(&args.image)?.or_latest();
    let registries = args.registry.apply(registries::of_user()?);
    let progress = Progress::choose(args.quiet);
    // What is not here goes nowhere.
    engine.has_image(&reference)?;
    if !args.quiet {
        ui::status(&format!(
            "The push refers to repository [{}]",
            reference.name()
        ));
    }
    let transfer = |event| progress.transfer(&event);
    let pushed = match args.artifact {
        true => engine.push_artifact(&reference, &registries, &transfer)?,
        false => engine.push(&reference, &registries, &transfer)?,
    };
    let line = if args.quiet {
        reference.to_string()
    } else {
        let tag = reference.tag().unwrap_or_default();
        format!("{tag}: digest: {} size: {}", pushed.digest, pushed.size)
    };
    ui::line(&line).map_err(printing)?;
    Ok(Exit::Success)
}
