//! What can fail when a layer is packed, read or written.

use std::io;
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::image::ImageError;
use crate::media_type::Compression;
use crate::store::StoreError;

use super::limits::{
    MAX_DEPTH, MAX_EXTENDED_HEADER_BYTES, MAX_LINK_HOPS, MAX_NAME_LEN, MAX_PATH_LEN,
    MAX_TEXT_BYTES, MAX_XATTR_NAME_LEN, MAX_XATTR_VALUE_LEN,
};

/// Why a layer could not be packed, merged or written.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// A file of ours could not be used.
    #[error("{action} \"{}\"", path.display())]
    Io {
        /// What was being done, such as `creating`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The content store could not give or take a blob.
    #[error("layer blob {blob}")]
    Store {
        /// Digest of the blob, or a word for one that is just being written.
        blob: String,
        /// Why not.
        source: StoreError,
    },
    /// The image has no layers of files, or contradicts itself.
    #[error("layers of the image")]
    Image(#[from] ImageError),
    /// The layer's first bytes are not what its media type says.
    #[error("layer {layer} has compression {got}, but its media type says {want}")]
    Compression {
        /// Digest of the blob.
        layer: Digest,
        /// The compression of its content.
        got: Compression,
        /// What its media type says.
        want: Compression,
    },
    /// The blob could not be read or decompressed.
    #[error("reading layer {layer}")]
    Read {
        /// Digest of the blob.
        layer: Digest,
        /// Why not.
        source: io::Error,
    },
    /// The blob goes on after its compressed content.
    #[error("layer {layer} has bytes after its compressed content")]
    TrailingBytes {
        /// Digest of the blob.
        layer: Digest,
    },
    /// The layer is not the one that the image's config names.
    #[error("layer {layer} unpacks to {got}, want {want}")]
    DiffId {
        /// Digest of the blob.
        layer: Digest,
        /// Digest of its uncompressed content.
        got: Digest,
        /// What the config says.
        want: Digest,
    },
    /// The layer is larger than any layer may be.
    #[error("layer {layer} unpacks to more than {limit} bytes")]
    TooLarge {
        /// Digest of the blob, or a word for one that is just being written.
        layer: String,
        /// The ceiling, in bytes.
        limit: u64,
    },
    /// The layer grows more than an honest one can.
    #[error("layer {layer} of {size} bytes unpacks to more than {limit} times its size")]
    Expansion {
        /// Digest of the blob.
        layer: Digest,
        /// Compressed size in bytes.
        size: u64,
        /// The ceiling, as a factor.
        limit: u64,
    },
    /// The archive is not one that can be read.
    #[error("layer {layer} is not a usable tar archive")]
    Tar {
        /// Digest of the blob, or a word for one that is just being written.
        layer: String,
        /// What is wrong with it.
        source: TarError,
    },
    /// An index of ours cannot be used.
    #[error("layer index \"{}\"", path.display())]
    Index {
        /// The index file.
        path: PathBuf,
        /// What is wrong with it.
        source: IndexError,
    },
    /// The merged view of an image's layers cannot be made.
    #[error("merging the layers of chain {chain_id}")]
    Merge {
        /// The chain.
        chain_id: Digest,
        /// Why not.
        source: IndexError,
    },
    /// An entry cannot be part of a new layer.
    #[error("adding \"{path}\" to a layer")]
    Entry {
        /// The entry.
        path: String,
        /// What is wrong with it.
        source: TarError,
    },
    /// A file that goes into a new layer could not be read.
    #[error("reading \"{path}\" for a layer")]
    Content {
        /// The path in the layer.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// A file of a layer could not be made on the host's file system.
    #[error("unpacking \"{}\"", path.display())]
    Unpack {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file was not as long as it was said to be.
    #[error(
        "\"{path}\" has not the {want} bytes it was announced with; it changed while it was read"
    )]
    Changed {
        /// The path in the layer.
        path: String,
        /// The announced size in bytes.
        want: u64,
    },
}

impl LayerError {
    /// Returns a function that adds what was being done to an I/O error.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

/// What is wrong with a tar archive.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The source of the archive failed.
    #[error("reading the archive at byte {position}")]
    Io {
        /// Offset in the uncompressed archive.
        position: u64,
        /// Why.
        source: io::Error,
    },
    /// The archive ends within an entry.
    #[error("archive ends at byte {position}, within an entry")]
    Truncated {
        /// Offset in the uncompressed archive.
        position: u64,
    },
    /// A header's checksum is wrong: damage, or no tar archive at all.
    #[error("header at byte {position} has a wrong checksum")]
    Checksum {
        /// Offset in the uncompressed archive.
        position: u64,
    },
    /// Something follows a single block of zeros. Readers disagree about whether the archive goes on there.
    #[error("archive goes on after a lone block of zeros at byte {position}")]
    LoneZeroBlock {
        /// Offset in the uncompressed archive.
        position: u64,
    },
    /// A number in a header is not one, or is out of range.
    #[error("header at byte {position} has the {field} \"{value}\"")]
    Number {
        /// Offset in the uncompressed archive.
        position: u64,
        /// Which number.
        field: &'static str,
        /// The field as written.
        value: String,
    },
    /// A pax header is malformed.
    #[error("pax header at byte {position} has a malformed record")]
    Pax {
        /// Offset in the uncompressed archive.
        position: u64,
    },
    /// A pax header or long name is longer than any honest one.
    #[error(
        "extended header at byte {position} has {size} bytes, more than {MAX_EXTENDED_HEADER_BYTES}"
    )]
    ExtendedHeader {
        /// Offset in the uncompressed archive.
        position: u64,
        /// Its size in bytes.
        size: u64,
    },
    /// Two headers of one kind describe the same entry. Readers disagree about which one holds.
    #[error("two {what} describe the entry at byte {position}")]
    Repeated {
        /// Offset in the uncompressed archive.
        position: u64,
        /// Which kind.
        what: &'static str,
    },
    /// A pax header or long name at the end, with no entry to describe.
    #[error("archive ends with a header that describes no entry")]
    Dangling,
    /// A sparse file in one of GNU tar's formats.
    #[error("\"{path}\" is a GNU sparse file, which a layer may not hold")]
    Sparse {
        /// The entry.
        path: String,
    },
    /// An entry of a kind that no container needs.
    #[error("\"{path}\" is of the unknown kind '{}'", kind.escape_ascii())]
    Kind {
        /// The entry.
        path: String,
        /// The type flag.
        kind: u8,
    },
    /// A path leaves the layer's root.
    #[error("\"{path}\" leaves the layer's root")]
    Outside {
        /// The path as written.
        path: String,
    },
    /// A path is too long.
    #[error("path \"{path}…\" has {len} bytes, more than {MAX_PATH_LEN}")]
    PathTooLong {
        /// The first bytes of the path.
        path: String,
        /// Its length in bytes.
        len: usize,
    },
    /// A component of a path is too long.
    #[error("\"{path}\" has a name of {len} bytes, more than {MAX_NAME_LEN}")]
    NameTooLong {
        /// The path.
        path: String,
        /// The component's length in bytes.
        len: usize,
    },
    /// A path has a NUL byte.
    #[error("path \"{}\" has a NUL byte", path.escape_debug())]
    NulInPath {
        /// The path.
        path: String,
    },
    /// A symbolic link to nothing.
    #[error("\"{path}\" is a symbolic link without a target")]
    EmptyLink {
        /// The link.
        path: String,
    },
    /// A path lies too deep.
    #[error("\"{path}\" lies more than {MAX_DEPTH} directories deep")]
    TooDeep {
        /// The path.
        path: String,
    },
    /// A path leads through something that is no directory.
    #[error("\"{path}\" lies below \"{parent}\", which is no directory")]
    NotDirectory {
        /// The path.
        path: String,
        /// The name that is no directory.
        parent: String,
    },
    /// A path leads through too many symbolic links.
    #[error("\"{path}\" leads through more than {MAX_LINK_HOPS} symbolic links")]
    Loop {
        /// The path.
        path: String,
    },
    /// The root is named as something else than a directory.
    #[error("the layer's root is named as something else than a directory")]
    Root,
    /// A whiteout of nothing, or a path below one.
    #[error("\"{path}\" is not a valid whiteout")]
    Whiteout {
        /// The path.
        path: String,
    },
    /// A name that layers keep for whiteouts.
    #[error("\"{path}\" has a name that is kept for whiteouts")]
    ReservedName {
        /// The path.
        path: String,
    },
    /// A hard link to what this layer does not have.
    #[error("\"{path}\" is a hard link to \"{target}\", which this layer does not have before it")]
    LinkTarget {
        /// The link.
        path: String,
        /// Its target.
        target: String,
    },
    /// A hard link to a directory.
    #[error("\"{path}\" is a hard link to \"{target}\", which is a directory")]
    LinkToDirectory {
        /// The link.
        path: String,
        /// Its target.
        target: String,
    },
    /// The name of an extended attribute is empty or too long.
    #[error(
        "\"{path}\" has an extended attribute with a name of {len} bytes, want 1 to {MAX_XATTR_NAME_LEN}"
    )]
    XattrName {
        /// The entry.
        path: String,
        /// The name's length in bytes.
        len: usize,
    },
    /// The value of an extended attribute is too long.
    #[error("\"{path}\" has an extended attribute of {len} bytes, more than {MAX_XATTR_VALUE_LEN}")]
    XattrValue {
        /// The entry.
        path: String,
        /// The value's length in bytes.
        len: usize,
    },
    /// Names, link targets and extended attributes are longer together than any layer's may be.
    #[error(
        "archive has more than {MAX_TEXT_BYTES} bytes of names, link targets and extended attributes"
    )]
    TooMuchText,
    /// The layer has more names than any layer may.
    #[error("archive has more than {limit} names")]
    TooManyNames {
        /// The ceiling.
        limit: u32,
    },
}

/// What is wrong with an index.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// The bytes are no index.
    #[error("not a layer index")]
    Magic,
    /// The index was written by another version.
    #[error("layer index of version {got}, want {want}")]
    Version {
        /// The version that was found.
        got: u32,
        /// The version that is understood.
        want: u32,
    },
    /// A section lies outside of the file, or the file was cut.
    #[error("layer index is damaged: {section} lie outside of its {len} bytes")]
    Bounds {
        /// Which part.
        section: &'static str,
        /// Length of the index in bytes.
        len: usize,
    },
    /// A record contradicts the format.
    #[error("layer index is damaged: node {node} has a wrong {field}")]
    Node {
        /// Number of the record.
        node: u32,
        /// Which field.
        field: &'static str,
    },
    /// A node was used as a directory and is none.
    #[error("node {node} is not a directory")]
    NotDirectory {
        /// Number of the record.
        node: u32,
    },
    /// An index would be larger than any may be.
    #[error("layer index would have more than {limit} {what}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// The ceiling.
        limit: u64,
    },
}
