//! Waiting, in an event loop, until a descriptor can be read.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll, ready};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Watches a descriptor, in whatever mode it is: it may be shared with other processes, so it is not made non-blocking.
pub struct Readiness(AsyncFd<OwnedFd>);

impl Readiness {
    /// Begins to watch what `fd` refers to, through a descriptor of its own. Needs a running event loop.
    ///
    /// # Errors
    ///
    /// When there are no descriptors left, or for what can't be watched because it is always ready: regular files.
    pub fn new(fd: impl AsFd) -> io::Result<Self> {
        let own = fd.as_fd().try_clone_to_owned()?;
        // SAFETY: asked for is a descriptor that stays open, the same and on the same description while the AsyncFd lives. The
        // AsyncFd owns it from here on and gives out no more than shared references, which can't close or replace it.
        let watched = unsafe { AsyncFd::register_with_interest(own, Interest::READABLE) };
        Ok(Self(watched?))
    }

    /// Waits until a read would return at once, be it with end-of-file or an error. For one waiting task.
    ///
    /// # Errors
    ///
    /// When the event loop has ended.
    pub fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if is_readable(self.0.get_ref())? {
                return Poll::Ready(Ok(()));
            }
            // The event is a hint; it is taken back when the descriptor itself disagrees, because another process was
            // quicker. An event that comes in between is delivered again.
            let mut hint = ready!(self.0.poll_read_ready(context))?;
            if !is_readable(self.0.get_ref())? {
                hint.clear_ready();
            }
        }
    }
}

/// Says whether a read would return at once, be it with end-of-file or an error.
///
/// # Errors
///
/// When the descriptor can't be asked.
pub fn is_readable(fd: impl AsFd) -> io::Result<bool> {
    let mut fds = [PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)];
    loop {
        match poll(&mut fds, Some(&Timespec::default())) {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result? > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::{Read, Write};
    use std::time::Duration;

    use super::*;

    #[test]
    fn wakes_for_data_and_for_the_end() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("an event loop");
        runtime.block_on(async {
            let (mut reader, mut writer) = io::pipe().expect("a pipe");
            let readiness = Readiness::new(&reader).expect("a pipe can be watched");
            for _ in 0..2 {
                assert!(!is_readable(&reader).expect("open"));
                let wait = tokio::time::timeout(
                    Duration::from_millis(5),
                    poll_fn(|context| readiness.poll_readable(context)),
                );
                assert!(wait.await.is_err(), "nothing was written");
                writer.write_all(b"x").expect("room in the pipe");
                poll_fn(|context| readiness.poll_readable(context))
                    .await
                    .expect("readable");
                reader.read_exact(&mut [0]).expect("one byte");
            }
            drop(writer);
            poll_fn(|context| readiness.poll_readable(context))
                .await
                .expect("readable");
            assert_eq!(reader.read(&mut [0]).expect("the end"), 0);
        });
    }

    #[test]
    fn regular_files_are_always_ready() {
        let file = tempfile::tempfile().expect("a temporary file");
        assert!(is_readable(&file).expect("open"));
    }
}
