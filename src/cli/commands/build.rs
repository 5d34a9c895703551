//! `coracle build`

use std::path::{Path, PathBuf};

use coracle_packager::build::BuildRequest;
use coracle_packager::platform::Platform;
use coracle_packager::reference::Reference;

use super::super::args::labels;
use super::super::error::{Failure, with_causes};
use super::super::progress::Progress;
use super::super::{Exit, registries, ui};
use super::printing;
use super::tag::new_name;
use crate::engine::{BuildImage, BuiltImage, Engine, open_context};

/// Largest Dockerfile that is read, in bytes; the packager refuses it long before.
const LARGEST_DOCKERFILE: u64 = 16 << 20;

/// Build an image from a folder with a Dockerfile
///
/// The same files give the same image, byte for byte: times and owners of the folder do not count.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Name the image; may be given several times
    #[arg(short, long = "tag", value_name = "NAME[:TAG]")]
    tags: Vec<String>,
    /// Use this Dockerfile [default: Dockerfile in the folder]
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Set an ARG; a bare name takes the caller's variable
    #[arg(long = "build-arg", value_name = "NAME=VALUE")]
    build_args: Vec<String>,
    /// Add a label
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// Build for this platform
    #[arg(long, value_name = "OS/ARCH", default_value = "wasi/wasm")]
    platform: String,
    /// Make a Wasm artifact of the program alone (CNCF); refused if the image is more than that
    #[arg(long)]
    artifact: bool,
    /// Build this stage [default: the last one]
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,
    /// Print the image ID only
    #[arg(short, long)]
    quiet: bool,
    /// The folder
    #[arg(value_name = "PATH")]
    context: PathBuf,
}

pub(in super::super) fn run(engine: &Engine, args: Args) -> Result<Exit, Failure> {
    let names = args.tags.iter().map(|name| new_name(name));
    let names = names.collect::<Result<Vec<_>, _>>()?;
    let built = build(engine, &args, names.clone())?;
    if names.is_empty() {
        ui::warning(
            "the image has no name: name it with --tag, or it goes with `coracle image prune`",
        );
    }
    if args.quiet {
        ui::line(&built.image.config_digest.to_string()).map_err(printing)?;
    } else {
        ui::status(&format!("built {}", built.image.config_digest));
        for name in names {
            ui::status(&format!("named {}", name.familiar()));
        }
    }
    Ok(Exit::Success)
}

/// Builds the folder as `run ./folder` does: with its Dockerfile, and no flags.
pub(super) fn folder(
    engine: &Engine,
    context: &Path,
    name: Reference,
) -> Result<BuiltImage, Failure> {
    let args = Args {
        tags: Vec::new(),
        file: None,
        build_args: Vec::new(),
        labels: Vec::new(),
        target: None,
        artifact: false,
        platform: "wasi/wasm".to_owned(),
        quiet: !ui::is_watched(),
        context: context.to_owned(),
    };
    build(engine, &args, vec![name])
}

fn build(engine: &Engine, args: &Args, names: Vec<Reference>) -> Result<BuiltImage, Failure> {
    let file = args
        .file
        .clone()
        .unwrap_or_else(|| args.context.join("Dockerfile"));
    let context = open_context(&args.context)?;
    let dockerfile = read_dockerfile(&file)?;
    let build_args =
        super::super::args::env::resolve(&args.build_args, |name| std::env::var_os(name))?;
    let pairs = build_args.iter().filter_map(|pair| pair.split_once('='));
    let request = BuildRequest {
        context,
        dockerfile,
        // Inside the folder, its name there finds the ignore file that belongs to it.
        dockerfile_name: file
            .strip_prefix(&args.context)
            .unwrap_or(&file)
            .display()
            .to_string(),
        args: pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        labels: labels::parse(&args.labels)?.into_iter().collect(),
        target: args.target.clone(),
        source_date: source_date()?,
        platform: Platform::parse(&args.platform)?,
        tags: names,
    };
    let registries = registries::of_user()?;
    let progress = Progress::choose(args.quiet);
    let built = engine.build(&BuildImage {
        request,
        artifact: args.artifact,
        registries: &registries,
        progress: &|event| progress.build(&event),
        transfer: &|event| progress.transfer(&event),
    })?;
    for warning in &built.warnings {
        ui::warning(warning);
    }
    let platform = built.image.platform();
    if built.not_runnable.is_none() && !platform.is_wasm() {
        ui::warning(&format!(
            "the program is WebAssembly, but the image says {platform}: other tools would run it as native code. Leave out --platform"
        ));
    }
    if let Some(problem) = &built.not_runnable {
        ui::warning(&format!(
            "the image's program cannot be run: {}",
            with_causes(problem)
        ));
    }
    Ok(built)
}

fn read_dockerfile(path: &Path) -> Result<String, Failure> {
    use std::io::Read;
    let doing = || format!("reading {}", path.display());
    let failed = |source: std::io::Error| {
        if source.kind() == std::io::ErrorKind::NotFound {
            return Failure::usage(format!("{}: there is no such file", doing()))
                .with_hint("name the Dockerfile with --file");
        }
        Failure::Io {
            doing: doing(),
            source,
        }
    };
    let mut text = String::new();
    std::fs::File::open(path)
        .map_err(failed)?
        .take(LARGEST_DOCKERFILE)
        .read_to_string(&mut text)
        .map_err(failed)?;
    Ok(text)
}

/// Returns the time that the image says it was made: `SOURCE_DATE_EPOCH`, else 0, so that equal inputs give equal images.
fn source_date() -> Result<i64, Failure> {
    source_date_or(0)
}

/// Returns `SOURCE_DATE_EPOCH`, else another time.
pub(super) fn source_date_or(time: i64) -> Result<i64, Failure> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text.parse().map_err(|_| {
            Failure::usage(format!(
                "reading SOURCE_DATE_EPOCH: {text:?} is not a number of seconds since 1970"
            ))
        }),
        Err(_) => Ok(time),
    }
}
