//! `wasi:sockets/tcp` and `tcp-create-socket`.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket as TokioSocket, TcpStream};
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::network::{
    ErrorCode, IpAddressFamily, IpSocketAddress, Network as NetworkHandle,
};
use wasmtime_wasi::p2::bindings::sockets::tcp::{self, ShutdownType};
use wasmtime_wasi::p2::bindings::sockets::tcp_create_socket;
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, DynPollable, Pollable, SocketResult, TcpSocket as Handle,
    subscribe,
};

use super::options::{self, Options, Which};
use super::stream::{Reader, Sending, Writer};
use super::{Sockets, fits, is_local, reachable, shown};
use crate::policy::net::{Protocol, Scheme};
use crate::sandbox::wasm::net::{Listen, Network};
use crate::spec::{Listener, OpenSocket};

/// Connections that the system may keep waiting, unless the guest says otherwise.
const BACKLOG: u32 = 128;

/// A socket.
pub(super) struct TcpSocket {
    family: IpAddressFamily,
    options: Options,
    backlog: u32,
    state: State,
    /// What was begun and not finished.
    begun: Option<Begun>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Begun {
    Bind,
    Connect,
    Listen,
}

type Connecting = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

enum State {
    /// Nothing of the system's yet.
    New,
    /// It has an address, and can listen on a published port if there is one behind it.
    Bound {
        at: SocketAddr,
        port: Port,
    },
    Connecting(Connecting),
    /// The guest has not asked yet how it went.
    Connected(io::Result<TcpStream>),
    Open {
        stream: Arc<TcpStream>,
        /// Where the guest believes to be, if not where the system does.
        at: Option<SocketAddr>,
        reader: Arc<AtomicBool>,
        writer: Arc<Mutex<Sending>>,
    },
    Listening {
        listener: TcpListener,
        at: SocketAddr,
        next: Option<io::Result<TcpStream>>,
        /// Gives the port back when the socket is closed.
        _port: Option<Lent>,
    },
    Closed,
}

/// What is behind an address that a socket is bound to.
enum Port {
    /// Nothing that can be listened on.
    None,
    /// A port that was published.
    Published(Lent),
    /// A socket of the system's.
    Own(TokioSocket),
}

/// A published port, while the guest has it.
struct Lent {
    listener: Option<Listener>,
    network: Arc<Network>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(listener) = self.listener.take() {
            self.network.give_back(listener);
        }
    }
}

impl TcpSocket {
    fn new(family: IpAddressFamily) -> Self {
        Self {
            family,
            options: Options::default(),
            backlog: BACKLOG,
            state: State::New,
            begun: None,
        }
    }

    /// The system's socket, if there is one.
    fn system(&self) -> Option<SockRef<'_>> {
        match &self.state {
            State::Open { stream, .. } => Some(SockRef::from(&**stream)),
            State::Connected(Ok(stream)) => Some(SockRef::from(stream)),
            State::Listening { listener, .. } => Some(SockRef::from(listener)),
            _ => None,
        }
    }

    fn set(&mut self, which: Which, set: impl FnOnce(&mut Options)) -> SocketResult<()> {
        set(&mut self.options);
        let mut options = self.options.clone();
        options.changed(which, self.family, self.system())?;
        self.options = options;
        Ok(())
    }

    fn free(&self) -> Result<(), ErrorCode> {
        match self.begun {
            Some(_) => Err(ErrorCode::ConcurrencyConflict),
            None => Ok(()),
        }
    }

    fn finish(&mut self, begun: Begun) -> Result<(), ErrorCode> {
        if self.begun != Some(begun) {
            return Err(ErrorCode::NotInProgress);
        }
        self.begun = None;
        Ok(())
    }

    fn bind(&mut self, network: &Arc<Network>, at: SocketAddr) -> SocketResult<()> {
        if !matches!(self.state, State::New) {
            return Err(ErrorCode::InvalidState.into());
        }
        let multicast = at.ip().is_multicast();
        if !fits(self.family, at) || multicast {
            return Err(ErrorCode::InvalidArgument.into());
        }
        if at.port() == 0 && !network.is_host() {
            // For connecting, where the system chooses the port anyway.
            if !network.has(Scheme::Tcp) {
                return Err(ErrorCode::AccessDenied.into());
            }
            self.state = State::Bound {
                at,
                port: Port::None,
            };
            return Ok(());
        }
        let (at, port) = match network.listen(Protocol::Tcp, at.port()) {
            Listen::Refused => return Err(ErrorCode::AccessDenied.into()),
            Listen::InUse => return Err(ErrorCode::AddressInUse.into()),
            Listen::Take(listener) => {
                let lent = Lent {
                    listener: Some(listener),
                    network: network.clone(),
                };
                if !is_local(at.ip()) {
                    return Err(ErrorCode::AddressNotBindable.into());
                }
                (at, Port::Published(lent))
            }
            Listen::Open => {
                let socket = new(self.family)?;
                #[cfg(not(windows))]
                socket.set_reuseaddr(true)?;
                self.options.apply(self.family, &SockRef::from(&socket));
                socket.bind(at)?;
                (socket.local_addr()?, Port::Own(socket))
            }
        };
        self.state = State::Bound { at, port };
        Ok(())
    }

    fn connect(&mut self, network: &Network, to: SocketAddr) -> SocketResult<()> {
        let own = match &self.state {
            State::New => false,
            State::Bound { port, .. } => matches!(port, Port::Own(_)),
            _ => return Err(ErrorCode::InvalidState.into()),
        };
        reachable(self.family, to)?;
        if !network.may_connect(Scheme::Tcp, to) {
            return Err(ErrorCode::AccessDenied.into());
        }
        let socket = match std::mem::replace(&mut self.state, State::Closed) {
            State::Bound {
                port: Port::Own(socket),
                ..
            } if own => socket,
            _ => new(self.family)?,
        };
        self.options.apply(self.family, &SockRef::from(&socket));
        self.state = State::Connecting(Box::pin(socket.connect(to)));
        Ok(())
    }

    fn listen(&mut self) -> SocketResult<()> {
        let (at, port) = match std::mem::replace(&mut self.state, State::Closed) {
            State::Bound { at, port } => (at, port),
            other => {
                self.state = other;
                return Err(ErrorCode::InvalidState.into());
            }
        };
        let (listener, lent) = match port {
            Port::None => {
                self.state = State::Bound { at, port };
                return Err(ErrorCode::AccessDenied.into());
            }
            Port::Published(lent) => {
                let Some(Listener {
                    socket: OpenSocket::Tcp(socket),
                    ..
                }) = &lent.listener
                else {
                    return Err(ErrorCode::InvalidState.into());
                };
                let listener = TcpListener::from_std(socket.try_clone()?)?;
                (listener, Some(lent))
            }
            Port::Own(socket) => (socket.listen(self.backlog)?, None),
        };
        self.state = State::Listening {
            listener,
            at,
            next: None,
            _port: lent,
        };
        Ok(())
    }

    /// Goes on connecting or accepting.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.state {
            State::Connecting(connecting) => {
                let connected = ready!(connecting.as_mut().poll(context));
                self.state = State::Connected(connected);
            }
            State::Listening { listener, next, .. } if next.is_none() => {
                let accepted = ready!(listener.poll_accept(context));
                *next = Some(accepted.map(|(stream, _)| stream));
            }
            _ => {}
        }
        Poll::Ready(())
    }

    fn poll_now(&mut self) -> Poll<()> {
        self.poll(&mut Context::from_waker(Waker::noop()))
    }

    /// Begins to use a connection.
    fn open(
        &mut self,
        stream: TcpStream,
        at: Option<SocketAddr>,
    ) -> (DynInputStream, DynOutputStream) {
        let stream = Arc::new(stream);
        let (reader, closed) = Reader::new(stream.clone());
        let (writer, sending) = Writer::new(stream.clone());
        self.state = State::Open {
            stream,
            at,
            reader: closed,
            writer: sending,
        };
        (Box::new(reader), Box::new(writer))
    }

    fn local(&self) -> SocketResult<SocketAddr> {
        Ok(match &self.state {
            State::Bound { at, .. } | State::Listening { at, .. } => *at,
            State::Open { at: Some(at), .. } => *at,
            State::Open { stream, .. } => stream.local_addr()?,
            _ => return Err(ErrorCode::InvalidState.into()),
        })
    }
}

fn new(family: IpAddressFamily) -> io::Result<TokioSocket> {
    match family {
        IpAddressFamily::Ipv4 => TokioSocket::new_v4(),
        IpAddressFamily::Ipv6 => {
            let socket = TokioSocket::new_v6()?;
            // As WASI wants it.
            SockRef::from(&socket).set_only_v6(true)?;
            Ok(socket)
        }
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for TcpSocket {
    async fn ready(&mut self) {
        poll_fn(|context| self.poll(context)).await;
    }
}

fn ours(handle: &Resource<Handle>) -> Resource<TcpSocket> {
    Resource::new_borrow(handle.rep())
}

impl Sockets<'_> {
    fn tcp(&mut self, handle: &Resource<Handle>) -> SocketResult<&mut TcpSocket> {
        Ok(self.table.get_mut(&ours(handle))?)
    }
}

impl tcp_create_socket::Host for Sockets<'_> {
    fn create_tcp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<Handle>> {
        let socket = self.table.push(TcpSocket::new(family))?;
        Ok(Resource::new_own(socket.rep()))
    }
}

impl tcp::Host for Sockets<'_> {}

impl tcp::HostTcpSocket for Sockets<'_> {
    async fn start_bind(
        &mut self,
        this: Resource<Handle>,
        network: Resource<NetworkHandle>,
        local_address: IpSocketAddress,
    ) -> SocketResult<()> {
        self.table.get(&network)?;
        let network = self.network.clone();
        let socket = self.tcp(&this)?;
        socket.free()?;
        socket.bind(&network, local_address.into())?;
        socket.begun = Some(Begun::Bind);
        Ok(())
    }

    fn finish_bind(&mut self, this: Resource<Handle>) -> SocketResult<()> {
        Ok(self.tcp(&this)?.finish(Begun::Bind)?)
    }

    fn start_connect(
        &mut self,
        this: Resource<Handle>,
        network: Resource<NetworkHandle>,
        remote_address: IpSocketAddress,
    ) -> SocketResult<()> {
        self.table.get(&network)?;
        let network = self.network.clone();
        let socket = self.tcp(&this)?;
        socket.free()?;
        socket.connect(&network, remote_address.into())?;
        socket.begun = Some(Begun::Connect);
        Ok(())
    }

    fn finish_connect(
        &mut self,
        this: Resource<Handle>,
    ) -> SocketResult<(Resource<DynInputStream>, Resource<DynOutputStream>)> {
        let socket = self.tcp(&this)?;
        if socket.begun != Some(Begun::Connect) {
            return Err(ErrorCode::NotInProgress.into());
        }
        if socket.poll_now().is_pending() {
            return Err(ErrorCode::WouldBlock.into());
        }
        socket.begun = None;
        let State::Connected(connected) = std::mem::replace(&mut socket.state, State::Closed)
        else {
            return Err(ErrorCode::InvalidState.into());
        };
        let (input, output) = socket.open(connected?, None);
        let socket = ours(&this);
        Ok((
            self.table.push_child(input, &socket)?,
            self.table.push_child(output, &socket)?,
        ))
    }

    async fn start_listen(&mut self, this: Resource<Handle>) -> SocketResult<()> {
        let socket = self.tcp(&this)?;
        socket.free()?;
        socket.listen()?;
        socket.begun = Some(Begun::Listen);
        Ok(())
    }

    fn finish_listen(&mut self, this: Resource<Handle>) -> SocketResult<()> {
        Ok(self.tcp(&this)?.finish(Begun::Listen)?)
    }

    fn accept(
        &mut self,
        this: Resource<Handle>,
    ) -> SocketResult<(
        Resource<Handle>,
        Resource<DynInputStream>,
        Resource<DynOutputStream>,
    )> {
        let socket = self.tcp(&this)?;
        socket.free()?;
        if !matches!(socket.state, State::Listening { .. }) {
            return Err(ErrorCode::InvalidState.into());
        }
        if socket.poll_now().is_pending() {
            return Err(ErrorCode::WouldBlock.into());
        }
        let (family, options) = (socket.family, socket.options.clone());
        let State::Listening { next, at, .. } = &mut socket.state else {
            return Err(ErrorCode::InvalidState.into());
        };
        let stream = next.take().ok_or(ErrorCode::WouldBlock)??;
        let here = shown(family, stream.local_addr()?);
        let at = SocketAddr::new(here.ip(), at.port());
        options.apply(family, &SockRef::from(&stream));
        let mut accepted = TcpSocket::new(family);
        accepted.options = options;
        let (input, output) = accepted.open(stream, Some(at));
        let accepted = self.table.push(accepted)?;
        let input = self.table.push_child(input, &accepted)?;
        let output = self.table.push_child(output, &accepted)?;
        Ok((Resource::new_own(accepted.rep()), input, output))
    }

    fn local_address(&mut self, this: Resource<Handle>) -> SocketResult<IpSocketAddress> {
        Ok(self.tcp(&this)?.local()?.into())
    }

    fn remote_address(&mut self, this: Resource<Handle>) -> SocketResult<IpSocketAddress> {
        let socket = self.tcp(&this)?;
        let State::Open { stream, .. } = &socket.state else {
            return Err(ErrorCode::InvalidState.into());
        };
        Ok(shown(socket.family, stream.peer_addr()?).into())
    }

    fn is_listening(&mut self, this: Resource<Handle>) -> wasmtime::Result<bool> {
        let socket = self.table.get(&ours(&this))?;
        Ok(matches!(socket.state, State::Listening { .. }))
    }

    fn address_family(&mut self, this: Resource<Handle>) -> wasmtime::Result<IpAddressFamily> {
        Ok(self.table.get(&ours(&this))?.family)
    }

    fn set_listen_backlog_size(&mut self, this: Resource<Handle>, value: u64) -> SocketResult<()> {
        let socket = self.tcp(&this)?;
        if value == 0 {
            return Err(ErrorCode::InvalidArgument.into());
        }
        match &socket.state {
            State::New | State::Bound { .. } => {
                socket.backlog = u32::try_from(value)
                    .unwrap_or(u32::MAX)
                    .min(i32::MAX.unsigned_abs());
                Ok(())
            }
            State::Listening { .. } => Err(ErrorCode::NotSupported.into()),
            _ => Err(ErrorCode::InvalidState.into()),
        }
    }

    fn keep_alive_enabled(&mut self, this: Resource<Handle>) -> SocketResult<bool> {
        Ok(self.tcp(&this)?.options.keep_alive)
    }

    fn set_keep_alive_enabled(&mut self, this: Resource<Handle>, value: bool) -> SocketResult<()> {
        self.tcp(&this)?
            .set(Which::KeepAlive, |options| options.keep_alive = value)
    }

    fn keep_alive_idle_time(&mut self, this: Resource<Handle>) -> SocketResult<u64> {
        Ok(self.tcp(&this)?.options.idle)
    }

    fn set_keep_alive_idle_time(&mut self, this: Resource<Handle>, value: u64) -> SocketResult<()> {
        let value = positive(value)?;
        self.tcp(&this)?.set(Which::KeepAlive, |options| {
            options.idle = options::keep_alive_time(value);
        })
    }

    fn keep_alive_interval(&mut self, this: Resource<Handle>) -> SocketResult<u64> {
        Ok(self.tcp(&this)?.options.interval)
    }

    fn set_keep_alive_interval(&mut self, this: Resource<Handle>, value: u64) -> SocketResult<()> {
        let value = positive(value)?;
        self.tcp(&this)?.set(Which::KeepAlive, |options| {
            options.interval = options::keep_alive_time(value);
        })
    }

    fn keep_alive_count(&mut self, this: Resource<Handle>) -> SocketResult<u32> {
        Ok(self.tcp(&this)?.options.probes)
    }

    fn set_keep_alive_count(&mut self, this: Resource<Handle>, value: u32) -> SocketResult<()> {
        let value = positive(value)?;
        self.tcp(&this)?.set(Which::KeepAlive, |options| {
            options.probes = options::probes(value);
        })
    }

    fn hop_limit(&mut self, this: Resource<Handle>) -> SocketResult<u8> {
        Ok(self.tcp(&this)?.options.hop_limit)
    }

    fn set_hop_limit(&mut self, this: Resource<Handle>, value: u8) -> SocketResult<()> {
        let value = positive(value)?;
        self.tcp(&this)?
            .set(Which::HopLimit, |options| options.hop_limit = value)
    }

    fn receive_buffer_size(&mut self, this: Resource<Handle>) -> SocketResult<u64> {
        Ok(self.tcp(&this)?.options.receive_buffer)
    }

    fn set_receive_buffer_size(&mut self, this: Resource<Handle>, value: u64) -> SocketResult<()> {
        let value = positive(value)?;
        self.tcp(&this)?
            .set(Which::Receive, |options| options.receive_buffer = value)
    }

    fn send_buffer_size(&mut self, this: Resource<Handle>) -> SocketResult<u64> {
        Ok(self.tcp(&this)?.options.send_buffer)
    }

    fn set_send_buffer_size(&mut self, this: Resource<Handle>, value: u64) -> SocketResult<()> {
        let value = positive(value)?;
        self.tcp(&this)?
            .set(Which::Send, |options| options.send_buffer = value)
    }

    fn subscribe(&mut self, this: Resource<Handle>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table, ours(&this))
    }

    fn shutdown(&mut self, this: Resource<Handle>, how: ShutdownType) -> SocketResult<()> {
        let State::Open {
            stream,
            reader,
            writer,
            ..
        } = &self.tcp(&this)?.state
        else {
            return Err(ErrorCode::InvalidState.into());
        };
        if matches!(how, ShutdownType::Receive | ShutdownType::Both) {
            reader.store(true, Ordering::Relaxed);
            // It fails only where there is nothing to shut down any more.
            drop(SockRef::from(&**stream).shutdown(std::net::Shutdown::Read));
        }
        if matches!(how, ShutdownType::Send | ShutdownType::Both) {
            writer
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .close();
        }
        Ok(())
    }

    fn drop(&mut self, this: Resource<Handle>) -> wasmtime::Result<()> {
        self.table
            .delete(Resource::<TcpSocket>::new_own(this.rep()))?;
        Ok(())
    }
}

/// WASI: zero is `invalid-argument`.
pub(super) fn positive<T: Default + PartialEq>(value: T) -> Result<T, ErrorCode> {
    if value == T::default() {
        Err(ErrorCode::InvalidArgument)
    } else {
        Ok(value)
    }
}
