//! Packs layers as they arrive, beside the download of the others.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;

use coracle_packager::digest::Digest;
use coracle_packager::registry::{BlobKind, TransferEvent};

use super::Engine;

/// Layers that are packed while others are fetched, whatever the number of processors: at any time some wait for the disk.
const THREADS: usize = 4;

impl Engine {
    /// Runs a transfer into the store, and packs each layer when it is there. Returns when both are done.
    ///
    /// What cannot be packed is left: whoever needs the image packs it again, and hears why not.
    pub(super) fn pack_ahead<T, E>(
        &self,
        progress: &(dyn Fn(TransferEvent) + Sync),
        transfer: impl FnOnce(&(dyn Fn(TransferEvent) + Sync)) -> Result<T, E>,
    ) -> Result<T, E> {
        let (arrived, queue) = mpsc::channel::<Digest>();
        let (arrived, queue) = (Mutex::new(arrived), Mutex::new(queue));
        let layers = Mutex::new(HashSet::new());
        let failed = AtomicBool::new(false);
        let pack = || {
            loop {
                // One thread waits for the next layer, the others for that one.
                let next = queue.lock().ok().and_then(|queue| queue.recv().ok());
                match next {
                    Some(layer) if !failed.load(Ordering::Relaxed) => {
                        if let Err(error) = self.layers.pack_ahead(&self.store, &layer) {
                            tracing::debug!(%layer, error = %super::with_causes(&error), "not packed ahead");
                        }
                    }
                    Some(_) => {}
                    None => return,
                }
            }
        };
        let watch = |event: TransferEvent| {
            match &event {
                TransferEvent::Started {
                    digest,
                    kind: BlobKind::Layer,
                    ..
                } => {
                    if let Ok(mut layers) = layers.lock() {
                        layers.insert(digest.clone());
                    }
                }
                TransferEvent::Done { digest } => {
                    let is_layer = layers.lock().is_ok_and(|mut layers| layers.remove(digest));
                    if is_layer && let Ok(arrived) = arrived.lock() {
                        // Nobody takes it if the threads are gone, and then nothing depends on it.
                        drop(arrived.send(digest.clone()));
                    }
                }
                _ => {}
            }
            progress(event);
        };
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(pack);
            }
            let result = transfer(&watch);
            failed.store(result.is_err(), Ordering::Relaxed);
            // The last sender: the threads end when the queue is empty.
            if let Ok(mut arrived) = arrived.lock() {
                let (closed, _) = mpsc::channel();
                *arrived = closed;
            }
            result
        })
    }
}
