//! `coracle export`

use std::io::IsTerminal as _;
use std::path::PathBuf;

use super::super::error::Failure;
use super::super::{Exit, ui};
use crate::engine::{Engine, ExportTo};

/// Write a container's file system as a tar archive, on standard output unless --output says otherwise
///
/// Its image's files with its own changes, without what is mounted. `coracle import` makes an image of it.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Write to this file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The container: its name, or the beginning of its ID
    container: String,
}

pub(in super::super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    let left = match &args.output {
        Some(path) => engine.export(&args.container, ExportTo::File(path))?,
        None => {
            let mut stdout = std::io::stdout().lock();
            if stdout.is_terminal() {
                return Err(Failure::usage("exporting to a terminal would garble it")
                    .with_hint("name a file with --output, or redirect standard output"));
            }
            engine.export(&args.container, ExportTo::Stream(&mut stdout))?
        }
    };
    for path in left {
        ui::warning(&format!("left out {path}"));
    }
    Ok(Exit::Success)
}
