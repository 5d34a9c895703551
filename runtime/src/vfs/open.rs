//! Opening, and making files.

use std::fs;
use std::sync::Arc;

use super::copy_up::{FILE_MODE, Site, copy_cost, unchanged};
use super::directory::{Directory, Handle};
use super::errno::{Errno, Result};
use super::file::{Data, File, LowerFile};
use super::guest_fs::Fs;
use super::host;
use super::limits::{MAX_HANDLE_PATH, MAX_RACES, NAME_COST};
use super::lower::NodeId;
use super::mounts::Access;
use super::node::{FileKind, Node, OpenOptions, Stat};
use super::own_file::OwnFile;
use super::place::{Body, Entry, Place};
use super::quota::ENTRY_COST;
use super::walk::{Follow, Found};
use crate::policy::Capability;

/// Refuses the path of a directory that no handle should keep.
fn bounded(path: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>> {
    let size: usize = path.iter().map(|name| name.len() + NAME_COST).sum();
    if size > MAX_HANDLE_PATH {
        Err(Errno::NameTooLong)
    } else {
        Ok(path)
    }
}

impl Fs {
    pub(super) fn open(
        self: &Arc<Self>,
        handle: &Handle,
        path: &[u8],
        options: &OpenOptions,
    ) -> Result<Node> {
        if options.create && options.directory {
            return Err(Errno::Invalid);
        }
        if let Some(node) = self.open_directly(handle, path, options)? {
            return Ok(node);
        }
        for _ in 0..MAX_RACES {
            match self.try_open(handle, path, options) {
                Ok(Some(node)) => return Ok(node),
                Ok(None) => {}
                Err(errno) => {
                    if errno == Errno::ReadOnly {
                        self.tell_refused(handle, path);
                    }
                    return Err(errno);
                }
            }
        }
        Err(Errno::Again)
    }

    /// Tells who wants to know that a file may not be changed.
    fn tell_refused(&self, handle: &Handle, path: &[u8]) {
        let Some(observer) = &self.observer else {
            return;
        };
        let mut whole = Vec::new();
        for name in handle.path.iter().map(Vec::as_slice).chain([path]) {
            whole.push(b'/');
            whole.extend_from_slice(name);
        }
        let path = String::from_utf8_lossy(&whole).into_owned();
        observer.refused(&Capability::Write { path });
    }

    /// `None` when names changed meanwhile.
    fn try_open(
        self: &Arc<Self>,
        handle: &Handle,
        path: &[u8],
        options: &OpenOptions,
    ) -> Result<Option<Node>> {
        let follow = match (options.create, options.follow) {
            (true, true) if !options.exclusive => Follow::ToCreate,
            (true, _) => Follow::Never,
            (false, true) => Follow::Yes,
            (false, false) => Follow::No,
        };
        let found = self.resolve(handle, path, follow)?;
        // As Linux: a path that ends in a slash never makes a file.
        if options.create && found.slash {
            return Err(Errno::IsDir);
        }
        match &found.entry {
            Entry::Absent if options.create => {
                return self.create_file(handle, path, follow, options);
            }
            Entry::Absent => return Err(Errno::NoEntry),
            _ if options.create && options.exclusive => return Err(Errno::Exist),
            Entry::Directory(_) if options.create || options.writes() => return Err(Errno::IsDir),
            Entry::Directory(place) => {
                let handle = Handle::new(bounded(found.path())?, place.clone());
                return Ok(Some(Node::Directory(Directory::new(self.clone(), handle))));
            }
            _ => {}
        }
        if options.directory || found.slash {
            return Err(Errno::NotDir);
        }
        match found.entry.kind() {
            Some(FileKind::File) => self.open_file(handle, path, follow, &found, options),
            Some(FileKind::Symlink) => Err(Errno::Loop),
            _ => Err(Errno::NotPermitted),
        }
    }

    fn open_file(
        self: &Arc<Self>,
        handle: &Handle,
        path: &[u8],
        follow: Follow,
        found: &Found,
        options: &OpenOptions,
    ) -> Result<Option<Node>> {
        let name = found.name(Errno::IsDir, Errno::IsDir)?;
        let changeable = match found.entry {
            Entry::MountedFile(point) => self.mounts.access(point) == Access::ReadWrite,
            _ => self.check_writable(found.dir()).is_ok(),
        };
        if options.writes() && !changeable {
            return Err(Errno::ReadOnly);
        }
        let opened = |data| {
            let file = File::new(data, options, changeable);
            if options.truncate {
                file.truncate()?;
            }
            Ok(Some(Node::File(file)))
        };
        if let Entry::MountedFile(point) = found.entry {
            return opened(Data::Mounted(self.mounted_file(point)?.try_clone()?));
        }
        match (&found.entry, &found.dir().body) {
            (Entry::Lower(node, stat), _) if options.writes() => {
                let copied = self.copy_opened(handle, path, follow, (*node, stat), options)?;
                match copied {
                    Some(file) => opened(Data::Own(OwnFile::new(self, file)?)),
                    None => Ok(None),
                }
            }
            (Entry::Lower(node, stat), _) => {
                let extent = self.lower.open(*node)?;
                let path = found.path();
                opened(Data::Lower(LowerFile::new(
                    self.clone(),
                    path,
                    *node,
                    *stat,
                    extent,
                )))
            }
            (_, body) => {
                let data = match body {
                    Body::Own {
                        upper: Some(dir), ..
                    } => dir
                        .open_file(name, options.read, options.writes())
                        .and_then(|file| OwnFile::new(self, file))
                        .map(Data::Own),
                    Body::Mounted { dir: Some(dir), .. } => {
                        dir.open_file(name, options.read, options.writes())
                    }
                    _ => return Err(Errno::Io),
                };
                match data {
                    // Removed or replaced since the look.
                    Err(Errno::NoEntry | Errno::Loop | Errno::IsDir) => Ok(None),
                    data => opened(data?),
                }
            }
        }
    }

    /// Copies a file up that is opened for writing. `None` when the name stands for something else by now.
    fn copy_opened(
        &self,
        handle: &Handle,
        path: &[u8],
        follow: Follow,
        (node, stat): (NodeId, &Stat),
        options: &OpenOptions,
    ) -> Result<Option<fs::File>> {
        let upper = self.writable_upper()?;
        let cost = copy_cost(stat, !options.truncate);
        if upper.is_bounded() {
            upper.lock()?.take(cost)?;
        }
        // Long for a large file, so without the lock.
        let copy = self.copy_aside(node, stat, !options.truncate);
        let guard = upper.lock()?;
        let placed = copy.and_then(|(new, file)| {
            let found = self.resolve(handle, path, follow)?;
            if !matches!(found.entry, Entry::Lower(now, _) if now == node) {
                return Ok(None);
            }
            let name = found.name(Errno::IsDir, Errno::IsDir)?;
            let dir = self.ensure_upper(&guard, &found.dirs)?;
            unchanged(&dir, || new.place(&guard, &dir, name))?;
            Ok(Some(file))
        });
        if !matches!(placed, Ok(Some(_))) {
            guard.give(cost);
        }
        placed
    }

    /// `None` when the name is taken by now.
    fn create_file(
        self: &Arc<Self>,
        handle: &Handle,
        path: &[u8],
        follow: Follow,
        options: &OpenOptions,
    ) -> Result<Option<Node>> {
        let guard = self.guard()?;
        let found = self.resolve(handle, path, follow)?;
        if !matches!(found.entry, Entry::Absent) {
            return Ok(None);
        }
        let name = found.name(Errno::IsDir, Errno::IsDir)?;
        self.check_new_name(found.dir(), name)?;
        let made = match self.site(guard.as_ref(), &found.dirs)? {
            Site::Mounted(dir) => match dir.create_file(name) {
                Err(Errno::Exist) => return Ok(None),
                result => result?,
            },
            Site::Own { dir, lower } => {
                let guard = guard.as_ref().ok_or(Errno::ReadOnly)?;
                let file = match guard.taking(ENTRY_COST, || dir.create_file(name, FILE_MODE)) {
                    Err(Errno::Exist) => return Ok(None),
                    result => result?,
                };
                host::set_file_mode(&file, FILE_MODE)?;
                self.uncover(guard, &dir, lower, name)?;
                Data::Own(OwnFile::new(self, file)?)
            }
        };
        Ok(Some(Node::File(File::new(made, options, true))))
    }

    /// Walks to a path of plain names once more: for a file that was opened in the lower and now changes.
    pub(super) fn find_again(&self, path: &[Vec<u8>]) -> Result<(Vec<Place>, Entry)> {
        let (name, above) = path.split_last().ok_or(Errno::NoEntry)?;
        let dirs = self.reach(above)?;
        let dir = dirs.last().ok_or(Errno::NoEntry)?;
        let entry = self.lookup(dir, name, false)?;
        Ok((dirs, entry))
    }

    pub(super) fn stat_at(&self, handle: &Handle, path: &[u8], follow: Follow) -> Result<Stat> {
        if let Some(stat) = self.stat_directly(handle, path, follow == Follow::Yes)? {
            return Ok(stat);
        }
        let found = self.resolve(handle, path, follow)?;
        found.check_slash()?;
        self.entry_stat(&found.entry)
    }
}
