//! From an archive to the tree that it describes.

use sha2::{Digest as _, Sha256};

use super::archive::{Archive, Member, MemberKind};
use super::error::TarError;
use super::limits::{MAX_NAME_LEN, MAX_PATH_LEN};
use super::path::{components, text};
use super::source::Source;
use super::tree::{Body, Directory, Tree};
use super::whiteout::{self, Meaning};

/// First bytes of a WebAssembly module or component.
const WASM_MAGIC: &[u8; 4] = b"\0asm";

/// Bytes of the shortest module: magic and version.
const WASM_MIN_BYTES: u64 = 8;

/// Reads an archive up to its end mark. What follows is left in the source.
pub(super) fn scan<S: Source>(source: &mut S, limit: u32) -> Result<Tree, TarError> {
    let mut tree = Tree::new(limit);
    let mut archive = Archive::new(source);
    while let Some(member) = archive.next()? {
        apply(&mut tree, &mut archive, member)?;
    }
    Ok(tree)
}

fn apply<S: Source>(
    tree: &mut Tree,
    archive: &mut Archive<'_, S>,
    member: Member,
) -> Result<(), TarError> {
    let path = components(&member.path)?;
    if let Some((name, parents)) = path.split_last() {
        for parent in parents {
            match whiteout::meaning(parent) {
                Meaning::Plain => {}
                Meaning::Ignored => return Ok(()),
                _ => return Err(bad_whiteout(&member)),
            }
        }
        match whiteout::meaning(name) {
            Meaning::Plain => {}
            Meaning::Ignored => return Ok(()),
            Meaning::Whiteout(hidden) => return tree.white_out(parents, hidden),
            Meaning::Opaque => return tree.hide_lower(parents),
            Meaning::Invalid => return Err(bad_whiteout(&member)),
        }
    }
    let body = match member.kind {
        MemberKind::HardLink => return tree.link(&path, &components(&member.link)?),
        MemberKind::File => Body::File {
            offset: member.offset,
            size: member.size,
            sha256: wasm_digest(archive, member.size)?,
        },
        MemberKind::Symlink => Body::Symlink(link_target(&member)?),
        MemberKind::Directory => Body::Directory(Directory::default()),
        MemberKind::CharDevice { major, minor } => Body::CharDevice { major, minor },
        MemberKind::BlockDevice { major, minor } => Body::BlockDevice { major, minor },
        MemberKind::Fifo => Body::Fifo,
    };
    tree.put(&path, member.metadata, body)
}

fn bad_whiteout(member: &Member) -> TarError {
    TarError::Whiteout {
        path: text(&member.path),
    }
}

/// The target of a symbolic link is text that only the guest resolves, so it may say anything that Linux would keep.
fn link_target(member: &Member) -> Result<Box<[u8]>, TarError> {
    if member.link.len() > MAX_PATH_LEN {
        return Err(TarError::PathTooLong {
            path: text(member.link.get(..MAX_NAME_LEN).unwrap_or(&member.link)),
            len: member.link.len(),
        });
    }
    if member.link.contains(&0) {
        return Err(TarError::NulInPath {
            path: text(&member.link),
        });
    }
    Ok(member.link.as_slice().into())
}

/// Hashes a file that looks like WebAssembly, so that its compiled code can be found without reading it again.
fn wasm_digest<S: Source>(
    archive: &mut Archive<'_, S>,
    size: u64,
) -> Result<Option<Box<[u8; 32]>>, TarError> {
    if size < WASM_MIN_BYTES {
        return Ok(None);
    }
    let mut magic = [0; 4];
    archive.read(&mut magic)?;
    if magic != *WASM_MAGIC {
        return Ok(None);
    }
    let mut hash = Sha256::new();
    hash.update(magic);
    let mut buffer = vec![0; 64 << 10];
    loop {
        match archive.read(&mut buffer)? {
            0 => break,
            n => hash.update(&buffer[..n]),
        }
    }
    Ok(Some(Box::new(hash.finalize().into())))
}
