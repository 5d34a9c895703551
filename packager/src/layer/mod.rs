//! Layers in packed form, and their merged view.
//!
//! A layer blob is a compressed tar, in which nothing can be found without reading all of it. Packed, it is the uncompressed
//! tar with an index beside it, and a WebAssembly container reads its files where they lie in the tar. Only for containers whose programs
//! the kernel runs are layers unpacked, by `unpack`, from an index in which no name can do harm.
//!
//! - [`LayerStore::prepare`] packs the layers of an image and merges their indexes; [`LayerStore::prepared`] only looks.
//! - [`TreeIndex`] reads an index, [`LayerWriter`] makes a new layer.
//!
//! The way of a layer: `compress` (blob to bytes), `archive`, `field` and `pax` (bytes to entries), `scan` (entries to a `tree`, with
//! `whiteout` and `path`), `encode` (tree to index), `merge` (indexes to one). `format` describes the index.

mod archive;
mod compress;
mod encode;
mod error;
mod field;
mod format;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod fuzz;
mod gc;
mod header;
mod index;
pub mod limits;
mod mend;
mod merge;
mod pack;
mod parallel;
mod path;
mod pax;
mod scan;
mod source;
mod store;
mod stream;
mod temp;
mod tree;
mod turn;
#[cfg(target_os = "linux")]
mod unpack;
mod verify;
mod whiteout;
mod writer;
mod xattr;

pub use error::{IndexError, LayerError, TarError};
pub use format::NodeKind;
pub use gc::Collected;
pub use index::{Node, TreeIndex};
pub use limits::Limits;
pub(crate) use store::Scratch;
pub use store::{LayerLease, LayerStore, Rootfs, chain_id};
pub use stream::{Head, MemberType, NewMember, StreamError, TarWriter, for_each_member};
pub(crate) use stream::{bounded, compression_of, members};
#[cfg(target_os = "linux")]
pub use unpack::{Skipped, TreeDamage, TreeForm, Trees, VerifiedTrees};
pub use verify::{PackedDamage, VerifiedLayers};
pub use writer::{Attributes, LayerWriter, Opener, WrittenLayer};
pub use xattr::Xattrs;

#[cfg(test)]
mod tests;
