//! `coracle top`

use super::super::error::Failure;
use super::super::{Exit, ui};
use super::printing;
use super::start::plain;
use crate::engine::{Engine, Error};

/// Show the processes of a container
///
/// A WebAssembly program is one process of the host, and each program that `exec` started in it another.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// The container: its name, or the beginning of its ID
    #[arg(value_name = "CONTAINER")]
    container: String,
}

pub(in super::super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    let found = engine.find_container(&args.container).map_err(plain)?;
    let processes = engine.processes(&found).map_err(plain)?;
    if processes.is_empty() {
        return Err(plain(Error::NotRunning {
            container: found.container.config.name.to_string(),
        }));
    }
    let mut table = ui::Table::new(&["PID", "PPID", "STAT", "THREADS", "RSS", "TIME", "COMMAND"]);
    for process in processes {
        let usage = process.usage;
        let seconds = usage.cpu.as_secs();
        table.row([
            process.pid.to_string(),
            usage.parent.to_string(),
            usage.state.to_string(),
            usage.threads.to_string(),
            super::super::units::binary(usage.memory),
            format!(
                "{:02}:{:02}:{:02}",
                seconds / 3600,
                seconds / 60 % 60,
                seconds % 60
            ),
            process.command,
        ]);
    }
    table.print().map_err(printing)?;
    Ok(Exit::Success)
}
