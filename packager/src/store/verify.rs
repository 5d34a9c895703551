//! Checks a whole store against itself, and puts right what can be.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::error::{Context as _, StoreError};
use super::layout::{self, BLOBS, INGEST};
use super::lock::Lease;
use super::reader::store_error;
use super::{Store, names, restore};
use crate::digest::Digest;
use crate::image::Descriptor;

/// Threads that hash blobs: more than this only wait for the disk.
const MAX_THREADS: usize = 8;

/// Something in the store that is not as it should be.
#[derive(Debug)]
#[non_exhaustive]
pub enum Damage {
    /// `index.json` cannot be read, so no image has a name. All blobs are kept until it can.
    Names(StoreError),
    /// A blob does not have the bytes that its digest says, or cannot be read.
    Blob {
        /// The blob, as its file is named.
        digest: Digest,
        /// What is wrong with it.
        source: StoreError,
    },
    /// A name leads to a blob that is not there, or not with the size that its manifest says.
    Absent {
        /// The image's name, or the digest of an entry without one.
        image: String,
        /// The blob.
        digest: String,
        /// Bytes that it should have.
        size: u64,
    },
    /// A name leads to a manifest or index that cannot be understood.
    Document {
        /// The image's name, or the digest of an entry without one.
        image: String,
        /// What is wrong.
        source: StoreError,
    },
}

/// What reading all blobs has shown.
#[derive(Debug, Default)]
pub struct VerifiedBlobs {
    /// What is wrong.
    pub damages: Vec<Damage>,
    /// Blobs that were read, from the first byte to the last.
    pub blobs: u64,
    /// Bytes of those blobs.
    pub bytes: u64,
    /// Files that killed processes have left half-written. Empty while anyone uses the store: they may be that one's.
    pub leftovers: Vec<PathBuf>,
    /// Files among the blobs that are none: nobody's business but theirs who put them there.
    pub strangers: Vec<PathBuf>,
}

/// What following all names has shown.
#[derive(Debug, Default)]
pub struct VerifiedNames {
    /// What is wrong.
    pub damages: Vec<Damage>,
    /// Entries of `index.json`.
    pub names: usize,
    /// Which images need a blob, by the blob's digest.
    pub users: BTreeMap<String, BTreeSet<String>>,
}

/// How names were found again.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct RestoredNames {
    /// Names of the last good copy of `index.json` whose blobs are there.
    pub restored: Vec<String>,
    /// Images that nothing named, under the names which they have been given.
    pub given: Vec<String>,
    /// Names of the last good copy whose blobs are gone.
    pub lost: Vec<String>,
}

impl Store {
    /// Reads every blob.
    ///
    /// Takes a lease: nothing is collected meanwhile, and others may go on.
    ///
    /// # Errors
    ///
    /// A directory cannot be listed, or a lock cannot be taken. What is wrong with the contents is no error but a [`Damage`].
    pub fn verify_blobs(&self) -> Result<VerifiedBlobs, StoreError> {
        let mut verified = VerifiedBlobs::default();
        if let Some(_whole) = Lease::whole(self)? {
            verified.leftovers = self.files(INGEST)?;
        }
        let _lease = self.lease()?;
        let mut digests = Vec::new();
        for algorithm in ["sha256", "sha512"] {
            for path in self.files(&format!("{BLOBS}/{algorithm}"))? {
                let hex = path.file_name().and_then(|name| name.to_str());
                let digest = hex.and_then(|hex| Digest::parse(&format!("{algorithm}:{hex}")).ok());
                match digest {
                    Some(digest) => digests.push(digest),
                    None => verified.strangers.push(path),
                }
            }
        }
        for (digest, outcome) in self.read_all(&digests) {
            match outcome {
                Ok(bytes) => {
                    verified.blobs += 1;
                    verified.bytes = verified.bytes.saturating_add(bytes);
                }
                // Nothing is collected while we hold the lease, but somebody may put a damaged one right.
                Err(StoreError::Missing { .. }) => {}
                Err(source) => verified.damages.push(Damage::Blob { digest, source }),
            }
        }
        Ok(verified)
    }

    /// Follows every name to all of its blobs, and checks that they are there with their sizes.
    ///
    /// # Errors
    ///
    /// A lock cannot be taken. What is wrong with the contents is no error but a [`Damage`].
    pub fn verify_names(&self) -> Result<VerifiedNames, StoreError> {
        let _lease = self.lease()?;
        let mut verified = VerifiedNames::default();
        let index = match self.read_index() {
            Ok(index) => index,
            Err(error) => {
                verified.damages.push(Damage::Names(error));
                return Ok(verified);
            }
        };
        verified.names = index.entries().len();
        for entry in index.entries() {
            let (image, descriptor) = names::described(entry);
            match descriptor {
                Ok(descriptor) => self.follow(&image, &descriptor, &mut verified),
                Err(source) => verified.damages.push(Damage::Document { image, source }),
            }
        }
        Ok(verified)
    }

    /// Makes `index.json` anew where it cannot be read: from its last good copy, without the names whose blobs are gone. Images
    /// that nothing names then are given names, so that they are not taken for garbage. Does nothing where it can be read.
    ///
    /// # Errors
    ///
    /// The file system fails.
    pub fn restore_names(&self) -> Result<Option<RestoredNames>, StoreError> {
        let _lease = self.lease()?;
        restore::restore(self)
    }

    /// Removes what killed processes left half-written, unless the store is in use. Returns whether it was removed.
    ///
    /// # Errors
    ///
    /// A file cannot be removed.
    pub fn sweep_leftovers(&self) -> Result<bool, StoreError> {
        let Some(_whole) = Lease::whole(self)? else {
            return Ok(false);
        };
        for path in self.files(INGEST)? {
            let removed = match path.is_dir() {
                true => std::fs::remove_dir_all(&path),
                false => std::fs::remove_file(&path),
            };
            match removed {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                removed => removed.context("removing", || path)?,
            }
        }
        Ok(true)
    }

    /// Removes a blob whose bytes are wrong, or a folder in its place, so that the right one can be fetched. Checks once more
    /// before it does.
    ///
    /// # Errors
    ///
    /// It cannot be read or removed.
    pub fn discard_blob(&self, digest: &Digest) -> Result<bool, StoreError> {
        let path = layout::blob_path(digest);
        if self.read_through(digest).is_ok() {
            return Ok(false);
        }
        let removed = match self.is_folder(&path) {
            true => self.dir().remove_dir_all(&path),
            false => self.dir().remove_file(&path),
        };
        match removed {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            removed => removed
                .map(|()| true)
                .context("removing", || self.path(&path)),
        }
    }

    fn is_folder(&self, path: &Path) -> bool {
        let found = self.dir().symlink_metadata(path);
        found.is_ok_and(|found| found.is_dir())
    }

    /// Follows one name to all of its blobs.
    fn follow(&self, image: &str, descriptor: &Descriptor, verified: &mut VerifiedNames) {
        let mut uses = |descriptor: &Descriptor| {
            let users = verified.users.entry(descriptor.digest().to_string());
            users.or_default().insert(image.to_owned());
        };
        uses(descriptor);
        let damages = &mut verified.damages;
        let document = |source| Damage::Document {
            image: image.to_owned(),
            source,
        };
        let found = match self.manifests(descriptor) {
            Ok(found) => found,
            Err(StoreError::Missing { .. } | StoreError::WrongSize { .. }) => {
                return damages.push(absent(image, descriptor));
            }
            // Reading all blobs shows that one.
            Err(StoreError::WrongDigest { .. }) => return,
            Err(source) => return damages.push(document(source)),
        };
        let blobs = found.configs.iter().chain(&found.layers);
        found.manifests.iter().chain(blobs.clone()).for_each(uses);
        // A platform that was not pulled is absent by right; an image of which nothing is there is not.
        if found.configs.is_empty()
            && let Some(first) = found.absent.first()
        {
            damages.push(absent(image, first));
        }
        for blob in blobs {
            let size = Digest::of(blob)
                .map_err(StoreError::from)
                .and_then(|digest| self.blob_size(&digest));
            match size {
                Ok(Some(size)) if size == blob.size() => {}
                Ok(_) => damages.push(absent(image, blob)),
                Err(source) => damages.push(document(source)),
            }
        }
    }

    /// Reads blobs on several threads; the results are in the order of `digests`.
    fn read_all(&self, digests: &[Digest]) -> Vec<(Digest, Result<u64, StoreError>)> {
        let next = AtomicUsize::new(0);
        let results = Mutex::new(BTreeMap::new());
        let threads = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            for _ in 0..threads.min(MAX_THREADS) {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let Some(digest) = digests.get(number) else {
                            break;
                        };
                        let outcome = (digest.clone(), self.read_through(digest));
                        if let Ok(mut results) = results.lock() {
                            results.insert(number, outcome);
                        }
                    }
                });
            }
        });
        let results = results.into_inner().unwrap_or_default();
        results.into_values().collect()
    }

    /// Reads a blob to its end, and returns its size.
    pub(super) fn read_through(&self, digest: &Digest) -> Result<u64, StoreError> {
        let mut reader = self.open_blob(digest)?;
        io::copy(&mut reader, &mut io::sink())
            .map_err(|error| store_error(error, || self.path(layout::blob_path(digest))))
    }

    /// Lists the files of a directory that may be absent.
    pub(super) fn files(&self, directory: &str) -> Result<Vec<PathBuf>, StoreError> {
        let path = || self.path(directory);
        let entries = match self.dir().read_dir(directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            read => read.context("listing", path)?,
        };
        let mut files = Vec::new();
        for entry in entries {
            files.push(path().join(entry.context("listing", path)?.file_name()));
        }
        files.sort();
        Ok(files)
    }
}

fn absent(image: &str, descriptor: &Descriptor) -> Damage {
    Damage::Absent {
        image: image.to_owned(),
        digest: descriptor.digest().to_string(),
        size: descriptor.size(),
    }
}
