//! `coracle history`

use serde::Serialize;

use super::super::error::Failure;
use super::super::{Exit, ui, units};
use super::{Format, printing};
use crate::engine::{Engine, HistoryStep, now};

/// Show how an image came to be
///
/// Sizes are those of the layers as a registry keeps them.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Print whole IDs and commands
    #[arg(long)]
    no_trunc: bool,
    /// Print IDs only
    #[arg(short, long)]
    quiet: bool,
    /// Print sizes and times for people; false for bytes and dates
    #[arg(short = 'H', long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    human: bool,
    /// Print as a table or as JSON, one object per line
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// The image: its name, or the beginning of its ID
    image: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    comment: String,
    created_at: String,
    created_by: String,
    created_since: String,
    #[serde(rename = "ID")]
    id: String,
    size: String,
}

pub(in super::super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    let steps = engine.history(&args.image)?;
    let rows: Vec<Row> = steps.iter().map(|step| row(step, args)).collect();
    print(&rows, args).map_err(printing)?;
    Ok(Exit::Success)
}

fn row(step: &HistoryStep, args: &Args) -> Row {
    /// Characters of a command that Docker shows.
    const SHOWN: usize = 45;
    let time = |word: &dyn Fn(i64) -> String| step.created.map_or_else(|| "N/A".to_owned(), word);
    let created_by = step.created_by.replace('\t', " ");
    Row {
        comment: step.comment.clone(),
        created_at: time(&units::rfc3339),
        created_by: if args.no_trunc || created_by.chars().count() <= SHOWN {
            created_by
        } else {
            created_by.chars().take(SHOWN - 1).chain(['…']).collect()
        },
        created_since: time(&|created| units::ago(created, now())),
        id: match &step.id {
            None => "<missing>".to_owned(),
            Some(id) if args.no_trunc => id.to_string(),
            Some(id) => id.short().to_owned(),
        },
        size: if args.human {
            units::size(step.size)
        } else {
            step.size.to_string()
        },
    }
}

fn print(rows: &[Row], args: &Args) -> std::io::Result<()> {
    if args.quiet {
        return rows.iter().try_for_each(|row| ui::line(&row.id));
    }
    if args.format == Format::Json {
        return rows.iter().try_for_each(ui::json_line);
    }
    let created = if args.human { "CREATED" } else { "CREATED AT" };
    let mut table = ui::Table::new(&["IMAGE", created, "CREATED BY", "SIZE", "COMMENT"]);
    for row in rows {
        let created = match args.human {
            true => &row.created_since,
            false => &row.created_at,
        };
        let cells = [&row.id, created, &row.created_by, &row.size, &row.comment];
        table.row(cells.map(String::clone));
    }
    table.print()
}
