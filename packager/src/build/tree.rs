//! The image's files as far as they are built: those of the base, and what the steps added.
//!
//! No COPY removes anything, so it is enough to remember what was added; after a RUN the tree is made anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::layer::{IndexError, NodeKind, TreeIndex};

/// Symbolic links on the way to one path; Linux allows as many.
const MAX_LINKS: usize = 40;

/// What a path of the image is, as far as the builder must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    Symlink(Vec<u8>),
    /// A file, or a device of the base image.
    Other,
}

/// Why a path cannot be found in the image.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// Something on the way is a file.
    #[error("`/{path}` is not a directory in the image")]
    NotADirectory {
        /// The path in the image.
        path: String,
    },
    /// Symbolic links that lead to each other.
    #[error("more than {MAX_LINKS} symbolic links on the way to `/{path}` in the image")]
    Links {
        /// The path in the image.
        path: String,
    },
    /// The index of the base image is damaged.
    #[error("reading the files of the base image")]
    Index(#[from] IndexError),
}

/// A path after links were followed. It has neither slashes around it nor links in it; empty means the root.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Resolved {
    pub(super) path: Vec<u8>,
    /// What is there: a directory, something else, or nothing. Never a link.
    pub(super) kind: Option<Kind>,
}

/// The files of an image that is being built.
#[derive(Default)]
pub(super) struct Tree {
    base: Option<Arc<TreeIndex<Vec<u8>>>>,
    added: BTreeMap<Vec<u8>, Kind>,
}

impl Tree {
    pub(super) fn new(base: Option<Arc<TreeIndex<Vec<u8>>>>) -> Self {
        Self {
            base,
            added: BTreeMap::new(),
        }
    }

    /// Records what a step puts at a path, which must be free of links up to its last part.
    pub(super) fn add(&mut self, path: Vec<u8>, kind: Kind) {
        self.added.insert(path, kind);
    }

    /// Returns what is at a path, which must be free of links up to its last part.
    pub(super) fn get(&self, path: &[u8]) -> Result<Option<Kind>, IndexError> {
        if path.is_empty() {
            return Ok(Some(Kind::Directory));
        }
        if let Some(kind) = self.added.get(path) {
            return Ok(Some(kind.clone()));
        }
        let Some(index) = &self.base else {
            return Ok(None);
        };
        let mut node = index.root();
        for name in path.split(|byte| *byte == b'/') {
            if index.node(node)?.kind != NodeKind::Directory {
                return Ok(None);
            }
            let Some(child) = index.lookup(node, name)? else {
                return Ok(None);
            };
            node = child;
        }
        let node = index.node(node)?;
        Ok(Some(match node.kind {
            NodeKind::Directory => Kind::Directory,
            NodeKind::Symlink => Kind::Symlink(node.link.to_vec()),
            _ => Kind::Other,
        }))
    }

    /// Follows the links of an absolute path, as a process in the image would. What does not exist has no links.
    pub(super) fn resolve(&self, path: &[u8]) -> Result<Resolved, TreeError> {
        let mut done: Vec<u8> = Vec::new();
        let mut kind = Some(Kind::Directory);
        let mut left: Vec<Vec<u8>> = Vec::new();
        push_parts(&mut left, path);
        let mut links = 0;
        while let Some(part) = left.pop() {
            if part == b".." {
                let cut = done.iter().rposition(|byte| *byte == b'/');
                done.truncate(cut.unwrap_or(0));
                kind = self.get(&done)?;
                continue;
            }
            if kind == Some(Kind::Other) {
                return Err(TreeError::NotADirectory { path: text(&done) });
            }
            let parent = done.len();
            if parent > 0 {
                done.push(b'/');
            }
            done.extend_from_slice(&part);
            // What is missing stays missing, with all below it.
            kind = match kind {
                None => None,
                Some(_) => self.get(&done)?,
            };
            if let Some(Kind::Symlink(target)) = kind {
                links += 1;
                if links > MAX_LINKS {
                    return Err(TreeError::Links { path: text(path) });
                }
                let absolute = target.first() == Some(&b'/');
                done.truncate(if absolute { 0 } else { parent });
                kind = Some(Kind::Directory);
                push_parts(&mut left, &target);
            }
        }
        Ok(Resolved { path: done, kind })
    }
}

/// Pushes the parts of a path so that the first one is popped first.
fn push_parts(stack: &mut Vec<Vec<u8>>, path: &[u8]) {
    let parts = path.split(|byte| *byte == b'/').rev();
    stack.extend(
        parts
            .filter(|part| !part.is_empty() && *part != b".")
            .map(<[u8]>::to_vec),
    );
}

/// A path of the image for a message; bytes that are no UTF-8 are replaced.
pub(super) fn text(path: &[u8]) -> String {
    let text = String::from_utf8_lossy(path);
    text.strip_prefix('/').unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        let mut tree = Tree::default();
        let link = |target: &str| Kind::Symlink(target.as_bytes().to_vec());
        for (path, kind) in [
            ("usr", Kind::Directory),
            ("usr/lib", Kind::Directory),
            ("lib", link("usr/lib")),
            ("abs", link("/usr")),
            ("up", link("../../../usr")),
            ("usr/back", link("..")),
            ("loop", link("loop")),
            ("gone", link("missing/x")),
            ("file", Kind::Other),
        ] {
            tree.add(path.as_bytes().to_vec(), kind);
        }
        tree
    }

    #[test]
    fn links_are_followed_within_the_image() {
        let tree = tree();
        let directory = Some(Kind::Directory);
        for (path, want, kind) in [
            ("/", "", &directory),
            ("/lib", "usr/lib", &directory),
            ("/lib/x/y", "usr/lib/x/y", &None),
            ("/abs/lib", "usr/lib", &directory),
            ("/up/lib", "usr/lib", &directory),
            ("/usr/back/lib", "usr/lib", &directory),
            ("/gone/y", "missing/x/y", &None),
            ("/file", "file", &Some(Kind::Other)),
            ("/new/deep", "new/deep", &None),
        ] {
            let resolved = tree.resolve(path.as_bytes()).expect(path);
            assert_eq!(text(&resolved.path), want, "{path}");
            assert_eq!(&resolved.kind, kind, "{path}");
        }
        assert!(matches!(
            tree.resolve(b"/loop/x"),
            Err(TreeError::Links { .. })
        ));
        assert!(matches!(
            tree.resolve(b"/file/x"),
            Err(TreeError::NotADirectory { .. })
        ));
    }
}
