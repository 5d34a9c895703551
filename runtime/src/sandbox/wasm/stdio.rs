//! A guest's standard streams: byte for byte, unbuffered, in the order in which the guest wrote.

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

use super::exit::Interrupted;
use super::host::{self, Source};
use super::interrupt::Interrupt;
use crate::logs::{LogWriter, Stream};
use crate::spec;

/// Most that is read or written for a component at once, in bytes: what wasmtime-wasi allows elsewhere.
pub(super) const CHUNK: usize = 64 << 10;

/// Standard input. Cheap to clone; clones read the same stream.
#[derive(Clone)]
pub(super) struct Input {
    source: Option<Arc<Source>>,
    terminal: bool,
}

impl Input {
    pub(super) fn new(from: &spec::Stdin) -> Self {
        match from {
            spec::Stdin::Empty => Self {
                source: None,
                terminal: false,
            },
            spec::Stdin::Inherit => Self {
                source: Some(Arc::new(Source::stdin())),
                terminal: is_terminal(&io::stdin()),
            },
            spec::Stdin::File(file) => Self {
                source: Some(Arc::new(Source::file(Arc::clone(file)))),
                terminal: is_terminal(&**file),
            },
        }
    }

    /// Is it a terminal?
    pub(super) fn terminal(&self) -> bool {
        self.terminal
    }

    /// Says whether a read would return at once.
    pub(super) fn is_ready(&self) -> io::Result<bool> {
        self.source
            .as_ref()
            .map_or(Ok(true), |source| source.is_ready())
    }

    /// Waits until a read would return at once.
    pub(super) async fn ready(&self) -> io::Result<()> {
        match &self.source {
            Some(source) => source.ready().await,
            None => Ok(()),
        }
    }

    /// Reads; blocks unless it is ready. Zero bytes are the end.
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.source
            .as_ref()
            .map_or(Ok(0), |source| source.read(buffer))
    }
}

impl IsTerminal for Input {
    fn is_terminal(&self) -> bool {
        self.terminal
    }
}

impl StdinStream for Input {
    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {
        // An error is told by the read that follows.
        Self::ready(self).await.ok();
    }
}

#[wasmtime_wasi::async_trait]
impl InputStream for Input {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if size == 0 || !self.is_ready().map_err(stream_error)? {
            return Ok(Bytes::new());
        }
        let mut buffer = BytesMut::zeroed(size.min(CHUNK));
        match Self::read(self, &mut buffer) {
            Ok(0) => Err(StreamError::Closed),
            Ok(count) => {
                buffer.truncate(count);
                Ok(buffer.freeze())
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                ) =>
            {
                Ok(Bytes::new())
            }
            Err(error) => Err(stream_error(error)),
        }
    }
}

impl AsyncRead for Input {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(source) = &self.source else {
            return Poll::Ready(Ok(()));
        };
        ready!(source.poll_ready(context))?;
        let count = source.read(buffer.initialize_unfilled())?;
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

/// Standard output or error. Cheap to clone; clones write the same stream.
#[derive(Clone)]
pub(super) struct Output {
    target: Target,
    log: Option<(Arc<LogWriter>, Stream)>,
    terminal: bool,
    interrupt: Option<Interrupt>,
}

#[derive(Clone)]
enum Target {
    Nowhere,
    Stdout,
    Stderr,
    File(Arc<File>),
}

impl Output {
    pub(super) fn stdout(to: &spec::Output, interrupt: Option<Interrupt>) -> Self {
        Self::new(to, Target::Stdout, Stream::Stdout, interrupt)
    }

    pub(super) fn stderr(to: &spec::Output, interrupt: Option<Interrupt>) -> Self {
        Self::new(to, Target::Stderr, Stream::Stderr, interrupt)
    }

    fn new(to: &spec::Output, own: Target, stream: Stream, interrupt: Option<Interrupt>) -> Self {
        let (target, log) = match to {
            spec::Output::Inherit => (own, None),
            spec::Output::File(file) => (Target::File(Arc::clone(file)), None),
            spec::Output::Nowhere => (Target::Nowhere, None),
            spec::Output::Log { log, show } => (
                if *show { own } else { Target::Nowhere },
                Some((Arc::clone(log), stream)),
            ),
        };
        let terminal = match &target {
            Target::Nowhere => false,
            Target::Stdout => is_terminal(&io::stdout()),
            Target::Stderr => is_terminal(&io::stderr()),
            Target::File(file) => is_terminal(&**file),
        };
        Self {
            target,
            log,
            terminal,
            interrupt,
        }
    }

    /// Is it a terminal?
    pub(super) fn terminal(&self) -> bool {
        self.terminal
    }

    /// Writes what the host takes at once; blocks until it takes something.
    ///
    /// # Errors
    /// What the host says; [`io::ErrorKind::Interrupted`] only if the guest is to end.
    pub(super) fn write(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        loop {
            let result = match &self.target {
                Target::Nowhere => Ok(parts.iter().map(|part| part.len()).sum()),
                Target::Stdout => host::write_stdout(parts),
                Target::Stderr => host::write_stderr(parts),
                Target::File(file) => (&**file).write_vectored(parts),
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted && !self.interrupted() => {
                }
                result => {
                    if let (Ok(count), Some((log, stream))) = (&result, &self.log) {
                        keep(log, *stream, parts, *count);
                    }
                    return result;
                }
            }
        }
    }

    fn interrupted(&self) -> bool {
        self.interrupt.as_ref().is_some_and(Interrupt::is_raised)
    }

    fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = self.write(&[IoSlice::new(bytes)])?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = bytes.get(count..).unwrap_or_default();
        }
        Ok(())
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        self.terminal
    }
}

impl StdoutStream for Output {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

#[wasmtime_wasi::async_trait]
impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.write_all(&bytes).map_err(stream_error)
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(CHUNK)
    }
}

impl AsyncWrite for Output {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Self::write(&self, &[IoSlice::new(bytes)]))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Writes to the log what was written. A log that takes no more, on a full disk say, must not stop the guest.
fn keep(log: &LogWriter, stream: Stream, parts: &[IoSlice<'_>], mut count: usize) {
    for part in parts {
        let taken = part.get(..count).unwrap_or(part);
        count -= taken.len();
        if log.write(stream, taken).is_err() {
            return;
        }
    }
}

fn is_terminal(stream: &impl io::IsTerminal) -> bool {
    stream.is_terminal()
}

/// Translates a host error for a component: nobody reading is the end of the stream, as with a pipe.
fn stream_error(error: io::Error) -> StreamError {
    match error.kind() {
        io::ErrorKind::BrokenPipe => StreamError::Closed,
        io::ErrorKind::Interrupted => StreamError::Trap(Interrupted.into()),
        _ => StreamError::LastOperationFailed(error.into()),
    }
}
