//! Files out of archives and images, into directories of the host.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use cap_std::fs::{Dir, OpenOptions};

use super::copy::CopyError;
use super::files::{ImageFiles, Item, ItemKind};
use crate::layer::{Head, LayerError, MemberType, Rootfs, StreamError, for_each_member};

/// Members of an archive that is a build context.
const MAX_MEMBERS: u64 = 1_000_000;

/// Why files cannot be written to a directory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// The archive cannot be read.
    #[error(transparent)]
    Archive(#[from] StreamError),
    /// It has more members than are unpacked.
    #[error("the archive has more than {MAX_MEMBERS} members")]
    TooMany,
    /// Something cannot be written.
    #[error("writing `{path}`")]
    Write {
        /// Its path in the directory.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The image cannot be read.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The image cannot be read.
    #[error(transparent)]
    Image(#[from] CopyError),
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> UnpackError {
    let path = path.display().to_string();
    move |source| UnpackError::Write { path, source }
}

/// Unpacks an archive, plain or compressed with gzip or zstd, that is to be a build context. Nothing outside the directory is
/// written, whatever the archive says; devices and owners are left out.
///
/// # Errors
///
/// It is no archive, or cannot be written. What had been written by then stays.
pub fn unpack_context(reader: impl Read, dir: &Dir) -> Result<(), UnpackError> {
    let mut count = 0u64;
    for_each_member(reader, &mut |head, content| {
        count += 1;
        if count > MAX_MEMBERS {
            return Err(UnpackError::TooMany);
        }
        let path = host_path(&head.path)?;
        if path.as_os_str().is_empty() {
            return Ok(());
        }
        member(head, &path, content, dir).map_err(failed(&path))
    })
}

fn member(head: &Head, path: &Path, content: &mut dyn Read, dir: &Dir) -> io::Result<()> {
    if let Some(parent) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        dir.create_dir_all(parent)?;
    }
    match &head.kind {
        MemberType::Directory => return dir.create_dir_all(path),
        MemberType::File => {
            write_file(dir, path, content)?;
            set_mode(dir, path, head.attributes.mode)?;
        }
        MemberType::Symlink(target) => {
            remove(dir, path)?;
            symlink(dir, &bytes_path(target)?, path)?;
        }
        MemberType::HardLink(target) => {
            let target = host_path(target).map_err(io::Error::other)?;
            remove(dir, path)?;
            dir.hard_link(&target, dir, path)?;
        }
        MemberType::Other => {}
    }
    Ok(())
}

/// Writes all files of an image into a directory. What is there with the same name is replaced; owners are left out.
///
/// # Errors
///
/// The image has a device, or something cannot be written. What had been written by then stays.
pub fn write_files(rootfs: &Rootfs, dir: &Dir) -> Result<(), UnpackError> {
    let image = ImageFiles::open(rootfs)?;
    for found in image.all()? {
        write_item(dir, &found.name, &found.item)?;
    }
    Ok(())
}

fn write_item(dir: &Dir, name: &[u8], item: &Item<'_>) -> Result<(), UnpackError> {
    let path = host_path(name)?;
    let written = match &item.kind {
        ItemKind::Directory => dir.create_dir_all(&path),
        ItemKind::File(_) => item
            .place
            .open()
            .and_then(|mut content| write_file(dir, &path, &mut content))
            .and_then(|()| set_mode(dir, &path, item.mode)),
        ItemKind::Symlink(target) => remove(dir, &path)
            .and_then(|()| bytes_path(target))
            .and_then(|target| symlink(dir, &target, &path)),
    };
    written.map_err(failed(&path))
}

/// Writes a file or a directory of an image into an empty directory of the host, and returns where it is. Owners are left out.
///
/// # Errors
///
/// It is not in the image, or cannot be written.
pub fn write_part(rootfs: &Rootfs, source: &str, to: &Path) -> Result<PathBuf, UnpackError> {
    let image = ImageFiles::open(rootfs)?;
    let dir = Dir::open_ambient_dir(to, cap_std::ambient_authority()).map_err(failed(to))?;
    let item = image.at(source)?;
    if item.kind == ItemKind::Directory {
        for found in item.walk()? {
            write_item(&dir, &found.name, &found.item)?;
        }
        return Ok(to.to_owned());
    }
    let name = b"file";
    write_item(&dir, name, &item)?;
    Ok(to.join("file"))
}

fn write_file(dir: &Dir, path: &Path, content: &mut dyn Read) -> io::Result<()> {
    remove(dir, path)?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    let mut file = dir.open_with(path, &options)?;
    io::copy(content, &mut file).map(drop)
}

/// Removes a file or link that is in the way.
fn remove(dir: &Dir, path: &Path) -> io::Result<()> {
    match dir.remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(unix)]
fn set_mode(dir: &Dir, path: &Path, mode: u32) -> io::Result<()> {
    use cap_std::fs::PermissionsExt;
    // Rights to become somebody else are for images, not for this host.
    dir.set_permissions(path, cap_std::fs::Permissions::from_mode(mode & 0o777))
}

#[cfg(not(unix))]
fn set_mode(_: &Dir, _: &Path, _: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn symlink(dir: &Dir, target: &Path, path: &Path) -> io::Result<()> {
    dir.symlink_contents(target, path)
}

#[cfg(not(unix))]
fn symlink(_: &Dir, _: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A path of an archive on this host, relative and without `..`.
fn host_path(path: &[u8]) -> Result<PathBuf, UnpackError> {
    let mut out = PathBuf::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                let source = io::Error::new(io::ErrorKind::InvalidData, "it leads out");
                let path = String::from_utf8_lossy(path).into_owned();
                return Err(UnpackError::Write { path, source });
            }
            part => {
                let path = bytes_path(part);
                out.push(path.map_err(|source| UnpackError::Write {
                    path: String::from_utf8_lossy(part).into_owned(),
                    source,
                })?);
            }
        }
    }
    Ok(out)
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere a name can be wrong")]
fn bytes_path(bytes: &[u8]) -> io::Result<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    Ok(PathBuf::from(std::ffi::OsStr::from_bytes(bytes)))
}

#[cfg(not(unix))]
fn bytes_path(bytes: &[u8]) -> io::Result<PathBuf> {
    let text = std::str::from_utf8(bytes).map_err(io::Error::other)?;
    if text.contains(['\\', ':']) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(PathBuf::from(text))
}
