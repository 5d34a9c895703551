//! `coracle ps`

use coracle_runtime::container::{Container, HealthStatus, PortConfig, State};
use serde::Serialize;

use super::super::error::Failure;
use super::super::listing::{self, Form, Line};
use super::super::{Exit, inspection, units};
use super::container_filter::ContainerFilter;
use crate::engine::{ContainerSize, ContainerSummary, Engine, is_paused, now};

/// List containers
///
/// Shows those that run; all of them with --all.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Show containers that have ended as well
    #[arg(short, long)]
    all: bool,
    /// Only those that fit, such as name=web, status=exited or label=KEY=VALUE
    #[arg(short, long = "filter", value_name = "FILTER")]
    filters: Vec<String>,
    /// Print container IDs only
    #[arg(short, long)]
    quiet: bool,
    /// Print whole IDs and commands
    #[arg(long)]
    no_trunc: bool,
    /// Show the newest N containers, running or not
    #[arg(short = 'n', long, value_name = "N")]
    last: Option<usize>,
    /// Show the newest container, running or not
    #[arg(short, long)]
    latest: bool,
    /// Show what each has changed, in bytes, and with its image
    #[arg(short, long)]
    size: bool,
    /// Print as a table, as JSON, one object per line, or as a template says, such as {{.Names}}
    #[arg(long, default_value = "table", value_name = "table|json|TEMPLATE")]
    format: String,
}

/// The fields, and the heads of their columns.
const HEADINGS: &listing::Headings = &[
    ("ID", "CONTAINER ID"),
    ("Names", "NAMES"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("RunningFor", "CREATED"),
    ("Ports", "PORTS"),
    ("State", "STATE"),
    ("Status", "STATUS"),
    ("Size", "SIZE"),
    ("Labels", "LABELS"),
    ("Mounts", "MOUNTS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Networks", "NETWORKS"),
];

const COLUMNS: [&str; 8] = [
    "ID",
    "Image",
    "Command",
    "RunningFor",
    "Status",
    "Ports",
    "Names",
    "Size",
];

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    command: String,
    created_at: String,
    #[serde(rename = "ID")]
    id: String,
    image: String,
    labels: String,
    local_volumes: String,
    mounts: String,
    names: String,
    networks: &'static str,
    ports: String,
    running_for: String,
    size: String,
    state: &'static str,
    status: String,
}

pub(in super::super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    let form = Form::parse(&args.format)?;
    let last = if args.latest { Some(1) } else { args.last };
    // As in Docker: none is no number.
    let last = last.filter(|count| *count > 0);
    let (mut all, damaged) = engine.list_containers()?;
    let exit = if damaged.is_empty() {
        Exit::Success
    } else {
        Exit::Failure
    };
    for error in damaged {
        // One damaged container must not hide the others.
        Failure::from(error).report();
    }
    let filter = ContainerFilter::parse(engine, &args.filters)?;
    if !args.all && last.is_none() && !filter.wants_ended() {
        all.retain(|summary| {
            matches!(
                summary.state,
                State::Running { .. } | State::Restarting { .. }
            )
        });
    }
    all.retain(|summary| filter.admits(summary));
    all.truncate(last.unwrap_or(usize::MAX));
    let measured = args.size || args.format.contains(".Size");
    let mut lines = Vec::new();
    for summary in &all {
        let size = measured.then(|| engine.container_size(&summary.container));
        let row = row(summary, args.no_trunc, size);
        lines.push(Line::new(&row, &summary.container.config.labels));
    }
    if args.quiet {
        listing::print_field(&lines, "ID")?;
    } else {
        let shown = COLUMNS.len() - usize::from(!args.size);
        listing::print(&form, &lines, HEADINGS, &COLUMNS[..shown])?;
    }
    Ok(exit)
}

fn row(summary: &ContainerSummary, whole: bool, size: Option<ContainerSize>) -> Row {
    let config = &summary.container.config;
    let now = now();
    let created = units::ago(config.created, now);
    // Asked once: it is the kernel that is asked.
    let word = state(&summary.state);
    Row {
        command: command(&config.args, whole),
        created_at: units::listed_time(config.created),
        id: if whole {
            config.id.to_string()
        } else {
            config.id.short().to_owned()
        },
        image: config.image.clone(),
        labels: listing::labels(&config.labels),
        local_volumes: config
            .mounts
            .iter()
            .filter(|mount| mount.volume.is_some())
            .count()
            .to_string(),
        networks: inspection::network_mode(config.policy.net.mode),
        size: size.map_or_else(
            || "0B".to_owned(),
            |size| {
                let own = units::size(size.own);
                format!("{own} (virtual {})", units::size(size.with_image))
            },
        ),
        mounts: config
            .mounts
            .iter()
            .map(|mount| match (&mount.volume, mount.tmpfs) {
                (Some(volume), _) => volume.name.as_str(),
                // As in Docker, memory has its place for a name.
                (None, Some(_)) => mount.target.as_str(),
                (None, None) => mount.source.as_str(),
            })
            .collect::<Vec<_>>()
            .join(","),
        names: config.name.to_string(),
        ports: match summary.state {
            State::Running { .. } => ports(&config.ports),
            _ => String::new(),
        },
        running_for: created,
        state: word,
        status: status(summary, word, now),
    }
}

/// Returns the ports as Docker lists them: `0.0.0.0:8080->80/tcp`, and `80/tcp` for one that nothing leads to.
fn ports(ports: &[PortConfig]) -> String {
    let one = |port: &PortConfig| match port.host {
        Some(host) => format!("{host}->{}/{}", port.guest, port.protocol),
        None => format!("{}/{}", port.guest, port.protocol),
    };
    ports.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Returns Docker's word for the state.
pub(in super::super) fn state(state: &State) -> &'static str {
    match state {
        State::Created => "created",
        State::Running { .. } if is_paused(state) => "paused",
        State::Running { .. } => "running",
        State::Restarting { .. } => "restarting",
        State::Exited { .. } => "exited",
    }
}

fn status(summary: &ContainerSummary, word: &str, now: i64) -> String {
    let state = &summary.state;
    match state {
        State::Created => "Created".to_owned(),
        State::Running { started, .. } => {
            let halted = if word == "paused" { " (Paused)" } else { "" };
            let up = units::duration(now.saturating_sub(*started));
            format!("Up {up}{halted}{}", well(&summary.container))
        }
        State::Restarting { exit, finished, .. } => {
            let code = exit.as_ref().map_or(137, |exit| exit.code);
            let ago = units::ago(finished.unwrap_or(now), now);
            format!("Restarting ({code}) {ago}")
        }
        State::Exited {
            exit: Some(exit),
            finished,
            ..
        } => {
            format!(
                "Exited ({}) {}",
                exit.code,
                units::ago(finished.unwrap_or(now), now)
            )
        }
        // Its process was killed, or the machine lost power: 137 is what Docker shows for SIGKILL.
        State::Exited {
            exit: None,
            started,
            ..
        } => format!("Exited (137) {}", units::ago(*started, now)),
    }
}

/// Returns in parentheses how well a running container is, if anybody asks.
fn well(container: &Container) -> String {
    if container.config.health.is_none() {
        return String::new();
    }
    match container.watched().health.map(|health| health.status) {
        Some(HealthStatus::Starting) | None => " (health: starting)".to_owned(),
        Some(status) => format!(" ({})", status.word()),
    }
}

/// Returns the command in quotes, arguments with spaces in quotes of their own, cut to Docker's 20 characters unless it is to be whole.
fn command(args: &[String], whole: bool) -> String {
    const SHOWN: usize = 20;
    let quoted = |arg: &String| {
        if arg.contains(' ') {
            format!("'{arg}'")
        } else {
            arg.clone()
        }
    };
    let text = args.iter().map(quoted).collect::<Vec<_>>().join(" ");
    if whole || text.chars().count() <= SHOWN {
        return format!("\"{text}\"");
    }
    let start: String = text.chars().take(SHOWN - 1).collect();
    format!("\"{start}…\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_listed_as_docker_lists_them() {
        let port = |guest, protocol: &str, host: Option<&str>| PortConfig {
            guest,
            protocol: protocol.to_owned(),
            host: host.map(|host| host.parse().expect("an address")),
        };
        let all = [
            port(53, "udp", Some("127.0.0.1:5353")),
            port(80, "tcp", Some("[::]:8080")),
            port(90, "tcp", None),
        ];
        assert_eq!(
            ports(&all),
            "127.0.0.1:5353->53/udp, [::]:8080->80/tcp, 90/tcp"
        );
    }

    #[test]
    fn a_long_command_is_cut() {
        let args = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(command(&args("/hello world"), false), "\"/hello world\"");
        assert_eq!(
            command(&args("/python.wasm -c print(1)"), false),
            "\"/python.wasm -c pri…\""
        );
        assert_eq!(
            command(&args("/python.wasm -c print(1)"), true),
            "\"/python.wasm -c print(1)\""
        );
        assert_eq!(
            command(&["/a".to_owned(), "b c".to_owned()], false),
            "\"/a 'b c'\""
        );
    }
}
