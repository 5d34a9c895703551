//! `coracle import`

use std::fs::File;
use std::path::Path;

use coracle_packager::platform::Platform;

use super::super::error::{Failure, with_causes};
use super::super::{Exit, ui};
use super::printing;
use super::tag::new_name;
use crate::engine::{Engine, ImportImage, now};

/// Make an image of a tar with a root file system
///
/// Prints the image's ID. The tar may be compressed with gzip or zstd, and comes from `coracle export`, for example.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Apply a Dockerfile instruction: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, USER, VOLUME or WORKDIR
    #[arg(short, long = "change", value_name = "INSTRUCTION")]
    changes: Vec<String>,
    /// Remark for the image's history [default: Imported from FILE]
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// The image's platform
    #[arg(long, value_name = "OS/ARCH", default_value = "wasi/wasm")]
    platform: String,
    /// The tar, or `-` for standard input
    #[arg(value_name = "FILE")]
    file: String,
    /// The image's name
    #[arg(value_name = "NAME[:TAG]")]
    name: Option<String>,
}

pub(in super::super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    let request = ImportImage {
        name: args.name.as_deref().map(new_name).transpose()?,
        changes: args.changes.clone(),
        message: args
            .message
            .clone()
            .unwrap_or_else(|| format!("Imported from {}", args.file)),
        platform: Platform::parse(&args.platform)?,
        created: super::build::source_date_or(now())?,
    };
    let (image, not_runnable) = if args.file == "-" {
        engine.import(std::io::stdin().lock(), "standard input", &request)?
    } else {
        let file = File::open(&args.file).map_err(|source| open_failure(&args.file, source))?;
        engine.import(file, &args.file, &request)?
    };
    ui::line(&image.config_digest.to_string()).map_err(printing)?;
    if let Some(problem) = not_runnable {
        ui::warning(&format!(
            "the image's program cannot be run: {}",
            with_causes(&problem)
        ));
    }
    Ok(Exit::Success)
}

fn open_failure(file: &str, source: std::io::Error) -> Failure {
    if !Path::new(file).exists() && file.contains("://") {
        return Failure::usage(format!("importing {file}: only files are read"))
            .with_hint("fetch it, as in `curl -L URL | coracle import -`");
    }
    Failure::Io {
        doing: format!("opening {file}"),
        source,
    }
}
