//! Host directories and files, and file systems in memory, that the guest sees, and where.
//!
//! Mount points form a tree of names that lies over the merged view. A node without a mount is on the way to one; where
//! nothing else is there, the guest sees an empty directory that holds just these names ("hollow").

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

use super::mounted::MountedDir;
use super::tmpfs::Tmpfs;

/// What a mount lets the guest do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Look, don't touch: every change is `ReadOnly`.
    ReadOnly,
    /// Look and change.
    ReadWrite,
}

/// What is mounted.
#[derive(Debug)]
pub enum MountSource {
    /// A directory with all that is in it.
    Directory(cap_std::fs::Dir),
    /// One regular file, open for reading, and for writing if the mount is read-write.
    File(File),
    /// Files in memory.
    Memory(Tmpfs),
}

impl MountSource {
    /// Makes another handle on the same directory, file or file system.
    ///
    /// # Errors
    /// What the system says.
    pub fn try_clone(&self) -> std::io::Result<Self> {
        match self {
            Self::Directory(dir) => dir.try_clone().map(Self::Directory),
            Self::File(file) => file.try_clone().map(Self::File),
            Self::Memory(tmpfs) => Ok(Self::Memory(tmpfs.clone())),
        }
    }
}

/// A node's place in [`Mounts`].
pub(super) type Point = usize;

/// The tree of mount points. The guest's root is node 0.
#[derive(Debug)]
pub(super) struct Mounts(Vec<MountPoint>);

#[derive(Debug, Default)]
pub(super) struct MountPoint {
    pub(super) mount: Option<Mount>,
    pub(super) children: BTreeMap<Vec<u8>, Point>,
}

#[derive(Debug)]
pub(super) struct Mount {
    pub(super) access: Access,
    pub(super) source: Source,
}

#[derive(Clone, Debug)]
pub(super) enum Source {
    Directory(MountedDir),
    File(Arc<File>),
}

impl From<MountSource> for Source {
    fn from(source: MountSource) -> Self {
        match source {
            MountSource::Directory(dir) => Self::Directory(MountedDir::Host(dir.into())),
            MountSource::Memory(tmpfs) => Self::Directory(MountedDir::Memory(tmpfs.root())),
            MountSource::File(file) => Self::File(Arc::new(file)),
        }
    }
}

impl Default for Mounts {
    fn default() -> Self {
        Self(vec![MountPoint::default()])
    }
}

impl Mounts {
    pub(super) const ROOT: Point = 0;

    /// Adds a mount. The reason, if it can't be there.
    pub(super) fn insert(&mut self, path: &[Vec<u8>], mount: Mount) -> Result<(), &'static str> {
        let mut at = Self::ROOT;
        for name in path {
            if let Some(Mount {
                source: Source::File(_),
                ..
            }) = self.0[at].mount
            {
                return Err("a file is mounted above it");
            }
            at = match self.0[at].children.get(name) {
                Some(&child) => child,
                None => {
                    let child = self.0.len();
                    self.0.push(MountPoint::default());
                    self.0[at].children.insert(name.clone(), child);
                    child
                }
            };
        }
        let point = &mut self.0[at];
        if at == Self::ROOT {
            return Err("the root is the image's");
        }
        if point.mount.is_some() {
            return Err("something is mounted there already");
        }
        if matches!(mount.source, Source::File(_)) && !point.children.is_empty() {
            return Err("something is mounted below it");
        }
        point.mount = Some(mount);
        Ok(())
    }

    pub(super) fn point(&self, point: Point) -> &MountPoint {
        &self.0[point]
    }

    /// The node of a name below a node, if it is on the way to a mount.
    pub(super) fn child(&self, point: Option<Point>, name: &[u8]) -> Option<Point> {
        self.0[point?].children.get(name).copied()
    }

    /// The access of the mount at a node.
    pub(super) fn access(&self, point: Point) -> Access {
        self.0[point]
            .mount
            .as_ref()
            .map_or(Access::ReadOnly, |mount| mount.access)
    }
}
