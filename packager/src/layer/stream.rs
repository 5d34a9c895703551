//! Archives that are no layers, such as those of `save` and `export`: read member by member, and written.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::rc::Rc;

use tar::EntryType;

use super::archive::{Archive, MemberKind};
use super::compress::Decoder;
use super::error::TarError;
use super::header;
use super::limits::{FREE_LAYER_BYTES, MAX_EXPANSION};
use super::source::{Seekable, Source, Stream};
use super::writer::Attributes;
use super::xattr::Xattrs;
use crate::media_type::Compression;

const BLOCK: u64 = 512;
/// What a compressed archive that grows too much is reported with.
const BOMB: &str = "it unpacks to more than an honest archive can";

/// Why an archive could not be read.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// Its bytes could not be read or decompressed.
    #[error("reading the archive")]
    Read(#[source] io::Error),
    /// It has more members than are read.
    #[error("it has more than {limit} members")]
    TooMany {
        /// The bound.
        limit: usize,
    },
    /// It is no archive that can be read.
    #[error("it is not a usable tar archive")]
    Tar(#[from] TarError),
}

/// What a member of an archive is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberType {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// One more name of an earlier member.
    HardLink(Vec<u8>),
    /// A symbolic link, with its target.
    Symlink(Vec<u8>),
    /// A device or pipe.
    Other,
}

/// What an archive says about a member before its content.
#[derive(Clone, Debug)]
pub struct Head {
    /// As written in the archive, from nobody that can be trusted.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: MemberType,
    /// Bytes of content.
    pub size: u64,
    /// Mode, owner and time; without extended attributes.
    pub attributes: Attributes,
}

/// Calls `visit` for each member of an archive, plain or compressed with gzip or zstd, with its content. Reads to the end
/// of the compressed stream, so that one that was cut is noticed. What expands more than a layer may is refused.
///
/// # Errors
///
/// The archive cannot be read, or what `visit` says.
pub fn for_each_member<E: From<StreamError>>(
    reader: impl Read,
    visit: &mut dyn FnMut(&Head, &mut dyn Read) -> Result<(), E>,
) -> Result<(), E> {
    let mut source = Stream::new(bounded(reader).map_err(StreamError::Read)?);
    let mut archive = Archive::new(&mut source);
    while let Some(member) = archive.next().map_err(read_error)? {
        let kind = member_type(member.kind, member.link);
        let metadata = &member.metadata;
        let head = Head {
            kind,
            size: member.size,
            attributes: Attributes {
                mode: metadata.mode.into(),
                uid: metadata.uid,
                gid: metadata.gid,
                mtime: metadata.mtime_sec,
                ..Attributes::default()
            },
            path: member.path,
        };
        visit(&head, &mut Content(&mut archive))?;
    }
    io::copy(&mut source, &mut io::sink()).map_err(StreamError::Read)?;
    let decoder = source.into_inner().decoder;
    decoder.drain().map_err(StreamError::Read)?;
    Ok(())
}

/// A member of an archive, with all that it says.
#[derive(Debug)]
pub(crate) struct FullMember {
    pub(crate) head: Head,
    pub(crate) attributes: Attributes,
    /// Where its content starts.
    pub(crate) offset: u64,
}

/// Lists the members of an uncompressed archive in a file, at most `limit` of them.
pub(crate) fn members(file: &std::fs::File, limit: usize) -> Result<Vec<FullMember>, StreamError> {
    let mut source = Seekable::new(file);
    let mut archive = Archive::new(&mut source);
    let mut members = Vec::new();
    while let Some(member) = archive.next().map_err(read_error)? {
        if members.len() >= limit {
            return Err(StreamError::TooMany { limit });
        }
        let mut xattrs = std::collections::BTreeMap::new();
        let encoded = member.metadata.xattrs.as_deref().unwrap_or_default();
        for (name, value) in Xattrs::new(0, encoded).flatten() {
            xattrs.insert(name.to_vec(), value.to_vec());
        }
        members.push(FullMember {
            attributes: Attributes {
                mode: member.metadata.mode.into(),
                uid: member.metadata.uid,
                gid: member.metadata.gid,
                mtime: member.metadata.mtime_sec,
                xattrs,
            },
            offset: member.offset,
            head: Head {
                kind: member_type(member.kind, member.link),
                path: member.path,
                size: member.size,
                attributes: Attributes::default(),
            },
        });
    }
    Ok(members)
}

fn member_type(kind: MemberKind, link: Vec<u8>) -> MemberType {
    match kind {
        MemberKind::File => MemberType::File,
        MemberKind::Directory => MemberType::Directory,
        MemberKind::HardLink => MemberType::HardLink(link),
        MemberKind::Symlink => MemberType::Symlink(link),
        MemberKind::CharDevice { .. } | MemberKind::BlockDevice { .. } | MemberKind::Fifo => {
            MemberType::Other
        }
    }
}

/// Takes the compression off a stream, as long as it does not expand more than a layer may.
pub(crate) fn bounded<R: Read>(reader: R) -> io::Result<Bounded<impl Read>> {
    let taken = Rc::new(Cell::new(0));
    let counting = Counting {
        reader,
        taken: Rc::clone(&taken),
    };
    let (decoder, _) = Decoder::new(counting)?;
    Ok(Bounded {
        decoder,
        taken,
        given: 0,
    })
}

/// Tells by its first bytes how a blob is compressed.
pub(crate) fn compression_of(reader: impl Read) -> io::Result<Compression> {
    Decoder::new(reader).map(|(_, compression)| compression)
}

fn read_error(error: TarError) -> StreamError {
    match error {
        TarError::Io { source, .. } => StreamError::Read(source),
        error => StreamError::Tar(error),
    }
}

/// The content of the current member.
struct Content<'a, 'b, S>(&'a mut Archive<'b, S>);

impl<S: Source> Read for Content<'_, '_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error {
            TarError::Io { source, .. } => source,
            error => io::Error::new(io::ErrorKind::InvalidData, error),
        })
    }
}

/// Counts what is read.
struct Counting<R> {
    reader: R,
    taken: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.taken
            .set(self.taken.get().saturating_add(count as u64));
        Ok(count)
    }
}

/// The uncompressed bytes, as long as they are not too many for the compressed ones.
pub(crate) struct Bounded<R: Read> {
    decoder: Decoder<R>,
    taken: Rc<Cell<u64>>,
    given: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.decoder.read(buffer)?;
        self.given = self.given.saturating_add(count as u64);
        let honest = self.taken.get().saturating_mul(MAX_EXPANSION);
        if self.given > FREE_LAYER_BYTES && self.given > honest {
            return Err(io::Error::new(io::ErrorKind::InvalidData, BOMB));
        }
        Ok(count)
    }
}

/// Writes an archive: the same members give the same bytes.
pub struct TarWriter<W> {
    writer: W,
}

/// What is written of a member beside its path and attributes.
pub enum NewMember<'a> {
    /// A directory.
    Directory,
    /// A file of so many bytes, which the reader must have.
    File(u64, &'a mut dyn Read),
    /// One more name of a file that was written before.
    HardLink(&'a [u8]),
    /// A symbolic link.
    Symlink(&'a [u8]),
}

impl<W: Write> TarWriter<W> {
    /// Starts an archive.
    pub fn new(writer: W) -> Self {
        Self { writer }
    }

    /// Writes one member. `path` is relative to the root.
    ///
    /// # Errors
    ///
    /// Something cannot be written, or a file has another size than was said: then the archive is of no use.
    pub fn member(
        &mut self,
        path: &[u8],
        attributes: &Attributes,
        member: NewMember<'_>,
    ) -> io::Result<()> {
        match member {
            NewMember::Directory => {
                let path = [path, b"/"].concat();
                self.head(&path, EntryType::Directory, b"", 0, attributes)
            }
            NewMember::Symlink(target) => {
                self.head(path, EntryType::Symlink, target, 0, attributes)
            }
            NewMember::HardLink(target) => self.head(path, EntryType::Link, target, 0, attributes),
            NewMember::File(size, content) => {
                self.head(path, EntryType::Regular, b"", size, attributes)?;
                let written = io::copy(&mut content.take(size), &mut self.writer)?;
                if written != size {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        format!("got {written} bytes, want {size}"),
                    ));
                }
                // Padding is less than a block.
                let padding = usize::try_from(size.wrapping_neg() % BLOCK).unwrap_or(0);
                self.writer.write_all(&[0; BLOCK as usize][..padding])
            }
        }
    }

    /// Ends the archive and returns what it was written to.
    ///
    /// # Errors
    ///
    /// Something cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.writer.write_all(&[0; 2 * BLOCK as usize])?;
        self.writer.flush()?;
        Ok(self.writer)
    }

    fn head(
        &mut self,
        path: &[u8],
        kind: EntryType,
        link: &[u8],
        size: u64,
        attributes: &Attributes,
    ) -> io::Result<()> {
        self.writer
            .write_all(&header::entry(path, kind, link, size, attributes))
    }
}
