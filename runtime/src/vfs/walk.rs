//! From a path to an entry: one component after the other, over the merged view.
//!
//! Symlinks are read here and continued as guest paths, whether they lie in the lower, the upper or a mounted host
//! directory; the host never follows one. `..` goes back along the directories that were walked through, so it cannot
//! be led astray, and stops at the guest's root.

use std::borrow::Cow;

use super::directory::Handle;
use super::errno::{Errno, Result};
use super::guest_fs::Fs;
use super::limits::{MAX_LINKS, MAX_PATH};
use super::node::FileKind;
use super::place::{Body, Entry, Place};

/// What to do when the last component is a symlink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follow {
    /// Go on to its target.
    Yes,
    /// Go on, unless a slash comes after it: a file can't be made there anyway.
    ToCreate,
    /// Stop at it, unless a slash after it asks for the directory behind.
    No,
    /// Stop at it in any case: the call is about the name itself.
    Never,
}

/// The form of a path's last component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Last {
    Name(Vec<u8>),
    Dot,
    DotDot,
}

/// What a path led to.
#[derive(Debug)]
pub(super) struct Found {
    /// Names from the root down to `dirs[0]`.
    prefix: Vec<Vec<u8>>,
    /// The directories on the way, never empty. The last one holds the entry or, if the path ended in `.` or `..`, is it.
    pub(super) dirs: Vec<Place>,
    pub(super) last: Last,
    pub(super) entry: Entry,
    /// Did a slash follow the last component?
    pub(super) slash: bool,
}

impl Found {
    /// The directory that holds the entry; the entry itself where [`Found::last`] is no name.
    pub(super) fn dir(&self) -> &Place {
        self.dirs
            .last()
            .expect("the walk starts with a directory and never drops the last one")
    }

    /// The entry's name, or what to say of a path that ends in `.` or `..`.
    pub(super) fn name(&self, dot: Errno, dot_dot: Errno) -> Result<&[u8]> {
        match &self.last {
            Last::Name(name) => Ok(name),
            Last::Dot => Err(dot),
            Last::DotDot => Err(dot_dot),
        }
    }

    /// Names from the root down to the directory.
    pub(super) fn dir_path(&self) -> Vec<Vec<u8>> {
        // The first is the root, or the handle's directory, whose name the prefix has already.
        let walked = self.dirs.iter().skip(1).map(|place| place.name.clone());
        self.prefix.iter().cloned().chain(walked).collect()
    }

    /// Names from the root down to the entry.
    pub(super) fn path(&self) -> Vec<Vec<u8>> {
        let mut path = self.dir_path();
        if let Last::Name(name) = &self.last {
            path.push(name.clone());
        }
        path
    }

    /// Is [`Found::path`] true at this moment? It is not when the walk began at a directory that is held by descriptor:
    /// that may have been renamed since the handle was opened.
    pub(super) fn path_is_true(&self) -> bool {
        self.prefix.is_empty()
    }

    /// `NotDir` for a slash after what exists and is no directory.
    pub(super) fn check_slash(&self) -> Result<()> {
        match self.entry {
            Entry::Absent | Entry::Directory(_) => Ok(()),
            _ if self.slash => Err(Errno::NotDir),
            _ => Ok(()),
        }
    }
}

struct Walk<'a> {
    fs: &'a Fs,
    handle: &'a Handle,
    prefix: Vec<Vec<u8>>,
    dirs: Vec<Place>,
    /// The handle's directory in `dirs`, below which the caller's `..` may not lead. `None` once a link led out of it.
    floor: Option<usize>,
}

impl Fs {
    /// Resolves `path`, which must be relative, from a handle's directory.
    pub(super) fn resolve(&self, handle: &Handle, path: &[u8], follow: Follow) -> Result<Found> {
        check_path(path)?;
        if path.first() == Some(&b'/') {
            return Err(Errno::NotPermitted);
        }
        let (prefix, dirs) = self.start(handle)?;
        let floor = Some(dirs.len() - 1);
        Walk {
            fs: self,
            handle,
            prefix,
            dirs,
            floor,
        }
        .run(path, follow)
    }

    /// Walks plain names from the root, none of which may be a link. `NoEntry` if one is no directory.
    pub(super) fn reach(&self, path: &[Vec<u8>]) -> Result<Vec<Place>> {
        let mut dirs = Vec::with_capacity(path.len() + 1);
        let mut here = self.root_place();
        for name in path {
            let Entry::Directory(next) = self.lookup(&here, name, true)? else {
                return Err(Errno::NoEntry);
            };
            dirs.push(std::mem::replace(&mut here, next));
        }
        dirs.push(here);
        Ok(dirs)
    }
}

/// Refuses what no file system takes.
pub(super) fn check_path(path: &[u8]) -> Result<()> {
    match path {
        b"" => Err(Errno::NoEntry),
        // The limit counts a closing NUL.
        _ if path.len() >= MAX_PATH => Err(Errno::NameTooLong),
        _ if path.contains(&0) => Err(Errno::Invalid),
        _ => Ok(()),
    }
}

impl Walk<'_> {
    fn run(mut self, path: &[u8], follow: Follow) -> Result<Found> {
        let mut text = Cow::Borrowed(path);
        let mut at = 0;
        // Where the caller's own components begin; what is before came from a link.
        let mut argument = 0;
        let mut links = 0;
        loop {
            let start = skip_slashes(&text, at);
            if start == text.len() {
                return Ok(self.found(Last::Dot));
            }
            let end = text[start..]
                .iter()
                .position(|&byte| byte == b'/')
                .map_or(text.len(), |len| start + len);
            at = skip_slashes(&text, end);
            let (name, is_last, slash) = (&text[start..end], at == text.len(), end != text.len());
            match name {
                b"." if is_last => return Ok(self.found(Last::Dot)),
                b"." => continue,
                b".." => {
                    self.up(start >= argument)?;
                    if is_last {
                        return Ok(self.found(Last::DotDot));
                    }
                    continue;
                }
                _ => {}
            }
            let dir = self.dirs.last().expect("never empty: `up` keeps the root");
            let entry = self.fs.lookup(dir, name, !is_last || slash)?;
            let through = !is_last
                || match follow {
                    Follow::Yes => true,
                    Follow::ToCreate => !slash,
                    Follow::No => slash,
                    Follow::Never => false,
                };
            match entry {
                entry if through && entry.kind() == Some(FileKind::Symlink) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::Loop);
                    }
                    let mut target = self.fs.link_target(dir, name, &entry)?;
                    check_path(&target)?;
                    if target.first() == Some(&b'/') {
                        self.prefix.clear();
                        self.dirs = vec![self.fs.root_place()];
                        self.floor = None;
                    }
                    argument = if argument <= end {
                        target.len()
                    } else {
                        argument - end + target.len()
                    };
                    target.extend_from_slice(&text[end..]);
                    text = Cow::Owned(target);
                    at = 0;
                }
                Entry::Directory(place) if !is_last => self.dirs.push(place),
                Entry::Absent if !is_last => return Err(Errno::NoEntry),
                _ if !is_last => return Err(Errno::NotDir),
                entry => {
                    let last = Last::Name(name.to_vec());
                    return Ok(Found {
                        prefix: self.prefix,
                        dirs: self.dirs,
                        last,
                        entry,
                        slash,
                    });
                }
            }
        }
    }

    /// The directory where the walk stands, as what was found.
    fn found(self, last: Last) -> Found {
        let here = self
            .dirs
            .last()
            .expect("never empty: `up` keeps the root")
            .clone();
        Found {
            prefix: self.prefix,
            dirs: self.dirs,
            last,
            entry: Entry::Directory(here),
            slash: false,
        }
    }

    fn up(&mut self, by_argument: bool) -> Result<()> {
        if self.floor == Some(self.dirs.len() - 1) {
            if by_argument {
                return Err(Errno::NotPermitted);
            }
            self.floor = None;
        }
        if self.dirs.len() == 1 && !self.prefix.is_empty() {
            // A link leads out of the handle's directory, and only now is it of interest what is above.
            self.dirs = self.fs.way_to(&self.handle.path, &self.dirs[0])?;
            self.prefix.clear();
        }
        if self.dirs.len() > 1 {
            self.dirs.pop();
        }
        Ok(())
    }
}

fn skip_slashes(text: &[u8], at: usize) -> usize {
    text[at..]
        .iter()
        .position(|&byte| byte != b'/')
        .map_or(text.len(), |count| at + count)
}

impl Fs {
    /// The directories from the root down to one that was at `path` once.
    fn way_to(&self, path: &[Vec<u8>], place: &Place) -> Result<Vec<Place>> {
        match self.reach(path) {
            Ok(dirs) => {
                let here = dirs.last().ok_or(Errno::NoEntry)?;
                if self.is_same_place(here, place)? {
                    return Ok(dirs);
                }
            }
            Err(Errno::NoEntry) => {}
            Err(error) => return Err(error),
        }
        match &place.body {
            // It was renamed.
            Body::Own { .. } => self
                .find_dir(&self.place_stat(place)?)?
                .ok_or(Errno::NoEntry),
            Body::Mounted { .. } => Err(Errno::NoEntry),
        }
    }

    /// Whether two places are one directory.
    pub(super) fn is_same_place(&self, one: &Place, other: &Place) -> Result<bool> {
        if let (
            Body::Own {
                lower: Some(one), ..
            },
            Body::Own {
                lower: Some(other), ..
            },
        ) = (&one.body, &other.body)
        {
            return Ok(one == other);
        }
        let (one, other) = (self.place_stat(one)?, self.place_stat(other)?);
        Ok(one.dev == other.dev && one.ino == other.ino)
    }
}
