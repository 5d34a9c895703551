//! COPY and ADD: which files of the context go where in the image.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::containerfile::Verb;
use super::context::{Context, ContextError, Kind as ContextKind, io_error, shown};
use super::plan::CopyAction;
use super::tree::{Kind, Tree, TreeError, text};

/// Mode of directories. Neither the umask of a checkout nor a mode that a version control system does not keep may
/// change the digest, so modes are made uniform; Docker takes them as they are.
pub(super) const DIRECTORY_MODE: u32 = 0o755;
/// Mode of files that their owner may execute; see [`DIRECTORY_MODE`].
const PROGRAM_MODE: u32 = 0o755;
/// Mode of other files; see [`DIRECTORY_MODE`].
const FILE_MODE: u32 = 0o644;
/// Mode of symbolic links, which is never looked at.
const SYMLINK_MODE: u32 = 0o777;

/// Why something cannot be copied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// The source.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// The destination.
    #[error(transparent)]
    Tree(#[from] TreeError),
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
    /// ADD of an archive, which Docker unpacks.
    #[error("`{source_path}` is {kind}: ADD would unpack it, which is not supported")]
    Archive {
        /// The source.
        source_path: String,
        /// What it is.
        kind: &'static str,
    },
}

impl CopyError {
    /// Returns what to do about it, if the message does not say it already.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotIntoDirectory { .. } => Some("end the destination in a slash"),
            Self::Archive { .. } => {
                Some("use COPY to have the file as it is, or unpack it in the build context")
            }
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
pub(super) type Entries = BTreeMap<Vec<u8>, Entry>;

/// One entry of a layer.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) mode: u32,
    pub(super) owner: (u32, u32),
    pub(super) content: Content,
}

/// What an entry is.
#[derive(Debug)]
pub(super) enum Content {
    Directory,
    /// A file of the context.
    File {
        path: PathBuf,
        size: u64,
    },
    Symlink(Vec<u8>),
}

/// Finds out what an instruction copies, and records it in the tree. `None` if its wildcards match nothing.
///
/// Directories are copied with what is in them, not as such; a file goes into a destination that is a directory, or that
/// is spelled like one. Parents are made where they are missing: <https://docs.docker.com/reference/dockerfile/#copy>.
pub(super) fn plan(
    action: &CopyAction,
    context: &Context<'_>,
    tree: &mut Tree,
) -> Result<Option<Entries>, CopyError> {
    let mut sources = Vec::new();
    for source in &action.sources {
        sources.extend(context.choose(source)?);
    }
    if sources.is_empty() {
        return Ok(None);
    }
    let mut layer = Layer {
        tree,
        entries: Entries::new(),
        owner: action.owner.unwrap_or((0, 0)),
        mode: action.mode,
    };
    let destination = layer.tree.resolve(action.destination.as_bytes())?;
    let is_directory = destination.kind == Some(Kind::Directory);
    if sources.len() > 1 && !action.into_directory && !is_directory {
        return Err(CopyError::NotIntoDirectory {
            count: sources.len(),
            destination: action.destination.clone(),
        });
    }
    for source in sources {
        match source.kind {
            ContextKind::Directory => {
                layer.copy_directory(&source.path, &destination.path, context)?;
            }
            ContextKind::File { size, executable } => {
                if action.verb == Verb::Add {
                    refuse_archive(&source.path, context)?;
                }
                let path = if action.into_directory || is_directory {
                    layer.make_directory(&destination.path)?;
                    below(&destination.path, &source.name)
                } else {
                    destination.path.clone()
                };
                layer.put_file(path, source.path, size, executable)?;
            }
            // Sources were followed to their end.
            ContextKind::Symlink(_) => {}
        }
    }
    Ok(Some(layer.entries))
}

/// Makes a directory with its parents, where they are missing.
pub(super) fn make_directory(path: &str, tree: &mut Tree) -> Result<Entries, CopyError> {
    let resolved = tree.resolve(path.as_bytes())?;
    let mut layer = Layer {
        tree,
        entries: Entries::new(),
        owner: (0, 0),
        mode: None,
    };
    layer.make_directory(&resolved.path)?;
    Ok(layer.entries)
}

/// A layer that is being planned.
struct Layer<'a> {
    tree: &'a mut Tree,
    entries: Entries,
    owner: (u32, u32),
    /// The mode of what is copied, if the instruction gives one. Directories get it as well, as in Docker.
    mode: Option<u32>,
}

impl Layer<'_> {
    fn copy_directory(
        &mut self,
        source: &Path,
        target: &[u8],
        context: &Context<'_>,
    ) -> Result<(), CopyError> {
        match self.tree.get(target).map_err(TreeError::from)? {
            // A directory that is there stays as it is: only what is copied into it changes.
            Some(Kind::Directory) => {}
            Some(_) => return Err(replaces_file(source, target)),
            None => {
                self.make_parents(target)?;
                let mode = self.mode.unwrap_or(DIRECTORY_MODE);
                self.put(target.to_vec(), mode, Content::Directory);
            }
        }
        for found in context.walk(source)? {
            let path = below(target, &found.name);
            let there = self.tree.get(&path).map_err(TreeError::from)?;
            match (found.kind, there) {
                (ContextKind::Directory, None | Some(Kind::Directory)) => {
                    let mode = self.mode.unwrap_or(DIRECTORY_MODE);
                    self.put(path, mode, Content::Directory);
                }
                (ContextKind::Directory, Some(_)) => {
                    return Err(replaces_file(&found.path, &path));
                }
                (_, Some(Kind::Directory)) => {
                    return Err(replaces_directory(&found.path, &path));
                }
                (ContextKind::File { size, executable }, _) => {
                    let mode = self.file_mode(executable);
                    let content = Content::File {
                        path: found.path,
                        size,
                    };
                    self.put(path, mode, content);
                }
                (ContextKind::Symlink(target), _) => {
                    self.put(path, SYMLINK_MODE, Content::Symlink(target));
                }
            }
        }
        Ok(())
    }

    fn put_file(
        &mut self,
        path: Vec<u8>,
        source: PathBuf,
        size: u64,
        executable: bool,
    ) -> Result<(), CopyError> {
        if self.tree.get(&path).map_err(TreeError::from)? == Some(Kind::Directory) {
            return Err(replaces_directory(&source, &path));
        }
        self.make_parents(&path)?;
        let mode = self.file_mode(executable);
        self.put(path, mode, Content::File { path: source, size });
        Ok(())
    }

    fn file_mode(&self, executable: bool) -> u32 {
        self.mode
            .unwrap_or(if executable { PROGRAM_MODE } else { FILE_MODE })
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
                self.put(path.to_vec(), DIRECTORY_MODE, Content::Directory);
                Ok(())
            }
        }
    }

    fn put(&mut self, path: Vec<u8>, mode: u32, content: Content) {
        let kind = match &content {
            Content::Directory => Kind::Directory,
            Content::File { .. } => Kind::Other,
            Content::Symlink(target) => Kind::Symlink(target.clone()),
        };
        self.tree.add(path.clone(), kind);
        let owner = self.owner;
        let entry = Entry {
            mode,
            owner,
            content,
        };
        self.entries.insert(path, entry);
    }
}

fn below(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = directory.to_vec();
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

fn replaces_file(source: &Path, path: &[u8]) -> CopyError {
    CopyError::ReplacesFile {
        source_path: shown(source),
        path: text(path),
    }
}

fn replaces_directory(source: &Path, path: &[u8]) -> CopyError {
    CopyError::ReplacesDirectory {
        source_path: shown(source),
        path: text(path),
    }
}

/// Bytes that tell an archive: a tar header.
const HEAD: u64 = 512;

/// Refuses what Docker's ADD would unpack: to copy it silently would give another image than Docker's.
///
/// A compressed file that is no archive is copied by Docker. It is refused here too, since we do not look into it.
fn refuse_archive(path: &Path, context: &Context<'_>) -> Result<(), CopyError> {
    let file = context.open_file(path)?;
    let mut head = Vec::new();
    let read = file.take(HEAD).read_to_end(&mut head);
    read.map_err(|source| io_error(path, source))?;
    let kind = if head.get(257..262) == Some(b"ustar") || is_old_tar(&head) {
        "a tar archive"
    } else if head.starts_with(b"\x1f\x8b\x08") {
        "compressed with gzip"
    } else if head.starts_with(b"BZh") {
        "compressed with bzip2"
    } else if head.starts_with(b"\xfd7zXZ\0") {
        "compressed with xz"
    } else if head.starts_with(b"\x28\xb5\x2f\xfd") {
        "compressed with zstd"
    } else {
        return Ok(());
    };
    Err(CopyError::Archive {
        source_path: shown(path),
        kind,
    })
}

/// Tells a tar header of before POSIX by its checksum: the sum of all bytes, with those of the checksum taken as spaces.
fn is_old_tar(head: &[u8]) -> bool {
    let (Some(before), Some(field), Some(after)) =
        (head.get(..148), head.get(148..156), head.get(156..512))
    else {
        return false;
    };
    let digits: Vec<u8> = field
        .iter()
        .copied()
        .skip_while(|byte| *byte == b' ')
        .take_while(u8::is_ascii_digit)
        .collect();
    let stated = std::str::from_utf8(&digits)
        .ok()
        .and_then(|digits| u32::from_str_radix(digits, 8).ok());
    let sum: u32 = before
        .iter()
        .chain(after)
        .map(|byte| u32::from(*byte))
        .sum();
    stated == Some(sum + 8 * u32::from(b' '))
}
