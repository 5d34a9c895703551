//! The wish that a service finishes what it has begun, and ends.

use std::sync::Arc;

use crate::sandbox::wasm::error::RunError;
use crate::sandbox::wasm::host::Wake;

/// Ends an HTTP service in peace: it accepts nobody more, answers the requests that it has, and ends. Cheap to clone.
#[derive(Clone)]
pub struct Drain(Arc<Wake>);

impl Drain {
    pub(in super::super) fn new() -> Result<Self, RunError> {
        let wake = Wake::new().map_err(|source| RunError::Host {
            doing: "preparing to end the service",
            source,
        })?;
        Ok(Self(Arc::new(wake)))
    }

    /// Says that the service is to end. To be called once.
    pub fn ask(&self) {
        self.0.ring();
    }

    /// Makes this process's first SIGTERM or SIGINT mean the same. The next one ends it at once.
    pub(super) fn hear_signals(&self) -> Result<(), RunError> {
        self.0.hear_signals().map_err(|source| RunError::Host {
            doing: "waiting for signals",
            source,
        })
    }

    /// Waits until it is asked.
    pub(super) async fn asked(&self) {
        if self.0.rung().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
