//! Bodies both ways, chunk by chunk: nothing is collected.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Sleep, sleep, timeout};
use wasmtime_wasi_http::Error;

use super::bounds::{AFTERWORK, BODY_PAUSE};

/// What a client sends. A client that stops in the middle is given up.
pub(super) struct Sent {
    body: Incoming,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Sent {
    pub(super) fn new(body: Incoming) -> Self {
        Self { body, pause: None }
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            this.pause = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(Error::from)));
        }
        let pause = this
            .pause
            .get_or_insert_with(|| Box::pin(sleep(BODY_PAUSE)));
        if pause.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(Error::ConnectionReadTimeout)));
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What a guest writes.
pub(super) type Written = UnsyncBoxBody<Bytes, Error>;

/// An answer's body.
pub(super) enum Answer {
    /// All of it, of known length.
    Whole(Full<Bytes>),
    /// What the guest writes, or has written.
    Stream(Written),
    /// What the guest writes, while it runs.
    Running(Running),
}

/// The body of a guest that still runs. Ends the guest if the client goes away.
pub(super) struct Running {
    body: Written,
    guest: Option<Guest>,
}

/// A guest that runs on after it began to answer.
pub(super) struct Guest {
    task: JoinHandle<()>,
    trapped: Arc<AtomicBool>,
}

impl Guest {
    /// `trapped` is set before the guest's end of the body is dropped.
    pub(super) fn new(task: JoinHandle<()>, trapped: Arc<AtomicBool>) -> Self {
        Self { task, trapped }
    }

    /// Lets it finish what it does after its answer, for some time.
    fn let_go(mut self) {
        tokio::spawn(async move {
            if timeout(AFTERWORK, &mut self.task).await.is_err() {
                self.task.abort();
            }
        });
    }
}

impl Answer {
    /// Returns what ends the guest, if it still runs.
    pub(super) fn guest(&self) -> Option<AbortHandle> {
        match self {
            Self::Running(running) => {
                let guest = running.guest.as_ref();
                guest.map(|guest| guest.task.abort_handle())
            }
            Self::Whole(_) | Self::Stream(_) => None,
        }
    }

    /// A body of known bytes.
    pub(super) fn of(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Full::new(bytes.into()))
    }

    /// The body of a guest that has ended. Where all of it is there its length is known, which saves the chunks.
    pub(super) fn of_ended(mut body: Written) -> Self {
        // The frame that is there, and what follows it: the end, unless there are trailers or more.
        let Some(first) = now(&mut body) else {
            return Self::Stream(body);
        };
        let Some(Ok(frame)) = first else {
            return match first {
                None => Self::of(Bytes::new()),
                Some(_) => Self::Stream(failed()),
            };
        };
        match (frame.into_data(), now(&mut body)) {
            (Ok(bytes), Some(None)) => Self::of(bytes),
            (Ok(bytes), next) => Self::Stream(followed(Frame::data(bytes), next, body)),
            (Err(other), next) => Self::Stream(followed(other, next, body)),
        }
    }

    /// The body of a guest that still runs.
    pub(super) fn of_running(body: Written, guest: Guest) -> Self {
        Self::Running(Running {
            body,
            guest: Some(guest),
        })
    }
}

type Next = Option<Result<Frame<Bytes>, Error>>;

/// Returns what comes next, if it is there.
fn now(body: &mut Written) -> Option<Next> {
    let mut context = Context::from_waker(std::task::Waker::noop());
    match Pin::new(body).poll_frame(&mut context) {
        Poll::Ready(next) => Some(next),
        Poll::Pending => None,
    }
}

/// Puts back what was taken.
fn followed(first: Frame<Bytes>, next: Option<Next>, rest: Written) -> Written {
    Parts {
        taken: [Some(Some(Ok(first))), next],
        rest,
    }
    .boxed_unsync()
}

fn failed() -> Written {
    Parts {
        taken: [Some(Some(Err(Error::HttpResponseIncomplete))), None],
        rest: Full::new(Bytes::new())
            .map_err(|never| match never {})
            .boxed_unsync(),
    }
    .boxed_unsync()
}

struct Parts {
    taken: [Option<Next>; 2],
    rest: Written,
}

impl Body for Parts {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Next> {
        let this = &mut *self;
        for taken in &mut this.taken {
            if let Some(next) = taken.take() {
                return Poll::Ready(next);
            }
        }
        Pin::new(&mut this.rest).poll_frame(context)
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Next> {
        match &mut *self {
            Self::Whole(body) => Pin::new(body)
                .poll_frame(context)
                .map_err(|never| match never {}),
            Self::Stream(body) => Pin::new(body).poll_frame(context),
            Self::Running(running) => running.poll(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Stream(_) | Self::Running(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Stream(_) | Self::Running(_) => SizeHint::default(),
        }
    }
}

impl Running {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        let frame = match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(frame) => frame,
        };
        let Some(guest) = self.guest.take() else {
            return Poll::Ready(frame);
        };
        match &frame {
            // A body whose writer is gone looks as if it had ended; the client must learn that it has not.
            None if guest.trapped.load(Ordering::Acquire) => {
                return Poll::Ready(Some(Err(Error::HttpResponseIncomplete)));
            }
            None => guest.let_go(),
            Some(Ok(frame)) if frame.is_trailers() => guest.let_go(),
            _ => self.guest = Some(guest),
        }
        Poll::Ready(frame)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(guest) = self.guest.take() {
            guest.task.abort();
        }
    }
}
