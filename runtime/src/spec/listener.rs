//! Host ports that lead to the guest: opened before it starts, so that a port that is taken is known in time, and so
//! that the walled process needs no right to open any.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

use crate::policy::net::{Protocol, Publish};

/// An open port of the host, and the guest's port that it stands for.
#[derive(Clone, Debug)]
pub struct Listener {
    /// The port as the guest sees it.
    pub guest_port: u16,
    /// Where the host listens.
    pub address: SocketAddr,
    /// The socket. It does not block.
    pub socket: OpenSocket,
}

/// A socket, shared by all who hold the description of the container.
#[derive(Clone, Debug)]
pub enum OpenSocket {
    /// It listens already.
    Tcp(Arc<TcpListener>),
    /// It is bound.
    Udp(Arc<UdpSocket>),
}

/// Why a port could not be opened.
#[derive(Debug, thiserror::Error)]
#[error(
    "opening port {address} ({protocol}) of this machine for port {guest_port} of the container"
)]
pub struct ListenError {
    /// The host's address; port 0 is "any".
    pub address: SocketAddr,
    /// What should have been carried.
    pub protocol: Protocol,
    /// The guest's port.
    pub guest_port: u16,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

impl Listener {
    /// Opens all ports of one grant.
    ///
    /// # Errors
    ///
    /// When one can't be opened; those before it are closed again.
    pub fn open(publish: &Publish) -> Result<Vec<Self>, ListenError> {
        let ip = publish.ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        publish
            .pairs()
            .into_iter()
            .map(|(guest_port, mut ports)| {
                if ports.is_empty() {
                    ports.push(0);
                }
                open_first(ip, &ports, publish.protocol, guest_port)
            })
            .collect()
    }

    /// What is carried.
    pub fn protocol(&self) -> Protocol {
        match self.socket {
            OpenSocket::Tcp(_) => Protocol::Tcp,
            OpenSocket::Udp(_) => Protocol::Udp,
        }
    }
}

/// Opens the first port that is free. The error tells of the last one.
fn open_first(
    ip: IpAddr,
    ports: &[u16],
    protocol: Protocol,
    guest_port: u16,
) -> Result<Listener, ListenError> {
    let mut failed = None;
    for port in ports {
        let address = SocketAddr::new(ip, *port);
        match open(address, protocol) {
            Ok((address, socket)) => {
                return Ok(Listener {
                    guest_port,
                    address,
                    socket,
                });
            }
            Err(source) => failed = Some((address, source)),
        }
    }
    let (address, source) = failed.unwrap_or_else(|| {
        (
            SocketAddr::new(ip, 0),
            io::ErrorKind::AddrNotAvailable.into(),
        )
    });
    Err(ListenError {
        address,
        protocol,
        guest_port,
        source,
    })
}

fn open(address: SocketAddr, protocol: Protocol) -> io::Result<(SocketAddr, OpenSocket)> {
    Ok(match protocol {
        Protocol::Tcp => {
            let socket = TcpListener::bind(address)?;
            socket.set_nonblocking(true)?;
            (socket.local_addr()?, OpenSocket::Tcp(Arc::new(socket)))
        }
        Protocol::Udp => {
            let socket = UdpSocket::bind(address)?;
            socket.set_nonblocking(true)?;
            (socket.local_addr()?, OpenSocket::Udp(Arc::new(socket)))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(text: &str) -> Result<Vec<Listener>, ListenError> {
        Listener::open(&text.parse().expect(text))
    }

    #[test]
    fn a_port_that_is_taken_is_said() {
        let first = open("127.0.0.1::80").expect("any port is free");
        let port = first[0].address.port();
        assert_eq!(
            (first[0].guest_port, first[0].protocol()),
            (80, Protocol::Tcp)
        );
        let error = open(&format!("127.0.0.1:{port}:81")).expect_err("taken");
        assert_eq!(
            error.to_string(),
            format!(
                "opening port 127.0.0.1:{port} (tcp) of this machine for port 81 of the container"
            )
        );
        assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
        // Datagrams have ports of their own, and each of a range gets one.
        open(&format!("127.0.0.1:{port}:81/udp")).expect("not taken");
        assert_eq!(open("127.0.0.1::80-82").expect("any port is free").len(), 3);
    }

    #[test]
    fn of_a_range_the_first_free_port_is_taken() {
        let taken = open("127.0.0.1::80").expect("any port is free");
        let port = taken[0].address.port();
        let Some(end) = port.checked_add(20) else {
            return;
        };
        let next = open(&format!("127.0.0.1:{port}-{end}:80")).expect("one is free");
        assert!(next[0].address.port() > port);
    }
}
