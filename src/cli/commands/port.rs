//! `coracle port`

use coracle_runtime::container::State;

use super::super::error::Failure;
use super::super::{Exit, ui};
use super::printing;
use super::start::plain;
use crate::engine::Engine;

/// Show where the host listens for a container's ports
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// The container: its name, or the beginning of its ID
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// Show this port of the container only, such as 80 or 53/udp
    #[arg(value_name = "PORT[/PROTOCOL]")]
    port: Option<String>,
}

pub(in super::super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    let found = engine.find_container(&args.container).map_err(plain)?;
    // The ports of one that does not run are nobody's.
    let ports: Vec<_> = match found.state {
        State::Running { .. } => found.container.config.ports.iter().collect(),
        _ => Vec::new(),
    };
    let published = ports
        .into_iter()
        .filter_map(|port| Some((port, port.host?)));
    let Some(wanted) = &args.port else {
        for (port, host) in published {
            ui::line(&format!("{}/{} -> {host}", port.guest, port.protocol)).map_err(printing)?;
        }
        return Ok(Exit::Success);
    };
    let (number, protocol) = wanted.split_once('/').unwrap_or((wanted, "tcp"));
    let number: u16 = number
        .parse()
        .map_err(|_| Failure::Plain(Box::new(Failure::usage(format!("invalid port: {wanted}")))))?;
    let hosts: Vec<_> = published
        .filter(|(port, _)| port.guest == number && port.protocol == protocol)
        .map(|(_, host)| host)
        .collect();
    if hosts.is_empty() {
        return Err(Failure::Plain(Box::new(Failure::usage(format!(
            "no public port '{number}/{protocol}' published for {}",
            args.container
        )))));
    }
    for host in hosts {
        ui::line(&host.to_string()).map_err(printing)?;
    }
    Ok(Exit::Success)
}
