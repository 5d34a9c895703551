//! `spec` and `features`.

use std::path::PathBuf;

use super::super::super::{Exit, ui};
use super::OciError;
use coracle_runtime::sandbox::native;

/// Write a configuration to begin with
#[derive(clap::Args)]
pub(super) struct Args {
    /// The bundle's folder
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    bundle: PathBuf,

    /// For a user without privileges
    #[arg(long)]
    rootless: bool,
}

pub(super) fn write(args: &Args) -> Result<Exit, OciError> {
    let path = args.bundle.join("config.json");
    let step = || OciError::io(format!("writing {}", path.display()));
    let spec = native::default_spec(args.rootless.then(coracle_runtime::sys::user_and_group));
    let file = std::fs::File::create_new(&path).map_err(step())?;
    serde_json::to_writer_pretty(file, &spec).map_err(|error| step()(error.into()))?;
    Ok(Exit::Success)
}

pub(super) fn features() -> Result<Exit, OciError> {
    ui::json_pretty(&native::features())
        .map(|()| Exit::Success)
        .map_err(OciError::io("writing to standard output"))
}
