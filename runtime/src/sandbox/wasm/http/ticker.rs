//! The clock by which guests take turns: while requests are answered, the engines' epochs advance every [`SLICE`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle, Thread};

use wasmtime::Engine;

use super::bounds::SLICE;

/// Counts the guests that may compute. Its thread sleeps while there are none.
pub(super) struct Ticker {
    state: Arc<State>,
    thread: Thread,
    handle: Option<JoinHandle<()>>,
}

struct State {
    busy: AtomicUsize,
    ended: AtomicBool,
}

/// One guest that may compute, until it is dropped.
pub(super) struct Busy(Arc<State>);

impl Ticker {
    /// Starts the thread.
    pub(super) fn start(engines: Vec<Engine>) -> std::io::Result<Self> {
        let state = Arc::new(State {
            busy: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
        });
        let seen = Arc::clone(&state);
        let handle = thread::Builder::new().spawn(move || {
            while !seen.ended.load(Ordering::Acquire) {
                if seen.busy.load(Ordering::Acquire) == 0 {
                    thread::park();
                } else {
                    thread::sleep(SLICE);
                    engines.iter().for_each(Engine::increment_epoch);
                }
            }
        })?;
        Ok(Self {
            state,
            thread: handle.thread().clone(),
            handle: Some(handle),
        })
    }

    /// Counts one guest more.
    pub(super) fn busy(&self) -> Busy {
        if self.state.busy.fetch_add(1, Ordering::AcqRel) == 0 {
            self.thread.unpark();
        }
        Busy(Arc::clone(&self.state))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::Release);
        self.thread.unpark();
        if let Some(handle) = self.handle.take() {
            // It cannot have panicked.
            handle.join().ok();
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::AcqRel);
    }
}
