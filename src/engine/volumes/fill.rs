//! Copies what an image has in a volume's place into the volume, the first time it is used.
//!
//! Whoever is killed on the way leaves whole files and a mark; the next one goes on. A file that a guest has put there
//! meanwhile stays.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use coracle_runtime::container::remove_tree;
use coracle_runtime::vfs::{Errno, FileKind, GuestFs, Node, OpenOptions, Stat};

use super::super::host_files;
use super::store::{Volume, failed};
use super::{VolumeError, VolumeName};

const LOCK: &str = "lock";
const FILLING: &str = "filling";
const STAGING: &str = "staging";

/// Bytes that are copied at a time.
const CHUNK: usize = 256 << 10;

/// What could not be copied, and the name of the volume.
fn failed_at(name: &VolumeName, path: &[u8]) -> impl FnOnce(io::Error) -> VolumeError {
    let (name, path) = (name.clone(), String::from_utf8_lossy(path).into_owned());
    move |source| VolumeError::Filling { name, path, source }
}

/// Copies the files at `target` into the volume, unless it has files already.
pub(super) fn fill(image: &GuestFs, target: &str, volume: &Volume) -> Result<(), VolumeError> {
    let path = volume.home.join(LOCK);
    let lock = File::create(&path).map_err(failed("opening", &path))?;
    lock.lock().map_err(failed("locking", &path))?;
    let (mark, staging) = (volume.home.join(FILLING), volume.home.join(STAGING));
    if !mark.exists() && !is_empty(volume)? {
        return Ok(());
    }
    let source = target.trim_matches('/').as_bytes();
    match image.root().stat_at(source, true) {
        Ok(stat) if stat.kind == FileKind::Directory => {}
        // Then there is nothing to copy. A file there is refused when the volume is mounted over it.
        Ok(_) | Err(_) => return Ok(()),
    }
    File::create(&mark).map_err(failed("creating", &mark))?;
    remove_tree(&staging).map_err(failed("removing", &staging))?;
    fs::create_dir(&staging).map_err(failed("creating", &staging))?;
    let open = |path: &Path| {
        Dir::open_ambient_dir(path, ambient_authority()).map_err(failed("opening", path))
    };
    let copy = Copy {
        image,
        data: open(&volume.path())?,
        staging: open(&staging)?,
    };
    copy.tree(source, &volume.name)?;
    remove_tree(&staging).map_err(failed("removing", &staging))?;
    fs::remove_file(&mark).map_err(failed("removing", &mark))
}

/// Has the volume no files?
pub(super) fn is_empty(volume: &Volume) -> Result<bool, VolumeError> {
    let path = volume.path();
    let mut entries = fs::read_dir(&path).map_err(failed("listing", &path))?;
    Ok(entries.next().is_none())
}

struct Copy<'a> {
    image: &'a GuestFs,
    data: Dir,
    staging: Dir,
}

impl Copy<'_> {
    fn tree(&self, source: &[u8], name: &VolumeName) -> Result<(), VolumeError> {
        // Where in the image, and where in the volume. An image decides how deep it goes.
        let mut ahead = vec![(source.to_vec(), PathBuf::from("."))];
        let mut directories = Vec::new();
        while let Some((from, to)) = ahead.pop() {
            let stat = self
                .directory(&from, &to, &mut ahead)
                .map_err(failed_at(name, &from))?;
            directories.push((from, to, stat));
        }
        // What is written into a directory changes its time; so theirs come last, from the inside out.
        for (from, to, stat) in directories.into_iter().rev() {
            // A `Dir` is opened to find what is below it, and for nothing else.
            self.data
                .open(&to)
                .and_then(|dir| set(&dir.into_std(), &stat))
                .map_err(failed_at(name, &from))?;
        }
        Ok(())
    }

    /// Copies what is in a directory, and puts the directories in it on the list.
    fn directory(
        &self,
        from: &[u8],
        to: &Path,
        ahead: &mut Vec<(Vec<u8>, PathBuf)>,
    ) -> io::Result<Stat> {
        let options = OpenOptions {
            read: true,
            directory: true,
            follow: true,
            ..OpenOptions::default()
        };
        let Node::Directory(directory) = self.image.root().open(from, &options).map_err(wrong)?
        else {
            return Err(ErrorKind::NotADirectory.into());
        };
        let into = self.data.open_dir(to)?;
        for entry in directory.read_dir().map_err(wrong)? {
            if matches!(entry.name.as_slice(), b"." | b"..") {
                continue;
            }
            let name = host_files::path(&entry.name)?;
            let stat = directory.stat_at(&entry.name, false).map_err(wrong)?;
            match stat.kind {
                FileKind::Directory => {
                    match into.create_dir(&name) {
                        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                        made => made?,
                    }
                    ahead.push(([from, b"/", &entry.name].concat(), to.join(&name)));
                }
                FileKind::File => self.file(&directory, &entry.name, &into, &name, &stat)?,
                FileKind::Symlink => {
                    let target = directory.read_link(&entry.name).map_err(wrong)?;
                    match host_files::symlink(&into, &target, &name, Some((stat.uid, stat.gid))) {
                        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                        made => made?,
                    }
                }
                // Docker copies these; a WebAssembly guest cannot open them.
                FileKind::CharDevice
                | FileKind::BlockDevice
                | FileKind::Fifo
                | FileKind::Socket => {}
            }
        }
        directory.stat().map_err(wrong)
    }

    fn file(
        &self,
        from: &coracle_runtime::vfs::Directory,
        source: &[u8],
        into: &Dir,
        name: &Path,
        stat: &Stat,
    ) -> io::Result<()> {
        /// What a file is called until it is whole.
        const UNFINISHED: &str = "file";
        if into.symlink_metadata(name).is_ok() {
            return Ok(());
        }
        let options = OpenOptions {
            read: true,
            ..OpenOptions::default()
        };
        let Node::File(file) = from.open(source, &options).map_err(wrong)? else {
            return Err(ErrorKind::IsADirectory.into());
        };
        let mut copy = self.staging.create(UNFINISHED)?.into_std();
        let mut buffer = vec![0; CHUNK.min(usize::try_from(stat.size).unwrap_or(CHUNK).max(1))];
        let mut offset = 0_u64;
        loop {
            let count = file.read_at(&mut buffer, offset).map_err(wrong)?;
            if count == 0 {
                break;
            }
            copy.write_all(buffer.get(..count).unwrap_or_default())?;
            offset = offset.saturating_add(count as u64);
        }
        set(&copy, stat)?;
        self.staging.rename(UNFINISHED, into, name)
    }
}

/// Gives a copy what its original has. What is not root's must be its owner's to read and write, for a guest to use it.
fn set(copy: &File, stat: &Stat) -> io::Result<()> {
    let private = match stat.kind {
        _ if coracle_runtime::sys::is_root() => 0,
        FileKind::Directory => 0o700,
        _ => 0o600,
    };
    host_files::set(
        copy,
        stat.mode | private,
        Some((stat.uid, stat.gid)),
        stat.mtime,
    )
}

fn wrong(error: Errno) -> io::Error {
    io::Error::other(error.to_string())
}
