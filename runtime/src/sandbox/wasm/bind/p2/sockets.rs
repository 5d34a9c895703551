//! `wasi:sockets` 0.2: wasmtime-wasi's own generated traits on sockets of ours.
//!
//! Its sockets open what the guest names. Here a port that was published is open before the guest starts, and binding to
//! it takes that over, so the sockets themselves have to be ours.

mod names;
mod options;
mod stream;
mod tcp;
mod udp;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use wasmtime::component::{HasData, Resource, ResourceTable};
use wasmtime_wasi::p2::SocketError;
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, IpAddressFamily};

use crate::sandbox::wasm::net::Network;

/// What the functions work on.
pub(in super::super) struct Sockets<'a> {
    pub(super) table: &'a mut ResourceTable,
    pub(super) network: &'a Arc<Network>,
}

pub(super) struct HasSockets;

impl HasData for HasSockets {
    type Data<'a> = Sockets<'a>;
}

impl network::Host for Sockets<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }

    fn network_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        let error = self.table.get(&error)?;
        Ok(error.downcast_ref::<io::Error>().map(ErrorCode::from))
    }
}

impl network::HostNetwork for Sockets<'_> {
    fn drop(&mut self, this: Resource<network::Network>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

/// Is the address one that a socket of this family can use? WASI wants neither IPv4 in IPv6 nor the other way round.
fn fits(family: IpAddressFamily, address: SocketAddr) -> bool {
    match (family, address.ip()) {
        (IpAddressFamily::Ipv4, IpAddr::V4(_)) => true,
        (IpAddressFamily::Ipv6, IpAddr::V6(ip)) => {
            let compatible = matches!(ip.segments(), [0, 0, 0, 0, 0, 0, _, _])
                && !ip.is_unspecified()
                && !ip.is_loopback();
            !compatible && ip.to_ipv4_mapped().is_none()
        }
        _ => false,
    }
}

/// Is it something that one can connect or send to? What else is wrong with an address, the policy says.
fn reachable(family: IpAddressFamily, address: SocketAddr) -> Result<(), ErrorCode> {
    if fits(family, address) && address.port() != 0 && !address.ip().is_unspecified() {
        Ok(())
    } else {
        Err(ErrorCode::InvalidArgument)
    }
}

/// The address "any" of a family.
fn unspecified(family: IpAddressFamily) -> IpAddr {
    match family {
        IpAddressFamily::Ipv4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddressFamily::Ipv6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

/// An address of the host as a guest's socket can say it: a published port need not have the family that the guest bound
/// to. IPv4 becomes a mapped address. IPv6 has no IPv4 form, so loopback stays loopback and all else is "unspecified".
fn shown(family: IpAddressFamily, address: SocketAddr) -> SocketAddr {
    let ip = match (family, address.ip()) {
        (IpAddressFamily::Ipv6, IpAddr::V4(ip)) => IpAddr::V6(ip.to_ipv6_mapped()),
        (IpAddressFamily::Ipv4, IpAddr::V6(ip)) => IpAddr::V4(match ip.to_ipv4_mapped() {
            Some(ip) => ip,
            None if ip.is_loopback() => Ipv4Addr::LOCALHOST,
            None => Ipv4Addr::UNSPECIFIED,
        }),
        (_, ip) => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// May a guest bind a published port to this address? The host's is chosen by the one who published it, and programs
/// bind to any address or to loopback.
fn is_local(ip: IpAddr) -> bool {
    ip.is_unspecified() || ip.is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv4_does_not_hide_in_ipv6() {
        use IpAddressFamily::{Ipv4, Ipv6};
        for (family, address, want) in [
            (Ipv4, "127.0.0.1:80", true),
            (Ipv4, "127.0.0.1:0", false),
            (Ipv4, "0.0.0.0:80", false),
            (Ipv4, "[::1]:80", false),
            (Ipv6, "[::1]:80", true),
            (Ipv6, "[::]:80", false),
            (Ipv6, "[::ffff:127.0.0.1]:80", false),
            (Ipv6, "[::127.0.0.1]:80", false),
            (Ipv6, "127.0.0.1:80", false),
        ] {
            let address = address.parse().expect(address);
            assert_eq!(reachable(family, address).is_ok(), want, "{address}");
        }
    }

    #[test]
    fn an_address_is_shown_in_the_sockets_family() {
        use IpAddressFamily::{Ipv4, Ipv6};
        for (family, address, want) in [
            (Ipv4, "10.0.0.1:80", "10.0.0.1:80"),
            (Ipv6, "10.0.0.1:80", "[::ffff:10.0.0.1]:80"),
            (Ipv4, "[::ffff:10.0.0.1]:80", "10.0.0.1:80"),
            (Ipv4, "[::1]:80", "127.0.0.1:80"),
            (Ipv4, "[2001:db8::1]:80", "0.0.0.0:80"),
        ] {
            let address = address.parse().expect(address);
            assert_eq!(shown(family, address).to_string(), want);
        }
    }
}
