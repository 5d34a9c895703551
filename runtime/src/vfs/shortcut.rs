//! Whole paths in one system call, where nothing can be in the way.
//!
//! Walking costs some three calls for each name. But where the image has nothing at a path, no whiteout can hide
//! anything either, so what the upper says is the whole truth; and a host directory that is mounted always is. There the
//! kernel may walk, if it promises to follow no link and not to leave the directory. Whatever it is unsure of (a link, no
//! directory where one should be, a kernel without `openat2`) is walked by name as ever: everything here answers
//! `None` then.
//!
//! Names that the image does not have are made and removed without the upper's lock: each is one step on the host, and
//! no mark changes. Where the upper is bounded, the lock is needed for the count.

use std::sync::Arc;

use super::copy_up::{DIRECTORY_MODE, FILE_MODE};
use super::directory::Handle;
use super::errno::{Errno, Result};
use super::file::{Data, File};
use super::guest_fs::Fs;
use super::host::{self, Beneath, HostDir};
use super::limits::MAX_NAME;
use super::mounted::{HOST_FILE_MODE, MountedDir};
use super::mounts::{Access, Point, Source};
use super::node::{FileKind, Node, OpenOptions, Stat};
use super::origin;
use super::own_file::OwnFile;
use super::place::{Body, mount_numbers, upper_numbers};
use super::upper::is_reserved;
use super::walk::check_path;

/// A path that the kernel may walk.
struct Direct<'a> {
    base: HostDir,
    /// Plain names only, at least one.
    path: &'a [u8],
    area: Area,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Area {
    /// The upper. Has the image something there, under its own name?
    Own { in_image: bool },
    /// A mounted host directory.
    Mounted(Point),
}

impl Area {
    /// Is what the host says all there is to say?
    fn is_plain(self) -> bool {
        self != Self::Own { in_image: true }
    }
}

/// What is at a path's end: the directory above, and the name there.
struct Site<'a> {
    dir: HostDir,
    name: &'a [u8],
    area: Area,
}

impl<'a> Direct<'a> {
    /// The path of the directory above, if it is not the base itself, and the last name.
    fn split(&self) -> (Option<&'a [u8]>, &'a [u8]) {
        match self.path.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => (Some(&self.path[..slash]), &self.path[slash + 1..]),
            None => (None, self.path),
        }
    }

    /// The directory above the last name.
    fn site(self) -> Result<Beneath<Site<'a>>> {
        let (above, name) = self.split();
        let Self { base, area, .. } = self;
        if !area.is_plain() {
            return Ok(Beneath::Unsure);
        }
        let site = |dir| Beneath::Found(Site { dir, name, area });
        let Some(above) = above else {
            return Ok(site(base));
        };
        Ok(match base.open_dir_beneath(above)? {
            Beneath::Found(dir) => site(dir),
            Beneath::Absent => Beneath::Absent,
            Beneath::Unsure => Beneath::Unsure,
        })
    }
}

impl Fs {
    fn direct<'a>(&self, handle: &Handle, path: &'a [u8]) -> Result<Option<Direct<'a>>> {
        if check_path(path).is_err() {
            return Ok(None);
        }
        let is_plain = |name: &[u8]| !matches!(name, b"" | b"." | b"..") && name.len() <= MAX_NAME;
        if !path.split(|&byte| byte == b'/').all(is_plain) {
            return Ok(None);
        }
        let known = match &handle.place.body {
            Body::Own { upper, .. } => upper.is_some() || handle.copied_up.get().is_some(),
            Body::Mounted { dir, .. } => matches!(dir, Some(MountedDir::Host(_))),
        };
        if !known {
            return Ok(None);
        }
        let (_, dirs) = self.start(handle)?;
        let Some(place) = dirs.last() else {
            return Ok(None);
        };
        let (mut base, mut lower, mut mount) = match &place.body {
            Body::Own {
                upper: Some(upper),
                lower,
            } => (upper.clone(), *lower, None),
            Body::Mounted {
                mount,
                dir: Some(MountedDir::Host(dir)),
            } => (dir.clone(), None, Some(*mount)),
            _ => return Ok(None),
        };
        let mut point = place.point;
        let mut rest = 0;
        let mut at = 0;
        let mut in_image = false;
        for name in path.split(|&byte| byte == b'/') {
            at += name.len() + 1;
            point = self.mounts.child(point, name);
            if let Some(point) = point {
                match &self.mounts.point(point).mount {
                    Some(super::mounts::Mount {
                        source: Source::Directory(MountedDir::Host(dir)),
                        ..
                    }) if at < path.len() => {
                        (base, lower, mount) = (dir.clone(), None, Some(point));
                        rest = at;
                        continue;
                    }
                    // The way to a mount may be hollow, and its point has attributes of its own.
                    _ => return Ok(None),
                }
            }
            if mount.is_none() && is_reserved(name) {
                return Ok(None);
            }
            let Some(dir) = lower else { continue };
            lower = self.lower.lookup(dir, name)?;
            match lower {
                None => {}
                Some(_) if at > path.len() => in_image = true,
                Some(node) if self.lower.stat(node)?.kind == FileKind::Directory => {}
                Some(_) => return Ok(None),
            }
        }
        Ok(Some(Direct {
            base,
            path: &path[rest..],
            area: match mount {
                Some(point) => Area::Mounted(point),
                None => Area::Own { in_image },
            },
        }))
    }

    /// The directory above a path's last name, where names may change.
    fn direct_site<'a>(&self, handle: &Handle, path: &'a [u8]) -> Result<Option<Site<'a>>> {
        let Some(direct) = self.direct(handle, path)? else {
            return Ok(None);
        };
        Ok(match direct.site()? {
            Beneath::Found(site) => Some(site),
            // A directory above may be the image's alone, and has to be copied first.
            Beneath::Absent | Beneath::Unsure => None,
        })
    }

    fn may_change(&self, area: Area) -> bool {
        match area {
            Area::Own { .. } => {
                !self.read_only && self.upper.as_ref().is_some_and(|upper| !upper.is_bounded())
            }
            Area::Mounted(point) => self.mounts.access(point) == Access::ReadWrite,
        }
    }

    pub(super) fn stat_directly(
        &self,
        handle: &Handle,
        path: &[u8],
        follow: bool,
    ) -> Result<Option<Stat>> {
        let Some(direct) = self.direct(handle, path)? else {
            return Ok(None);
        };
        let (dir, name, area) = match direct.site()? {
            Beneath::Found(Site { dir, name, area }) => (dir, name, area),
            // A directory above may be the image's alone, but that has nothing of this name.
            Beneath::Absent => return Err(Errno::NoEntry),
            Beneath::Unsure => return Ok(None),
        };
        let stat = dir.stat_at(name)?.ok_or(Errno::NoEntry)?;
        Ok(match area {
            _ if stat.kind == FileKind::Symlink && follow => None,
            Area::Mounted(_) => Some(mount_numbers(stat)),
            Area::Own { .. } if origin::is_marked(&stat) => None,
            Area::Own { .. } => Some(Stat {
                uid: 0,
                gid: 0,
                ..upper_numbers(stat)
            }),
        })
    }

    pub(super) fn open_directly(
        self: &Arc<Self>,
        handle: &Handle,
        path: &[u8],
        options: &OpenOptions,
    ) -> Result<Option<Node>> {
        if options.directory {
            return Ok(None);
        }
        let Some(direct) = self.direct(handle, path)? else {
            return Ok(None);
        };
        match direct.area {
            Area::Own { in_image } => self.open_own(&direct, in_image, options),
            Area::Mounted(_) => self.open_mounted(direct, options),
        }
    }

    fn open_own(
        self: &Arc<Self>,
        direct: &Direct<'_>,
        in_image: bool,
        options: &OpenOptions,
    ) -> Result<Option<Node>> {
        let must_be_new = options.create && options.exclusive;
        // What the image has is mostly not in the upper, unless it is for writing.
        if self.read_only || in_image && (must_be_new || !options.writes()) {
            return Ok(None);
        }
        let found = if must_be_new {
            Beneath::Absent
        } else {
            direct
                .base
                .open_file_beneath(direct.path, options.read, options.writes())?
        };
        let file = match found {
            Beneath::Found(file) => {
                let file = match OwnFile::new(self, file) {
                    Err(Errno::NoEntry) => return Ok(None),
                    file => File::new(Data::Own(file?), options, true),
                };
                if options.truncate {
                    file.truncate()?;
                }
                file
            }
            Beneath::Absent if options.create && !in_image && self.may_change(direct.area) => {
                let Beneath::Found(file) =
                    direct.base.create_file_beneath(direct.path, FILE_MODE)?
                else {
                    return Ok(None);
                };
                host::set_file_mode(&file, FILE_MODE)?;
                File::new(Data::Own(OwnFile::new(self, file)?), options, true)
            }
            Beneath::Absent if !options.create && !in_image => return Err(Errno::NoEntry),
            Beneath::Absent | Beneath::Unsure => return Ok(None),
        };
        Ok(Some(Node::File(file)))
    }

    /// A host's directory may hold devices and pipes, which must not be opened even for a moment.
    fn open_mounted(
        self: &Arc<Self>,
        direct: Direct<'_>,
        options: &OpenOptions,
    ) -> Result<Option<Node>> {
        let may_change = self.may_change(direct.area);
        if (options.create || options.writes()) && !may_change {
            return Ok(None);
        }
        if options.create && options.exclusive {
            let made = direct
                .base
                .create_file_beneath(direct.path, HOST_FILE_MODE)?;
            return Ok(match made {
                Beneath::Found(file) => {
                    Some(Node::File(File::new(Data::Mounted(file), options, true)))
                }
                Beneath::Absent | Beneath::Unsure => None,
            });
        }
        let Beneath::Found(Site { dir, name, .. }) = direct.site()? else {
            return Ok(None);
        };
        let dir = MountedDir::Host(dir);
        let data = match dir.stat_at(name)? {
            Some(stat) if stat.kind == FileKind::File => {
                dir.open_file(name, options.read, options.writes())
            }
            None if options.create => {
                let file = File::new(dir.create_file(name)?, options, true);
                return Ok(Some(Node::File(file)));
            }
            None => return Err(Errno::NoEntry),
            Some(_) => return Ok(None),
        };
        let file = match data {
            // Removed or replaced since the look.
            Err(Errno::NoEntry | Errno::Loop | Errno::IsDir) => return Ok(None),
            data => File::new(data?, options, may_change),
        };
        if options.truncate {
            file.truncate()?;
        }
        Ok(Some(Node::File(file)))
    }

    pub(super) fn create_dir_directly(&self, handle: &Handle, path: &[u8]) -> Result<Option<()>> {
        let Some(Site { dir, name, area }) = self.direct_site(handle, path)? else {
            return Ok(None);
        };
        if !self.may_change(area) {
            return Ok(None);
        }
        match area {
            Area::Mounted(_) => MountedDir::Host(dir).create_dir(name)?,
            Area::Own { .. } => {
                dir.create_dir(name, DIRECTORY_MODE)?;
                dir.open_dir(name)?.set_mode(DIRECTORY_MODE)?;
            }
        }
        Ok(Some(()))
    }

    pub(super) fn remove_file_directly(&self, handle: &Handle, path: &[u8]) -> Result<Option<()>> {
        match self.direct_site(handle, path)? {
            Some(Site { dir, name, area }) if self.may_change(area) => {
                dir.remove_file(name).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Files and links only: a directory brings marks and handles with it.
    pub(super) fn rename_directly(
        &self,
        from: (&Handle, &[u8]),
        to: (&Handle, &[u8]),
    ) -> Result<Option<()>> {
        let (Some(old), Some(new)) = (self.direct(from.0, from.1)?, self.direct(to.0, to.1)?)
        else {
            return Ok(None);
        };
        if old.area != new.area || !self.may_change(old.area) {
            return Ok(None);
        }
        // Mostly a name changes and no directory.
        let (above, name) = new.split();
        let shared = (old.base.is_same_handle(&new.base) && old.split().0 == above).then_some(name);
        let Beneath::Found(old) = old.site()? else {
            return Ok(None);
        };
        let new = match shared {
            Some(name) => Site {
                dir: old.dir.clone(),
                name,
                area: old.area,
            },
            None => match new.site()? {
                Beneath::Found(site) => site,
                Beneath::Absent | Beneath::Unsure => return Ok(None),
            },
        };
        // Onto a directory the host does not move what is none.
        if old
            .dir
            .stat_at(old.name)?
            .is_some_and(|stat| stat.kind == FileKind::Directory)
        {
            return Ok(None);
        }
        old.dir.rename(old.name, &new.dir, new.name).map(Some)
    }
}
