//! Writes an index. `format` describes the bytes.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Write};

use crate::digest::Digest;

use super::archive::Metadata;
use super::error::IndexError;
use super::format::{self, HEADER_LEN, LAYER_LEN, MAGIC, NODE_LEN, NONE, NodeKind, VERSION};
use super::limits::MAX_TEXT_BYTES;
use super::tree::{Body, NodeId, ROOT, Tree};

/// What one node holds, except for its children.
#[derive(Debug)]
pub(super) struct Record<'a> {
    pub(super) name: &'a [u8],
    pub(super) kind: NodeKind,
    pub(super) flags: u8,
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime_sec: i64,
    pub(super) mtime_nsec: u32,
    pub(super) layer: u32,
    pub(super) size: u64,
    /// Offset of a file's content, or numbers of a device.
    pub(super) place: u64,
    pub(super) link: &'a [u8],
    pub(super) sha256: Option<[u8; 32]>,
    pub(super) xattrs: &'a [u8],
    pub(super) parent: u32,
    /// Equal for all hard links to one file; `None` for what has one name.
    pub(super) share: Option<u64>,
}

/// Collects the sections of an index. Nodes are pushed in the order in which they will lie.
#[derive(Debug)]
pub(super) struct Encoder {
    nodes: Vec<u8>,
    layers: Vec<u8>,
    digests: Vec<u8>,
    strings: Vec<u8>,
    attributes: Vec<u8>,
    /// The nodes of each hard-linked file.
    shared: HashMap<u64, Vec<u32>>,
    limit: u32,
}

impl Encoder {
    /// Starts an index over layers with these diff IDs, base first.
    pub(super) fn new(diff_ids: &[Digest], limit: u32) -> Result<Self, IndexError> {
        let mut encoder = Self {
            nodes: Vec::new(),
            layers: Vec::with_capacity(diff_ids.len() * LAYER_LEN),
            digests: Vec::new(),
            strings: Vec::new(),
            attributes: Vec::new(),
            shared: HashMap::new(),
            limit,
        };
        for diff_id in diff_ids {
            let text = diff_id.to_string();
            let offset = encoder.string(text.as_bytes())?;
            encoder.layers.extend_from_slice(&offset.to_le_bytes());
            let len = text.len() as u32;
            encoder.layers.extend_from_slice(&len.to_le_bytes());
        }
        Ok(encoder)
    }

    /// Adds a node and returns its number.
    pub(super) fn push(&mut self, record: &Record<'_>) -> Result<u32, IndexError> {
        use format::node as at;

        let number = self.node_count();
        if number >= self.limit {
            return Err(IndexError::TooLarge {
                what: "names",
                limit: self.limit.into(),
            });
        }
        let name = self.string(record.name)?;
        let link = self.string(record.link)?;
        let digest = match record.sha256 {
            Some(sha256) => {
                let digest = (self.digests.len() / sha256.len()) as u32;
                self.digests.extend_from_slice(&sha256);
                digest
            }
            None => NONE,
        };
        let attributes = self.attributes(record.xattrs)?;
        let inode = match record.share {
            Some(share) => {
                let names = self.shared.entry(share).or_default();
                names.push(number);
                names.first().copied().unwrap_or(number)
            }
            None => number,
        };

        let start = self.nodes.len();
        self.nodes.resize(start + NODE_LEN, 0);
        let node = &mut self.nodes[start..];
        let mut put = |at: usize, bytes: &[u8]| node[at..at + bytes.len()].copy_from_slice(bytes);
        put(at::NAME, &name.to_le_bytes());
        put(at::NAME_LEN, &(record.name.len() as u16).to_le_bytes());
        put(at::KIND, &[record.kind.code()]);
        put(at::FLAGS, &[record.flags]);
        put(at::MODE, &record.mode.to_le_bytes());
        put(at::LINK_LEN, &(record.link.len() as u16).to_le_bytes());
        put(at::LINK, &link.to_le_bytes());
        put(at::UID, &record.uid.to_le_bytes());
        put(at::GID, &record.gid.to_le_bytes());
        put(at::MTIME, &record.mtime_sec.to_le_bytes());
        put(at::MTIME_NSEC, &record.mtime_nsec.to_le_bytes());
        put(at::LAYER, &record.layer.to_le_bytes());
        put(at::SIZE, &record.size.to_le_bytes());
        put(at::PLACE, &record.place.to_le_bytes());
        put(at::INODE, &inode.to_le_bytes());
        put(at::NLINK, &1u32.to_le_bytes());
        put(at::DIGEST, &digest.to_le_bytes());
        put(at::ATTRIBUTES, &attributes.to_le_bytes());
        put(at::PARENT, &record.parent.to_le_bytes());
        Ok(number)
    }

    /// Tells a directory that the nodes from `first` up to the last one pushed are its children.
    pub(super) fn close(&mut self, directory: u32, first: u32) {
        let count = self.node_count() - first;
        let place = u64::from(first) << 32 | u64::from(count);
        self.patch(directory, format::node::PLACE, &place.to_le_bytes());
    }

    pub(super) fn node_count(&self) -> u32 {
        (self.nodes.len() / NODE_LEN) as u32
    }

    /// Writes the index.
    pub(super) fn write(mut self, out: &mut impl Write) -> io::Result<()> {
        for names in std::mem::take(&mut self.shared).into_values() {
            let count = names.len() as u32;
            for name in names {
                self.patch(name, format::node::NLINK, &count.to_le_bytes());
            }
        }
        let sections = [
            &self.nodes,
            &self.layers,
            &self.digests,
            &self.strings,
            &self.attributes,
        ];
        out.write_all(&self.header(sections.iter().map(|section| section.len()).sum()))?;
        for section in sections {
            out.write_all(section)?;
        }
        Ok(())
    }

    fn header(&self, body: usize) -> [u8; HEADER_LEN] {
        use format::header as at;

        let mut header = [0; HEADER_LEN];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        let layers = (self.layers.len() / LAYER_LEN) as u32;
        let digests = (self.digests.len() / format::DIGEST_LEN) as u32;
        put(0, MAGIC);
        put(at::VERSION, &VERSION.to_le_bytes());
        put(at::NODES, &self.node_count().to_le_bytes());
        put(at::LAYERS, &layers.to_le_bytes());
        put(at::DIGESTS, &digests.to_le_bytes());
        put(at::STRINGS, &(self.strings.len() as u64).to_le_bytes());
        put(
            at::ATTRIBUTES,
            &(self.attributes.len() as u64).to_le_bytes(),
        );
        put(at::TOTAL, &((HEADER_LEN + body) as u64).to_le_bytes());
        header
    }

    fn patch(&mut self, node: u32, at: usize, bytes: &[u8]) {
        let start = node as usize * NODE_LEN + at;
        self.nodes[start..start + bytes.len()].copy_from_slice(bytes);
    }

    fn string(&mut self, text: &[u8]) -> Result<u32, IndexError> {
        append(&mut self.strings, "bytes of names", &[text])
    }

    fn attributes(&mut self, xattrs: &[u8]) -> Result<u32, IndexError> {
        if xattrs.is_empty() {
            return Ok(NONE);
        }
        let len = (xattrs.len() as u32).to_le_bytes();
        let what = "bytes of extended attributes";
        append(&mut self.attributes, what, &[&len, xattrs])
    }
}

/// Appends to a section whose offsets have 32 bits, and returns where.
fn append(section: &mut Vec<u8>, what: &'static str, parts: &[&[u8]]) -> Result<u32, IndexError> {
    let offset = section.len() as u32;
    for part in parts {
        section.extend_from_slice(part);
    }
    match section.len() > MAX_TEXT_BYTES as usize {
        true => Err(IndexError::TooLarge {
            what,
            limit: MAX_TEXT_BYTES.into(),
        }),
        false => Ok(offset),
    }
}

/// Makes the index of a single layer.
pub(super) fn encode(tree: &Tree, diff_id: &Digest, limit: u32) -> Result<Encoder, IndexError> {
    let mut encoder = Encoder::new(std::slice::from_ref(diff_id), limit)?;
    encoder.push(&record(tree, b"", Some(ROOT), false, 0))?;
    let mut queue = VecDeque::from([(ROOT, 0)]);
    while let Some((id, number)) = queue.pop_front() {
        let Body::Directory(directory) = &tree.node(id).body else {
            continue;
        };
        let first = encoder.node_count();
        for (name, entry) in &directory.names {
            let child = encoder.push(&record(tree, name, entry.node, entry.whiteout, number))?;
            if let Some(node) = entry.node
                && matches!(tree.node(node).body, Body::Directory(_))
            {
                queue.push_back((node, child));
            }
        }
        encoder.close(number, first);
    }
    Ok(encoder)
}

fn record<'a>(
    tree: &'a Tree,
    name: &'a [u8],
    id: Option<NodeId>,
    whiteout: bool,
    parent: u32,
) -> Record<'a> {
    static NOTHING: Metadata = Metadata {
        mode: 0,
        uid: 0,
        gid: 0,
        mtime_sec: 0,
        mtime_nsec: 0,
        xattrs: None,
    };
    let node = id.map(|id| tree.node(id));
    let metadata = node.map_or(&NOTHING, |node| &node.metadata);
    let mut record = Record {
        name,
        kind: NodeKind::File,
        flags: 0,
        mode: metadata.mode,
        uid: metadata.uid,
        gid: metadata.gid,
        mtime_sec: metadata.mtime_sec,
        mtime_nsec: metadata.mtime_nsec,
        layer: 0,
        size: 0,
        place: 0,
        link: b"",
        sha256: None,
        xattrs: metadata.xattrs.as_deref().unwrap_or_default(),
        parent,
        share: id.filter(|id| tree.node(*id).shared).map(u64::from),
    };
    let device = |major: u32, minor: u32| u64::from(major) << 32 | u64::from(minor);
    match node.map(|node| &node.body) {
        None => record.flags = format::WHITEOUT,
        Some(Body::File {
            offset,
            size,
            sha256,
        }) => {
            record.size = *size;
            record.place = *offset;
            record.sha256 = sha256.as_deref().copied();
        }
        Some(Body::Directory(directory)) => {
            record.kind = NodeKind::Directory;
            // Only a directory needs the flag beside a node: all else replaces what lower layers have anyway.
            if whiteout {
                record.flags |= format::WHITEOUT;
            }
            if directory.opaque {
                record.flags |= format::OPAQUE;
            }
            if directory.implicit {
                record.flags |= format::IMPLICIT;
            }
        }
        Some(Body::Symlink(target)) => {
            record.kind = NodeKind::Symlink;
            record.link = target;
        }
        Some(Body::CharDevice { major, minor }) => {
            record.kind = NodeKind::CharDevice;
            record.place = device(*major, *minor);
        }
        Some(Body::BlockDevice { major, minor }) => {
            record.kind = NodeKind::BlockDevice;
            record.place = device(*major, *minor);
        }
        Some(Body::Fifo) => record.kind = NodeKind::Fifo,
    }
    record
}
