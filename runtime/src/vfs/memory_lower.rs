//! A lower whose tree is in memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::sync::Arc;

use super::lower::{Extent, Lower, NodeId, Visit};
use super::node::{FileKind, Stat, Timestamp};

/// A tree in memory, with all files' bytes one after the other in one host file: the packed form of an image in small.
///
/// An empty one is the lower of a container that has no image. It takes any names, those that no tree should have too,
/// so that tests can be hostile.
#[derive(Debug)]
pub struct MemoryLower {
    nodes: Vec<MemoryNode>,
    data: Arc<File>,
}

#[derive(Debug)]
struct MemoryNode {
    kind: FileKind,
    mode: u32,
    owner: (u32, u32),
    mtime: Timestamp,
    nlink: u64,
    children: BTreeMap<Vec<u8>, NodeId>,
    target: Vec<u8>,
    offset: u64,
    len: u64,
}

impl MemoryLower {
    /// Starts with an empty root. `data` will hold the files' bytes: an empty file, open for reading and writing.
    pub fn new(data: File) -> Self {
        Self {
            nodes: vec![node(FileKind::Directory, 0o755)],
            data: Arc::new(data),
        }
    }

    /// Adds an empty directory.
    ///
    /// # Errors
    /// When `parent` is no directory.
    pub fn add_dir(&mut self, parent: NodeId, name: &[u8], mode: u32) -> io::Result<NodeId> {
        self.add(parent, name, node(FileKind::Directory, mode))
    }

    /// Adds a file.
    ///
    /// # Errors
    /// When `parent` is no directory, or the bytes can't be written.
    pub fn add_file(
        &mut self,
        parent: NodeId,
        name: &[u8],
        mode: u32,
        content: &[u8],
    ) -> io::Result<NodeId> {
        let mut data: &File = &self.data;
        let offset = data.seek(io::SeekFrom::End(0))?;
        data.write_all(content)?;
        let len = content.len() as u64;
        self.add(
            parent,
            name,
            MemoryNode {
                offset,
                len,
                ..node(FileKind::File, mode)
            },
        )
    }

    /// Adds a symlink.
    ///
    /// # Errors
    /// When `parent` is no directory.
    pub fn add_symlink(
        &mut self,
        parent: NodeId,
        name: &[u8],
        target: &[u8],
    ) -> io::Result<NodeId> {
        self.add(
            parent,
            name,
            MemoryNode {
                target: target.to_vec(),
                ..node(FileKind::Symlink, 0o777)
            },
        )
    }

    /// Adds a device, pipe or socket.
    ///
    /// # Errors
    /// When `parent` is no directory.
    pub fn add_special(
        &mut self,
        parent: NodeId,
        name: &[u8],
        kind: FileKind,
    ) -> io::Result<NodeId> {
        self.add(parent, name, node(kind, 0o666))
    }

    /// Gives an entry a second name.
    ///
    /// # Errors
    /// When `parent` is no directory, or there is no such entry.
    pub fn add_link(&mut self, parent: NodeId, name: &[u8], to: NodeId) -> io::Result<()> {
        self.get_mut(to)?.nlink += 1;
        self.directory_mut(parent)?
            .children
            .insert(name.to_vec(), to);
        Ok(())
    }

    /// Sets an entry's time of last change.
    ///
    /// # Errors
    /// When there is no such entry.
    pub fn set_mtime(&mut self, node: NodeId, mtime: Timestamp) -> io::Result<()> {
        self.get_mut(node)?.mtime = mtime;
        Ok(())
    }

    /// Sets the numbers of an entry's owner and group.
    ///
    /// # Errors
    /// When there is no such entry.
    pub fn set_owner(&mut self, node: NodeId, owner: (u32, u32)) -> io::Result<()> {
        self.get_mut(node)?.owner = owner;
        Ok(())
    }

    fn add(&mut self, parent: NodeId, name: &[u8], node: MemoryNode) -> io::Result<NodeId> {
        let id = NodeId(self.nodes.len() as u64);
        self.directory_mut(parent)?
            .children
            .insert(name.to_vec(), id);
        self.nodes.push(node);
        Ok(id)
    }

    fn get(&self, node: NodeId) -> io::Result<&MemoryNode> {
        let index = usize::try_from(node.0).map_err(|_| io::ErrorKind::NotFound)?;
        self.nodes
            .get(index)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn get_mut(&mut self, node: NodeId) -> io::Result<&mut MemoryNode> {
        let index = usize::try_from(node.0).map_err(|_| io::ErrorKind::NotFound)?;
        self.nodes
            .get_mut(index)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn directory_mut(&mut self, node: NodeId) -> io::Result<&mut MemoryNode> {
        match self.get_mut(node)? {
            found if found.kind == FileKind::Directory => Ok(found),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }
}

fn node(kind: FileKind, mode: u32) -> MemoryNode {
    MemoryNode {
        kind,
        mode,
        owner: (0, 0),
        mtime: Timestamp::default(),
        nlink: 1,
        children: BTreeMap::new(),
        target: Vec::new(),
        offset: 0,
        len: 0,
    }
}

impl Lower for MemoryLower {
    fn root(&self) -> NodeId {
        NodeId(0)
    }

    fn lookup(&self, dir: NodeId, name: &[u8]) -> io::Result<Option<NodeId>> {
        Ok(self.get(dir)?.children.get(name).copied())
    }

    fn stat(&self, id: NodeId) -> io::Result<Stat> {
        let node = self.get(id)?;
        Ok(Stat {
            dev: 0,
            ino: id.0 + 1,
            kind: node.kind,
            mode: node.mode,
            uid: node.owner.0,
            gid: node.owner.1,
            nlink: node.nlink,
            size: node.len + node.target.len() as u64,
            atime: node.mtime,
            mtime: node.mtime,
            ctime: node.mtime,
        })
    }

    fn read_link(&self, id: NodeId) -> io::Result<Vec<u8>> {
        match self.get(id)? {
            node if node.kind == FileKind::Symlink => Ok(node.target.clone()),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    fn read_dir(&self, dir: NodeId, visit: Visit<'_>) -> io::Result<()> {
        self.get(dir)?
            .children
            .iter()
            .try_for_each(|(name, &child)| visit(name, child, self.get(child)?.kind))
    }

    fn open(&self, id: NodeId) -> io::Result<Extent> {
        match self.get(id)? {
            node if node.kind == FileKind::File => Ok(Extent {
                file: self.data.clone(),
                offset: node.offset,
                len: node.len,
            }),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }
}
