//! `coracle version`

use coracle_runtime::sandbox::wasm;
use serde::Serialize;

use super::super::error::Failure;
use super::super::{Exit, ui};
use super::{Format, printing};

/// Show the version of Coracle and of the parts that matter
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Print as a table or as JSON
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Version {
    version: &'static str,
    wasmtime: &'static str,
    os: &'static str,
    arch: &'static str,
}

pub(in super::super) fn run(args: &Args) -> Result<Exit, Failure> {
    let version = Version {
        version: env!("CARGO_PKG_VERSION"),
        wasmtime: wasm::WASMTIME_VERSION,
        os: std::env::consts::OS,
        arch: std::env::consts::ARCH,
    };
    match args.format {
        Format::Json => ui::json_line(&version).map_err(printing)?,
        Format::Table => {
            let rows = [
                format!("Coracle:   {}", version.version),
                format!("Wasmtime:  {}", version.wasmtime),
                format!("OS/Arch:   {}/{}", version.os, version.arch),
            ];
            for row in rows {
                ui::line(&row).map_err(printing)?;
            }
        }
    }
    Ok(Exit::Success)
}
