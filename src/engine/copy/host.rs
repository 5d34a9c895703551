//! The host's side.

use std::io;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};
use coracle_packager::layer::Attributes;
use coracle_runtime::vfs::Timestamp;

use super::super::host_files;
use super::{CopiedFiles, CopyError, Item, Sink, failed, join};

/// Hands over a file or folder, and all below it, under the name `prefix`.
pub(super) fn host_tree(
    path: &Path,
    follow: bool,
    prefix: &[u8],
    sink: &mut dyn Sink,
    copied: &mut CopiedFiles,
) -> Result<(), CopyError> {
    let mut ahead = vec![(path.to_owned(), prefix.to_vec())];
    let mut follow = follow;
    while let Some((path, name)) = ahead.pop() {
        let shown = path.display().to_string();
        let is_dir = one(&path, follow, &name, sink, copied).map_err(failed(&shown))?;
        if is_dir {
            let mut names = Vec::new();
            for entry in std::fs::read_dir(&path).map_err(failed(&shown))? {
                names.push(entry.map_err(failed(&shown))?.file_name());
            }
            // The first is to be taken first.
            names.sort_unstable_by(|a, b| b.cmp(a));
            let below = names.iter().map(|below| {
                let bytes = host_files::bytes(Path::new(below));
                (path.join(below), join(&name, &bytes))
            });
            ahead.extend(below);
        }
        follow = false;
    }
    Ok(())
}

/// Hands over one thing, and says whether it is a directory.
fn one(
    path: &Path,
    follow: bool,
    name: &[u8],
    sink: &mut dyn Sink,
    copied: &mut CopiedFiles,
) -> io::Result<bool> {
    let metadata = match follow {
        true => std::fs::metadata(path),
        false => std::fs::symlink_metadata(path),
    }?;
    let attributes = host_files::attributes(&metadata);
    if metadata.is_dir() {
        sink.put(name, &attributes, Item::Directory)?;
        return Ok(true);
    }
    if metadata.is_symlink() {
        let target = host_files::bytes(&std::fs::read_link(path)?);
        sink.put(name, &attributes, Item::Symlink(&target))?;
    } else if metadata.is_file() {
        let mut file = std::fs::File::open(path)?;
        let size = file.metadata()?.len();
        copied.bytes = copied.bytes.saturating_add(size);
        sink.put(name, &attributes, Item::File(size, &mut file))?;
    } else {
        let path = path.display();
        copied
            .left
            .push(format!("{path}: neither a file, a directory nor a link"));
    }
    Ok(false)
}

/// Puts files into a folder. What comes from a container leads nowhere else: its paths and the links on them end below the folder.
pub(super) struct HostSink {
    dir: Dir,
    keeps_owners: bool,
    /// Directories, whose times change with what is put into them, and whose modes may forbid it.
    directories: Vec<(PathBuf, Attributes)>,
}

impl HostSink {
    pub(super) fn open(base: &Path, keeps_owners: bool) -> Result<Self, CopyError> {
        let dir = Dir::open_ambient_dir(base, ambient_authority());
        Ok(Self {
            dir: dir.map_err(failed(&base.display().to_string()))?,
            keeps_owners,
            directories: Vec::new(),
        })
    }

    fn owner(&self, attributes: &Attributes) -> Option<(u32, u32)> {
        self.keeps_owners
            .then_some((attributes.uid, attributes.gid))
    }

    fn give(&self, file: &std::fs::File, attributes: &Attributes) -> io::Result<()> {
        let time = Timestamp {
            sec: attributes.mtime,
            nsec: 0,
        };
        host_files::set(file, attributes.mode, self.owner(attributes), time)
    }
}

impl Sink for HostSink {
    fn put(&mut self, path: &[u8], attributes: &Attributes, item: Item<'_>) -> io::Result<()> {
        if path.is_empty() {
            // The folder itself stays as it is.
            return Ok(());
        }
        let path = host_files::path(path)?;
        let there = self.dir.symlink_metadata(&path).ok();
        if let Item::Directory = item {
            match there {
                Some(there) if there.is_dir() => {}
                Some(_) => {
                    return Err(io::Error::other("cannot overwrite a file with a directory"));
                }
                None => self.dir.create_dir(&path)?,
            }
            self.directories.push((path, attributes.clone()));
            return Ok(());
        }
        if let Some(there) = there {
            if there.is_dir() {
                return Err(io::Error::other("cannot overwrite a directory with a file"));
            }
            self.dir.remove_file(&path)?;
        }
        match item {
            Item::Symlink(target) => {
                host_files::symlink(&self.dir, target, &path, self.owner(attributes))
            }
            Item::HardLink(target) => {
                let target = host_files::path(target)?;
                self.dir.hard_link(target, &self.dir, &path)
            }
            Item::File(size, content) => {
                let mut options = OpenOptions::new();
                options.write(true).create_new(true);
                let mut file = self.dir.open_with(&path, &options)?.into_std();
                io::copy(&mut io::Read::take(content, size), &mut file)?;
                self.give(&file, attributes)
            }
            Item::Directory => Ok(()),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        for (path, attributes) in std::mem::take(&mut self.directories).into_iter().rev() {
            let dir = self.dir.open(&path)?.into_std();
            self.give(&dir, &attributes)?;
        }
        Ok(())
    }
}
