//! `coracle start`, and the process that outlives the command which started a container.

use std::io::Read;
use std::process::{Command, Stdio};

use coracle_runtime::container::{Container, State};

use super::super::error::Failure;
use super::super::{Exit, ui};
use super::{for_each, printing, run};
use crate::engine::{Engine, Error, is_paused};

/// Start containers that do not run
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Run it in the foreground: show what it says, pass on signals, and return its exit code
    #[arg(short, long)]
    attach: bool,
    /// Pass this command's standard input on, if `create` had --interactive; implies --attach
    #[arg(short, long)]
    interactive: bool,
    /// Containers: names, or the beginnings of their IDs
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(in super::super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    if !args.attach && !args.interactive {
        return Ok(for_each(&args.containers, |name| {
            let container = engine.find_container(name)?;
            // Docker takes it in silence.
            match container.state {
                State::Running { .. } if is_paused(&container.state) => {
                    return Err(Error::Paused {
                        container: name.to_owned(),
                    }
                    .into());
                }
                State::Running { .. } => {}
                _ => in_background(engine, container.container)?,
            }
            ui::line(name).map_err(printing)
        }));
    }
    let [name] = args.containers.as_slice() else {
        return Err(Failure::usage(
            "you cannot start and attach multiple containers at once",
        ));
    };
    let mut container = engine.find_container(name).map_err(plain)?.container;
    // What was said at create is what the guest gets, and a terminal is nobody's input unless it was asked for.
    container.config.open_stdin &= args.interactive;
    let prepared = engine.prepare_start(&container)?;
    if prepared.compiled {
        run::restart(None)?;
    }
    let exit = engine.start_here(container, prepared, &mut run::end)?;
    Ok(Exit::Guest(exit.code))
}

/// What the monitor says when both walls are up and the guest is about to run.
const STARTED: &[u8] = b"started\n";

/// Starts a container in a process of its own, which lives on when this one ends. Returns when the guest is about to run.
pub(in super::super) fn in_background(
    engine: &Engine,
    container: Container,
) -> Result<(), Failure> {
    let failed = |source| Failure::Io {
        doing: "starting a process for the container".to_owned(),
        source,
    };
    let mut child = Command::new(std::env::current_exe().map_err(failed)?)
        .arg("--root")
        .arg(engine.root())
        .args(["monitor", container.config.id.as_str()])
        // Nothing of the caller's goes into a process that outlives it.
        .env_clear()
        .current_dir(engine.root())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut said = Vec::new();
    if let Some(mut stdout) = child.stdout.take() {
        let mut buffer = [0; 64];
        while said.len() < STARTED.len() {
            match stdout.read(&mut buffer).map_err(failed)? {
                0 => break,
                count => said.extend_from_slice(&buffer[..count]),
            }
        }
    }
    if said == STARTED {
        return Ok(());
    }
    // It has failed, and says on its standard error why.
    let output = child.wait_with_output().map_err(failed)?;
    let code = output
        .status
        .code()
        .and_then(|code| u8::try_from(code).ok());
    Err(Failure::Told {
        text: String::from_utf8_lossy(&output.stderr).into_owned(),
        exit: code.map_or(Exit::Engine, Exit::Guest),
    })
}

/// Host a container in this process; not for people
#[derive(clap::Args)]
pub(in super::super) struct MonitorArgs {
    /// The container's whole ID
    id: String,
}

/// Hosts a container, for a command that waits until it has started and then ends.
pub(in super::super) fn monitor(engine: &Engine, args: &MonitorArgs) -> Result<Exit, Failure> {
    // No terminal that closes, and no Ctrl-C, reaches this process. If it leads a session already, that is as well.
    drop(coracle_runtime::sys::leave_session());
    let container = engine.find_container(&args.id)?.container;
    let prepared = match engine.prepare_start(&container) {
        Ok(prepared) => prepared,
        Err(error) => {
            engine.start_failed(container, &error)?;
            return Err(error.into());
        }
    };
    if prepared.compiled {
        run::restart(None)?;
    }
    let mut started = || drop(ui::raw(STARTED));
    let exit = engine.monitor(container, prepared, &mut started, &mut |exit| {
        coracle_runtime::sys::exit_now(i32::from(exit.code))
    })?;
    Ok(Exit::Guest(exit.code))
}

/// Says of an error that Docker's command returns 1 for it, and not what a failed start returns.
pub(super) fn plain(error: Error) -> Failure {
    let failure = Failure::from(error);
    match failure.exit() {
        Exit::Engine => Failure::Plain(Box::new(failure)),
        _ => failure,
    }
}
