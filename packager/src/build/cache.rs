//! What steps made before, by what they were made of.
//!
//! A key is the digest of all that decides a step's result: for COPY and ADD the names, modes, owners and contents of what is
//! copied, for RUN the layers below and the command with its surroundings. Times, paths of the host and the order of steps are
//! in no key. An entry that is damaged, or whose layer is gone, is no entry.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::copy::{Content, Entries};
use super::plan::RunAction;
use super::run::RunStep;
use crate::digest::{Digest, Hasher};
use crate::image::descriptor;
use crate::layer::{LayerStore, WrittenLayer, chain_id};
use crate::media_type::OCI_LAYER_GZIP;
use crate::store::Store;

/// Is part of every key, and is to be changed whenever a step's result changes that is made of the same.
const VERSION: &str = "coracle step 1";

/// Bytes of an entry; ours have some 250.
const MAX_ENTRY: u64 = 4096;

/// How long an entry is kept that nobody uses.
const UNUSED: Duration = Duration::from_secs(14 * 24 * 3600);

/// Bytes of the layers, compressed, that all entries together keep. The least recently used go first.
const MAX_BYTES: u64 = 20 << 30;

/// The steps of earlier builds. Several processes may use one.
#[derive(Clone, Debug)]
pub struct StepCache {
    root: PathBuf,
}

/// What the cache needs of the stores.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Layer blobs.
    pub blobs: Vec<Digest>,
    /// Packed layers.
    pub diff_ids: Vec<Digest>,
}

/// What a step made.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Known {
    /// A layer.
    Layer(Box<WrittenLayer>),
    /// Nothing.
    Nothing,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    layer: Option<Layer>,
    /// Does the layer stay though no image has it? That of the last stage's COPY is as good as its image.
    keep: bool,
}

#[derive(Serialize, Deserialize)]
struct Layer {
    diff_id: Digest,
    blob: Digest,
    size: u64,
    tar_bytes: u64,
}

impl StepCache {
    /// Uses a directory, which is made when something is kept.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// Returns what a step made, if the stores still have it.
    pub(super) fn get(&self, key: &Digest, store: &Store, layers: &LayerStore) -> Option<Known> {
        let path = self.path(key);
        let entry = read(&path)?;
        let known = match entry.layer {
            None => Known::Nothing,
            Some(layer) => {
                let has = store.has_blob(&layer.blob, layer.size).unwrap_or(false)
                    && layers.has_layer(&layer.diff_id).unwrap_or(false);
                if !has {
                    return None;
                }
                Known::Layer(Box::new(WrittenLayer {
                    diff_id: layer.diff_id,
                    descriptor: descriptor(OCI_LAYER_GZIP, &layer.blob, layer.size),
                    tar_bytes: layer.tar_bytes,
                }))
            }
        };
        // Used again. If that cannot be noted, the entry only goes earlier.
        let file = fs::File::options().append(true).open(&path);
        drop(file.and_then(|file| file.set_modified(SystemTime::now())));
        Some(known)
    }

    /// Remembers what a step made, which is in the stores.
    /// With `keep`, its layer stays though no image has it.
    pub(super) fn put(
        &self,
        key: &Digest,
        layer: Option<&WrittenLayer>,
        keep: bool,
    ) -> io::Result<()> {
        let layer = match layer {
            None => None,
            Some(layer) => Some(Layer {
                diff_id: layer.diff_id.clone(),
                blob: Digest::of(&layer.descriptor).map_err(io::Error::other)?,
                size: layer.descriptor.size(),
                tar_bytes: layer.tar_bytes,
            }),
        };
        fs::create_dir_all(&self.root)?;
        let path = self.path(key);
        let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
        let mut file = fs::File::create(&temporary)?;
        file.write_all(&serde_json::to_vec(&Entry { layer, keep })?)?;
        fs::rename(&temporary, &path)
    }

    /// Returns what must not be collected, after the entries went that nobody has used for long or that are too many.
    ///
    /// # Errors
    ///
    /// The directory cannot be listed.
    pub fn keep(&self) -> io::Result<Kept> {
        let mut entries = Vec::new();
        let listing = match fs::read_dir(&self.root) {
            Ok(listing) => listing,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Kept::default()),
            Err(error) => return Err(error),
        };
        let now = SystemTime::now();
        for file in listing {
            let path = file?.path();
            let used = fs::metadata(&path).and_then(|metadata| metadata.modified());
            let age = now.duration_since(used.unwrap_or(now)).unwrap_or_default();
            match read(&path) {
                Some(entry) if age < UNUSED => entries.push((age, path, entry)),
                // Old, damaged, or half-written by a process that was killed.
                _ if age > Duration::from_secs(60) => drop(fs::remove_file(&path)),
                _ => {}
            }
        }
        entries.sort_by_key(|(age, ..)| *age);
        let mut kept = Kept::default();
        let mut bytes = 0u64;
        for (_, path, entry) in entries {
            let Some(layer) = entry.layer.filter(|_| entry.keep) else {
                continue;
            };
            bytes = bytes.saturating_add(layer.size);
            if bytes > MAX_BYTES {
                drop(fs::remove_file(&path));
                continue;
            }
            kept.blobs.push(layer.blob);
            kept.diff_ids.push(layer.diff_id);
        }
        Ok(kept)
    }

    /// Forgets everything.
    ///
    /// # Errors
    ///
    /// Something cannot be removed.
    pub fn clear(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.root) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn path(&self, key: &Digest) -> PathBuf {
        self.root.join(key.hex())
    }
}

fn read(path: &Path) -> Option<Entry> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).ok()?;
    file.take(MAX_ENTRY).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Collects what decides a step's result, each part with its length, so that two lists of parts are never the same bytes.
struct Key(Hasher);

impl Key {
    fn new(kind: &str) -> Self {
        let mut key = Self(Hasher::sha256());
        key.add(VERSION.as_bytes());
        key.add(kind.as_bytes());
        key
    }

    fn add(&mut self, part: &[u8]) {
        self.0.update(&(part.len() as u64).to_le_bytes());
        self.0.update(part);
    }

    fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }
}

/// Returns the key of a layer of these entries: all of them are read.
pub(super) fn of_entries(entries: &Entries<'_>, mtime: i64) -> io::Result<Digest> {
    let mut key = Key::new("entries");
    key.add(&mtime.to_le_bytes());
    let mut buffer = vec![0; 64 << 10];
    for (path, entry) in entries {
        key.add(path);
        key.number(entry.mode.into());
        key.number(entry.owner.0.into());
        key.number(entry.owner.1.into());
        key.number(entry.xattrs.len() as u64);
        for (name, value) in &entry.xattrs {
            key.add(name);
            key.add(value);
        }
        match &entry.content {
            Content::Directory => key.add(b"directory"),
            Content::Symlink(target) => {
                key.add(b"link");
                key.add(target);
            }
            Content::File { place, size } => {
                key.add(b"file");
                key.number(*size);
                let mut content = Hasher::sha256();
                let mut reader = place.open()?;
                loop {
                    match reader.read(&mut buffer) {
                        Ok(0) => break,
                        Ok(len) => content.update(buffer.get(..len).unwrap_or_default()),
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(error),
                    }
                }
                key.add(content.finish().to_string().as_bytes());
            }
        }
    }
    Ok(key.0.finish())
}

/// Returns the key of a RUN: what is below it, what runs, and what it sees. Secrets are in no key, as with BuildKit.
pub(super) fn of_run(step: &RunStep<'_>, source_date: i64) -> Digest {
    let RunAction {
        argv,
        shell_form,
        env,
        workdir,
        user,
        mounts,
        network,
        insecure,
        script,
    } = step.action;
    let mut key = Key::new("run");
    key.add(&source_date.to_le_bytes());
    key.add(chain_id(step.diff_ids).to_string().as_bytes());
    key.add(step.platform.to_string().as_bytes());
    for list in [argv, env] {
        key.number(list.len() as u64);
        list.iter().for_each(|item| key.add(item.as_bytes()));
    }
    key.add(workdir.as_bytes());
    key.add(user.as_bytes());
    key.add(format!("{shell_form} {network:?} {insecure} {script:?}").as_bytes());
    for (mount, rootfs) in mounts.iter().zip(step.mounts) {
        key.add(format!("{mount:?}").as_bytes());
        if let Some(rootfs) = rootfs {
            key.add(rootfs.chain_id.to_string().as_bytes());
        }
    }
    key.0.finish()
}
