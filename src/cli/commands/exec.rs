//! `coracle exec`

use std::io::IsTerminal;

use super::super::Exit;
use super::super::args::env;
use super::super::error::Failure;
use super::run;
use super::start::plain;
use crate::engine::{Engine, Exec};

/// Run another program in a running container
///
/// It has the container's files, environment and grants, and ends with it. Its exit code is this command's.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Pass this command's standard input on
    #[arg(short, long)]
    interactive: bool,
    /// Ask for a terminal; the program uses the one that this command has
    #[arg(short, long)]
    tty: bool,
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

pub(in super::super) fn run(engine: &Engine, args: Args) -> Result<Exit, Failure> {
    if args.tty && args.interactive && !std::io::stdin().is_terminal() {
        return Err(Failure::Plain(Box::new(Failure::usage(
            "the input device is not a TTY",
        ))));
    }
    let env = env::resolve(&args.env, |name| std::env::var_os(name))?;
    let container = engine
        .find_container(&args.container)
        .map_err(plain)?
        .container;
    let exec = Exec {
        args: args.command,
        env,
        cwd: args.workdir,
        open_stdin: args.interactive,
        tty: args.tty,
    };
    let prepared = engine.prepare_exec(&container, exec).map_err(plain)?;
    if prepared.compiled {
        run::restart(None)?;
    }
    let exit = engine
        .exec(&container, prepared, &mut run::end)
        .map_err(plain)?;
    Ok(Exit::Guest(exit.code))
}
