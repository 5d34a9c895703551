//! The fixed places in a layout, and how a new one is made.

use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, DirEntry};
use serde_json::Value;

use super::error::{Context as _, StoreError};
use super::{lock, temporary};
use crate::digest::Digest;

pub(super) const MARKER: &str = "oci-layout";
pub(super) const INDEX: &str = "index.json";
/// The names before the last change, for [`super::Store::restore_names`].
pub(super) const PREVIOUS: &str = ".index.json.previous";
pub(super) const BLOBS: &str = "blobs";
pub(super) const INGEST: &str = ".ingest";
pub(super) const LOCK: &str = ".lock";
pub(super) const LEASE: &str = ".lease";

pub(super) const VERSION: &str = "1.0.0";
const MARKER_TEXT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
const EMPTY_INDEX: &[u8] =
    br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
/// Bytes of `oci-layout`. It has about thirty; the bound is for a wrong file in its place.
pub(super) const MARKER_LIMIT: u64 = 4096;

/// Returns where a blob lies, relative to the root.
pub(super) fn blob_path(digest: &Digest) -> PathBuf {
    [BLOBS, digest.algorithm(), digest.hex()].iter().collect()
}

/// Opens the layout; makes one where there is none.
pub(super) fn open(root: &Path) -> Result<Dir, StoreError> {
    let dir = match Dir::open_ambient_dir(root, ambient_authority()) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            create_private_dirs(root).context("creating directory", || root.to_owned())?;
            Dir::open_ambient_dir(root, ambient_authority())
        }
        opened => opened,
    }
    .context("opening directory", || root.to_owned())?;
    if !has_marker(&dir, root)? {
        initialise(&dir, root)?;
    }
    Ok(dir)
}

fn has_marker(dir: &Dir, root: &Path) -> Result<bool, StoreError> {
    let path = || root.join(MARKER);
    let file = match dir.open(MARKER) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        opened => opened.context("opening", path)?,
    };
    let mut text = Vec::new();
    file.take(MARKER_LIMIT)
        .read_to_end(&mut text)
        .context("reading", path)?;
    let marker: Value = serde_json::from_slice(&text).map_err(|error| StoreError::Layout {
        path: path(),
        found: error.to_string(),
    })?;
    match marker.get("imageLayoutVersion").and_then(Value::as_str) {
        Some(VERSION) => Ok(true),
        Some(other) => Err(StoreError::Layout {
            path: path(),
            found: format!("version {:?}", crate::digest::shown(other)),
        }),
        None => Err(StoreError::Layout {
            path: path(),
            found: "no imageLayoutVersion".to_owned(),
        }),
    }
}

/// Writes the marker last: a layout that has it has an index, so an index that is gone later is damage, not a new store.
fn initialise(dir: &Dir, root: &Path) -> Result<(), StoreError> {
    let _lock = lock::exclusive(dir, root)?;
    if has_marker(dir, root)? {
        return Ok(());
    }
    let blobs = format!("{BLOBS}/sha256");
    for path in [INGEST, BLOBS, &blobs] {
        create_private_dir(dir, path).context("creating directory", || root.join(path))?;
    }
    let exists = |name: &str| {
        dir.try_exists(name)
            .context("looking for", || root.join(name))
    };
    // Where names have been changed before, a new list would hide that the old one is gone.
    if !exists(INDEX)? && !exists(PREVIOUS)? {
        temporary::replace(dir, root, INDEX, EMPTY_INDEX)?;
    }
    temporary::replace(dir, root, MARKER, MARKER_TEXT)
}

/// Removes whatever an entry of a directory is, a folder with all that it holds.
pub(super) fn remove_entry(entry: &DirEntry) -> io::Result<()> {
    match entry.file_type()?.is_dir() {
        true => entry.open_dir()?.remove_open_dir_all(),
        false => entry.remove_file(),
    }
}

/// Creates a directory for its owner only. One that exists is left as it is.
pub(super) fn create_private_dir(dir: &Dir, path: &str) -> io::Result<()> {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "only Unix has a mode to set"))]
    let mut builder = cap_std::fs::DirBuilder::new();
    #[cfg(unix)]
    {
        use cap_std::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    match dir.create_dir_with(path, &builder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        created => created,
    }
}

fn create_private_dirs(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(path)
}

/// Makes renames within a directory last through a power cut.
pub(super) fn sync_dir(dir: &Dir, root: &Path, path: &str) -> Result<(), StoreError> {
    // Windows has no such call for directories, and orders their changes in its journal.
    if cfg!(unix) {
        dir.open(path)
            .and_then(|directory| directory.sync_all())
            .context("syncing directory", || root.join(path))?;
    }
    Ok(())
}
