//! From the store to a file or folder.

use std::collections::HashSet;
use std::io::{self, Cursor, ErrorKind, Read, Write};

use cap_std::fs::Dir;

use super::error::ArchiveError;
use super::{BLOBS, INDEX, MANIFEST, MARKER, docker, oci};
use crate::digest::Digest;
use crate::image::{Descriptor, Image, canonical_json};
use crate::layer::{Attributes, NewMember, TarWriter};
use crate::media_type::{Distribution, Kind};
use crate::reference::Reference;
use crate::store::{Store, StoreError};

/// Which lists of images are written beside the blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The OCI layout's only.
    Oci,
    /// Docker's as well; an image that it cannot express is refused.
    Docker,
    /// Docker's as well, for those images that it can express. What Docker itself writes.
    Both,
}

/// An image to save.
#[derive(Clone, Debug)]
pub struct Saved {
    /// The manifest or index.
    pub descriptor: Descriptor,
    /// Its names, or none.
    pub names: Vec<Reference>,
    /// The entry that Docker's list names, which knows no choice; `None` if there is none for this host.
    pub image: Option<Image>,
}

/// Where files are written to. Called once for each, and `finish` at the end.
pub trait Sink {
    /// Writes one file of `size` bytes. Folders on the way come first, by [`Sink::folder`].
    fn file(&mut self, name: &str, size: u64, content: &mut dyn Read) -> io::Result<()>;

    /// Makes a folder.
    fn folder(&mut self, name: &str) -> io::Result<()>;
}

/// Writes images, and each blob once. Of an index, those entries that are in the store.
///
/// # Errors
///
/// A blob is missing or damaged, something cannot be written, or [`ArchiveError::NotForDocker`], before anything is written.
pub fn save(
    store: &Store,
    images: &[Saved],
    form: Form,
    sink: &mut dyn Sink,
) -> Result<(), ArchiveError> {
    let entries = docker_entries(images, form)?;
    let mut blobs = Vec::new();
    let mut seen = HashSet::new();
    for image in images {
        let found = store.manifests(&image.descriptor)?;
        for part in found
            .manifests
            .iter()
            .chain(&found.configs)
            .chain(&found.layers)
        {
            let digest = Digest::of(part).map_err(StoreError::from)?;
            let kind = Kind::of(part.media_type().as_ref());
            let elsewhere = matches!(kind, Kind::TarLayer(_, Distribution::Restricted))
                && store.blob_size(&digest)?.is_none();
            if !elsewhere && seen.insert(digest.clone()) {
                blobs.push(digest);
            }
        }
    }
    // In the order of names: the same images give the same bytes.
    blobs.sort_unstable_by_key(ToString::to_string);

    // Lists first: who reads through a pipe knows at once what comes.
    write(sink, MARKER, oci::MARKER_TEXT)?;
    let listed = images
        .iter()
        .map(|image| (&image.descriptor, image.names.as_slice()));
    write(sink, INDEX, &oci::write(listed))?;
    if !entries.is_empty() {
        write(sink, MANIFEST, &canonical_json(&entries))?;
    }
    let mut folder = |name: &str| {
        sink.folder(name)
            .map_err(ArchiveError::io("creating", name))
    };
    folder(BLOBS)?;
    let algorithms: HashSet<&str> = blobs.iter().map(Digest::algorithm).collect();
    for algorithm in ["sha256", "sha512"] {
        if algorithms.contains(algorithm) {
            folder(&format!("{BLOBS}/{algorithm}"))?;
        }
    }
    for digest in &blobs {
        let name = docker::blob_path(digest);
        let mut blob = store.open_blob(digest)?;
        let size = blob.size();
        sink.file(&name, size, &mut blob)
            .and_then(|()| match blob.read(&mut [0])? {
                // Only the reader's end says that the blob's bytes have its digest.
                0 => Ok(()),
                _ => Err(ErrorKind::InvalidData.into()),
            })
            .map_err(ArchiveError::io("writing", &name))?;
    }
    Ok(())
}

fn docker_entries(images: &[Saved], form: Form) -> Result<Vec<docker::Entry>, ArchiveError> {
    let mut entries = Vec::new();
    for saved in images {
        let entry = match &saved.image {
            Some(image) => docker::Entry::of(image, &saved.names),
            None => Err(ArchiveError::NotForDocker {
                image: saved.descriptor.digest().to_string(),
                shape: "for other platforms than this host's".to_owned(),
            }),
        };
        match (entry, form) {
            (_, Form::Oci) | (Err(_), Form::Both) => {}
            (entry, Form::Docker | Form::Both) => entries.push(entry?),
        }
    }
    Ok(entries)
}

fn write(sink: &mut dyn Sink, name: &str, bytes: &[u8]) -> Result<(), ArchiveError> {
    sink.file(name, bytes.len() as u64, &mut Cursor::new(bytes))
        .map_err(ArchiveError::io("writing", name))
}

/// An archive.
pub struct Tar<W> {
    writer: TarWriter<W>,
}

impl<W: Write> Tar<W> {
    /// Starts an archive.
    pub fn new(writer: W) -> Self {
        Self {
            writer: TarWriter::new(writer),
        }
    }

    /// Ends it, and returns what it was written to.
    ///
    /// # Errors
    ///
    /// Something cannot be written.
    pub fn finish(self) -> io::Result<W> {
        self.writer.finish()
    }
}

impl<W: Write> Sink for Tar<W> {
    fn file(&mut self, name: &str, size: u64, content: &mut dyn Read) -> io::Result<()> {
        let attributes = Attributes {
            mode: 0o644,
            ..Attributes::default()
        };
        let member = NewMember::File(size, content);
        self.writer.member(name.as_bytes(), &attributes, member)
    }

    fn folder(&mut self, name: &str) -> io::Result<()> {
        let attributes = Attributes {
            mode: 0o755,
            ..Attributes::default()
        };
        self.writer
            .member(name.as_bytes(), &attributes, NewMember::Directory)
    }
}

/// A folder.
pub struct Folder {
    dir: Dir,
}

impl Folder {
    /// Writes to a folder that must be empty.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::NotEmpty`], or it cannot be read.
    pub fn new(dir: Dir) -> Result<Self, ArchiveError> {
        let mut entries = dir.entries().map_err(ArchiveError::io("listing", "."))?;
        match entries.next() {
            None => Ok(Self { dir }),
            Some(_) => Err(ArchiveError::NotEmpty),
        }
    }
}

impl Sink for Folder {
    fn file(&mut self, name: &str, _size: u64, content: &mut dyn Read) -> io::Result<()> {
        let mut file = self.dir.create(name)?;
        io::copy(content, &mut file)?;
        file.sync_all()
    }

    fn folder(&mut self, name: &str) -> io::Result<()> {
        self.dir.create_dir(name)
    }
}
