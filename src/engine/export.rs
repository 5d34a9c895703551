//! A container's file system as an archive.

use std::collections::HashMap;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use coracle_packager::layer::{Attributes, NewMember, TarWriter};
use coracle_runtime::vfs::{File, FileKind, GuestFs, Node, OpenOptions, Stat};

use super::replace::Replace;
use super::{Engine, Error};

/// Where a container is exported to.
pub enum ExportTo<'a> {
    /// A file, which appears when it is whole.
    File(&'a Path),
    /// A stream.
    Stream(&'a mut dyn Write),
}

impl Engine {
    /// Writes a container's files as a tar: those of its image and its own changes, without what is mounted. It may run
    /// meanwhile; each file is then as it is when its turn comes. Returns the paths of what a tar of files cannot hold or
    /// what could not be read, with the reason: they are left out.
    ///
    /// # Errors
    ///
    /// If there is no such container, its image is gone or damaged, or something cannot be written.
    pub fn export(&self, text: &str, to: ExportTo<'_>) -> Result<Vec<String>, Error> {
        let container = self.find_container(text)?.container;
        let fs = self.changes_of(&container)?.merged;
        write_to(&fs, to)
    }
}

/// Writes all files as a tar archive.
pub(super) fn write_to(fs: &GuestFs, to: ExportTo<'_>) -> Result<Vec<String>, Error> {
    match to {
        ExportTo::Stream(stream) => write(fs, stream, "standard output"),
        ExportTo::File(path) => {
            let mut file = Replace::create(path)?;
            let left = write(fs, &mut file.file, &path.display().to_string())?;
            file.finish()?;
            Ok(left)
        }
    }
}

fn write(fs: &GuestFs, stream: &mut dyn Write, name: &str) -> Result<Vec<String>, Error> {
    let mut export = Export {
        fs,
        tar: TarWriter::new(BufWriter::with_capacity(256 << 10, stream)),
        linked: HashMap::new(),
        left: Vec::new(),
    };
    let failed = |source| Error::File {
        doing: "writing",
        path: PathBuf::from(name),
        source,
    };
    // What is to be listed, the last one first. A guest decides how deep it goes.
    let mut ahead = vec![Vec::new()];
    while let Some(path) = ahead.pop() {
        export.directory(&path, &mut ahead).map_err(failed)?;
    }
    export.tar.finish().map_err(failed)?;
    Ok(export.left)
}

struct Export<'a, W: Write> {
    fs: &'a GuestFs,
    tar: TarWriter<W>,
    /// The first path of each file that has several.
    linked: HashMap<(u64, u64), Vec<u8>>,
    left: Vec<String>,
}

impl<W: Write> Export<'_, W> {
    /// Writes what is in a directory, and puts those in it on the list.
    fn directory(&mut self, path: &[u8], ahead: &mut Vec<Vec<u8>>) -> std::io::Result<()> {
        let options = OpenOptions {
            read: true,
            directory: true,
            ..OpenOptions::default()
        };
        let opened = match path {
            [] => Ok(Node::Directory(self.fs.root())),
            path => self.fs.root().open(path, &options),
        };
        let directory = match opened {
            Ok(Node::Directory(directory)) => directory,
            Ok(Node::File(_)) => return Ok(()),
            Err(error) => {
                self.leave(path, &error.to_string());
                return Ok(());
            }
        };
        let mut entries = match directory.read_dir() {
            Ok(entries) => entries,
            Err(error) => {
                self.leave(path, &error.to_string());
                return Ok(());
            }
        };
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let mut below = Vec::new();
        for entry in entries {
            if matches!(entry.name.as_slice(), b"." | b"..") {
                continue;
            }
            let path = match path {
                [] => entry.name.clone(),
                path => [path, b"/", &entry.name].concat(),
            };
            // One that is gone meanwhile is not there.
            let Ok(stat) = directory.stat_at(&entry.name, false) else {
                continue;
            };
            if self.member(&path, &stat)? {
                below.push(path);
            }
        }
        ahead.extend(below.into_iter().rev());
        Ok(())
    }

    /// Writes one member, and returns whether it is a directory.
    fn member(&mut self, path: &[u8], stat: &Stat) -> std::io::Result<bool> {
        let attributes = Attributes {
            mode: stat.mode,
            uid: stat.uid,
            gid: stat.gid,
            mtime: stat.mtime.sec,
            ..Attributes::default()
        };
        match stat.kind {
            FileKind::Directory => {
                self.tar.member(path, &attributes, NewMember::Directory)?;
                return Ok(true);
            }
            FileKind::Symlink => match self.fs.root().read_link(path) {
                Ok(target) => self
                    .tar
                    .member(path, &attributes, NewMember::Symlink(&target))?,
                Err(error) => self.leave(path, &error.to_string()),
            },
            FileKind::File => self.file(path, stat, &attributes)?,
            FileKind::CharDevice | FileKind::BlockDevice | FileKind::Fifo | FileKind::Socket => {
                self.leave(path, "neither a file, a directory nor a link");
            }
        }
        Ok(false)
    }

    fn file(&mut self, path: &[u8], stat: &Stat, attributes: &Attributes) -> std::io::Result<()> {
        let options = OpenOptions {
            read: true,
            ..OpenOptions::default()
        };
        let file = match self.fs.root().open(path, &options) {
            Ok(Node::File(file)) => file,
            Ok(Node::Directory(_)) => return Ok(()),
            Err(error) => {
                self.leave(path, &error.to_string());
                return Ok(());
            }
        };
        if stat.nlink > 1 {
            let first = self.linked.get(&(stat.dev, stat.ino));
            if let Some(first) = first {
                return self
                    .tar
                    .member(path, attributes, NewMember::HardLink(first));
            }
            self.linked.insert((stat.dev, stat.ino), path.to_vec());
        }
        // Its size may have changed since it was looked at, and may while it is read.
        let size = file.stat().map_or(stat.size, |stat| stat.size);
        let mut content = Content::new(file, size);
        self.tar
            .member(path, attributes, NewMember::File(size, &mut content))
    }

    fn leave(&mut self, path: &[u8], why: &str) {
        self.left
            .push(format!("/{}: {why}", String::from_utf8_lossy(path)));
    }
}

/// A file with the size that was announced: what became shorter meanwhile ends in zeros.
pub(super) struct Content {
    file: File,
    offset: u64,
    size: u64,
}

impl Content {
    pub(super) fn new(file: File, size: u64) -> Self {
        Self {
            file,
            offset: 0,
            size,
        }
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let rest = self.size.saturating_sub(self.offset);
        let len = usize::try_from(rest).map_or(buffer.len(), |rest| rest.min(buffer.len()));
        let Some(buffer) = buffer.get_mut(..len).filter(|buffer| !buffer.is_empty()) else {
            return Ok(0);
        };
        let read = self.file.read_at(buffer, self.offset);
        let mut count = read.map_err(|error| std::io::Error::other(error.to_string()))?;
        if count == 0 {
            buffer.fill(0);
            count = buffer.len();
        }
        self.offset = self.offset.saturating_add(count as u64);
        Ok(count)
    }
}
