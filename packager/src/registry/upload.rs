//! One blob from the store to a registry.

use std::io::Read as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use oci_client::client::Client as Http;
use oci_client::errors::OciDistributionError;
use tokio::sync::mpsc;

use super::error::{Cause, RegistryError, Step};
use super::event::{BlobKind, Progress, TransferEvent};
use super::session::Session;
use super::{blocking, redact};
use crate::digest::Digest;
use crate::store::{Store, StoreError};

/// Bytes that are read at once for a blob that is uploaded whole.
const WHOLE_PIECE: usize = 256 << 10;
/// Bytes of one request for a blob that is uploaded in pieces: the most that GitHub's registry takes, and less than the
/// least that Amazon's wants, which takes blobs whole.
const REQUEST_PIECE: usize = 4 << 20;
/// Pieces that may wait for the network. Bounds the memory of a transfer.
const WAITING_PIECES: usize = 1;
/// Time without a piece taken, or without an answer after the last one, after which an upload is given up. Registries
/// move a large blob to its place before they answer.
const STALL_LIMIT: Duration = Duration::from_secs(300);

/// A config or layer to upload.
#[derive(Clone, Debug)]
pub(super) struct Offered {
    pub(super) digest: Digest,
    /// In bytes, as its manifest says.
    pub(super) size: u64,
    pub(super) kind: BlobKind,
}

/// Uploads a blob, unless the registry has it.
pub(super) async fn send(
    session: &Session,
    store: &Store,
    offered: &Offered,
    progress: Progress<'_>,
) -> Result<(), RegistryError> {
    let Offered { digest, size, kind } = offered.clone();
    let step = || Step::Blob(offered.digest.clone());
    let target = session.target();
    let name = digest.to_string();
    let is_there = session
        .call(step(), |http, _| {
            let (target, name) = (&target, name.as_str());
            async move { http.blob_exists(target, name).await }
        })
        .await?;
    if is_there {
        progress(TransferEvent::Skipped { digest });
        return Ok(());
    }
    let mut attempts = session.attempts();
    let mut whole = size > 0;
    loop {
        progress(TransferEvent::Started {
            digest: digest.clone(),
            size,
            kind,
        });
        let (http, _, generation) = session.now();
        let upload = Upload {
            session,
            store,
            offered,
            progress,
        };
        let result = if whole {
            upload.run(http, WHOLE_PIECE).await
        } else {
            match session.in_pieces().await {
                Ok(http) => upload.run(http, REQUEST_PIECE).await,
                Err(cause) => Err(cause),
            }
        };
        let cause = match result {
            Ok(()) => break,
            Err(cause) => cause,
        };
        if whole && refuses_whole(&cause) {
            tracing::debug!(%digest, %cause, "uploading in pieces");
            whole = false;
            continue;
        }
        // A proxy that limits the size of a request may just hang up.
        if matches!(cause, Cause::Broken { .. }) && size > REQUEST_PIECE as u64 {
            whole = false;
        }
        if cause.is_temporary() && attempts.are_left() {
            let reason = redact::chain(&cause);
            progress(TransferEvent::Retrying {
                digest: digest.clone(),
                reason,
            });
        }
        session
            .again(&mut attempts, generation, cause)
            .await
            .map_err(|cause| session.fail(step(), cause))?;
    }
    progress(TransferEvent::Done { digest });
    Ok(())
}

/// Does this answer mean that one large request is not taken here? 404: there is no such upload, as some proxies say.
fn refuses_whole(cause: &Cause) -> bool {
    match cause {
        Cause::NotFound | Cause::Protocol { .. } => true,
        Cause::Status { status, .. } => matches!(status, 400 | 405 | 411 | 413 | 415 | 501),
        _ => false,
    }
}

struct Upload<'a> {
    session: &'a Session,
    store: &'a Store,
    offered: &'a Offered,
    progress: Progress<'a>,
}

impl Upload<'_> {
    /// Uploads the blob from its first byte.
    async fn run(&self, http: Http, piece: usize) -> Result<(), Cause> {
        let Offered { digest, size, .. } = self.offered;
        let (store, name) = (self.store.clone(), digest.clone());
        let reader = blocking(move || store.open_blob(&name)).await?;
        if reader.size() != *size {
            return Err(StoreError::WrongSize {
                digest: digest.clone(),
                got: reader.size(),
                want: *size,
            }
            .into());
        }
        let (sender, pieces) = mpsc::channel(WAITING_PIECES);
        let failed = Arc::new(Mutex::new(None));
        let root = self.store.root().to_owned();
        let in_thread = Arc::clone(&failed);
        // Ends when the blob does, or when nobody takes its pieces any more.
        let _thread = tokio::task::spawn_blocking(move || {
            if let Err(source) = read(reader, piece, &sender) {
                let error =
                    source
                        .downcast::<StoreError>()
                        .unwrap_or_else(|source| StoreError::Io {
                            action: "reading a blob in",
                            path: root,
                            source,
                        });
                *in_thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                // Breaks the request off: the registry must not take what came so far for the whole.
                let broken = OciDistributionError::GenericError(None);
                let _unread = sender.blocking_send(Err(broken));
            }
        });
        let taken = Arc::new(Taken::default());
        let body = stream::unfold(
            (pieces, Arc::clone(&taken)),
            |(mut pieces, taken)| async move {
                let piece: Result<Bytes, OciDistributionError> = pieces.recv().await?;
                let count = piece.as_ref().map_or(0, Bytes::len) as u64;
                taken.bytes.fetch_add(count, Ordering::Relaxed);
                taken.more.notify_one();
                Some((piece, (pieces, taken)))
            },
        );
        let target = self.session.target();
        let name = digest.to_string();
        let request = http.push_blob_stream(&target, body, &name, Some(*size));
        let answer = self.watched(request, &taken).await;
        let store_error = failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(error) = store_error {
            return Err(error.into());
        }
        answer?.map(drop).map_err(|error| self.session.cause(error))
    }

    /// Waits for the request, tells how it goes on, and gives up if it does not.
    async fn watched<T>(
        &self,
        request: impl Future<Output = Result<T, OciDistributionError>>,
        taken: &Taken,
    ) -> Result<Result<T, OciDistributionError>, Cause> {
        let mut request = std::pin::pin!(request);
        loop {
            tokio::select! {
                answer = &mut request => {
                    self.tell(taken);
                    return Ok(answer);
                }
                () = taken.more.notified() => self.tell(taken),
                () = tokio::time::sleep(STALL_LIMIT) => return Err(Cause::TimedOut {
                    registry: self.session.registry().to_owned(),
                    seconds: STALL_LIMIT.as_secs(),
                }),
            }
        }
    }

    fn tell(&self, taken: &Taken) {
        let count = taken.bytes.swap(0, Ordering::Relaxed);
        if count > 0 {
            let digest = self.offered.digest.clone();
            (self.progress)(TransferEvent::Bytes { digest, count });
        }
    }
}

/// Bytes that the network has taken since they were last told.
#[derive(Default)]
struct Taken {
    bytes: AtomicU64,
    more: tokio::sync::Notify,
}

/// Reads a blob piece by piece. The last piece goes out only when the whole blob has proved right.
fn read(
    mut blob: crate::store::BlobReader,
    size: usize,
    pieces: &mpsc::Sender<Result<Bytes, OciDistributionError>>,
) -> std::io::Result<()> {
    let mut waiting: Option<Bytes> = None;
    loop {
        let mut piece = Vec::new();
        // Reads less than a piece only at the end, which the reader reports only if all was right.
        blob.by_ref().take(size as u64).read_to_end(&mut piece)?;
        if let Some(earlier) = waiting.take()
            && pieces.blocking_send(Ok(earlier)).is_err()
        {
            return Ok(());
        }
        if piece.is_empty() {
            return Ok(());
        }
        waiting = Some(Bytes::from(piece));
    }
}
