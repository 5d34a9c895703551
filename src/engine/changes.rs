//! What a container has changed of its image's files, and the files that it sees: the one place that knows in which form they
//! are kept. `diff`, `commit`, `cp` and `export` go through it.

use std::collections::BTreeMap;
use std::sync::Arc;

use cap_std::fs::Dir;
use coracle_packager::digest::Digest;
use coracle_runtime::container::Container;
use coracle_runtime::vfs::{Errno, FileKind, GuestFs, Stat, changed};

use super::backend::BackendError;
use super::{Engine, Error};

/// How a path differs from the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// The image has nothing there.
    Added,
    /// It is not as in the image, or something in it is not.
    Changed,
    /// The image has it, the container not any more.
    Deleted,
}

/// Paths that differ from the image, in order; without a leading slash.
pub type Differences = BTreeMap<Vec<u8>, ChangeKind>;

/// A container's files: its image's, and its own changes.
pub(super) struct Changes {
    image: GuestFs,
    /// What the container sees, without what is mounted.
    pub(super) merged: GuestFs,
    upper: Dir,
}

impl Engine {
    /// Opens what a container sees, without what is mounted, to be read.
    pub(super) fn changes_of(&self, container: &Container) -> Result<Changes, Error> {
        known_form(container)?;
        let image = self.open_manifest(&Digest::parse(&container.config.manifest)?)?;
        let lower = Arc::new(self.open_lower(&image)?);
        let (upper, work) = container.open_upper()?;
        let (own, _) = container.open_upper()?;
        let merged = GuestFs::builder(lower.clone())
            .upper(upper, work)
            .read_only(true);
        Ok(Changes {
            image: GuestFs::builder(lower).build()?,
            merged: merged.build()?,
            upper: own,
        })
    }

    /// Lists what a container has changed of its image's files. It may run meanwhile.
    ///
    /// # Errors
    ///
    /// If there is no such container, its image is gone or damaged, or its files cannot be read.
    pub fn diff(&self, text: &str) -> Result<Differences, Error> {
        let container = self.find_container(text)?.container;
        self.changes_of(&container)?.differences(&container)
    }
}

/// Refuses the files of Linux containers, which overlayfs keeps in a form of its own.
pub(super) fn known_form(container: &Container) -> Result<(), Error> {
    if container.config.backend.is_wasm() {
        return Ok(());
    }
    Err(Error::Backend(BackendError::Changes {
        container: container.config.name.to_string(),
    }))
}

impl Changes {
    /// Lists what differs. Directories above what differs have changed as well, as in Docker.
    pub(super) fn differences(&self, container: &Container) -> Result<Differences, Error> {
        let failed = |path: &[u8]| {
            let path = container
                .upper_path()
                .join(String::from_utf8_lossy(path).as_ref());
            move |errno: Errno| Error::File {
                doing: "reading",
                path,
                source: std::io::Error::other(errno.to_string()),
            }
        };
        let mut found = Differences::new();
        // A guest decides how deep it goes. With each directory, whether what the image has there is hidden.
        let mut ahead = vec![(Vec::new(), false)];
        while let Some((dir, hidden)) = ahead.pop() {
            let listed = changed(&self.upper, &dir).map_err(failed(&dir))?;
            let hidden = hidden || listed.opaque;
            let below = |name: &[u8]| match dir.as_slice() {
                [] => name.to_vec(),
                dir => [dir, b"/", name].concat(),
            };
            for name in &listed.removed {
                let path = below(name);
                if self.in_image(&path).is_some() {
                    found.insert(path, ChangeKind::Deleted);
                }
            }
            if hidden {
                for name in self.names_in_image(&dir) {
                    if listed.present.binary_search(&name).is_err() {
                        found.insert(below(&name), ChangeKind::Deleted);
                    }
                }
            }
            for name in &listed.present {
                let path = below(name);
                // One that is gone meanwhile is not there.
                let Ok(now) = self.merged.root().stat_at(&path, false) else {
                    continue;
                };
                let before = self.in_image(&path);
                let is_merged = now.kind == FileKind::Directory
                    && before.is_none_or(|before| before.kind == FileKind::Directory);
                match before {
                    None => {
                        found.insert(path.clone(), ChangeKind::Added);
                    }
                    Some(before) if differs(&before, &now) => {
                        found.insert(path.clone(), ChangeKind::Changed);
                    }
                    Some(_) => {}
                }
                if now.kind == FileKind::Directory {
                    ahead.push((path, hidden && is_merged));
                }
            }
        }
        let above: Vec<Vec<u8>> = found.keys().flat_map(|path| parents(path)).collect();
        for path in above {
            found.entry(path).or_insert(ChangeKind::Changed);
        }
        Ok(found)
    }

    fn in_image(&self, path: &[u8]) -> Option<Stat> {
        self.image.root().stat_at(path, false).ok()
    }

    fn names_in_image(&self, dir: &[u8]) -> Vec<Vec<u8>> {
        use coracle_runtime::vfs::{Node, OpenOptions};
        let options = OpenOptions {
            read: true,
            directory: true,
            ..OpenOptions::default()
        };
        let opened = match dir {
            [] => Ok(Node::Directory(self.image.root())),
            dir => self.image.root().open(dir, &options),
        };
        let Ok(Node::Directory(directory)) = opened else {
            return Vec::new();
        };
        let entries = directory.read_dir().unwrap_or_default();
        entries.into_iter().map(|entry| entry.name).collect()
    }
}

/// Is it another thing, or has it another content, as far as its size and time tell?
fn differs(before: &Stat, now: &Stat) -> bool {
    let seen = |stat: &Stat| (stat.kind, stat.mode, stat.uid, stat.gid, stat.mtime);
    // The size of a directory says nothing.
    let size = |stat: &Stat| (stat.kind != FileKind::Directory).then_some(stat.size);
    seen(before) != seen(now) || size(before) != size(now)
}

/// Returns the paths of all directories above a path, but the root.
fn parents(path: &[u8]) -> Vec<Vec<u8>> {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    slashes
        .filter_map(|(at, _)| Some(path.get(..at)?.to_vec()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_above() {
        assert_eq!(parents(b"a/b/c"), [b"a".to_vec(), b"a/b".to_vec()]);
        assert!(parents(b"a").is_empty());
    }
}
