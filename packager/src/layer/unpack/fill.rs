//! Writes the files of one layer into a new directory.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags,
};
use serde::{Deserialize, Serialize};

use super::super::error::{IndexError, LayerError};
use super::super::format::NodeKind;
use super::super::index::{Node, TreeIndex};
use super::super::parallel;
use super::{Source, TreeForm};

/// Bytes that are copied at a time.
const COPY_BYTES: usize = 128 << 10;

/// What of a layer cannot be made for this user, or on this file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Devices that this user may not make.
    pub devices: u64,
    /// Extended attributes that no layer may set here, that this user may not set, or that the file system does not know.
    pub attributes: u64,
    /// Files whose owner is none that this user may give them to.
    pub owners: u64,
}

impl Skipped {
    /// Adds what another layer lacks.
    pub(super) fn add(&mut self, other: Self) {
        self.devices = self.devices.saturating_add(other.devices);
        self.attributes = self.attributes.saturating_add(other.attributes);
        self.owners = self.owners.saturating_add(other.owners);
    }
}

/// Makes an empty tree.
pub(super) fn empty(path: &Path) -> Result<Skipped, LayerError> {
    let failed = |error: rustix::io::Errno| unpacking(path, error.into());
    rustix::fs::mkdirat(CWD, path, Mode::RWXU).map_err(failed)?;
    rustix::fs::chmodat(CWD, path, Mode::from_raw_mode(0o755), AtFlags::empty()).map_err(failed)?;
    Ok(Skipped::default())
}

/// Makes the directory `path` and all that the layer has in it, and syncs it.
pub(super) fn fill(
    path: &Path,
    source: &Source,
    form: TreeForm,
    threads: usize,
) -> Result<Skipped, LayerError> {
    let at_root = |error: rustix::io::Errno| unpacking(path, error.into());
    rustix::fs::mkdirat(CWD, path, Mode::RWXU).map_err(at_root)?;
    let root = open_directory(CWD, path).map_err(at_root)?;
    let filling = Filling {
        path,
        root,
        source,
        form,
        skipped: Mutex::default(),
    };
    let plan = filling.plan()?;
    // Parents come before their children in an index.
    for directory in plan.directories.iter().skip(1) {
        filling.at(*directory, || {
            let place = path_of(&source.index, *directory)?;
            Ok(rustix::fs::mkdirat(
                &filling.root,
                place.as_slice(),
                Mode::RWXU,
            )?)
        })?;
    }
    parallel::for_each(threads, &plan.directories, |directory| {
        filling.fill_directory(*directory, &plan)
    })?;
    for (link, first) in &plan.links {
        filling.at(*link, || {
            let old = path_of(&source.index, *first)?;
            let new = path_of(&source.index, *link)?;
            let (from, to) = (old.as_slice(), new.as_slice());
            Ok(rustix::fs::linkat(
                &filling.root,
                from,
                &filling.root,
                to,
                AtFlags::empty(),
            )?)
        })?;
    }
    // Children first: who may not enter a directory any more need not.
    for directory in plan.directories.iter().rev() {
        filling.at(*directory, || filling.finish_directory(*directory))?;
    }
    rustix::fs::syncfs(&filling.root).map_err(at_root)?;
    Ok(filling.skipped())
}

/// What is made when.
struct Plan {
    /// Directories, parents first.
    directories: Vec<u32>,
    /// Names of files that have another name already, and the node of that one.
    links: HashMap<u32, u32>,
}

struct Filling<'a> {
    path: &'a Path,
    root: OwnedFd,
    source: &'a Source,
    form: TreeForm,
    skipped: Mutex<Skipped>,
}

/// Why one file could not be made.
enum Failure {
    Index(IndexError),
    Io(io::Error),
}

impl From<IndexError> for Failure {
    fn from(error: IndexError) -> Self {
        Self::Index(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<rustix::io::Errno> for Failure {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Io(error.into())
    }
}

impl Filling<'_> {
    fn plan(&self) -> Result<Plan, LayerError> {
        let index = &self.source.index;
        let mut plan = Plan {
            directories: Vec::new(),
            links: HashMap::new(),
        };
        let mut first: HashMap<u32, u32> = HashMap::new();
        for number in 0..index.node_count() {
            self.at(number, || {
                let node = index.node(number)?;
                if node.kind == NodeKind::Directory {
                    plan.directories.push(number);
                } else if node.nlink > 1 && !node.whiteout {
                    match first.get(&node.inode) {
                        Some(name) => drop(plan.links.insert(number, *name)),
                        None => drop(first.insert(node.inode, number)),
                    }
                }
                Ok(())
            })?;
        }
        Ok(plan)
    }

    fn fill_directory(&self, number: u32, plan: &Plan) -> Result<(), LayerError> {
        let index = &self.source.index;
        let mut opened = None;
        let mut children = 0..0;
        self.at(number, || {
            opened = Some(self.open(number)?);
            children = index.children(number)?;
            Ok(())
        })?;
        let Some(directory) = opened else {
            return Ok(());
        };
        let mut buffer = Vec::new();
        for child in children {
            if plan.links.contains_key(&child) {
                continue;
            }
            self.at(child, || {
                let node = index.node(child)?;
                self.make(&directory, &node, child, &mut buffer)
            })?;
        }
        Ok(())
    }

    /// Makes everything but directories and second names.
    fn make(
        &self,
        directory: &OwnedFd,
        node: &Node<'_>,
        number: u32,
        buffer: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        let name = component(node, number)?;
        match node.kind {
            NodeKind::Directory => Ok(()),
            NodeKind::File if node.whiteout => {
                let whiteout = FileType::CharacterDevice;
                let made = rustix::fs::mknodat(directory, name, whiteout, Mode::empty(), 0);
                Ok(made?)
            }
            NodeKind::File => {
                let flags = OFlags::WRONLY
                    | OFlags::CREATE
                    | OFlags::EXCL
                    | OFlags::NOFOLLOW
                    | OFlags::CLOEXEC;
                let file = rustix::fs::openat(directory, name, flags, Mode::RUSR | Mode::WUSR)?;
                let file = File::from(file);
                self.copy(node, &file, buffer)?;
                self.give(node, file.as_fd(), node.xattrs)
            }
            NodeKind::Symlink => {
                rustix::fs::symlinkat(OsStr::from_bytes(node.link), directory, name)?;
                self.give_name(node, directory, name)
            }
            NodeKind::Fifo => {
                rustix::fs::mkfifoat(directory, name, Mode::RUSR | Mode::WUSR)?;
                self.give_name(node, directory, name)
            }
            NodeKind::CharDevice | NodeKind::BlockDevice => {
                let kind = match node.kind {
                    NodeKind::CharDevice => FileType::CharacterDevice,
                    _ => FileType::BlockDevice,
                };
                let (major, minor) = node.device;
                let device = rustix::fs::makedev(major, minor);
                let mode = Mode::RUSR | Mode::WUSR;
                match rustix::fs::mknodat(directory, name, kind, mode, device) {
                    Err(rustix::io::Errno::PERM) => {
                        self.skip(|skipped| &mut skipped.devices);
                        Ok(())
                    }
                    made => {
                        made?;
                        self.give_name(node, directory, name)
                    }
                }
            }
        }
    }

    fn copy(&self, node: &Node<'_>, file: &File, buffer: &mut Vec<u8>) -> io::Result<()> {
        buffer.resize(COPY_BYTES, 0);
        let (mut offset, mut left) = (node.offset, node.size);
        while left > 0 {
            let len = usize::try_from(left).map_or(COPY_BYTES, |left| left.min(COPY_BYTES));
            let part = buffer.get_mut(..len).unwrap_or_default();
            self.source.tar.read_exact_at(part, offset)?;
            io::Write::write_all(&mut &*file, part)?;
            offset = offset.saturating_add(len as u64);
            left -= len as u64;
        }
        Ok(())
    }

    /// Gives an open file its owner, attributes, mode and time, in the order in which one does not undo the other.
    fn give(
        &self,
        node: &Node<'_>,
        file: impl AsFd,
        xattrs: super::super::Xattrs<'_>,
    ) -> Result<(), Failure> {
        if self.form.keeps_owners() {
            let owner = Some(Uid::from_raw(node.uid));
            let changed = rustix::fs::fchown(&file, owner, Some(Gid::from_raw(node.gid)));
            self.owner_changed(changed)?;
        }
        for attribute in xattrs {
            let (name, value) = attribute?;
            if !may_be_set(name) {
                self.skip(|skipped| &mut skipped.attributes);
                continue;
            }
            match rustix::fs::fsetxattr(&file, name, value, XattrFlags::empty()) {
                Ok(()) => {}
                Err(
                    rustix::io::Errno::PERM
                    | rustix::io::Errno::ACCESS
                    | rustix::io::Errno::OPNOTSUPP
                    | rustix::io::Errno::INVAL,
                ) => self.skip(|skipped| &mut skipped.attributes),
                Err(error) => return Err(error.into()),
            }
        }
        rustix::fs::fchmod(&file, Mode::from_raw_mode(node.mode))?;
        Ok(rustix::fs::futimens(&file, &times(node))?)
    }

    /// The same for what cannot be opened. The directory is ours, so the name is still what was just made.
    fn give_name(&self, node: &Node<'_>, directory: &OwnedFd, name: &OsStr) -> Result<(), Failure> {
        if self.form.keeps_owners() {
            let (owner, group) = (Uid::from_raw(node.uid), Gid::from_raw(node.gid));
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            let changed = rustix::fs::chownat(directory, name, Some(owner), Some(group), flags);
            self.owner_changed(changed)?;
        }
        if node.kind != NodeKind::Symlink {
            let mode = Mode::from_raw_mode(node.mode);
            rustix::fs::chmodat(directory, name, mode, AtFlags::empty())?;
        }
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        Ok(rustix::fs::utimensat(directory, name, &times(node), flags)?)
    }

    fn owner_changed(&self, changed: rustix::io::Result<()>) -> Result<(), Failure> {
        match changed {
            // The owner is not mapped into this user namespace.
            Err(rustix::io::Errno::INVAL) if self.form == TreeForm::Mapped => {
                self.skip(|skipped| &mut skipped.owners);
                Ok(())
            }
            changed => Ok(changed?),
        }
    }

    fn finish_directory(&self, number: u32) -> Result<(), Failure> {
        let index = &self.source.index;
        let own = index.node(number)?;
        let directory = self.open(number)?;
        if own.opaque || own.whiteout {
            let flags = XattrFlags::empty();
            rustix::fs::fsetxattr(&directory, self.form.opaque(), b"y", flags)?;
        }
        match &self.source.merged {
            Some(merged) if own.implicit => {
                let given = merged.node(same_place(index, number, merged)?)?;
                self.give(&given, &directory, given.xattrs)
            }
            _ => self.give(&own, &directory, own.xattrs),
        }
    }

    fn open(&self, number: u32) -> Result<OwnedFd, Failure> {
        if number == 0 {
            return Ok(open_directory(&self.root, Path::new("."))?);
        }
        let place = path_of(&self.source.index, number)?;
        Ok(open_directory(
            &self.root,
            Path::new(OsStr::from_bytes(&place)),
        )?)
    }

    fn skip(&self, field: impl FnOnce(&mut Skipped) -> &mut u64) {
        if let Ok(mut skipped) = self.skipped.lock() {
            let count = field(&mut skipped);
            *count = count.saturating_add(1);
        }
    }

    fn skipped(&self) -> Skipped {
        self.skipped
            .lock()
            .map(|skipped| *skipped)
            .unwrap_or_default()
    }

    /// Adds to a failure which file it was.
    fn at(&self, number: u32, act: impl FnOnce() -> Result<(), Failure>) -> Result<(), LayerError> {
        act().map_err(|failure| match failure {
            Failure::Index(source) => LayerError::Index {
                path: self.source.tar_path.clone(),
                source,
            },
            Failure::Io(source) => {
                let place = path_of(&self.source.index, number).unwrap_or_default();
                unpacking(&self.path.join(OsStr::from_bytes(&place)), source)
            }
        })
    }
}

fn unpacking(path: &Path, source: io::Error) -> LayerError {
    LayerError::Unpack {
        path: path.to_owned(),
        source,
    }
}

fn open_directory(at: impl AsFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, path, flags, Mode::empty())
}

/// May a layer set this attribute? Those of overlayfs would change what other layers mean; those of the host's security modules
/// are the host's.
pub(super) fn may_be_set(name: &[u8]) -> bool {
    match name {
        b"security.capability" | b"system.posix_acl_access" | b"system.posix_acl_default" => true,
        _ => name.starts_with(b"user.") && !name.starts_with(b"user.overlay."),
    }
}

/// Returns the node's name if it is one that stays in its directory. A sound index has no other.
pub(super) fn component<'a>(node: &Node<'a>, number: u32) -> Result<&'a OsStr, IndexError> {
    let name = node.name;
    let strange = name.is_empty()
        || name == b"."
        || name == b".."
        || name.iter().any(|byte| matches!(byte, b'/' | 0));
    match strange {
        true => Err(IndexError::Node {
            node: number,
            field: "name",
        }),
        false => Ok(OsStr::from_bytes(name)),
    }
}

/// Returns the path of a node from the root, without a leading slash; empty for the root.
pub(super) fn path_of<B: AsRef<[u8]>>(
    index: &TreeIndex<B>,
    number: u32,
) -> Result<Vec<u8>, IndexError> {
    let mut parts = Vec::new();
    let mut at = number;
    while at != 0 {
        let node = index.node(at)?;
        parts.push(component(&node, at)?);
        at = index.parent(at)?;
    }
    parts.reverse();
    let mut path = Vec::new();
    for part in parts {
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(part.as_bytes());
    }
    Ok(path)
}

/// Finds in `merged` the directory that node `number` of `index` is.
pub(super) fn same_place<A: AsRef<[u8]>, B: AsRef<[u8]>>(
    index: &TreeIndex<A>,
    number: u32,
    merged: &TreeIndex<B>,
) -> Result<u32, IndexError> {
    let mut ways = Vec::new();
    let mut at = number;
    while at != 0 {
        ways.push(index.node(at)?.name);
        at = index.parent(at)?;
    }
    let mut found = merged.root();
    for name in ways.into_iter().rev() {
        found = merged.lookup(found, name)?.ok_or(IndexError::Node {
            node: number,
            field: "place in the merged index",
        })?;
    }
    Ok(found)
}

fn times(node: &Node<'_>) -> Timestamps {
    let time = Timespec {
        tv_sec: node.mtime_sec,
        tv_nsec: node.mtime_nsec.into(),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}
