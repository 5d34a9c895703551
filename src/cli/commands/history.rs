//! `coracle history`

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::error::Failure;
use super::super::listing::{self, Form, Line};
use super::super::{Exit, units};
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
    /// Print as a table, as JSON, one object per line, or as a template says, such as {{.CreatedBy}}
    #[arg(long, default_value = "table", value_name = "table|json|TEMPLATE")]
    format: String,
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

/// The fields, and the heads of their columns.
const HEADINGS: &listing::Headings = &[
    ("ID", "IMAGE"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedBy", "CREATED BY"),
    ("Size", "SIZE"),
    ("Comment", "COMMENT"),
];

pub(in super::super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    let form = Form::parse(&args.format)?;
    let steps = engine.history(&args.image)?;
    let line = |step: &HistoryStep| Line::new(&row(step, args), &BTreeMap::new());
    let lines: Vec<Line> = steps.iter().map(line).collect();
    if args.quiet {
        listing::print_field(&lines, "ID")?;
    } else {
        let created = match args.human {
            true => "CreatedSince",
            false => "CreatedAt",
        };
        let columns = ["ID", created, "CreatedBy", "Size", "Comment"];
        listing::print(&form, &lines, HEADINGS, &columns)?;
    }
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
