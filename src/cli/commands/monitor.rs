//! The processes behind a container in the background: the one that watches over it, the one that hosts its program, and those that
//! ask whether that is well. No people start them.

use std::io::Read;
use std::process::{Command, Stdio};

use coracle_runtime::container::{Container, Probe};
use coracle_runtime::sys;

use super::super::error::Failure;
use super::super::{Exit, ceiling, ui};
use super::run;
use super::start::plain;
use crate::engine::{Engine, Error, Exec, STARTED, Watching, words};

/// Watch over a container; not for people
#[derive(clap::Args)]
pub(in super::super) struct MonitorArgs {
    /// The container's whole ID
    id: String,
}

/// Host a container's program in this process; not for people
#[derive(clap::Args)]
pub(in super::super) struct HostArgs {
    /// The process that watches over it
    #[arg(long)]
    parent: u32,
    /// The container's whole ID
    id: String,
}

/// Ask whether a container is well; not for people
#[derive(clap::Args)]
pub(in super::super) struct ProbeArgs {
    /// The container's whole ID
    id: String,
}

/// Makes the command line of another process of this program, on the same data directory.
pub(super) fn own_command(engine: &Engine, args: &[&str]) -> std::io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg("--root")
        .arg(engine.root())
        .args(args)
        // Nothing of the caller's goes into a process that outlives it.
        .env_clear()
        .current_dir(engine.root());
    Ok(command)
}

/// Starts a container in the background, watched over by a process that lives on when this one ends. Returns when its program is
/// about to run.
pub(super) fn in_background(engine: &Engine, container: &Container) -> Result<(), Failure> {
    // The process that hosts it has no environment that tells where the user's is.
    engine.bring_below(&mut container.clone(), &ceiling::read()?)?;
    spawn_until_started(own_command(
        engine,
        &["monitor", container.config.id.as_str()],
    ))
}

/// Starts a process that says [`STARTED`] on its standard output, or on its standard error why not. Lets it go on then.
pub(super) fn spawn_until_started(command: std::io::Result<Command>) -> Result<(), Failure> {
    let failed = |source| Failure::Io {
        doing: "starting a process for the container".to_owned(),
        source,
    };
    let mut child = command
        .map_err(failed)?
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
    // What its program says at once may be in the pipe as well.
    if said.starts_with(STARTED) {
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

/// Watches over a container, for a command that waits until it has started and then ends.
pub(in super::super) fn monitor(engine: &Engine, args: &MonitorArgs) -> Result<Exit, Failure> {
    // No terminal that closes, and no Ctrl-C, reaches this process. If it leads a session already, that is as well.
    drop(sys::leave_session());
    let container = engine.find_container(&args.id)?.container;
    let commands = |args: &[&str]| {
        // Without its own path there would be no process like this one.
        own_command(engine, args).unwrap_or_else(|_| Command::new("coracle"))
    };
    let mut started = || drop(ui::raw(STARTED));
    match engine.watch_over(container, &commands, &mut started)? {
        Watching::Over => Ok(Exit::Success),
        // Two have been told to start it; one was quicker.
        Watching::Elsewhere => {
            started();
            Ok(Exit::Success)
        }
        Watching::Failed { said, code } => Err(Failure::Told {
            text: said,
            exit: Exit::Guest(code),
        }),
    }
}

/// Hosts a container's program, for a process that watches over it.
pub(in super::super) fn host(engine: &Engine, args: &HostArgs) -> Result<Exit, Failure> {
    let failed = |source| Failure::Io {
        doing: "preparing the process that hosts the program".to_owned(),
        source,
    };
    if !sys::end_with_parent(args.parent).map_err(failed)? {
        return Err(Failure::usage(
            "the process that watched over this one is gone",
        ));
    }
    drop(sys::leave_session());
    let container = engine.find_container(&args.id)?.container;
    #[cfg(target_os = "linux")]
    if container.config.tty {
        // It may be so already: a process that had to compile starts itself again.
        drop(sys::control_terminal(std::io::stdin()));
    }
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
    let exit = engine.host(container, prepared, &mut started, &mut |exit| {
        sys::exit_now(i32::from(exit.code))
    })?;
    Ok(Exit::Guest(exit.code))
}

/// Asks whether a container is well: ends with 0 if so.
pub(in super::super) fn probe(engine: &Engine, args: &ProbeArgs) -> Result<Exit, Failure> {
    let container = engine.find_container(&args.id)?.container;
    let Some(check) = &container.config.health else {
        return Ok(Exit::Success);
    };
    let prepare = |args: Vec<String>| {
        let exec = Exec {
            args,
            ..Exec::default()
        };
        engine.prepare_exec(&container, exec)
    };
    let prepared = match &check.probe {
        Probe::Command(args) => prepare(args.clone())?,
        Probe::Shell { shell, command } => {
            let shell = shell.iter().chain([command]).cloned().collect();
            match prepare(shell) {
                // Few WebAssembly images have a shell.
                Err(Error::ProgramNotFound { .. }) => prepare(words(command))?,
                prepared => prepared?,
            }
        }
        port => {
            let said = engine.probe_port(&container, port).map_err(plain)?;
            ui::line(&said).map_err(super::printing)?;
            return Ok(Exit::Success);
        }
    };
    if prepared.compiled {
        run::restart(None)?;
    }
    let exit = engine.exec(&container, prepared, &mut || {}, &mut run::end)?;
    Ok(Exit::Guest(exit.code))
}
