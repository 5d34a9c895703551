//! Where COPY takes files from: a directory of the host, or an image.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::context::{Context, Kind as ContextKind};
use super::copy::CopyError;
use super::pattern::{Pattern, has_wildcard};
use super::plan::Source;
use super::tree::{Kind, Tree, TreeError, text};
use crate::layer::{NodeKind, Rootfs, TreeIndex};

/// Mode of directories. Neither the umask of a checkout nor a mode that a version control system does not keep may
/// change the digest, so modes of a directory of the host are made uniform; Docker takes them as they are.
pub(super) const DIRECTORY_MODE: u32 = 0o755;
/// Mode of files that their owner may execute; see [`DIRECTORY_MODE`].
const PROGRAM_MODE: u32 = 0o755;
/// Mode of other files; see [`DIRECTORY_MODE`].
pub(super) const FILE_MODE: u32 = 0o644;
/// Mode of symbolic links, which is never looked at.
pub(super) const SYMLINK_MODE: u32 = 0o777;

/// Names that one wildcard may match, and files that one instruction may copy: a large `node_modules` has 300,000.
const MAX_ENTRIES: usize = 1_000_000;

/// Whose files are copied.
#[derive(Clone, Copy)]
pub(super) enum Files<'a> {
    Context(&'a Context<'a>),
    Image(&'a ImageFiles),
}

/// Something that can be copied.
#[derive(Clone, Debug)]
pub(super) struct Item<'a> {
    pub(super) kind: ItemKind,
    pub(super) mode: u32,
    /// In an image; elsewhere root, whoever has it on the host.
    pub(super) owner: (u32, u32),
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) place: Place<'a>,
}

/// What it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ItemKind {
    Directory,
    /// A file of so many bytes.
    File(u64),
    /// A symbolic link with its target, as it is written.
    Symlink(Vec<u8>),
}

/// Where it is.
#[derive(Clone)]
pub(super) enum Place<'a> {
    /// In a directory of the host, links resolved.
    Context(&'a Context<'a>, PathBuf),
    /// In an image.
    Image(&'a ImageFiles, u32),
    /// In the Dockerfile.
    Text(Arc<[u8]>),
    /// In a file of ours: from this byte on, so many bytes.
    At(Arc<Path>, u64, u64),
}

impl std::fmt::Debug for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Context(_, path) => write!(f, "{}", path.display()),
            Self::Image(_, node) => write!(f, "node {node}"),
            Self::Text(text) => write!(f, "{} bytes", text.len()),
            Self::At(path, offset, _) => write!(f, "{} at {offset}", path.display()),
        }
    }
}

/// Something that a source leads to.
#[derive(Debug)]
pub(super) struct Chosen<'a> {
    /// The last part of the name it was chosen by; empty for the root.
    pub(super) name: Vec<u8>,
    /// The name it was chosen by, below the pivot of `--parents`.
    pub(super) kept: Vec<u8>,
    /// For messages.
    pub(super) shown: String,
    /// A file or a directory: links were followed.
    pub(super) item: Item<'a>,
}

/// Something below a copied directory.
#[derive(Debug)]
pub(super) struct Found<'a> {
    /// Its path below that directory, with slashes.
    pub(super) name: Vec<u8>,
    /// For messages.
    pub(super) shown: String,
    pub(super) item: Item<'a>,
}

impl<'a> Files<'a> {
    /// Returns what a source leads to: one thing, or what matches it, in the order of the names.
    pub(super) fn choose(
        self,
        source: &Source,
        parents: bool,
    ) -> Result<Vec<Chosen<'a>>, CopyError> {
        match self {
            Self::Context(context) => {
                let chosen = context.choose(source, parents)?.into_iter();
                Ok(chosen
                    .map(|chosen| Chosen {
                        kept: kept(&chosen.named, source),
                        shown: super::context::shown(&chosen.path),
                        name: chosen.name,
                        item: context_item(context, chosen.kind, chosen.path),
                    })
                    .collect())
            }
            Self::Image(image) => image.choose(source, parents),
        }
    }
}

/// Drops what stands before the pivot.
fn kept(path: &[u8], source: &Source) -> Vec<u8> {
    let parts = path.split(|byte| *byte == b'/').skip(source.pivot);
    parts.collect::<Vec<_>>().join(&b'/')
}

fn context_item<'a>(context: &'a Context<'a>, kind: ContextKind, path: PathBuf) -> Item<'a> {
    let (kind, mode) = match kind {
        ContextKind::Directory => (ItemKind::Directory, DIRECTORY_MODE),
        ContextKind::File { size, executable } => (
            ItemKind::File(size),
            if executable { PROGRAM_MODE } else { FILE_MODE },
        ),
        ContextKind::Symlink(target) => (ItemKind::Symlink(target), SYMLINK_MODE),
    };
    Item {
        kind,
        mode,
        owner: (0, 0),
        xattrs: BTreeMap::new(),
        place: Place::Context(context, path),
    }
}

impl<'a> Item<'a> {
    /// Makes a file of a text.
    pub(super) fn text(text: &str) -> Self {
        Self {
            kind: ItemKind::File(text.len() as u64),
            mode: FILE_MODE,
            owner: (0, 0),
            xattrs: BTreeMap::new(),
            place: Place::Text(text.as_bytes().into()),
        }
    }

    /// Makes a file of a file of ours.
    pub(super) fn file(path: &Path, size: u64, mode: u32) -> Self {
        Self {
            kind: ItemKind::File(size),
            mode,
            owner: (0, 0),
            xattrs: BTreeMap::new(),
            place: Place::At(path.into(), 0, size),
        }
    }

    /// Makes a directory of the root of a context.
    pub(super) fn root(context: &'a Context<'a>) -> Self {
        context_item(context, ContextKind::Directory, PathBuf::new())
    }

    /// Lists all below a directory, each directory before what is in it, sorted by name.
    pub(super) fn walk(&self) -> Result<Vec<Found<'a>>, CopyError> {
        match &self.place {
            Place::Context(context, path) => {
                let context: &'a Context<'a> = context;
                let found = context.walk(path)?.into_iter();
                Ok(found
                    .map(|found| Found {
                        name: found.name,
                        shown: super::context::shown(&found.path),
                        item: context_item(context, found.kind, found.path),
                    })
                    .collect())
            }
            Place::Image(image, node) => {
                let mut found = Vec::new();
                image.walk(*node, &[], &mut found)?;
                Ok(found)
            }
            Place::Text(_) | Place::At(..) => Ok(Vec::new()),
        }
    }
}

impl<'a> Place<'a> {
    /// Opens a file.
    pub(super) fn open(&self) -> io::Result<Box<dyn Read + 'a>> {
        match self {
            Self::Context(context, path) => context
                .open_file(path)
                .map(|file| Box::new(file) as Box<dyn Read>)
                .map_err(|error| match error {
                    super::ContextError::Io { source, .. } => source,
                    other => io::Error::other(other),
                }),
            Self::Image(image, node) => {
                let node = image.index.node(*node).map_err(io::Error::other)?;
                let tar = image.tars.get(node.layer as usize);
                let tar = tar.ok_or_else(|| io::Error::other("the index names no such layer"))?;
                Ok(Box::new(part(tar, node.offset)?.take(node.size)))
            }
            Self::Text(text) => Ok(Box::new(io::Cursor::new(Arc::clone(text)))),
            Self::At(path, offset, size) => Ok(Box::new(part(path, *offset)?.take(*size))),
        }
    }
}

fn part(path: &Path, offset: u64) -> io::Result<File> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    Ok(file)
}

/// The files of an image or stage.
pub(super) struct ImageFiles {
    index: Arc<TreeIndex<Vec<u8>>>,
    /// The uncompressed layers.
    tars: Vec<PathBuf>,
    /// The same files, for following links.
    tree: Tree,
}

impl ImageFiles {
    pub(super) fn open(rootfs: &Rootfs) -> Result<Self, crate::layer::LayerError> {
        let index = Arc::new(rootfs.read_index()?);
        Ok(Self {
            tree: Tree::new(Some(Arc::clone(&index))),
            index,
            tars: rootfs.layers.clone(),
        })
    }

    /// Reads a small file, such as `/etc/passwd`; `None` if there is none.
    pub(super) fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, CopyError> {
        let resolved = self.tree.resolve(path.as_bytes())?;
        let Some(node) = self.find(&resolved.path)? else {
            return Ok(None);
        };
        if self.index.node(node).map_err(TreeError::from)?.kind != NodeKind::File {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        Place::Image(self, node)
            .open()
            .and_then(|reader| reader.take(limit).read_to_end(&mut bytes))
            .map_err(|source| CopyError::Read {
                path: path.to_owned(),
                source,
            })?;
        Ok(Some(bytes))
    }

    /// Returns what a path leads to, links followed.
    pub(super) fn at(&self, path: &str) -> Result<Item<'_>, CopyError> {
        let resolved = self.tree.resolve(path.as_bytes())?;
        match self.find(&resolved.path)? {
            Some(node) if resolved.kind.is_some() => self.item(node, &resolved.path),
            _ => Err(CopyError::MissingInImage {
                path: text(path.as_bytes()),
            }),
        }
    }

    /// Lists all that the image has.
    pub(super) fn all(&self) -> Result<Vec<Found<'_>>, CopyError> {
        let mut found = Vec::new();
        self.walk(self.index.root(), &[], &mut found)?;
        Ok(found)
    }

    /// Finds a path that is free of links.
    fn find(&self, path: &[u8]) -> Result<Option<u32>, TreeError> {
        let mut node = self.index.root();
        for name in path.split(|byte| *byte == b'/').filter(|n| !n.is_empty()) {
            if self.index.node(node)?.kind != NodeKind::Directory {
                return Ok(None);
            }
            match self.index.lookup(node, name)? {
                Some(child) => node = child,
                None => return Ok(None),
            }
        }
        Ok(Some(node))
    }

    fn choose(&self, source: &Source, parents: bool) -> Result<Vec<Chosen<'_>>, CopyError> {
        let mut paths: Vec<Vec<u8>> = vec![Vec::new()];
        let mut wild = false;
        for part in &source.parts {
            let mut next = Vec::new();
            let any = parents && part == "**";
            let pattern = has_wildcard(part).then(|| Pattern::name(part));
            wild |= pattern.is_some();
            for path in &paths {
                match &pattern {
                    None => next.push(joined(path, part.as_bytes())),
                    Some(_) if any => self.directories(path, &mut next)?,
                    Some(Ok(pattern)) => {
                        for name in self.names(path)? {
                            if pattern.matches(&String::from_utf8_lossy(&name)) {
                                next.push(joined(path, &name));
                            }
                        }
                    }
                    // The plan has compiled every pattern before.
                    Some(Err(_)) => {}
                }
                if next.len() > MAX_ENTRIES {
                    return Err(CopyError::TooMany {
                        path: source.text.clone(),
                        limit: MAX_ENTRIES,
                    });
                }
            }
            paths = next;
        }
        let mut chosen = Vec::new();
        for path in paths {
            let resolved = self.tree.resolve(&path)?;
            let node = match resolved.kind {
                Some(_) => self.find(&resolved.path)?,
                None => None,
            };
            let Some(node) = node else {
                if wild {
                    continue;
                }
                return Err(CopyError::MissingInImage { path: text(&path) });
            };
            chosen.push(Chosen {
                name: path
                    .rsplit(|byte| *byte == b'/')
                    .next()
                    .unwrap_or_default()
                    .to_vec(),
                kept: kept(&path, source),
                shown: text(&path),
                item: self.item(node, &path)?,
            });
        }
        Ok(chosen)
    }

    /// Names in a directory that may be reached through links; nothing if it is none.
    fn names(&self, path: &[u8]) -> Result<Vec<Vec<u8>>, TreeError> {
        let resolved = self.tree.resolve(path)?;
        if resolved.kind != Some(Kind::Directory) {
            return Ok(Vec::new());
        }
        let Some(node) = self.find(&resolved.path)? else {
            return Ok(Vec::new());
        };
        let mut names = Vec::new();
        for child in self.index.children(node)? {
            names.push(self.index.node(child)?.name.to_vec());
        }
        Ok(names)
    }

    /// Adds a directory and all directories below it, links not followed.
    fn directories(&self, path: &[u8], found: &mut Vec<Vec<u8>>) -> Result<(), CopyError> {
        let Some(node) = self.find(path)? else {
            return Ok(());
        };
        let mut left = vec![(node, path.to_vec())];
        while let Some((node, path)) = left.pop() {
            if self.index.node(node).map_err(TreeError::from)?.kind != NodeKind::Directory {
                continue;
            }
            for child in self.index.children(node).map_err(TreeError::from)? {
                let name = self.index.node(child).map_err(TreeError::from)?.name;
                left.push((child, joined(&path, name)));
            }
            found.push(path);
        }
        found.sort();
        Ok(())
    }

    fn item(&self, number: u32, path: &[u8]) -> Result<Item<'_>, CopyError> {
        let node = self.index.node(number).map_err(TreeError::from)?;
        let kind = match node.kind {
            NodeKind::Directory => ItemKind::Directory,
            NodeKind::File => ItemKind::File(node.size),
            NodeKind::Symlink => ItemKind::Symlink(node.link.to_vec()),
            _ => return Err(CopyError::Device { path: text(path) }),
        };
        let mut xattrs = BTreeMap::new();
        for xattr in node.xattrs {
            let (name, value) = xattr.map_err(TreeError::from)?;
            xattrs.insert(name.to_vec(), value.to_vec());
        }
        Ok(Item {
            kind,
            mode: node.mode,
            owner: (node.uid, node.gid),
            xattrs,
            place: Place::Image(self, number),
        })
    }

    fn walk<'a>(
        &'a self,
        directory: u32,
        prefix: &[u8],
        found: &mut Vec<Found<'a>>,
    ) -> Result<(), CopyError> {
        // An index is no deeper than a path can be.
        for child in self.index.children(directory).map_err(TreeError::from)? {
            let name = joined(
                prefix,
                self.index.node(child).map_err(TreeError::from)?.name,
            );
            if found.len() >= MAX_ENTRIES {
                return Err(CopyError::TooMany {
                    path: text(&name),
                    limit: MAX_ENTRIES,
                });
            }
            let item = self.item(child, &name)?;
            let is_directory = item.kind == ItemKind::Directory;
            found.push(Found {
                shown: text(&name),
                name: name.clone(),
                item,
            });
            if is_directory {
                self.walk(child, &name, found)?;
            }
        }
        Ok(())
    }
}

/// Puts a name behind a path.
pub(super) fn joined(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = directory.to_vec();
    if !path.is_empty() && !name.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}
