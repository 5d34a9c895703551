//! Which images are trusted here: the policy, and what is known of an image's signatures.
//!
//! ```text
//! <root>/trust/<hex of the digest>.json    the signatures of what a name stands for, or that it was made here
//! ```
//!
//! Signatures are kept and not verdicts: a policy that changes is obeyed by what was pulled before.

use std::fs;
use std::io::{ErrorKind, Read, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use coracle_packager::digest::Digest;
use coracle_packager::image::{Descriptor, Image};
use coracle_packager::reference::Reference;
use coracle_packager::sign::{Attached, Signature};
use coracle_packager::store::StoredImage;
use coracle_packager::trust::{Demand, PolicyError, TrustPolicy};
use serde::{Deserialize, Serialize};

use super::replace::Replace;
use super::{Engine, Error};

/// Bytes of a policy or a record that are read: more than either may have.
const LARGEST: u64 = 32 << 20;
/// How old a record must be before it goes with its image: that of a pull is written before the image has its name.
const SHORTEST_LIFE: Duration = Duration::from_secs(3600);

/// Where the policy is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TrustFrom {
    /// There is none: everything is accepted.
    #[default]
    Nowhere,
    /// In this file, which must be there.
    File(PathBuf),
    /// In the first of these that is there; if none is, everything is accepted.
    FirstOf(Vec<PathBuf>),
}

#[derive(Default, Serialize, Deserialize)]
struct Record {
    /// Was it built or imported here? Then nobody else has to vouch for it.
    #[serde(default)]
    made_here: bool,
    #[serde(default)]
    signatures: Vec<Signature>,
}

impl Engine {
    /// Makes the engine obey a policy about images. Without this, all are accepted.
    #[must_use]
    pub fn trusting(mut self, from: TrustFrom) -> Self {
        self.trust = from;
        self
    }

    /// Returns what the policy demands of an image of this name.
    pub(super) fn demand(&self, named: &Reference) -> Result<Option<Demand>, Error> {
        let Some((path, text)) = self.trust.read()? else {
            return Ok(None);
        };
        let named = named.clone().or_latest();
        TrustPolicy::parse(&text)
            .and_then(|policy| policy.demand(&named))
            .map(Some)
            .map_err(|source| Error::TrustPolicy {
                path,
                source: Box::new(source),
            })
    }

    /// Checks that an image here may be run, under the name that was typed. One that was named by its ID may be run if any of
    /// its names may be.
    ///
    /// # Errors
    ///
    /// [`Error::Untrusted`]; [`Error::TrustPolicy`].
    pub fn check_trust(
        &self,
        typed: &str,
        found: &StoredImage,
        image: &Image,
    ) -> Result<(), Error> {
        if self.trust == TrustFrom::Nowhere {
            return Ok(());
        }
        let typed_name = Reference::parse(typed).ok().map(Reference::or_latest);
        if let Some(name) = found
            .name
            .as_ref()
            .filter(|name| typed_name.as_ref() == Some(*name))
        {
            return self.check_named(name, &found.descriptor, image);
        }
        let mut verdict = None;
        for other in self.store.names()? {
            if other.descriptor.digest() == found.descriptor.digest() {
                let judged = self.check_named(&other.name, &found.descriptor, image);
                if judged.is_ok() {
                    return judged;
                }
                verdict.get_or_insert(judged);
            }
        }
        // What has lost its name is judged as what nobody names.
        verdict.unwrap_or_else(|| {
            let unnamed = Reference::parse("localhost/unnamed")?;
            self.check_named(&unnamed, &found.descriptor, image)
        })
    }

    /// Checks an image under one of its names.
    pub(super) fn check_named(
        &self,
        name: &Reference,
        descriptor: &Descriptor,
        image: &Image,
    ) -> Result<(), Error> {
        let Some(demand) = self.demand(name)? else {
            return Ok(());
        };
        if demand.accepts_anything() {
            return Ok(());
        }
        let top = Digest::of(descriptor)?;
        let record = self.trust_record(&top);
        if record.made_here {
            return Ok(());
        }
        let attached = Attached {
            signatures: record.signatures,
            unreadable: Vec::new(),
        };
        demand
            .judge(name, &[top, image.digest()?], &attached)
            .map_err(|source| Error::Untrusted {
                image: name.familiar(),
                source,
            })
    }

    /// Remembers the signatures by which an image was found to be trusted.
    pub(super) fn keep_signatures(&self, top: &Digest, attached: Attached) -> Result<(), Error> {
        if attached.signatures.is_empty() {
            return Ok(());
        }
        let mut record = self.trust_record(top);
        record.signatures = attached.signatures;
        self.write_trust(top, &record)
    }

    /// Remembers that an image was made here, of what was trusted.
    pub(super) fn made_here(&self, descriptor: &Descriptor) -> Result<(), Error> {
        let top = Digest::of(descriptor)?;
        let mut record = self.trust_record(&top);
        if record.made_here {
            return Ok(());
        }
        record.made_here = true;
        self.write_trust(&top, &record)
    }

    /// Forgets what is not here any more.
    pub(super) fn keep_trust(&self, tops: &[Digest]) {
        let entries = fs::read_dir(self.root.join("trust")).into_iter().flatten();
        for entry in entries.filter_map(Result::ok) {
            let path = entry.path();
            let hex = path.file_stem().and_then(|stem| stem.to_str());
            if hex.is_some_and(|hex| tops.iter().any(|digest| digest.hex() == hex)) {
                continue;
            }
            let age = entry.metadata().and_then(|metadata| metadata.modified());
            let age = age.ok().and_then(|time| time.elapsed().ok());
            if age.is_some_and(|age| age > SHORTEST_LIFE) {
                // One that stays is of no use and no harm; the next collection tries again.
                drop(fs::remove_file(path));
            }
        }
    }

    /// Returns what is known of an image: nothing, where it cannot be read.
    fn trust_record(&self, top: &Digest) -> Record {
        let read = read(&self.trust_path(top)).ok();
        read.and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default()
    }

    fn write_trust(&self, top: &Digest, record: &Record) -> Result<(), Error> {
        let path = self.trust_path(top);
        let failed = |source| Error::File {
            doing: "writing",
            path: path.clone(),
            source,
        };
        fs::create_dir_all(self.root.join("trust")).map_err(failed)?;
        let text = serde_json::to_vec(record)
            .map_err(std::io::Error::from)
            .map_err(failed)?;
        let mut file = Replace::create(&path)?;
        file.file.write_all(&text).map_err(failed)?;
        file.finish()
    }

    fn trust_path(&self, top: &Digest) -> PathBuf {
        self.root.join("trust").join(format!("{}.json", top.hex()))
    }
}

impl TrustFrom {
    /// Reads the policy. One that is there and cannot be read is an error: nothing may be weaker for it.
    fn read(&self) -> Result<Option<(PathBuf, Vec<u8>)>, Error> {
        let (paths, is_optional) = match self {
            Self::Nowhere => return Ok(None),
            Self::File(path) => (std::slice::from_ref(path), false),
            Self::FirstOf(paths) => (&paths[..], true),
        };
        for path in paths {
            match read(path) {
                Ok(text) => return Ok(Some((path.clone(), text))),
                Err(error)
                    if is_optional
                        && matches!(
                            error.kind(),
                            ErrorKind::NotFound | ErrorKind::NotADirectory
                        ) => {}
                Err(source) => {
                    return Err(Error::TrustPolicy {
                        path: path.clone(),
                        source: Box::new(PolicyError::Read(source)),
                    });
                }
            }
        }
        Ok(None)
    }
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    fs::File::open(path)?.take(LARGEST).read_to_end(&mut text)?;
    Ok(text)
}
