//! `coracle update`

use coracle_runtime::container::{RestartPolicy, State};

use super::super::args::limits::UpdateArgs;
use super::super::error::Failure;
use super::super::{Exit, ui};
use super::{for_each, printing};
use crate::engine::Engine;

/// Change a container's restart policy and limits
///
/// The restart policy counts at once. The limits count from its next start: what a program was given cannot be taken back while it
/// runs.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Start it again when it has ended: no, on-failure[:N], always or unless-stopped
    #[arg(long, value_name = "POLICY")]
    restart: Option<RestartPolicy>,
    #[command(flatten)]
    limits: UpdateArgs,
    /// Containers: names, or the beginnings of their IDs
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(in super::super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    if args.restart.is_none() && args.limits.is_empty() {
        return Err(Failure::usage(
            "you must provide one or more flags when using this command",
        ));
    }
    let mut waits = false;
    let exit = for_each(&args.containers, |name| {
        let found = engine.find_container(name)?;
        let mut limits = found.container.config.policy.limits;
        args.limits.change(&mut limits)?;
        waits |= matches!(found.state, State::Running { .. })
            && limits != found.container.config.policy.limits;
        engine.update(found.container, args.restart, limits)?;
        ui::line(name).map_err(printing)
    });
    if waits {
        ui::warning("the limits of what runs count from its next start on");
    }
    Ok(exit)
}
