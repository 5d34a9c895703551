//! The container's side.

use std::io::{self, Read};

use coracle_packager::layer::Attributes;
use coracle_runtime::vfs::{
    Attributes as GuestAttributes, Errno, File, FileKind, GuestFs, Node, OpenOptions, SetTime,
    SetTimes, Stat, Timestamp,
};

use super::super::export::Content;
use super::{CopiedFiles, CopyError, Item, Sink, failed, join, parent, stat, wrong};

/// Bytes that are written at a time.
const CHUNK: usize = 256 << 10;

/// Hands over what is at a path, and all below it, under the name `prefix`.
pub(super) fn guest_tree(
    fs: &GuestFs,
    path: &[u8],
    follow: bool,
    prefix: &[u8],
    sink: &mut dyn Sink,
    copied: &mut CopiedFiles,
) -> Result<(), CopyError> {
    // A guest decides how deep it goes.
    let mut ahead = vec![(path.to_vec(), prefix.to_vec())];
    let mut follow = follow;
    while let Some((path, name)) = ahead.pop() {
        let shown = format!("/{}", String::from_utf8_lossy(&path));
        // One that is gone meanwhile is not there.
        let Ok(stat) = stat(fs, &path, follow) else {
            continue;
        };
        one(fs, &path, &stat, follow, &name, sink, copied).map_err(failed(&shown))?;
        if stat.kind == FileKind::Directory {
            let mut names = match list(fs, &path) {
                Ok(names) => names,
                Err(error) => {
                    copied.left.push(format!("{shown}: {error}"));
                    continue;
                }
            };
            // The first is to be taken first.
            names.reverse();
            let below = names
                .iter()
                .map(|below| (join(&path, below), join(&name, below)));
            ahead.extend(below);
        }
        follow = false;
    }
    Ok(())
}

fn list(fs: &GuestFs, path: &[u8]) -> Result<Vec<Vec<u8>>, Errno> {
    let options = OpenOptions {
        read: true,
        directory: true,
        follow: true,
        ..OpenOptions::default()
    };
    let directory = match path {
        [] => fs.root(),
        path => match fs.root().open(path, &options)? {
            Node::Directory(directory) => directory,
            Node::File(_) => return Err(Errno::NotDir),
        },
    };
    let entries = directory.read_dir()?.into_iter();
    let mut names: Vec<Vec<u8>> = entries
        .map(|entry| entry.name)
        .filter(|name| !matches!(name.as_slice(), b"." | b".."))
        .collect();
    names.sort_unstable();
    Ok(names)
}

fn one(
    fs: &GuestFs,
    path: &[u8],
    stat: &Stat,
    follow: bool,
    name: &[u8],
    sink: &mut dyn Sink,
    copied: &mut CopiedFiles,
) -> io::Result<()> {
    let attributes = Attributes {
        mode: stat.mode,
        uid: stat.uid,
        gid: stat.gid,
        mtime: stat.mtime.sec,
        ..Attributes::default()
    };
    match stat.kind {
        FileKind::Directory => sink.put(name, &attributes, Item::Directory),
        FileKind::Symlink => {
            let target = fs.root().read_link(path).map_err(wrong)?;
            sink.put(name, &attributes, Item::Symlink(&target))
        }
        FileKind::File => {
            let options = OpenOptions {
                read: true,
                follow,
                ..OpenOptions::default()
            };
            let Node::File(file) = fs.root().open(path, &options).map_err(wrong)? else {
                return Err(io::ErrorKind::IsADirectory.into());
            };
            // Its size may have changed since it was looked at, and may while it is read.
            let size = file.stat().map_or(stat.size, |stat| stat.size);
            copied.bytes = copied.bytes.saturating_add(size);
            let mut content = Content::new(file, size);
            sink.put(name, &attributes, Item::File(size, &mut content))
        }
        FileKind::CharDevice | FileKind::BlockDevice | FileKind::Fifo | FileKind::Socket => {
            let path = String::from_utf8_lossy(path);
            copied
                .left
                .push(format!("/{path}: neither a file, a directory nor a link"));
            Ok(())
        }
    }
}

/// Puts files into a container.
pub(super) struct GuestSink<'a> {
    fs: &'a GuestFs,
    base: Vec<u8>,
    keeps_owners: bool,
    /// Directories, whose times change with what is put into them.
    directories: Vec<(Vec<u8>, i64)>,
}

impl<'a> GuestSink<'a> {
    pub(super) fn new(fs: &'a GuestFs, base: Vec<u8>, keeps_owners: bool) -> Self {
        Self {
            fs,
            base,
            keeps_owners,
            directories: Vec::new(),
        }
    }

    fn give(&self, path: &[u8], attributes: &Attributes) -> io::Result<()> {
        let (uid, gid) = match self.keeps_owners {
            true => (attributes.uid, attributes.gid),
            false => (0, 0),
        };
        let given = GuestAttributes {
            mode: attributes.mode,
            uid,
            gid,
        };
        self.fs.root().set_attributes_at(path, given).map_err(wrong)
    }

    fn time(&self, path: &[u8], seconds: i64) -> io::Result<()> {
        let times = SetTimes {
            atime: SetTime::Omit,
            mtime: SetTime::At(Timestamp {
                sec: seconds,
                nsec: 0,
            }),
        };
        self.fs
            .root()
            .set_times_at(path, false, times)
            .map_err(wrong)
    }

    /// Makes the directories above a path that an archive has not named.
    fn make_parents(&self, path: &[u8]) -> io::Result<()> {
        let mut missing = Vec::new();
        let mut at = parent(path);
        while !at.is_empty() && stat(self.fs, at, true).is_err() {
            missing.push(at);
            at = parent(at);
        }
        for path in missing.into_iter().rev() {
            self.fs.root().create_dir(path).map_err(wrong)?;
        }
        Ok(())
    }
}

impl Sink for GuestSink<'_> {
    fn put(&mut self, path: &[u8], attributes: &Attributes, item: Item<'_>) -> io::Result<()> {
        let whole = join(&self.base, path);
        let root = self.fs.root();
        let there = stat(self.fs, &whole, false).ok().map(|stat| stat.kind);
        if let Item::Directory = item {
            match there {
                // The place itself stays as it is.
                Some(FileKind::Directory) if path.is_empty() => return Ok(()),
                Some(FileKind::Directory) => {}
                Some(_) => return Err(overwrites("a file with a directory")),
                None => {
                    self.make_parents(&whole)?;
                    root.create_dir(&whole).map_err(wrong)?;
                }
            }
            self.give(&whole, attributes)?;
            self.directories.push((whole, attributes.mtime));
            return Ok(());
        }
        match there {
            Some(FileKind::Directory) => return Err(overwrites("a directory with a file")),
            Some(_) => root.remove_file(&whole).map_err(wrong)?,
            None => self.make_parents(&whole)?,
        }
        match item {
            Item::Symlink(target) => root.symlink(target, &whole).map_err(wrong)?,
            Item::HardLink(target) => {
                let target = join(&self.base, target);
                return root.hard_link(&target, false, &root, &whole).map_err(wrong);
            }
            Item::File(size, content) => {
                let options = OpenOptions {
                    write: true,
                    create: true,
                    exclusive: true,
                    ..OpenOptions::default()
                };
                let Node::File(file) = root.open(&whole, &options).map_err(wrong)? else {
                    return Err(io::ErrorKind::IsADirectory.into());
                };
                write(&file, size, content)?;
            }
            Item::Directory => {}
        }
        self.give(&whole, attributes)?;
        self.time(&whole, attributes.mtime)
    }

    fn finish(&mut self) -> io::Result<()> {
        for (path, mtime) in std::mem::take(&mut self.directories).into_iter().rev() {
            self.time(&path, mtime)?;
        }
        Ok(())
    }
}

fn overwrites(what: &str) -> io::Error {
    io::Error::other(format!("cannot overwrite {what}"))
}

fn write(file: &File, size: u64, content: &mut dyn Read) -> io::Result<()> {
    let mut content = content.take(size);
    let mut buffer = vec![0; CHUNK.min(usize::try_from(size).unwrap_or(CHUNK).max(1))];
    let mut offset = 0_u64;
    loop {
        let count = match content.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let mut rest = buffer.get(..count).unwrap_or_default();
        while !rest.is_empty() {
            let written = file.write_at(rest, offset).map_err(wrong)?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            offset = offset.saturating_add(written as u64);
            rest = rest.get(written..).unwrap_or_default();
        }
    }
}
