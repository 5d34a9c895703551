//! `coracle start`

use coracle_runtime::console::DetachKeys;
use coracle_runtime::container::{Container, RestartPolicy, State};

use jiff::Timestamp;

use super::super::error::Failure;
use super::super::{Exit, ceiling, ui};
use super::monitor::in_background;
use super::{attach, for_each, printing, run};
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
    /// Run it so that its terminal can be left with these keys, such as ctrl-p,ctrl-q
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<DetachKeys>,
    /// Start those that a restart policy wants to run, as after a boot
    #[arg(long, conflicts_with_all = ["attach", "interactive", "containers"])]
    all_policies: bool,
    /// Containers: names, or the beginnings of their IDs
    #[arg(required_unless_present = "all_policies", value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(in super::super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    if args.all_policies {
        return all_policies(engine);
    }
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
                _ => in_background(engine, &container.container)?,
            }
            ui::line(name).map_err(printing)
        }));
    }
    let [name] = args.containers.as_slice() else {
        return Err(Failure::usage(
            "you cannot start and attach multiple containers at once",
        ));
    };
    let found = engine.find_container(name).map_err(plain)?;
    let mut container = found.container;
    let config = &container.config;
    let watched = config.restart != RestartPolicy::No || config.health.is_some();
    if watched || args.detach_keys.is_some() || matches!(found.state, State::Running { .. }) {
        let keys = args.detach_keys.clone();
        return in_foreground(engine, &container, keys, args.interactive);
    }
    engine
        .bring_below(&mut container, &ceiling::read()?)
        .map_err(plain)?;
    // What was said at create is what the guest gets, and a terminal is nobody's input unless it was asked for.
    container.config.open_stdin &= args.interactive;
    let prepared = engine.prepare_start(&container)?;
    if prepared.compiled {
        run::restart(None)?;
    }
    let exit = engine.start_here(container, prepared, &mut run::end)?;
    Ok(Exit::Guest(exit.code))
}

/// Runs a container in the background, and joins it.
pub(super) fn in_foreground(
    engine: &Engine,
    container: &Container,
    keys: Option<DetachKeys>,
    typing: bool,
) -> Result<Exit, Failure> {
    let since = Timestamp::now();
    // Held open: one that is removed at its end may be gone before it is joined.
    let words = container.last_words().map_err(Error::from)?;
    in_background(engine, container)?;
    let joining = attach::Joining {
        keys: keys.unwrap_or_default(),
        typing,
        signals: true,
        since: Some(since),
    };
    attach::join(engine, container, &words, joining)
}

/// Starts what ran, or would have run again, when the machine went down.
fn all_policies(engine: &Engine) -> Result<Exit, Failure> {
    let (all, damaged) = engine.list_containers()?;
    for error in damaged {
        // One damaged container must not keep the others back.
        Failure::from(error).report();
    }
    // The oldest first: the younger may need it.
    let wanted: Vec<_> = all
        .into_iter()
        .rev()
        .filter(Engine::starts_at_boot)
        .map(|summary| summary.container.config.id.to_string())
        .collect();
    Ok(for_each(&wanted, |id| {
        let container = engine.find_container(id)?.container;
        in_background(engine, &container)?;
        ui::line(container.config.name.as_str()).map_err(printing)
    }))
}

/// Says of an error that Docker's command returns 1 for it, and not what a failed start returns.
pub(super) fn plain(error: Error) -> Failure {
    let failure = Failure::from(error);
    match failure.exit() {
        Exit::Engine => Failure::Plain(Box::new(failure)),
        _ => failure,
    }
}
