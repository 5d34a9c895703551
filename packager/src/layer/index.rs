//! Reads an index where it lies. `format` describes the bytes.

use std::cmp::Ordering;
use std::ops::Range;

use super::error::IndexError;
use super::format::{
    self, DIGEST_LEN, HEADER_LEN, LAYER_LEN, MAGIC, NODE_LEN, NONE, NodeKind, VERSION,
};
use super::xattr::Xattrs;

/// A tree of files: one layer, or an image's layers merged.
///
/// `B` is usually a mapped file. Opening checks the header only, so it costs the same whatever the number of files. Every
/// other method checks what it reads: a damaged index yields an error, never a panic, and no walk over it is endless, because
/// each node belongs to one directory, which comes before it.
///
/// Nodes are numbered from [`TreeIndex::root`]; the number of a node is its identity as long as the index exists.
#[derive(Debug)]
pub struct TreeIndex<B> {
    bytes: B,
    sections: Sections,
}

#[derive(Clone, Debug)]
struct Sections {
    nodes: u32,
    layers: u32,
    digests: u32,
    layer_table: Range<usize>,
    digest_table: Range<usize>,
    strings: Range<usize>,
    attributes: Range<usize>,
}

/// One name in a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node<'a> {
    /// The last component of its path; empty for the root. Bytes, in no encoding.
    pub name: &'a [u8],
    /// What it is.
    pub kind: NodeKind,
    /// Permission bits with set-user-id, set-group-id and sticky: 12 bits, no file type.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of modification, seconds since 1970.
    pub mtime_sec: i64,
    /// Time of modification, nanoseconds after [`Node::mtime_sec`].
    pub mtime_nsec: u32,
    /// Bytes of content; 0 for all but files.
    pub size: u64,
    /// Number of the layer whose tar has the content, base first.
    pub layer: u32,
    /// Where the content of a file starts in that tar.
    pub offset: u64,
    /// Target of a symbolic link, as written; else empty.
    pub link: &'a [u8],
    /// Equal for all hard links to one file, different for all else.
    pub inode: u32,
    /// Names that lead to this file. 1 for directories.
    pub nlink: u32,
    /// The sha256 of a file that starts with `\0asm`, so that its compiled code can be found without reading it.
    pub sha256: Option<[u8; 32]>,
    /// Major and minor number of a device; else zeros.
    pub device: (u32, u32),
    /// Extended attributes.
    pub xattrs: Xattrs<'a>,
    /// Does it remove what lower layers have under this name? A file with it is nothing else. In single layers only.
    pub whiteout: bool,
    /// Does it hide what lower layers have in this directory? In single layers only.
    pub opaque: bool,
    /// Is it a directory that no entry names?
    pub implicit: bool,
}

impl<B: AsRef<[u8]>> TreeIndex<B> {
    /// Opens an index.
    ///
    /// # Errors
    ///
    /// The bytes are no index, of another version, or not as long as their header says.
    pub fn open(bytes: B) -> Result<Self, IndexError> {
        let sections = Sections::read(bytes.as_ref())?;
        Ok(Self { bytes, sections })
    }

    /// Returns the root directory.
    pub fn root(&self) -> u32 {
        0
    }

    /// Returns the number of nodes: all numbers below it are nodes.
    pub fn node_count(&self) -> u32 {
        self.sections.nodes
    }

    /// Returns the number of layers.
    pub fn layer_count(&self) -> u32 {
        self.sections.layers
    }

    /// Returns the diff ID of a layer.
    ///
    /// # Errors
    ///
    /// There is no such layer, or the index is damaged.
    pub fn diff_id(&self, layer: u32) -> Result<&str, IndexError> {
        if layer >= self.sections.layers {
            return Err(self.bounds("layers"));
        }
        let start = self.sections.layer_table.start + layer as usize * LAYER_LEN;
        let offset = self.u32_at(start)?;
        let len = self.u32_at(start + 4)?;
        let bytes = self.string(offset, len)?;
        std::str::from_utf8(bytes).map_err(|_| self.bounds("layers"))
    }

    /// Returns the node with this name in a directory.
    ///
    /// # Errors
    ///
    /// `dir` is no directory, or the index is damaged.
    pub fn lookup(&self, dir: u32, name: &[u8]) -> Result<Option<u32>, IndexError> {
        let Range { mut start, mut end } = self.child_range(dir)?;
        while start < end {
            let middle = start + (end - start) / 2;
            match self.name(middle)?.cmp(name) {
                Ordering::Less => start = middle + 1,
                Ordering::Greater => end = middle,
                Ordering::Equal => {
                    self.check_parent(middle, dir)?;
                    return Ok(Some(middle));
                }
            }
        }
        Ok(None)
    }

    /// Returns the nodes in a directory, sorted by the bytes of their names.
    ///
    /// # Errors
    ///
    /// `dir` is no directory, or the index is damaged.
    pub fn children(&self, dir: u32) -> Result<Range<u32>, IndexError> {
        let range = self.child_range(dir)?;
        for child in range.clone() {
            self.check_parent(child, dir)?;
        }
        Ok(range)
    }

    /// Returns the directory that holds a node; the root holds itself.
    ///
    /// # Errors
    ///
    /// There is no such node, or the index is damaged.
    pub fn parent(&self, node: u32) -> Result<u32, IndexError> {
        let parent = self.u32_at(self.at(node)? + format::node::PARENT)?;
        match parent < node || node == 0 && parent == 0 {
            true => Ok(parent),
            false => Err(damaged(node, "parent")),
        }
    }

    /// Returns a node.
    ///
    /// # Errors
    ///
    /// There is no such node, or the index is damaged.
    pub fn node(&self, node: u32) -> Result<Node<'_>, IndexError> {
        use format::node as at;

        let start = self.at(node)?;
        let [kind, flags] = self.array(start + at::KIND)?;
        let kind = NodeKind::from_code(kind).ok_or_else(|| damaged(node, "kind"))?;
        if flags & !(format::WHITEOUT | format::OPAQUE | format::IMPLICIT) != 0 {
            return Err(damaged(node, "flags"));
        }
        let place = self.u64_at(start + at::PLACE)?;
        let layer = self.u32_at(start + at::LAYER)?;
        // A tree without layers has only its root.
        if layer >= self.sections.layers.max(1) {
            return Err(damaged(node, "layer"));
        }
        let inode = self.u32_at(start + at::INODE)?;
        if inode >= self.sections.nodes {
            return Err(damaged(node, "inode"));
        }
        let size = match kind {
            NodeKind::File => self.u64_at(start + at::SIZE)?,
            _ => 0,
        };
        let offset = match kind {
            NodeKind::File => place,
            _ => 0,
        };
        // Readers add them up.
        if offset
            .checked_add(size)
            .is_none_or(|end| end > i64::MAX as u64)
        {
            return Err(damaged(node, "size"));
        }
        let link = match kind {
            NodeKind::Symlink => self.string(
                self.u32_at(start + at::LINK)?,
                self.u16_at(start + at::LINK_LEN)?.into(),
            )?,
            _ => b"",
        };
        let device = match kind {
            NodeKind::CharDevice | NodeKind::BlockDevice => ((place >> 32) as u32, place as u32),
            _ => (0, 0),
        };
        Ok(Node {
            name: self.name(node)?,
            kind,
            mode: (self.u16_at(start + at::MODE)? & 0o7777).into(),
            uid: self.u32_at(start + at::UID)?,
            gid: self.u32_at(start + at::GID)?,
            mtime_sec: i64::from_le_bytes(self.array(start + at::MTIME)?),
            mtime_nsec: self.u32_at(start + at::MTIME_NSEC)?,
            size,
            layer,
            offset,
            link,
            inode,
            nlink: self.u32_at(start + at::NLINK)?,
            sha256: self.digest(node, self.u32_at(start + at::DIGEST)?)?,
            device,
            xattrs: self.xattrs(node, self.u32_at(start + at::ATTRIBUTES)?)?,
            whiteout: flags & format::WHITEOUT != 0,
            opaque: flags & format::OPAQUE != 0,
            implicit: flags & format::IMPLICIT != 0,
        })
    }

    /// The children that a directory claims. They come after it, so that no walk is endless.
    fn child_range(&self, dir: u32) -> Result<Range<u32>, IndexError> {
        let start = self.at(dir)?;
        let [kind] = self.array(start + format::node::KIND)?;
        if kind != NodeKind::Directory.code() {
            return Err(IndexError::NotDirectory { node: dir });
        }
        let place = self.u64_at(start + format::node::PLACE)?;
        let (first, count) = ((place >> 32) as u32, place as u32);
        let end = first
            .checked_add(count)
            .filter(|end| *end <= self.sections.nodes && (count == 0 || first > dir))
            .ok_or_else(|| damaged(dir, "children"))?;
        Ok(first..end)
    }

    fn check_parent(&self, node: u32, dir: u32) -> Result<(), IndexError> {
        match self.u32_at(self.at(node)? + format::node::PARENT)? == dir {
            true => Ok(()),
            false => Err(damaged(node, "parent")),
        }
    }

    fn name(&self, node: u32) -> Result<&[u8], IndexError> {
        let start = self.at(node)?;
        let offset = self.u32_at(start + format::node::NAME)?;
        let len = self.u16_at(start + format::node::NAME_LEN)?;
        self.string(offset, len.into())
    }

    fn digest(&self, node: u32, digest: u32) -> Result<Option<[u8; 32]>, IndexError> {
        if digest == NONE {
            return Ok(None);
        }
        if digest >= self.sections.digests {
            return Err(damaged(node, "digest"));
        }
        let start = self.sections.digest_table.start + digest as usize * DIGEST_LEN;
        self.array(start).map(Some)
    }

    fn xattrs(&self, node: u32, offset: u32) -> Result<Xattrs<'_>, IndexError> {
        if offset == NONE {
            return Ok(Xattrs::new(node, &[]));
        }
        let found = (|| {
            let section = self.bytes.as_ref().get(self.sections.attributes.clone())?;
            let (len, rest) = section.get(offset as usize..)?.split_first_chunk::<4>()?;
            rest.get(..usize::try_from(u32::from_le_bytes(*len)).ok()?)
        })();
        let bytes = found.ok_or_else(|| damaged(node, "attributes"))?;
        Ok(Xattrs::new(node, bytes))
    }

    fn string(&self, offset: u32, len: u32) -> Result<&[u8], IndexError> {
        let strings = self.bytes.as_ref().get(self.sections.strings.clone());
        let end = offset.checked_add(len);
        strings
            .zip(end)
            .and_then(|(strings, end)| strings.get(offset as usize..end as usize))
            .ok_or_else(|| self.bounds("strings"))
    }

    /// Offset of a node's record.
    fn at(&self, node: u32) -> Result<usize, IndexError> {
        match node < self.sections.nodes {
            true => Ok(HEADER_LEN + node as usize * NODE_LEN),
            false => Err(self.bounds("nodes")),
        }
    }

    fn array<const N: usize>(&self, at: usize) -> Result<[u8; N], IndexError> {
        array(self.bytes.as_ref(), at)
    }

    fn u16_at(&self, at: usize) -> Result<u16, IndexError> {
        self.array(at).map(u16::from_le_bytes)
    }

    fn u32_at(&self, at: usize) -> Result<u32, IndexError> {
        self.array(at).map(u32::from_le_bytes)
    }

    fn u64_at(&self, at: usize) -> Result<u64, IndexError> {
        self.array(at).map(u64::from_le_bytes)
    }

    fn bounds(&self, section: &'static str) -> IndexError {
        IndexError::Bounds {
            section,
            len: self.bytes.as_ref().len(),
        }
    }
}

impl Sections {
    fn read(bytes: &[u8]) -> Result<Self, IndexError> {
        use format::header as at;

        let number = |at| array(bytes, at).map(u32::from_le_bytes);
        let length = |at| array(bytes, at).map(u64::from_le_bytes);
        if bytes.get(..MAGIC.len()) != Some(MAGIC) {
            return Err(IndexError::Magic);
        }
        let version = number(at::VERSION)?;
        if version != VERSION {
            return Err(IndexError::Version {
                got: version,
                want: VERSION,
            });
        }
        let nodes = number(at::NODES)?;
        let layers = number(at::LAYERS)?;
        let digests = number(at::DIGESTS)?;
        let mut end = HEADER_LEN;
        let mut section = |section, len: Option<usize>| {
            let start = end;
            let bound = len.and_then(|len| start.checked_add(len));
            end = bound
                .filter(|end| *end <= bytes.len())
                .ok_or(IndexError::Bounds {
                    section,
                    len: bytes.len(),
                })?;
            Ok(start..end)
        };
        let times = |count: u32, len: usize| (count as usize).checked_mul(len);
        let nodes_range: Range<usize> = section("nodes", times(nodes, NODE_LEN))?;
        let sections = Self {
            nodes,
            layers,
            digests,
            layer_table: section("layers", times(layers, LAYER_LEN))?,
            digest_table: section("digests", times(digests, DIGEST_LEN))?,
            strings: section("strings", usize::try_from(length(at::STRINGS)?).ok())?,
            attributes: section("attributes", usize::try_from(length(at::ATTRIBUTES)?).ok())?,
        };
        let complete = end == bytes.len() && length(at::TOTAL)? == bytes.len() as u64;
        if nodes_range.is_empty() || !complete {
            return Err(IndexError::Bounds {
                section: "contents",
                len: bytes.len(),
            });
        }
        Ok(sections)
    }
}

fn damaged(node: u32, field: &'static str) -> IndexError {
    IndexError::Node { node, field }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], IndexError> {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .ok_or(IndexError::Bounds {
            section: "contents",
            len: bytes.len(),
        })
}
