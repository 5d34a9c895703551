//! A file system in this process' memory, mounted for a guest.
//!
//! It ends with the process, and no other process sees it. It is bounded: pages of data count with their size, and each
//! name with [`ENTRY_COST`], which is about what it takes. A hole in a file takes nothing.

mod dir;
mod file;
mod tree;

pub(super) use dir::TmpDir;
pub(super) use file::TmpFile;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tree::{Ino, Node, Tree};

/// Bytes that one page of a file's data takes.
pub(super) const PAGE: usize = 4096;

/// Bytes that one name counts for: the node, the name (at most 255 bytes), and their places in two tables.
pub(super) const ENTRY_COST: u64 = 1024;

/// An empty file system in memory. Clones are the same file system.
#[derive(Clone, Debug)]
pub struct Tmpfs(Arc<Shared>);

/// How a [`Tmpfs`] begins, and how large it may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TmpfsOptions {
    /// Bytes at most, names included.
    pub size: u64,
    /// Permission bits of its root.
    pub mode: u32,
    /// The number of its root's owner.
    pub uid: u32,
    /// The number of its root's group.
    pub gid: u32,
}

impl TmpfsOptions {
    /// Bytes at most where nothing else is said. The kernel takes half of the machine's memory; here it is the memory of a
    /// process that people start without a thought, on small boards as well.
    pub const DEFAULT_SIZE: u64 = 256 << 20;
    /// As Docker's: everybody may write, and remove what is theirs.
    pub const DEFAULT_MODE: u32 = 0o1777;
}

impl Default for TmpfsOptions {
    fn default() -> Self {
        Self {
            size: Self::DEFAULT_SIZE,
            mode: Self::DEFAULT_MODE,
            uid: 0,
            gid: 0,
        }
    }
}

#[derive(Debug)]
struct Shared {
    /// Tells this file system from others, as a device number does.
    dev: u64,
    tree: Mutex<Tree>,
}

/// Keeps a node alive, though it may have no name any more.
#[derive(Debug)]
struct Held {
    shared: Arc<Shared>,
    ino: Ino,
}

impl Tmpfs {
    /// Makes an empty one.
    pub fn new(options: TmpfsOptions) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(Arc::new(Shared {
            dev: NEXT.fetch_add(1, Ordering::Relaxed),
            tree: Mutex::new(Tree::new(options)),
        }))
    }

    pub(super) fn root(&self) -> TmpDir {
        let mut tree = self.0.lock();
        TmpDir::new(Held::new(&self.0, &mut tree, Tree::ROOT))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Tree> {
        // No call leaves the tree half changed where it could panic.
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn new(shared: &Arc<Shared>, tree: &mut Tree, ino: Ino) -> Self {
        tree.hold(ino);
        Self {
            shared: shared.clone(),
            ino,
        }
    }

    fn stat(&self, node: &Node, ino: Ino) -> super::Stat {
        node.stat(self.shared.dev, ino)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shared.lock().release(self.ino);
    }
}
