//! `coracle stats`

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use coracle_runtime::container::State;
use serde::Serialize;

use super::super::error::Failure;
use super::super::{Exit, ui, units};
use super::Format;
use super::printing;
use super::start::plain;
use crate::engine::{ContainerSummary, ContainerUse, Engine};

/// Show what running containers use up, again and again
///
/// Processor time, memory and disk are the kernel's account of the container's processes. What of the network they use is not
/// counted apart.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Show containers that do not run as well
    #[arg(short, long)]
    all: bool,
    /// Show it once
    #[arg(long)]
    no_stream: bool,
    /// Print whole IDs
    #[arg(long)]
    no_trunc: bool,
    /// Print as a table or as JSON, one object per line
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Containers: names, or the beginnings of their IDs; all that run if there is none
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// How long to look for each figure of processor time.
const STEP: Duration = Duration::from_secs(1);

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    #[serde(rename = "BlockIO")]
    block_io: String,
    #[serde(rename = "CPUPerc")]
    cpu_perc: String,
    container: String,
    #[serde(rename = "ID")]
    id: String,
    mem_perc: String,
    mem_usage: String,
    name: String,
    #[serde(rename = "NetIO")]
    net_io: String,
    #[serde(rename = "PIDs")]
    pids: String,
}

pub(in super::super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    let mut before = BTreeMap::new();
    // The first look tells since when the second counts.
    look(engine, args, &mut before)?;
    let live = !args.no_stream && ui::is_terminal();
    loop {
        std::thread::sleep(STEP);
        let rows = look(engine, args, &mut before)?;
        print(&rows, args, live).map_err(printing)?;
        if args.no_stream {
            return Ok(Exit::Success);
        }
    }
}

/// What was used of processor time, and when.
type Before = BTreeMap<String, (Instant, Duration)>;

fn look(engine: &Engine, args: &Args, before: &mut Before) -> Result<Vec<Row>, Failure> {
    let chosen = if args.containers.is_empty() {
        let (all, _) = engine.list_containers().map_err(plain)?;
        all.into_iter()
            .filter(|summary| args.all || matches!(summary.state, State::Running { .. }))
            .collect()
    } else {
        let names = args.containers.iter();
        names
            .map(|name| engine.find_container(name).map_err(plain))
            .collect::<Result<Vec<_>, _>>()?
    };
    let mut rows = Vec::new();
    for summary in &chosen {
        let used = engine.usage(summary).map_err(plain)?;
        let id = summary.container.config.id.to_string();
        let now = Instant::now();
        let share = used.map(|used| {
            let last = before.insert(id, (now, used.usage.cpu));
            last.map_or(0.0, |(when, cpu)| {
                let spent = used.usage.cpu.saturating_sub(cpu).as_secs_f64();
                100.0 * spent / now.duration_since(when).as_secs_f64().max(0.001)
            })
        });
        rows.push(row(
            summary,
            used.unwrap_or_default(),
            share.unwrap_or(0.0),
            args.no_trunc,
        ));
    }
    Ok(rows)
}

fn row(summary: &ContainerSummary, used: ContainerUse, cpu: f64, whole: bool) -> Row {
    let config = &summary.container.config;
    let id = if whole {
        config.id.as_str()
    } else {
        config.id.short()
    };
    let usage = used.usage;
    #[expect(clippy::cast_precision_loss, reason = "two decimals are shown")]
    let share = if used.memory_limit == 0 {
        0.0
    } else {
        100.0 * usage.memory as f64 / used.memory_limit as f64
    };
    Row {
        block_io: format!(
            "{} / {}",
            units::size(usage.read),
            units::size(usage.written)
        ),
        cpu_perc: format!("{cpu:.2}%"),
        container: id.to_owned(),
        id: id.to_owned(),
        mem_perc: format!("{share:.2}%"),
        mem_usage: format!(
            "{} / {}",
            units::binary(usage.memory),
            units::binary(used.memory_limit)
        ),
        name: config.name.to_string(),
        net_io: "--".to_owned(),
        pids: used.processes.to_string(),
    }
}

fn print(rows: &[Row], args: &Args, live: bool) -> std::io::Result<()> {
    if live {
        // To the first line, and everything below it away.
        ui::raw(b"\x1b[H\x1b[J")?;
    }
    if args.format == Format::Json {
        return rows.iter().try_for_each(ui::json_line);
    }
    let mut table = ui::Table::new(&[
        "CONTAINER ID",
        "NAME",
        "CPU %",
        "MEM USAGE / LIMIT",
        "MEM %",
        "NET I/O",
        "BLOCK I/O",
        "PIDS",
    ]);
    for row in rows {
        let cells = [
            &row.id,
            &row.name,
            &row.cpu_perc,
            &row.mem_usage,
            &row.mem_perc,
            &row.net_io,
            &row.block_io,
            &row.pids,
        ];
        table.row(cells.map(String::clone));
    }
    table.print()
}
