//! COPY and ADD: which files go where in the image.

use std::collections::BTreeMap;
use std::io;

use super::context::ContextError;
use super::files::{DIRECTORY_MODE, Files, Found, Item, ItemKind, Place, SYMLINK_MODE, joined};
use super::pattern::Pattern;
use super::plan::{CopyAction, Mode};
use super::tree::{Kind, Tree, TreeError, text};
use super::unpack;
use crate::layer::Scratch;

/// Why something cannot be copied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// The source.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// The destination, or the source within an image.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// Nothing is there.
    #[error("`/{path}` is not in the image that it is copied from")]
    MissingInImage {
        /// The path.
        path: String,
    },
    /// A device or pipe of an image.
    #[error("`/{path}` is a device or a pipe, which cannot be copied")]
    Device {
        /// The path.
        path: String,
    },
    /// Too many files.
    #[error("more than {limit} files to copy at `{path}`")]
    TooMany {
        /// The path.
        path: String,
        /// The bound.
        limit: usize,
    },
    /// A file cannot be read.
    #[error("reading `{path}`")]
    Read {
        /// The path.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A name that the image does not know.
    #[error("{what} `{name}` is not in the image's {file}")]
    Unknown {
        /// `user` or `group`.
        what: &'static str,
        /// The name.
        name: String,
        /// Where it was looked for.
        file: &'static str,
    },
    /// Several files, and a destination that is not a directory.
    #[error("{count} sources cannot all become `{destination}`")]
    NotIntoDirectory {
        /// How many.
        count: usize,
        /// The destination.
        destination: String,
    },
    /// A file where a directory is.
    #[error("`{source_path}` cannot replace the directory `/{path}` of the image")]
    ReplacesDirectory {
        /// The source.
        source_path: String,
        /// The path in the image.
        path: String,
    },
    /// A directory where something else is.
    #[error("the directory `{source_path}` cannot replace `/{path}` of the image, which is none")]
    ReplacesFile {
        /// The source.
        source_path: String,
        /// The path in the image.
        path: String,
    },
    /// An archive that cannot be unpacked.
    #[error("unpacking `{source_path}`")]
    Archive {
        /// The source.
        source_path: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A source that cannot be fetched.
    #[error("fetching {url}")]
    Remote {
        /// The source.
        url: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A downloaded file that is not the one that was meant.
    #[error("{url} has the digest {got}, want {want}")]
    Checksum {
        /// The source.
        url: String,
        /// Its digest.
        got: String,
        /// What the instruction says.
        want: String,
    },
}

impl CopyError {
    /// Returns what to do about it, if the message does not say it already.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotIntoDirectory { .. } => Some("end the destination in a slash"),
            Self::Archive { .. } => Some("use COPY to have the file as it is"),
            Self::Unknown { .. } => Some("write its number"),
            Self::Context(ContextError::Missing { .. }) => {
                Some("sources are looked for in the directory that the build was given")
            }
            Self::Context(ContextError::Outside { .. }) => {
                Some("only files below the directory that the build was given can be copied")
            }
            Self::Context(ContextError::Special { .. }) => {
                Some("name it in .dockerignore to leave it out")
            }
            _ => None,
        }
    }
}

/// The entries of one layer, by path without slashes around it; so parents come before what is in them.
pub(super) type Entries<'a> = BTreeMap<Vec<u8>, Entry<'a>>;

/// One entry of a layer.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) mode: u32,
    pub(super) owner: (u32, u32),
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) content: Content<'a>,
}

/// What an entry is.
#[derive(Debug)]
pub(super) enum Content<'a> {
    Directory,
    File { place: Place<'a>, size: u64 },
    Symlink(Vec<u8>),
}

/// Something that ADD gives whatever its sources: a text, a file that was fetched, or an archive's members.
#[derive(Debug)]
pub(super) struct Extra<'a> {
    /// Its name in the destination directory.
    pub(super) name: Vec<u8>,
    /// For messages.
    pub(super) shown: String,
    pub(super) item: Item<'a>,
}

/// What ADD takes a file of the context for.
pub(super) enum Taken<'a> {
    /// A file.
    File,
    /// An archive, with its members in order.
    Archive(Vec<Member<'a>>),
}

/// A member of an archive.
#[derive(Debug)]
pub(super) struct Member<'a> {
    /// As written in the archive.
    pub(super) path: Vec<u8>,
    /// A hard link has the item that it leads to.
    pub(super) item: Item<'a>,
}

/// What COPY and ADD need beside their sources.
pub(super) struct Wanted<'a, 'w> {
    pub(super) action: &'w CopyAction,
    /// Owner and group, if given.
    pub(super) owner: Option<(u32, u32)>,
    /// Files that are not among the sources.
    pub(super) extras: Vec<Extra<'a>>,
    /// Where archives are unpacked, if they are.
    pub(super) unpack: Option<&'w Scratch>,
}

/// Finds out what an instruction copies, and records it in the tree. `None` if its wildcards match nothing.
///
/// Directories are copied with what is in them, not as such; a file goes into a destination that is a directory, or that
/// is spelled like one. Parents are made where they are missing: <https://docs.docker.com/reference/dockerfile/#copy>.
pub(super) fn plan<'a>(
    wanted: Wanted<'a, '_>,
    files: Files<'a>,
    tree: &mut Tree,
) -> Result<Option<Entries<'a>>, CopyError> {
    let action = wanted.action;
    let mut sources = Vec::new();
    for source in &action.sources {
        sources.extend(files.choose(source, action.parents)?);
    }
    let patterns = action.excludes.iter().map(|text| Pattern::path(text));
    let mut layer = Layer {
        tree,
        entries: Entries::new(),
        owner: wanted.owner,
        mode: action.mode.as_ref(),
        // The plan has compiled them before.
        excludes: patterns.filter_map(Result::ok).collect(),
    };
    sources
        .retain(|source| source.item.kind == ItemKind::Directory || !layer.excludes(&source.name));
    if sources.is_empty() && wanted.extras.is_empty() {
        return Ok(None);
    }
    let destination = layer.tree.resolve(action.destination.as_bytes())?;
    let is_directory = destination.kind == Some(Kind::Directory);
    let count = sources.len() + wanted.extras.len();
    if count > 1 && !action.into_directory && !is_directory {
        return Err(CopyError::NotIntoDirectory {
            count,
            destination: action.destination.clone(),
        });
    }
    let into = action.into_directory || is_directory;
    for source in sources {
        let target = match action.parents {
            true => joined(&destination.path, &source.kept),
            false => destination.path.clone(),
        };
        match &source.item.kind {
            ItemKind::Directory => layer.copy_directory(&source.item, &source.shown, &target)?,
            ItemKind::File(_) => {
                let taken = match wanted.unpack {
                    Some(scratch) => unpack::look(&source.item, &source.shown, scratch)?,
                    None => Taken::File,
                };
                match taken {
                    Taken::Archive(members) => {
                        layer.unpack(members, &destination.path, &source.shown)?;
                    }
                    Taken::File => {
                        let path = match (action.parents, into) {
                            (true, _) => target,
                            (false, true) => joined(&target, &source.name),
                            (false, false) => target,
                        };
                        layer.put_file(path, source.item, &source.shown)?;
                    }
                }
            }
            // Sources were followed to their end.
            ItemKind::Symlink(_) => {}
        }
    }
    for extra in wanted.extras {
        let path = match into {
            true => joined(&destination.path, &extra.name),
            false => destination.path.clone(),
        };
        match (&extra.item.kind, wanted.unpack) {
            (ItemKind::Directory, _) => {
                layer.copy_directory(&extra.item, &extra.shown, &destination.path)?;
            }
            (_, Some(scratch)) => match unpack::look(&extra.item, &extra.shown, scratch)? {
                Taken::Archive(members) => {
                    layer.unpack(members, &destination.path, &extra.shown)?;
                }
                Taken::File => layer.put_file(path, extra.item, &extra.shown)?,
            },
            (_, None) => layer.put_file(path, extra.item, &extra.shown)?,
        }
    }
    Ok(Some(layer.entries))
}

/// Adds all that is in a directory, so that it can be mounted.
pub(super) fn everything<'a>(
    chosen: &super::files::Chosen<'a>,
    tree: &mut Tree,
    entries: &mut Entries<'a>,
) -> Result<(), CopyError> {
    let mut layer = Layer {
        tree,
        entries: std::mem::take(entries),
        owner: None,
        mode: None,
        excludes: Vec::new(),
    };
    layer.copy_directory(&chosen.item, &chosen.shown, &[])?;
    *entries = layer.entries;
    Ok(())
}

/// Makes a directory with its parents, where they are missing.
pub(super) fn make_directory<'a>(path: &str, tree: &mut Tree) -> Result<Entries<'a>, CopyError> {
    let resolved = tree.resolve(path.as_bytes())?;
    let mut layer = Layer {
        tree,
        entries: Entries::new(),
        owner: None,
        mode: None,
        excludes: Vec::new(),
    };
    layer.make_directory(&resolved.path)?;
    Ok(layer.entries)
}

/// A layer that is being planned.
struct Layer<'a, 'w> {
    tree: &'w mut Tree,
    entries: Entries<'a>,
    /// Owner and group of what is copied, if the instruction gives any.
    owner: Option<(u32, u32)>,
    /// The mode of what is copied, if the instruction gives one. Directories get it as well, as in Docker.
    mode: Option<&'w Mode>,
    excludes: Vec<Pattern>,
}

impl<'a> Layer<'a, '_> {
    /// Is this path below a source left out? A pattern that matches a directory matches all below it.
    fn excludes(&self, path: &[u8]) -> bool {
        if self.excludes.is_empty() {
            return false;
        }
        let path = String::from_utf8_lossy(path);
        let mut ends = path.match_indices('/').map(|(at, _)| at);
        let ancestors = std::iter::from_fn(|| ends.next());
        let mut paths = ancestors.filter_map(|at| path.get(..at)).chain([&*path]);
        paths.any(|path| self.excludes.iter().any(|pattern| pattern.matches(path)))
    }

    fn copy_directory(
        &mut self,
        source: &Item<'a>,
        shown: &str,
        target: &[u8],
    ) -> Result<(), CopyError> {
        match self.tree.get(target).map_err(TreeError::from)? {
            // A directory that is there stays as it is: only what is copied into it changes.
            Some(Kind::Directory) => {}
            Some(_) => return Err(replaces_file(shown, target)),
            None => {
                self.make_parents(target)?;
                self.put_item(target.to_vec(), source.clone());
            }
        }
        for Found { name, shown, item } in source.walk()? {
            if self.excludes(&name) {
                continue;
            }
            let path = joined(target, &name);
            let there = self.tree.get(&path).map_err(TreeError::from)?;
            match (&item.kind, there) {
                (ItemKind::Directory, Some(Kind::Symlink(_) | Kind::Other)) => {
                    return Err(replaces_file(&shown, &path));
                }
                (ItemKind::File(_) | ItemKind::Symlink(_), Some(Kind::Directory)) => {
                    return Err(replaces_directory(&shown, &path));
                }
                _ => {}
            }
            self.put_item(path, item);
        }
        Ok(())
    }

    fn put_file(&mut self, path: Vec<u8>, item: Item<'a>, shown: &str) -> Result<(), CopyError> {
        if self.tree.get(&path).map_err(TreeError::from)? == Some(Kind::Directory) {
            return Err(replaces_directory(shown, &path));
        }
        self.make_parents(&path)?;
        self.put_item(path, item);
        Ok(())
    }

    /// Puts the members of an archive below a directory. Links of the image, and of earlier members, are followed within it.
    fn unpack(
        &mut self,
        members: Vec<Member<'a>>,
        directory: &[u8],
        shown: &str,
    ) -> Result<(), CopyError> {
        self.make_directory(directory)?;
        for member in members {
            let (parent, name) = match member.path.iter().rposition(|byte| *byte == b'/') {
                Some(slash) => member.path.split_at(slash + 1),
                None => (&[][..], &member.path[..]),
            };
            let parent = self.tree.resolve(&joined(directory, parent))?;
            self.make_directory(&parent.path)?;
            let path = joined(&parent.path, name);
            let there = self.tree.get(&path).map_err(TreeError::from)?;
            match (&member.item.kind, there) {
                // The archive's own root, or a directory that a link of the image leads to.
                (ItemKind::Directory, Some(Kind::Symlink(_))) => continue,
                (ItemKind::Directory, Some(Kind::Other)) => {
                    return Err(replaces_file(shown, &path));
                }
                (ItemKind::File(_) | ItemKind::Symlink(_), Some(Kind::Directory)) => {
                    return Err(replaces_directory(shown, &path));
                }
                _ => {}
            }
            if path.is_empty() {
                continue;
            }
            self.put_item(path, member.item);
        }
        Ok(())
    }

    fn make_parents(&mut self, path: &[u8]) -> Result<(), CopyError> {
        match path.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => self.make_directory(path.get(..slash).unwrap_or_default()),
            None => Ok(()),
        }
    }

    /// Makes a directory and its parents. Those that are there keep their metadata, so they are not written again.
    fn make_directory(&mut self, path: &[u8]) -> Result<(), CopyError> {
        match self.tree.get(path).map_err(TreeError::from)? {
            Some(Kind::Directory) => Ok(()),
            Some(_) => Err(TreeError::NotADirectory { path: text(path) }.into()),
            None => {
                self.make_parents(path)?;
                self.tree.add(path.to_vec(), Kind::Directory);
                let entry = Entry {
                    mode: DIRECTORY_MODE,
                    owner: self.owner.unwrap_or((0, 0)),
                    xattrs: BTreeMap::new(),
                    content: Content::Directory,
                };
                self.entries.insert(path.to_vec(), entry);
                Ok(())
            }
        }
    }

    fn put_item(&mut self, path: Vec<u8>, item: Item<'a>) {
        let changed = |is_directory| match self.mode {
            Some(mode) => mode.apply(item.mode, is_directory),
            None => item.mode,
        };
        let (kind, mode, content) = match item.kind {
            ItemKind::Directory => (Kind::Directory, changed(true), Content::Directory),
            ItemKind::File(size) => {
                let place = item.place;
                (Kind::Other, changed(false), Content::File { place, size })
            }
            ItemKind::Symlink(target) => (
                Kind::Symlink(target.clone()),
                SYMLINK_MODE,
                Content::Symlink(target),
            ),
        };
        self.tree.add(path.clone(), kind);
        let entry = Entry {
            mode,
            owner: self.owner.unwrap_or(item.owner),
            xattrs: item.xattrs,
            content,
        };
        self.entries.insert(path, entry);
    }
}

fn replaces_file(shown: &str, path: &[u8]) -> CopyError {
    CopyError::ReplacesFile {
        source_path: shown.to_owned(),
        path: text(path),
    }
}

fn replaces_directory(shown: &str, path: &[u8]) -> CopyError {
    CopyError::ReplacesDirectory {
        source_path: shown.to_owned(),
        path: text(path),
    }
}
