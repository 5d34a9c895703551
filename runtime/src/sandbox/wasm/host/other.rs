//! Systems without Unix descriptors: standard input is read by a thread of its own.

use std::fs::{File, Metadata};
use std::io::{self, IoSlice, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::Notify;

/// Read from standard input at once, in bytes.
const CHUNK: usize = 64 << 10;

/// Not known here.
pub(in super::super) fn address_space() -> Option<u64> {
    None
}

/// Not limited by a number that is known here.
pub(in super::super) fn most_open_files() -> usize {
    usize::MAX
}

/// Not known here.
pub(in super::super) fn cpu_time() -> Option<Duration> {
    None
}

/// A user's own folder is private by its access list here, which the standard library does not show.
pub(in super::super) fn trust_problem(_metadata: &Metadata) -> Option<&'static str> {
    None
}

/// Writes to this process' standard output.
pub(in super::super) fn write_stdout(parts: &[IoSlice<'_>]) -> io::Result<usize> {
    write(io::stdout().lock(), parts)
}

/// Writes to this process' standard error.
pub(in super::super) fn write_stderr(parts: &[IoSlice<'_>]) -> io::Result<usize> {
    write(io::stderr().lock(), parts)
}

fn write(mut stream: impl Write, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    let written = stream.write_vectored(parts)?;
    stream.flush()?;
    Ok(written)
}

/// Something to read from: this process' standard input, or a file or pipe.
pub(in super::super) enum Source {
    Stdin(Arc<Reader>),
    File(Arc<File>),
}

impl Source {
    /// Reads this process' standard input.
    pub(in super::super) fn stdin() -> Self {
        Self::Stdin(Reader::get())
    }

    /// Reads a file or pipe, from where it stands.
    pub(in super::super) fn file(file: Arc<File>) -> Self {
        Self::File(file)
    }

    /// Says whether a read would return at once.
    pub(in super::super) fn is_ready(&self) -> io::Result<bool> {
        Ok(match self {
            Self::Stdin(reader) => reader.state(true).is_ready(),
            // A pipe may not be; its read then blocks, and no interrupt cuts it short.
            Self::File(_) => true,
        })
    }

    /// Waits until a read would return at once.
    pub(in super::super) async fn ready(&self) -> io::Result<()> {
        let Self::Stdin(reader) = self else {
            return Ok(());
        };
        loop {
            let filled = reader.filled.notified();
            if reader.state(true).is_ready() {
                return Ok(());
            }
            filled.await;
        }
    }

    /// As [`Source::ready`], for one waiting task.
    pub(in super::super) fn poll_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::pin::pin!(self.ready())
            .as_mut()
            .poll(context)
            .map(|result| {
                context.waker().wake_by_ref();
                result
            })
    }

    /// Reads; blocks unless it is ready.
    pub(in super::super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Stdin(reader) => reader.read(buffer),
            Self::File(file) => (&**file).read(buffer),
        }
    }
}

/// What the thread has read and nobody has taken.
pub(in super::super) struct Reader {
    state: Mutex<State>,
    changed: Condvar,
    filled: Notify,
}

#[derive(Default)]
struct State {
    data: Vec<u8>,
    wanted: bool,
    end: Option<io::Result<()>>,
}

impl State {
    fn is_ready(&self) -> bool {
        !self.data.is_empty() || self.end.is_some()
    }
}

impl Reader {
    fn get() -> Arc<Self> {
        static READER: OnceLock<Arc<Reader>> = OnceLock::new();
        let reader = READER.get_or_init(|| {
            let reader = Arc::new(Self {
                state: Mutex::default(),
                changed: Condvar::new(),
                filled: Notify::new(),
            });
            let thread = Arc::clone(&reader);
            std::thread::spawn(move || thread.fill());
            reader
        });
        Arc::clone(reader)
    }

    /// Returns the state; asks the thread for more if there is nothing and `want` says so.
    fn state(&self, want: bool) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if want && !state.is_ready() && !state.wanted {
            state.wanted = true;
            self.changed.notify_all();
        }
        state
    }

    fn fill(&self) {
        let mut chunk = vec![0; CHUNK];
        loop {
            let mut state = self.state(false);
            while !state.wanted {
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            drop(state);
            let result = io::stdin().read(&mut chunk);
            let mut state = self.state(false);
            state.wanted = false;
            match result {
                Ok(0) => state.end = Some(Ok(())),
                Ok(read) => state.data.extend_from_slice(&chunk[..read]),
                Err(error) => state.end = Some(Err(error)),
            }
            let ended = state.end.is_some();
            drop(state);
            self.changed.notify_all();
            self.filled.notify_waiters();
            if ended {
                return;
            }
        }
    }

    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state(true);
        while !state.is_ready() {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if state.data.is_empty() {
            // An error is told once; after it the stream is at its end.
            return match state.end.replace(Ok(())) {
                Some(Err(error)) => Err(error),
                _ => Ok(0),
            };
        }
        let count = buffer.len().min(state.data.len());
        buffer[..count].copy_from_slice(&state.data[..count]);
        state.data.drain(..count);
        Ok(count)
    }
}

/// A bell that another thread can ring.
pub(in super::super) struct Wake(Notify);

impl Wake {
    pub(in super::super) fn new() -> io::Result<Self> {
        Ok(Self(Notify::new()))
    }

    /// Rings. Handlers of console events run in threads of their own on these systems, where a lock is no danger.
    pub(in super::super) fn ring(&self) {
        self.0.notify_one();
    }

    /// Leaves signals as they are: they end the process.
    pub(in super::super) fn hear_signals(&self) -> io::Result<()> {
        Ok(())
    }

    /// Waits until it has rung.
    pub(in super::super) async fn rung(&self) -> io::Result<()> {
        self.0.notified().await;
        Ok(())
    }
}
