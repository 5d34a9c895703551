//! Headers of the archives that we write: ustar, and pax only where ustar cannot say it.
//!
//! The same entry always has the same bytes.

use std::borrow::Cow;

use tar::{EntryType, Header, UstarHeader};

use super::pax::push_record;
use super::writer::Attributes;

const BLOCK: usize = 512;

/// Largest number in a ustar field of 12 bytes: eleven octal digits.
const MAX_LONG: u64 = 0o777_7777_7777;
/// Largest number in a ustar field of 8 bytes: seven octal digits.
const MAX_SHORT: u32 = 0o777_7777;

/// Returns the header blocks of one entry, and the pax header before them if it needs one.
pub(super) fn entry(
    path: &[u8],
    kind: EntryType,
    link: &[u8],
    size: u64,
    attributes: &Attributes,
) -> Vec<u8> {
    let mut pax = Vec::new();
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(attributes.mode & 0o7777);
    if let Some(ustar) = header.as_ustar_mut() {
        if !(path.is_ascii() && set_path(ustar, path)) {
            push_record(&mut pax, b"path", path);
            fill(&mut ustar.name, &ascii(path));
        }
        if !(link.is_ascii() && fill(&mut ustar.linkname, link)) {
            push_record(&mut pax, b"linkpath", link);
            fill(&mut ustar.linkname, &ascii(link));
        }
        // Empty fields would do; zeros are what other writers write.
        ustar.set_device_major(0);
        ustar.set_device_minor(0);
    }
    // A number that does not fit is 0 in the ustar header, as Go writes it.
    header.set_size(match size {
        0..=MAX_LONG => size,
        _ => {
            push_record(&mut pax, b"size", size.to_string().as_bytes());
            0
        }
    });
    header.set_uid(short(&mut pax, b"uid", attributes.uid));
    header.set_gid(short(&mut pax, b"gid", attributes.gid));
    header.set_mtime(match u64::try_from(attributes.mtime) {
        Ok(mtime @ 0..=MAX_LONG) => mtime,
        _ => {
            push_record(&mut pax, b"mtime", attributes.mtime.to_string().as_bytes());
            0
        }
    });
    for (name, value) in &attributes.xattrs {
        push_record(&mut pax, &[b"SCHILY.xattr.", &name[..]].concat(), value);
    }
    header.set_cksum();

    let mut blocks = Vec::new();
    if !pax.is_empty() {
        blocks.extend_from_slice(pax_header(pax.len()).as_bytes());
        blocks.append(&mut pax);
        blocks.resize(blocks.len().next_multiple_of(BLOCK), 0);
    }
    blocks.extend_from_slice(header.as_bytes());
    blocks
}

fn pax_header(size: usize) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::XHeader);
    header.set_mode(0o644);
    header.set_size(size as u64);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    if let Some(ustar) = header.as_ustar_mut() {
        fill(&mut ustar.name, b"PaxHeaders.0/x");
        ustar.set_device_major(0);
        ustar.set_device_minor(0);
    }
    header.set_cksum();
    header
}

fn short(pax: &mut Vec<u8>, key: &[u8], value: u32) -> u64 {
    match value {
        0..=MAX_SHORT => value.into(),
        _ => {
            push_record(pax, key, value.to_string().as_bytes());
            0
        }
    }
}

/// Writes a path into name and prefix, if it can be split at a slash so that both fit.
fn set_path(header: &mut UstarHeader, path: &[u8]) -> bool {
    if path.len() <= header.name.len() {
        return fill(&mut header.name, path);
    }
    // The first slash from which the rest fits; the last byte may be the slash of a directory.
    let earliest = path.len() - header.name.len() - 1;
    let slash = path
        .iter()
        .enumerate()
        .skip(earliest)
        .position(|(at, byte)| *byte == b'/' && at > 0 && at + 1 < path.len());
    let Some((prefix, rest)) = slash.and_then(|at| path.split_at_checked(earliest + at)) else {
        return false;
    };
    prefix.len() <= header.prefix.len()
        && fill(&mut header.prefix, prefix)
        && fill(&mut header.name, rest.strip_prefix(b"/").unwrap_or(rest))
}

/// Copies text to the start of a field that holds zeros. What does not fit is cut. Returns whether all of it fitted.
fn fill(field: &mut [u8], text: &[u8]) -> bool {
    let len = text.len().min(field.len());
    field[..len].copy_from_slice(&text[..len]);
    len == text.len()
}

/// For programs that do not know pax: the text without what is not ASCII.
fn ascii(text: &[u8]) -> Cow<'_, [u8]> {
    match text.is_ascii() {
        true => Cow::Borrowed(text),
        false => text.iter().copied().filter(u8::is_ascii).collect(),
    }
}
