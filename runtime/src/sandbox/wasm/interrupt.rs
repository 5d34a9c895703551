//! Stopping a guest from outside.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wasmtime::Engine;

use super::error::RunError;
use super::host::Wake;

/// Ends every guest of one engine, wherever it is: in a loop of its own or waiting in the host. Cheap to clone.
///
/// One blocking system call of the host is not cut short by it alone: a write to a pipe that nobody empties. A signal
/// handler that was installed without `SA_RESTART` cuts that one as well.
#[derive(Clone)]
pub struct Interrupt(Arc<Shared>);

struct Shared {
    raised: AtomicBool,
    engine: Engine,
    wake: Wake,
}

impl Interrupt {
    pub(super) fn new(engine: &Engine) -> Result<Self, RunError> {
        let wake = Wake::new().map_err(|source| RunError::Host {
            doing: "preparing to interrupt the guest",
            source,
        })?;
        Ok(Self(Arc::new(Shared {
            raised: AtomicBool::new(false),
            engine: engine.clone(),
            wake,
        })))
    }

    /// Ends the guest; it stays ended. May be called in a signal handler: it takes no lock and no memory.
    pub fn raise(&self) {
        let first = !self.0.raised.swap(true, Ordering::SeqCst);
        // Each time, because the guest's deadline may have been set after the first.
        self.0.engine.increment_epoch();
        if first {
            self.0.wake.ring();
        }
    }

    /// Says whether it was raised.
    pub fn is_raised(&self) -> bool {
        self.0.raised.load(Ordering::SeqCst)
    }

    /// Waits until it is raised.
    pub(super) async fn raised(&self) {
        // A bell that can't be heard leaves the epoch, which ends the guest at its next loop or call.
        if !self.is_raised() && self.0.wake.rung().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interrupt")
            .field("raised", &self.is_raised())
            .finish_non_exhaustive()
    }
}
