//! Checks all packed layers against their names, their indexes and each other.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::digest::{Digest, Hasher};

use super::encode::{Encoder, encode};
use super::error::{LayerError, TarError};
use super::gc::entries;
use super::merge::merge;
use super::scan::scan;
use super::source::Stream;
use super::store::{INDEX, LayerStore, TAR, chain_id, exists, read_index};

/// Something in the layer store that is not as it should be. All of it is made again from the blobs once it is gone.
#[derive(Debug)]
#[non_exhaustive]
pub enum PackedDamage {
    /// The uncompressed archive does not have the digest that its directory is named by, or is no archive.
    Tar {
        /// The layer's directory.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The index of a layer is not the one that its archive gives.
    Index {
        /// The layer's directory.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A merged index is not the one that its layers' indexes give, or a layer of it is gone.
    Chain {
        /// The chain's directory.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

impl PackedDamage {
    /// Returns the directory that has to be made again.
    pub fn path(&self) -> &Path {
        match self {
            Self::Tar { path, .. } | Self::Index { path, .. } | Self::Chain { path, .. } => path,
        }
    }
}

/// What a check of the layer store has seen.
#[derive(Debug, Default)]
pub struct VerifiedLayers {
    /// What is wrong.
    pub damages: Vec<PackedDamage>,
    /// Packed layers that were read, from the first byte to the last.
    pub layers: u64,
    /// Merged indexes.
    pub chains: u64,
    /// Bytes of both.
    pub bytes: u64,
    /// Directories that killed processes have left half-written. Empty while anyone uses the store: they may be that one's.
    pub leftovers: Vec<PathBuf>,
    /// Directories without an index of this version: another version's, which are of no use to this one.
    pub unfinished: Vec<PathBuf>,
}

impl LayerStore {
    /// Reads every packed layer, makes its index anew from the archive, and compares: the same for every merged index.
    ///
    /// Takes a lease: nothing is collected meanwhile, and others may go on.
    ///
    /// # Errors
    ///
    /// A directory cannot be listed, or a lock cannot be taken.
    pub fn verify(&self) -> Result<VerifiedLayers, LayerError> {
        let mut verified = VerifiedLayers::default();
        if let Some(_lock) = self.try_exclusive()? {
            verified.leftovers = entries(&self.temp_root())?;
        }
        let _lease = self.lease()?;
        // Listed before the layers: what a pull adds meanwhile has its layers first, and is not looked at.
        let chains = entries(&self.chains_root())?;
        // Indexes that are right, by diff ID: the merged ones are made of them.
        let mut sound = BTreeMap::new();
        for algorithm in ["sha256", "sha512"] {
            for path in entries(&self.root().join(algorithm))? {
                if !exists(&path.join(INDEX))? || !exists(&path.join(TAR))? {
                    verified.unfinished.push(path);
                    continue;
                }
                verified.layers += 1;
                match self.verify_layer(algorithm, &path) {
                    Ok((diff_id, bytes)) => {
                        verified.bytes = verified.bytes.saturating_add(bytes);
                        sound.insert(diff_id.to_string(), path);
                    }
                    Err(damage) => verified.damages.push(damage),
                }
            }
        }
        for path in chains {
            if !exists(&path.join(INDEX))? {
                verified.unfinished.push(path);
                continue;
            }
            verified.chains += 1;
            match self.verify_chain(&path, &sound) {
                Ok(bytes) => verified.bytes = verified.bytes.saturating_add(bytes),
                Err(problem) => verified.damages.push(PackedDamage::Chain { path, problem }),
            }
        }
        Ok(verified)
    }

    /// Removes one directory of the store, so that it is made again when it is needed. Who has its files open keeps them.
    ///
    /// # Errors
    ///
    /// It cannot be removed.
    pub fn discard_packed(&self, damage: &PackedDamage) -> Result<(), LayerError> {
        self.discard_directory(damage.path())
    }

    fn verify_layer(&self, algorithm: &str, path: &Path) -> Result<(Digest, u64), PackedDamage> {
        let tar_damage = |problem: String| PackedDamage::Tar {
            path: path.to_owned(),
            problem,
        };
        let index_damage = |problem: String| PackedDamage::Index {
            path: path.to_owned(),
            problem,
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let diff_id = Digest::parse(&format!("{algorithm}:{name}"))
            .map_err(|error| tar_damage(error.to_string()))?;
        let file = File::open(path.join(TAR)).map_err(|error| tar_damage(error.to_string()))?;
        let mut source = Stream::new(Hashing {
            file,
            hasher: Hasher::for_digest(&diff_id),
            bytes: 0,
        });
        let scanned = scan(&mut source, self.limits().names).and_then(|tree| {
            let rest = io::copy(&mut source, &mut io::sink());
            rest.map(|_| tree).map_err(|source| TarError::Io {
                position: 0,
                source,
            })
        });
        let tree = match scanned {
            Ok(tree) => tree,
            Err(TarError::Io { source, .. }) => return Err(tar_damage(source.to_string())),
            Err(error) => return Err(tar_damage(error.to_string())),
        };
        let Hashing { hasher, bytes, .. } = source.into_inner();
        let got = hasher.finish();
        if got != diff_id {
            return Err(tar_damage(format!("its bytes have the digest {got}")));
        }
        let encoder = encode(&tree, &diff_id, self.limits().names);
        let encoder = encoder.map_err(|error| index_damage(error.to_string()))?;
        drop(tree);
        let len = compare(encoder, &path.join(INDEX)).map_err(index_damage)?;
        Ok((diff_id, bytes.saturating_add(len)))
    }

    fn verify_chain(&self, path: &Path, sound: &BTreeMap<String, PathBuf>) -> Result<u64, String> {
        let index = read_index(&path.join(INDEX)).map_err(problem)?;
        let mut diff_ids = Vec::new();
        let mut layers = Vec::new();
        for layer in 0..index.layer_count() {
            let text = index.diff_id(layer).map_err(|error| error.to_string())?;
            let diff_id = Digest::parse(text).map_err(|error| error.to_string())?;
            let directory = sound
                .get(text)
                .ok_or_else(|| format!("its layer {diff_id} is gone or damaged"))?;
            layers.push(read_index(&directory.join(INDEX)).map_err(problem)?);
            diff_ids.push(diff_id);
        }
        drop(index);
        let want = chain_id(&diff_ids);
        if path.file_name().and_then(|name| name.to_str()) != Some(want.hex()) {
            return Err(format!("it is the index of the chain {want}"));
        }
        let encoder = merge(&layers, &diff_ids, self.limits().names);
        compare(
            encoder.map_err(|error| error.to_string())?,
            &path.join(INDEX),
        )
    }
}

/// Says in one line what is wrong with an index that cannot be opened.
fn problem(error: LayerError) -> String {
    match error {
        LayerError::Index { source, .. } => source.to_string(),
        LayerError::Io { source, .. } => source.to_string(),
        error => error.to_string(),
    }
}

/// Compares an index with the file that should hold it, and returns its length.
fn compare(encoder: Encoder, path: &Path) -> Result<u64, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let len = file.metadata().map_err(|error| error.to_string())?.len();
    let mut comparison = Comparison {
        file: io::BufReader::new(file),
        position: 0,
    };
    encoder
        .write(&mut comparison)
        .map_err(|error| error.to_string())?;
    match comparison.position == len {
        true => Ok(len),
        false => Err(format!("it has {len} bytes, want {}", comparison.position)),
    }
}

/// Reads an archive and hashes it meanwhile.
struct Hashing {
    file: File,
    hasher: Hasher,
    bytes: u64,
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read(buffer)?;
        self.hasher.update(buffer.get(..len).unwrap_or_default());
        self.bytes = self.bytes.saturating_add(len as u64);
        Ok(len)
    }
}

/// Takes bytes only as long as they are those of the file.
struct Comparison {
    file: io::BufReader<File>,
    position: u64,
}

impl Write for Comparison {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut buffer = [0; 16 << 10];
        let len = bytes.len().min(buffer.len());
        let (want, got) = (&bytes[..len], &mut buffer[..len]);
        self.file.read_exact(got)?;
        match want.iter().zip(got.iter()).position(|(a, b)| a != b) {
            None => {
                self.position += len as u64;
                Ok(len)
            }
            Some(at) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "byte {} is not what its archive says",
                    self.position + at as u64
                ),
            )),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
