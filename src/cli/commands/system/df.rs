//! `coracle system df`

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::super::error::Failure;
use super::super::super::listing::{self, Form, Line};
use super::super::super::{Exit, ui, units};
use super::super::{printing, ps};
use crate::engine::{DiskUse, Engine, Share, now};

/// Show what takes up the disk
///
/// Packed layers and compiled code are made of images, and go with them.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Show each image and container
    #[arg(short, long)]
    verbose: bool,
    /// Print as a table, as JSON, one object per line, or as a template says, such as {{.Size}}
    #[arg(long, default_value = "table", value_name = "table|json|TEMPLATE")]
    format: String,
}

/// The fields, and the heads of their columns.
const HEADINGS: [(&str, &str); 5] = [
    ("Type", "TYPE"),
    ("TotalCount", "TOTAL"),
    ("Active", "ACTIVE"),
    ("Size", "SIZE"),
    ("Reclaimable", "RECLAIMABLE"),
];

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    active: String,
    reclaimable: String,
    size: String,
    total_count: String,
    #[serde(rename = "Type")]
    kind: &'static str,
}

pub(super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    let form = Form::parse(&args.format)?;
    let found = engine.disk_use()?;
    if args.verbose && matches!(form, Form::Table) {
        print_each(&found).map_err(printing)?;
        return Ok(Exit::Success);
    }
    let rows = [
        row("Images", &found.images),
        row("Containers", &found.containers),
        row("Packed Layers", &found.packed),
        row("Compiled Code", &found.compiled),
    ];
    let lines = rows.map(|row| Line::new(&row, &BTreeMap::new()));
    let columns = HEADINGS.map(|(field, _)| field);
    listing::print(&form, &lines, &HEADINGS, &columns)?;
    Ok(Exit::Success)
}

fn row(kind: &'static str, share: &Share) -> Row {
    let percent = match share.bytes {
        0 => 0,
        bytes => u128::from(share.reclaimable) * 100 / u128::from(bytes),
    };
    Row {
        active: share.active.to_string(),
        reclaimable: format!("{} ({percent}%)", units::size(share.reclaimable)),
        size: units::size(share.bytes),
        total_count: share.total.to_string(),
        kind,
    }
}

fn print_each(found: &DiskUse) -> std::io::Result<()> {
    ui::line("Images space usage:\n")?;
    let mut table = ui::Table::new(&[
        "REPOSITORY",
        "TAG",
        "IMAGE ID",
        "CREATED",
        "SIZE",
        "SHARED SIZE",
        "UNIQUE SIZE",
        "CONTAINERS",
    ]);
    let none = || "<none>".to_owned();
    let now = now();
    for image in &found.each_image {
        let name = image.summary.name.as_ref();
        let tag = name.and_then(|name| name.tag());
        let created = image.summary.created;
        table.row([
            name.map_or_else(none, |name| name.familiar_name()),
            tag.map_or_else(none, str::to_owned),
            image.summary.id.short().to_owned(),
            created.map_or_else(|| "N/A".to_owned(), |created| units::ago(created, now)),
            units::size(image.shared + image.unique),
            units::size(image.shared),
            units::size(image.unique),
            image.containers.to_string(),
        ]);
    }
    table.print()?;
    ui::line("\nContainers space usage:\n")?;
    let mut table = ui::Table::new(&[
        "CONTAINER ID",
        "IMAGE",
        "SIZE",
        "CREATED",
        "STATUS",
        "NAMES",
    ]);
    for (summary, bytes) in &found.each_container {
        let config = &summary.container.config;
        table.row([
            config.id.short().to_owned(),
            config.image.clone(),
            units::size(*bytes),
            units::ago(config.created, now),
            ps::state(&summary.state).to_owned(),
            config.name.to_string(),
        ]);
    }
    table.print()?;
    ui::line(&format!(
        "\nPacked layers: {}\nCompiled code: {}",
        units::size(found.packed.bytes),
        units::size(found.compiled.bytes)
    ))
}
