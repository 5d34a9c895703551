//! An OCI layout in a folder, read blob by blob as they are needed.

use std::collections::HashSet;
use std::io::{ErrorKind, Read as _};

use cap_std::fs::Dir;

use super::contents::put;
use super::docker::blob_path;
use super::error::ArchiveError;
use crate::digest::Digest;
use crate::image::{Descriptor, Document, Limits};
use crate::media_type::{Distribution, Kind};
use crate::store::{Store, StoreError};

/// Reads a small file, or `None` if it is absent.
pub(super) fn document(dir: &Dir, name: &str) -> Result<Option<Vec<u8>>, ArchiveError> {
    let file = match dir.open(name) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(ArchiveError::io("opening", name))?,
    };
    let mut bytes = Vec::new();
    file.take(Limits::MANIFEST + 1)
        .read_to_end(&mut bytes)
        .map_err(ArchiveError::io("reading", name))?;
    if bytes.len() as u64 > Limits::MANIFEST {
        return Err(ArchiveError::TooMany {
            what: format!("bytes of {name}"),
            limit: Limits::MANIFEST,
        });
    }
    Ok(Some(bytes))
}

/// Copies an image and all that it names into the store. Images of an index that are not there, and layers that are only at
/// their URLs, are passed over.
pub(super) struct Copy<'a> {
    pub(super) dir: &'a Dir,
    pub(super) store: &'a Store,
    pub(super) seen: HashSet<Digest>,
}

impl Copy<'_> {
    /// Recursion is as deep as [`Limits::NESTING`].
    pub(super) fn image(
        &mut self,
        descriptor: &Descriptor,
        depth: usize,
    ) -> Result<(), ArchiveError> {
        if depth > Limits::NESTING {
            return Err(ArchiveError::Store(StoreError::Nesting {
                digest: descriptor.digest().to_string(),
                limit: Limits::NESTING,
            }));
        }
        let kind = Kind::of(descriptor.media_type().as_ref());
        if depth > 0 && !kind.is_manifest_or_index() {
            return Ok(());
        }
        if !self.blob(descriptor, depth > 0)? {
            return Ok(());
        }
        match self.store.document(descriptor)? {
            Document::Index(index) => {
                for entry in index.manifests() {
                    self.image(entry, depth + 1)?;
                }
            }
            Document::Manifest(manifest) => {
                self.blob(manifest.config(), false)?;
                for layer in manifest.layers() {
                    let kind = Kind::of(layer.media_type().as_ref());
                    let elsewhere = matches!(kind, Kind::TarLayer(_, Distribution::Restricted));
                    self.blob(layer, elsewhere)?;
                }
            }
        }
        Ok(())
    }

    /// Copies a blob unless that was done. Returns whether it is new, and there.
    fn blob(&mut self, descriptor: &Descriptor, may_be_absent: bool) -> Result<bool, ArchiveError> {
        let digest = Digest::of(descriptor).map_err(StoreError::from)?;
        if !self.seen.insert(digest.clone()) {
            return Ok(false);
        }
        let path = blob_path(&digest);
        let mut file = match self.dir.open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound && may_be_absent => {
                return Ok(false);
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(ArchiveError::Missing { what: path });
            }
            opened => opened.map_err(ArchiveError::io("opening", &path))?,
        };
        put(
            self.store,
            &path,
            Some(digest),
            descriptor.size(),
            &mut file,
        )?;
        Ok(true)
    }
}
