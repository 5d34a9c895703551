//! Writes a new layer: as a blob in the content store, and packed.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};
use std::path::Path;

use flate2::GzBuilder;
use serde::{Deserialize, Serialize};
use tar::EntryType;

use crate::digest::{Digest, Hasher};
use crate::image::{Descriptor, descriptor};
use crate::media_type::OCI_LAYER_GZIP;
use crate::store::Store;

use super::encode::encode;
use super::error::{LayerError, TarError};
use super::header;
use super::limits::{MAX_PATH_LEN, MAX_XATTR_NAME_LEN, MAX_XATTR_VALUE_LEN};
use super::path::{components, text};
use super::scan::scan;
use super::source::Seekable;
use super::store::{BLOB, INDEX, LayerStore, TAR, write_index};
use super::temp::create_file;
use super::tree::Tree;
use super::whiteout::{self, Meaning};

/// Compression level: gzip's default.
const LEVEL: u32 = 6;

/// Names what compressed a blob. A layer that was compressed by something else is compressed again, so that the same build
/// yields the same digest whatever the store has seen before. To be changed whenever the compressor's output changes.
const ENCODER: &str = "gzip-6 zlib-rs-0.6";

/// Bytes of the file that records a blob; ours have some 200.
const MAX_RECORD_BYTES: u64 = 4096;

/// How an error names a layer that has no digest yet.
const NEW_LAYER: &str = "being written";

/// Opens a file when its turn comes, so that a layer of any number of files needs one descriptor.
pub type Opener<'a> = Box<dyn FnOnce() -> io::Result<Box<dyn Read + 'a>> + 'a>;

/// Owner, mode, time and attributes of an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits with set-user-id, set-group-id and sticky: 12 bits. More are dropped.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of modification, seconds since 1970.
    pub mtime: i64,
    /// Extended attributes, such as `user.comment`.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Collects the entries of a layer and writes them: the same entries, added in any order, give the same bytes.
///
/// Paths are relative to the root; `./` and a leading `/` do not count. The last entry of a path holds. Directories that are
/// not added keep the owner and mode that lower layers gave them.
///
/// ```
/// # use coracle_packager::layer::{Attributes, LayerWriter};
/// # fn main() -> Result<(), coracle_packager::layer::LayerError> {
/// let mut layer = LayerWriter::new();
/// let attributes = Attributes { mode: 0o644, ..Attributes::default() };
/// layer.add_bytes(b"/etc/motd", &attributes, b"hello\n")?;
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
pub struct LayerWriter<'a> {
    /// By path, without leading or trailing slashes, so that parents come before what they hold.
    entries: BTreeMap<Vec<u8>, Entry<'a>>,
}

struct Entry<'a> {
    attributes: Attributes,
    body: Body<'a>,
}

enum Body<'a> {
    Directory,
    File { size: u64, open: Opener<'a> },
    HardLink(Vec<u8>),
    Symlink(Vec<u8>),
}

/// A layer that has been written.
#[derive(Clone, Debug, PartialEq)]
pub struct WrittenLayer {
    /// Digest of the uncompressed archive.
    pub diff_id: Digest,
    /// The gzip blob in the content store.
    pub descriptor: Descriptor,
    /// Bytes of the uncompressed archive.
    pub tar_bytes: u64,
}

/// What is remembered of a blob beside the packed layer.
#[derive(Serialize, Deserialize)]
struct Record {
    encoder: String,
    digest: Digest,
    size: u64,
}

impl<'a> LayerWriter<'a> {
    /// Starts a layer without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Has nothing been added?
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds a directory.
    ///
    /// # Errors
    ///
    /// The path is not valid in a layer, or its name is kept for whiteouts. The same holds for all entries.
    pub fn add_dir(&mut self, path: &[u8], attributes: &Attributes) -> Result<(), LayerError> {
        let path = entry_path(path)?;
        self.insert(path, attributes, Body::Directory)
    }

    /// Adds a file of `size` bytes, which is opened and read when the layer is written.
    ///
    /// # Errors
    ///
    /// As [`LayerWriter::add_dir`].
    pub fn add_file(
        &mut self,
        path: &[u8],
        attributes: &Attributes,
        size: u64,
        open: Opener<'a>,
    ) -> Result<(), LayerError> {
        let path = named(entry_path(path)?)?;
        self.insert(path, attributes, Body::File { size, open })
    }

    /// Adds a small file.
    ///
    /// # Errors
    ///
    /// As [`LayerWriter::add_dir`].
    pub fn add_bytes(
        &mut self,
        path: &[u8],
        attributes: &Attributes,
        content: &[u8],
    ) -> Result<(), LayerError> {
        let content = content.to_vec();
        let size = content.len() as u64;
        let open: Opener<'a> = Box::new(move || Ok(Box::new(io::Cursor::new(content))));
        self.add_file(path, attributes, size, open)
    }

    /// Adds a symbolic link.
    ///
    /// # Errors
    ///
    /// As [`LayerWriter::add_dir`], or the target is empty, too long or has a NUL byte.
    pub fn add_symlink(
        &mut self,
        path: &[u8],
        attributes: &Attributes,
        target: &[u8],
    ) -> Result<(), LayerError> {
        let path = named(entry_path(path)?)?;
        let source = match target {
            _ if target.len() > MAX_PATH_LEN => TarError::PathTooLong {
                path: text(target.get(..64).unwrap_or(target)),
                len: target.len(),
            },
            [] => TarError::EmptyLink { path: text(&path) },
            _ if target.contains(&0) => TarError::NulInPath { path: text(target) },
            _ => return self.insert(path, attributes, Body::Symlink(target.to_vec())),
        };
        Err(invalid(&path, source))
    }

    /// Adds one more name of a file of this layer, whose path must come before this one in byte order.
    ///
    /// # Errors
    ///
    /// As [`LayerWriter::add_dir`], or the target does not come before.
    pub fn add_hard_link(
        &mut self,
        path: &[u8],
        attributes: &Attributes,
        target: &[u8],
    ) -> Result<(), LayerError> {
        let path = named(entry_path(path)?)?;
        let target = named(entry_path(target)?)?;
        if target >= path {
            return Err(invalid(&path, TarError::EmptyLink { path: text(&path) }));
        }
        self.insert(path, attributes, Body::HardLink(target))
    }

    /// Removes a path, and all below it, from lower layers. What this layer has there stays.
    ///
    /// # Errors
    ///
    /// As [`LayerWriter::add_dir`].
    pub fn add_whiteout(&mut self, path: &[u8], mtime: i64) -> Result<(), LayerError> {
        let path = named(entry_path(path)?)?;
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(&path);
        let parent = path.strip_suffix(name).unwrap_or_default();
        let marker = [parent, whiteout::PREFIX, name].concat();
        // The marker's own name is checked as well: it is longer.
        components(&marker).map_err(|source| invalid(&path, source))?;
        self.insert_marker(marker, mtime)
    }

    /// Hides what lower layers have in a directory.
    ///
    /// # Errors
    ///
    /// As [`LayerWriter::add_dir`].
    pub fn add_opaque(&mut self, directory: &[u8], mtime: i64) -> Result<(), LayerError> {
        let mut marker = entry_path(directory)?;
        if !marker.is_empty() {
            marker.push(b'/');
        }
        marker.extend_from_slice(whiteout::OPAQUE);
        self.insert_marker(marker, mtime)
    }

    /// Writes the layer: its gzip blob into the content store, and its packed form.
    ///
    /// If this very layer has been written before and the store still has the blob, it is not compressed again. Contents pass
    /// through the disk, not through memory.
    ///
    /// # Errors
    ///
    /// A file cannot be read or has another size than announced, an entry lies below a file, a limit is exceeded, or something
    /// cannot be written. Nothing is kept then.
    pub fn finish(self, layers: &LayerStore, store: &Store) -> Result<WrittenLayer, LayerError> {
        let lease = layers.lease()?;
        let temp = layers.temp_dir(&lease)?;
        let path = temp.file(TAR);
        let (mut file, tree, diff_id, tar_bytes) = self.write_tar(&path, layers)?;

        let dir = layers.layer_dir(&diff_id);
        let known = Record::read(&dir.join(BLOB), store)?;
        let fresh = known.is_none();
        let record = match known {
            Some(record) => record,
            None => compress(&mut file, &path, store)?,
        };
        drop(file);
        if !layers.has_layer(&diff_id)? {
            write_tree(&tree, &diff_id, &temp.file(INDEX), layers)?;
            if fresh {
                record.write(&temp.file(BLOB))?;
                temp.publish(&dir, &[TAR, BLOB, INDEX])?;
            } else {
                temp.publish(&dir, &[TAR, INDEX])?;
            }
        } else if fresh {
            record.write(&temp.file(BLOB))?;
            temp.publish_file(BLOB, &dir.join(BLOB))?;
        }
        Ok(WrittenLayer {
            diff_id,
            descriptor: descriptor(OCI_LAYER_GZIP, &record.digest, record.size),
            tar_bytes,
        })
    }

    /// Writes only the packed form, for a layer that no image will have, and returns its diff ID.
    ///
    /// # Errors
    ///
    /// As [`LayerWriter::finish`].
    pub fn finish_packed(self, layers: &LayerStore) -> Result<Digest, LayerError> {
        let lease = layers.lease()?;
        let temp = layers.temp_dir(&lease)?;
        let (_, tree, diff_id, _) = self.write_tar(&temp.file(TAR), layers)?;
        if !layers.has_layer(&diff_id)? {
            write_tree(&tree, &diff_id, &temp.file(INDEX), layers)?;
            temp.publish(&layers.layer_dir(&diff_id), &[TAR, INDEX])?;
        }
        Ok(diff_id)
    }

    /// Writes the archive and reads it again; returns the file, what it holds, its digest and its size in bytes.
    fn write_tar(
        self,
        path: &Path,
        layers: &LayerStore,
    ) -> Result<(File, Tree, Digest, u64), LayerError> {
        let mut spool = Spool {
            path,
            file: BufWriter::with_capacity(128 << 10, create_file(path)?),
            hasher: Hasher::sha256(),
            written: 0,
            limit: layers.limits().layer_bytes,
        };
        for (path, entry) in self.entries {
            spool.entry(&path, entry)?;
        }
        let (mut file, diff_id, tar_bytes) = spool.finish()?;

        // The index always comes from reading the archive, whoever wrote it.
        file.rewind().map_err(LayerError::io("reading", path))?;
        let mut source = Seekable::new(&file);
        let tree = scan(&mut source, layers.limits().names);
        let tree = tree.map_err(|source| LayerError::Tar {
            layer: NEW_LAYER.to_owned(),
            source,
        })?;
        drop(source);
        Ok((file, tree, diff_id, tar_bytes))
    }

    fn insert_marker(&mut self, path: Vec<u8>, mtime: i64) -> Result<(), LayerError> {
        let attributes = Attributes {
            mtime,
            ..Attributes::default()
        };
        let open: Opener<'a> = Box::new(|| Ok(Box::new(io::empty())));
        self.insert(path, &attributes, Body::File { size: 0, open })
    }

    fn insert(
        &mut self,
        path: Vec<u8>,
        attributes: &Attributes,
        body: Body<'a>,
    ) -> Result<(), LayerError> {
        for (name, value) in &attributes.xattrs {
            // A pax key ends at the first equals sign.
            if name.is_empty() || name.len() > MAX_XATTR_NAME_LEN || name.contains(&b'=') {
                let source = TarError::XattrName {
                    path: text(&path),
                    len: name.len(),
                };
                return Err(invalid(&path, source));
            }
            if value.len() > MAX_XATTR_VALUE_LEN {
                let source = TarError::XattrValue {
                    path: text(&path),
                    len: value.len(),
                };
                return Err(invalid(&path, source));
            }
        }
        let entry = Entry {
            attributes: attributes.clone(),
            body,
        };
        self.entries.insert(path, entry);
        Ok(())
    }
}

impl fmt::Debug for LayerWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.entries.keys().map(|path| text(path)))
            .finish()
    }
}

/// The archive on its way to the disk.
struct Spool<'a> {
    path: &'a Path,
    file: BufWriter<File>,
    hasher: Hasher,
    written: u64,
    limit: u64,
}

impl Spool<'_> {
    fn entry(&mut self, path: &[u8], entry: Entry<'_>) -> Result<(), LayerError> {
        let attributes = &entry.attributes;
        match entry.body {
            Body::Directory => {
                let mut name = if path.is_empty() { b"." } else { path }.to_vec();
                name.push(b'/');
                self.write(&header::entry(
                    &name,
                    EntryType::Directory,
                    b"",
                    0,
                    attributes,
                ))
            }
            Body::HardLink(target) => self.write(&header::entry(
                path,
                EntryType::Link,
                &target,
                0,
                attributes,
            )),
            Body::Symlink(target) => self.write(&header::entry(
                path,
                EntryType::Symlink,
                &target,
                0,
                attributes,
            )),
            Body::File { size, open } => {
                self.write(&header::entry(
                    path,
                    EntryType::Regular,
                    b"",
                    size,
                    attributes,
                ))?;
                self.content(path, size, open)
            }
        }
    }

    fn content(&mut self, path: &[u8], size: u64, open: Opener<'_>) -> Result<(), LayerError> {
        let failed = |source| LayerError::Content {
            path: text(path),
            source,
        };
        let changed = || LayerError::Changed {
            path: text(path),
            want: size,
        };
        let mut content = open().map_err(failed)?;
        let mut buffer = vec![0; 64 << 10];
        let mut rest = size;
        loop {
            let len = match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(error)),
            };
            rest = rest.checked_sub(len as u64).ok_or_else(changed)?;
            self.write(&buffer[..len])?;
        }
        if rest > 0 {
            return Err(changed());
        }
        let padding = size.next_multiple_of(512) - size;
        self.write(&[0; 512][..padding as usize])
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), LayerError> {
        self.written = self.written.saturating_add(bytes.len() as u64);
        if self.written > self.limit {
            return Err(LayerError::TooLarge {
                layer: NEW_LAYER.to_owned(),
                limit: self.limit,
            });
        }
        self.hasher.update(bytes);
        self.file
            .write_all(bytes)
            .map_err(LayerError::io("writing", self.path))
    }

    fn finish(mut self) -> Result<(File, Digest, u64), LayerError> {
        self.write(&[0; 1024])?;
        let file = self
            .file
            .into_inner()
            .map_err(|error| LayerError::io("writing", self.path)(error.into_error()))?;
        file.sync_all()
            .map_err(LayerError::io("syncing", self.path))?;
        Ok((file, self.hasher.finish(), self.written))
    }
}

impl Record {
    /// Reads the record of a layer's blob, if there is one and the store still has the blob.
    fn read(path: &Path, store: &Store) -> Result<Option<Self>, LayerError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(LayerError::io("opening", path)(error)),
        };
        let mut bytes = Vec::new();
        file.take(MAX_RECORD_BYTES)
            .read_to_end(&mut bytes)
            .map_err(LayerError::io("reading", path))?;
        // A record that cannot be read is written anew.
        let record = serde_json::from_slice::<Self>(&bytes).ok();
        let Some(record) = record.filter(|record| record.encoder == ENCODER) else {
            return Ok(None);
        };
        let has = store.has_blob(&record.digest, record.size);
        let has = has.map_err(|source| LayerError::Store {
            blob: record.digest.to_string(),
            source,
        })?;
        Ok(has.then_some(record))
    }

    fn write(&self, path: &Path) -> Result<(), LayerError> {
        let mut file = create_file(path)?;
        serde_json::to_vec(self)
            .map_err(io::Error::from)
            .and_then(|bytes| file.write_all(&bytes))
            .and_then(|()| file.sync_all())
            .map_err(LayerError::io("writing", path))
    }
}

/// Writes the index of a layer.
fn write_tree(
    tree: &Tree,
    diff_id: &Digest,
    path: &Path,
    layers: &LayerStore,
) -> Result<(), LayerError> {
    let encoder = encode(tree, diff_id, layers.limits().names);
    let encoder = encoder.map_err(|source| LayerError::Index {
        path: path.to_owned(),
        source,
    })?;
    write_index(encoder, path)
}

/// Writes the gzip blob of an archive.
fn compress(file: &mut File, path: &Path, store: &Store) -> Result<Record, LayerError> {
    let failed = |source| LayerError::Store {
        blob: NEW_LAYER.to_owned(),
        source,
    };
    file.rewind().map_err(LayerError::io("reading", path))?;
    let blob = store.blob_writer(None).map_err(failed)?;
    // Neither name nor time, and the code for an unknown system: nothing of the host gets into the blob.
    let mut encoder = GzBuilder::new()
        .mtime(0)
        .operating_system(255)
        .write(blob, flate2::Compression::new(LEVEL));
    io::copy(file, &mut encoder).map_err(LayerError::io("compressing", path))?;
    let blob = encoder
        .finish()
        .map_err(LayerError::io("compressing", path))?;
    let (digest, size) = blob.commit().map_err(failed)?;
    Ok(Record {
        encoder: ENCODER.to_owned(),
        digest,
        size,
    })
}

/// Checks the path of an entry, and returns it in its only spelling.
fn entry_path(path: &[u8]) -> Result<Vec<u8>, LayerError> {
    let parts = components(path).map_err(|source| invalid(path, source))?;
    if parts
        .iter()
        .any(|part| whiteout::meaning(part) != Meaning::Plain)
    {
        let source = TarError::ReservedName { path: text(path) };
        return Err(invalid(path, source));
    }
    Ok(parts.join(&b'/'))
}

/// Refuses the root, which can only be a directory.
fn named(path: Vec<u8>) -> Result<Vec<u8>, LayerError> {
    match path.is_empty() {
        true => Err(invalid(b"/", TarError::Root)),
        false => Ok(path),
    }
}

fn invalid(path: &[u8], source: TarError) -> LayerError {
    LayerError::Entry {
        path: text(path),
        source,
    }
}
