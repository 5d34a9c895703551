//! `coracle oci`: runc's command line, so that Podman, containerd and Docker can use Coracle as their OCI runtime.
//!
//! The same commands are there without the first word when the program is called `coracle-oci`, by a link of that name.

mod create;
mod exec;
mod inspect;
mod log;
mod manage;
mod signal;
mod spec;
mod store;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};

use self::log::Log;
use self::store::{Store, StoreError};
use super::super::error::Failure;
use super::super::{Exit, ui};
use coracle_runtime::sandbox::native::NativeError;

/// The name that needs no first word.
const NAME: &str = "coracle-oci";

/// Run containers from OCI bundles, with runc's commands and flags
#[derive(Parser)]
#[command(name = "coracle oci", version, arg_required_else_help = true)]
struct Oci {
    /// Keep the state of containers in this folder; best on a tmpfs
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,

    /// Write what goes wrong to this file as well
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,

    /// Format of that file
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: log::Format,

    /// Accepted for other programs' sake
    #[arg(long)]
    debug: bool,

    /// Read cgroup paths as SLICE:PREFIX:NAME; the groups are made directly all the same
    #[arg(long)]
    systemd_cgroup: bool,

    /// Accepted for other programs' sake: whether there are privileges is seen, not told
    #[arg(long, value_name = "BOOL")]
    rootless: Option<String>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Create(create::CreateArgs),
    Delete(manage::DeleteArgs),
    Events(inspect::EventsArgs),
    Exec(Box<exec::Args>),
    /// Show what of the specification is supported, as JSON
    Features,
    Kill(manage::KillArgs),
    List(inspect::ListArgs),
    Pause(manage::OneArgs),
    Ps(inspect::PsArgs),
    Resume(manage::ResumeArgs),
    Run(create::RunArgs),
    Spec(spec::Args),
    Start(manage::StartArgs),
    State(inspect::StateArgs),
    Update(Box<manage::UpdateArgs>),
}

/// The words after `oci`, which have a parser of their own: some flags are called as Coracle's, and mean something else.
#[derive(clap::Args)]
#[command(about = "Run containers from OCI bundles, with runc's commands and flags")]
pub(in crate::cli) struct Args {
    /// See `coracle oci --help`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _words: Vec<OsString>,
}

/// Says where the word belongs: flags before it are Coracle's own, which these commands do not have.
pub(in crate::cli) fn not_first(_args: &Args) -> Result<Exit, Failure> {
    Err(
        Failure::usage("`oci` is the first word of its command line")
            .with_hint("write `coracle oci`, then flags and command"),
    )
}

/// Returns the words after `coracle oci`, if this process was started so.
pub(in crate::cli) fn words() -> Option<Vec<OsString>> {
    let mut words = std::env::args_os();
    let name = words.next()?;
    let is_named = Path::new(&name)
        .file_name()
        .is_some_and(|name| name == NAME);
    if is_named || words.next().is_some_and(|word| word == "oci") {
        return Some(std::iter::once(name).chain(words).collect());
    }
    None
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum OciError {
    #[error(transparent)]
    Native(#[from] NativeError),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was typed, or the container's state, does not fit.
    #[error("{0}")]
    Usage(String),
    #[error("{doing}: {source}")]
    Io {
        doing: String,
        source: std::io::Error,
    },
}

impl OciError {
    fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

/// How this program ends when the container's has ended so.
fn exit_of(ended: coracle_runtime::sandbox::native::Ended) -> Exit {
    Exit::Guest(u8::try_from(ended.code()).unwrap_or(u8::MAX))
}

/// Runs the command. Errors go to standard error and to the log file.
pub(in crate::cli) fn run(words: Vec<OsString>) -> Exit {
    let oci = match Oci::try_parse_from(words) {
        Ok(oci) => oci,
        Err(error) => {
            let failed = error.use_stderr();
            // A closed pipe is the only way this fails, and then nobody reads it.
            drop(error.print());
            return if failed { Exit::Failure } else { Exit::Success };
        }
    };
    let log = Log::new(oci.log.clone(), oci.log_format);
    let root = oci.root.clone().unwrap_or_else(default_root);
    let store = Store::new(root);
    let systemd = oci.systemd_cgroup;
    let done = match oci.command {
        Command::Create(args) => create::create(&store, &args, systemd),
        Command::Delete(args) => manage::delete(&store, &args),
        Command::Events(args) => inspect::events(&store, &args),
        Command::Exec(args) => exec::run(&store, *args),
        Command::Features => spec::features(),
        Command::Kill(args) => manage::kill(&store, &args),
        Command::List(args) => inspect::list(&store, &args),
        Command::Pause(args) => manage::pause(&store, &args),
        Command::Ps(args) => inspect::ps(&store, &args),
        Command::Resume(args) => manage::resume(&store, &args),
        Command::Run(args) => create::run(&store, &args, systemd),
        Command::Spec(args) => spec::write(&args),
        Command::Start(args) => manage::start(&store, &args),
        Command::State(args) => inspect::state(&store, &args),
        Command::Update(args) => manage::update(&store, &args),
    };
    match done {
        Ok(exit) => exit,
        Err(error) => {
            let text = error.to_string();
            log.error(&text);
            ui::error(&text, None);
            Exit::Failure
        }
    }
}

/// Where state is kept that need not outlive the machine's next start.
fn default_root() -> PathBuf {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    match runtime {
        Some(folder) if !coracle_runtime::sys::is_root() && folder.is_absolute() => {
            folder.join("coracle-oci")
        }
        _ => PathBuf::from("/run/coracle-oci"),
    }
}
