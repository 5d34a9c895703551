//! The two directions of a connection.

use std::future::poll_fn;
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

use crate::sandbox::wasm::stdio::CHUNK;

/// What comes in.
pub(super) struct Reader {
    stream: Arc<TcpStream>,
    closed: Arc<AtomicBool>,
}

impl Reader {
    pub(super) fn new(stream: Arc<TcpStream>) -> (Self, Arc<AtomicBool>) {
        let closed = Arc::new(AtomicBool::new(false));
        let reader = Self {
            stream,
            closed: closed.clone(),
        };
        (reader, closed)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Reader {
    async fn ready(&mut self) {
        if !self.closed.load(Ordering::Relaxed) {
            // What goes wrong here, the read tells.
            self.stream.readable().await.ok();
        }
    }
}

#[wasmtime_wasi::async_trait]
impl InputStream for Reader {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(StreamError::Closed);
        }
        if size == 0 {
            return Ok(Bytes::new());
        }
        let mut buffer = BytesMut::zeroed(size.min(CHUNK));
        match self.stream.try_read(&mut buffer) {
            Ok(0) => {
                self.closed.store(true, Ordering::Relaxed);
                Err(StreamError::Closed)
            }
            Ok(count) => {
                buffer.truncate(count);
                Ok(buffer.freeze())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Bytes::new()),
            Err(error) => {
                self.closed.store(true, Ordering::Relaxed);
                Err(StreamError::LastOperationFailed(error.into()))
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // It fails only where there is nothing to shut down any more.
        drop(SockRef::from(&*self.stream).shutdown(Shutdown::Read));
    }
}

/// What goes out.
enum State {
    Open,
    /// A part did not fit into the system's buffer and is being sent.
    Sending(JoinHandle<io::Result<()>>),
    /// The same, and nothing comes after it.
    Closing,
    Closed,
    /// It failed, which is told once.
    Failed(io::Error),
}

/// What goes out, shared with the socket, which may close it.
pub(super) struct Sending {
    stream: Arc<TcpStream>,
    state: State,
}

impl Sending {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let State::Sending(task) = &mut self.state {
            self.state = match ready!(Pin::new(task).poll(context)) {
                Ok(Ok(())) => State::Open,
                Ok(Err(error)) => State::Failed(error),
                Err(error) => State::Failed(io::Error::other(error)),
            };
        }
        match self.state {
            State::Open => self.stream.poll_write_ready(context).map(drop),
            _ => Poll::Ready(()),
        }
    }

    /// Fails if nothing more can be sent.
    fn check(&mut self) -> StreamResult<()> {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Closing | State::Closed => Err(StreamError::Closed),
            State::Failed(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                Err(StreamError::Closed)
            }
            State::Failed(error) => Err(StreamError::LastOperationFailed(error.into())),
            state => {
                self.state = state;
                Ok(())
            }
        }
    }

    fn write(&mut self, mut bytes: Bytes) -> StreamResult<()> {
        self.check()?;
        if !matches!(self.state, State::Open) {
            return Err(StreamError::Trap(wasmtime::Error::msg(
                "a write that was not permitted",
            )));
        }
        while !bytes.is_empty() {
            match self.stream.try_write(&bytes) {
                Ok(count) => drop(bytes.split_to(count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let stream = self.stream.clone();
                    self.state = State::Sending(tokio::spawn(send(stream, bytes)));
                    return Ok(());
                }
                Err(error) => {
                    self.state = State::Failed(error);
                    return self.check();
                }
            }
        }
        Ok(())
    }

    /// Ends what goes out, when all of it has gone.
    pub(super) fn close(&mut self) {
        let stream = self.stream.clone();
        let end = move || drop(SockRef::from(&*stream).shutdown(Shutdown::Write));
        self.state = match std::mem::replace(&mut self.state, State::Closed) {
            State::Open | State::Failed(_) => {
                end();
                State::Closed
            }
            State::Sending(task) => {
                tokio::spawn(async move {
                    // How it went, nobody can be told any more.
                    drop(task.await);
                    end();
                });
                State::Closing
            }
            state => state,
        };
    }
}

async fn send(stream: Arc<TcpStream>, mut bytes: Bytes) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(&bytes) {
            Ok(count) => drop(bytes.split_to(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The guest's handle on what goes out.
pub(super) struct Writer(Arc<Mutex<Sending>>);

impl Writer {
    pub(super) fn new(stream: Arc<TcpStream>) -> (Self, Arc<Mutex<Sending>>) {
        let sending = Arc::new(Mutex::new(Sending {
            stream,
            state: State::Open,
        }));
        (Self(sending.clone()), sending)
    }

    fn lock(&self) -> MutexGuard<'_, Sending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {
        poll_fn(|context| self.lock().poll(context)).await;
    }
}

#[wasmtime_wasi::async_trait]
impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.lock().write(bytes)
    }

    fn flush(&mut self) -> StreamResult<()> {
        // What was taken is on its way.
        self.lock().check()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        let mut sending = self.lock();
        let ready = sending
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_ready();
        sending.check()?;
        Ok(if ready { CHUNK } else { 0 })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.lock().close();
    }
}
