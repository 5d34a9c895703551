//! Reads tar archives of every dialect in use: v7, ustar, GNU and pax.
//!
//! Headers are decoded with the `tar` crate's types. The walk over the stream is ours, because the crate's iterator holds
//! pax headers and long names of any size in memory, breaks pax values at line feeds, takes the first of two equal pax
//! records where Docker takes the last, and reads data after entries that have none. Two readers that disagree
//! about an archive are a way to hide files, so where there is a choice it is the one of Go's `archive/tar`, which Docker and
//! containerd use.

use std::collections::BTreeMap;
use std::io;

use tar::Header;

use super::error::TarError;
use super::field::{BLOCK, checksum_holds, is_zero, number_in, signed, until_nul};
use super::limits::{MAX_EXTENDED_HEADER_BYTES, MAX_XATTR_NAME_LEN, MAX_XATTR_VALUE_LEN};
use super::path::text;
use super::source::Source;
use super::{pax, xattr};

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MemberKind {
    File,
    HardLink,
    Symlink,
    CharDevice { major: u32, minor: u32 },
    BlockDevice { major: u32, minor: u32 },
    Directory,
    Fifo,
}

/// Owner, mode, times and attributes of an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Metadata {
    /// Permission bits with set-user-id, set-group-id and sticky: 12 bits.
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime_sec: i64,
    pub(super) mtime_nsec: u32,
    /// Extended attributes as [`xattr::encode`] writes them; `None` for none.
    pub(super) xattrs: Option<Box<[u8]>>,
}

/// One entry of an archive.
#[derive(Debug)]
pub(super) struct Member {
    /// As written in the archive.
    pub(super) path: Vec<u8>,
    /// Target of a hard or symbolic link, as written.
    pub(super) link: Vec<u8>,
    pub(super) kind: MemberKind,
    pub(super) metadata: Metadata,
    /// Bytes of content; 0 for all but files.
    pub(super) size: u64,
    /// Where the content starts in the uncompressed archive.
    pub(super) offset: u64,
}

/// A walk over the entries of an archive.
pub(super) struct Archive<'a, S> {
    source: &'a mut S,
    /// Bytes read so far.
    position: u64,
    /// Bytes of content and padding that belong to the current entry and have not been read.
    rest: u64,
    /// Bytes of content among them.
    content: u64,
}

impl<'a, S: Source> Archive<'a, S> {
    pub(super) fn new(source: &'a mut S) -> Self {
        Self {
            source,
            position: 0,
            rest: 0,
            content: 0,
        }
    }

    /// Returns the next entry, or `None` at the end of the archive.
    pub(super) fn next(&mut self) -> Result<Option<Member>, TarError> {
        let mut extended = Extended::default();
        loop {
            self.skip_rest()?;
            let position = self.position;
            let Some(header) = self.header()? else {
                return match extended.is_empty() {
                    true => Ok(None),
                    false => Err(TarError::Dangling),
                };
            };
            let kind = header.as_old().linkflag[0];
            match kind {
                b'x' => {
                    let size = self.extended_size(&header, position)?;
                    let data = self.take(size)?;
                    extended.set_pax(data, position)?;
                }
                // Docker and containerd ignore global headers too; `git archive` writes one with a comment.
                b'g' => {
                    let size = self.extended_size(&header, position)?;
                    self.begin(size, position)?;
                }
                b'L' => {
                    let size = self.extended_size(&header, position)?;
                    let name = until_nul(self.take(size)?);
                    set_once(&mut extended.name, name, "long names", position)?;
                }
                b'K' => {
                    let size = self.extended_size(&header, position)?;
                    let link = until_nul(self.take(size)?);
                    set_once(&mut extended.link, link, "long link names", position)?;
                }
                _ => return self.member(&header, extended, position).map(Some),
            }
        }
    }

    /// Reads content of the current entry. Returns 0 at its end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        let len = usize::try_from(self.content).map_or(buffer.len(), |len| len.min(buffer.len()));
        let buffer = &mut buffer[..len];
        if buffer.is_empty() {
            return Ok(0);
        }
        let got = self.fill(buffer)?;
        if got < len {
            return Err(TarError::Truncated {
                position: self.position,
            });
        }
        self.content -= got as u64;
        self.rest -= got as u64;
        Ok(got)
    }

    fn member(
        &mut self,
        header: &Header,
        extended: Extended,
        position: u64,
    ) -> Result<Member, TarError> {
        let pax = extended.pax.unwrap_or_default();
        let old = header.as_old();
        let path = extended
            .name
            .or(pax.path)
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let link = extended
            .link
            .or(pax.link)
            .unwrap_or_else(|| until_nul(old.linkname.to_vec()));
        if pax.sparse {
            return Err(TarError::Sparse { path: text(&path) });
        }

        let flag = old.linkflag[0];
        let kind = match flag {
            // v7 had no type for directories.
            0 if path.ends_with(b"/") => MemberKind::Directory,
            0 | b'0' | b'7' => MemberKind::File,
            b'1' => MemberKind::HardLink,
            b'2' => MemberKind::Symlink,
            b'3' | b'4' => {
                let (major, minor) = device(header, position)?;
                match flag {
                    b'3' => MemberKind::CharDevice { major, minor },
                    _ => MemberKind::BlockDevice { major, minor },
                }
            }
            b'5' => MemberKind::Directory,
            b'6' => MemberKind::Fifo,
            b'S' => return Err(TarError::Sparse { path: text(&path) }),
            kind => {
                return Err(TarError::Kind {
                    path: text(&path),
                    kind,
                });
            }
        };

        let size = match pax.size {
            Some(size) => size,
            None => number_in(&old.size, "size", position)?,
        };
        // Only files have content; what a size means in other headers is left to none but files.
        let size = match kind {
            MemberKind::File => size,
            _ => 0,
        };
        let (mtime_sec, mtime_nsec) = match pax.mtime {
            Some(time) => time,
            None => (signed(&old.mtime, "mtime", position)?, 0),
        };
        let metadata = Metadata {
            // Twelve bits always fit; the file type that some writers put above them does not count.
            mode: (signed(&old.mode, "mode", position)? & 0o7777) as u16,
            uid: match pax.uid {
                Some(uid) => uid,
                None => number_in(&old.uid, "uid", position)?,
            },
            gid: match pax.gid {
                Some(gid) => gid,
                None => number_in(&old.gid, "gid", position)?,
            },
            mtime_sec,
            mtime_nsec,
            xattrs: encode_xattrs(&path, pax.xattrs)?,
        };
        self.begin(size, position)?;
        Ok(Member {
            path,
            link,
            kind,
            metadata,
            size,
            offset: self.position,
        })
    }

    /// Reads one header, or `None` at the end of the archive: two blocks of zeros, or the end of the source.
    fn header(&mut self) -> Result<Option<Header>, TarError> {
        let position = self.position;
        let mut header = Header::new_old();
        if !self.block(header.as_mut_bytes())? {
            return Ok(None);
        }
        if is_zero(header.as_bytes()) {
            if self.block(header.as_mut_bytes())? && !is_zero(header.as_bytes()) {
                return Err(TarError::LoneZeroBlock { position });
            }
            return Ok(None);
        }
        if !checksum_holds(header.as_bytes()) {
            return Err(TarError::Checksum { position });
        }
        Ok(Some(header))
    }

    /// Reads one block. Returns false at the end of the source.
    fn block(&mut self, block: &mut [u8; BLOCK as usize]) -> Result<bool, TarError> {
        match self.fill(block)? {
            0 => Ok(false),
            n if n as u64 == BLOCK => Ok(true),
            _ => Err(TarError::Truncated {
                position: self.position,
            }),
        }
    }

    /// Fills the buffer, or as much of it as there is.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.source.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(n) => {
                    filled += n;
                    self.position += n as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(TarError::Io {
                        position: self.position,
                        source,
                    });
                }
            }
        }
        Ok(filled)
    }

    /// Notes that `size` bytes of content and their padding follow.
    fn begin(&mut self, size: u64, position: u64) -> Result<(), TarError> {
        self.content = size;
        self.rest = size
            .checked_next_multiple_of(BLOCK)
            .filter(|rest| *rest <= i64::MAX as u64)
            .ok_or_else(|| TarError::Number {
                position,
                field: "size",
                value: size.to_string(),
            })?;
        Ok(())
    }

    /// Goes to the end of the entry's last block. Padding may be missing at the end of the source: `umoci insert` writes
    /// none, and other readers do not mind.
    fn skip_rest(&mut self) -> Result<(), TarError> {
        let content = std::mem::take(&mut self.content);
        let padding = std::mem::take(&mut self.rest) - content;
        self.skip_content(content)?;
        let mut block = [0; BLOCK as usize];
        // Padding is less than a block.
        let len = usize::try_from(padding).map_or(block.len(), |len| len.min(block.len()));
        self.fill(&mut block[..len])?;
        Ok(())
    }

    fn skip_content(&mut self, content: u64) -> Result<(), TarError> {
        if content == 0 {
            return Ok(());
        }
        match self.source.skip(content) {
            Ok(()) => {
                self.position += content;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(TarError::Truncated {
                    position: self.position,
                })
            }
            Err(source) => Err(TarError::Io {
                position: self.position,
                source,
            }),
        }
    }

    fn extended_size(&self, header: &Header, position: u64) -> Result<u64, TarError> {
        let size: u64 = number_in(&header.as_old().size, "size", position)?;
        if size > MAX_EXTENDED_HEADER_BYTES {
            return Err(TarError::ExtendedHeader { position, size });
        }
        Ok(size)
    }

    /// Reads the whole content of an extended header, whose size has been checked.
    fn take(&mut self, size: u64) -> Result<Vec<u8>, TarError> {
        self.begin(size, self.position)?;
        let mut data = vec![0; size as usize];
        self.read(&mut data)?;
        Ok(data)
    }
}

/// What the headers before an entry say about it.
#[derive(Default)]
struct Extended {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Option<Pax>,
}

#[derive(Default)]
struct Pax {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
    mtime: Option<(i64, u32)>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Is it one of GNU tar's pax formats for sparse files?
    sparse: bool,
}

impl Extended {
    fn is_empty(&self) -> bool {
        self.name.is_none() && self.link.is_none() && self.pax.is_none()
    }

    fn set_pax(&mut self, data: Vec<u8>, position: u64) -> Result<(), TarError> {
        let mut pax = Pax::default();
        for record in pax::records(&data) {
            let (key, value) = record.ok_or(TarError::Pax { position })?;
            pax.set(key, value, position)?;
        }
        set_once(&mut self.pax, pax, "pax headers", position)
    }
}

impl Pax {
    /// Takes one record; a later one replaces an earlier one. An empty value means that the plain header holds.
    fn set(&mut self, key: &[u8], value: &[u8], position: u64) -> Result<(), TarError> {
        let bad = |field| TarError::Number {
            position,
            field,
            value: text(value),
        };
        let some = !value.is_empty();
        match key {
            b"path" => self.path = some.then(|| value.to_vec()),
            b"linkpath" => self.link = some.then(|| value.to_vec()),
            b"size" => {
                let size = pax::decimal(value).ok_or_else(|| bad("size"));
                self.size = some.then_some(size).transpose()?;
            }
            b"uid" => {
                let uid = owner(value).ok_or_else(|| bad("uid"));
                self.uid = some.then_some(uid).transpose()?;
            }
            b"gid" => {
                let gid = owner(value).ok_or_else(|| bad("gid"));
                self.gid = some.then_some(gid).transpose()?;
            }
            b"mtime" => {
                let mtime = pax::time(value).ok_or_else(|| bad("mtime"));
                self.mtime = some.then_some(mtime).transpose()?;
            }
            _ if key.starts_with(b"GNU.sparse.") => self.sparse = true,
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattrs.insert(name.to_vec(), value.to_vec());
                }
            }
        }
        Ok(())
    }
}

fn owner(text: &[u8]) -> Option<u32> {
    u32::try_from(pax::decimal(text)?).ok()
}

fn set_once<T>(
    slot: &mut Option<T>,
    value: T,
    what: &'static str,
    position: u64,
) -> Result<(), TarError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(TarError::Repeated { position, what }),
    }
}

fn encode_xattrs(
    path: &[u8],
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
) -> Result<Option<Box<[u8]>>, TarError> {
    for (name, value) in &xattrs {
        if name.is_empty() || name.len() > MAX_XATTR_NAME_LEN {
            return Err(TarError::XattrName {
                path: text(path),
                len: name.len(),
            });
        }
        if value.len() > MAX_XATTR_VALUE_LEN {
            return Err(TarError::XattrValue {
                path: text(path),
                len: value.len(),
            });
        }
    }
    Ok(xattr::encode(
        xattrs.iter().map(|(name, value)| (&name[..], &value[..])),
    ))
}

fn device(header: &Header, position: u64) -> Result<(u32, u32), TarError> {
    let (major, minor) = match (header.as_ustar(), header.as_gnu()) {
        (Some(ustar), _) => (ustar.dev_major, ustar.dev_minor),
        (None, Some(gnu)) => (gnu.dev_major, gnu.dev_minor),
        (None, None) => return Ok((0, 0)),
    };
    Ok((
        number_in(&major, "device major", position)?,
        number_in(&minor, "device minor", position)?,
    ))
}
