//! `coracle volume inspect`

use serde_json::{Value, json};

use super::super::super::error::Failure;
use super::super::super::{Exit, ui, units};
use super::super::{for_each, printing};
use crate::engine::{Engine, Volume};

/// Show everything about volumes, as JSON
#[derive(clap::Args)]
pub(super) struct Args {
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
    ui::json_pretty(&found).map_err(printing)?;
    Ok(exit)
}

/// Returns Docker's fields.
fn shown(volume: &Volume) -> Value {
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
