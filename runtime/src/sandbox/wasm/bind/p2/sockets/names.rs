//! `wasi:sockets/ip-name-lookup`.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::{
    Host, HostResolveAddressStream, ResolveAddressStream,
};
use wasmtime_wasi::p2::bindings::sockets::network::{
    ErrorCode, IpAddress, Network as NetworkHandle,
};
use wasmtime_wasi::p2::{DynPollable, Pollable, SocketResult, subscribe};
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn};

use super::Sockets;
use crate::sandbox::wasm::net::ResolveError;

type Found = Result<Vec<IpAddr>, ResolveError>;

/// A lookup, and what it found.
pub(super) enum Lookup {
    UnderWay(AbortOnDropJoinHandle<Found>),
    /// Addresses that the guest has not taken yet.
    Found(std::vec::IntoIter<IpAddr>),
    Failed(ErrorCode),
}

impl Lookup {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Self::UnderWay(task) = self {
            match Pin::new(task).poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(found)) => *self = Self::Found(found.into_iter()),
                Poll::Ready(Err(error)) => *self = Self::Failed(code(error)),
            }
        }
        Poll::Ready(())
    }
}

fn code(error: ResolveError) -> ErrorCode {
    match error {
        ResolveError::Refused => ErrorCode::AccessDenied,
        ResolveError::Invalid => ErrorCode::InvalidArgument,
        ResolveError::NotFound => ErrorCode::NameUnresolvable,
        ResolveError::Temporary => ErrorCode::TemporaryResolverFailure,
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Lookup {
    async fn ready(&mut self) {
        std::future::poll_fn(|context| self.poll(context)).await;
    }
}

fn ours(handle: &Resource<ResolveAddressStream>) -> Resource<Lookup> {
    Resource::new_borrow(handle.rep())
}

/// An address is its own answer, in its usual form only.
fn address(name: &str) -> Option<IpAddr> {
    let bare = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    match bare {
        Some(bare) => bare.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => name
            .parse::<Ipv4Addr>()
            .map(IpAddr::V4)
            .or_else(|_| name.parse::<Ipv6Addr>().map(IpAddr::V6))
            .ok(),
    }
}

impl Host for Sockets<'_> {
    fn resolve_addresses(
        &mut self,
        network: Resource<NetworkHandle>,
        name: String,
    ) -> SocketResult<Resource<ResolveAddressStream>> {
        self.table.get(&network)?;
        let lookup = match address(&name) {
            Some(address) => Lookup::Found(vec![address].into_iter()),
            None => {
                let network = self.network.clone();
                let name = network.may_resolve(&name).map_err(code)?;
                Lookup::UnderWay(spawn(async move { network.resolve(&name).await }))
            }
        };
        let lookup = self.table.push(lookup)?;
        Ok(Resource::new_own(lookup.rep()))
    }
}

impl HostResolveAddressStream for Sockets<'_> {
    fn resolve_next_address(
        &mut self,
        this: Resource<ResolveAddressStream>,
    ) -> SocketResult<Option<IpAddress>> {
        let lookup = self.table.get_mut(&ours(&this))?;
        if lookup
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
        {
            return Err(ErrorCode::WouldBlock.into());
        }
        match lookup {
            Lookup::Found(addresses) => Ok(addresses.next().map(IpAddress::from)),
            Lookup::Failed(code) => Err((*code).into()),
            Lookup::UnderWay(_) => Err(ErrorCode::WouldBlock.into()),
        }
    }

    fn subscribe(
        &mut self,
        this: Resource<ResolveAddressStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table, ours(&this))
    }

    fn drop(&mut self, this: Resource<ResolveAddressStream>) -> wasmtime::Result<()> {
        self.table.delete(Resource::<Lookup>::new_own(this.rep()))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_usual_form_is_an_address() {
        for (text, want) in [("127.0.0.1", true), ("::1", true), ("[::1]", true)] {
            assert_eq!(address(text).is_some(), want, "{text}");
        }
        for text in [
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "[127.0.0.1]",
            "127.0.0.1.",
            "",
        ] {
            assert_eq!(address(text), None, "{text}");
            // And no name either: no resolver gets to make an address of it.
            assert!(crate::policy::net::host_name(text).is_err(), "{text}");
        }
    }
}
