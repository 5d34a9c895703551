//! Unix: streams and waiting on plain descriptors, without a helper thread.

use std::fs::{File, Metadata};
use std::io::{self, IoSlice, PipeReader, PipeWriter, Stdin};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Resource, Rlimit, geteuid, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

use crate::sys::{self, Readiness, is_readable};

/// Returns how many bytes of addresses this process may use, if that is limited.
pub(in super::super) fn address_space() -> Option<u64> {
    getrlimit(Resource::As).current
}

/// Allows this process as many descriptors as it may have, and returns how many.
pub(in super::super) fn most_open_files() -> usize {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // What is refused leaves it as it was.
    let wanted = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, wanted).ok();
    let current = getrlimit(Resource::Nofile).current;
    current.map_or(usize::MAX, |most| {
        usize::try_from(most).unwrap_or(usize::MAX)
    })
}

/// Returns the processor time that this process has used.
pub(in super::super) fn cpu_time() -> Option<Duration> {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Some(Duration::new(
        now.tv_sec.try_into().ok()?,
        now.tv_nsec.try_into().ok()?,
    ))
}

/// Says why a file or directory can't be trusted to be written by nobody else, if so.
pub(in super::super) fn trust_problem(metadata: &Metadata) -> Option<&'static str> {
    const WRITABLE_BY_OTHERS: u32 = 0o022;
    if metadata.uid() != geteuid().as_raw() {
        Some("belongs to another user")
    } else if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
        Some("can be written by other users")
    } else {
        None
    }
}

/// Writes to this process' standard output.
pub(in super::super) fn write_stdout(parts: &[IoSlice<'_>]) -> io::Result<usize> {
    write(io::stdout().as_fd(), parts)
}

/// Writes to this process' standard error.
pub(in super::super) fn write_stderr(parts: &[IoSlice<'_>]) -> io::Result<usize> {
    write(io::stderr().as_fd(), parts)
}

/// Writes without the standard library's buffer, which cuts writes at line ends.
fn write(fd: BorrowedFd<'_>, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    loop {
        match rustix::io::writev(fd, parts) {
            // Whoever shares the descriptor made it non-blocking.
            Err(rustix::io::Errno::AGAIN) => {
                poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::OUT)], None)?
            }
            result => return Ok(result?),
        };
    }
}

/// Something to read from: this process' standard input, or a file or pipe.
pub(in super::super) struct Source {
    handle: Handle,
    /// Made at the first wait, because it needs a running event loop.
    readiness: OnceLock<Readiness>,
}

enum Handle {
    Stdin(Stdin),
    File(Arc<File>),
}

impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Stdin(stdin) => stdin.as_fd(),
            Self::File(file) => file.as_fd(),
        }
    }
}

impl Source {
    /// Reads this process' standard input.
    pub(in super::super) fn stdin() -> Self {
        Self {
            handle: Handle::Stdin(io::stdin()),
            readiness: OnceLock::new(),
        }
    }

    /// Reads a file or pipe, from where it stands.
    pub(in super::super) fn file(file: Arc<File>) -> Self {
        Self {
            handle: Handle::File(file),
            readiness: OnceLock::new(),
        }
    }

    /// Says whether a read would return at once, be it with end-of-file or an error.
    pub(in super::super) fn is_ready(&self) -> io::Result<bool> {
        is_readable(&self.handle)
    }

    /// Waits until a read would return at once.
    pub(in super::super) async fn ready(&self) -> io::Result<()> {
        std::future::poll_fn(|context| self.poll_ready(context)).await
    }

    /// As [`Source::ready`], for one waiting task.
    pub(in super::super) fn poll_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_ready()? {
            return Poll::Ready(Ok(()));
        }
        let readiness = match self.readiness.get() {
            Some(readiness) => readiness,
            None => {
                let readiness = Readiness::new(&self.handle)?;
                self.readiness.get_or_init(|| readiness)
            }
        };
        readiness.poll_readable(context)
    }

    /// Reads; blocks unless it is ready.
    pub(in super::super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(&self.handle, buffer)?)
    }
}

/// A bell that a signal handler can ring.
pub(in super::super) struct Wake {
    reader: PipeReader,
    writer: PipeWriter,
}

impl Wake {
    pub(in super::super) fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        Ok(Self { reader, writer })
    }

    /// Rings. One system call, no lock, no memory: allowed in a signal handler. To be called once: a full pipe blocks.
    pub(in super::super) fn ring(&self) {
        // Nothing can be done about an error here, and none is possible while the reader lives.
        let _ = rustix::io::write(&self.writer, &[1]);
    }

    /// Makes this process's first SIGTERM or SIGINT ring it.
    pub(in super::super) fn hear_signals(&self) -> io::Result<()> {
        sys::ring_on_signals(self.writer.try_clone()?)
    }

    /// Waits until it has rung.
    pub(in super::super) async fn rung(&self) -> io::Result<()> {
        let readiness = Readiness::new(&self.reader)?;
        std::future::poll_fn(|context| readiness.poll_readable(context)).await
    }
}
