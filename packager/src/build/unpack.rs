//! ADD of archives: which files are one, and what is in it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use super::copy::{CopyError, Member, Taken};
use super::files::{Item, ItemKind, Place, SYMLINK_MODE};
use crate::layer::limits::{FREE_LAYER_BYTES, MAX_EXPANSION};
use crate::layer::{MemberType, Scratch, bounded, members};

/// Bytes that tell an archive: a tar header.
const HEAD: usize = 512;

/// Members of one archive.
const MAX_MEMBERS: usize = 1_000_000;

/// Looks into a file. A compressed file that is no archive is a file, as in Docker.
pub(super) fn look<'a>(
    item: &Item<'a>,
    shown: &str,
    scratch: &Scratch,
) -> Result<Taken<'a>, CopyError> {
    let reading = |source| CopyError::Read {
        path: shown.to_owned(),
        source,
    };
    let mut file = item.place.open().map_err(reading)?;
    let head = head(&mut file).map_err(reading)?;
    let whole = io::Cursor::new(head.clone()).chain(file);
    let (path, spool) = scratch.file().map_err(|error| failed(shown, error))?;
    let size = match item.kind {
        ItemKind::File(size) => size,
        _ => 0,
    };
    let limit = FREE_LAYER_BYTES.max(size.saturating_mul(MAX_EXPANSION));
    let unpacked = if is_tar(&head) || is_ours(&head) {
        bounded(whole).and_then(|reader| spool_archive(reader, &spool, limit))
    } else if head.starts_with(b"\xfd7zXZ\0") {
        spool_archive(lzma_rust2::XzReader::new(whole, true), &spool, limit)
    } else if head.starts_with(b"BZh") {
        spool_archive(bzip2::read::MultiBzDecoder::new(whole), &spool, limit)
    } else {
        return Ok(Taken::File);
    };
    match unpacked {
        Ok(true) => {}
        Ok(false) => return Ok(Taken::File),
        Err(error) => return Err(failed(shown, error)),
    }
    let file = File::open(&path).map_err(reading)?;
    let list = members(&file, MAX_MEMBERS).map_err(|error| failed(shown, error))?;
    let path: Arc<Path> = path.into();
    let mut taken: Vec<Member<'a>> = Vec::new();
    let mut names: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    for member in list {
        let name = clean(&member.head.path).ok_or_else(|| {
            let path = String::from_utf8_lossy(&member.head.path).into_owned();
            failed(shown, format!("its member `{path}` leads out of it"))
        })?;
        let mode = member.attributes.mode;
        let item = |kind, mode| Item {
            kind,
            mode,
            owner: (member.attributes.uid, member.attributes.gid),
            xattrs: member.attributes.xattrs.clone(),
            place: Place::At(Arc::clone(&path), member.offset, member.head.size),
        };
        let item = match &member.head.kind {
            MemberType::Directory => item(ItemKind::Directory, mode),
            MemberType::File => item(ItemKind::File(member.head.size), mode),
            MemberType::Symlink(target) => item(ItemKind::Symlink(target.clone()), SYMLINK_MODE),
            MemberType::HardLink(target) => {
                let known = clean(target).and_then(|target| names.get(&target).copied());
                match known.and_then(|at| taken.get(at)) {
                    Some(earlier) => earlier.item.clone(),
                    None => {
                        let name = String::from_utf8_lossy(&name).into_owned();
                        return Err(failed(shown, format!("`{name}` is a link to nothing")));
                    }
                }
            }
            MemberType::Other => {
                let path = String::from_utf8_lossy(&name).into_owned();
                return Err(CopyError::Device { path });
            }
        };
        names.insert(name.clone(), taken.len());
        taken.push(Member { path: name, item });
    }
    Ok(Taken::Archive(taken))
}

fn failed(shown: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> CopyError {
    CopyError::Archive {
        source_path: shown.to_owned(),
        source: source.into(),
    }
}

/// Writes the uncompressed bytes to the file, if they are an archive: fewer than `limit` of them.
fn spool_archive(mut reader: impl Read, mut spool: &File, limit: u64) -> io::Result<bool> {
    let head = head(&mut reader)?;
    if !is_tar(&head) {
        return Ok(false);
    }
    spool.write_all(&head)?;
    let copied = io::copy(&mut reader.take(limit), &mut spool)?;
    if copied >= limit {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it unpacks to more than an honest archive can",
        ));
    }
    Ok(true)
}

fn head(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(HEAD);
    reader.by_ref().take(HEAD as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// Is it compressed in a way that layers are, too?
fn is_ours(head: &[u8]) -> bool {
    head.starts_with(b"\x1f\x8b\x08") || head.starts_with(b"\x28\xb5\x2f\xfd")
}

fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar") || is_old_tar(head)
}

/// Takes `.`, `..` and needless slashes away; `None` for a path that climbs out.
fn clean(path: &[u8]) -> Option<Vec<u8>> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join(&b'/'))
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
