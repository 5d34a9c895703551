//! What a layer may cost at most.
//!
//! A layer comes from a stranger and grows when it is decompressed, so everything in it is bounded before it is believed.

/// Bytes of one uncompressed layer. Larger than any image in use (machine-learning images reach 20 GiB in one layer), small
/// enough that one layer does not fill every disk.
pub const MAX_LAYER_BYTES: u64 = 64 << 30;

/// Uncompressed bytes that a layer may have whatever its compressed size, so that small layers of zeros pass.
pub const FREE_LAYER_BYTES: u64 = 1 << 30;

/// Uncompressed bytes per compressed byte beyond [`FREE_LAYER_BYTES`]. Deflate cannot exceed 1032:1, so this refuses no gzip
/// layer; it holds zstd, whose ratio has no bound, to what gzip could do.
pub const MAX_EXPANSION: u64 = 1100;

/// Names in one layer or in a merged view, replaced ones and directories that no entry names included. Bounds memory
/// while an index is built (about 250 bytes a name) and the index itself (about 100).
pub const MAX_NAMES: u32 = 4_000_000;

/// Bytes of all names, link targets and extended attributes of a layer; for an index, of names and link targets, and
/// again of extended attributes. Bounds memory, and an index addresses them with 32 bits. A million names of 30 bytes, each with
/// an SELinux label, have about 100 MiB.
pub const MAX_TEXT_BYTES: u32 = 512 << 20;

/// Bytes of a path or a link target: `PATH_MAX` of Linux.
pub const MAX_PATH_LEN: usize = 4096;

/// Bytes of one component of a path: `NAME_MAX` of Linux.
pub const MAX_NAME_LEN: usize = 255;

/// Directories above a name. A path within [`MAX_PATH_LEN`] could have 2048; a chain of symbolic links could go on.
pub const MAX_DEPTH: usize = 1024;

/// Symbolic links followed for one path: what Linux follows.
pub const MAX_LINK_HOPS: usize = 40;

/// Bytes of one pax header or GNU long name. They are held in memory; Go's reader, which Docker uses, has the same bound.
pub const MAX_EXTENDED_HEADER_BYTES: u64 = 1 << 20;

/// Bytes of the name of an extended attribute: `XATTR_NAME_MAX` of Linux.
pub const MAX_XATTR_NAME_LEN: usize = 255;

/// Bytes of the value of an extended attribute: `XATTR_SIZE_MAX` of Linux.
pub const MAX_XATTR_VALUE_LEN: usize = 64 << 10;

/// Bytes of an index that is read into memory to be merged: what [`MAX_NAMES`] and [`MAX_TEXT_BYTES`] can add up to.
pub const MAX_INDEX_BYTES: u64 = 2 << 30;

/// The ceilings that depend on the host rather than on Linux's own limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one uncompressed layer; [`MAX_LAYER_BYTES`] by default.
    pub layer_bytes: u64,
    /// Uncompressed bytes allowed at any ratio; [`FREE_LAYER_BYTES`] by default.
    pub free_bytes: u64,
    /// Uncompressed bytes per compressed byte beyond that; [`MAX_EXPANSION`] by default.
    pub expansion: u64,
    /// Names in one index; [`MAX_NAMES`] by default.
    pub names: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            layer_bytes: MAX_LAYER_BYTES,
            free_bytes: FREE_LAYER_BYTES,
            expansion: MAX_EXPANSION,
            names: MAX_NAMES,
        }
    }
}
