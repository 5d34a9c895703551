//! `coracle build`

mod output;
mod secret;
mod source;

use std::path::{Path, PathBuf};

use coracle_packager::build::{BuildRequest, Fresh, NamedContext};
use coracle_packager::platform::Platform;
use coracle_packager::reference::Reference;

use super::super::args::labels;
use super::super::build_progress::{BuildProgress, Style};
use super::super::error::{Failure, with_causes};
use super::super::sanitize::sanitize;
use super::super::{Exit, registries, ui};
use super::printing;
use super::tag::new_name;
use crate::engine::{BuildImage, BuiltImage, Engine, UnpackedContext, open_context};
use output::Output;

/// Build an image from a Dockerfile
///
/// The same files give the same image, byte for byte: times and owners of the folder do not count. Stages that do not need
/// each other are built at the same time, and what has not changed is not built again.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Name the image; may be given several times
    #[arg(short, long = "tag", value_name = "NAME[:TAG]")]
    tags: Vec<String>,
    /// Use this Dockerfile; `-` is standard input [default: Dockerfile in the folder]
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Set an ARG; a bare name takes the caller's variable
    #[arg(long = "build-arg", value_name = "NAME=VALUE")]
    build_args: Vec<String>,
    /// Add a context that FROM and --from can name: a folder, or docker-image://IMAGE
    #[arg(long = "build-context", value_name = "NAME=SOURCE")]
    build_contexts: Vec<String>,
    /// Add a label
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// Add an annotation to the manifest
    #[arg(long = "annotation", value_name = "KEY=VALUE")]
    annotations: Vec<String>,
    /// Build for these platforms [default: that of the image in FROM, and wasi/wasm for FROM scratch]
    #[arg(long, value_name = "OS/ARCH,…", value_delimiter = ',')]
    platform: Vec<String>,
    /// Make a Wasm artifact of the program alone (CNCF); refused if the image is more than that
    #[arg(long)]
    artifact: bool,
    /// Build this stage [default: the last one]
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,
    /// Let RUN see a file that no layer keeps: id=NAME,src=FILE or id=NAME,env=VARIABLE
    #[arg(long = "secret", value_name = "id=NAME,src=FILE")]
    secrets: Vec<String>,
    /// Carry out all steps, though their result is known
    #[arg(long)]
    no_cache: bool,
    /// Carry out all steps of these stages
    #[arg(long, value_name = "STAGE,…", value_delimiter = ',')]
    no_cache_filter: Vec<String>,
    /// Fetch base images though they are here
    #[arg(long)]
    pull: bool,
    /// Where the result goes: type=local|tar|oci|docker,dest=PATH, a folder, or `-` for a tar on standard output
    #[arg(short, long, value_name = "TARGET")]
    output: Option<String>,
    /// Write the image's ID to this file
    #[arg(long, value_name = "FILE")]
    iidfile: Option<PathBuf>,
    /// Write what was built to this file, as JSON
    #[arg(long, value_name = "FILE")]
    metadata_file: Option<PathBuf>,
    /// How progress is shown
    #[arg(long, value_enum, value_name = "STYLE", default_value = "auto")]
    progress: Style,
    /// Look at the Dockerfile and build nothing; exit with 1 if there is something to look at
    #[arg(long)]
    check: bool,
    /// Print the image ID only
    #[arg(short, long)]
    quiet: bool,
    /// The folder; `-` reads a Dockerfile, or a tar archive of a folder, from standard input
    #[arg(value_name = "PATH")]
    context: PathBuf,
}

pub(in super::super) fn run(engine: &Engine, args: Args) -> Result<Exit, Failure> {
    let names = args.tags.iter().map(|name| new_name(name));
    let names = names.collect::<Result<Vec<_>, _>>()?;
    if args.artifact && args.platform.len() > 1 {
        return Err(Failure::usage("an artifact is for one platform"));
    }
    if args.check {
        return check(engine, &args);
    }
    let output = args.output.as_deref().map(Output::parse).transpose()?;
    let built = build(engine, &args, names.clone())?;
    let id = built.image.config_digest.to_string();
    if let Some(path) = &args.iidfile {
        write(path, id.as_bytes())?;
    }
    if let Some(path) = &args.metadata_file {
        write(path, &metadata(&built, &names)?)?;
    }
    if let Some(output) = &output {
        output.write(engine, &built)?;
    }
    if args.quiet {
        ui::line(&id).map_err(printing)?;
        return Ok(Exit::Success);
    }
    if names.is_empty() && output.is_none() {
        ui::warning(
            "the image has no name: name it with --tag, or it goes with `coracle image prune`",
        );
    }
    ui::status(&format!("built {id}"));
    for name in names {
        ui::status(&format!("named {}", name.familiar()));
    }
    Ok(Exit::Success)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, bytes).map_err(|source| Failure::Io {
        doing: format!("writing {}", path.display()),
        source,
    })
}

/// What `docker buildx build --metadata-file` writes, as far as there is something to say.
fn metadata(built: &BuiltImage, names: &[Reference]) -> Result<Vec<u8>, Failure> {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let value = serde_json::json!({
        "containerimage.config.digest": built.image.config_digest.to_string(),
        "containerimage.digest": built.descriptor.digest().to_string(),
        "containerimage.descriptor": built.descriptor,
        "image.name": names.join(","),
    });
    serde_json::to_vec_pretty(&value).map_err(|error| Failure::Io {
        doing: "writing metadata".to_owned(),
        source: error.into(),
    })
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
        build_contexts: Vec::new(),
        labels: Vec::new(),
        annotations: Vec::new(),
        target: None,
        artifact: false,
        platform: Vec::new(),
        secrets: Vec::new(),
        no_cache: false,
        no_cache_filter: Vec::new(),
        pull: false,
        output: None,
        iidfile: None,
        metadata_file: None,
        progress: Style::Auto,
        check: false,
        quiet: !ui::is_watched(),
        context: context.to_owned(),
    };
    build(engine, &args, vec![name])
}

/// Says what BuildKit's checks say of the Dockerfile.
fn check(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    let (request, platforms, _unpacked) = request(engine, args, Vec::new())?;
    let name = request.dockerfile_name.clone();
    let text = request.dockerfile.clone();
    let request = BuildRequest {
        platform: platforms.into_iter().next(),
        ..request
    };
    let (warnings, _) = engine.check_build(&request)?;
    if warnings.is_empty() {
        ui::line("Check complete, no warnings found.").map_err(printing)?;
        return Ok(Exit::Success);
    }
    let count = match warnings.len() {
        1 => "1 warning has".to_owned(),
        count => format!("{count} warnings have"),
    };
    ui::line(&format!("Check complete, {count} been found!")).map_err(printing)?;
    let lines: Vec<&str> = text.lines().collect();
    for warning in warnings {
        let number = warning.place.line;
        let line = lines.get(number.saturating_sub(1)).unwrap_or(&"");
        let said = format!(
            "\nWARNING: {}\n{}\n{name}:{number}\n--------------------\n{number:>4} | >>> {line}\n--------------------",
            warning.rule, warning.text
        );
        for line in said.lines() {
            ui::line(&sanitize(line)).map_err(printing)?;
        }
    }
    Ok(Exit::Failure)
}

fn build(engine: &Engine, args: &Args, names: Vec<Reference>) -> Result<BuiltImage, Failure> {
    let (request, platforms, unpacked) = request(engine, args, names)?;
    let secrets = args.secrets.iter().map(|text| secret::read(text));
    let registries = registries::of_user()?;
    let progress = BuildProgress::new(if args.quiet {
        Style::Quiet
    } else {
        args.progress
    });
    let result = engine.build(BuildImage {
        request,
        secrets: secrets.collect::<Result<Vec<_>, _>>()?,
        platforms,
        artifact: args.artifact,
        registries: &registries,
        pull: args.pull,
        progress: &|event| progress.event(&event),
        transfer: &|event| progress.transfer(&event),
    });
    progress.finish(result.is_err());
    drop(unpacked);
    let built = result?;
    for warning in &built.warnings {
        ui::warning(warning);
    }
    let platform = built.image.platform();
    if built.not_runnable.is_none() && !platform.is_wasm() && built.is_wasm {
        ui::warning(&format!(
            "the program is WebAssembly, but the image says {platform}: other tools would run it as native code. Leave out --platform"
        ));
    }
    if let Some(problem) = built.not_runnable.as_ref().filter(|_| platform.is_wasm()) {
        ui::warning(&format!(
            "the image's program cannot be run: {}",
            with_causes(problem)
        ));
    }
    Ok(built)
}

/// Reads all that says what to build.
fn request(
    engine: &Engine,
    args: &Args,
    names: Vec<Reference>,
) -> Result<(BuildRequest, Vec<Platform>, Option<UnpackedContext>), Failure> {
    let source = source::open(engine, &args.context, args.file.as_deref())?;
    let build_args =
        super::super::args::env::resolve(&args.build_args, |name| std::env::var_os(name))?;
    let pairs = build_args.iter().filter_map(|pair| pair.split_once('='));
    let platforms = args.platform.iter().map(|text| Platform::parse(text));
    let platforms = platforms.collect::<Result<Vec<_>, _>>()?;
    let contexts = args.build_contexts.iter().map(|text| named_context(text));
    let request = BuildRequest {
        dockerfile_name: source.name.clone(),
        args: pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        labels: labels::parse(&args.labels)?.into_iter().collect(),
        annotations: labels::parse(&args.annotations)?.into_iter().collect(),
        target: args.target.clone(),
        source_date: source_date()?,
        contexts: contexts.collect::<Result<Vec<_>, _>>()?,
        tags: names,
        cache: Some(engine.step_cache()),
        fresh: match (args.no_cache, args.no_cache_filter.as_slice()) {
            (true, _) => Fresh::All,
            (false, []) => Fresh::None,
            (false, stages) => Fresh::Stages(stages.to_vec()),
        },
        ..BuildRequest::new(source.context, source.dockerfile)
    };
    Ok((request, platforms, source.unpacked))
}

/// Reads `NAME=FOLDER` or `NAME=docker-image://IMAGE`.
fn named_context(text: &str) -> Result<(String, NamedContext), Failure> {
    let wrong = |problem: &str| {
        Failure::usage(format!("parsing --build-context {text:?}: {problem}"))
            .with_hint("write NAME=FOLDER or NAME=docker-image://IMAGE")
    };
    let (name, source) = text.split_once('=').ok_or_else(|| wrong("it has no `=`"))?;
    if name.is_empty() || source.is_empty() {
        return Err(wrong("a name and a source are needed"));
    }
    let context = match source.strip_prefix("docker-image://") {
        Some(image) => NamedContext::Image(Reference::parse(image)?.or_latest()),
        None if source.contains("://") => {
            return Err(wrong("only folders and images can be a context"));
        }
        None => NamedContext::Directory(open_context(Path::new(source))?),
    };
    Ok((name.to_owned(), context))
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
