//! The immutable side: an image's files.

use std::fs::File;
use std::io;
use std::sync::Arc;

use super::node::{FileKind, Stat};

/// A number that a [`Lower`] gives to one of its entries, and understands for as long as it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

/// Where a lower file's bytes lie: `len` bytes at `offset` of a host file that nobody changes.
#[derive(Clone, Debug)]
pub struct Extent {
    /// The host file, open for reading.
    pub file: Arc<File>,
    /// The first byte's place in it.
    pub offset: u64,
    /// Number of bytes. Nothing beyond is ever read.
    pub len: u64,
}

/// What [`Lower::read_dir`] shows each entry to: name, number, kind. An error from it ends the listing.
pub type Visit<'a> = &'a mut dyn FnMut(&[u8], NodeId, FileKind) -> io::Result<()>;

/// An immutable tree: the packed layers of an image, or a directory.
///
/// Guarantees asked of an implementer: the same question has the same answer for as long as the value lives; calls do not
/// block for longer than a disk read; `lookup` matches a name byte for byte. Nothing else is trusted: names that are no
/// single component, whiteout names, and links that lead out of the tree are dealt with here.
pub trait Lower: Send + Sync {
    /// The root directory.
    fn root(&self) -> NodeId;

    /// Finds a name in a directory. `None` when it is not there.
    ///
    /// # Errors
    /// When the tree can't be read.
    fn lookup(&self, dir: NodeId, name: &[u8]) -> io::Result<Option<NodeId>>;

    /// Describes an entry. `dev` is ignored; hard links of one file have one `ino`, below 2^62.
    ///
    /// # Errors
    /// When the tree can't be read.
    fn stat(&self, node: NodeId) -> io::Result<Stat>;

    /// Returns the target of a symlink.
    ///
    /// # Errors
    /// When the tree can't be read, or it is no symlink.
    fn read_link(&self, node: NodeId) -> io::Result<Vec<u8>>;

    /// Shows every entry of a directory to `visit`, each once, in any order, without `.` and `..`.
    ///
    /// # Errors
    /// When the tree can't be read; or what `visit` answered, which ends the walk.
    fn read_dir(&self, dir: NodeId, visit: Visit<'_>) -> io::Result<()>;

    /// Says where a regular file's bytes lie.
    ///
    /// # Errors
    /// When the tree can't be read, or it is no regular file.
    fn open(&self, node: NodeId) -> io::Result<Extent>;

    /// Returns the SHA-256 of a regular file's bytes, if it is known without reading them.
    ///
    /// # Errors
    /// When the tree can't be read.
    fn content_sha256(&self, node: NodeId) -> io::Result<Option<[u8; 32]>> {
        let _: NodeId = node;
        Ok(None)
    }
}
