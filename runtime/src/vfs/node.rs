//! The plain data that goes in and out of the file system.

use super::directory::Directory;
use super::file::File;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device: visible, never opened.
    CharDevice,
    /// A block device: visible, never opened.
    BlockDevice,
    /// A named pipe: visible, never opened.
    Fifo,
    /// A socket: visible, never opened.
    Socket,
}

/// A point in time, counted from the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Seconds since the epoch; negative before it.
    pub sec: i64,
    /// Nanoseconds within the second, below 1,000,000,000.
    pub nsec: u32,
}

/// What is known of a file without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The file system it is in; the guest's own has one number, each mounted host file system another.
    pub dev: u64,
    /// The number within `dev`. It stays through copy-up and rename; see the module for the exceptions.
    pub ino: u64,
    /// What it is.
    pub kind: FileKind,
    /// Permission bits (`07777`), without the type.
    pub mode: u32,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// How many names it has.
    pub nlink: u64,
    /// Bytes in a file, or in the target of a symlink.
    pub size: u64,
    /// Last access.
    pub atime: Timestamp,
    /// Last change of the content.
    pub mtime: Timestamp,
    /// Last change of anything.
    pub ctime: Timestamp,
}

/// What [`Directory::set_attributes_at`] sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits (`07777`).
    pub mode: u32,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The name: one component, any bytes but `/` and NUL.
    pub name: Vec<u8>,
    /// As in [`Stat::ino`].
    pub ino: u64,
    /// What it names.
    pub kind: FileKind,
}

/// How [`Directory::open`] opens. Everything is off by default: [`OpenOptions::default`] opens for nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// May the handle read?
    pub read: bool,
    /// May the handle write?
    pub write: bool,
    /// Does the handle write at the end only? Implies `write`.
    pub append: bool,
    /// Make a file when the name is free?
    pub create: bool,
    /// With `create`: fail when the name is taken, by a symlink also?
    pub exclusive: bool,
    /// Cut the file to zero bytes?
    pub truncate: bool,
    /// Fail unless it is a directory?
    pub directory: bool,
    /// If the last component is a symlink, follow it? Otherwise that is [`Errno::Loop`](super::Errno::Loop).
    pub follow: bool,
}

impl OpenOptions {
    /// Whether the file's bytes may change through this open.
    pub(super) fn writes(&self) -> bool {
        self.write || self.append || self.truncate
    }
}

/// What was opened.
#[derive(Clone, Debug)]
pub enum Node {
    /// A regular file.
    File(File),
    /// A directory.
    Directory(Directory),
}

/// A new value for one timestamp.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SetTime {
    /// Leave it.
    #[default]
    Omit,
    /// The host's present time.
    Now,
    /// This.
    At(Timestamp),
}

/// New values for both timestamps that can be set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetTimes {
    /// Last access.
    pub atime: SetTime,
    /// Last change of the content.
    pub mtime: SetTime,
}
