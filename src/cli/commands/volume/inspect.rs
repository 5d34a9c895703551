//! `coracle volume inspect`

use serde_json::{Value, json};

use super::super::super::error::Failure;
use super::super::super::{Exit, listing, units};
use super::super::for_each;
use crate::engine::{Engine, Volume};

/// Show everything about volumes, as JSON
#[derive(clap::Args)]
pub(super) struct Args {
    /// Print each as a template says, such as {{.Mountpoint}}
    #[arg(short, long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// The volumes' names
    #[arg(required = true, value_name = "VOLUME")]
    volumes: Vec<String>,
}

pub(super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    let mut found = Vec::new();
    let exit = for_each(&args.volumes, |name| {
        found.push(shown(&engine.find_volume(name)?));
        Ok(())
    });
    listing::print_each(args.format.as_deref(), &found)?;
    Ok(exit)
}

/// Returns Docker's fields.
pub(in super::super) fn shown(volume: &Volume) -> Value {
    json!({
        "CreatedAt": units::rfc3339(volume.created),
        "Driver": "local",
        "Labels": (!volume.labels.is_empty()).then_some(&volume.labels),
        "Mountpoint": volume.path(),
        "Name": volume.name.as_str(),
        "Options": null,
        "Scope": "local",
    })
}
