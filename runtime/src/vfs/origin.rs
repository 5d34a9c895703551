//! What an entry of the upper was in the image: its number, mode and owner, recorded with it.
//!
//! The record is an extended attribute, so it moves with the entry, ends with it and is copied by the tools that copy
//! attributes. Looking for one costs three system calls, so what has one is marked by a mode bit that means nothing on
//! files (sticky) or on directories (set-user-ID). What has none belongs to the guest's root.
//!
//! Symlinks cannot have such attributes, nor can anything on some host file systems: there a copy has a new number, the
//! guest's root as its owner, and no set-ID bits.

use std::fs::File;

use super::errno::Result;
use super::host::{self, HostDir};
use super::node::{Attributes, FileKind, Stat};
use super::place::{is_upper_ino, lower_ino, upper_numbers};

/// Set-user-ID and set-group-ID. A copy in the upper is the guest's to write, so it must not carry them on the host.
const SET_ID: u32 = 0o6000;

/// What is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Origin {
    /// Zero if the number is not kept: a copy of a hard link is a file of its own.
    ino: u64,
    mode: u32,
    uid: u32,
    gid: u32,
}

impl Origin {
    fn of(stat: &Stat) -> Self {
        let keeps_number = stat.kind == FileKind::Directory || stat.nlink == 1;
        Self {
            ino: if keeps_number { stat.ino } else { 0 },
            mode: stat.mode,
            uid: stat.uid,
            gid: stat.gid,
        }
    }

    fn to_text(self) -> String {
        let Self {
            ino,
            mode,
            uid,
            gid,
        } = self;
        format!("{ino}:{uid}:{gid}:{mode:o}")
    }

    /// `None` for what nobody here wrote.
    fn parse(text: &[u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(text).ok()?.split(':');
        let origin = Self {
            ino: lower_ino(parts.next()?.parse().ok()?),
            uid: parts.next()?.parse().ok()?,
            gid: parts.next()?.parse().ok()?,
            mode: u32::from_str_radix(parts.next()?, 8).ok()? & 0o7777,
        };
        parts.next().is_none().then_some(origin)
    }
}

/// The mode bit that says that there is a record.
fn mark(kind: FileKind) -> u32 {
    match kind {
        FileKind::File => 0o1000,
        FileKind::Directory => 0o4000,
        _ => 0,
    }
}

/// Records what a new copy of a file was; yields the mode that the copy needs.
pub(super) fn record_file(copy: &File, stat: &Stat) -> u32 {
    let recorded = host::set_attribute(copy, Origin::of(stat).to_text().as_bytes()).is_ok();
    copy_mode(stat, recorded)
}

/// As [`record_file`], for a directory.
pub(super) fn record_dir(copy: &HostDir, stat: &Stat) -> u32 {
    let recorded = copy
        .set_attribute(Origin::of(stat).to_text().as_bytes())
        .is_ok();
    copy_mode(stat, recorded)
}

/// The guest may do with its files whatever it likes, so the process' user must be able to.
fn copy_mode(stat: &Stat, recorded: bool) -> u32 {
    let mark = mark(stat.kind);
    let (private, kept) = match stat.kind {
        FileKind::Directory => (0o700, stat.mode & !mark),
        _ => (0o600, stat.mode & !(SET_ID | mark)),
    };
    kept | private | if recorded { mark } else { 0 }
}

/// Gives a file of the upper a mode and an owner. It keeps its number.
pub(super) fn give_file(file: &File, attributes: Attributes) -> Result<()> {
    let stat = seen_file(file)?;
    let given = given(&stat, attributes);
    let recorded = host::set_attribute(file, given.to_text().as_bytes()).is_ok();
    host::set_file_mode(file, copy_mode(&with(&stat, attributes), recorded))
}

/// As [`give_file`], for a directory.
pub(super) fn give_dir(dir: &HostDir, attributes: Attributes) -> Result<()> {
    let stat = seen_dir(dir)?;
    let recorded = dir
        .set_attribute(given(&stat, attributes).to_text().as_bytes())
        .is_ok();
    dir.set_mode(copy_mode(&with(&stat, attributes), recorded))
}

fn given(stat: &Stat, attributes: Attributes) -> Origin {
    Origin {
        ino: if is_upper_ino(stat.ino) { 0 } else { stat.ino },
        mode: attributes.mode & 0o7777,
        uid: attributes.uid,
        gid: attributes.gid,
    }
}

fn with(stat: &Stat, attributes: Attributes) -> Stat {
    Stat {
        mode: attributes.mode & 0o7777,
        ..*stat
    }
}

/// Is there a record to read?
pub(super) fn is_marked(stat: &Stat) -> bool {
    stat.mode & mark(stat.kind) != 0
}

/// Describes a file of the upper as the guest sees it.
pub(super) fn seen_file(file: &File) -> Result<Stat> {
    let stat = host::file_stat(file)?;
    Ok(seen(stat, || host::attribute(file)))
}

/// As [`seen_file`], for a directory.
pub(super) fn seen_dir(dir: &HostDir) -> Result<Stat> {
    let stat = dir.stat()?;
    Ok(seen(stat, || dir.attribute()))
}

/// As [`seen_file`], for what was found under a name.
pub(super) fn seen_at(dir: &HostDir, name: &[u8], stat: Stat) -> Stat {
    seen(stat, || host::attribute(&dir.open_file(name, true, false)?))
}

fn seen(stat: Stat, record: impl FnOnce() -> Result<Vec<u8>>) -> Stat {
    let own = Stat {
        uid: 0,
        gid: 0,
        ..upper_numbers(stat)
    };
    if !is_marked(&stat) {
        return own;
    }
    // A mark without a record was set by somebody else, and is just a mode.
    match record().ok().as_deref().and_then(Origin::parse) {
        Some(Origin {
            ino,
            mode,
            uid,
            gid,
        }) => Stat {
            ino: if ino == 0 { own.ino } else { ino },
            mode,
            uid,
            gid,
            ..own
        },
        None => own,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_written_and_nothing_else_is() {
        let origin = Origin {
            ino: 77,
            mode: 0o4751,
            uid: 1000,
            gid: 5,
        };
        assert_eq!(Origin::parse(origin.to_text().as_bytes()), Some(origin));
        for bad in [
            "",
            "1",
            "1:2:3",
            "1:2:3:9",
            "1:2:3:644:5",
            "a:2:3:644",
            "1:-2:3:644",
        ] {
            assert_eq!(Origin::parse(bad.as_bytes()), None, "{bad}");
        }
        let huge = Origin::parse(b"18446744073709551615:1:1:177777").expect("numbers");
        assert_eq!((huge.ino, huge.mode), ((1 << 62) - 1, 0o7777));
    }
}
