//! Puts a guest's file system together.

use std::fmt;
use std::fs::File;
use std::sync::Arc;

use super::directory::{Directory, Handle, LowerHandles};
use super::errno::Errno;
use super::host::HostDir;
use super::limits::MAX_NAME;
use super::lower::{Lower, NodeId};
use super::mounts::{Access, Mount, MountSource, Mounts, Point, Source};
use super::node::FileKind;
use super::place::{Body, Place};
use super::upper::{Guard, Upper, is_reserved};
use super::walk::{Follow, check_path};
use crate::policy::Observer;

/// A guest's whole file system. Cheap to clone; clones are the same file system.
///
/// Several of them, in one process or many, may stand on one upper: each sees what the others change.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use cap_std::{ambient_authority, fs::Dir};
/// use coracle_runtime::vfs::{DirLower, GuestFs, Node, OpenOptions};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let temp = tempfile::tempdir()?;
/// # let open = |name: &str| { std::fs::create_dir(temp.path().join(name))?; Dir::open_ambient_dir(temp.path().join(name), ambient_authority()) };
/// let fs = GuestFs::builder(Arc::new(DirLower::new(open("image")?)))
///     .upper(open("upper")?, open("work")?)
///     .build()?;
/// let new = OpenOptions { write: true, create: true, ..OpenOptions::default() };
/// let Node::File(file) = fs.root().open(b"greeting", &new)? else { unreachable!("it was just made") };
/// file.write_at(b"hello", 0)?;
/// assert_eq!(std::fs::read(temp.path().join("upper/greeting"))?, b"hello");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct GuestFs(Arc<Fs>);

/// What all handles of one file system share. Nothing in it tells what the upper or a mount holds.
pub(super) struct Fs {
    pub(super) lower: Arc<dyn Lower>,
    pub(super) upper: Option<Upper>,
    pub(super) read_only: bool,
    pub(super) mounts: Mounts,
    pub(super) lower_handles: LowerHandles,
    pub(super) observer: Option<Arc<dyn Observer>>,
}

impl fmt::Debug for Fs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fs")
            .field("upper", &self.upper)
            .field("read_only", &self.read_only)
            .field("mounts", &self.mounts)
            .finish_non_exhaustive()
    }
}

/// What is wrong with the parts of a file system.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VfsError {
    /// The upper can't be used.
    #[error("opening the container's own files")]
    Upper(#[source] Errno),
    /// A mount can't be where it should.
    #[error("mounting at \"{path}\": {reason}")]
    MountPoint {
        /// The guest path as given.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The way to a mount point can't be walked.
    #[error("finding the mount point \"{path}\"")]
    MountPath {
        /// The guest path as given.
        path: String,
        /// What happened on the way.
        #[source]
        source: Errno,
    },
}

/// Collects the parts of a file system.
pub struct GuestFsBuilder {
    lower: Arc<dyn Lower>,
    upper: Option<(HostDir, HostDir)>,
    limit: Option<u64>,
    read_only: bool,
    mounts: Vec<(String, MountSource, Access)>,
    observer: Option<Arc<dyn Observer>>,
}

impl GuestFs {
    /// Starts with an image's files: read-only, and nothing else, until more is added.
    pub fn builder(lower: Arc<dyn Lower>) -> GuestFsBuilder {
        GuestFsBuilder {
            lower,
            upper: None,
            limit: None,
            read_only: false,
            mounts: Vec::new(),
            observer: None,
        }
    }

    /// A handle on the guest's root directory.
    pub fn root(&self) -> Directory {
        Directory::new(self.0.clone(), Handle::root(&self.0))
    }
}

impl GuestFsBuilder {
    /// Keeps changes in `upper`, a directory in the form of an unpacked OCI layer. Without it the root is read-only.
    ///
    /// `work` holds what is not finished yet, and two locks. It must be on the same host file system and outside of
    /// `upper`; all who use one upper must use the same `work`.
    #[must_use]
    pub fn upper(mut self, upper: cap_std::fs::Dir, work: cap_std::fs::Dir) -> Self {
        self.upper = Some((upper.into(), work.into()));
        self
    }

    /// Bounds the upper: bytes of all its files together, and 4 KiB for each name. Beyond is [`Errno::NoSpace`].
    ///
    /// All who use one upper must say the same. Holes in files count. Costs a look at the whole upper when the first
    /// process changes something.
    #[must_use]
    pub fn upper_limit(mut self, bytes: Option<u64>) -> Self {
        self.limit = bytes;
        self
    }

    /// Forbids changes outside of mounts, also with an upper, whose content is seen.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Tells somebody which files the guest was kept from changing.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Shows a host directory or file at an absolute guest path, which need not exist. Symlinks on the way there are
    /// followed inside the guest's tree, as Docker does.
    #[must_use]
    pub fn mount(mut self, guest_path: &str, source: MountSource, access: Access) -> Self {
        self.mounts.push((guest_path.to_owned(), source, access));
        self
    }

    /// Joins the parts. Costs one system call for the upper, and what it takes to walk to each mount point.
    ///
    /// # Errors
    /// When the upper can't be read, or a mount point is no plain absolute path or is taken.
    pub fn build(self) -> Result<GuestFs, VfsError> {
        let upper = match self.upper {
            Some((root, work)) => {
                Some(Upper::new(root, work, self.limit).map_err(VfsError::Upper)?)
            }
            None => None,
        };
        let mut fs = Fs {
            lower: self.lower,
            upper,
            read_only: self.read_only,
            mounts: Mounts::default(),
            lower_handles: LowerHandles::default(),
            observer: self.observer,
        };
        let mut mounts = self.mounts;
        // An outer mount comes before those in it, whatever the order of the flags.
        mounts.sort_by_key(|(path, ..)| path.split('/').filter(|name| !name.is_empty()).count());
        for (path, source, access) in mounts {
            let (place, there) = match fs.mount_path(&path) {
                Ok(found) => found,
                Err(source) => return Err(VfsError::MountPath { path, source }),
            };
            let source = Source::from(source);
            let added = match (&source, there) {
                (Source::Directory(_), Some(FileKind::Directory)) | (_, None) => Ok(()),
                (Source::Directory(_), Some(_)) => Err("a directory can't be mounted over a file"),
                (Source::File(_), Some(FileKind::Directory)) => {
                    Err("a file can't be mounted over a directory")
                }
                (Source::File(_), Some(_)) => Ok(()),
            };
            let added = added.and_then(|()| fs.mounts.insert(&place, Mount { access, source }));
            if let Err(reason) = added {
                return Err(VfsError::MountPoint { path, reason });
            }
        }
        Ok(GuestFs(Arc::new(fs)))
    }
}

impl Fs {
    /// Where a mount point given by the user really is: names from the root, none of them a symlink. And what is there.
    fn mount_path(&self, path: &str) -> Result<(Vec<Vec<u8>>, Option<FileKind>), Errno> {
        check_path(path.as_bytes())?;
        let Some(relative) = path.strip_prefix('/') else {
            return Err(Errno::Invalid);
        };
        let mut place = Vec::new();
        let mut there = Some(FileKind::Directory);
        for name in relative
            .split('/')
            .filter(|name| !matches!(*name, "" | "."))
        {
            if name == ".." || is_reserved(name.as_bytes()) {
                return Err(Errno::Invalid);
            }
            if name.len() > MAX_NAME {
                return Err(Errno::NameTooLong);
            }
            place.push(name.as_bytes().to_vec());
            // As far as it exists, it is replaced by where it leads to.
            let so_far = place.join(&b'/');
            match self.resolve(&Handle::root(self), &so_far, Follow::Yes) {
                Ok(found) => {
                    there = found.entry.kind();
                    place = found.path();
                }
                Err(Errno::NoEntry) => there = None,
                Err(error) => return Err(error),
            }
        }
        Ok((place, there))
    }

    /// The right to change names in the guest's own file system; `None` where nothing in it may change.
    pub(super) fn guard(&self) -> Result<Option<Guard<'_>>, Errno> {
        match &self.upper {
            Some(upper) if !self.read_only => Ok(Some(upper.lock()?)),
            _ => Ok(None),
        }
    }

    pub(super) fn mounted_file(&self, point: Point) -> Result<&Arc<File>, Errno> {
        match &self.mounts.point(point).mount {
            Some(Mount {
                source: Source::File(file),
                ..
            }) => Ok(file),
            _ => Err(Errno::Io),
        }
    }

    /// Where a directory of the image is: by its path, or if it is not there any more, wherever it was moved.
    fn find_lower_dir(&self, path: &[Vec<u8>], lower: Option<NodeId>) -> Result<Vec<Place>, Errno> {
        let by_path = self.reach(path);
        match &by_path {
            Ok(dirs) => {
                if let Some(Body::Own { lower: now, .. }) = dirs.last().map(|place| &place.body)
                    && *now == lower
                {
                    return by_path;
                }
            }
            Err(Errno::NoEntry) => {}
            Err(_) => return by_path,
        }
        match (lower, &self.upper) {
            (Some(node), Some(upper)) if upper.has_copies()? => self
                .find_dir(&self.lower_stat(node)?)?
                .ok_or(Errno::NoEntry),
            _ => Err(Errno::NoEntry),
        }
    }

    /// The directories that a handle stands for, as they are now: the last one, and those above if they may be needed.
    /// With them, the names from the root down to the first.
    ///
    /// A directory that is in the upper is held by its descriptor, which follows every rename. Its lower part is let
    /// go as soon as the upper's is marked opaque, which is what a rename does first. A directory in the lower alone
    /// is looked up anew by its path: it may have been copied up, moved, or hidden, by any process.
    pub(super) fn start(&self, handle: &Handle) -> Result<(Vec<Vec<u8>>, Vec<Place>), Errno> {
        let Body::Own { upper, lower } = &handle.place.body else {
            return Ok((handle.path.clone(), vec![handle.place.clone()]));
        };
        if handle.path.is_empty() || self.upper.is_none() {
            return Ok((handle.path.clone(), vec![handle.place.clone()]));
        }
        let Some(upper) = upper.as_ref().or_else(|| handle.copied_up.get()) else {
            let dirs = self.find_lower_dir(&handle.path, *lower)?;
            if let Some(Body::Own {
                upper: Some(upper), ..
            }) = dirs.last().map(|place| &place.body)
            {
                // Another thread may have been first, with another descriptor of the same directory.
                let _known = handle.copied_up.set(upper.clone());
            }
            return Ok((Vec::new(), dirs));
        };
        let mut lower = *lower;
        if lower.is_some() {
            if super::upper::is_opaque(upper)? {
                lower = None;
            } else if upper.stat()?.nlink == 0 {
                // It was removed, and with it the mark that hid the lower.
                return Err(Errno::NoEntry);
            }
        }
        let body = Body::Own {
            upper: Some(upper.clone()),
            lower,
        };
        Ok((
            handle.path.clone(),
            vec![Place {
                body,
                ..handle.place.clone()
            }],
        ))
    }
}
