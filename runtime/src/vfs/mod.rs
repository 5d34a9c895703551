//! The guest's file system: an immutable lower, a private upper, and mounts. It knows no WASI version.
//!
//! A guest sees one tree. Its files are an image's ([`Lower`]), changed by copy on write: the changes are in the upper, a
//! host directory in the form of an unpacked OCI layer. Host directories, host files and file systems in memory (`tmpfs`)
//! can be mounted anywhere in it.
//! No privileges are needed, and no support by the host: names are resolved here.
//!
//! - **The upper on disk is the only truth.** Nothing about it is remembered from one call to the next, so several
//!   processes in one container see each other's changes. A process killed at any instant leaves the state before or
//!   after its last step. `upper` has the form and the rules.
//! - **Nothing leads out.** A host call takes one name in an open directory and follows no link; `..` and symlinks
//!   are dealt with in `walk`, over directories that were walked through. A second process that swaps directories for
//!   links can make a call fail, not escape.
//! - **Handles.** A directory that is in the upper or in a mount is held by descriptor and stays the same directory when
//!   it is renamed, by whomever. One that is in the lower alone is told when this process copies it up, and is looked
//!   up by its path at each use, because any process may; if it was moved, its copy is looked for (`search`). Files
//!   stay on the bytes they were opened on.
//! - **Numbers and owners.** `Stat::ino`, mode and owner stay through copy-up and rename: the copy carries a record
//!   (`origin`). On the host, copies belong to the process' user, who may always read and write them.
//! - **Bounds.** The upper can be bounded (`quota`), a file system in memory always is. What is mounted of the host is not.
//! - **Left out.** Hard links of the image are broken by copy-up, and such a file then has a new number; so has a
//!   symlink. Devices, pipes and sockets can be seen and removed, not opened, copied up or made.

mod attributes;
mod changed;
mod copy_up;
mod create;
mod dir_lower;
mod directory;
mod errno;
mod file;
mod guest_fs;
mod host;
mod limits;
mod list;
mod lower;
mod memory_lower;
mod mounted;
mod mounts;
mod node;
mod open;
mod origin;
mod own_file;
mod place;
mod quota;
mod remove;
mod rename;
mod search;
mod shortcut;
#[cfg(test)]
mod tests;
mod times;
mod tmpfs;
mod upper;
mod walk;

pub use changed::{ChangedDir, changed};
pub use dir_lower::DirLower;
pub use directory::Directory;
pub use errno::{Errno, Result};
pub use file::File;
pub use guest_fs::{GuestFs, GuestFsBuilder, VfsError};
pub use lower::{Extent, Lower, NodeId, Visit};
pub use memory_lower::MemoryLower;
pub use mounts::{Access, MountSource};
pub use node::{
    Attributes, DirEntry, FileKind, Node, OpenOptions, SetTime, SetTimes, Stat, Timestamp,
};
pub use tmpfs::{Tmpfs, TmpfsOptions};
