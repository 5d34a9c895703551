//! Nodes by number, names, and what they count for.

use std::collections::{BTreeMap, HashMap};
use std::time::{SystemTime, UNIX_EPOCH};

use super::{ENTRY_COST, PAGE, TmpfsOptions};
use crate::vfs::errno::{Errno, Result};
use crate::vfs::node::{FileKind, SetTime, SetTimes, Stat, Timestamp};

pub(super) type Ino = u64;

/// All nodes in one table, so that neither a deep tree nor a circle can make a walk or a clean-up recurse.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: HashMap<Ino, Node>,
    next: Ino,
    left: u64,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) content: Content,
    mode: u32,
    owner: (u32, u32),
    /// Names; of a directory 1 while it has its own.
    links: u64,
    /// Handles.
    held: u64,
    atime: Timestamp,
    pub(super) mtime: Timestamp,
    pub(super) ctime: Timestamp,
}

#[derive(Debug)]
pub(super) enum Content {
    Directory {
        names: BTreeMap<Vec<u8>, Ino>,
        above: Ino,
    },
    File(Pages),
    Symlink(Vec<u8>),
}

/// A file's data. A page that is not there is zeros.
#[derive(Debug, Default)]
pub(super) struct Pages {
    pub(super) len: u64,
    pub(super) pages: BTreeMap<u64, Box<[u8; PAGE]>>,
}

impl Content {
    pub(super) fn kind(&self) -> FileKind {
        match self {
            Self::Directory { .. } => FileKind::Directory,
            Self::File(_) => FileKind::File,
            Self::Symlink(_) => FileKind::Symlink,
        }
    }
}

impl Node {
    fn new(content: Content, mode: u32) -> Self {
        let now = now();
        Self {
            content,
            mode,
            owner: (0, 0),
            links: 1,
            held: 0,
            atime: now,
            mtime: now,
            ctime: now,
        }
    }

    pub(super) fn stat(&self, dev: u64, ino: Ino) -> Stat {
        Stat {
            dev,
            ino,
            kind: self.content.kind(),
            mode: self.mode,
            uid: self.owner.0,
            gid: self.owner.1,
            nlink: match self.content {
                Content::Directory { .. } if self.links > 0 => 2,
                _ => self.links,
            },
            size: match &self.content {
                Content::Directory { names, .. } => names.len() as u64 * 32,
                Content::File(pages) => pages.len,
                Content::Symlink(target) => target.len() as u64,
            },
            atime: self.atime,
            mtime: self.mtime,
            ctime: self.ctime,
        }
    }

    pub(super) fn touch(&mut self) {
        self.mtime = now();
        self.ctime = self.mtime;
    }

    pub(super) fn set_times(&mut self, times: SetTimes) -> Result<()> {
        let now = now();
        let value = |time, old| match time {
            SetTime::Omit => Ok(old),
            SetTime::Now => Ok(now),
            SetTime::At(Timestamp { nsec, .. }) if nsec >= 1_000_000_000 => Err(Errno::Invalid),
            SetTime::At(time) => Ok(time),
        };
        let (atime, mtime) = (
            value(times.atime, self.atime)?,
            value(times.mtime, self.mtime)?,
        );
        (self.atime, self.mtime, self.ctime) = (atime, mtime, now);
        Ok(())
    }

    fn cost(&self) -> u64 {
        match &self.content {
            Content::File(pages) => pages.pages.len() as u64 * PAGE as u64,
            Content::Symlink(target) => target.len() as u64,
            Content::Directory { .. } => 0,
        }
    }
}

impl Tree {
    pub(super) const ROOT: Ino = 1;

    pub(super) fn new(options: TmpfsOptions) -> Self {
        let TmpfsOptions {
            size,
            mode,
            uid,
            gid,
        } = options;
        let content = Content::Directory {
            names: BTreeMap::new(),
            above: Self::ROOT,
        };
        let root = Node {
            owner: (uid, gid),
            ..Node::new(content, mode & 0o7777)
        };
        Self {
            nodes: HashMap::from([(Self::ROOT, root)]),
            next: Self::ROOT + 1,
            left: size,
        }
    }

    /// A node that a handle or a name leads to, so it is there.
    pub(super) fn node(&self, ino: Ino) -> Result<&Node> {
        self.nodes.get(&ino).ok_or(Errno::NoEntry)
    }

    pub(super) fn node_mut(&mut self, ino: Ino) -> Result<&mut Node> {
        self.nodes.get_mut(&ino).ok_or(Errno::NoEntry)
    }

    /// Counts bytes that will be used.
    pub(super) fn take(&mut self, bytes: u64) -> Result<()> {
        self.left = self.left.checked_sub(bytes).ok_or(Errno::NoSpace)?;
        Ok(())
    }

    pub(super) fn give(&mut self, bytes: u64) {
        self.left = self.left.saturating_add(bytes);
    }

    pub(super) fn left(&self) -> u64 {
        self.left
    }

    pub(super) fn hold(&mut self, ino: Ino) {
        if let Some(node) = self.nodes.get_mut(&ino) {
            node.held += 1;
        }
    }

    pub(super) fn release(&mut self, ino: Ino) {
        if let Some(node) = self.nodes.get_mut(&ino) {
            node.held -= 1;
            self.forget_unused(ino);
        }
    }

    fn forget_unused(&mut self, ino: Ino) {
        if let Some(node) = self.nodes.get(&ino)
            && node.links == 0
            && node.held == 0
        {
            let cost = node.cost();
            self.nodes.remove(&ino);
            self.give(cost);
        }
    }

    /// The names in a directory that has one itself.
    fn names(&self, dir: Ino) -> Result<&BTreeMap<Vec<u8>, Ino>> {
        match self.node(dir)? {
            Node { links: 0, .. } => Err(Errno::NoEntry),
            Node {
                content: Content::Directory { names, .. },
                ..
            } => Ok(names),
            _ => Err(Errno::NotDir),
        }
    }

    fn names_mut(&mut self, dir: Ino) -> Result<&mut BTreeMap<Vec<u8>, Ino>> {
        match self.node_mut(dir)? {
            Node { links: 0, .. } => Err(Errno::NoEntry),
            node => {
                node.touch();
                match &mut node.content {
                    Content::Directory { names, .. } => Ok(names),
                    _ => Err(Errno::NotDir),
                }
            }
        }
    }

    pub(super) fn child(&self, dir: Ino, name: &[u8]) -> Result<Option<Ino>> {
        Ok(self.names(dir)?.get(name).copied())
    }

    pub(super) fn list(&self, dir: Ino) -> Result<Vec<(Vec<u8>, Ino, FileKind)>> {
        self.names(dir)?
            .iter()
            .map(|(name, &ino)| Ok((name.clone(), ino, self.node(ino)?.content.kind())))
            .collect()
    }

    /// Adds a new node under a free name.
    pub(super) fn add(
        &mut self,
        dir: Ino,
        name: &[u8],
        content: Content,
        mode: u32,
    ) -> Result<Ino> {
        if self.child(dir, name)?.is_some() {
            return Err(Errno::Exist);
        }
        let node = Node::new(content, mode);
        self.take(ENTRY_COST + node.cost())?;
        let ino = self.next;
        self.next += 1;
        self.nodes.insert(ino, node);
        self.names_mut(dir)?.insert(name.to_vec(), ino);
        Ok(ino)
    }

    pub(super) fn add_dir(&mut self, dir: Ino, name: &[u8], mode: u32) -> Result<Ino> {
        let content = Content::Directory {
            names: BTreeMap::new(),
            above: dir,
        };
        self.add(dir, name, content, mode)
    }

    /// Gives a node that is no directory a second name.
    pub(super) fn link(&mut self, ino: Ino, dir: Ino, name: &[u8]) -> Result<()> {
        if self.child(dir, name)?.is_some() {
            return Err(Errno::Exist);
        }
        self.take(ENTRY_COST)?;
        let node = self.node_mut(ino)?;
        node.links += 1;
        node.ctime = now();
        self.names_mut(dir)?.insert(name.to_vec(), ino);
        Ok(())
    }

    /// Takes a name away: a directory's, which must be empty, or another's.
    pub(super) fn remove(&mut self, dir: Ino, name: &[u8], directory: bool) -> Result<()> {
        let ino = self.child(dir, name)?.ok_or(Errno::NoEntry)?;
        match (&self.node(ino)?.content, directory) {
            (Content::Directory { names, .. }, true) if !names.is_empty() => {
                return Err(Errno::NotEmpty);
            }
            (Content::Directory { .. }, false) => return Err(Errno::IsDir),
            (Content::File(_) | Content::Symlink(_), true) => return Err(Errno::NotDir),
            _ => {}
        }
        self.names_mut(dir)?.remove(name);
        self.unlink(ino)
    }

    fn unlink(&mut self, ino: Ino) -> Result<()> {
        let node = self.node_mut(ino)?;
        node.links -= 1;
        node.ctime = now();
        self.give(ENTRY_COST);
        self.forget_unused(ino);
        Ok(())
    }

    /// Moves a name, replacing what is there, by POSIX' rules.
    pub(super) fn rename(&mut self, dir: Ino, name: &[u8], to: Ino, new: &[u8]) -> Result<()> {
        let ino = self.child(dir, name)?.ok_or(Errno::NoEntry)?;
        let is_dir = self.node(ino)?.content.kind() == FileKind::Directory;
        if is_dir && self.is_below(to, ino)? {
            return Err(Errno::Invalid);
        }
        let target = self.child(to, new)?;
        if target == Some(ino) {
            return Ok(());
        }
        if let Some(target) = target {
            match (&self.node(target)?.content, is_dir) {
                (Content::Directory { .. }, false) => return Err(Errno::IsDir),
                (Content::Directory { names, .. }, true) if !names.is_empty() => {
                    return Err(Errno::NotEmpty);
                }
                (Content::File(_) | Content::Symlink(_), true) => return Err(Errno::NotDir),
                _ => {}
            }
        }
        self.names_mut(dir)?.remove(name);
        self.names_mut(to)?.insert(new.to_vec(), ino);
        let node = self.node_mut(ino)?;
        node.ctime = now();
        if let Content::Directory { above, .. } = &mut node.content {
            *above = to;
        }
        match target {
            Some(target) => self.unlink(target),
            None => Ok(()),
        }
    }

    /// Is a directory another one, or below it?
    fn is_below(&self, mut dir: Ino, other: Ino) -> Result<bool> {
        loop {
            if dir == other {
                return Ok(true);
            }
            match self.node(dir)?.content {
                Content::Directory { above, .. } if above != dir => dir = above,
                _ => return Ok(false),
            }
        }
    }
}

pub(super) fn now() -> Timestamp {
    // A clock before 1970 is wrong anyway.
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp {
        sec: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        nsec: since.subsec_nanos(),
    }
}
