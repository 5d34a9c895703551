//! `coracle exec`

use std::io::IsTerminal;

use super::super::args::{env, policy};
use super::super::error::Failure;
use super::super::{Exit, ui};
use super::start::plain;
use super::{monitor, run};
use crate::engine::{Engine, Exec, STARTED};

/// Run another program in a running container
///
/// It has the container's files, environment and grants, and ends with it. Its exit code is this command's.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Pass this command's standard input on
    #[arg(short, long)]
    interactive: bool,
    /// Give the program a terminal: the one that this command has
    #[arg(short, long)]
    tty: bool,
    /// Run it in the background, and return at once
    #[arg(short, long, conflicts_with = "interactive")]
    detach: bool,
    /// Run it as this user; not for a WebAssembly program, which has none
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,
    /// Set a variable; a bare name takes the caller's
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Start in this folder of the container
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// The container: its name, or the beginning of its ID
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// The program, and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_names = ["PROGRAM", "ARG"])]
    command: Vec<String>,
}

/// Says to a process that its caller waits until the program is about to run.
const TOLD: &str = "CORACLE_EXEC_DETACHED";

/// Has another process run the program, with nothing to read and nobody who sees what it says.
fn in_background(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    let env = env::resolve(&args.env, |name| std::env::var_os(name))?;
    let found = engine.find_container(&args.container).map_err(plain)?;
    let mut typed = vec!["exec"];
    for pair in &env {
        typed.extend(["--env", pair.as_str()]);
    }
    if let Some(dir) = &args.workdir {
        typed.extend(["--workdir", dir.as_str()]);
    }
    if let Some(user) = &args.user {
        typed.extend(["--user", user.as_str()]);
    }
    typed.push(found.container.config.id.as_str());
    typed.extend(args.command.iter().map(String::as_str));
    let command = monitor::own_command(engine, &typed).map(|mut command| {
        command.env(TOLD, "1");
        command
    });
    monitor::spawn_until_started(command).map_err(|failure| Failure::Plain(Box::new(failure)))?;
    Ok(Exit::Success)
}

pub(in super::super) fn run(engine: &Engine, args: Args) -> Result<Exit, Failure> {
    if args.tty && args.interactive && !std::io::stdin().is_terminal() {
        return Err(Failure::Plain(Box::new(Failure::usage(
            "the input device is not a TTY",
        ))));
    }
    if args.detach {
        return in_background(engine, &args);
    }
    let env = env::resolve(&args.env, |name| std::env::var_os(name))?;
    let container = engine
        .find_container(&args.container)
        .map_err(plain)?
        .container;
    // Where this is the process behind `exec --detach`, its caller waits for the word.
    let told = std::env::var_os(TOLD).is_some();
    let exec = Exec {
        args: args.command,
        env,
        cwd: args.workdir,
        open_stdin: args.interactive,
        tty: args.tty,
        user: args.user,
        detached: told,
        tell: Some(policy::tell),
    };
    let prepared = engine.prepare_exec(&container, exec).map_err(plain)?;
    if prepared.compiled {
        run::restart(None)?;
    }
    let mut started = || {
        if told {
            drop(ui::raw(STARTED));
        }
    };
    let exit = engine
        .exec(&container, prepared, &mut started, &mut run::end)
        .map_err(plain)?;
    Ok(Exit::Guest(exit.code))
}
