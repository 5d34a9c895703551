//! `coracle volume ls`

use serde::Serialize;

use super::super::super::Exit;
use super::super::super::error::Failure;
use super::super::super::filters::{Filters, contains};
use super::super::super::listing::{self, Form, Line};
use crate::engine::{Engine, Volume};

/// List volumes
#[derive(clap::Args)]
pub(super) struct Args {
    /// Only those that fit: dangling=true|false (no container has it), driver=NAME, label=KEY[=VALUE], name=PART
    #[arg(short, long = "filter", value_name = "FILTER")]
    filters: Vec<String>,
    /// Print names only
    #[arg(short, long)]
    quiet: bool,
    /// Print as a table, as JSON, one object per line, or as a template says, such as {{.Name}}
    #[arg(long, default_value = "table", value_name = "table|json|TEMPLATE")]
    format: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    availability: &'static str,
    driver: &'static str,
    group: &'static str,
    labels: String,
    links: &'static str,
    mountpoint: String,
    name: String,
    scope: &'static str,
    size: &'static str,
    status: &'static str,
}

/// The fields, and the heads of their columns.
const HEADINGS: &listing::Headings = &[
    ("Driver", "DRIVER"),
    ("Name", "VOLUME NAME"),
    ("Scope", "SCOPE"),
    ("Mountpoint", "MOUNTPOINT"),
    ("Labels", "LABELS"),
    ("Links", "LINKS"),
    ("Size", "SIZE"),
    ("Availability", "AVAILABILITY"),
    ("Group", "GROUP"),
    ("Status", "STATUS"),
];

const KNOWN: [&str; 4] = ["dangling", "driver", "label", "name"];

pub(super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    let form = Form::parse(&args.format)?;
    let filters = Filters::parse(&args.filters, &KNOWN)?;
    let dangling = filters.switch("dangling")?;
    let mut lines = Vec::new();
    for (volume, users) in engine.list_volumes()? {
        if dangling.is_none_or(|dangling| dangling == users.is_empty())
            && filters.any("driver", |driver| driver == "local")
            && filters.any("name", |name| contains(volume.name.as_str(), name))
            && filters.labels(&volume.labels)
        {
            lines.push(Line::new(&row(&volume), &volume.labels));
        }
    }
    if args.quiet {
        listing::print_field(&lines, "Name")?;
    } else {
        listing::print(&form, &lines, HEADINGS, &["Driver", "Name"])?;
    }
    Ok(Exit::Success)
}

fn row(volume: &Volume) -> Row {
    Row {
        availability: "N/A",
        driver: "local",
        group: "N/A",
        labels: listing::labels(&volume.labels),
        links: "N/A",
        mountpoint: volume.path().display().to_string(),
        name: volume.name.as_str().to_owned(),
        scope: "local",
        size: "N/A",
        status: "N/A",
    }
}
