//! What a program left in the upper directory of an overlay, as a layer has it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use coracle_packager::build::{Refusal, RunChange, RunChangeKind, RunStep};
use coracle_packager::layer::{Node, NodeKind, TreeIndex};
use coracle_runtime::sys;

use super::Ready;

/// Paths that one RUN may change.
const MAX_CHANGES: usize = 2_000_000;
/// Directories within each other; paths have at most 4096 bytes.
const MAX_DEPTH: usize = 2048;
/// Directories that are mounted over in any case.
const MOUNTED: [&str; 3] = ["proc", "dev", "sys"];

/// Lists the changes, parents before what is in them.
pub(super) fn read(
    upper: &Path,
    step: &RunStep<'_>,
    mounts: &[Ready],
) -> Result<Vec<RunChange>, Refusal> {
    let index = step.rootfs.read_index()?;
    // Places that the launcher has made for mounts are none of the program's doing.
    let mut places = BTreeSet::new();
    let targets = mounts.iter().map(|mount| mount.target.trim_matches('/'));
    for target in targets.chain(MOUNTED) {
        let ends = target.match_indices('/').map(|(at, _)| at);
        let paths = ends.filter_map(|at| target.get(..at)).chain([target]);
        places.extend(paths.map(|path| path.as_bytes().to_vec()));
    }
    let mut walk = Walk {
        index,
        places,
        inodes: HashMap::new(),
        changes: Vec::new(),
    };
    walk.directory(upper, &[], 0)?;
    Ok(walk.changes)
}

struct Walk {
    index: TreeIndex<Vec<u8>>,
    places: BTreeSet<Vec<u8>>,
    /// The first name of each file that has several.
    inodes: HashMap<u64, Vec<u8>>,
    changes: Vec<RunChange>,
}

impl Walk {
    fn directory(&mut self, directory: &Path, prefix: &[u8], depth: usize) -> Result<(), Refusal> {
        if depth > MAX_DEPTH {
            return Err("directories too deep within each other".into());
        }
        let mut names = Vec::new();
        for entry in fs::read_dir(directory)? {
            names.push(entry?.file_name());
        }
        names.sort();
        for name in names {
            let path = directory.join(&name);
            let mut below = prefix.to_vec();
            if !below.is_empty() {
                below.push(b'/');
            }
            below.extend_from_slice(name.as_bytes());
            self.entry(&path, below, depth)?;
            if self.changes.len() > MAX_CHANGES {
                return Err(format!("it changed more than {MAX_CHANGES} paths").into());
            }
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path, name: Vec<u8>, depth: usize) -> Result<(), Refusal> {
        let metadata = fs::symlink_metadata(path)?;
        let kind = metadata.file_type();
        let is_place = self.places.contains(&name);
        if kind.is_char_device() && metadata.rdev() == 0 {
            self.push(name, RunChangeKind::Removed, &metadata, BTreeMap::new());
            return Ok(());
        }
        if kind.is_dir() {
            let xattrs = xattrs(path)?;
            let opaque = is_opaque(path)?;
            let before = self.changes.len();
            let known = self.find(&name)?.is_some_and(|node| {
                node.kind == NodeKind::Directory && same(&node, &metadata) && !opaque
            });
            let told = !known && !is_place;
            if told {
                let kind = RunChangeKind::Directory { opaque };
                self.push(name.clone(), kind, &metadata, xattrs);
            }
            return self.directory(path, &name, depth + 1).map(|()| {
                // A place for a mount that nothing was put beside.
                debug_assert!(before <= self.changes.len());
            });
        }
        if is_place && metadata.len() == 0 && self.find(&name)?.is_none() {
            return Ok(());
        }
        if kind.is_symlink() {
            let target = fs::read_link(path)?.as_os_str().as_bytes().to_vec();
            self.push(
                name,
                RunChangeKind::Symlink(target),
                &metadata,
                BTreeMap::new(),
            );
        } else if kind.is_file() {
            if metadata.nlink() > 1
                && let Some(first) = self.inodes.get(&metadata.ino())
            {
                let first = first.clone();
                self.push(
                    name,
                    RunChangeKind::HardLink(first),
                    &metadata,
                    BTreeMap::new(),
                );
                return Ok(());
            }
            if metadata.nlink() > 1 {
                self.inodes.insert(metadata.ino(), name.clone());
            }
            let kind = RunChangeKind::File {
                content: path.to_owned(),
                size: metadata.len(),
            };
            let xattrs = xattrs(path)?;
            self.push(name, kind, &metadata, xattrs);
        }
        // Sockets and pipes are of no use without who made them, and devices are not for images.
        Ok(())
    }

    fn push(
        &mut self,
        path: Vec<u8>,
        kind: RunChangeKind,
        metadata: &Metadata,
        xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    ) {
        self.changes.push(RunChange {
            path,
            kind,
            mode: metadata.mode() & 0o7777,
            owner: owner(metadata),
            mtime: metadata.mtime(),
            xattrs,
        });
    }

    /// Returns what the layers below have under a name.
    fn find(&self, path: &[u8]) -> Result<Option<Node<'_>>, Refusal> {
        let mut node = self.index.root();
        for name in path.split(|byte| *byte == b'/') {
            if self.index.node(node)?.kind != NodeKind::Directory {
                return Ok(None);
            }
            match self.index.lookup(node, name)? {
                Some(child) => node = child,
                None => return Ok(None),
            }
        }
        Ok(Some(self.index.node(node)?))
    }
}

fn same(node: &Node<'_>, metadata: &Metadata) -> bool {
    node.mode == metadata.mode() & 0o7777 && (node.uid, node.gid) == owner(metadata)
}

/// Without root's rights everything is the caller's, who is root inside.
fn owner(metadata: &Metadata) -> (u32, u32) {
    match sys::is_root() {
        true => (metadata.uid(), metadata.gid()),
        false => (0, 0),
    }
}

fn is_opaque(path: &Path) -> io::Result<bool> {
    for name in ["trusted.overlay.opaque", "user.overlay.opaque"] {
        let mut value = [0; 8];
        match rustix::fs::lgetxattr(path, name, &mut value) {
            Ok(1) if value[0] == b'y' => return Ok(true),
            Ok(_) | Err(rustix::io::Errno::NODATA | rustix::io::Errno::NOTSUP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}

/// Attributes that a layer keeps: not the overlay's own, and not the host's labels.
fn xattrs(path: &Path) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut kept = BTreeMap::new();
    let mut names = vec![0; 64 << 10];
    let len = match rustix::fs::llistxattr(path, &mut names) {
        Ok(len) => len,
        Err(rustix::io::Errno::NOTSUP) => return Ok(kept),
        Err(error) => return Err(error.into()),
    };
    let names = names.get(..len).unwrap_or_default();
    for name in names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        let wanted = name == b"security.capability"
            || (name.starts_with(b"user.") && !name.starts_with(b"user.overlay."));
        if !wanted {
            continue;
        }
        let mut value = vec![0; 64 << 10];
        let len = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value)?;
        value.truncate(len);
        kept.insert(name.to_vec(), value);
    }
    Ok(kept)
}
