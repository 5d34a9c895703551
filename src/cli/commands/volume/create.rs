//! `coracle volume create`

use super::super::super::args::labels;
use super::super::super::error::Failure;
use super::super::super::{Exit, ui};
use super::super::printing;
use crate::engine::Engine;

/// Create a volume, and print its name
///
/// One that is there already stays as it is. `coracle run -v NAME:/path` creates a volume as well.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Add a label
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// Who keeps the files; there is one, `local`
    #[arg(short, long, default_value = "local")]
    driver: String,
    /// The name; one is made up if absent
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

pub(super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    if args.driver != "local" {
        return Err(Failure::usage(format!(
            "there is no volume driver {:?}, only `local`",
            args.driver
        ))
        .with_hint(
            "mount what another system keeps on this machine, and give its folder with -v",
        ));
    }
    let name = args.name.as_deref().map(str::parse).transpose()?;
    let volume = engine.create_volume(name, labels::parse(&args.labels)?)?;
    ui::line(volume.name.as_str()).map_err(printing)?;
    Ok(Exit::Success)
}
