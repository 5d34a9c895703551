//! Where a directory is now that is not where it was.
//!
//! A handle on a directory of the image knows its path and its number. When another process has copied the directory
//! up and renamed it, nothing tells the new path; but the copy has the number recorded, so it can be looked for.

use super::errno::Result;
use super::guest_fs::Fs;
use super::limits::{MAX_SEARCHED, MAX_TREE_DEPTH};
use super::node::{FileKind, Stat};
use super::place::{Body, Entry, Place};

impl Fs {
    /// Looks through the upper's directories for one of these numbers. Yields the way to it from the root.
    pub(super) fn find_dir(&self, wanted: &Stat) -> Result<Option<Vec<Place>>> {
        let mut todo = vec![vec![self.root_place()]];
        let mut seen = 0;
        while let Some(dirs) = todo.pop() {
            let Some(here) = dirs.last() else { continue };
            let Body::Own {
                upper: Some(upper), ..
            } = &here.body
            else {
                continue;
            };
            let stat = self.place_stat(here)?;
            if (stat.dev, stat.ino) == (wanted.dev, wanted.ino) {
                return Ok(Some(dirs));
            }
            seen += 1;
            if seen > MAX_SEARCHED {
                return Ok(None);
            }
            if dirs.len() > MAX_TREE_DEPTH {
                continue;
            }
            let below = upper.list()?;
            for entry in below
                .into_iter()
                .filter(|entry| entry.kind == FileKind::Directory)
            {
                // What is gone by now is not what is looked for.
                if let Ok(Entry::Directory(next)) = self.lookup(here, &entry.name, true) {
                    todo.push([&dirs[..], &[next]].concat());
                }
            }
        }
        Ok(None)
    }
}
