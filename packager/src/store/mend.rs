//! Puts right what keeps a layout from being opened, read or locked.

use std::fs;
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Store;
use super::error::{Context as _, StoreError};
use super::layout::{BLOBS, INDEX, INGEST, LEASE, LOCK, MARKER, MARKER_LIMIT, PREVIOUS};

/// Files of a layout, in whose place a folder may stand.
const FILES: [&str; 5] = [MARKER, INDEX, PREVIOUS, LOCK, LEASE];
/// Folders of a layout, in whose place a file may stand; those above first.
const FOLDERS: [&str; 4] = [BLOBS, "blobs/sha256", "blobs/sha512", INGEST];

/// Something that was removed, so that the right thing can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mended {
    /// Where it was.
    pub path: PathBuf,
    /// What was wrong with it.
    pub problem: &'static str,
}

impl Store {
    /// Removes what stands where a file or folder of a layout belongs, and a marker (`oci-layout`) that is empty or says nothing:
    /// [`Store::open`] makes all of that again. A marker of another version stays, and keeps the layout from being opened.
    ///
    /// # Errors
    ///
    /// Something cannot be read or removed.
    pub fn mend(root: &Path) -> Result<Vec<Mended>, StoreError> {
        let mut mended = Vec::new();
        for name in FILES {
            remove_wrong(&root.join(name), Wanted::File, &mut mended)?;
        }
        for name in FOLDERS {
            remove_wrong(&root.join(name), Wanted::Folder, &mut mended)?;
        }
        let marker = root.join(MARKER);
        if is_silent(&marker)? {
            fs::remove_file(&marker).context("removing", || marker.clone())?;
            mended.push(Mended {
                path: marker,
                problem: "does not say which version of an image layout this is",
            });
        }
        Ok(mended)
    }
}

#[derive(Clone, Copy)]
enum Wanted {
    File,
    Folder,
}

fn remove_wrong(path: &Path, wanted: Wanted, mended: &mut Vec<Mended>) -> Result<(), StoreError> {
    // A link may be the owner's way to another disk.
    let found = match fs::symlink_metadata(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(());
        }
        found => found.context("looking for", || path.to_owned())?,
    };
    let (removed, problem): (io::Result<()>, _) = match wanted {
        Wanted::File if found.is_dir() => {
            (fs::remove_dir_all(path), "is a folder and should be a file")
        }
        Wanted::Folder if found.is_file() => {
            (fs::remove_file(path), "is a file and should be a folder")
        }
        _ => return Ok(()),
    };
    removed.context("removing", || path.to_owned())?;
    mended.push(Mended {
        path: path.to_owned(),
        problem,
    });
    Ok(())
}

/// Is there a marker that names no version?
fn is_silent(marker: &Path) -> Result<bool, StoreError> {
    let file = match fs::File::open(marker) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        opened => opened.context("opening", || marker.to_owned())?,
    };
    let mut text = Vec::new();
    file.take(MARKER_LIMIT)
        .read_to_end(&mut text)
        .context("reading", || marker.to_owned())?;
    let value: Value = serde_json::from_slice(&text).unwrap_or_default();
    let version = value.get("imageLayoutVersion").and_then(Value::as_str);
    Ok(version.is_none())
}
