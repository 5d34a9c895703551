//! Why the build context cannot be used, and what is too much of it.

use std::io;
use std::path::Path;

use cap_std::fs::FileType;

use super::path::shown;
use crate::build::ignore::IgnoreError;

/// Symbolic links on the way to one source; Linux allows as many.
pub(super) const MAX_LINKS: usize = 40;

/// Directories within each other in a copied tree. Paths of more than 4096 bytes cannot be used anyway.
pub(super) const MAX_DEPTH: usize = 256;

/// Files, directories and links that one instruction may copy: a large `node_modules` has 300,000.
pub(super) const MAX_ENTRIES: usize = 1_000_000;

/// A source that cannot be copied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContextError {
    /// Nothing is there.
    #[error("`{path}` is not in the build context")]
    Missing {
        /// The path in the context.
        path: String,
    },
    /// An ignore file takes it away.
    #[error("`{path}` is excluded from the build context by line {line} of {file}")]
    Excluded {
        /// The path in the context.
        path: String,
        /// The ignore file.
        file: String,
        /// The line in it.
        line: usize,
    },
    /// A symbolic link leads out of the context.
    #[error("the symbolic link `{link}` leads out of the build context, to `{target}`")]
    Outside {
        /// The link in the context.
        link: String,
        /// Where it leads.
        target: String,
    },
    /// Symbolic links that lead to each other.
    #[error("more than {MAX_LINKS} symbolic links on the way to `{path}`")]
    Links {
        /// The path in the context.
        path: String,
    },
    /// A socket, pipe or device.
    #[error("`{path}` is {kind}, which an image cannot hold")]
    Special {
        /// The path in the context.
        path: String,
        /// What it is.
        kind: &'static str,
    },
    /// A name that cannot be written in an image.
    #[error("the name of `{path}` is not Unicode")]
    Name {
        /// The path in the context, as far as it can be shown.
        path: String,
    },
    /// Directories too deep within each other.
    #[error("more than {MAX_DEPTH} directories within each other at `{path}`")]
    TooDeep {
        /// The path in the context.
        path: String,
    },
    /// Too many files.
    #[error("more than {MAX_ENTRIES} files to copy at `{path}`")]
    TooMany {
        /// The path in the context.
        path: String,
    },
    /// The file system fails.
    #[error("reading `{path}` of the build context")]
    Io {
        /// The path in the context.
        path: String,
        /// Why.
        source: io::Error,
    },
}

/// Why the ignore file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IgnoreFileError {
    /// It cannot be read.
    #[error("reading {file} of the build context")]
    Io {
        /// The file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// It is larger than any honest one.
    #[error("{file} has {got} bytes, want at most {limit}")]
    TooLarge {
        /// The file.
        file: String,
        /// Its size.
        got: u64,
        /// The bound.
        limit: u64,
    },
    /// A rule is wrong.
    #[error(transparent)]
    Rule(#[from] IgnoreError),
}

pub(in crate::build) fn io_error(path: &Path, source: io::Error) -> ContextError {
    ContextError::Io {
        path: shown(path),
        source,
    }
}

pub(super) fn special(path: &Path, kind: FileType) -> ContextError {
    ContextError::Special {
        path: shown(path),
        kind: special_kind(kind),
    }
}

#[cfg(unix)]
fn special_kind(kind: FileType) -> &'static str {
    use cap_std::fs::FileTypeExt;
    if kind.is_socket() {
        "a socket"
    } else if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_block_device() || kind.is_char_device() {
        "a device"
    } else {
        "no file"
    }
}

#[cfg(not(unix))]
fn special_kind(_: FileType) -> &'static str {
    "no file"
}
