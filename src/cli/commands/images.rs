//! `coracle images`

use std::collections::BTreeMap;

use coracle_packager::reference::Reference;
use serde::Serialize;

use super::super::error::Failure;
use super::super::listing::{self, Form, Line};
use super::super::{Exit, units};
use super::image_filter::{self, ImageFilter};
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
    /// Show all; there are none that are hidden
    #[arg(short, long)]
    all: bool,
    /// Only those that fit: before=IMAGE, dangling=true|false, label=KEY[=VALUE], reference=PATTERN, since=IMAGE
    #[arg(short, long = "filter", value_name = "FILTER")]
    filters: Vec<String>,
    /// Print as a table, as JSON, one object per line, or as a template says, such as {{.Repository}}
    #[arg(long, default_value = "table", value_name = "table|json|TEMPLATE")]
    format: String,
    /// Only images of this name
    #[arg(value_name = "NAME[:TAG]")]
    name: Option<String>,
}

/// The fields, and the heads of their columns.
const HEADINGS: &listing::Headings = &[
    ("ID", "IMAGE ID"),
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Size", "SIZE"),
    ("Containers", "CONTAINERS"),
    ("VirtualSize", "VIRTUAL SIZE"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
];

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
    let form = Form::parse(&args.format)?;
    let filter = ImageFilter::parse(engine, &args.filters)?;
    let wanted = args.name.as_deref().map(Wanted::parse).transpose()?;
    let mut exit = Exit::Success;
    let mut lines = Vec::new();
    for (named, summary) in engine.list_images()? {
        if let Some(wanted) = &wanted
            && !named.name.as_ref().is_some_and(|name| wanted.fits(name))
        {
            continue;
        }
        match summary {
            Ok(image) if filter.admits(engine, &named, &image) => {
                lines.push(Line::new(&row(&image, args), &BTreeMap::new()));
            }
            Ok(_) => {}
            Err(error) => {
                // One damaged image must not hide the others.
                Failure::from(error).report();
                exit = Exit::Failure;
            }
        }
    }
    if args.quiet {
        listing::print_field(&lines, "ID")?;
    } else if args.digests {
        let columns = ["Repository", "Tag", "Digest", "ID", "CreatedSince", "Size"];
        listing::print(&form, &lines, HEADINGS, &columns)?;
    } else {
        let columns = ["Repository", "Tag", "ID", "CreatedSince", "Size"];
        listing::print(&form, &lines, HEADINGS, &columns)?;
    }
    Ok(exit)
}

/// The name that was typed: one, or a pattern of names.
enum Wanted {
    Name(Reference),
    Pattern(String),
}

impl Wanted {
    fn parse(text: &str) -> Result<Self, Failure> {
        if text.contains(['*', '?']) {
            return Ok(Self::Pattern(text.to_owned()));
        }
        Ok(Self::Name(Reference::parse(text)?))
    }

    fn fits(&self, name: &Reference) -> bool {
        match self {
            Self::Name(wanted) => matches(wanted, name),
            Self::Pattern(pattern) => image_filter::fits_pattern(name, pattern),
        }
    }
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
