//! `coracle pull`

use coracle_packager::platform::Platform;
use coracle_packager::reference::Reference;

use super::super::args::registry::RegistryArgs;
use super::super::error::{Failure, with_causes};
use super::super::progress::Progress;
use super::super::{Exit, registries, ui};
use super::printing;
use crate::engine::{Engine, PulledImage, Registries};

/// Pull an image from a registry
///
/// Fetches what is not here yet and compiles the program, so that the first run starts as fast as any later one.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Show no progress
    #[arg(short, long)]
    quiet: bool,
    /// Choose the image's entry for this platform, such as wasi/wasm [default: WebAssembly, else this machine's]
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,
    #[command(flatten)]
    registry: RegistryArgs,
    /// The image's name
    #[arg(value_name = "NAME[:TAG|@DIGEST]")]
    image: String,
}

pub(in super::super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    let reference = Reference::parse(&args.image)?.or_latest();
    let platform = args.platform.as_deref().map(Platform::parse).transpose()?;
    let registries = args.registry.apply(registries::of_user()?);
    pull_from(
        engine,
        &reference,
        platform.as_ref(),
        args.quiet,
        &registries,
    )?;
    ui::line(&reference.to_string()).map_err(printing)?;
    Ok(Exit::Success)
}

/// Pulls an image, and shows how it goes.
pub(super) fn pull(
    engine: &Engine,
    reference: &Reference,
    platform: Option<&Platform>,
    quiet: bool,
) -> Result<PulledImage, Failure> {
    pull_from(engine, reference, platform, quiet, &registries::of_user()?)
}

fn pull_from(
    engine: &Engine,
    reference: &Reference,
    platform: Option<&Platform>,
    quiet: bool,
    registries: &Registries,
) -> Result<PulledImage, Failure> {
    let progress = Progress::choose(quiet);
    if !quiet {
        let what = reference
            .tag()
            .map_or_else(|| reference.to_string(), str::to_owned);
        ui::status(&format!("{what}: Pulling from {}", reference.repository()));
    }
    let pulled = engine.pull(reference, platform, registries, &|event| {
        progress.transfer(&event)
    })?;
    if !quiet {
        ui::status(&format!("Digest: {}", pulled.digest));
        let news = if pulled.up_to_date {
            "Image is up to date"
        } else {
            "Downloaded newer image"
        };
        ui::status(&format!("Status: {news} for {}", reference.familiar()));
        if let Some(problem) = &pulled.not_runnable {
            ui::warning(&format!(
                "the image's program cannot be run: {}",
                with_causes(problem)
            ));
        }
    }
    Ok(pulled)
}
