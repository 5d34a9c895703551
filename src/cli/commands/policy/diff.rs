//! `coracle policy diff`

use serde_json::json;

use super::super::super::Exit;
use super::super::super::error::Failure;
use super::super::super::ui::{self, Table};
use super::super::{Format, printing};
use crate::engine::Engine;

/// Show what one image asks for that the other does not
#[derive(clap::Args)]
pub(super) struct Args {
    /// Print as a table, or as JSON, one object a line
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// The image that was run before
    old: String,
    /// The image that is to replace it
    new: String,
}

pub(super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    let old = super::requested(engine, &args.old)?.request.items();
    let new = super::requested(engine, &args.new)?.request.items();
    let added = new.difference(&old).map(|item| ("+", item));
    let gone = old.difference(&new).map(|item| ("-", item));
    let mut table = Table::new(&["", "CLASS", "ASKS FOR"]);
    for (sign, (class, what)) in added.chain(gone) {
        if args.format == Format::Json {
            let change = if sign == "+" { "added" } else { "removed" };
            ui::json_line(&json!({ "change": change, "class": class.name(), "what": what }))
                .map_err(printing)?;
        } else {
            table.row([sign.to_owned(), class.to_string(), what.clone()]);
        }
    }
    if args.format == Format::Table {
        table.print().map_err(printing)?;
    }
    Ok(Exit::Success)
}
