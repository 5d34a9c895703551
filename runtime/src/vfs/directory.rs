//! A guest's handle on a directory.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use super::errno::{Errno, Result};
use super::guest_fs::Fs;
use super::host::HostDir;
use super::lower::NodeId;
use super::node::{Attributes, DirEntry, Node, OpenOptions, SetTimes, Stat};
use super::place::{Body, Place};
use super::walk::Follow;

/// A handle on a directory. Cheap to clone; clones are the same handle.
///
/// All paths are relative to it. One that is absolute, or whose own `..` lead above the handle, is
/// [`Errno::NotPermitted`]; a symlink may lead anywhere in the guest's tree.
///
/// The handle stays on its directory when that is renamed, through whichever handle or process. On a directory that was
/// removed, every call is [`Errno::NoEntry`].
#[derive(Clone, Debug)]
pub struct Directory {
    fs: Arc<Fs>,
    handle: Arc<Handle>,
}

/// What a handle remembers. `Fs::start` turns it into what is there now.
#[derive(Debug)]
pub(super) struct Handle {
    /// Names from the root, as they were when it was opened.
    pub(super) path: Vec<Vec<u8>>,
    pub(super) place: Place,
    /// The directory in the upper, if it was not there at first.
    pub(super) copied_up: OnceLock<HostDir>,
}

/// The handles on directories that are in the lower alone, so that they learn of a copy-up by this process at once.
#[derive(Debug, Default)]
pub(super) struct LowerHandles(Mutex<Vec<Weak<Handle>>>);

impl LowerHandles {
    fn add(&self, handle: &Arc<Handle>) {
        if let Body::Own {
            upper: None,
            lower: Some(_),
        } = handle.place.body
        {
            let mut handles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Before it grows, so that clearing out costs little per handle.
            if handles.len() == handles.capacity() {
                handles.retain(|handle| handle.strong_count() > 0);
            }
            handles.push(Arc::downgrade(handle));
        }
    }

    /// Tells the handles on a lower's directory where it is from now on.
    pub(super) fn copied_up(&self, node: NodeId, dir: &HostDir) {
        let handles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for handle in handles.iter().filter_map(Weak::upgrade) {
            if matches!(handle.place.body, Body::Own { lower, .. } if lower == Some(node)) {
                // If it knew already, it knew the same.
                let _known = handle.copied_up.set(dir.clone());
            }
        }
    }
}

impl Handle {
    pub(super) fn new(path: Vec<Vec<u8>>, place: Place) -> Self {
        Self {
            path,
            place,
            copied_up: OnceLock::new(),
        }
    }

    pub(super) fn root(fs: &Fs) -> Self {
        Self::new(Vec::new(), fs.root_place())
    }
}

impl Directory {
    pub(super) fn new(fs: Arc<Fs>, handle: Handle) -> Self {
        let handle = Arc::new(handle);
        fs.lower_handles.add(&handle);
        Self { fs, handle }
    }

    /// Opens what is at a path, or makes it.
    ///
    /// # Errors
    /// As `openat` on Linux; [`Errno::NotPermitted`] for devices, pipes and sockets.
    pub fn open(&self, path: &[u8], options: &OpenOptions) -> Result<Node> {
        self.fs.open(&self.handle, path, options)
    }

    /// Describes what is at a path; with `follow`, what a symlink there leads to.
    ///
    /// # Errors
    /// As `fstatat`.
    pub fn stat_at(&self, path: &[u8], follow: bool) -> Result<Stat> {
        self.fs.stat_at(&self.handle, path, following(follow))
    }

    /// Describes the directory.
    ///
    /// # Errors
    /// [`Errno::NoEntry`] if it was removed.
    pub fn stat(&self) -> Result<Stat> {
        let stat = self.fs.place_stat(&self.here()?)?;
        if stat.nlink == 0 {
            Err(Errno::NoEntry)
        } else {
            Ok(stat)
        }
    }

    /// Reads a symlink's target, as it was written.
    ///
    /// # Errors
    /// As `readlinkat`: [`Errno::Invalid`] if it is no symlink.
    pub fn read_link(&self, path: &[u8]) -> Result<Vec<u8>> {
        let found = self.fs.resolve(&self.handle, path, Follow::No)?;
        if found.entry.kind().is_none() {
            return Err(Errno::NoEntry);
        }
        found.check_slash()?;
        let name = found.name(Errno::Invalid, Errno::Invalid)?;
        self.fs.link_target(found.dir(), name, &found.entry)
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// As `mkdirat`.
    pub fn create_dir(&self, path: &[u8]) -> Result<()> {
        self.fs.create_dir(&self.handle, path)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// As `unlinkat` with `AT_REMOVEDIR`; [`Errno::Busy`] for a mount point or a directory above one.
    pub fn remove_dir(&self, path: &[u8]) -> Result<()> {
        self.fs.remove_dir(&self.handle, path)
    }

    /// Removes a name that is no directory's.
    ///
    /// # Errors
    /// As `unlinkat`; [`Errno::Busy`] for a mount point.
    pub fn remove_file(&self, path: &[u8]) -> Result<()> {
        self.fs.remove_file(&self.handle, path)
    }

    /// Moves `from` to the path `to` of another handle (or this one), replacing what is there.
    ///
    /// # Errors
    /// As `renameat`; [`Errno::CrossDevice`] between mounts, and for directories of the image that are too large to copy.
    pub fn rename(&self, from: &[u8], to_dir: &Self, to: &[u8]) -> Result<()> {
        self.same_fs(to_dir)?;
        self.fs.rename((&self.handle, from), (&to_dir.handle, to))
    }

    /// Gives a file a second name. A file of the image is copied up first, so its other names in the image stay as
    /// they are. `follow`: if `from` is a symlink, is its target meant?
    ///
    /// # Errors
    /// As `linkat`; [`Errno::CrossDevice`] between mounts.
    pub fn hard_link(&self, from: &[u8], follow: bool, to_dir: &Self, to: &[u8]) -> Result<()> {
        self.same_fs(to_dir)?;
        self.fs.hard_link(
            (&self.handle, from),
            following(follow),
            (&to_dir.handle, to),
        )
    }

    /// Makes a symlink. The target may be anything; it means something only when it is followed, inside the guest's tree.
    ///
    /// # Errors
    /// As `symlinkat`.
    pub fn symlink(&self, target: &[u8], path: &[u8]) -> Result<()> {
        self.fs.symlink(target, &self.handle, path)
    }

    /// Sets the times of what is at a path.
    ///
    /// # Errors
    /// As `utimensat`.
    pub fn set_times_at(&self, path: &[u8], follow: bool, times: SetTimes) -> Result<()> {
        self.fs
            .set_times_at(&self.handle, path, following(follow), times)
    }

    /// Sets mode and owner of what is at a path; a link there is neither followed nor changed. In a mount only the mode is set,
    /// without the rights to run as somebody else: those files are the host's.
    ///
    /// # Errors
    /// As `fchmodat`.
    pub fn set_attributes_at(&self, path: &[u8], attributes: Attributes) -> Result<()> {
        self.fs.set_attributes_at(&self.handle, path, attributes)
    }

    /// Sets the directory's own times.
    ///
    /// # Errors
    /// As `futimens`.
    pub fn set_times(&self, times: SetTimes) -> Result<()> {
        self.fs.set_times_at(&self.handle, b".", Follow::No, times)
    }

    /// Lists the directory: all layers and mounts merged, sorted by name, without `.` and `..`.
    ///
    /// # Errors
    /// [`Errno::Overflow`] for more entries than are kept in memory.
    pub fn read_dir(&self) -> Result<Vec<DirEntry>> {
        self.fs.list(&self.here()?)
    }

    /// Waits until the directory's changed names are on disk.
    ///
    /// # Errors
    /// As `fsync`.
    pub fn sync(&self) -> Result<()> {
        match self.here()?.body {
            Body::Own {
                upper: Some(dir), ..
            } => dir.sync(),
            Body::Mounted { dir: Some(dir), .. } => dir.sync(),
            _ => Ok(()),
        }
    }

    /// Whether both are handles on one directory. `false` when that can't be told.
    pub fn is_same(&self, other: &Self) -> bool {
        let (Ok(one), Ok(other)) = (self.stat(), other.stat()) else {
            return false;
        };
        one.dev == other.dev && one.ino == other.ino
    }

    /// Whether names in it may change: `false` for read-only roots and mounts.
    pub fn writable(&self) -> bool {
        self.fs.check_writable(&self.handle.place).is_ok()
    }

    fn here(&self) -> Result<Place> {
        let (_, mut dirs) = self.fs.start(&self.handle)?;
        dirs.pop().ok_or(Errno::NoEntry)
    }

    fn same_fs(&self, other: &Self) -> Result<()> {
        if Arc::ptr_eq(&self.fs, &other.fs) {
            Ok(())
        } else {
            Err(Errno::CrossDevice)
        }
    }
}

fn following(follow: bool) -> Follow {
    if follow { Follow::Yes } else { Follow::No }
}
