//! One blob from a registry into the store.

use std::convert::Infallible;
use std::io::Write as _;

use bytes::Bytes;
use reqwest::header::{CONTENT_RANGE, HeaderValue, RANGE};
use reqwest::{Method, Response, StatusCode};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::endpoint::Ask;
use super::error::{Cause, RegistryError, Step};
use super::event::{BlobKind, Progress, TransferEvent};
use super::repository::Repository;
use super::{answer, redact};
use crate::digest::Digest;
use crate::store::{Store, StoreError};

/// Pieces of a blob, each of at most some 400 KiB, that may wait for the disk. Bounds the memory of a transfer.
const WAITING_PIECES: usize = 8;
/// Bytes after which a broken download has proved worth all its tries again.
const PROGRESS: u64 = 1 << 20;

/// The threads that write blobs. A pull that fails waits for them: a caller may end the process right after, and they have
/// temporary files to remove.
pub(super) struct Writers {
    /// Each thread holds a copy.
    alive: mpsc::Sender<Infallible>,
    ended: mpsc::Receiver<Infallible>,
}

impl Writers {
    pub(super) fn new() -> Self {
        let (alive, ended) = mpsc::channel(1);
        Self { alive, ended }
    }

    /// Waits until all threads have ended, which they do when their downloads are dropped.
    pub(super) async fn join(mut self) {
        drop(self.alive);
        let nothing = self.ended.recv().await;
        debug_assert!(nothing.is_none(), "there is nothing to send");
    }
}

/// A config or layer to fetch.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) digest: Digest,
    /// In bytes.
    pub(super) size: u64,
    pub(super) kind: BlobKind,
}

/// Fetches a blob, unless the store has it. Returns whether it was fetched.
pub(super) async fn fetch(
    from: &Repository,
    store: &Store,
    writers: &Writers,
    wanted: &Wanted,
    progress: Progress<'_>,
) -> Result<bool, RegistryError> {
    let Wanted { digest, size, kind } = wanted.clone();
    let step = || Step::Blob(wanted.digest.clone());
    if store
        .has_blob(&digest, size)
        .map_err(|error| from.fail(Step::Store, error.into()))?
    {
        progress(TransferEvent::Skipped { digest });
        return Ok(false);
    }
    progress(TransferEvent::Started {
        digest: digest.clone(),
        size,
        kind,
    });
    let mut download = Download {
        from,
        wanted,
        progress,
        received: 0,
        sink: Sink::open(store, writers, &digest, size),
    };
    let mut attempts = from.attempts();
    let mut proved = 0;
    loop {
        let cause = match download.receive().await {
            Ok(()) => break,
            // Only the end of the body is missing: the digest will tell.
            Err(Cause::Broken { .. }) if download.received == size && size > 0 => break,
            Err(cause) => cause,
        };
        if download.received.saturating_sub(proved) >= PROGRESS {
            proved = download.received;
            attempts.refill();
        }
        if attempts.may_retry(&cause) {
            let reason = redact::chain(&cause);
            progress(TransferEvent::Retrying {
                digest: digest.clone(),
                reason,
            });
        }
        attempts
            .wait(cause)
            .await
            .map_err(|cause| from.fail(step(), cause))?;
    }
    download
        .sink
        .finish()
        .await
        .map_err(|cause| from.fail(step(), cause))?;
    progress(TransferEvent::Done { digest });
    Ok(true)
}

/// A blob on its way. Survives a broken connection: the next one goes on where it broke.
struct Download<'a> {
    from: &'a Repository,
    wanted: &'a Wanted,
    progress: Progress<'a>,
    /// Bytes handed to the sink.
    received: u64,
    sink: Sink,
}

impl Download<'_> {
    /// Receives what is missing, over one connection.
    async fn receive(&mut self) -> Result<(), Cause> {
        let url = self.from.blob_url(&self.wanted.digest).await?;
        let mut ask = Ask::new(Method::GET, url);
        if self.received > 0 {
            let range = format!("bytes={}-", self.received);
            let range = HeaderValue::from_str(&range).expect("a number is a header value");
            ask = ask.with(RANGE, range);
        }
        let mut answer = self.from.send(ask).await?;
        // Bytes that come once more, because the registry does not do ranges.
        let mut repeated = self.repeated(&answer)?;
        let missing = self
            .wanted
            .size
            .saturating_sub(self.received)
            .saturating_add(repeated);
        if let Some(length) = answer.content_length()
            && length > missing
        {
            let start = self.received.saturating_sub(repeated);
            return Err(self.wrong_size(length.saturating_add(start), false));
        }
        while let Some(mut piece) = self.next(&mut answer).await? {
            let skip = piece
                .len()
                .min(usize::try_from(repeated).unwrap_or(usize::MAX));
            let _repeated: Bytes = piece.split_to(skip);
            repeated = repeated.saturating_sub(skip as u64);
            if piece.is_empty() {
                continue;
            }
            let count = piece.len() as u64;
            let received = self.received.saturating_add(count);
            if received > self.wanted.size {
                return Err(self.wrong_size(received, true));
            }
            self.sink.send(piece).await?;
            self.received = received;
            (self.progress)(TransferEvent::Bytes {
                digest: self.wanted.digest.clone(),
                count,
            });
        }
        if self.received < self.wanted.size {
            return Err(self.wrong_size(self.received, false));
        }
        Ok(())
    }

    /// Returns the next piece of the body, if one comes in time.
    async fn next(&self, answer: &mut Response) -> Result<Option<Bytes>, Cause> {
        let registry = self.from.registry();
        match tokio::time::timeout(self.from.stall, answer.chunk()).await {
            Ok(piece) => piece.map_err(|error| answer::broken(error, registry)),
            Err(_) => Err(Cause::TimedOut {
                registry: registry.to_owned(),
                seconds: self.from.stall.as_secs(),
            }),
        }
    }

    /// Returns how many bytes at the beginning of an answer are here already.
    fn repeated(&self, answer: &Response) -> Result<u64, Cause> {
        if self.received == 0 || answer.status() != StatusCode::PARTIAL_CONTENT {
            return Ok(self.received);
        }
        // A server need not say which part it sends if it is the one that was asked for.
        let Some(range) = answer.headers().get(CONTENT_RANGE) else {
            return Ok(0);
        };
        let start = range.to_str().ok().and_then(|text| {
            text.trim()
                .strip_prefix("bytes")?
                .trim()
                .split('-')
                .next()?
                .parse()
                .ok()
        });
        match start {
            Some(start) if start <= self.received => Ok(self.received.saturating_sub(start)),
            _ => Err(self
                .from
                .protocol("it sends another part of a blob than was asked for")),
        }
    }

    fn wrong_size(&self, got: u64, more: bool) -> Cause {
        Cause::WrongSize {
            got,
            more,
            want: self.wanted.size,
        }
    }
}

/// A thread that hashes and writes, so that neither holds up the network.
///
/// Dropped before [`Sink::finish`], it leaves nothing in the store.
struct Sink {
    /// `None` is the end.
    pieces: mpsc::Sender<Option<Bytes>>,
    thread: Option<JoinHandle<Result<(), StoreError>>>,
}

impl Sink {
    fn open(store: &Store, writers: &Writers, digest: &Digest, size: u64) -> Self {
        let (pieces, mut queue) = mpsc::channel::<Option<Bytes>>(WAITING_PIECES);
        let (store, digest, alive) = (store.clone(), digest.clone(), writers.alive.clone());
        let thread = tokio::task::spawn_blocking(move || {
            let _alive = alive;
            let mut writer = store.blob_writer(Some((&digest, size)))?;
            while let Some(piece) = queue.blocking_recv() {
                let Some(piece) = piece else {
                    return writer.commit().map(drop);
                };
                writer.write_all(&piece).map_err(|error| {
                    error
                        .downcast::<StoreError>()
                        .unwrap_or_else(|source| StoreError::Io {
                            action: "writing a blob in",
                            path: store.root().to_owned(),
                            source,
                        })
                })?;
            }
            Ok(())
        });
        Self {
            pieces,
            thread: Some(thread),
        }
    }

    async fn send(&mut self, piece: Bytes) -> Result<(), Cause> {
        match self.pieces.send(Some(piece)).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.stopped().await),
        }
    }

    async fn finish(&mut self) -> Result<(), Cause> {
        if self.pieces.send(None).await.is_err() {
            return Err(self.stopped().await);
        }
        match self.thread.take() {
            Some(thread) => match thread.await {
                // It is not the store that is wrong.
                Ok(Err(StoreError::WrongDigest { got, want, .. })) => Err(Cause::WrongDigest {
                    got: got.to_string(),
                    want: want.to_string(),
                }),
                Ok(result) => Ok(result?),
                Err(error) => Err(Cause::Stopped {
                    detail: redact::chain(&error),
                }),
            },
            None => Ok(()),
        }
    }

    /// Returns why the thread no longer takes pieces.
    async fn stopped(&mut self) -> Cause {
        let result = match self.thread.take() {
            Some(thread) => thread.await,
            None => {
                return Cause::Stopped {
                    detail: "it failed before".to_owned(),
                };
            }
        };
        match result {
            Ok(Err(error)) => error.into(),
            Ok(Ok(())) => Cause::Stopped {
                detail: "it ended early".to_owned(),
            },
            Err(error) => Cause::Stopped {
                detail: redact::chain(&error),
            },
        }
    }
}
