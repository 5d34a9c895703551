//! The container's /dev.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::LinuxDeviceType;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use super::super::error::Told;
use super::super::plan::Plan;
use super::inside::{Inside, Links, plain, step};
use crate::sys::linux::container::{clone_tree, move_mount};

/// A node to be made.
struct Node {
    path: PathBuf,
    kind: FileType,
    major: u32,
    minor: u32,
    mode: u32,
    user: u32,
    group: u32,
}

/// The devices that the specification promises to every container (config-linux, "Default Devices").
const DEFAULT: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

const SYMLINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Makes the devices and links, unless the host's /dev is mounted there.
pub(super) fn make(plan: &Plan, inside: &Inside) -> Result<(), Told> {
    let is_dev = |path: &Path| plain(path).is_ok_and(|path| path == Path::new("dev"));
    let from_host = plan
        .spec
        .mounts()
        .iter()
        .flatten()
        .filter(|mount| is_dev(mount.destination()))
        .any(|mount| {
            mount.typ().as_deref().is_none_or(|kind| kind == "bind")
                || mount
                    .options()
                    .iter()
                    .flatten()
                    .any(|option| option == "bind" || option == "rbind")
        });
    if from_host {
        return Ok(());
    }
    let directory = inside
        .directory(Path::new("dev"), Links::Refuse)
        .map_err(Told::step("opening the container's /dev"))?;
    let mut nodes: Vec<Node> = DEFAULT
        .iter()
        .map(|(name, major, minor)| Node {
            path: Path::new("dev").join(name),
            kind: FileType::CharacterDevice,
            major: *major,
            minor: *minor,
            mode: 0o666,
            user: 0,
            group: 0,
        })
        .collect();
    let devices = plan
        .spec
        .linux()
        .as_ref()
        .and_then(|linux| linux.devices().as_ref());
    for device in devices.into_iter().flatten() {
        let path = plain(device.path()).map_err(Told::step("reading the path of a device"))?;
        let kind = match device.typ() {
            LinuxDeviceType::B => FileType::BlockDevice,
            LinuxDeviceType::P => FileType::Fifo,
            _ => FileType::CharacterDevice,
        };
        let number = |number: i64| {
            u32::try_from(number).map_err(Told::step(format!(
                "reading the numbers of {}",
                path.display()
            )))
        };
        let node = Node {
            kind,
            major: number(device.major())?,
            minor: number(device.minor())?,
            mode: device.file_mode().unwrap_or(0o666) & 0o7777,
            user: device.uid().unwrap_or(0),
            group: device.gid().unwrap_or(0),
            path,
        };
        nodes.retain(|other| other.path != node.path);
        nodes.push(node);
    }
    for node in &nodes {
        one(plan, inside, node).map_err(Told::step(format!(
            "making the device /{}",
            node.path.display()
        )))?;
    }
    for (name, target) in SYMLINKS {
        if name == "ptmx"
            && rustix::fs::accessat(
                &directory,
                "pts",
                rustix::fs::Access::EXISTS,
                AtFlags::empty(),
            )
            .is_err()
        {
            continue;
        }
        match rustix::fs::symlinkat(target, &directory, name) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(Told::step(format!("making the link /dev/{name}"))(error)),
        }
    }
    Ok(())
}

fn one(plan: &Plan, inside: &Inside, node: &Node) -> io::Result<()> {
    let (parent, name) = inside.parent(&node.path, Links::Refuse)?;
    if !plan.user_namespace || node.kind == FileType::Fifo {
        let number = rustix::fs::makedev(node.major, node.minor);
        match rustix::fs::mknodat(
            &parent,
            name,
            node.kind,
            Mode::from_raw_mode(node.mode),
            number,
        ) {
            Ok(()) => {}
            // An image may bring one: it stays if it is the same.
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let made = step(&parent, name, OFlags::PATH)?;
        check(&made, node)?;
        if (node.user, node.group) != (0, 0) {
            rustix::fs::chownat(
                &made,
                "",
                Some(Uid::from_raw(node.user)),
                Some(Gid::from_raw(node.group)),
                AtFlags::EMPTY_PATH,
            )?;
        }
        return Ok(());
    }
    // Only the host's own nodes work in a user namespace.
    let host = Path::new("/").join(&node.path);
    let source = CString::new(host.to_string_lossy().as_bytes())?;
    let mount = clone_tree(rustix::fs::CWD, &source, false)?;
    check(&mount, node)?;
    let target = inside.file(&node.path, Links::Refuse)?;
    move_mount(mount.as_fd(), target.as_fd())
}

/// Makes sure that a file is the device that was meant.
fn check(file: &OwnedFd, node: &Node) -> io::Result<()> {
    let stat = rustix::fs::fstat(file)?;
    let same = FileType::from_raw_mode(stat.st_mode) == node.kind
        && (node.kind == FileType::Fifo
            || stat.st_rdev == rustix::fs::makedev(node.major, node.minor));
    if same {
        Ok(())
    } else {
        Err(io::Error::other("another file is there"))
    }
}

/// Opens the container's /dev/null, and makes sure that it is one.
pub(super) fn null(inside: &Inside) -> io::Result<OwnedFd> {
    let null = inside.find(Path::new("dev/null"), Links::Refuse)?;
    is_null(&null)?
        .then_some(null)
        .ok_or_else(|| io::Error::other("the container's /dev/null is another file"))
}

/// Is it the null device?
pub(super) fn is_null(file: impl AsFd) -> io::Result<bool> {
    let stat = rustix::fs::fstat(file)?;
    Ok(
        FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
            && stat.st_rdev == rustix::fs::makedev(1, 3),
    )
}
