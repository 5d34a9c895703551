//! An image's files as the lower of a guest's file system.
//!
//! packager yields the merged view of an image's layers as an index and the layers' uncompressed tars; runtime asks for
//! a [`Lower`]. Neither knows the other, so the adapter stands here.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coracle_packager::layer::{IndexError, Node, NodeKind, Rootfs, TreeIndex};
use coracle_runtime::sys::MappedFile;
use coracle_runtime::vfs::{Extent, FileKind, Lower, NodeId, Stat, Timestamp};

/// An image's files: a mapped index, and the open tars that it points into.
pub(super) struct ImageLower {
    index: TreeIndex<MappedFile>,
    layers: Vec<Arc<File>>,
}

impl ImageLower {
    /// Opens the index and every layer, so that nothing of the store has to be opened behind the second wall.
    pub(super) fn open(rootfs: &Rootfs) -> io::Result<Self> {
        let open =
            |path: &PathBuf| File::open(path).map_err(|error| about(path, error.kind(), error));
        let index = MappedFile::open(&open(&rootfs.index)?)?;
        let index = TreeIndex::open(index)
            .map_err(|error| about(&rootfs.index, io::ErrorKind::InvalidData, error))?;
        let open = |path: &PathBuf| open(path).map(Arc::new);
        let layers = rootfs.layers.iter().map(open).collect::<io::Result<_>>()?;
        Ok(Self { index, layers })
    }

    fn node(&self, node: NodeId) -> io::Result<Node<'_>> {
        let number = u32::try_from(node.0).map_err(|_| io::ErrorKind::NotFound)?;
        self.index.node(number).map_err(corrupt)
    }
}

fn about(path: &Path, kind: io::ErrorKind, error: impl std::fmt::Display) -> io::Error {
    io::Error::new(kind, format!("{}: {error}", path.display()))
}

/// A damaged index is the store's fault, and to the guest an input/output error.
fn corrupt(error: IndexError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn directory(node: NodeId) -> io::Result<u32> {
    u32::try_from(node.0).map_err(|_| io::ErrorKind::NotFound.into())
}

fn kind(node: &Node<'_>) -> FileKind {
    match node.kind {
        NodeKind::File => FileKind::File,
        NodeKind::Directory => FileKind::Directory,
        NodeKind::Symlink => FileKind::Symlink,
        NodeKind::CharDevice => FileKind::CharDevice,
        NodeKind::BlockDevice => FileKind::BlockDevice,
        NodeKind::Fifo => FileKind::Fifo,
    }
}

impl Lower for ImageLower {
    fn root(&self) -> NodeId {
        NodeId(self.index.root().into())
    }

    fn lookup(&self, dir: NodeId, name: &[u8]) -> io::Result<Option<NodeId>> {
        let found = self.index.lookup(directory(dir)?, name).map_err(corrupt)?;
        Ok(found.map(|number| NodeId(number.into())))
    }

    fn stat(&self, node: NodeId) -> io::Result<Stat> {
        let node = self.node(node)?;
        let time = Timestamp {
            sec: node.mtime_sec,
            nsec: node.mtime_nsec,
        };
        Ok(Stat {
            dev: 0,
            ino: node.inode.into(),
            kind: kind(&node),
            mode: node.mode,
            uid: node.uid,
            gid: node.gid,
            nlink: node.nlink.into(),
            size: if node.kind == NodeKind::Symlink {
                node.link.len() as u64
            } else {
                node.size
            },
            atime: time,
            mtime: time,
            ctime: time,
        })
    }

    fn read_link(&self, node: NodeId) -> io::Result<Vec<u8>> {
        Ok(self.node(node)?.link.to_vec())
    }

    fn read_dir(
        &self,
        dir: NodeId,
        visit: &mut dyn FnMut(&[u8], NodeId, FileKind) -> io::Result<()>,
    ) -> io::Result<()> {
        for number in self.index.children(directory(dir)?).map_err(corrupt)? {
            let node = self.index.node(number).map_err(corrupt)?;
            visit(node.name, NodeId(number.into()), kind(&node))?;
        }
        Ok(())
    }

    fn open(&self, node: NodeId) -> io::Result<Extent> {
        let node = self.node(node)?;
        let layer = usize::try_from(node.layer)
            .ok()
            .and_then(|layer| self.layers.get(layer));
        let file = layer.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        Ok(Extent {
            file: Arc::clone(file),
            offset: node.offset,
            len: node.size,
        })
    }

    fn content_sha256(&self, node: NodeId) -> io::Result<Option<[u8; 32]>> {
        Ok(self.node(node)?.sha256)
    }
}
