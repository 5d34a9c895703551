//! A lower made of a host directory.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::errno::Errno;
use super::host::HostDir;
use super::lower::{Extent, Lower, NodeId, Visit};
use super::node::{FileKind, Stat};

/// A host directory as a lower: a bundle's root file system, or a tree in a test. Nobody may change it meanwhile.
///
/// Every entry that was looked at is remembered, and every directory among them keeps a descriptor open.
#[derive(Debug)]
pub struct DirLower {
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    nodes: Vec<Entry>,
    by_name: HashMap<(NodeId, Vec<u8>), NodeId>,
}

#[derive(Clone, Debug)]
enum Entry {
    Directory(HostDir),
    Other { dir: HostDir, name: Vec<u8> },
}

impl DirLower {
    /// Takes a directory as the root.
    pub fn new(root: cap_std::fs::Dir) -> Self {
        let nodes = vec![Entry::Directory(root.into())];
        Self {
            known: Mutex::new(Known {
                nodes,
                by_name: HashMap::new(),
            }),
        }
    }

    fn entry(&self, node: NodeId) -> io::Result<Entry> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let index = usize::try_from(node.0).map_err(|_| io::ErrorKind::NotFound)?;
        known
            .nodes
            .get(index)
            .cloned()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn directory(&self, node: NodeId) -> io::Result<HostDir> {
        match self.entry(node)? {
            Entry::Directory(dir) => Ok(dir),
            Entry::Other { .. } => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn find(
        &self,
        parent: NodeId,
        dir: &HostDir,
        name: &[u8],
        kind: FileKind,
    ) -> io::Result<NodeId> {
        let key = (parent, name.to_vec());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(node) = known.by_name.get(&key) {
            return Ok(*node);
        }
        let entry = match kind {
            FileKind::Directory => Entry::Directory(dir.open_dir(name).map_err(io_error)?),
            _ => Entry::Other {
                dir: dir.clone(),
                name: name.to_vec(),
            },
        };
        let node = NodeId(known.nodes.len() as u64);
        known.nodes.push(entry);
        known.by_name.insert(key, node);
        Ok(node)
    }
}

impl Lower for DirLower {
    fn root(&self) -> NodeId {
        NodeId(0)
    }

    fn lookup(&self, parent: NodeId, name: &[u8]) -> io::Result<Option<NodeId>> {
        let dir = self.directory(parent)?;
        match dir.stat_at(name) {
            Ok(Some(stat)) => self.find(parent, &dir, name, stat.kind).map(Some),
            // A name that no host directory can have.
            Ok(None) | Err(Errno::Invalid | Errno::NameTooLong) => Ok(None),
            Err(error) => Err(io_error(error)),
        }
    }

    fn stat(&self, node: NodeId) -> io::Result<Stat> {
        match self.entry(node)? {
            Entry::Directory(dir) => dir.stat().map_err(io_error),
            Entry::Other { dir, name } => dir.stat_at(&name).map_err(io_error)?.ok_or_else(changed),
        }
    }

    fn read_link(&self, node: NodeId) -> io::Result<Vec<u8>> {
        match self.entry(node)? {
            Entry::Directory(_) => Err(io::ErrorKind::InvalidInput.into()),
            Entry::Other { dir, name } => dir.read_link(&name).map_err(io_error),
        }
    }

    fn read_dir(&self, node: NodeId, visit: Visit<'_>) -> io::Result<()> {
        let dir = self.directory(node)?;
        for entry in dir.list().map_err(io_error)? {
            visit(
                &entry.name,
                self.find(node, &dir, &entry.name, entry.kind)?,
                entry.kind,
            )?;
        }
        Ok(())
    }

    fn open(&self, node: NodeId) -> io::Result<Extent> {
        match self.entry(node)? {
            Entry::Directory(_) => Err(io::ErrorKind::IsADirectory.into()),
            Entry::Other { dir, name } => {
                let file = dir.open_file(&name, true, false).map_err(io_error)?;
                let len = file.metadata()?.len();
                Ok(Extent {
                    file: Arc::new(file),
                    offset: 0,
                    len,
                })
            }
        }
    }
}

fn changed() -> io::Error {
    io::Error::other("an entry of an immutable directory is gone")
}

/// The trait speaks io::Error, so that implementers elsewhere need nothing of this module.
fn io_error(error: Errno) -> io::Error {
    let kind = match error {
        Errno::NoEntry => io::ErrorKind::NotFound,
        Errno::Access | Errno::NotPermitted => io::ErrorKind::PermissionDenied,
        Errno::IsDir => io::ErrorKind::IsADirectory,
        Errno::NotDir => io::ErrorKind::NotADirectory,
        Errno::Invalid => io::ErrorKind::InvalidInput,
        _ => return io::Error::other(error),
    };
    io::Error::new(kind, error)
}
