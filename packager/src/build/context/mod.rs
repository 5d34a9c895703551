//! The build context: a directory that the build cannot leave.
//!
//! Everything is opened through a `Dir`, which refuses to leave its tree whatever symbolic links say. On top of that,
//! links are followed here by hand, so that a refusal can name the link.

mod error;
mod path;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use cap_std::fs::{Dir, File, Metadata};

pub(super) use error::io_error;
pub use error::{ContextError, IgnoreFileError};
pub(super) use path::shown;

use super::ignore::{self, Ignore};
use super::pattern::{Pattern, has_wildcard};
use super::plan::Source;
use error::{MAX_DEPTH, MAX_ENTRIES, MAX_LINKS, special};
use path::{bytes, is_inside, or_dot, push_parts, slashed, stays_below};

/// What a name in the context is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    File {
        /// Bytes of content.
        size: u64,
        /// May its owner execute it?
        executable: bool,
    },
    /// A symbolic link with its target, as it is written.
    Symlink(Vec<u8>),
}

/// Something that a source leads to.
#[derive(Debug)]
pub(super) struct Chosen {
    /// The last part of the name it was chosen by; empty for the context itself.
    pub(super) name: Vec<u8>,
    /// That name as a whole, with slashes.
    pub(super) named: Vec<u8>,
    /// Where it is in the context, links resolved.
    pub(super) path: PathBuf,
    /// What it is: a file or a directory, since links were followed.
    pub(super) kind: Kind,
}

/// Something below a copied directory.
#[derive(Debug)]
pub(super) struct Found {
    /// Its path below that directory, with slashes.
    pub(super) name: Vec<u8>,
    /// Where it is in the context.
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
}

/// The files that a build may copy.
pub(super) struct Context<'a> {
    dir: &'a Dir,
    ignore: Ignore,
}

impl<'a> Context<'a> {
    /// Opens the context with its ignore file: `<Dockerfile>.dockerignore` if there is one, else `.dockerignore`.
    ///
    /// The former is looked for under the name that the Dockerfile was given by, and in the context's root, since a caller
    /// may name the Dockerfile relative to some other directory.
    pub(super) fn open(dir: &'a Dir, dockerfile: &str) -> Result<Self, IgnoreFileError> {
        let own = Path::new(dockerfile);
        let in_root = own.file_name().map(Path::new);
        for own in [Some(own), in_root].into_iter().flatten() {
            let file = format!("{}.dockerignore", own.display());
            if is_inside(Path::new(&file))
                && let Some(ignore) = read_ignore(dir, &file)?
            {
                return Ok(Self { dir, ignore });
            }
        }
        let ignore = read_ignore(dir, ".dockerignore")?.unwrap_or_default();
        Ok(Self { dir, ignore })
    }

    /// Uses all of a directory, whatever ignore files say.
    pub(super) fn whole(dir: &'a Dir) -> Self {
        Self {
            dir,
            ignore: Ignore::default(),
        }
    }

    /// Returns what a source leads to: one thing, or what matches it, in the order of the names.
    ///
    /// With `deep`, a part `**` stands for any number of directories.
    pub(super) fn choose(&self, source: &Source, deep: bool) -> Result<Vec<Chosen>, ContextError> {
        if !source.parts.iter().any(|part| has_wildcard(part)) {
            let path = source.parts.iter().collect::<PathBuf>();
            let chosen = self.follow(&path)?;
            return match self.excluded(&path, &chosen)? {
                Some(error) => Err(error),
                None => Ok(vec![chosen]),
            };
        }
        let mut chosen = Vec::new();
        for path in self.matching(&source.parts, deep)? {
            let found = self.follow(&path)?;
            if self.excluded(&path, &found)?.is_none() {
                chosen.push(found);
            }
        }
        Ok(chosen)
    }

    /// Follows links on the way to a path, and at its end.
    fn follow(&self, path: &Path) -> Result<Chosen, ContextError> {
        let resolved = self.resolve(path)?;
        let metadata = self.metadata(&resolved)?;
        Ok(Chosen {
            name: bytes(path.file_name().unwrap_or_default(), path)?,
            named: slashed(path)?,
            kind: self.kind(&resolved, &metadata)?,
            path: resolved,
        })
    }

    /// Is it taken away, by the name it was chosen by or by what that leads to?
    fn excluded(
        &self,
        named: &Path,
        chosen: &Chosen,
    ) -> Result<Option<ContextError>, ContextError> {
        for path in [named, chosen.path.as_path()] {
            // The context itself is always there.
            if path.components().next().is_none() {
                continue;
            }
            let path = shown(path);
            let Some(rule) = self.ignore.excludes(&path) else {
                continue;
            };
            if chosen.kind == Kind::Directory
                && self.ignore.has_exceptions()
                && !self.walk(&chosen.path)?.is_empty()
            {
                continue;
            }
            return Ok(Some(ContextError::Excluded {
                path,
                file: self.ignore.file.clone(),
                line: rule.line,
            }));
        }
        Ok(None)
    }

    /// Lists the paths that match parts, some of which are wildcards. Links are followed only before the first of those.
    fn matching(&self, parts: &[String], deep: bool) -> Result<Vec<PathBuf>, ContextError> {
        let wild = parts.iter().position(|part| has_wildcard(part));
        let (fixed, rest) = parts.split_at(wild.unwrap_or(parts.len()));
        let start = match self.resolve(&fixed.iter().collect::<PathBuf>()) {
            Ok(start) => start,
            // Docker takes a pattern below a missing directory for one that matches nothing.
            Err(ContextError::Missing { .. }) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut paths = vec![start];
        for part in rest {
            let pattern = has_wildcard(part).then(|| Pattern::name(part));
            let mut next = Vec::new();
            for path in &paths {
                if !self.is_directory(path)? {
                    continue;
                }
                match &pattern {
                    Some(_) if deep && part == "**" => {
                        next.push(path.clone());
                        let below = self.walk(path)?.into_iter();
                        let directories = below.filter(|found| found.kind == Kind::Directory);
                        next.extend(directories.map(|found| found.path));
                    }
                    Some(Ok(pattern)) => {
                        let names = self.list(path)?;
                        let names = names
                            .iter()
                            .filter(|name| pattern.matches(&name.to_string_lossy()));
                        next.extend(names.map(|name| path.join(name)));
                    }
                    // The plan has compiled every pattern before.
                    Some(Err(_)) => {}
                    None => {
                        let path = path.join(part);
                        if self.exists(&path)? {
                            next.push(path);
                        }
                    }
                }
                if next.len() > MAX_ENTRIES {
                    let path = shown(path);
                    return Err(ContextError::TooMany { path });
                }
            }
            paths = next;
        }
        Ok(paths)
    }

    /// Lists all below a directory, each directory before what is in it, sorted by name. Links are not followed.
    ///
    /// A directory that is excluded is there only if something in it is not.
    pub(super) fn walk(&self, directory: &Path) -> Result<Vec<Found>, ContextError> {
        let mut found = Vec::new();
        self.walk_into(directory, &[], 0, &mut found)?;
        Ok(found)
    }

    fn walk_into(
        &self,
        directory: &Path,
        prefix: &[u8],
        depth: usize,
        found: &mut Vec<Found>,
    ) -> Result<(), ContextError> {
        if depth > MAX_DEPTH {
            let path = shown(directory);
            return Err(ContextError::TooDeep { path });
        }
        for file_name in self.list(directory)? {
            let path = directory.join(&file_name);
            let excluded = self.ignore.excludes(&shown(&path)).is_some();
            if excluded && !self.ignore.has_exceptions() {
                continue;
            }
            let metadata = self.metadata(&path)?;
            if excluded && !metadata.is_dir() {
                continue;
            }
            if found.len() >= MAX_ENTRIES {
                let path = shown(&path);
                return Err(ContextError::TooMany { path });
            }
            let mut name = prefix.to_vec();
            if !name.is_empty() {
                name.push(b'/');
            }
            name.extend(bytes(&file_name, &path)?);
            let before = found.len();
            found.push(Found {
                name: name.clone(),
                kind: self.kind(&path, &metadata)?,
                path: path.clone(),
            });
            if metadata.is_dir() {
                self.walk_into(&path, &name, depth + 1, found)?;
                if excluded && found.len() == before + 1 {
                    found.pop();
                }
            }
        }
        Ok(())
    }

    /// Opens a file that [`Context::choose`] or [`Context::walk`] found.
    pub(super) fn open_file(&self, path: &Path) -> Result<File, ContextError> {
        let io = |source| io_error(path, source);
        let file = self.dir.open(path).map_err(io)?;
        let kind = file.metadata().map_err(io)?.file_type();
        // It may have been replaced since it was found.
        if !kind.is_file() {
            return Err(special(path, kind));
        }
        Ok(file)
    }

    /// Follows the links of a path by hand. What comes out has none, and exists.
    fn resolve(&self, path: &Path) -> Result<PathBuf, ContextError> {
        let mut done = PathBuf::new();
        let mut left: Vec<OsString> = Vec::new();
        push_parts(&mut left, path);
        let mut links = 0;
        while let Some(part) = left.pop() {
            if part == ".." {
                if done.pop() {
                    continue;
                }
                return Err(ContextError::Outside {
                    link: shown(path),
                    target: "..".to_owned(),
                });
            }
            let next = done.join(&part);
            let metadata = self.metadata(&next)?;
            if !metadata.is_symlink() {
                done = next;
                continue;
            }
            links += 1;
            if links > MAX_LINKS {
                let path = shown(path);
                return Err(ContextError::Links { path });
            }
            let target = self.target(&next)?;
            if !stays_below(&done, &target) {
                return Err(ContextError::Outside {
                    link: shown(&next),
                    target: target.display().to_string(),
                });
            }
            push_parts(&mut left, &target);
        }
        Ok(done)
    }

    fn target(&self, link: &Path) -> Result<PathBuf, ContextError> {
        let target = self.dir.read_link_contents(link);
        target.map_err(|source| io_error(link, source))
    }

    fn metadata(&self, path: &Path) -> Result<Metadata, ContextError> {
        let metadata = self.dir.symlink_metadata(or_dot(path));
        metadata.map_err(|source| {
            if is_missing(&source) {
                let path = shown(path);
                ContextError::Missing { path }
            } else {
                io_error(path, source)
            }
        })
    }

    fn exists(&self, path: &Path) -> Result<bool, ContextError> {
        match self.metadata(path) {
            Ok(_) => Ok(true),
            Err(ContextError::Missing { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn is_directory(&self, path: &Path) -> Result<bool, ContextError> {
        Ok(self.metadata(path)?.is_dir())
    }

    fn kind(&self, path: &Path, metadata: &Metadata) -> Result<Kind, ContextError> {
        if metadata.is_dir() {
            Ok(Kind::Directory)
        } else if metadata.is_file() {
            Ok(Kind::File {
                size: metadata.len(),
                executable: is_executable(metadata),
            })
        } else if metadata.is_symlink() {
            let target = self.target(path)?;
            Ok(Kind::Symlink(bytes(target.as_os_str(), path)?))
        } else {
            Err(special(path, metadata.file_type()))
        }
    }

    /// Names in a directory, sorted: the order in which a file system lists them must not show in the image.
    fn list(&self, path: &Path) -> Result<Vec<OsString>, ContextError> {
        let io = |source| io_error(path, source);
        let mut names = Vec::new();
        for entry in self.dir.read_dir(or_dot(path)).map_err(io)? {
            names.push(entry.map_err(io)?.file_name());
            if names.len() > MAX_ENTRIES {
                let path = shown(path);
                return Err(ContextError::TooMany { path });
            }
        }
        names.sort_unstable_by(|a, b| a.as_encoded_bytes().cmp(b.as_encoded_bytes()));
        Ok(names)
    }
}

fn read_ignore(dir: &Dir, file: &str) -> Result<Option<Ignore>, IgnoreFileError> {
    let io = |source| IgnoreFileError::Io {
        file: file.to_owned(),
        source,
    };
    let got = match dir.metadata(file) {
        Ok(metadata) => metadata.len(),
        Err(error) if is_missing(&error) => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    if got > ignore::MAX_BYTES {
        return Err(IgnoreFileError::TooLarge {
            file: file.to_owned(),
            got,
            limit: ignore::MAX_BYTES,
        });
    }
    let text = dir.read_to_string(file).map_err(io)?;
    Ok(Some(Ignore::parse(file, &text)?))
}

fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

#[cfg(unix)]
fn is_executable(metadata: &Metadata) -> bool {
    use cap_std::fs::PermissionsExt;
    metadata.permissions().mode() & 0o100 != 0
}

/// Without Unix modes every file may be executable; Docker marks them all so too.
#[cfg(not(unix))]
fn is_executable(_: &Metadata) -> bool {
    true
}
