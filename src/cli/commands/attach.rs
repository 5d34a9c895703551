//! `coracle attach`

use coracle_runtime::console::DetachKeys;
use coracle_runtime::container::{Container, LastWords, State};
use jiff::Timestamp;

use super::super::Exit;
use super::super::error::Failure;
use super::start::plain;
use crate::engine::{Engine, Error, is_paused};

/// Join a running container: see what its program says, and type to it
///
/// Ends with the program, and with its exit code. A terminal is left with ctrl-p, ctrl-q; the program goes on then.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Leave the terminal with these keys, such as ctrl-p,ctrl-q
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<DetachKeys>,
    /// Type nothing
    #[arg(long)]
    no_stdin: bool,
    /// Pass signals on to the program; not where it has a terminal
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        default_missing_value = "true",
        action = clap::ArgAction::Set
    )]
    sig_proxy: bool,
    /// The container: its name, or the beginning of its ID
    #[arg(value_name = "CONTAINER")]
    container: String,
}

pub(in super::super) fn run(engine: &Engine, args: Args) -> Result<Exit, Failure> {
    let found = engine.find_container(&args.container).map_err(plain)?;
    let name = found.container.config.name.to_string();
    match &found.state {
        state if is_paused(state) => return Err(plain(Error::Paused { container: name })),
        State::Running { .. } => {}
        _ => return Err(plain(Error::NotRunning { container: name })),
    }
    let joining = Joining {
        keys: args.detach_keys.unwrap_or_default(),
        typing: !args.no_stdin,
        signals: args.sig_proxy,
        since: None,
    };
    // Held open: what it says at the end is there even if the container is removed then.
    let words = found.container.last_words().map_err(Error::from)?;
    join(engine, &found.container, &words, joining)
}

/// How a container is joined.
pub(super) struct Joining {
    pub(super) keys: DetachKeys,
    /// Is this command's standard input the program's, if that has one?
    pub(super) typing: bool,
    /// Are signals passed on?
    pub(super) signals: bool,
    /// Since when what the program says is shown; from now on if absent.
    pub(super) since: Option<Timestamp>,
}

/// Joins a container that runs in the background, until it ends or the person leaves.
#[cfg(target_os = "linux")]
pub(super) fn join(
    engine: &Engine,
    container: &Container,
    words: &LastWords,
    mut joining: Joining,
) -> Result<Exit, Failure> {
    use super::super::ui;
    use coracle_runtime::console::{self, End};
    use std::io::IsTerminal;
    let failed = |doing: &str| {
        let doing = format!("{doing} {}", container.config.name);
        move |source| Failure::Plain(Box::new(Failure::Io { doing, source }))
    };
    // One that has ended already serves nobody.
    let connect = |doing: &str| match console::connect(&container.folder()) {
        Err(_) if !container.is_active().unwrap_or(true) => Ok(None),
        connected => connected.map(Some).map_err(failed(doing)),
    };
    let config = &container.config;
    let typing = joining.typing && config.open_stdin;
    if config.tty {
        if typing && !std::io::stdin().is_terminal() {
            return Err(Failure::Plain(Box::new(Failure::usage(
                "the input device is not a TTY",
            ))));
        }
        if let Some(stream) = connect("joining the terminal of")? {
            let end = console::attach(stream, &mut joining.keys, typing);
            if end.map_err(failed("passing on the terminal of"))? == End::Detached {
                ui::status("read escape sequence");
                return Ok(Exit::Success);
            }
        }
    } else {
        if typing && let Some(mut stream) = connect("joining")? {
            // It waits for this command's input when the program has ended; this process does not wait for it.
            std::thread::spawn(move || console::send_input(&mut stream));
        }
        if joining.signals
            && let Some(process) = container.process().map_err(Error::from)?
        {
            use std::os::fd::AsFd;
            coracle_runtime::sys::pass_signals_on(process.as_fd())
                .map_err(failed("passing on signals to"))?;
        }
        follow(engine, container, joining.since)?;
    }
    match engine.last_exit(container, words).map_err(plain)? {
        Some(code) => Ok(Exit::Guest(code)),
        None => Err(Failure::Plain(Box::new(Failure::usage(format!(
            "container {} goes on without this command, which did not take what it said in time",
            config.name
        ))))),
    }
}

/// Refuses: there are no containers in the background on this system yet.
#[cfg(not(target_os = "linux"))]
pub(super) fn join(_: &Engine, _: &Container, _: &LastWords, _: Joining) -> Result<Exit, Failure> {
    Err(Failure::usage(
        "there are no containers in the background on this system yet",
    ))
}

/// Shows what the program says, until it ends.
#[cfg(target_os = "linux")]
fn follow(engine: &Engine, container: &Container, since: Option<Timestamp>) -> Result<(), Failure> {
    use super::super::ui;
    use super::logs::Printer;
    let wanted = coracle_runtime::logs::Wanted {
        since,
        tail: since.is_none().then_some(0),
        until: None,
    };
    let mut printer = Printer::new(false);
    match engine.logs(container, &wanted, true, &mut |entry| printer.print(entry)) {
        Err(Error::NoLog { .. }) => {
            ui::warning("the container keeps no log, so nothing of what it says is seen here");
            engine.wait(container).map_err(plain)?;
        }
        shown => {
            shown.map_err(plain)?;
        }
    }
    Ok(())
}
