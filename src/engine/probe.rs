//! Asking a container's port whether the program behind it is well.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use coracle_runtime::container::{Container, Probe};

use super::{Engine, Error};

impl Engine {
    /// Asks once, and returns what was answered. Whoever calls bounds the time.
    ///
    /// # Errors
    ///
    /// [`Error::Unwell`].
    pub fn probe_port(&self, container: &Container, probe: &Probe) -> Result<String, Error> {
        let unwell = |problem: String| Error::Unwell { problem };
        let (Probe::Http { port, .. } | Probe::Tcp { port }) = probe else {
            return Err(unwell("it is no port that is asked".to_owned()));
        };
        let address = reach(container, *port)
            .ok_or_else(|| unwell(format!("port {port} of the container is not published")))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| unwell(error.to_string()))?;
        match probe {
            Probe::Http { path, .. } => {
                let status = runtime
                    .block_on(coracle_runtime::probe::http(address, path))
                    .map_err(|error| unwell(format!("http://{address}{path}: {error}")))?;
                if status >= 400 {
                    return Err(unwell(format!("http://{address}{path} answers {status}")));
                }
                Ok(format!("http://{address}{path} answers {status}"))
            }
            _ => {
                let connected = runtime.block_on(tokio::net::TcpStream::connect(address));
                connected.map_err(|error| unwell(format!("connecting to {address}: {error}")))?;
                Ok(format!("{address} accepts connections"))
            }
        }
    }
}

/// Returns where the host listens for a port of the container, as it is reached from here.
fn reach(container: &Container, port: u16) -> Option<SocketAddr> {
    let ports = container.config.ports.iter();
    let mut host = ports
        .filter(|known| known.guest == port && known.protocol == "tcp")
        .find_map(|known| known.host)?;
    if host.ip().is_unspecified() {
        host.set_ip(match host.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    Some(host)
}
