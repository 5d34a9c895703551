//! Trying again, but not for ever.

use std::time::Duration;

use super::error::Cause;

/// Tries for one request or blob, the first one included.
const TRIES: u32 = 4;
/// A registry that limits requests and does not say for how long gets a longer pause.
const LIMITED_FACTOR: u32 = 4;
/// The longest time that a registry may make us wait. Who is to wait longer should be told instead.
pub(super) const WAIT_LIMIT: Duration = Duration::from_secs(60);

/// The tries that are left for one request or blob.
pub(super) struct Attempts {
    left: u32,
    pause: Duration,
}

impl Attempts {
    pub(super) fn new(first_pause: Duration) -> Self {
        Self {
            left: TRIES - 1,
            pause: first_pause,
        }
    }

    /// Returns one try only, for what may well not be there.
    pub(super) fn one() -> Self {
        Self {
            left: 0,
            pause: Duration::ZERO,
        }
    }

    /// Gives all tries back: the last one got further.
    pub(super) fn refill(&mut self) {
        self.left = TRIES - 1;
    }

    /// Will [`Self::wait`] let this cause be tried again?
    pub(super) fn may_retry(&self, cause: &Cause) -> bool {
        self.left > 0 && cause.is_temporary() && cause.wait().is_none_or(|wait| wait <= WAIT_LIMIT)
    }

    /// Returns when it is time to try again, or gives the cause back if that cannot help.
    pub(super) async fn wait(&mut self, cause: Cause) -> Result<(), Cause> {
        if !self.may_retry(&cause) {
            return Err(cause);
        }
        tracing::debug!(%cause, "trying again");
        self.left = self.left.saturating_sub(1);
        let pause = match (cause.wait(), &cause) {
            (Some(wait), _) => wait.max(self.pause),
            (None, Cause::TooManyRequests { .. }) => self.pause.saturating_mul(LIMITED_FACTOR),
            (None, _) => self.pause,
        };
        tokio::time::sleep(pause).await;
        self.pause = self.pause.saturating_mul(2);
        Ok(())
    }
}
