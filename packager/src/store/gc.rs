use std::collections::HashSet;
use std::io::{self, ErrorKind};
use std::path::Path;

use cap_std::fs::DirEntry;
use serde_json::Value;

use super::Store;
use super::error::{Context as _, StoreError};
use super::layout::{self, BLOBS, INGEST};
use super::lock::Lease;
use super::reader::store_error;
use crate::digest::Digest;
use crate::image::Limits;
use crate::media_type::Kind;

/// What a garbage collection did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freed {
    /// Blobs removed.
    pub blobs: u64,
    /// Bytes of those blobs, and of what killed processes left half-written.
    pub bytes: u64,
    /// Was the store in use, so that nothing was removed?
    pub busy: bool,
}

impl Store {
    /// Removes blobs that no entry of `index.json` and none of `keep` leads to, and what killed processes left.
    ///
    /// It does not wait: while anyone has a [`Lease`], it removes nothing and says so. A manifest's `subject` is not
    /// followed. A platform that was not pulled is no error.
    ///
    /// # Errors
    ///
    /// `index.json` or a manifest that is needed cannot be read: then nothing is removed. Or a file cannot be removed.
    pub fn collect_garbage(&self, keep: &[Digest]) -> Result<Freed, StoreError> {
        let Some(_whole) = Lease::whole(self)? else {
            return Ok(Freed {
                busy: true,
                ..Freed::default()
            });
        };
        let needed = self.needed(keep)?;
        let mut freed = Freed::default();
        self.sweep(INGEST, &mut |entry| {
            let bytes = entry.metadata()?.len();
            layout::remove_entry(entry)?;
            freed.bytes = freed.bytes.saturating_add(bytes);
            Ok(())
        })?;
        for algorithm in ["sha256", "sha512"] {
            self.sweep(&format!("{BLOBS}/{algorithm}"), &mut |entry| {
                let name = entry.file_name();
                let digest = name
                    .to_str()
                    .and_then(|hex| Digest::parse(&format!("{algorithm}:{hex}")).ok());
                // What is named otherwise is not a blob, and not ours. Nor is a folder, which a check tells of.
                if digest.is_some_and(|digest| !needed.contains(&digest))
                    && !entry.file_type()?.is_dir()
                {
                    let bytes = entry.metadata()?.len();
                    entry.remove_file()?;
                    freed.blobs = freed.blobs.saturating_add(1);
                    freed.bytes = freed.bytes.saturating_add(bytes);
                }
                Ok(())
            })?;
        }
        Ok(freed)
    }

    /// Reads every blob and removes those whose bytes do not have their digest: they are of no use, and keep the right ones
    /// from being fetched. Returns their digests.
    ///
    /// # Errors
    ///
    /// A blob cannot be read or removed.
    pub fn discard_damaged(&self) -> Result<Vec<Digest>, StoreError> {
        let mut damaged = Vec::new();
        for algorithm in ["sha256", "sha512"] {
            self.sweep(&format!("{BLOBS}/{algorithm}"), &mut |entry| {
                let name = entry.file_name();
                let hex = name.to_str().unwrap_or_default();
                let Ok(digest) = Digest::parse(&format!("{algorithm}:{hex}")) else {
                    return Ok(());
                };
                let is_dir = entry.file_type()?.is_dir();
                if is_dir || !self.is_whole(&digest).map_err(io::Error::other)? {
                    layout::remove_entry(entry)?;
                    damaged.push(digest);
                }
                Ok(())
            })?;
        }
        Ok(damaged)
    }

    /// Do the blob's bytes have its digest? One that is gone meanwhile is not damaged.
    fn is_whole(&self, digest: &Digest) -> Result<bool, StoreError> {
        let mut reader = match self.open_blob(digest) {
            Err(StoreError::Missing { .. }) => return Ok(true),
            opened => opened?,
        };
        match io::copy(&mut reader, &mut io::sink()) {
            Ok(_) => Ok(true),
            Err(error) => match store_error(error, || self.path(layout::blob_path(digest))) {
                StoreError::WrongDigest { .. } | StoreError::WrongSize { .. } => Ok(false),
                error => Err(error),
            },
        }
    }

    /// Calls `visit` for each entry of a directory that may be absent.
    fn sweep(
        &self,
        directory: &str,
        visit: &mut dyn FnMut(&DirEntry) -> io::Result<()>,
    ) -> Result<(), StoreError> {
        let path = || self.path(directory);
        let entries = match self.dir().read_dir(directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            read => read.context("listing", path)?,
        };
        for entry in entries {
            let entry = entry.context("listing", path)?;
            visit(&entry).context("removing", || {
                self.path(Path::new(directory).join(entry.file_name()))
            })?;
        }
        Ok(())
    }

    /// Returns every blob that is led to. It errs on the side of keeping: whatever looks like a descriptor is one.
    fn needed(&self, keep: &[Digest]) -> Result<HashSet<Digest>, StoreError> {
        let index = self.read_index()?;
        let mut found: Vec<Link> = keep
            .iter()
            .map(|digest| Link {
                digest: digest.clone(),
                reading: Reading::IfItIsJson,
            })
            .collect();
        for entry in index.entries() {
            links(entry, &mut found);
        }
        let mut needed = HashSet::new();
        // Each blob is read at most once, so that a cycle or a deep chain ends.
        let mut read = HashSet::new();
        while let Some(link) = found.pop() {
            needed.insert(link.digest.clone());
            if link.reading == Reading::No || !read.insert(link.digest.clone()) {
                continue;
            }
            let Some(size) = self.blob_size(&link.digest)? else {
                continue;
            };
            let must_be_json = link.reading == Reading::Must;
            if !must_be_json && size > Limits::MANIFEST {
                continue;
            }
            let bytes = self.read_blob(&link.digest, Limits::MANIFEST)?;
            match serde_json::from_slice::<Value>(&bytes) {
                Ok(value) => links(&value, &mut found),
                Err(source) if must_be_json => {
                    return Err(StoreError::Image {
                        digest: link.digest.to_string(),
                        source: crate::image::ImageError::Json {
                            kind: "manifest",
                            source,
                        },
                    });
                }
                Err(_) => {}
            }
        }
        Ok(needed)
    }
}

#[derive(Debug)]
struct Link {
    digest: Digest,
    reading: Reading,
}

/// Can a blob name others?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// A config or layer cannot.
    No,
    /// Its media type is unknown, or not given.
    IfItIsJson,
    /// It is a manifest or an index. If that cannot be read, then nothing may be removed.
    Must,
}

/// Collects the descriptors within a JSON value, at any depth, so that documents of kinds unknown to us count as well.
fn links(value: &Value, found: &mut Vec<Link>) {
    match value {
        Value::Object(object) => {
            let text = |field: &str| object.get(field).and_then(Value::as_str);
            if let Some(Ok(digest)) = text("digest").map(Digest::parse) {
                let reading = match Kind::of(text("mediaType").unwrap_or_default()) {
                    Kind::Index | Kind::Manifest => Reading::Must,
                    Kind::Other => Reading::IfItIsJson,
                    _ => Reading::No,
                };
                found.push(Link { digest, reading });
            }
            for (field, value) in object {
                if field != "subject" {
                    links(value, found);
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| links(value, found)),
        _ => {}
    }
}
