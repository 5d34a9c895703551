//! `coracle run`

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use coracle_packager::digest::Digest;
use coracle_packager::image::Image;
use coracle_packager::platform::Platform;
use coracle_packager::reference::Reference;
use coracle_runtime::console::DetachKeys;
use coracle_runtime::container::RestartPolicy;

use super::super::args::{env, labels, life, limits, native, network, policy, storage};
use super::super::error::Failure;
use super::super::{Exit, explanation, request, ui};
use super::{monitor, printing, start};
use crate::engine::{self, Engine, PolicyRequest, Prepared, RunContainer};

/// Run a program in a new container
///
/// IMAGE is an image's name, which is pulled if it is not here, or a folder with a Dockerfile, which is built first: `./app`.
/// The container has its image's files, a private place to write, and what the flags grant; nothing else of this machine.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Name the container
    #[arg(long)]
    name: Option<String>,
    /// Remove the container when it ends
    #[arg(long)]
    rm: bool,
    /// Pass this command's standard input on
    #[arg(short, long)]
    interactive: bool,
    /// Set a variable; a bare name takes the caller's
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Start in this folder of the container
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// Run this program instead of the image's
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,
    /// Call this function of the program with the arguments, and print what it returns
    #[arg(long, value_name = "FUNCTION")]
    invoke: Option<String>,
    /// Add a label
    #[arg(short, long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    #[command(flatten)]
    network: network::Flags,
    /// Let the guest change only what was mounted
    #[arg(long)]
    read_only: bool,
    #[command(flatten)]
    limits: limits::LimitArgs,
    #[command(flatten)]
    storage: storage::StorageArgs,
    #[command(flatten)]
    policy: policy::Flags,
    /// Choose the image's entry for this platform
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,
    /// Show no progress of a pull or build
    #[arg(short, long)]
    quiet: bool,
    /// Run it in the background, and print its container's ID
    #[arg(short, long)]
    detach: bool,
    /// Pull the image before
    #[arg(long, value_enum, default_value = "missing")]
    pull: Pull,
    /// Read variables from a file of NAME=VALUE lines
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    #[command(flatten)]
    life: life::Args,
    #[command(flatten)]
    native: native::Flags,
    /// An image's name, or a folder such as ./app; and arguments for the program, instead of the image's
    #[arg(required = true, trailing_var_arg = true, value_names = ["IMAGE", "ARG"])]
    command: Vec<String>,
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Pull {
    /// Even if there is one of this name here
    Always,
    /// If there is none here
    Missing,
    /// Not at all
    Never,
}

impl Args {
    /// Is it to run in the background?
    pub(super) fn detaches(&self) -> bool {
        self.detach
    }

    /// Is what the guest uses to be written down?
    pub(super) fn records(&self) -> bool {
        self.policy.records()
    }
}

pub(in super::super) fn run(engine: &Engine, args: Args) -> Result<Exit, Failure> {
    let (detach, interactive) = (args.detach, args.interactive);
    let ready = match make_ready(engine, args)? {
        ControlFlow::Continue(ready) => ready,
        ControlFlow::Break(exit) => return Ok(exit),
    };
    // Only who watches from outside can start it again, ask whether it is well, or hold its terminal while nobody sits there.
    if detach || ready.detach_keys.is_some() || ready.prepared.is_watched() {
        let container = engine.create(&ready.prepared)?;
        let id = container.config.id.clone();
        if let Some(file) = ready.cidfile {
            file.write(id.as_str())?;
        }
        // The process that hosts it opens the ports again.
        drop(ready.prepared);
        if !detach {
            return start::in_foreground(engine, &container, ready.detach_keys, interactive);
        }
        monitor::in_background(engine, &container)?;
        ui::line(id.as_str()).map_err(printing)?;
        return Ok(Exit::Success);
    }
    let mut cidfile = ready.cidfile;
    if let Some(manifest) = ready.stale {
        // The process that takes this one's place makes it again.
        let path = cidfile.take().map(life::CidFile::withdraw);
        restart(Some(manifest))?;
        cidfile = path.as_deref().map(life::CidFile::create).transpose()?;
    }
    if let Some(file) = cidfile {
        file.write(ready.prepared.id().as_str())?;
    }
    let exit = engine.run(ready.prepared, &mut end)?;
    Ok(Exit::Guest(exit.code))
}

/// Says how a guest has ended, and ends this process with it.
pub(super) fn end(exit: &coracle_runtime::container::Exit) {
    if let Some(reason) = &exit.reason {
        ui::error(reason, None);
    }
    // What is left to tidy, the kernel tidies faster.
    coracle_runtime::sys::exit_now(i32::from(exit.code))
}

/// A container that can be created, and what else was asked for.
pub(super) struct Ready {
    pub(super) prepared: Prepared,
    pub(super) cidfile: Option<life::CidFile>,
    /// The keys by which its terminal is to be left.
    detach_keys: Option<DetachKeys>,
    /// The manifest of an image that this process had to pull, build or compile: it has threads now, and cannot raise the second
    /// wall any more.
    stale: Option<Digest>,
}

/// Checks all that was typed, sees to it that the image is here and compiled, and opens what the container needs. Breaks off where
/// an explanation was all that was asked for.
pub(super) fn make_ready(engine: &Engine, args: Args) -> Result<ControlFlow<Exit, Ready>, Failure> {
    let (image, arguments) = args
        .command
        .split_first()
        .ok_or_else(|| Failure::usage("no image was named"))?;
    if args.detach && args.policy.records() {
        return Err(Failure::usage(
            "--record has no meaning with --detach: it is this process that writes the file",
        )
        .with_hint("run it in the foreground"));
    }
    // All that was typed is checked before anything is built, pulled or created.
    let name = args.name.as_deref().map(str::parse).transpose()?;
    let platform = args.platform.as_deref().map(Platform::parse).transpose()?;
    let here = std::env::current_dir().map_err(|source| Failure::Io {
        doing: "finding the current folder".to_owned(),
        source,
    })?;
    let mounts = args.storage.mounts(&here)?;
    let volumes_from = args.storage.volumes_from()?;
    let storage_limit = args.storage.limit()?;
    // What an earlier process of this command has left for this one is not the caller's.
    let is_ours = |name: &str| name == AGAIN || name == READY;
    let caller = |name: &str| (!is_ours(name)).then(|| std::env::var_os(name))?;
    let mut env = env::read_files(&args.env_file, caller)?;
    env.extend(env::resolve(&args.env, caller)?);
    let labels = labels::parse(&args.labels)?;
    let network = network::parse(&args.network)?;
    let limits = args.limits.resolve()?;
    if let Some(dir) = args.workdir.as_deref().filter(|dir| !dir.starts_with('/')) {
        return Err(Failure::usage(format!(
            "the working directory '{dir}' is invalid, it needs to be an absolute path"
        )));
    }
    let life = args.life.resolve()?;
    if args.rm && life.restart != RestartPolicy::No {
        return Err(Failure::usage(
            "conflicting options: cannot specify both --restart and --rm",
        ));
    }
    let mut native = args.native.resolve()?;
    native.ulimits = args.limits.ulimits()?;
    native.init = life.init;
    let granted = args.policy.read()?;
    let found = find(engine, image, platform.as_ref(), args.quiet, args.pull)?;
    let mut container = RunContainer {
        image: found.name,
        name,
        entrypoint: args.entrypoint,
        args: arguments.to_vec(),
        invoke: args.invoke,
        env,
        cwd: args.workdir,
        mounts,
        volumes_from,
        labels,
        open_stdin: args.interactive,
        tty: life.tty,
        log: life.log,
        stop_signal: life.stop_signal,
        stop_timeout: life.stop_timeout,
        stdin_once: args.interactive && !args.detach,
        restart: life.restart,
        health: life.health,
        auto_remove: args.rm,
        read_only: args.read_only,
        network,
        limits,
        farewell: Some(ui::error_line),
        storage_limit,
        policy: PolicyRequest::default(),
        native,
    };
    args.policy.apply(granted, &mut container)?;
    request::consider(
        engine,
        &args.policy,
        &found.image,
        found.repository.as_deref(),
        &mut container,
    )?;
    if args.policy.explain {
        let explanation = engine.explain(&found.image, container)?;
        explanation::print(&explanation).map_err(printing)?;
        return Ok(ControlFlow::Break(if explanation.would_run() {
            Exit::Success
        } else {
            Exit::Engine
        }));
    }
    container.policy.record = args.policy.open_record()?;
    let prepared = engine.prepare(&found.image, container)?;
    let stale = (found.fetched || prepared.compiled)
        .then(|| found.image.digest())
        .transpose()?;
    Ok(ControlFlow::Continue(Ready {
        prepared,
        cidfile: life.cidfile,
        detach_keys: life.detach_keys,
        stale,
    }))
}

/// Says that this process has taken the place of one that had pulled or compiled.
const AGAIN: &str = "CORACLE_AGAIN";

/// The manifest that an earlier process of this same command has made ready.
const READY: &str = "CORACLE_READY_MANIFEST";

struct Found {
    /// The image as the record names it.
    name: String,
    image: Image,
    /// Was it built or pulled just now?
    fetched: bool,
    /// The name that upgrades of it have as well; none for what was built from a folder here.
    repository: Option<String>,
}

/// Finds the image: a folder is built, a name that is not here is pulled.
fn find(
    engine: &Engine,
    typed: &str,
    platform: Option<&Platform>,
    quiet: bool,
    pull: Pull,
) -> Result<Found, Failure> {
    let folder = is_folder(typed)
        .then(|| folder_name(Path::new(typed)))
        .transpose()?;
    let name = folder
        .as_ref()
        .map_or_else(|| typed.to_owned(), Reference::familiar);
    let ready = std::env::var(READY)
        .ok()
        .and_then(|text| Digest::parse(&text).ok());
    if let Some(digest) = ready {
        return Ok(Found {
            name,
            image: engine.open_manifest(&digest)?,
            fetched: false,
            // The earlier process has looked at what it asks for.
            repository: None,
        });
    }
    if let Some(folder) = folder {
        let built = super::build::folder(engine, Path::new(typed), folder)?;
        return Ok(Found {
            name,
            image: built.image,
            fetched: true,
            repository: None,
        });
    }
    match engine.find_image(&name) {
        Ok(found) if pull != Pull::Always => {
            let image = engine.open_image(&found.descriptor, platform)?;
            engine.check_trust(&name, &found, &image)?;
            Ok(Found {
                name,
                image,
                fetched: false,
                repository: found.name.as_ref().map(Reference::familiar_name),
            })
        }
        Ok(_) | Err(engine::Error::NoSuchImage { .. }) if pull != Pull::Never => {
            let reference = Reference::parse(&name)?.or_latest();
            if Path::new(typed).is_dir() {
                ui::status(&format!(
                    "There is a folder {typed}; to build and run it write ./{typed}"
                ));
            }
            if !quiet && pull == Pull::Missing {
                ui::status(&format!(
                    "Unable to find image '{}' locally",
                    reference.familiar()
                ));
            }
            let pulled = super::pull::pull(engine, &reference, platform, quiet)?;
            Ok(Found {
                name,
                image: pulled.image,
                fetched: true,
                repository: Some(reference.familiar_name()),
            })
        }
        Ok(_) => Err(Failure::usage("an image is either pulled or not")),
        Err(error) => Err(error.into()),
    }
}

/// Starts this command again, now that its image is here and compiled. Pulling and compiling leave threads and memory behind,
/// and the second wall goes up around a process that has neither. Where there is no such wall, nothing has to be done.
pub(super) fn restart(manifest: Option<Digest>) -> Result<(), Failure> {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::CommandExt;
        if std::env::var_os(AGAIN).is_some() {
            return Err(Failure::usage(
                "the program is compiled, and its compiled code cannot be mapped into memory",
            )
            .with_hint("keep the data folder where files may be executed (not on a file system mounted `noexec`), or allow more addresses (`ulimit -v`)"));
        }
        let mut this = std::process::Command::new("/proc/self/exe");
        if let Some(name) = std::env::args_os().next() {
            this.arg0(name);
        }
        this.args(std::env::args_os().skip(1)).env(AGAIN, "1");
        if let Some(manifest) = manifest {
            this.env(READY, manifest.to_string());
        }
        let source = this.exec();
        Err(Failure::Io {
            doing: "starting this command again".to_owned(),
            source,
        })
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _: Option<Digest> = manifest;
        Ok(())
    }
}

/// Does the text mean a folder? A reference can begin neither with a dot nor with a slash.
fn is_folder(text: &str) -> bool {
    text.starts_with('.') || Path::new(text).is_absolute()
}

/// Names the image of a folder after it, below `localhost`, so that it is never taken for somebody else's.
fn folder_name(path: &Path) -> Result<Reference, Failure> {
    let whole = path.canonicalize().map_err(|source| Failure::Io {
        doing: format!("opening the folder {}", path.display()),
        source,
    })?;
    let last = whole
        .file_name()
        .map(|name| name.to_string_lossy().to_lowercase())
        .unwrap_or_default();
    let plain: String = last
        .chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() {
                letter
            } else {
                '-'
            }
        })
        .collect();
    let words: Vec<&str> = plain.split('-').filter(|word| !word.is_empty()).collect();
    let name = if words.is_empty() {
        "app".to_owned()
    } else {
        words.join("-")
    };
    Ok(Reference::parse(&format!("localhost/{name}:latest"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_told_from_a_name() {
        for folder in [".", "./app", "../app", "/srv/app"] {
            assert!(is_folder(folder), "{folder}");
        }
        for name in [
            "app",
            "localhost/app",
            "registry.example/app:1",
            "examples/hello",
        ] {
            assert!(!is_folder(name), "{name}");
        }
    }

    #[test]
    fn a_folders_image_has_a_valid_name() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for (folder, want) in [
            ("Hello World", "localhost/hello-world:latest"),
            ("_x_", "localhost/x:latest"),
            ("日本", "localhost/app:latest"),
        ] {
            let path = dir.path().join(folder);
            std::fs::create_dir(&path).expect(folder);
            assert_eq!(folder_name(&path).expect(folder).to_string(), want);
        }
    }
}
