//! What a transfer reports while it runs.

use crate::digest::Digest;

/// What a transferred blob is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlobKind {
    /// A layer.
    Layer,
    /// A config.
    Config,
    /// A manifest.
    Manifest,
    /// An index.
    Index,
}

/// One step of a pull or push, for progress bars.
///
/// Blobs are transferred several at a time: events of different digests interleave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransferEvent {
    /// The transfer of a blob starts, or starts again from its first byte.
    Started {
        /// The blob.
        digest: Digest,
        /// Its whole size in bytes.
        size: u64,
        /// What it is.
        kind: BlobKind,
    },
    /// More bytes of a blob were transferred.
    Bytes {
        /// The blob.
        digest: Digest,
        /// How many since the last event of this blob.
        count: u64,
    },
    /// The transfer of a blob broke and is tried again after a pause.
    Retrying {
        /// The blob.
        digest: Digest,
        /// Why, on one line.
        reason: String,
    },
    /// A blob is complete, checked and stored at its destination.
    Done {
        /// The blob.
        digest: Digest,
    },
    /// The destination has the blob already.
    Skipped {
        /// The blob.
        digest: Digest,
    },
}

/// Receives the events of a transfer. Called often and from within the transfer: it should return at once.
pub type Progress<'a> = &'a (dyn Fn(TransferEvent) + Sync);
