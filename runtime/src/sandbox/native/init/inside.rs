//! Paths inside the container's root, resolved by the kernel and never outside of it.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// How often a lookup is repeated that a concurrent rename disturbs.
const TRIES: u32 = 128;

/// Whether links in a path are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Links {
    /// Yes, below the root.
    Follow,
    /// A link anywhere in the path is an error: for what the container is made of, such as /proc.
    Refuse,
}

/// The container's root directory, held open.
#[derive(Debug)]
pub(super) struct Inside(OwnedFd);

impl Inside {
    pub(super) fn new(root: OwnedFd) -> Self {
        Self(root)
    }

    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Opens a path with `O_PATH`.
    pub(super) fn find(&self, path: &Path, links: Links) -> io::Result<OwnedFd> {
        self.open(path, OFlags::PATH, links)
    }

    /// Opens a path.
    pub(super) fn open(&self, path: &Path, flags: OFlags, links: Links) -> io::Result<OwnedFd> {
        let mut resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        if links == Links::Refuse {
            resolve |= ResolveFlags::NO_SYMLINKS;
        }
        let path = plain(path)?;
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            &path
        };
        for _ in 0..TRIES {
            match rustix::fs::openat2(
                &self.0,
                path,
                flags | OFlags::CLOEXEC,
                Mode::empty(),
                resolve,
            ) {
                Err(Errno::AGAIN) => {}
                result => return result.map_err(Into::into),
            }
        }
        Err(Errno::AGAIN.into())
    }

    /// Opens a directory, and makes what is missing of it with mode 0755.
    pub(super) fn directory(&self, path: &Path, links: Links) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        match self.open(path, flags, links) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => return result,
        }
        let path = plain(path)?;
        let (parent, name) = split(&path)?;
        let parent = self.directory(parent, links)?;
        match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        // A link in its place, which leads nowhere, is not followed.
        step(&parent, name, flags)
    }

    /// Opens the directory that a path lies in, making what is missing, and returns the name in it.
    pub(super) fn parent<'a>(
        &self,
        path: &'a Path,
        links: Links,
    ) -> io::Result<(OwnedFd, &'a OsStr)> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let parent = path.parent().unwrap_or(Path::new(""));
        Ok((self.directory(parent, links)?, name))
    }

    /// Opens a file with `O_PATH`, whatever its kind, and makes an empty one if there is none.
    pub(super) fn file(&self, path: &Path, links: Links) -> io::Result<OwnedFd> {
        match self.find(path, links) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => return result,
        }
        let (parent, name) = self.parent(path, links)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(
            &parent,
            name,
            flags | OFlags::WRONLY,
            Mode::from_raw_mode(0o644),
        ) {
            Ok(_) | Err(Errno::EXIST) => step(&parent, name, OFlags::PATH),
            Err(error) => Err(error.into()),
        }
    }
}

/// Opens a name in a directory, following no link.
pub(super) fn step(directory: &OwnedFd, name: &OsStr, flags: OFlags) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(
        directory,
        name,
        flags | OFlags::CLOEXEC,
        Mode::empty(),
        resolve,
    )
    .map_err(Into::into)
}

/// Takes the root, dots and the steps back out of a path, by its text only: `..` never leaves the root.
pub(super) fn plain(path: &Path) -> io::Result<PathBuf> {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => {
                plain.pop();
            }
            Component::RootDir | Component::CurDir => {}
            Component::Prefix(_) => return Err(io::ErrorKind::InvalidInput.into()),
        }
    }
    Ok(plain)
}

fn split(path: &Path) -> io::Result<(&Path, &OsStr)> {
    let name = path.file_name().ok_or(io::ErrorKind::NotFound)?;
    Ok((path.parent().unwrap_or(Path::new("")), name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn inside(directory: &Path) -> Inside {
        Inside::new(
            std::fs::File::open(directory)
                .expect("the directory")
                .into(),
        )
    }

    #[test]
    fn links_stay_inside() {
        let outside = tempfile::tempdir().expect("a directory");
        let root = outside.path().join("root");
        std::fs::create_dir(&root).expect("a root");
        symlink("/etc", root.join("etc")).expect("a link");
        symlink("../../../../..", root.join("up")).expect("a link");
        symlink("/nowhere/at/all", root.join("dangling")).expect("a link");
        let inside = inside(&root);
        inside
            .directory(Path::new("/etc/x"), Links::Follow)
            .expect_err("the link leads to what is not there, and is not replaced");
        inside
            .directory(Path::new("dangling"), Links::Follow)
            .expect_err("nor is this one");
        assert!(!Path::new("/etc/x").exists());
        inside
            .file(Path::new("up/made/file"), Links::Follow)
            .expect("links above the root end at it");
        assert!(root.join("made/file").exists());
        inside
            .file(Path::new("../../beside"), Links::Follow)
            .expect("so do steps back");
        assert!(root.join("beside").exists());
        inside
            .find(Path::new("up"), Links::Refuse)
            .expect_err("no links");
    }
}
