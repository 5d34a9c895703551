//! How `run --explain` and `policy check` show what would be.

use std::io;

use coracle_runtime::policy::resolve::{Item, Verdict};

use super::sanitize::sanitize;
use super::ui::{self, Table};
use crate::engine::Explanation;

/// Prints all of it.
pub(super) fn print(explanation: &Explanation) -> io::Result<()> {
    let lines = [
        ("image", &explanation.image),
        ("entry", &explanation.platform),
        ("manifest", &explanation.manifest),
        ("program", &explanation.program),
        ("backend", &explanation.backend),
    ];
    for (name, value) in lines {
        ui::line(&format!("{name:<10}{}", sanitize(value)))?;
    }
    if let Some(problem) = &explanation.unread_request {
        ui::line(&format!("request   not readable: {}", sanitize(problem)))?;
    }
    for link in &explanation.linked {
        ui::line(&sanitize(&format!("linked    {link}")))?;
    }
    ui::line("")?;
    table(&[
        ("granted", &explanation.grants),
        ("requested", &explanation.requests),
        ("imported", &explanation.imports),
    ])
}

/// Prints what becomes of each thing.
pub(super) fn table(parts: &[(&str, &[Item])]) -> io::Result<()> {
    let mut table = Table::new(&["", "CLASS", "WHAT", "VERDICT"]);
    for (part, items) in parts {
        for item in *items {
            table.row([
                (*part).to_owned(),
                item.class.to_string(),
                item.what.clone(),
                verdict(part, item),
            ]);
        }
    }
    table.print()
}

/// Says a verdict in words.
fn verdict(part: &str, item: &Item) -> String {
    match &item.verdict {
        Verdict::Always => "every container has it".to_owned(),
        Verdict::Granted(by) if *by == item.what && part == "granted" => "holds".to_owned(),
        Verdict::Granted(by) => format!("granted by {by}"),
        Verdict::RefusedAtUse(flag) if part == "requested" => {
            format!("not granted; grant it with {flag}")
        }
        Verdict::RefusedAtUse(flag) => format!("each use is refused; grant it with {flag}"),
        Verdict::Refused(reason) => format!("REFUSED: {reason}"),
    }
}
