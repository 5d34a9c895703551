//! `coracle load`

use std::io::IsTerminal as _;
use std::path::PathBuf;

use super::super::error::{Failure, with_causes};
use super::super::{Exit, ui};
use super::printing;
use crate::engine::Engine;

/// Load images from a tar archive or an OCI layout, from standard input unless --input says otherwise
///
/// Reads what `coracle save`, `docker save`, `podman save`, skopeo and BuildKit write, plain or compressed with gzip or zstd. If
/// anything in it is wrong, nothing is loaded.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Read this file or folder
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Do not warn about programs that cannot be run
    #[arg(short, long)]
    quiet: bool,
}

pub(in super::super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    let loaded = match &args.input {
        Some(path) => engine.load_file(path)?,
        None => {
            let stdin = std::io::stdin().lock();
            if stdin.is_terminal() {
                return Err(
                    Failure::usage("loading from a terminal: nothing comes from there")
                        .with_hint("name a file with --input, or redirect standard input"),
                );
            }
            engine.load_stream(stdin)?
        }
    };
    for image in loaded {
        for name in &image.names {
            ui::line(&format!("Loaded image: {}", name.familiar())).map_err(printing)?;
        }
        if image.names.is_empty() {
            ui::line(&format!("Loaded image ID: {}", image.id)).map_err(printing)?;
        }
        if let (false, Some(problem)) = (args.quiet, &image.not_runnable) {
            ui::warning(&format!(
                "the program of {} cannot be run: {}",
                image.id.short(),
                with_causes(problem)
            ));
        }
    }
    Ok(Exit::Success)
}
