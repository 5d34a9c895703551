//! The index of a layer or of an image's merged layers, version 1.
//!
//! An index is read where it lies, usually mapped: opening it costs the same for ten files and for a million. All numbers
//! are little endian. In this order, without gaps:
//!
//! | section | content |
//! |---|---|
//! | header | 128 bytes, below |
//! | nodes | one record of 80 bytes for each name, below |
//! | layers | for each layer, base first: `u32` offset and `u32` length of its diff ID in the strings |
//! | digests | 32 bytes each: sha256 of the files that look like WebAssembly |
//! | strings | names, link targets and diff IDs, without terminators |
//! | attributes | for each node that has any: `u32` length, then the attributes (`xattr`) |
//!
//! Header:
//!
//! | at | type | field |
//! |---|---|---|
//! | 0 | 8 bytes | `CRCLTREE` |
//! | 8 | u32 | version: 1 |
//! | 12 | u32 | number of nodes, at least 1 |
//! | 16 | u32 | number of layers |
//! | 20 | u32 | number of digests |
//! | 24 | u64 | bytes of strings |
//! | 32 | u64 | bytes of attributes |
//! | 40 | u64 | bytes of the whole index, so that a cut file is noticed |
//! | 48 | | zeros |
//!
//! Where each section starts follows from the sizes of those before it.
//!
//! Node:
//!
//! | at | type | field |
//! |---|---|---|
//! | 0 | u32, u16 | offset and length of the name in the strings; the root's is empty |
//! | 6 | u8 | kind: 1 file, 2 directory, 3 symbolic link, 4 character device, 5 block device, 6 fifo |
//! | 7 | u8 | flags: 1 whiteout, 2 opaque, 4 implicit |
//! | 8 | u16 | mode, 12 bits |
//! | 10 | u16 | length of the link target |
//! | 12 | u32 | offset of the link target in the strings |
//! | 16 | u32, u32 | owner and group |
//! | 24 | i64, u32 | time of modification: seconds since 1970, nanoseconds |
//! | 36 | u32 | layer: its number in the section |
//! | 40 | u64 | size of a file |
//! | 48 | u64 | file: where its content starts in the layer's tar; device: major << 32 \| minor; directory: first child << 32 \| number of children |
//! | 56 | u32 | inode: number of the first node of the same hard-linked file, else its own |
//! | 60 | u32 | number of names of this file |
//! | 64 | u32 | number of its digest, or all ones |
//! | 68 | u32 | offset of its attributes, or all ones |
//! | 72 | u32 | number of the directory that holds it; 0 for the root |
//! | 76 | | zeros |
//!
//! Nodes are in breadth-first order from the root, which is node 0, and children are sorted by the bytes of their names. So a
//! directory's children lie together, after the directory itself, and a name is found by binary search.
//!
//! A directory with the flag *implicit* is there only because something lies below it: no entry gave it an owner or a mode. The
//! other two flags occur in single layers only. *Whiteout* says that what lower layers have under this name is removed; a file
//! with it is that and nothing else. *Opaque* says that a directory hides what lower layers have in it.

/// First bytes of an index.
pub(super) const MAGIC: &[u8; 8] = b"CRCLTREE";
/// The version that is written and read.
pub(super) const VERSION: u32 = 1;
/// Bytes of the header.
pub(super) const HEADER_LEN: usize = 128;
/// Bytes of a node.
pub(super) const NODE_LEN: usize = 80;
/// Bytes of an entry of the layer section.
pub(super) const LAYER_LEN: usize = 8;
/// Bytes of a digest.
pub(super) const DIGEST_LEN: usize = 32;
/// Stands for no digest and no attributes.
pub(super) const NONE: u32 = u32::MAX;

/// Flag: removes what lower layers have under this name.
pub(super) const WHITEOUT: u8 = 1;
/// Flag: hides what lower layers have in this directory.
pub(super) const OPAQUE: u8 = 2;
/// Flag: no entry names this directory.
pub(super) const IMPLICIT: u8 = 4;

/// Offsets within the header.
pub(super) mod header {
    pub(in super::super) const VERSION: usize = 8;
    pub(in super::super) const NODES: usize = 12;
    pub(in super::super) const LAYERS: usize = 16;
    pub(in super::super) const DIGESTS: usize = 20;
    pub(in super::super) const STRINGS: usize = 24;
    pub(in super::super) const ATTRIBUTES: usize = 32;
    pub(in super::super) const TOTAL: usize = 40;
}

/// Offsets within a node.
pub(super) mod node {
    pub(in super::super) const NAME: usize = 0;
    pub(in super::super) const NAME_LEN: usize = 4;
    pub(in super::super) const KIND: usize = 6;
    pub(in super::super) const FLAGS: usize = 7;
    pub(in super::super) const MODE: usize = 8;
    pub(in super::super) const LINK_LEN: usize = 10;
    pub(in super::super) const LINK: usize = 12;
    pub(in super::super) const UID: usize = 16;
    pub(in super::super) const GID: usize = 20;
    pub(in super::super) const MTIME: usize = 24;
    pub(in super::super) const MTIME_NSEC: usize = 32;
    pub(in super::super) const LAYER: usize = 36;
    pub(in super::super) const SIZE: usize = 40;
    pub(in super::super) const PLACE: usize = 48;
    pub(in super::super) const INODE: usize = 56;
    pub(in super::super) const NLINK: usize = 60;
    pub(in super::super) const DIGEST: usize = 64;
    pub(in super::super) const ATTRIBUTES: usize = 68;
    pub(in super::super) const PARENT: usize = 72;
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
}

impl NodeKind {
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::File => 1,
            Self::Directory => 2,
            Self::Symlink => 3,
            Self::CharDevice => 4,
            Self::BlockDevice => 5,
            Self::Fifo => 6,
        }
    }

    pub(super) const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::File,
            2 => Self::Directory,
            3 => Self::Symlink,
            4 => Self::CharDevice,
            5 => Self::BlockDevice,
            6 => Self::Fifo,
            _ => return None,
        })
    }
}
