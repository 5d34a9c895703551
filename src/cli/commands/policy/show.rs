//! `coracle policy show`

use coracle_runtime::policy::Policy;
use coracle_runtime::policy::resolve::{Verdict, requested};

use super::super::super::Exit;
use super::super::super::error::Failure;
use super::super::super::ui::{self, Table};
use super::super::{Format, printing};
use crate::engine::Engine;

/// Show what an image asks for, and the flag that grants each thing
#[derive(clap::Args)]
pub(super) struct Args {
    /// Print as a table, or as JSON in the form of the image's label
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// An image's name, or the beginning of its ID
    image: String,
}

pub(super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    let found = super::requested(engine, &args.image)?;
    if args.format == Format::Json {
        ui::json_line(&found.request).map_err(printing)?;
    } else {
        let mut table = Table::new(&["CLASS", "ASKS FOR", "GRANT IT WITH"]);
        for item in requested(&Policy::default(), &found.request) {
            let flag = match item.verdict {
                Verdict::RefusedAtUse(flag) => flag,
                _ => String::new(),
            };
            table.row([item.class.to_string(), item.what, flag]);
        }
        table.print().map_err(printing)?;
    }
    Ok(if found.unread.is_some() {
        Exit::Failure
    } else {
        Exit::Success
    })
}
