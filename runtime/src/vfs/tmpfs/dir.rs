//! Directories in memory, with the verbs of a host directory.

use std::sync::Arc;

use super::tree::{Content, Ino, Pages, Tree};
use super::{Held, TmpFile};
use crate::vfs::copy_up::{DIRECTORY_MODE, FILE_MODE};
use crate::vfs::errno::{Errno, Result};
use crate::vfs::host::HostEntry;
use crate::vfs::limits::MAX_LISTED;
use crate::vfs::node::{FileKind, SetTimes, Stat};

/// A handle on a directory in memory. Cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::vfs) struct TmpDir(Arc<Held>);

/// Mode of symlinks, as on Linux.
const SYMLINK_MODE: u32 = 0o777;

impl TmpDir {
    pub(super) fn new(held: Held) -> Self {
        Self(Arc::new(held))
    }

    /// Runs a call on the tree.
    fn with<T>(&self, call: impl FnOnce(&mut Tree, Ino) -> Result<T>) -> Result<T> {
        call(&mut self.0.shared.lock(), self.0.ino)
    }

    fn hold(&self, tree: &mut Tree, ino: Ino) -> Held {
        Held::new(&self.0.shared, tree, ino)
    }

    pub(in crate::vfs) fn stat(&self) -> Result<Stat> {
        self.with(|tree, dir| Ok(self.0.stat(tree.node(dir)?, dir)))
    }

    pub(in crate::vfs) fn stat_at(&self, name: &[u8]) -> Result<Option<Stat>> {
        self.with(|tree, dir| match tree.child(dir, name)? {
            Some(ino) => Ok(Some(self.0.stat(tree.node(ino)?, ino))),
            None => Ok(None),
        })
    }

    pub(in crate::vfs) fn open_dir(&self, name: &[u8]) -> Result<Self> {
        self.with(|tree, dir| {
            let ino = tree.child(dir, name)?.ok_or(Errno::NoEntry)?;
            match tree.node(ino)?.content {
                Content::Directory { .. } => Ok(Self::new(self.hold(tree, ino))),
                _ => Err(Errno::NotDir),
            }
        })
    }

    pub(in crate::vfs) fn open_file(&self, name: &[u8]) -> Result<TmpFile> {
        self.with(|tree, dir| {
            let ino = tree.child(dir, name)?.ok_or(Errno::NoEntry)?;
            match tree.node(ino)?.content {
                Content::File(_) => Ok(TmpFile::new(self.hold(tree, ino))),
                Content::Directory { .. } => Err(Errno::IsDir),
                Content::Symlink(_) => Err(Errno::Loop),
            }
        })
    }

    pub(in crate::vfs) fn create_file(&self, name: &[u8]) -> Result<TmpFile> {
        self.with(|tree, dir| {
            let ino = tree.add(dir, name, Content::File(Pages::default()), FILE_MODE)?;
            Ok(TmpFile::new(self.hold(tree, ino)))
        })
    }

    pub(in crate::vfs) fn read_link(&self, name: &[u8]) -> Result<Vec<u8>> {
        self.with(|tree, dir| {
            let ino = tree.child(dir, name)?.ok_or(Errno::NoEntry)?;
            match &tree.node(ino)?.content {
                Content::Symlink(target) => Ok(target.clone()),
                _ => Err(Errno::Invalid),
            }
        })
    }

    pub(in crate::vfs) fn list(&self) -> Result<Vec<HostEntry>> {
        let names = self.with(|tree, dir| tree.list(dir))?;
        if names.len() > MAX_LISTED {
            return Err(Errno::Overflow);
        }
        let entry = |(name, ino, kind): (Vec<u8>, Ino, FileKind)| HostEntry { name, ino, kind };
        Ok(names.into_iter().map(entry).collect())
    }

    pub(in crate::vfs) fn create_dir(&self, name: &[u8]) -> Result<()> {
        self.with(|tree, dir| tree.add_dir(dir, name, DIRECTORY_MODE).map(drop))
    }

    pub(in crate::vfs) fn symlink(&self, target: &[u8], name: &[u8]) -> Result<()> {
        let content = Content::Symlink(target.to_vec());
        self.with(|tree, dir| tree.add(dir, name, content, SYMLINK_MODE).map(drop))
    }

    pub(in crate::vfs) fn remove_file(&self, name: &[u8]) -> Result<()> {
        self.with(|tree, dir| tree.remove(dir, name, false))
    }

    pub(in crate::vfs) fn remove_dir(&self, name: &[u8]) -> Result<()> {
        self.with(|tree, dir| tree.remove(dir, name, true))
    }

    pub(in crate::vfs) fn rename(&self, from: &[u8], to_dir: &Self, to: &[u8]) -> Result<()> {
        self.same_tree(to_dir)?;
        self.with(|tree, dir| tree.rename(dir, from, to_dir.0.ino, to))
    }

    pub(in crate::vfs) fn hard_link(&self, from: &[u8], to_dir: &Self, to: &[u8]) -> Result<()> {
        self.same_tree(to_dir)?;
        self.with(|tree, dir| {
            let ino = tree.child(dir, from)?.ok_or(Errno::NoEntry)?;
            tree.link(ino, to_dir.0.ino, to)
        })
    }

    pub(in crate::vfs) fn set_times(&self, times: SetTimes) -> Result<()> {
        self.with(|tree, dir| tree.node_mut(dir)?.set_times(times))
    }

    pub(in crate::vfs) fn set_times_at(&self, name: &[u8], times: SetTimes) -> Result<()> {
        self.with(|tree, dir| {
            let ino = tree.child(dir, name)?.ok_or(Errno::NoEntry)?;
            tree.node_mut(ino)?.set_times(times)
        })
    }

    fn same_tree(&self, other: &Self) -> Result<()> {
        if Arc::ptr_eq(&self.0.shared, &other.0.shared) {
            Ok(())
        } else {
            Err(Errno::CrossDevice)
        }
    }
}
