//! The content of one layer while its archive is read: names, and the nodes that they lead to.

use std::collections::BTreeMap;

use super::archive::Metadata;
use super::error::TarError;
use super::limits::{MAX_DEPTH, MAX_LINK_HOPS, MAX_TEXT_BYTES};
use super::path::text;

/// Number of a node in a [`Tree`].
pub(super) type NodeId = u32;

/// The root directory.
pub(super) const ROOT: NodeId = 0;

/// Mode of a directory that no entry names.
const IMPLICIT_MODE: u16 = 0o755;

/// Components of link targets that may be walked, for each name that a layer may have. Bounds the time for an archive in which
/// every path leads through long chains of links; a layer whose `/lib` is a link to `usr/lib` spends two for each file.
const LINK_PARTS_PER_NAME: u32 = 16;

/// What a node is.
#[derive(Debug)]
pub(super) enum Body {
    Directory(Directory),
    File {
        /// Where the content starts in the uncompressed archive.
        offset: u64,
        size: u64,
        /// For files that look like WebAssembly.
        sha256: Option<Box<[u8; 32]>>,
    },
    Symlink(Box<[u8]>),
    CharDevice {
        major: u32,
        minor: u32,
    },
    BlockDevice {
        major: u32,
        minor: u32,
    },
    Fifo,
}

#[derive(Debug, Default)]
pub(super) struct Directory {
    pub(super) names: BTreeMap<Box<[u8]>, Name>,
    /// Does it hide what lower layers have in it?
    pub(super) opaque: bool,
    /// Is it there only because something lies below it?
    pub(super) implicit: bool,
}

/// What a layer says about one name.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Name {
    /// What the layer has there.
    pub(super) node: Option<NodeId>,
    /// Does it remove what lower layers have there?
    pub(super) whiteout: bool,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) metadata: Metadata,
    pub(super) body: Body,
    /// Has a hard link been made to it, so that several names may lead here?
    pub(super) shared: bool,
}

/// The content of one layer.
///
/// Entries take effect in the order of the archive, as if they were unpacked: the last one of a name holds, and a symbolic link
/// of the same layer is followed on the way to an entry. What lower layers have plays no part.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    /// Names and nodes made so far.
    used: u32,
    /// Bytes of names, link targets and extended attributes taken so far.
    text: u64,
    /// Components of link targets walked so far.
    followed: u32,
    limit: u32,
}

impl Tree {
    pub(super) fn new(limit: u32) -> Self {
        Self {
            nodes: vec![implicit_directory()],
            used: 1,
            text: 0,
            followed: 0,
            limit,
        }
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id as usize]
    }

    /// Puts a node at a path, in place of what was there. A directory over a directory changes only its metadata.
    pub(super) fn put(
        &mut self,
        path: &[&[u8]],
        metadata: Metadata,
        body: Body,
    ) -> Result<(), TarError> {
        let is_directory = matches!(body, Body::Directory(_));
        let Some((name, parents)) = path.split_last() else {
            if !is_directory {
                return Err(TarError::Root);
            }
            self.describe(ROOT, metadata);
            return Ok(());
        };
        let parent = self.make_parent(parents, path)?;
        if is_directory
            && let Some(old) = self.child(parent, name)
            && matches!(self.node(old).body, Body::Directory(_))
        {
            self.describe(old, metadata);
            return Ok(());
        }
        let node = self.add(metadata, body)?;
        self.name(parent, name)?.node = Some(node);
        Ok(())
    }

    /// Gives a node that exists one more name.
    pub(super) fn link(&mut self, path: &[&[u8]], target: &[&[u8]]) -> Result<(), TarError> {
        let joined = |parts: &[&[u8]]| text(&parts.join(&b'/'));
        let (Some((name, parents)), Some((last, above))) = (path.split_last(), target.split_last())
        else {
            return Err(TarError::Root);
        };
        let found = self
            .walk(above, target, false)?
            .and_then(|directory| self.child(directory, last));
        let Some(node) = found else {
            return Err(TarError::LinkTarget {
                path: joined(path),
                target: joined(target),
            });
        };
        if matches!(self.node(node).body, Body::Directory(_)) {
            return Err(TarError::LinkToDirectory {
                path: joined(path),
                target: joined(target),
            });
        }
        let parent = self.make_parent(parents, path)?;
        self.name(parent, name)?.node = Some(node);
        self.nodes[node as usize].shared = true;
        Ok(())
    }

    /// Removes a name from lower layers.
    pub(super) fn white_out(&mut self, parents: &[&[u8]], name: &[u8]) -> Result<(), TarError> {
        let parent = self.make_parent(parents, &[parents, &[name]].concat())?;
        self.name(parent, name)?.whiteout = true;
        Ok(())
    }

    /// Hides all that lower layers have in a directory.
    pub(super) fn hide_lower(&mut self, path: &[&[u8]]) -> Result<(), TarError> {
        let directory = self.make_parent(path, path)?;
        if let Body::Directory(directory) = &mut self.nodes[directory as usize].body {
            directory.opaque = true;
        }
        Ok(())
    }

    fn describe(&mut self, directory: NodeId, metadata: Metadata) {
        let node = &mut self.nodes[directory as usize];
        node.metadata = metadata;
        if let Body::Directory(directory) = &mut node.body {
            directory.implicit = false;
        }
    }

    fn child(&self, directory: NodeId, name: &[u8]) -> Option<NodeId> {
        match &self.node(directory).body {
            Body::Directory(directory) => directory.names.get(name)?.node,
            _ => None,
        }
    }

    /// Returns what the layer says about a name in a directory; at first, nothing.
    fn name(&mut self, directory: NodeId, name: &[u8]) -> Result<&mut Name, TarError> {
        self.count(name.len())?;
        match &mut self.nodes[directory as usize].body {
            Body::Directory(directory) => Ok(directory.names.entry(name.into()).or_default()),
            _ => Err(TarError::NotDirectory {
                path: text(name),
                parent: String::new(),
            }),
        }
    }

    fn add(&mut self, metadata: Metadata, body: Body) -> Result<NodeId, TarError> {
        let target = match &body {
            Body::Symlink(target) => target.len(),
            _ => 0,
        };
        self.count(target + metadata.xattrs.as_ref().map_or(0, |xattrs| xattrs.len()))?;
        let id = self.nodes.len() as NodeId;
        self.nodes.push(Node {
            metadata,
            body,
            shared: false,
        });
        Ok(id)
    }

    /// Counts work rather than what is left, so that an archive that replaces one name forever ends as well. A file counts
    /// twice, once for its node and once for its name, hence the doubled limit.
    fn count(&mut self, text: usize) -> Result<(), TarError> {
        self.used = self.used.saturating_add(1);
        if self.used > self.limit.saturating_mul(2) {
            return Err(TarError::TooManyNames { limit: self.limit });
        }
        self.text = self.text.saturating_add(text as u64);
        if self.text > u64::from(MAX_TEXT_BYTES) {
            return Err(TarError::TooMuchText);
        }
        Ok(())
    }

    fn make_parent(&mut self, parents: &[&[u8]], path: &[&[u8]]) -> Result<NodeId, TarError> {
        Ok(self.walk(parents, path, true)?.unwrap_or(ROOT))
    }

    /// Goes to a directory, through symbolic links of this layer. Makes what is missing, or returns `None`.
    ///
    /// `path` is what the walk is for, for messages.
    fn walk(
        &mut self,
        parts: &[&[u8]],
        path: &[&[u8]],
        make: bool,
    ) -> Result<Option<NodeId>, TarError> {
        let joined = || text(&path.join(&b'/'));
        let mut way = vec![ROOT];
        let mut ahead: Vec<Box<[u8]>> = parts.iter().rev().map(|part| Box::from(*part)).collect();
        let mut hops = 0;
        while let Some(part) = ahead.pop() {
            let here = way.last().copied().unwrap_or(ROOT);
            match &*part {
                b"" | b"." => continue,
                b".." => {
                    // The root is its own parent.
                    way.truncate((way.len() - 1).max(1));
                    continue;
                }
                _ => {}
            }
            let child = match self.child(here, &part) {
                Some(child) => child,
                None if !make => return Ok(None),
                None => {
                    let Node { metadata, body, .. } = implicit_directory();
                    let child = self.add(metadata, body)?;
                    self.name(here, &part)?.node = Some(child);
                    child
                }
            };
            match &self.node(child).body {
                Body::Directory(_) => way.push(child),
                Body::Symlink(target) => {
                    hops += 1;
                    if hops > MAX_LINK_HOPS {
                        return Err(TarError::Loop { path: joined() });
                    }
                    if target.starts_with(b"/") {
                        way.truncate(1);
                    }
                    let parts = target.split(|byte| *byte == b'/');
                    let before = ahead.len();
                    ahead.extend(parts.rev().map(Box::from));
                    let added = (ahead.len() - before) as u32;
                    self.followed = self.followed.saturating_add(added);
                    if self.followed > self.limit.saturating_mul(LINK_PARTS_PER_NAME) {
                        return Err(TarError::Loop { path: joined() });
                    }
                }
                _ => {
                    return Err(TarError::NotDirectory {
                        path: joined(),
                        parent: text(&part),
                    });
                }
            }
            if way.len() > MAX_DEPTH {
                return Err(TarError::TooDeep { path: joined() });
            }
        }
        Ok(way.last().copied())
    }
}

fn implicit_directory() -> Node {
    Node {
        metadata: Metadata {
            mode: IMPLICIT_MODE,
            ..Metadata::default()
        },
        body: Body::Directory(Directory {
            implicit: true,
            ..Directory::default()
        }),
        shared: false,
    }
}
