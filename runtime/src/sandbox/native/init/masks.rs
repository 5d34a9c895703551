//! What the container must not see, and what it must not change.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::FileType;

use super::super::error::Told;
use super::super::plan::Plan;
use super::devices;
use super::inside::{Inside, Links};
use crate::sys::linux::container::{
    Attributes, NewFileSystem, clone_tree, move_mount, set_attributes,
};

/// Covers masked paths and makes others read-only. What is not there is skipped; any other failure is one.
pub(super) fn apply(plan: &Plan, inside: &Inside) -> Result<(), Told> {
    let Some(linux) = plan.spec.linux() else {
        return Ok(());
    };
    for path in linux.readonly_paths().iter().flatten() {
        read_only(inside, Path::new(path))
            .map_err(Told::step(format!("making {path} read-only")))?;
    }
    let mut null = None;
    let mut empty = None;
    for path in linux.masked_paths().iter().flatten() {
        mask(inside, Path::new(path), &mut null, &mut empty)
            .map_err(Told::step(format!("masking {path}")))?;
    }
    Ok(())
}

fn find(inside: &Inside, path: &Path) -> io::Result<Option<OwnedFd>> {
    match inside.find(path, Links::Follow) {
        Ok(found) => Ok(Some(found)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn read_only(inside: &Inside, path: &Path) -> io::Result<()> {
    let Some(found) = find(inside, path)? else {
        return Ok(());
    };
    let mount = clone_tree(found.as_fd(), c"", true)?;
    set_attributes(
        mount.as_fd(),
        Attributes::READ_ONLY,
        Attributes::default(),
        true,
    )?;
    move_mount(mount.as_fd(), found.as_fd())
}

fn mask(
    inside: &Inside,
    path: &Path,
    null: &mut Option<OwnedFd>,
    empty: &mut Option<OwnedFd>,
) -> io::Result<()> {
    let Some(found) = find(inside, path)? else {
        return Ok(());
    };
    let stat = rustix::fs::fstat(&found)?;
    let source = if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        if empty.is_none() {
            *empty = Some(empty_directory()?);
        }
        empty
    } else {
        if null.is_none() {
            *null = Some(devices::null(inside)?);
        }
        null
    };
    let source = source.as_ref().ok_or(io::ErrorKind::NotFound)?;
    let mount = clone_tree(source.as_fd(), c"", false)?;
    move_mount(mount.as_fd(), found.as_fd())
}

/// One empty file system that nobody can write to serves for all directories.
fn empty_directory() -> io::Result<OwnedFd> {
    let system = NewFileSystem::open(c"tmpfs")?;
    system.set("nr_inodes", "2")?;
    system.set_flag("ro")?;
    system.mount(
        Attributes::READ_ONLY
            .with(Attributes::NO_SUID)
            .with(Attributes::NO_DEVICES)
            .with(Attributes::NO_EXEC),
    )
}
