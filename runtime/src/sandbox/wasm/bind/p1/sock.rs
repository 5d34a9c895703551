//! Sockets: ports that were published, which a guest finds open, and connections that it accepts from them.
//!
//! Preview 1 has no way to open a port. By the convention of wasmtime and systemd a guest finds them from descriptor 3
//! upwards and their number in `LISTEN_FDS`. wasi-libc and Go look for directories from 3 upwards as well, and pass over
//! what says that it is something else; see [`fd::prestat_get`](super::fd::prestat_get).

use std::future::poll_fn;
use std::io;
use std::net::Shutdown;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::ReadBuf;
use tokio::net::{TcpListener, TcpStream};
use wasmtime::Caller;

use super::Guest;
use super::memory::Memory;
use super::table::{Entry, Object};
use super::types::{Errno, Failure, Result, fdflags, rights};

/// `riflags`.
const PEEK: u32 = 1 << 0;
/// `sdflags` of shutdown.
const SHUT_READ: u32 = 1 << 0;
const SHUT_WRITE: u32 = 1 << 1;

/// A port that the guest found open.
pub(super) struct Listening {
    open: Arc<std::net::TcpListener>,
    /// The same in the event loop, once there is one.
    watched: Option<TcpListener>,
    /// What has come in and was not asked for yet.
    next: Option<io::Result<TcpStream>>,
}

impl Listening {
    pub(super) fn new(open: Arc<std::net::TcpListener>) -> Self {
        Self {
            open,
            watched: None,
            next: None,
        }
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.next.is_some() {
            return Poll::Ready(());
        }
        let watched = match &mut self.watched {
            Some(watched) => watched,
            None => {
                let watched = self.open.try_clone().and_then(TcpListener::from_std);
                match watched {
                    Ok(watched) => self.watched.insert(watched),
                    Err(error) => {
                        self.next = Some(Err(error));
                        return Poll::Ready(());
                    }
                }
            }
        };
        let accepted = ready!(watched.poll_accept(context));
        self.next = Some(accepted.map(|(stream, _)| stream));
        Poll::Ready(())
    }
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Read,
    Write,
}

/// Says whether a socket can be read from, accepted from or written to. Other descriptors count as ready.
pub(super) fn poll_ready(
    guest: &mut Guest,
    fd: u32,
    wish: Wish,
    context: &mut Context<'_>,
) -> Poll<()> {
    match guest.table.get(fd).map(|entry| &mut entry.object) {
        Ok(Object::Listener(listening)) => listening.poll_next(context),
        // What goes wrong here, the call itself tells.
        Ok(Object::Connection(stream)) => match wish {
            Wish::Read => stream.poll_read_ready(context).map(drop),
            Wish::Write => stream.poll_write_ready(context).map(drop),
        },
        _ => Poll::Ready(()),
    }
}

/// Is it a connection or a listening socket?
pub(super) fn is_socket(guest: &mut Guest, fd: u32) -> bool {
    guest
        .table
        .get(fd)
        .is_ok_and(|entry| matches!(entry.object, Object::Listener(_) | Object::Connection(_)))
}

/// Calls until it does not want to wait, or until the guest does not want to.
async fn wait_and_call(
    caller: &mut Caller<'_, Guest>,
    name: &str,
    (fd, wish): (u32, Wish),
    mut body: impl FnMut(&mut Memory<'_>, &mut Guest) -> Result,
) -> wasmtime::Result<i32> {
    loop {
        let errno = super::call(caller, name, &mut body)?;
        let again = errno == i32::from(Errno::Again as u16);
        let waits = caller
            .data_mut()
            .table
            .get(fd)
            .is_ok_and(|entry| !entry.has(fdflags::NONBLOCK));
        if !again || !waits {
            return Ok(errno);
        }
        poll_fn(|context| poll_ready(caller.data_mut(), fd, wish, context)).await;
    }
}

pub(super) async fn sock_accept(
    mut caller: Caller<'_, Guest>,
    (fd, flags, out): (u32, u32, u32),
) -> wasmtime::Result<i32> {
    wait_and_call(
        &mut caller,
        "sock_accept",
        (fd, Wish::Read),
        |memory, guest| accept(memory, guest, fd, flags, out),
    )
    .await
}

fn accept(memory: &mut Memory<'_>, guest: &mut Guest, fd: u32, flags: u32, out: u32) -> Result {
    if flags & !u32::from(fdflags::NONBLOCK) != 0 {
        return Err(Errno::Inval.into());
    }
    let has_room = guest.table.has_room();
    let entry = guest.table.get(fd)?;
    let Object::Listener(listening) = &mut entry.object else {
        return Err(Errno::Notsock.into());
    };
    if !has_room {
        return Err(Errno::Mfile.into());
    }
    if listening
        .poll_next(&mut Context::from_waker(Waker::noop()))
        .is_pending()
    {
        return Err(Errno::Again.into());
    }
    let stream = match listening.next.take() {
        Some(Ok(stream)) => stream,
        Some(Err(error)) => return Err(failed(&error)),
        None => return Err(Errno::Again.into()),
    };
    entry.require(rights::SOCK_ACCEPT)?;
    // It fits: those are 16 bits.
    let flags = u16::try_from(flags).unwrap_or_default();
    let accepted = guest.table.insert(Entry::connection(stream, flags))?;
    memory.write_u32(out, accepted)
}

pub(super) async fn sock_recv(
    mut caller: Caller<'_, Guest>,
    (fd, iovs, count, flags, out, out_flags): (u32, u32, u32, u32, u32, u32),
) -> wasmtime::Result<i32> {
    wait_and_call(
        &mut caller,
        "sock_recv",
        (fd, Wish::Read),
        |memory, guest| {
            if flags & !PEEK != 0 {
                return Err(Errno::Notsup.into());
            }
            receive(memory, guest, fd, (iovs, count), flags & PEEK != 0, out)?;
            // Nothing was cut: a stream has no messages.
            memory.write(out_flags, &[0; 2])
        },
    )
    .await
}

/// Reads from a connection as from a file.
pub(super) async fn read(
    caller: &mut Caller<'_, Guest>,
    (fd, iovs, count, out): (u32, u32, u32, u32),
) -> wasmtime::Result<i32> {
    wait_and_call(caller, "fd_read", (fd, Wish::Read), |memory, guest| {
        receive(memory, guest, fd, (iovs, count), false, out)
    })
    .await
}

fn receive(
    memory: &mut Memory<'_>,
    guest: &mut Guest,
    fd: u32,
    (iovs, count): (u32, u32),
    peek: bool,
    out: u32,
) -> Result {
    let stream = connection(guest, fd, rights::FD_READ)?;
    let received = match memory.buffers(iovs, count)?.first() {
        None => 0,
        Some(&(buffer, len)) => {
            let bytes = memory.slice(buffer, len)?;
            if peek {
                let mut buffer = ReadBuf::new(bytes);
                match stream.poll_peek(&mut Context::from_waker(Waker::noop()), &mut buffer) {
                    Poll::Pending => return Err(Errno::Again.into()),
                    Poll::Ready(peeked) => peeked.map_err(|error| failed(&error))?,
                }
            } else {
                stream.try_read(bytes).map_err(|error| failed(&error))?
            }
        }
    };
    memory.write_u32(out, u32::try_from(received).map_err(|_| Errno::Overflow)?)
}

pub(super) async fn sock_send(
    mut caller: Caller<'_, Guest>,
    (fd, iovs, count, flags, out): (u32, u32, u32, u32, u32),
) -> wasmtime::Result<i32> {
    if flags != 0 {
        return Ok(i32::from(Errno::Inval as u16));
    }
    write(&mut caller, "sock_send", (fd, iovs, count, out)).await
}

/// Writes to a connection.
pub(super) async fn write(
    caller: &mut Caller<'_, Guest>,
    name: &str,
    (fd, iovs, count, out): (u32, u32, u32, u32),
) -> wasmtime::Result<i32> {
    wait_and_call(caller, name, (fd, Wish::Write), |memory, guest| {
        send(memory, guest, fd, (iovs, count), out)
    })
    .await
}

fn send(
    memory: &mut Memory<'_>,
    guest: &mut Guest,
    fd: u32,
    (iovs, count): (u32, u32),
    out: u32,
) -> Result {
    let stream = connection(guest, fd, rights::FD_WRITE)?;
    let sent = match memory.buffers(iovs, count)?.first() {
        None => 0,
        Some(&(buffer, len)) => stream
            .try_write(memory.read(buffer, len)?)
            .map_err(|error| failed(&error))?,
    };
    memory.write_u32(out, u32::try_from(sent).map_err(|_| Errno::Overflow)?)
}

pub(super) fn sock_shutdown(_: &mut Memory<'_>, guest: &mut Guest, fd: u32, how: u32) -> Result {
    let stream = connection(guest, fd, rights::SOCK_SHUTDOWN)?;
    let how = match how {
        SHUT_READ => Shutdown::Read,
        SHUT_WRITE => Shutdown::Write,
        both if both == SHUT_READ | SHUT_WRITE => Shutdown::Both,
        _ => return Err(Errno::Inval.into()),
    };
    socket2::SockRef::from(&**stream)
        .shutdown(how)
        .map_err(|error| failed(&error))
}

/// Returns the connection behind a descriptor.
fn connection(guest: &mut Guest, fd: u32, right: u64) -> Result<&mut Arc<TcpStream>> {
    let entry = guest.table.get(fd)?;
    let granted = entry.require(right);
    match &mut entry.object {
        Object::Connection(stream) => granted.map(|()| stream),
        Object::Listener(_) => Err(Errno::Notconn.into()),
        _ => Err(Errno::Notsock.into()),
    }
}

/// Translates an error of a socket.
fn failed(error: &io::Error) -> Failure {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::WouldBlock => Errno::Again,
        Kind::ConnectionAborted => Errno::Connaborted,
        Kind::ConnectionReset => Errno::Connreset,
        Kind::BrokenPipe => Errno::Pipe,
        Kind::NotConnected => Errno::Notconn,
        Kind::TimedOut => Errno::Timedout,
        Kind::PermissionDenied => Errno::Acces,
        Kind::OutOfMemory => Errno::Nomem,
        Kind::InvalidInput => Errno::Inval,
        _ => Errno::Io,
    }
    .into()
}
