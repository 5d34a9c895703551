//! What a connection of HTTP/2 may hold, and for how long.
//!
//! hyper asks such a client from time to time whether it is there. One that says yes, and never takes its answer or never asks for
//! anything, would hold a guest or a connection for ever: so each answer's pace is watched, and so is the silence between them.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};
use wasmtime_wasi_http::Error;

use super::body::Answer;
use super::bounds::{ANSWER_PAUSE, HEAD_TIME};

/// How long a connection may do without what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Without a request or an answer.
    pub(super) idle: Duration,
    /// Without taking anything of an answer.
    pub(super) pause: Duration,
}

impl Times {
    pub(super) const USUAL: Self = Self {
        idle: HEAD_TIME,
        pause: ANSWER_PAUSE,
    };
    /// Looks within the shortest of these times: so much later than it should be may be what is found.
    const LOOKS: u32 = 8;

    fn between_looks(self) -> Duration {
        self.idle.min(self.pause) / Self::LOOKS
    }
}

/// Watches one connection.
pub(super) struct Watch {
    times: Times,
    open: Mutex<Open>,
}

/// What is open in it.
struct Open {
    answers: Vec<Weak<Pace>>,
    /// When something was last asked or answered.
    busy: Instant,
}

/// One request, from its head to the end of its answer.
pub(super) struct Pace(Mutex<State>);

struct State {
    /// Since when the client could take something and did not.
    untaken: Option<Instant>,
    guest: Option<AbortHandle>,
    /// Has the client been given up?
    given_up: bool,
}

impl Watch {
    pub(super) fn new(times: Times) -> Self {
        let open = Open {
            answers: Vec::new(),
            busy: Instant::now(),
        };
        Self {
            times,
            open: Mutex::new(open),
        }
    }

    /// Begins with a request.
    pub(super) fn begin(&self) -> Arc<Pace> {
        let pace = Arc::new(Pace(Mutex::new(State {
            untaken: None,
            guest: None,
            given_up: false,
        })));
        let mut open = lock(&self.open);
        open.busy = Instant::now();
        open.answers.push(Arc::downgrade(&pace));
        pace
    }

    /// Gives up on answers that nobody takes, until the connection has been idle for too long.
    pub(super) async fn until_idle(&self) {
        while !self.look(Instant::now()) {
            sleep(self.times.between_looks()).await;
        }
    }

    /// Returns how long what was begun may take once nothing more is to begin.
    pub(super) fn last_pause(&self) -> Duration {
        self.times.pause
    }

    /// Says whether it has been idle for too long.
    fn look(&self, now: Instant) -> bool {
        let mut open = lock(&self.open);
        let mut is_busy = false;
        open.answers.retain(|answer| {
            let Some(pace) = answer.upgrade() else {
                return false;
            };
            // Who was given up once is not looked at again.
            let is_kept = pace.keep(now, self.times.pause);
            is_busy |= is_kept;
            is_kept
        });
        if is_busy {
            open.busy = now;
        }
        now.saturating_duration_since(open.busy) >= self.times.idle
    }
}

impl Pace {
    /// Has the answer watched on its way to the client.
    pub(super) fn of(self: Arc<Self>, answer: Answer) -> Paced {
        let mut state = lock(&self.0);
        state.untaken = Some(Instant::now());
        state.guest = answer.guest();
        drop(state);
        Paced { answer, pace: self }
    }

    /// Gives the client up if it has taken nothing for too long; says whether it has not.
    fn keep(&self, now: Instant, pause: Duration) -> bool {
        let mut state = lock(&self.0);
        let is_late = |since: Instant| now.saturating_duration_since(since) >= pause;
        if state.untaken.is_some_and(is_late) {
            state.given_up = true;
            if let Some(guest) = state.guest.take() {
                guest.abort();
            }
        }
        !state.given_up
    }
}

/// An answer that is watched. It is asked for more only when the client has room for it.
pub(super) struct Paced {
    answer: Answer,
    pace: Arc<Pace>,
}

impl Body for Paced {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        if lock(&this.pace.0).given_up {
            // It is not whole, and must not look so.
            return Poll::Ready(Some(Err(Error::ConnectionWriteTimeout)));
        }
        let frame = Pin::new(&mut this.answer).poll_frame(context);
        // While there is nothing to take, it is the guest that is waited for.
        lock(&this.pace.0).untaken = frame.is_ready().then(Instant::now);
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.answer.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.answer.size_hint()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever panicked while holding it left a whole value.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::atomic::AtomicBool;

    use http_body_util::BodyExt;

    use super::super::body::Guest;
    use super::*;

    const TIMES: Times = Times {
        idle: Duration::from_secs(30),
        pause: Duration::from_secs(60),
    };

    /// What a guest has written that is still at work.
    struct SoFar(VecDeque<&'static str>);

    impl Body for SoFar {
        type Data = Bytes;
        type Error = Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
            match self.0.pop_front() {
                Some(text) => Poll::Ready(Some(Ok(Frame::data(Bytes::from(text))))),
                None => Poll::Pending,
            }
        }
    }

    /// An answer whose guest is still at work, and the guest.
    fn running(texts: &[&'static str]) -> (Answer, AbortHandle) {
        let task = tokio::spawn(std::future::pending());
        let handle = task.abort_handle();
        let guest = Guest::new(task, Arc::new(AtomicBool::new(false)));
        let body = SoFar(texts.iter().copied().collect()).boxed_unsync();
        (Answer::of_running(body, guest), handle)
    }

    fn poll(body: &mut Paced) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut context = Context::from_waker(std::task::Waker::noop());
        Pin::new(body).poll_frame(&mut context)
    }

    fn after(seconds: u64) -> Instant {
        Instant::now() + Duration::from_secs(seconds)
    }

    #[test]
    fn silence_ends_a_connection_and_a_request_does_not() {
        let watch = Watch::new(TIMES);
        assert!(!watch.look(after(25)));
        assert!(watch.look(after(31)));
        // A guest that computes may take its time.
        let pace = watch.begin();
        assert!(!watch.look(after(1000)));
        drop(pace);
        assert!(!watch.look(after(1025)));
        assert!(watch.look(after(1031)));
    }

    #[test]
    fn a_client_that_takes_nothing_is_given_up() {
        let watch = Watch::new(TIMES);
        let mut answer = watch.begin().of(Answer::of("text"));
        assert!(!watch.look(after(55)));
        assert!(!watch.look(after(61)));
        assert!(matches!(poll(&mut answer), Poll::Ready(Some(Err(_)))));
        // What it still holds open does not count.
        assert!(watch.look(after(200)));
    }

    #[tokio::test]
    async fn its_guest_is_ended_and_one_that_is_waited_for_is_not() {
        let watch = Watch::new(TIMES);
        let (answer, waited_for) = running(&["one"]);
        let mut slow_guest = watch.begin().of(answer);
        let (answer, held) = running(&["one", "two"]);
        let mut slow_client = watch.begin().of(answer);
        assert!(poll(&mut slow_guest).is_ready() && poll(&mut slow_guest).is_pending());
        assert!(poll(&mut slow_client).is_ready());
        assert!(!watch.look(after(61)));
        // The guest's task ends at its next turn.
        while !held.is_finished() {
            tokio::task::yield_now().await;
        }
        assert!(!waited_for.is_finished());
    }
}
