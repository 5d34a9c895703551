//! `wasi:sockets/udp` and `udp-create-socket`.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use socket2::SockRef;
use tokio::io::ReadBuf;
use tokio::net::UdpSocket as TokioSocket;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::network::{
    ErrorCode, IpAddressFamily, IpSocketAddress, Network as NetworkHandle,
};
use wasmtime_wasi::p2::bindings::sockets::udp::{
    self, IncomingDatagram, IncomingDatagramStream, OutgoingDatagram, OutgoingDatagramStream,
};
use wasmtime_wasi::p2::bindings::sockets::udp_create_socket;
use wasmtime_wasi::p2::{
    DynPollable, Pollable, SocketError, SocketResult, UdpSocket as Handle, subscribe,
};

use super::options::{Options, Which};
use super::tcp::positive;
use super::{Sockets, fits, is_local, reachable, shown, unspecified};
use crate::policy::net::{Protocol, Scheme};
use crate::sandbox::wasm::net::{Listen, Network};
use crate::spec::{Listener, OpenSocket};

/// Most datagrams of one call.
const AT_ONCE: usize = 16;
/// Largest datagram that is taken from the guest: what IP allows.
const LARGEST: usize = 65_507;
/// Most bytes that one call gives the guest.
const MOST_BYTES: usize = 128 << 10;
/// Most peers of a published port that the guest can answer; the one that was quiet for longest is forgotten.
const MOST_PEERS: usize = 1024;

/// A socket.
pub(super) struct UdpSocket {
    family: IpAddressFamily,
    options: Options,
    bound: Option<Arc<Bound>>,
    begun: bool,
    remote: Option<SocketAddr>,
}

/// What a socket has once it is bound, shared with its streams.
struct Bound {
    family: IpAddressFamily,
    socket: TokioSocket,
    /// Where the guest believes to be.
    at: SocketAddr,
    network: Arc<Network>,
    /// The port, if it is a published one: it is given back with the socket. Who has written to it may be answered.
    published: Option<Listener>,
    peers: Mutex<VecDeque<SocketAddr>>,
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let Some(listener) = self.published.take() {
            self.network.give_back(listener);
        }
    }
}

impl Bound {
    fn heard(&self, peer: SocketAddr) {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        peers.retain(|known| *known != peer);
        if peers.len() >= MOST_PEERS {
            peers.pop_front();
        }
        peers.push_back(peer);
    }

    /// The host's form of an address that the guest names.
    fn real(&self, peer: SocketAddr) -> SocketAddr {
        match (&self.published, self.socket.local_addr()) {
            (Some(_), Ok(SocketAddr::V4(_))) => {
                SocketAddr::new(peer.ip().to_canonical(), peer.port())
            }
            _ => peer,
        }
    }

    fn may_send(&self, peer: SocketAddr) -> Result<SocketAddr, ErrorCode> {
        if self.published.is_some() {
            let real = self.real(peer);
            let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
            if peers.contains(&real) {
                return Ok(real);
            }
        }
        reachable(self.family, peer)?;
        if self.network.may_connect(Scheme::Udp, peer) {
            Ok(peer)
        } else {
            Err(ErrorCode::AccessDenied)
        }
    }

    /// Takes one datagram that the guest may have.
    fn poll_receive(
        &self,
        remote: Option<SocketAddr>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<(Vec<u8>, SocketAddr)>> {
        let mut bytes = vec![0; usize::from(u16::MAX)];
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            let from = ready!(self.socket.poll_recv_from(context, &mut buffer))?;
            let len = buffer.filled().len();
            let peer = if self.published.is_some() {
                self.heard(from);
                shown(self.family, from)
            } else if self.network.may_answer(from) {
                from
            } else {
                continue;
            };
            if remote.is_none_or(|remote| remote == peer) {
                bytes.truncate(len);
                return Poll::Ready(Ok((bytes, peer)));
            }
        }
    }
}

impl UdpSocket {
    async fn bind(&mut self, network: &Arc<Network>, at: SocketAddr) -> SocketResult<()> {
        if self.bound.is_some() {
            return Err(ErrorCode::InvalidState.into());
        }
        if !fits(self.family, at) {
            return Err(ErrorCode::InvalidArgument.into());
        }
        let wish = if at.port() == 0 && !network.is_host() {
            if !network.has(Scheme::Udp) {
                return Err(ErrorCode::AccessDenied.into());
            }
            // A port of the system's choice, for answers.
            Listen::Open
        } else {
            network.listen(Protocol::Udp, at.port())
        };
        let (socket, at, published) = match wish {
            Listen::Refused => return Err(ErrorCode::AccessDenied.into()),
            Listen::InUse => return Err(ErrorCode::AddressInUse.into()),
            Listen::Take(listener) if !is_local(at.ip()) => {
                network.give_back(listener);
                return Err(ErrorCode::AddressNotBindable.into());
            }
            Listen::Take(listener) => {
                let socket = match &listener.socket {
                    OpenSocket::Udp(socket) => socket.try_clone().and_then(TokioSocket::from_std),
                    OpenSocket::Tcp(_) => Err(io::ErrorKind::InvalidInput.into()),
                };
                match socket {
                    Ok(socket) => (socket, at, Some(listener)),
                    // Without a descriptor now, the guest may still have the port later.
                    Err(error) => {
                        network.give_back(listener);
                        return Err(error.into());
                    }
                }
            }
            Listen::Open => {
                let at = if network.is_host() {
                    at
                } else {
                    SocketAddr::new(unspecified(self.family), 0)
                };
                let socket = open(self.family, at)?;
                let at = socket.local_addr()?;
                (socket, at, None)
            }
        };
        self.options.apply(self.family, &SockRef::from(&socket));
        // The event loop has to have seen it once; programs count on being able to send at once.
        socket.writable().await?;
        self.bound = Some(Arc::new(Bound {
            family: self.family,
            socket,
            at,
            network: network.clone(),
            published,
            peers: Mutex::default(),
        }));
        Ok(())
    }

    fn set(&mut self, which: Which, set: impl FnOnce(&mut Options)) -> SocketResult<()> {
        set(&mut self.options);
        let socket = self
            .bound
            .as_ref()
            .map(|bound| SockRef::from(&bound.socket));
        Ok(self.options.changed(which, self.family, socket)?)
    }
}

fn open(family: IpAddressFamily, at: SocketAddr) -> io::Result<TokioSocket> {
    let domain = match family {
        IpAddressFamily::Ipv4 => socket2::Domain::IPV4,
        IpAddressFamily::Ipv6 => socket2::Domain::IPV6,
    };
    let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, None)?;
    if family == IpAddressFamily::Ipv6 {
        // As WASI wants it.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    TokioSocket::from_std(socket.into())
}

#[wasmtime_wasi::async_trait]
impl Pollable for UdpSocket {
    async fn ready(&mut self) {}
}

/// What comes in.
pub(super) struct Incoming {
    bound: Arc<Bound>,
    remote: Option<SocketAddr>,
    next: Option<io::Result<(Vec<u8>, SocketAddr)>>,
}

impl Incoming {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.next.is_none() {
            self.next = Some(ready!(self.bound.poll_receive(self.remote, context)));
        }
        Poll::Ready(())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Incoming {
    async fn ready(&mut self) {
        poll_fn(|context| self.poll(context)).await;
    }
}

/// What goes out.
pub(super) struct Outgoing {
    bound: Arc<Bound>,
    remote: Option<SocketAddr>,
    /// How many datagrams the guest may send now.
    permitted: usize,
}

impl Outgoing {
    fn send(&self, datagram: &OutgoingDatagram) -> Result<(), ErrorCode> {
        if datagram.data.len() > LARGEST {
            return Err(ErrorCode::DatagramTooLarge);
        }
        let named = datagram.remote_address.map(SocketAddr::from);
        let to = match (named, self.remote) {
            (Some(named), Some(remote)) if named != remote => {
                return Err(ErrorCode::InvalidArgument);
            }
            (Some(peer), _) | (None, Some(peer)) => peer,
            (None, None) => return Err(ErrorCode::InvalidArgument),
        };
        let to = self.bound.may_send(to)?;
        self.bound.socket.try_send_to(&datagram.data, to)?;
        Ok(())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Outgoing {
    async fn ready(&mut self) {
        // What goes wrong here, sending tells.
        self.bound.socket.writable().await.ok();
    }
}

fn ours(handle: &Resource<Handle>) -> Resource<UdpSocket> {
    Resource::new_borrow(handle.rep())
}

fn incoming(handle: &Resource<IncomingDatagramStream>) -> Resource<Incoming> {
    Resource::new_borrow(handle.rep())
}

fn outgoing(handle: &Resource<OutgoingDatagramStream>) -> Resource<Outgoing> {
    Resource::new_borrow(handle.rep())
}

impl Sockets<'_> {
    fn udp(&mut self, handle: &Resource<Handle>) -> SocketResult<&mut UdpSocket> {
        Ok(self.table.get_mut(&ours(handle))?)
    }
}

impl udp_create_socket::Host for Sockets<'_> {
    async fn create_udp_socket(
        &mut self,
        family: IpAddressFamily,
    ) -> SocketResult<Resource<Handle>> {
        let socket = self.table.push(UdpSocket {
            family,
            options: Options::default(),
            bound: None,
            begun: false,
            remote: None,
        })?;
        Ok(Resource::new_own(socket.rep()))
    }
}

impl udp::Host for Sockets<'_> {}

impl udp::HostUdpSocket for Sockets<'_> {
    async fn start_bind(
        &mut self,
        this: Resource<Handle>,
        network: Resource<NetworkHandle>,
        local_address: IpSocketAddress,
    ) -> SocketResult<()> {
        self.table.get(&network)?;
        let network = self.network.clone();
        let socket = self.udp(&this)?;
        if socket.begun {
            return Err(ErrorCode::ConcurrencyConflict.into());
        }
        socket.bind(&network, local_address.into()).await?;
        socket.begun = true;
        Ok(())
    }

    fn finish_bind(&mut self, this: Resource<Handle>) -> SocketResult<()> {
        let socket = self.udp(&this)?;
        if !socket.begun {
            return Err(ErrorCode::NotInProgress.into());
        }
        socket.begun = false;
        Ok(())
    }

    async fn stream(
        &mut self,
        this: Resource<Handle>,
        remote_address: Option<IpSocketAddress>,
    ) -> SocketResult<(
        Resource<IncomingDatagramStream>,
        Resource<OutgoingDatagramStream>,
    )> {
        let busy = self
            .table
            .iter_children(&ours(&this))?
            .any(|child| child.is::<Incoming>() || child.is::<Outgoing>());
        if busy {
            return Err(SocketError::trap(wasmtime::Error::msg(
                "the streams that a UDP socket had before must be dropped first",
            )));
        }
        let remote = remote_address.map(SocketAddr::from);
        let socket = self.udp(&this)?;
        let bound = socket.bound.clone().ok_or(ErrorCode::InvalidState)?;
        if let Some(remote) = remote {
            bound.may_send(remote)?;
        }
        socket.remote = remote;
        let coming = Incoming {
            bound: bound.clone(),
            remote,
            next: None,
        };
        let going = Outgoing {
            bound,
            remote,
            permitted: 0,
        };
        let socket = ours(&this);
        let coming = self.table.push_child(coming, &socket)?;
        let going = self.table.push_child(going, &socket)?;
        Ok((
            Resource::new_own(coming.rep()),
            Resource::new_own(going.rep()),
        ))
    }

    fn local_address(&mut self, this: Resource<Handle>) -> SocketResult<IpSocketAddress> {
        let socket = self.udp(&this)?;
        let bound = socket.bound.as_ref().ok_or(ErrorCode::InvalidState)?;
        Ok(bound.at.into())
    }

    fn remote_address(&mut self, this: Resource<Handle>) -> SocketResult<IpSocketAddress> {
        let remote = self.udp(&this)?.remote.ok_or(ErrorCode::InvalidState)?;
        Ok(remote.into())
    }

    fn address_family(&mut self, this: Resource<Handle>) -> wasmtime::Result<IpAddressFamily> {
        Ok(self.table.get(&ours(&this))?.family)
    }

    fn unicast_hop_limit(&mut self, this: Resource<Handle>) -> SocketResult<u8> {
        Ok(self.udp(&this)?.options.hop_limit)
    }

    fn set_unicast_hop_limit(&mut self, this: Resource<Handle>, value: u8) -> SocketResult<()> {
        let value = positive(value)?;
        self.udp(&this)?
            .set(Which::HopLimit, |options| options.hop_limit = value)
    }

    fn receive_buffer_size(&mut self, this: Resource<Handle>) -> SocketResult<u64> {
        Ok(self.udp(&this)?.options.receive_buffer)
    }

    fn set_receive_buffer_size(&mut self, this: Resource<Handle>, value: u64) -> SocketResult<()> {
        let value = positive(value)?;
        self.udp(&this)?
            .set(Which::Receive, |options| options.receive_buffer = value)
    }

    fn send_buffer_size(&mut self, this: Resource<Handle>) -> SocketResult<u64> {
        Ok(self.udp(&this)?.options.send_buffer)
    }

    fn set_send_buffer_size(&mut self, this: Resource<Handle>, value: u64) -> SocketResult<()> {
        let value = positive(value)?;
        self.udp(&this)?
            .set(Which::Send, |options| options.send_buffer = value)
    }

    fn subscribe(&mut self, this: Resource<Handle>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table, ours(&this))
    }

    fn drop(&mut self, this: Resource<Handle>) -> wasmtime::Result<()> {
        self.table
            .delete(Resource::<UdpSocket>::new_own(this.rep()))?;
        Ok(())
    }
}

impl udp::HostIncomingDatagramStream for Sockets<'_> {
    fn receive(
        &mut self,
        this: Resource<IncomingDatagramStream>,
        max_results: u64,
    ) -> SocketResult<Vec<IncomingDatagram>> {
        let stream = self.table.get_mut(&incoming(&this))?;
        let most = usize::try_from(max_results)
            .unwrap_or(usize::MAX)
            .min(AT_ONCE);
        let mut datagrams = Vec::new();
        let mut bytes: usize = 0;
        while datagrams.len() < most && bytes < MOST_BYTES {
            if stream
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
            {
                break;
            }
            match stream.next.take() {
                Some(Ok((data, from))) => {
                    bytes = bytes.saturating_add(data.len());
                    datagrams.push(IncomingDatagram {
                        data,
                        remote_address: from.into(),
                    });
                }
                Some(Err(error)) if datagrams.is_empty() => return Err(error.into()),
                _ => break,
            }
        }
        Ok(datagrams)
    }

    fn subscribe(
        &mut self,
        this: Resource<IncomingDatagramStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table, incoming(&this))
    }

    fn drop(&mut self, this: Resource<IncomingDatagramStream>) -> wasmtime::Result<()> {
        self.table
            .delete(Resource::<Incoming>::new_own(this.rep()))?;
        Ok(())
    }
}

impl udp::HostOutgoingDatagramStream for Sockets<'_> {
    fn check_send(&mut self, this: Resource<OutgoingDatagramStream>) -> SocketResult<u64> {
        let stream = self.table.get_mut(&outgoing(&this))?;
        let ready = stream
            .bound
            .socket
            .poll_send_ready(&mut Context::from_waker(Waker::noop()))
            .is_ready();
        stream.permitted = if ready { AT_ONCE } else { 0 };
        Ok(stream.permitted as u64)
    }

    fn send(
        &mut self,
        this: Resource<OutgoingDatagramStream>,
        datagrams: Vec<OutgoingDatagram>,
    ) -> SocketResult<u64> {
        let stream = self.table.get_mut(&outgoing(&this))?;
        if datagrams.len() > stream.permitted {
            return Err(SocketError::trap(wasmtime::Error::msg(
                "more datagrams than were permitted",
            )));
        }
        stream.permitted = 0;
        let mut sent: u64 = 0;
        for datagram in &datagrams {
            match stream.send(datagram) {
                Ok(()) => sent = sent.saturating_add(1),
                Err(ErrorCode::WouldBlock) => break,
                // WASI: if at least one has been sent, there is no error.
                Err(_) if sent > 0 => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(sent)
    }

    fn subscribe(
        &mut self,
        this: Resource<OutgoingDatagramStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table, outgoing(&this))
    }

    async fn drop(&mut self, this: Resource<OutgoingDatagramStream>) -> wasmtime::Result<()> {
        self.table
            .delete(Resource::<Outgoing>::new_own(this.rep()))?;
        Ok(())
    }
}
