//! `coracle system check`

use super::super::super::error::Failure;
use super::super::super::sanitize::sanitize;
use super::super::super::{Exit, ui, units};
use super::super::{Format, printing};
use crate::engine::{Engine, Finding, Place, State};

/// Check everything in the data folder
///
/// Reads all blobs, names, packed layers, compiled programs and container records, compares them with their digests and with each
/// other, and prints what is wrong and what it means. Fails if a problem remains. Other commands may run meanwhile.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Put right what can be, and remove what is damaged so that it is fetched or made again; says what must be pulled again
    #[arg(long)]
    pub(super) repair: bool,
    /// Print for people, or as JSON, one object per line
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Checks; `mended` is what had to be put right before anything could be opened.
pub(super) fn run(engine: &Engine, args: &Args, mended: Vec<Finding>) -> Result<Exit, Failure> {
    let mut report = engine.check(args.repair)?;
    report.findings.splice(..0, mended);
    for finding in &report.findings {
        match args.format {
            Format::Json => ui::json_line(finding),
            Format::Table => print(finding),
        }
        .map_err(printing)?;
    }
    ui::status(&format!(
        "Checked: {} names, {} blobs, {} packed layers, {} compiled programs, {} containers; {} read",
        report.names,
        report.blobs,
        report.layers,
        report.programs,
        report.containers,
        units::size(report.bytes),
    ));
    let (remaining, repaired) = (report.count(State::Remains), report.count(State::Repaired));
    ui::status(&match (remaining, repaired) {
        (0, 0) => "No problem".to_owned(),
        (remaining, 0) => format!("Problems: {remaining}"),
        (remaining, repaired) => format!("Repaired: {repaired}; problems that remain: {remaining}"),
    });
    Ok(match remaining {
        0 => Exit::Success,
        _ => Exit::Failure,
    })
}

fn print(finding: &Finding) -> std::io::Result<()> {
    let place = match finding.place {
        Place::Images => "images",
        Place::Layers => "layers",
        Place::Compiled => "compiled",
        Place::Containers => "containers",
    };
    let state = match finding.state {
        State::Note => "note: ",
        State::Remains => "",
        State::Repaired => "repaired: ",
    };
    ui::line(&format!("{place}: {state}{}", sanitize(&finding.problem)))?;
    ui::line(&format!("    {}", sanitize(&finding.meaning)))
}
