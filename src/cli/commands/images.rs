//! `coracle images`

use coracle_packager::reference::Reference;
use serde::Serialize;

use super::super::error::Failure;
use super::super::{Exit, ui, units};
use super::{Format, printing};
use crate::engine::{Engine, ImageSummary, now};

/// List images
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Print image IDs only
    #[arg(short, long)]
    quiet: bool,
    /// Print whole IDs
    #[arg(long)]
    no_trunc: bool,
    /// Print digests as well
    #[arg(long)]
    digests: bool,
    /// Print as a table or as JSON, one object per line
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Only images of this name
    #[arg(value_name = "NAME[:TAG]")]
    name: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    containers: &'static str,
    created_at: String,
    created_since: String,
    digest: String,
    #[serde(rename = "ID")]
    id: String,
    repository: String,
    shared_size: &'static str,
    size: String,
    tag: String,
    unique_size: &'static str,
    virtual_size: String,
}

pub(in super::super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    let wanted = args.name.as_deref().map(Reference::parse).transpose()?;
    let mut exit = Exit::Success;
    let mut rows = Vec::new();
    for (named, summary) in engine.list_images()? {
        if let Some(wanted) = &wanted
            && !named.name.is_some_and(|name| matches(wanted, &name))
        {
            continue;
        }
        match summary {
            Ok(image) => rows.push(row(&image, args)),
            Err(error) => {
                // One damaged image must not hide the others.
                Failure::from(error).report();
                exit = Exit::Failure;
            }
        }
    }
    print(&rows, args).map_err(printing)?;
    Ok(exit)
}

fn matches(wanted: &Reference, name: &Reference) -> bool {
    let same_tag = wanted.tag().is_none() || wanted.tag() == name.tag();
    wanted.name() == name.name() && same_tag
}

fn row(image: &ImageSummary, args: &Args) -> Row {
    let known = |text: Option<&str>| text.unwrap_or("<none>").to_owned();
    let time = |word: &dyn Fn(i64) -> String| image.created.map_or_else(|| "N/A".to_owned(), word);
    let size = units::size(image.size);
    Row {
        containers: "N/A",
        created_at: time(&units::listed_time),
        created_since: time(&|created| units::ago(created, now())),
        digest: image.digest.to_string(),
        id: if args.no_trunc {
            image.id.to_string()
        } else {
            image.id.short().to_owned()
        },
        repository: known(image.name.as_ref().map(Reference::familiar_name).as_deref()),
        shared_size: "N/A",
        tag: known(image.name.as_ref().and_then(Reference::tag)),
        unique_size: "N/A",
        virtual_size: size.clone(),
        size,
    }
}

fn print(rows: &[Row], args: &Args) -> std::io::Result<()> {
    if args.quiet {
        return rows.iter().try_for_each(|row| ui::line(&row.id));
    }
    if args.format == Format::Json {
        return rows.iter().try_for_each(ui::json_line);
    }
    if args.digests {
        let mut table =
            ui::Table::new(&["REPOSITORY", "TAG", "DIGEST", "IMAGE ID", "CREATED", "SIZE"]);
        for row in rows {
            let cells = [
                &row.repository,
                &row.tag,
                &row.digest,
                &row.id,
                &row.created_since,
                &row.size,
            ];
            table.row(cells.map(String::clone));
        }
        return table.print();
    }
    let mut table = ui::Table::new(&["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]);
    for row in rows {
        table.row(
            [
                &row.repository,
                &row.tag,
                &row.id,
                &row.created_since,
                &row.size,
            ]
            .map(String::clone),
        );
    }
    table.print()
}
