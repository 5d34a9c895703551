//! `coracle stop`, `kill`, `restart`, `pause` and `unpause`

use coracle_runtime::container::State;

use super::super::args::life;
use super::super::error::Failure;
use super::super::{Exit, ui};
use super::{for_each, monitor, printing};
use crate::engine::Engine;

/// Stop containers: ask them to end, and kill those that do not
#[derive(clap::Args)]
pub(in super::super) struct StopArgs {
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    which: Which,
}

/// Stop containers, and start them again
#[derive(clap::Args)]
pub(in super::super) struct RestartArgs {
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    which: Which,
}

#[derive(clap::Args)]
struct How {
    /// Send this signal instead of the container's own
    #[arg(short, long, value_name = "SIGNAL")]
    signal: Option<String>,
    /// Wait so many seconds before killing it; for ever if negative [default: the container's own, or 10]
    #[arg(
        short,
        long = "timeout",
        alias = "time",
        value_name = "SECONDS",
        allow_negative_numbers = true
    )]
    timeout: Option<i64>,
}

#[derive(clap::Args)]
struct Which {
    /// Containers: names, or the beginnings of their IDs
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Send a signal to containers
#[derive(clap::Args)]
pub(in super::super) struct KillArgs {
    /// The signal, by name or number
    #[arg(short, long, default_value = "KILL")]
    signal: String,
    #[command(flatten)]
    which: Which,
}

/// Halt all that containers do, until `unpause`
#[derive(clap::Args)]
pub(in super::super) struct PauseArgs {
    #[command(flatten)]
    which: Which,
}

/// Let paused containers go on
#[derive(clap::Args)]
pub(in super::super) struct UnpauseArgs {
    #[command(flatten)]
    which: Which,
}

pub(in super::super) fn stop(engine: &Engine, args: &StopArgs) -> Result<Exit, Failure> {
    let signal = args.how.signal.as_deref().map(life::signal).transpose();
    let signal = signal.map_err(Failure::plainly)?;
    Ok(for_each(&args.which.containers, |name| {
        let found = engine.find_container(name)?;
        engine.stop(&found.container, signal, args.how.timeout)?;
        ui::line(name).map_err(printing)
    }))
}

pub(in super::super) fn restart(engine: &Engine, args: &RestartArgs) -> Result<Exit, Failure> {
    let signal = args.how.signal.as_deref().map(life::signal).transpose();
    let signal = signal.map_err(Failure::plainly)?;
    Ok(for_each(&args.which.containers, |name| {
        let found = engine.find_container(name)?;
        if matches!(found.state, State::Running { .. }) {
            if found.container.config.auto_remove {
                return Err(Failure::usage(format!(
                    "container {name} is removed when it ends (--rm): there would be nothing to start again"
                )));
            }
            engine.stop(&found.container, signal, args.how.timeout)?;
        }
        monitor::in_background(engine, &found.container)?;
        engine.tell_restart(&found.container);
        ui::line(name).map_err(printing)
    }))
}

pub(in super::super) fn kill(engine: &Engine, args: &KillArgs) -> Result<Exit, Failure> {
    let signal = life::signal(&args.signal).map_err(Failure::plainly)?;
    Ok(for_each(&args.which.containers, |name| {
        engine.kill(&engine.find_container(name)?.container, signal)?;
        ui::line(name).map_err(printing)
    }))
}

pub(in super::super) fn pause(engine: &Engine, args: &PauseArgs) -> Result<Exit, Failure> {
    Ok(for_each(&args.which.containers, |name| {
        engine.pause(&engine.find_container(name)?.container)?;
        ui::line(name).map_err(printing)
    }))
}

pub(in super::super) fn unpause(engine: &Engine, args: &UnpauseArgs) -> Result<Exit, Failure> {
    Ok(for_each(&args.which.containers, |name| {
        engine.unpause(&engine.find_container(name)?.container)?;
        ui::line(name).map_err(printing)
    }))
}
