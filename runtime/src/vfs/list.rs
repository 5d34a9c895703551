//! Listing a directory: mounts over the upper over the lower, in the order of the names.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry as Slot};

use super::errno::{Errno, Result};
use super::guest_fs::Fs;
use super::limits::{MAX_LISTED, MAX_NAME};
use super::lower::NodeId;
use super::node::{DirEntry, FileKind};
use super::place::{Body, Entry, Place, lower_ino, upper_ino};
use super::upper::{is_opaque_mark, is_reserved, whited_out};

type Listing = BTreeMap<Vec<u8>, (u64, FileKind)>;

impl Fs {
    pub(super) fn list(&self, place: &Place) -> Result<Vec<DirEntry>> {
        let mut listing = Listing::new();
        if let Some(point) = place.point {
            for name in self.mounts.point(point).children.keys() {
                let entry = self.lookup(place, name, false)?;
                let stat = self.entry_stat(&entry)?;
                listing.insert(name.clone(), (stat.ino, stat.kind));
            }
        }
        match &place.body {
            Body::Mounted { dir: None, .. } => {}
            Body::Mounted { dir: Some(dir), .. } => {
                for entry in dir.list()? {
                    listing.entry(entry.name).or_insert((entry.ino, entry.kind));
                }
            }
            Body::Own { upper: None, lower } => {
                self.list_lower(*lower, &BTreeSet::new(), &mut listing)?
            }
            Body::Own {
                upper: Some(upper),
                lower,
            } => {
                let mut hidden = BTreeSet::new();
                let mut opaque = false;
                let mut recorded = Vec::new();
                let copies = match &self.upper {
                    Some(upper) => upper.has_copies()?,
                    None => false,
                };
                for entry in upper.list()? {
                    if is_reserved(&entry.name) {
                        opaque |= is_opaque_mark(&entry.name);
                        hidden.extend(whited_out(upper, &entry.name));
                        continue;
                    }
                    if let Slot::Vacant(slot) = listing.entry(entry.name.clone()) {
                        slot.insert((upper_ino(entry.ino), entry.kind));
                        if copies && matches!(entry.kind, FileKind::File | FileKind::Directory) {
                            recorded.push(entry.name);
                        }
                    }
                }
                let lower = if opaque { None } else { *lower };
                for name in recorded {
                    self.list_recorded(place, name, &mut listing)?;
                }
                self.list_lower(lower, &hidden, &mut listing)?;
            }
        }
        Ok(listing
            .into_iter()
            .map(|(name, (ino, kind))| DirEntry { name, ino, kind })
            .collect())
    }

    /// Gives an entry of the upper the number that `stat` tells, if it may be a copy.
    fn list_recorded(&self, place: &Place, name: Vec<u8>, listing: &mut Listing) -> Result<()> {
        let entry = self.lookup(place, &name, false)?;
        if let (Entry::Upper(_) | Entry::Directory(_), Ok(stat)) = (&entry, self.entry_stat(&entry))
        {
            listing.insert(name, (stat.ino, stat.kind));
        }
        Ok(())
    }

    /// Adds the names that nothing above has or hides.
    fn list_lower(
        &self,
        lower: Option<NodeId>,
        hidden: &BTreeSet<Vec<u8>>,
        listing: &mut Listing,
    ) -> Result<()> {
        let Some(lower) = lower else { return Ok(()) };
        let mut nodes = Vec::new();
        self.each_lower(lower, |name, node, kind| {
            if !hidden.contains(name) && !listing.contains_key(name) {
                nodes.push((name.to_vec(), node, kind));
            }
            Ok(())
        })?;
        for (name, node, kind) in nodes {
            listing.insert(name, (lower_ino(self.lower.stat(node)?.ino), kind));
        }
        Ok(())
    }

    /// Shows the entries of a lower directory whose names can be names.
    pub(super) fn each_lower(
        &self,
        dir: NodeId,
        mut visit: impl FnMut(&[u8], NodeId, FileKind) -> Result<()>,
    ) -> Result<()> {
        let mut count = 0;
        // The trait speaks io::Error; what the visitor said goes round it.
        let mut answer = Ok(());
        let walked = self.lower.read_dir(dir, &mut |name, node, kind| {
            count += 1;
            answer = match is_plain(name) {
                _ if count > MAX_LISTED => Err(Errno::Overflow),
                true => visit(name, node, kind),
                false => Ok(()),
            };
            if answer.is_ok() {
                Ok(())
            } else {
                Err(std::io::ErrorKind::Interrupted.into())
            }
        });
        answer?;
        Ok(walked?)
    }
}

/// Can a name from an image be reached, and put into an upper? An index that was tampered with may have any bytes.
fn is_plain(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..")
        && name.len() <= MAX_NAME
        && !name.iter().any(|byte| matches!(byte, b'/' | 0))
        && !is_reserved(name)
}
