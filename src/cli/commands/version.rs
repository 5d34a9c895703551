//! `coracle version`

use coracle_runtime::sandbox::wasm;
use serde::Serialize;
use serde_json::json;

use super::super::error::Failure;
use super::super::{Exit, listing, ui};
use super::printing;

/// Show the version of Coracle and of the parts that matter
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Print as JSON, or as a template says, such as {{.Client.Version}}
    #[arg(short, long, value_name = "json|TEMPLATE")]
    format: Option<String>,
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
    match args.format.as_deref() {
        Some(format) if format != "table" => {
            // Docker has two halves; here both are this program.
            let half =
                json!({ "Version": version.version, "Os": version.os, "Arch": version.arch });
            let mut shown = serde_json::to_value(&version).unwrap_or_default();
            if let Some(shown) = shown.as_object_mut() {
                shown.insert("Client".to_owned(), half.clone());
                shown.insert("Server".to_owned(), half);
            }
            listing::print_each(Some(format), &[shown])?;
        }
        _ => {
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
