//! One blob from the store to a registry.
//!
//! The rule that every registry takes (how they differ is in docs/registries.md): ask whether it is there, else let
//! the registry take it from another of its repositories, else send it whole in one request. Pieces are for those who refuse
//! that.

use std::io::Read as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue, RANGE};
use reqwest::{Body, Method, Response, StatusCode, Url};
use tokio::sync::mpsc;

use super::endpoint::Ask;
use super::error::{Cause, RegistryError, Step};
use super::event::{BlobKind, Progress, TransferEvent};
use super::mount::Neighbours;
use super::repository::Repository;
use super::{blocking, redact};
use crate::digest::Digest;
use crate::store::{Store, StoreError};

/// Bytes that are read at once for a blob that is uploaded whole.
const WHOLE_PIECE: usize = 256 << 10;
/// Bytes of one request for a blob that is uploaded in pieces: the least that Amazon's registry takes.
const REQUEST_PIECE: u64 = 5 << 20;
/// The most that GitHub's registry takes of one piece.
const GITHUB: (&str, u64) = ("ghcr.io", 4 << 20);
/// Bytes of a piece that a registry may want at least. A piece is held in memory.
const PIECE_LIMIT: u64 = 32 << 20;
/// Pieces that may wait for the network. Bounds the memory of a transfer.
const WAITING_PIECES: usize = 1;
/// Time without a piece taken, or without an answer after the last one, after which an upload is given up. Registries
/// move a large blob to its place before they answer.
const STALL_LIMIT: Duration = Duration::from_secs(300);
/// The least that pieces should have (distribution-spec, "Pushing a blob in chunks").
const MIN_LENGTH: &str = "oci-chunk-min-length";

/// A config or layer to upload.
#[derive(Clone, Debug)]
pub(super) struct Offered {
    pub(super) digest: Digest,
    /// In bytes, as its manifest says.
    pub(super) size: u64,
    pub(super) kind: BlobKind,
}

/// How a blob is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Whole,
    Pieces,
}

/// Uploads a blob, unless the registry has it.
pub(super) async fn send(
    to: &Repository,
    store: &Store,
    known: &Neighbours,
    offered: &Offered,
    progress: Progress<'_>,
) -> Result<(), RegistryError> {
    let Offered { digest, size, kind } = offered.clone();
    let step = || Step::Blob(offered.digest.clone());
    if to.has_blob(&digest).await? {
        progress(TransferEvent::Skipped { digest });
        return Ok(());
    }
    let mut attempts = to.attempts();
    let mut way = Way::Whole;
    let mut from = known.of(&digest).await;
    let (mut cuts, mut renewed) = (0_u32, false);
    let upload = Upload {
        to,
        store,
        offered,
        progress,
    };
    loop {
        progress(TransferEvent::Started {
            digest: digest.clone(),
            size,
            kind,
        });
        let cause = match upload.run(way, from.take()).await {
            Ok(Sent::Mounted) => {
                progress(TransferEvent::Skipped { digest });
                return Ok(());
            }
            Ok(Sent::Whole) => break,
            Err(cause) => cause,
        };
        if way == Way::Whole && refuses_whole(&cause) {
            tracing::debug!(%digest, %cause, "uploading in pieces");
            way = Way::Pieces;
            continue;
        }
        if matches!(cause, Cause::Unauthorized { .. }) && !renewed {
            // The token had run out, and there is a new one.
            renewed = true;
            continue;
        }
        // A proxy that limits the size of a request may just hang up; a network does so only now and then.
        if matches!(cause, Cause::Broken { .. }) && size > REQUEST_PIECE {
            cuts = cuts.saturating_add(1);
            if cuts > 1 {
                way = Way::Pieces;
            }
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
            .map_err(|cause| to.fail(step(), cause))?;
    }
    progress(TransferEvent::Done { digest });
    Ok(())
}

/// Does this answer mean that one large request is not taken here? 404: there is no such upload, as some proxies say.
fn refuses_whole(cause: &Cause) -> bool {
    match cause {
        Cause::NotFound => true,
        Cause::Status { status, .. } => matches!(status, 400 | 405 | 411 | 413 | 415 | 501),
        _ => false,
    }
}

enum Sent {
    /// The registry took it from another of its repositories.
    Mounted,
    Whole,
}

struct Upload<'a> {
    to: &'a Repository,
    store: &'a Store,
    offered: &'a Offered,
    progress: Progress<'a>,
}

impl Upload<'_> {
    /// Uploads the blob from its first byte.
    async fn run(&self, way: Way, from: Option<&str>) -> Result<Sent, Cause> {
        let begun = self.begin(from).await?;
        if begun.status() == StatusCode::CREATED {
            return Ok(Sent::Mounted);
        }
        let url = self.location(&begun)?;
        match way {
            Way::Whole => self.whole(url).await?,
            Way::Pieces => self.pieces(url, self.piece_size(&begun)).await?,
        }
        Ok(Sent::Whole)
    }

    /// Opens an upload, or has the blob mounted from another repository.
    async fn begin(&self, from: Option<&str>) -> Result<Response, Cause> {
        let mut url = self.to.url("blobs/uploads/").await?;
        if let Some(from) = from
            && self.to.auth().also_read(self.to.endpoint(), from).await
        {
            url.query_pairs_mut()
                .append_pair("mount", &self.offered.digest.to_string())
                .append_pair("from", from);
        }
        // The specification wants it, and some proxies want a length.
        let ask =
            Ask::new(Method::POST, url.clone()).with(CONTENT_LENGTH, HeaderValue::from_static("0"));
        let asked = self.to.send(ask).await;
        match asked {
            Err(cause) if url.query().is_some() && !cause.is_temporary() => {
                tracing::debug!(from, %cause, "not mounted");
                url.set_query(None);
                let ask =
                    Ask::new(Method::POST, url).with(CONTENT_LENGTH, HeaderValue::from_static("0"));
                self.to.send(ask).await
            }
            Ok(answer) if answer.status() == StatusCode::CREATED && url.query().is_none() => {
                Err(self
                    .to
                    .protocol("it says that an upload is done that has not begun"))
            }
            asked => asked,
        }
    }

    fn location(&self, answer: &Response) -> Result<Url, Cause> {
        let location = self.to.endpoint().location(answer)?;
        location.ok_or_else(|| {
            self.to
                .protocol("it takes an upload but does not say where")
        })
    }

    fn piece_size(&self, begun: &Response) -> u64 {
        let (name, limit) = GITHUB;
        if self.to.endpoint().authority() == name {
            return limit;
        }
        let wanted = begun
            .headers()
            .get(MIN_LENGTH)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .unwrap_or(0);
        REQUEST_PIECE.max(wanted).min(PIECE_LIMIT)
    }

    /// Sends all in one request.
    async fn whole(&self, mut url: Url) -> Result<(), Cause> {
        url.query_pairs_mut()
            .append_pair("digest", &self.offered.digest.to_string());
        let mut headers = HeaderMap::new();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        );
        headers.insert(CONTENT_LENGTH, HeaderValue::from(self.offered.size));
        let taken = Arc::new(Taken::default());
        let (mut source, failed) = self.open(WHOLE_PIECE).await?;
        // A body without a byte is none.
        let body = if self.offered.size == 0 {
            match source.recv().await {
                None => Body::from(Bytes::new()),
                Some(_) => return Err(failed.take()),
            }
        } else {
            let counted = Arc::clone(&taken);
            Body::wrap_stream(stream::unfold(
                (source, counted),
                |(mut source, taken)| async move {
                    let piece: Result<Bytes, Interrupted> = source.recv().await?;
                    let count = piece.as_ref().map_or(0, Bytes::len) as u64;
                    taken.bytes.fetch_add(count, Ordering::Relaxed);
                    taken.more.notify_one();
                    Some((piece, (source, taken)))
                },
            ))
        };
        let request = self.to.stream(Method::PUT, url, headers, body);
        let answer = self.watched(request, &taken).await;
        if let Some(cause) = failed.taken() {
            return Err(cause);
        }
        super::body::drain(answer?).await;
        Ok(())
    }

    /// Sends pieces, one request each, and an empty request at the end.
    async fn pieces(&self, mut url: Url, size: u64) -> Result<(), Cause> {
        let piece = usize::try_from(size).unwrap_or(WHOLE_PIECE);
        let (mut source, failed) = self.open(piece).await?;
        let mut sent: u64 = 0;
        while let Some(piece) = source.recv().await {
            let Ok(piece) = piece else {
                return Err(failed.take());
            };
            let count = piece.len() as u64;
            let end = sent.saturating_add(count);
            let range = format!("{sent}-{}", end.saturating_sub(1));
            let range = HeaderValue::from_str(&range).expect("numbers are a header value");
            let mut ask = Ask::new(Method::PATCH, url)
                .with(
                    CONTENT_TYPE,
                    HeaderValue::from_static("application/octet-stream"),
                )
                .with(CONTENT_RANGE, range);
            ask.body = Some(piece);
            // Amazon's registry says 201 where the specification says 202.
            let answer = self.to.send(ask).await?;
            self.check_range(&answer, end)?;
            url = self.location(&answer)?;
            sent = end;
            (self.progress)(TransferEvent::Bytes {
                digest: self.offered.digest.clone(),
                count,
            });
        }
        url.query_pairs_mut()
            .append_pair("digest", &self.offered.digest.to_string());
        let ask = Ask::new(Method::PUT, url).with(CONTENT_LENGTH, HeaderValue::from_static("0"));
        super::body::drain(self.to.send(ask).await?).await;
        Ok(())
    }

    /// Some registries have been seen to lose pieces and say so only here.
    fn check_range(&self, answer: &Response, end: u64) -> Result<(), Cause> {
        let Some(range) = answer.headers().get(RANGE) else {
            return Ok(());
        };
        let got: Option<u64> = range.to_str().ok().and_then(|text| {
            text.trim()
                .trim_start_matches("bytes=")
                .split_once('-')?
                .1
                .parse()
                .ok()
        });
        if got.is_some_and(|last| last.saturating_add(1) == end) {
            return Ok(());
        }
        Err(Cause::LostPiece {
            registry: self.to.registry().to_owned(),
            got: redact::foreign(&String::from_utf8_lossy(range.as_bytes())),
            sent: end,
        })
    }

    /// Starts to read the blob in a thread.
    async fn open(
        &self,
        piece: usize,
    ) -> Result<(mpsc::Receiver<Result<Bytes, Interrupted>>, Failed), Cause> {
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
        let failed = Failed::default();
        let root = self.store.root().to_owned();
        let in_thread = failed.clone();
        // Ends when the blob does, or when nobody takes its pieces any more.
        let _thread = tokio::task::spawn_blocking(move || {
            if let Err(source) = read(reader, piece, &sender) {
                in_thread.set(source.downcast::<StoreError>().unwrap_or_else(|source| {
                    StoreError::Io {
                        action: "reading a blob in",
                        path: root,
                        source,
                    }
                }));
                // Breaks the request off: the registry must not take what came so far for the whole.
                let _unread = sender.blocking_send(Err(Interrupted));
            }
        });
        Ok((pieces, failed))
    }

    /// Waits for the request, tells how it goes on, and gives up if it does not.
    async fn watched(
        &self,
        request: impl Future<Output = Result<Response, Cause>>,
        taken: &Taken,
    ) -> Result<Response, Cause> {
        let mut request = std::pin::pin!(request);
        loop {
            tokio::select! {
                answer = &mut request => {
                    self.tell(taken);
                    return answer;
                }
                () = taken.more.notified() => self.tell(taken),
                () = tokio::time::sleep(STALL_LIMIT) => return Err(Cause::TimedOut {
                    registry: self.to.registry().to_owned(),
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

/// Reading the blob failed; why is told beside.
#[derive(Debug, thiserror::Error)]
#[error("reading the blob failed")]
struct Interrupted;

/// Why reading the blob failed.
#[derive(Clone, Default)]
struct Failed(Arc<Mutex<Option<StoreError>>>);

impl Failed {
    fn set(&self, error: StoreError) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    fn taken(&self) -> Option<Cause> {
        let error = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        error.map(Into::into)
    }

    fn take(&self) -> Cause {
        self.taken().unwrap_or_else(|| Cause::Stopped {
            detail: "it ended without a reason".to_owned(),
        })
    }
}

/// Reads a blob piece by piece. The last piece goes out only when the whole blob has proved right.
fn read(
    mut blob: crate::store::BlobReader,
    size: usize,
    pieces: &mpsc::Sender<Result<Bytes, Interrupted>>,
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
