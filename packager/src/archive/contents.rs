//! The members of an archive, on their way into the store.

use std::collections::BTreeMap;
use std::io::{self, Read};

use super::error::ArchiveError;
use super::{BLOBS, INDEX, MANIFEST, MARKER, REPOSITORIES};
use crate::digest::{Digest, shown};
use crate::image::Limits;
use crate::layer::{Head, MemberType, for_each_member};
use crate::store::Store;

/// Members of one archive. A thousand images of five hundred layers each have fewer, since layers are shared.
const MAX_MEMBERS: u64 = 200_000;
/// Bytes of a member's name. Docker's longest have some eighty.
const MAX_NAME: usize = 512;
/// Bytes of one blob, as for those that are pulled.
const MAX_BLOB: u64 = 256 << 30;
/// Links from name to name that are followed. Docker writes one.
const MAX_LINKS: usize = 16;

/// A member that is a blob in the store now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) digest: Digest,
    pub(super) size: u64,
}

/// What an archive holds.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// The lists of images, whole.
    documents: BTreeMap<String, Vec<u8>>,
    blobs: BTreeMap<String, Stored>,
    /// Names that lead to others: Docker writes equal layers once.
    links: BTreeMap<String, String>,
    members: u64,
}

impl Contents {
    /// Reads an archive to its end.
    pub(super) fn read(store: &Store, archive: impl Read) -> Result<Self, ArchiveError> {
        let mut contents = Self::default();
        for_each_member(archive, &mut |head, content| {
            contents.take(store, head, content)
        })?;
        Ok(contents)
    }

    /// Returns a list of images.
    pub(super) fn document(&self, name: &str) -> Option<&[u8]> {
        self.documents.get(name).map(Vec::as_slice)
    }

    /// Finds a member by its name, through links.
    pub(super) fn find(&self, name: &str) -> Result<&Stored, ArchiveError> {
        let missing = || ArchiveError::Missing { what: shown(name) };
        let mut at = member_name(name.as_bytes())?.ok_or_else(missing)?;
        for _ in 0..=MAX_LINKS {
            if let Some(stored) = self.blobs.get(&at) {
                return Ok(stored);
            }
            at = self.links.get(&at).cloned().ok_or_else(missing)?;
        }
        Err(missing())
    }

    fn take(
        &mut self,
        store: &Store,
        head: &Head,
        content: &mut dyn Read,
    ) -> Result<(), ArchiveError> {
        self.members += 1;
        if self.members > MAX_MEMBERS {
            return Err(ArchiveError::TooMany {
                what: "members of the archive".to_owned(),
                limit: MAX_MEMBERS,
            });
        }
        let Some(name) = member_name(&head.path)? else {
            return Ok(());
        };
        // A tar of a root file system may come by mistake: its thousands of files must not become blobs.
        let role = role(&name);
        if role == Role::Other || head.kind == MemberType::Directory {
            return Ok(());
        }
        let is_known = self.documents.contains_key(&name)
            || self.blobs.contains_key(&name)
            || self.links.contains_key(&name);
        if is_known {
            return Err(ArchiveError::Duplicate { name });
        }
        match &head.kind {
            MemberType::File => self.file(store, name, role, head.size, content),
            MemberType::Symlink(target) => {
                let above = name.rsplit_once('/').map_or("", |(above, _)| above);
                if let Some(target) = beneath(above, target) {
                    self.links.insert(name, target);
                }
                Ok(())
            }
            MemberType::HardLink(target) => {
                if let Some(target) = member_name(target)? {
                    self.links.insert(name, target);
                }
                Ok(())
            }
            MemberType::Directory | MemberType::Other => Ok(()),
        }
    }

    fn file(
        &mut self,
        store: &Store,
        name: String,
        role: Role,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<(), ArchiveError> {
        let limit = match role {
            Role::Document => Limits::MANIFEST,
            _ => MAX_BLOB,
        };
        if size > limit {
            return Err(ArchiveError::TooMany {
                what: format!("bytes of {name}"),
                limit,
            });
        }
        if role == Role::Document {
            let mut bytes = Vec::new();
            content
                .read_to_end(&mut bytes)
                .map_err(ArchiveError::io("reading", &name))?;
            self.documents.insert(name, bytes);
            return Ok(());
        }
        let expected = match role {
            Role::Blob(digest) => Some(digest),
            _ => None,
        };
        let stored = put(store, &name, expected, size, content)?;
        self.blobs.insert(name, stored);
        Ok(())
    }
}

/// Puts a blob into the store. One that is there already is not read.
pub(super) fn put(
    store: &Store,
    name: &str,
    expected: Option<Digest>,
    size: u64,
    content: &mut dyn Read,
) -> Result<Stored, ArchiveError> {
    if let Some(digest) = &expected
        && store.has_blob(digest, size)?
    {
        let digest = digest.clone();
        return Ok(Stored { digest, size });
    }
    let expected = expected.as_ref().map(|digest| (digest, size));
    let mut writer = store.blob_writer(expected)?;
    io::copy(content, &mut writer).map_err(ArchiveError::io("reading", name))?;
    let (digest, size) = writer.commit()?;
    Ok(Stored { digest, size })
}

/// What a member is for, by its name.
#[derive(Debug, PartialEq, Eq)]
enum Role {
    Document,
    /// A blob of an OCI layout.
    Blob(Digest),
    /// What may be a config or layer of a Docker archive, whose writers name them as they like.
    Part,
    Other,
}

fn role(name: &str) -> Role {
    if [MARKER, INDEX, MANIFEST, REPOSITORIES].contains(&name) {
        return Role::Document;
    }
    let parts: Vec<&str> = name.split('/').collect();
    if let [BLOBS, algorithm, hex] = parts[..] {
        return match Digest::parse(&format!("{algorithm}:{hex}")) {
            Ok(digest) => Role::Blob(digest),
            Err(_) => Role::Other,
        };
    }
    let file = parts.last().copied().unwrap_or_default();
    // `json` and `VERSION` beside Docker's layers are of no use since `manifest.json` came.
    let is_part = [".json", ".tar", ".tar.gz", ".tgz", ".tar.zst"]
        .iter()
        .any(|end| file.ends_with(end))
        || file.starts_with("sha256:")
        || (file.len() == 64 && file.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if is_part && parts.len() <= 2 {
        Role::Part
    } else {
        Role::Other
    }
}

/// Returns a member's name in its only spelling, or `None` for one that cannot matter: the root, a long one, no text.
fn member_name(path: &[u8]) -> Result<Option<String>, ArchiveError> {
    let leaves = || ArchiveError::Path {
        name: shown(&String::from_utf8_lossy(
            path.get(..MAX_NAME).unwrap_or(path),
        )),
    };
    if path.starts_with(b"/") || path.split(|byte| *byte == b'/').any(|part| part == b"..") {
        return Err(leaves());
    }
    let Some(text) = std::str::from_utf8(path)
        .ok()
        .filter(|text| text.len() <= MAX_NAME)
    else {
        return Ok(None);
    };
    let parts: Vec<&str> = text
        .split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .collect();
    Ok((!parts.is_empty()).then(|| parts.join("/")))
}

/// Returns where a symbolic link in a folder leads, or `None` if it leaves the archive.
fn beneath(folder: &str, target: &[u8]) -> Option<String> {
    let target = std::str::from_utf8(target).ok()?;
    if target.starts_with('/') || target.len() > MAX_NAME {
        return None;
    }
    let mut way: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                way.pop()?;
            }
            part => way.push(part),
        }
    }
    Some(way.join("/"))
}
