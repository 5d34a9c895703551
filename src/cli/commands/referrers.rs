//! `coracle referrers`: OCI's word for what is attached to an image. (`podman artifact` is about another thing: artifacts that are
//! kept on this machine.)

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Component, Path, PathBuf};

use coracle_packager::reference::Reference;

use super::super::args::labels;
use super::super::args::registry::RegistryArgs;
use super::super::error::Failure;
use super::super::{Exit, registries, ui, units};
use super::{Format, printing};
use crate::engine::{ATTACHED_LIMIT, AttachedFile, Engine};

/// What a file is, if nothing is said.
const ANY: &str = "application/octet-stream";

/// List, attach and fetch what refers to an image in its registry: signatures, bills of materials, notes
#[derive(clap::Args)]
pub(in super::super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List what refers to an image
    #[command(alias = "list")]
    Ls {
        /// Only this type
        #[arg(long, value_name = "TYPE")]
        artifact_type: Option<String>,
        /// Print a table, or one JSON object per line
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
        #[command(flatten)]
        registry: RegistryArgs,
        /// The image
        #[arg(value_name = "NAME[:TAG|@DIGEST]")]
        image: String,
    },
    /// Attach files to an image, and print the digest of what refers to it
    Attach {
        /// What it is, such as application/spdx+json
        #[arg(long, value_name = "TYPE")]
        artifact_type: String,
        /// Say this about it
        #[arg(short, long = "annotation", value_name = "KEY=VALUE")]
        annotations: Vec<String>,
        #[command(flatten)]
        registry: RegistryArgs,
        /// The image
        #[arg(value_name = "NAME[:TAG|@DIGEST]")]
        image: String,
        /// Files, each with its media type after a colon if it has one: sbom.json:application/json
        #[arg(value_name = "FILE[:TYPE]")]
        files: Vec<String>,
    },
    /// Fetch the files of what refers to an image; `ls` prints its digest
    Pull {
        /// Write them into this folder
        #[arg(short, long, value_name = "DIR", default_value = ".")]
        output: PathBuf,
        #[command(flatten)]
        registry: RegistryArgs,
        /// The repository, and the digest
        #[arg(value_name = "NAME@DIGEST")]
        name: String,
    },
}

pub(in super::super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    match &args.command {
        Command::Ls {
            artifact_type,
            format,
            registry,
            image,
        } => list(engine, artifact_type.as_deref(), *format, registry, image),
        Command::Attach {
            artifact_type,
            annotations,
            registry,
            image,
            files,
        } => {
            let reference = Reference::parse(image)?.or_latest();
            let annotations = labels::parse(annotations)?;
            let files = files.iter().map(|file| read(file));
            let files = files.collect::<Result<Vec<_>, _>>()?;
            let registries = registry.apply(registries::of_user()?);
            let digest =
                engine.attach_files(&reference, artifact_type, annotations, files, &registries)?;
            ui::line(&digest.to_string()).map_err(printing)?;
            Ok(Exit::Success)
        }
        Command::Pull {
            output,
            registry,
            name,
        } => fetch(engine, output, registry, name),
    }
}

fn list(
    engine: &Engine,
    artifact_type: Option<&str>,
    format: Format,
    registry: &RegistryArgs,
    image: &str,
) -> Result<Exit, Failure> {
    let reference = Reference::parse(image)?.or_latest();
    let registries = registry.apply(registries::of_user()?);
    let (_, all) = engine.list_attached(&reference, artifact_type, &registries)?;
    if format == Format::Json {
        for one in &all {
            ui::json_line(one).map_err(printing)?;
        }
        return Ok(Exit::Success);
    }
    let mut table = ui::Table::new(&["DIGEST", "ARTIFACT TYPE", "SIZE"]);
    for one in &all {
        let kind = one.artifact_type().as_ref();
        table.row([
            one.digest().to_string(),
            kind.map(ToString::to_string).unwrap_or_default(),
            units::size(one.size()),
        ]);
    }
    table.print().map_err(printing)?;
    Ok(Exit::Success)
}

fn fetch(
    engine: &Engine,
    output: &Path,
    registry: &RegistryArgs,
    name: &str,
) -> Result<Exit, Failure> {
    let reference = Reference::parse(name)?;
    if reference.digest().is_none() {
        return Err(Failure::usage(format!("{name:?} has no digest"))
            .with_hint("`coracle referrers ls IMAGE` prints the digests of what refers to it"));
    }
    let registries = registry.apply(registries::of_user()?);
    let files = engine.fetch_attached(&reference, &registries)?;
    // All names are looked at before anything is written.
    let mut places: Vec<(String, &AttachedFile)> = Vec::new();
    for (position, file) in files.iter().enumerate() {
        let title = match &file.title {
            Some(title) => title.clone(),
            None => format!("file-{position}"),
        };
        let is_taken = places.iter().any(|(other, _)| *other == title);
        if !is_file_name(&title) || is_taken {
            return Err(Failure::usage(format!(
                "the file {title:?} cannot be written: its name leads elsewhere, or two have it"
            )));
        }
        places.push((title, file));
    }
    for (title, file) in places {
        let path = output.join(&title);
        // What is there stays: the name is a stranger's choice.
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .and_then(|mut target| target.write_all(&file.bytes));
        written.map_err(|source| Failure::Io {
            doing: format!("writing {}", path.display()),
            source,
        })?;
        ui::line(&super::super::sanitize::sanitize(
            &path.display().to_string(),
        ))
        .map_err(printing)?;
    }
    Ok(Exit::Success)
}

/// Is it the name of a file in a folder, on every system, and no way out of it?
fn is_file_name(title: &str) -> bool {
    let mut parts = Path::new(title).components();
    matches!(
        (parts.next(), parts.next()),
        (Some(Component::Normal(_)), None)
    ) && title.len() <= 255
        && !title.ends_with('/')
        && !title.contains(['\\', ':'])
        && !title.chars().any(char::is_control)
}

/// Reads a file that was typed as `FILE[:TYPE]`.
fn read(typed: &str) -> Result<AttachedFile, Failure> {
    let (path, media_type) = match typed.rsplit_once(':') {
        // A media type has a slash, but no path that goes on after a colon should be taken for one.
        Some((path, kind)) if kind.contains('/') && !Path::new(typed).exists() => (path, kind),
        _ => (typed, ANY),
    };
    let failed = |source| Failure::Io {
        doing: format!("reading {path}"),
        source,
    };
    let mut bytes = Vec::new();
    let limit = ATTACHED_LIMIT as u64;
    File::open(path)
        .and_then(|file| file.take(limit + 1).read_to_end(&mut bytes))
        .map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(Failure::usage(format!(
            "{path} has more than {limit} bytes: it is too large to be attached"
        )));
    }
    let title = Path::new(path).file_name();
    Ok(AttachedFile {
        title: title.map(|title| title.to_string_lossy().into_owned()),
        media_type: media_type.to_owned(),
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_file_name_leads_nowhere() {
        for title in ["sbom.json", "a b", "日本", ".hidden"] {
            assert!(is_file_name(title), "{title}");
        }
        for title in [
            "",
            ".",
            "..",
            "../x",
            "/etc/passwd",
            "a/b",
            "a/",
            "a\\b",
            "c:x",
            "a\nb",
            "a\0",
            &"x".repeat(256),
        ] {
            assert!(!is_file_name(title), "{title:?}");
        }
    }
}
