//! Copies files into a container, and out of it, with Docker's rules for what is there already.
//!
//! A source hands its files over one by one to a sink. On the container's side both work on the guest's own view, so nothing leads
//! out of it; on the host's, on an open directory, out of which no link of the container's leads.

mod guest;
mod host;
mod stream;

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coracle_packager::digest::Digest;
use coracle_packager::layer::{Attributes, StreamError};
use coracle_runtime::container::{Container, State};
use coracle_runtime::vfs::{Errno, FileKind, GuestFs, Stat};

use self::guest::{GuestSink, guest_tree};
use self::host::{HostSink, host_tree};
use self::stream::{TarSink, members};
use super::changes::known_form;
use super::run::{open_mounts, with_mounts};
use super::{Engine, Error, host_files};

/// Links that a destination may lead through, as on Linux.
const MOST_LINKS: usize = 40;

/// Why files could not be copied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// The container has no such file.
    #[error("could not find the file {path} in container {container}")]
    NotFound {
        /// The guest path.
        path: String,
        /// The container's name.
        container: String,
    },
    /// What is to be copied into is not there.
    #[error("no such directory: {path}")]
    NoDirectory {
        /// The path as given.
        path: String,
    },
    /// It is there, and no directory.
    #[error("not a directory: {path}")]
    NotDirectory {
        /// The path as given.
        path: String,
    },
    /// A directory cannot replace a file.
    #[error("cannot copy a directory to the file {path}")]
    DirectoryToFile {
        /// The path as given.
        path: String,
    },
    /// The path lies in the memory of the container's process.
    #[error("{path} is memory of the container's process, which no other can reach")]
    Memory {
        /// The guest path.
        path: String,
    },
    /// One file could not be copied.
    #[error("copying {path}")]
    Failed {
        /// The path.
        path: String,
        /// What happened.
        source: io::Error,
    },
    /// The archive cannot be read.
    #[error("reading the archive to be copied")]
    Stream(#[from] StreamError),
}

/// How files are copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyHow {
    /// Do they keep their owners? Otherwise they belong to the container's root, or to who copies.
    pub archive: bool,
    /// Is a link that is to be copied followed?
    pub follow: bool,
}

/// Where files come from.
pub enum CopyFrom<'a> {
    /// A file or folder of the host.
    Host(&'a Path),
    /// A tar.
    Stream(&'a mut dyn Read),
}

/// Where files go to.
pub enum CopyTo<'a> {
    /// A place on the host.
    Host(&'a Path),
    /// A stream, as a tar.
    Stream(&'a mut dyn Write),
}

/// What was copied.
#[derive(Debug, Default)]
pub struct CopiedFiles {
    /// Bytes in files.
    pub bytes: u64,
    /// Paths that were left out, with the reason.
    pub left: Vec<String>,
}

/// What is handed over of a file beside its path and attributes.
enum Item<'a> {
    Directory,
    File(u64, &'a mut dyn Read),
    Symlink(&'a [u8]),
    /// One more name of a file that came before.
    HardLink(&'a [u8]),
}

/// Takes files, directories before what is in them. A path is relative to where the sink begins, and has neither `.` nor `..`; an
/// empty one is that place itself.
trait Sink {
    fn put(&mut self, path: &[u8], attributes: &Attributes, item: Item<'_>) -> io::Result<()>;

    /// Ends what could not be ended before all was there.
    fn finish(&mut self) -> io::Result<()>;
}

/// A path that was given, taken apart.
struct Given<'a> {
    text: &'a str,
    /// Names from the root, parted by slashes; `..` is resolved as it stands.
    clean: Vec<u8>,
    /// Does it end in `/.`: is what is in the directory meant?
    contents: bool,
    /// Must it be a directory?
    directory: bool,
}

impl<'a> Given<'a> {
    fn new(text: &'a str) -> Self {
        let mut names: Vec<&str> = Vec::new();
        for name in text.split('/') {
            match name {
                "" | "." => {}
                ".." => drop(names.pop()),
                name => names.push(name),
            }
        }
        let contents = text.ends_with("/.") || text == ".";
        Self {
            text,
            clean: names.join("/").into_bytes(),
            contents,
            directory: contents || text.ends_with('/'),
        }
    }

    fn name(&self) -> &[u8] {
        last(&self.clean)
    }
}

fn last(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

fn parent(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    path.get(..end).unwrap_or_default()
}

fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    match (dir, name) {
        ([], name) => name.to_vec(),
        (dir, []) => dir.to_vec(),
        (dir, name) => [dir, b"/", name].concat(),
    }
}

fn stat(fs: &GuestFs, path: &[u8], follow: bool) -> Result<Stat, Errno> {
    match path {
        [] => fs.root().stat(),
        path => fs.root().stat_at(path, follow),
    }
}

fn failed(path: &str) -> impl FnOnce(io::Error) -> CopyError {
    let path = path.to_owned();
    move |source| CopyError::Failed { path, source }
}

fn wrong(error: Errno) -> io::Error {
    io::Error::other(error.to_string())
}

impl Engine {
    /// Copies a file or a directory out of a container, which may run.
    ///
    /// # Errors
    ///
    /// [`CopyError`], or if there is no such container.
    pub fn copy_out(
        &self,
        container: &str,
        path: &str,
        to: CopyTo<'_>,
        how: CopyHow,
    ) -> Result<CopiedFiles, Error> {
        let container = self.find_container(container)?.container;
        let fs = self.inside(&container, path)?;
        let given = Given::new(path);
        let missing = || CopyError::NotFound {
            path: path.to_owned(),
            container: container.config.name.to_string(),
        };
        let follow = how.follow || given.directory;
        let found = stat(&fs, &given.clean, follow).map_err(|_| missing())?;
        let is_dir = found.kind == FileKind::Directory;
        if given.directory && !is_dir {
            return Err(CopyError::NotDirectory {
                path: path.to_owned(),
            }
            .into());
        }
        let mut copied = CopiedFiles::default();
        match to {
            CopyTo::Stream(stream) => {
                let prefix = if given.contents {
                    &b""[..]
                } else {
                    given.name()
                };
                let mut sink = TarSink::new(stream);
                guest_tree(&fs, &given.clean, follow, prefix, &mut sink, &mut copied)?;
                sink.finish().map_err(failed("standard output"))?;
            }
            CopyTo::Host(place) => {
                let (base, prefix) = host_place(place, given.name(), is_dir, given.contents)?;
                let mut sink = HostSink::open(&base, how.archive)?;
                guest_tree(&fs, &given.clean, follow, &prefix, &mut sink, &mut copied)?;
                sink.finish()
                    .map_err(failed(&place.display().to_string()))?;
            }
        }
        Ok(copied)
    }

    /// Copies a file, a directory, or what is in a tar, into a container, which may run.
    ///
    /// # Errors
    ///
    /// [`CopyError`], or if there is no such container.
    pub fn copy_in(
        &self,
        container: &str,
        from: CopyFrom<'_>,
        path: &str,
        how: CopyHow,
    ) -> Result<CopiedFiles, Error> {
        let container = self.find_container(container)?.container;
        let fs = self.inside(&container, path)?;
        let mut copied = CopiedFiles::default();
        match from {
            CopyFrom::Stream(stream) => {
                let given = Given::new(path);
                let base = follow_links(&fs, given.clean);
                match stat(&fs, &base, true) {
                    Ok(stat) if stat.kind == FileKind::Directory => {}
                    Ok(_) => {
                        return Err(CopyError::NotDirectory {
                            path: path.to_owned(),
                        }
                        .into());
                    }
                    Err(_) => {
                        return Err(CopyError::NotFound {
                            path: path.to_owned(),
                            container: container.config.name.to_string(),
                        }
                        .into());
                    }
                }
                let mut sink = GuestSink::new(&fs, base, how.archive);
                members(stream, &mut sink, &mut copied)?;
                sink.finish().map_err(failed(path))?;
            }
            CopyFrom::Host(source) => {
                let typed = source.display().to_string();
                let given = Given::new(&typed);
                let follow = how.follow || given.directory;
                let metadata = if follow {
                    std::fs::metadata(source)
                } else {
                    std::fs::symlink_metadata(source)
                };
                let metadata = metadata.map_err(failed(&typed))?;
                if given.directory && !metadata.is_dir() {
                    return Err(CopyError::NotDirectory { path: typed }.into());
                }
                // Of `.` and `..` the name is that of the folder itself.
                let whole = std::path::absolute(source).map_err(failed(&typed))?;
                let whole = match source.file_name() {
                    Some(_) => whole,
                    None => whole.canonicalize().map_err(failed(&typed))?,
                };
                let name = whole
                    .file_name()
                    .map(|name| host_files::bytes(Path::new(name)));
                let (base, prefix) = guest_place(
                    &fs,
                    path,
                    &name.unwrap_or_default(),
                    metadata.is_dir(),
                    given.contents,
                )?;
                let mut sink = GuestSink::new(&fs, base, how.archive);
                host_tree(source, follow, &prefix, &mut sink, &mut copied)?;
                sink.finish().map_err(failed(path))?;
            }
        }
        Ok(copied)
    }

    /// Opens what a container sees, with what is mounted, as its guest may use it.
    fn inside(&self, container: &Container, path: &str) -> Result<GuestFs, Error> {
        known_form(container)?;
        let mut config = container.config.clone();
        let runs = matches!(container.state()?, State::Running { .. });
        let names = Given::new(path).clean;
        if let Some(memory) = config.mounts.iter().find(|mount| {
            let target = Given::new(&mount.target).clean;
            mount.tmpfs.is_some()
                && (names == target || names.starts_with(&[&target[..], b"/"].concat()))
        }) && runs
        {
            return Err(CopyError::Memory {
                path: memory.target.clone(),
            }
            .into());
        }
        // It is not there when the container does not run.
        config.mounts.retain(|mount| mount.tmpfs.is_none());
        let sources = open_mounts(&mut config.mounts, |_| false)?;
        let image = self.open_manifest(&Digest::parse(&config.manifest)?)?;
        let (upper, work) = container.open_upper()?;
        let builder = GuestFs::builder(Arc::new(self.open_lower(&image)?))
            .upper(upper, work)
            .upper_limit(config.storage_limit)
            .read_only(config.read_only);
        Ok(with_mounts(builder, &config.mounts, sources).build()?)
    }
}

/// Follows links at the end of a path, as far as they lead anywhere.
fn follow_links(fs: &GuestFs, mut path: Vec<u8>) -> Vec<u8> {
    for _ in 0..MOST_LINKS {
        let is_link = stat(fs, &path, false).is_ok_and(|stat| stat.kind == FileKind::Symlink);
        let Some(target) = is_link.then(|| fs.root().read_link(&path).ok()).flatten() else {
            break;
        };
        let target = String::from_utf8_lossy(&target).into_owned();
        let whole = match target.starts_with('/') {
            true => target,
            false => format!("{}/{target}", String::from_utf8_lossy(parent(&path))),
        };
        path = Given::new(&whole).clean;
    }
    path
}

/// Decides where in a container something goes: the directory, and its name there.
fn guest_place(
    fs: &GuestFs,
    text: &str,
    name: &[u8],
    is_dir: bool,
    contents: bool,
) -> Result<(Vec<u8>, Vec<u8>), CopyError> {
    let given = Given::new(text);
    let place = follow_links(fs, given.clean.clone());
    let there = stat(fs, &place, true).ok().map(|stat| stat.kind);
    let parent_is_dir =
        || stat(fs, parent(&place), true).is_ok_and(|stat| stat.kind == FileKind::Directory);
    decide(
        given.text,
        there.map(|kind| kind == FileKind::Directory),
        given.directory,
        is_dir,
        contents,
        parent_is_dir,
    )
    .map(|into| match into {
        Goes::Itself => (place.clone(), Vec::new()),
        Goes::Below => (place.clone(), name.to_vec()),
        Goes::Named => (parent(&place).to_vec(), last(&place).to_vec()),
    })
}

/// Decides where on the host something goes: the directory, and its name there.
fn host_place(
    place: &Path,
    name: &[u8],
    is_dir: bool,
    contents: bool,
) -> Result<(PathBuf, Vec<u8>), CopyError> {
    let text = place.display().to_string();
    let there = std::fs::metadata(place).ok().map(|data| data.is_dir());
    let above = match place.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let named = place
        .file_name()
        .map(|name| host_files::bytes(Path::new(name)));
    let into = decide(
        &text,
        there,
        text.ends_with('/') || text.ends_with("/."),
        is_dir,
        contents,
        || above.is_dir() && named.is_some(),
    )?;
    Ok(match into {
        Goes::Itself => (place.to_owned(), Vec::new()),
        Goes::Below => (place.to_owned(), name.to_vec()),
        Goes::Named => (above.to_owned(), named.unwrap_or_default()),
    })
}

/// Where something goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goes {
    /// The place becomes what is copied, or gets what is in it.
    Itself,
    /// Into the directory that is there, under its own name.
    Below,
    /// Beside what is there, under the name that was given.
    Named,
}

/// Docker's rules. `there`: is there a directory (`Some(true)`), something else, or nothing?
fn decide(
    text: &str,
    there: Option<bool>,
    wants_dir: bool,
    is_dir: bool,
    contents: bool,
    parent_is_dir: impl FnOnce() -> bool,
) -> Result<Goes, CopyError> {
    let path = || text.to_owned();
    match there {
        Some(true) if contents => Ok(Goes::Itself),
        Some(true) => Ok(Goes::Below),
        Some(false) if wants_dir => Err(CopyError::NotDirectory { path: path() }),
        Some(false) if is_dir => Err(CopyError::DirectoryToFile { path: path() }),
        Some(false) => Ok(Goes::Named),
        None if (wants_dir && !is_dir) || !parent_is_dir() => {
            Err(CopyError::NoDirectory { path: path() })
        }
        None => Ok(Goes::Named),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart() {
        for (text, clean, contents, directory) in [
            ("/a/b", "a/b", false, false),
            ("a/./b//", "a/b", false, true),
            ("/a/b/.", "a/b", true, true),
            (".", "", true, true),
            ("/", "", false, true),
            ("/../../x", "x", false, false),
        ] {
            let given = Given::new(text);
            assert_eq!(given.clean, clean.as_bytes(), "{text}");
            assert_eq!(
                (given.contents, given.directory),
                (contents, directory),
                "{text}"
            );
        }
        assert_eq!(
            (last(b"a/b"), parent(b"a/b"), parent(b"a")),
            (&b"b"[..], &b"a"[..], &b""[..])
        );
    }

    #[test]
    fn dockers_rules() {
        let rule = |there, wants_dir, is_dir, contents, parent| {
            decide("p", there, wants_dir, is_dir, contents, || parent).ok()
        };
        // A file.
        assert_eq!(rule(None, false, false, false, true), Some(Goes::Named));
        assert_eq!(rule(None, true, false, false, true), None);
        assert_eq!(rule(None, false, false, false, false), None);
        assert_eq!(
            rule(Some(false), false, false, false, true),
            Some(Goes::Named)
        );
        assert_eq!(rule(Some(false), true, false, false, true), None);
        assert_eq!(
            rule(Some(true), false, false, false, true),
            Some(Goes::Below)
        );
        // A directory.
        assert_eq!(rule(None, false, true, false, true), Some(Goes::Named));
        assert_eq!(rule(None, true, true, true, true), Some(Goes::Named));
        assert_eq!(rule(Some(false), false, true, false, true), None);
        assert_eq!(
            rule(Some(true), false, true, false, true),
            Some(Goes::Below)
        );
        assert_eq!(
            rule(Some(true), false, true, true, true),
            Some(Goes::Itself)
        );
    }
}
