//! Commands that tell about containers.

use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;

use coracle_runtime::sandbox::native::{Container, Stats};
use serde::Serialize;

use super::super::super::{Exit, ui};
use super::OciError;
use super::manage::word;
use super::store::{Status, Store};

fn printed(result: io::Result<()>) -> Result<Exit, OciError> {
    result
        .map(|()| Exit::Success)
        .map_err(OciError::io("writing to standard output"))
}

/// Show what a container does, as JSON
#[derive(clap::Args)]
pub(super) struct StateArgs {
    /// The container's name
    id: String,
}

pub(super) fn state(store: &Store, args: &StateArgs) -> Result<Exit, OciError> {
    let (folder, known) = store.open(&args.id)?;
    printed(ui::json_pretty(&folder.state(&known)?))
}

/// How lists are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Table,
    Json,
}

/// List containers
#[derive(clap::Args)]
pub(super) struct ListArgs {
    /// As a table or as JSON
    #[arg(short, long, default_value = "table")]
    format: Format,

    /// Names only
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn list(store: &Store, args: &ListArgs) -> Result<Exit, OciError> {
    let mut states = Vec::new();
    for (folder, known) in store.all()? {
        states.push(folder.state(&known)?);
    }
    if args.quiet {
        for state in &states {
            ui::line(&state.id).map_err(OciError::io("writing to standard output"))?;
        }
        return Ok(Exit::Success);
    }
    if args.format == Format::Json {
        return printed(ui::json_line(&states));
    }
    let mut table = ui::Table::new(&["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]);
    for state in states {
        table.row([
            state.id,
            state.pid.to_string(),
            word(state.status).to_owned(),
            state.bundle.display().to_string(),
            state.created,
            state.owner,
        ]);
    }
    printed(table.print())
}

/// List a container's processes
#[derive(clap::Args)]
pub(super) struct PsArgs {
    /// As a table or as JSON
    #[arg(short, long, default_value = "table")]
    format: Format,

    /// The container's name
    id: String,

    /// What ps is told, for the table
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

pub(super) fn ps(store: &Store, args: &PsArgs) -> Result<Exit, OciError> {
    let (folder, known) = store.open(&args.id)?;
    if folder.status(&known)? == Status::Stopped {
        return Err(OciError::Usage("container not running".to_owned()));
    }
    let processes = Container::open(&known.record)?.processes()?;
    if args.format == Format::Json {
        return printed(ui::json_line(&processes));
    }
    let options = if args.options.is_empty() {
        vec!["-ef".to_owned()]
    } else {
        args.options.clone()
    };
    let output = Command::new("ps")
        .args(options)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(OciError::io("running ps"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    let heading = lines.next().unwrap_or_default();
    let column = heading
        .split_whitespace()
        .position(|word| word == "PID")
        .ok_or_else(|| OciError::Usage("ps shows no column PID with these options".to_owned()))?;
    let is_inside = |line: &&str| {
        line.split_whitespace()
            .nth(column)
            .and_then(|word| word.parse().ok())
            .is_some_and(|pid: u32| processes.contains(&pid))
    };
    for line in std::iter::once(heading).chain(lines.filter(is_inside)) {
        let line = super::super::super::sanitize::sanitize(line);
        ui::line(&line).map_err(OciError::io("writing to standard output"))?;
    }
    Ok(Exit::Success)
}

/// Show what a container uses, again and again, as JSON
#[derive(clap::Args)]
pub(super) struct EventsArgs {
    /// Show it once
    #[arg(long)]
    stats: bool,

    /// Time between two lines
    #[arg(long, default_value = "5s", value_parser = interval, value_name = "TIME")]
    interval: Duration,

    /// The container's name
    id: String,
}

fn interval(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => (text.strip_suffix('s').unwrap_or(text), 1000),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "such as 5s or 500ms".to_owned())?;
    match number.checked_mul(unit) {
        Some(time @ 1..=86_400_000) => Ok(Duration::from_millis(time)),
        _ => Err("from 1ms to a day".to_owned()),
    }
}

/// One line, in runc's words.
#[derive(Serialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    data: serde_json::Value,
}

fn data(stats: Stats) -> serde_json::Value {
    serde_json::json!({
        "cpu": { "usage": { "total": stats.cpu_nanoseconds } },
        "memory": {
            "usage": { "usage": stats.memory_bytes, "limit": stats.memory_limit_bytes },
            "raw": { "inactive_file": stats.memory_inactive_files_bytes },
        },
        "pids": { "current": stats.pids, "limit": stats.pids_limit },
        "blkio": { "read": stats.read_bytes, "write": stats.written_bytes },
    })
}

pub(super) fn events(store: &Store, args: &EventsArgs) -> Result<Exit, OciError> {
    let mut seen_kills = 0;
    loop {
        let (folder, known) = store.open(&args.id)?;
        if folder.status(&known)? == Status::Stopped {
            return if args.stats {
                Err(OciError::Usage("container not running".to_owned()))
            } else {
                Ok(Exit::Success)
            };
        }
        let stats = Container::open(&known.record)?.stats();
        let kills = stats.oom_kills.unwrap_or(0);
        if !args.stats && kills > seen_kills {
            seen_kills = kills;
            printed(ui::json_line(&Event {
                kind: "oom",
                id: &args.id,
                data: serde_json::Value::Null,
            }))?;
        }
        printed(ui::json_line(&Event {
            kind: "stats",
            id: &args.id,
            data: data(stats),
        }))?;
        if args.stats {
            return Ok(Exit::Success);
        }
        std::thread::sleep(args.interval);
    }
}
