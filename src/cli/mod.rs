//! The command line: what was typed, what it means, what is printed.

mod args;
mod build_progress;
mod ceiling;
mod commands;
mod error;
mod exit;
mod explanation;
mod filters;
mod inspection;
mod listing;
mod missing;
mod progress;
mod prompt;
mod registries;
mod request;
mod sanitize;
mod template;
mod ui;
mod units;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use self::error::Failure;
pub use self::exit::Exit;
use crate::engine::{Engine, TrustFrom, dirs};

/// Containers whose images run unchanged on every system
#[derive(Parser)]
#[command(name = "coracle", version, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    global: Global,

    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(clap::Args)]
struct Global {
    /// Keep images and containers in this folder [default: $CORACLE_ROOT, or /var/lib/coracle for root on Linux, else where users' data is kept, such as
    /// ~/.local/share/coracle]
    #[arg(long, global = true, value_name = "DIR")]
    root: Option<PathBuf>,

    /// Read from this file which images are trusted [default: ~/.config/containers/policy.json, else /etc/containers/policy.json]
    #[arg(long, global = true, value_name = "FILE")]
    signature_policy: Option<PathBuf>,

    /// Trust all images, whatever that policy says
    #[arg(long, global = true, conflicts_with = "signature_policy")]
    insecure_policy: bool,

    /// Tell on standard error what is done and why
    #[arg(short = 'D', long, global = true)]
    debug: bool,
}

/// The same command line with one command: describing all the others to the parser takes a tenth of a short run.
#[derive(Parser)]
#[command(name = "coracle")]
struct RunOnly {
    #[command(flatten)]
    global: Global,

    #[command(subcommand)]
    command: RunCommand,
}

#[derive(Subcommand)]
enum RunCommand {
    Run(Box<commands::run::Args>),
}

#[derive(Subcommand)]
enum Command {
    Attach(commands::attach::Args),
    Build(commands::build::Args),
    Commit(commands::commit::Args),
    Completion(commands::completion::Args),
    Convert(commands::convert::Args),
    Cp(commands::cp::Args),
    Create(Box<commands::create::Args>),
    Diff(commands::diff::Args),
    Events(commands::events::Args),
    Exec(commands::exec::Args),
    Export(commands::export::Args),
    GenerateKeyPair(commands::generate_key_pair::Args),
    History(commands::history::Args),
    Image(commands::image::Args),
    Images(commands::images::Args),
    Import(commands::import::Args),
    Info(commands::info::Args),
    Inspect(commands::inspect::Args),
    Load(commands::load::Args),
    Manifest(commands::manifest::Args),
    Kill(commands::stop::KillArgs),
    Logs(commands::logs::Args),
    #[command(hide = true)]
    Host(commands::monitor::HostArgs),
    #[command(hide = true)]
    Monitor(commands::monitor::MonitorArgs),
    #[command(hide = true)]
    Probe(commands::monitor::ProbeArgs),
    #[cfg(target_os = "linux")]
    Oci(commands::oci::Args),
    Pause(commands::stop::PauseArgs),
    Policy(commands::policy::Args),
    Login(commands::login::Args),
    Logout(commands::logout::Args),
    Port(commands::port::Args),
    Ps(commands::ps::Args),
    Pull(commands::pull::Args),
    Push(commands::push::Args),
    Referrers(commands::referrers::Args),
    Rename(commands::rename::Args),
    Restart(commands::stop::RestartArgs),
    Rm(commands::rm::Args),
    Rmi(commands::rmi::Args),
    Run(Box<commands::run::Args>),
    Save(commands::save::Args),
    Sign(commands::sign::Args),
    Start(commands::start::Args),
    Stats(commands::stats::Args),
    Stop(commands::stop::StopArgs),
    System(commands::system::Args),
    Tag(commands::tag::Args),
    Top(commands::top::Args),
    Unpause(commands::stop::UnpauseArgs),
    Update(commands::update::Args),
    Verify(commands::verify::Args),
    Version(commands::version::Args),
    Volume(commands::volume::Args),
    Wait(commands::wait::Args),
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    {
        coracle_runtime::sandbox::native::become_init_if_asked();
        if let Some(words) = commands::oci::words() {
            return commands::oci::run(words).into();
        }
    }
    let cli = match run_only().map_or_else(Cli::try_parse, Ok) {
        Ok(cli) => cli,
        Err(error) => return usage(error).into(),
    };
    match cli.dispatch() {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.report();
            failure.exit().into()
        }
    }
}

/// Parses `coracle run …`. `None` for everything else, help and mistakes included, which the whole parser tells of.
fn run_only() -> Option<Cli> {
    if std::env::args_os().nth(1)? != "run" {
        return None;
    }
    let RunOnly { global, command } = RunOnly::try_parse().ok()?;
    let RunCommand::Run(args) = command;
    Some(Cli {
        global,
        command: Command::Run(args),
    })
}

/// Prints help, or what is wrong with the command line.
fn usage(mut error: clap::Error) -> Exit {
    use clap::error::{ContextKind, ContextValue};
    for kind in [ContextKind::InvalidArg, ContextKind::InvalidSubcommand] {
        if let Some(ContextValue::String(word)) = error.get(kind)
            && let Some(reason) =
                args::limits::refusal(word.split([' ', '=']).next().unwrap_or(word))
        {
            ui::error(&format!("`{word}` has no meaning here: {reason}"), None);
            return Exit::Engine;
        }
        if let Some(ContextValue::String(word)) = error.get(kind)
            && let Some(feature) = missing::feature(word)
        {
            ui::error(&format!("`{word}` is not supported yet: {feature}"), None);
            return Exit::Engine;
        }
    }
    // It says how to pass a flag on to the program, which is to write it after the image.
    error.remove(ContextKind::Suggested);
    for kind in [
        ContextKind::InvalidArg,
        ContextKind::InvalidSubcommand,
        ContextKind::InvalidValue,
    ] {
        if let Some(ContextValue::String(typed)) = error.get(kind) {
            let safe = ContextValue::String(sanitize::sanitize(typed));
            error.insert(kind, safe);
        }
    }
    // A closed pipe is the only way this fails, and then nobody reads it.
    drop(error.print());
    match error.kind() {
        // As in Docker: a group of commands shows what it has, and a word too few is no wrong flag.
        clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Exit::Success,
        clap::error::ErrorKind::MissingRequiredArgument
        | clap::error::ErrorKind::InvalidSubcommand => Exit::Failure,
        _ if error.use_stderr() => Exit::Engine,
        _ => Exit::Success,
    }
}

impl Cli {
    fn dispatch(self) -> Result<Exit, Failure> {
        if self.global.debug {
            ui::trace();
        }
        // These need no data directory.
        match &self.command {
            Command::GenerateKeyPair(args) => return commands::generate_key_pair::run(args),
            Command::Version(args) => return commands::version::run(args),
            Command::Completion(args) => return commands::completion::run(Self::command(), args),
            Command::Login(args) => return commands::login::run(args),
            Command::Logout(args) => return commands::logout::run(args),
            #[cfg(target_os = "linux")]
            Command::Oci(args) => return commands::oci::not_first(args),
            _ => {}
        }
        if matches!(
            self.command,
            Command::Run(_)
                | Command::Start(_)
                | Command::Exec(_)
                | Command::Host(_)
                | Command::Monitor(_)
                | Command::Probe(_)
        ) {
            coracle_runtime::sys::close_inherited_files();
        }
        if let Command::System(args) = &self.command
            && args.repairs()
        {
            return commands::system::repair(&data_root(self.global.root)?, args);
        }
        let engine = open_engine(self.global)?;
        match self.command {
            Command::Attach(args) => commands::attach::run(&engine, args),
            Command::Build(args) => commands::build::run(&engine, args),
            Command::Convert(args) => commands::convert::run(&engine, &args),
            Command::Commit(args) => commands::commit::run(&engine, args),
            Command::Cp(args) => commands::cp::run(&engine, &args),
            Command::Diff(args) => commands::diff::run(&engine, &args),
            Command::Create(args) => commands::create::run(&engine, *args),
            Command::Events(args) => commands::events::run(&engine, &args),
            Command::Exec(args) => commands::exec::run(&engine, args),
            Command::Export(args) => {
                commands::export::run(&engine, &args).map_err(Failure::plainly)
            }
            Command::GenerateKeyPair(args) => commands::generate_key_pair::run(&args),
            Command::History(args) => {
                commands::history::run(&engine, &args).map_err(Failure::plainly)
            }
            Command::Image(args) => commands::image::run(&engine, args),
            Command::Images(args) => {
                commands::images::run(&engine, &args).map_err(Failure::plainly)
            }
            Command::Import(args) => {
                commands::import::run(&engine, &args).map_err(Failure::plainly)
            }
            Command::Info(args) => commands::info::run(&engine, &args),
            Command::Inspect(args) => commands::inspect::run(&engine, &args),
            Command::Load(args) => commands::load::run(&engine, &args).map_err(Failure::plainly),
            Command::Manifest(args) => commands::manifest::run(&engine, &args),
            Command::Kill(args) => commands::stop::kill(&engine, &args),
            Command::Logs(args) => commands::logs::run(&engine, &args),
            Command::Host(args) => commands::monitor::host(&engine, &args),
            Command::Monitor(args) => commands::monitor::monitor(&engine, &args),
            Command::Probe(args) => commands::monitor::probe(&engine, &args),
            Command::Pause(args) => commands::stop::pause(&engine, &args),
            Command::Policy(args) => commands::policy::run(&engine, &args),
            Command::Port(args) => commands::port::run(&engine, &args),
            Command::Ps(args) => commands::ps::run(&engine, &args).map_err(Failure::plainly),
            Command::Pull(args) => commands::pull::run(&engine, &args),
            Command::Push(args) => commands::push::run(&engine, &args),
            Command::Referrers(args) => commands::referrers::run(&engine, &args),
            Command::Rename(args) => commands::rename::run(&engine, &args),
            Command::Restart(args) => commands::stop::restart(&engine, &args),
            Command::Rm(args) => commands::rm::run(&engine, &args),
            Command::Rmi(args) => commands::rmi::run(&engine, &args),
            Command::Run(args) => commands::run::run(&engine, *args),
            Command::Save(args) => commands::save::run(&engine, &args).map_err(Failure::plainly),
            Command::Sign(args) => commands::sign::run(&engine, &args),
            Command::Start(args) => commands::start::run(&engine, &args),
            Command::Stats(args) => commands::stats::run(&engine, &args),
            Command::Stop(args) => commands::stop::stop(&engine, &args),
            Command::System(args) => commands::system::run(&engine, &args),
            Command::Tag(args) => commands::tag::run(&engine, &args),
            Command::Top(args) => commands::top::run(&engine, &args),
            Command::Unpause(args) => commands::stop::unpause(&engine, &args),
            Command::Update(args) => commands::update::run(&engine, &args),
            Command::Verify(args) => commands::verify::run(&engine, &args),
            Command::Version(args) => commands::version::run(&args),
            Command::Completion(args) => commands::completion::run(Self::command(), &args),
            Command::Volume(args) => {
                commands::volume::run(&engine, &args).map_err(Failure::plainly)
            }
            Command::Wait(args) => commands::wait::run(&engine, &args),
            Command::Login(args) => commands::login::run(&args),
            Command::Logout(args) => commands::logout::run(&args),
            #[cfg(target_os = "linux")]
            Command::Oci(args) => commands::oci::not_first(&args),
        }
    }
}

fn open_engine(global: Global) -> Result<Engine, Failure> {
    let trust = match global.signature_policy {
        _ if global.insecure_policy => TrustFrom::Nowhere,
        Some(file) => TrustFrom::File(file),
        None => TrustFrom::FirstOf(registries::trust_policies()),
    };
    Ok(Engine::open(&data_root(global.root)?)?.trusting(trust))
}

fn data_root(root: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let root = root.or_else(|| {
        dirs::default_root(|name| std::env::var_os(name), coracle_runtime::sys::is_root)
    });
    root.ok_or_else(|| {
        Failure::usage("finding the data folder: the environment names no home")
            .with_hint("give one with --root DIR")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
        RunOnly::command().debug_assert();
    }
}
