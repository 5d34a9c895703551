//! Layers as real directories, for containers whose programs the kernel runs.
//!
//! Each layer of an image is unpacked once, into a tree that nobody changes from then on, and containers stack the trees with
//! overlayfs. A tree is made from the packed layer's index, in which no path leads outside, hard links are nodes and the last
//! entry of a name holds; it is filled through descriptors of directories that were made a moment before, so there is no link in
//! it that could be followed.
//!
//! A tree is named by the chain of layers that it ends, as Docker's and containerd's snapshots are: a directory that a layer only implies
//! has the owner and mode which the layers below give it.

mod compare;
mod fill;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::image::Image;
use crate::store::Store;

use super::encode::Encoder;
use super::error::{IndexError, LayerError};
use super::gc::entries;
use super::index::TreeIndex;
use super::merge::merge;
use super::parallel;
use super::store::{INDEX, LayerStore, TAR, chain_id, exists, read_index};
use super::temp::{create_file, sync_directory};

pub use compare::{TreeDamage, VerifiedTrees};
pub use fill::Skipped;

/// Directory of all trees; below it one for each [`TreeForm`].
const TREES: &str = "trees";
/// The files of a layer, in a tree's directory.
const FILES: &str = "fs";
/// What was made there. The format's version is in the name.
const RECORD: &str = "tree.v1";

/// For whom a tree is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TreeForm {
    /// For root: owners as in the image, marks of overlayfs that only root can set.
    Root,
    /// For root of a user namespace: owners as in the image as far as they are mapped, marks of overlayfs that any user can set.
    Mapped,
    /// For a user namespace with one user: all files are its own.
    Single,
}

impl TreeForm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Root, Self::Mapped, Self::Single];

    fn directory(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Mapped => "mapped",
            Self::Single => "single",
        }
    }

    /// Are owners those of the image?
    fn keeps_owners(self) -> bool {
        self != Self::Single
    }

    /// The attribute that hides what lower layers have in a directory (Linux, `Documentation/filesystems/overlayfs.rst`).
    pub(super) fn opaque(self) -> &'static str {
        match self {
            Self::Root => "trusted.overlay.opaque",
            Self::Mapped | Self::Single => "user.overlay.opaque",
        }
    }
}

/// An image's layers as directories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trees {
    /// The directories, topmost layer first, as overlayfs wants them. Never empty: an image without layers has an empty one.
    pub lowers: Vec<PathBuf>,
    /// What of the image could not be made here.
    pub skipped: Skipped,
}

/// What lies beside a tree.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    /// The layer that the tree was made of; none for the empty tree.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    diff_id: Option<String>,
    /// The layers below it, base first.
    below: Vec<String>,
    skipped: Skipped,
}

impl LayerStore {
    /// Returns the image's layers as directories if all of them are there: one small file is read for each layer.
    ///
    /// # Errors
    ///
    /// The image has no layers of files, or the store cannot be searched.
    pub fn unpacked(&self, image: &Image, form: TreeForm) -> Result<Option<Trees>, LayerError> {
        image.tar_layers()?;
        let mut trees = Trees {
            lowers: Vec::new(),
            skipped: Skipped::default(),
        };
        for chain in chains_of(&image.config.rootfs.diff_ids) {
            let directory = self.tree_dir(form, &chain);
            let Some(record) = read_record(&directory)? else {
                return Ok(None);
            };
            trees.skipped.add(record.skipped);
            trees.lowers.push(directory.join(FILES));
        }
        trees.lowers.reverse();
        Ok(Some(trees))
    }

    /// Unpacks what is not unpacked yet of the image's layers; packs them first where that is needed.
    ///
    /// Safe in several processes at a time: one unpacks a layer, the others wait for it. A tree appears whole and synced, or not at
    /// all. May make threads, which have ended when it returns.
    ///
    /// # Errors
    ///
    /// As [`LayerStore::prepare`]; or a file cannot be written.
    pub fn unpack(
        &self,
        store: &Store,
        image: &Image,
        form: TreeForm,
    ) -> Result<Trees, LayerError> {
        if let Some(trees) = self.unpacked(image, form)? {
            return Ok(trees);
        }
        self.prepare_in_parallel(store, image)?;
        let diff_ids = &image.config.rootfs.diff_ids;
        for (at, chain) in chains_of(diff_ids).iter().enumerate() {
            let layers = diff_ids.get(..=at).unwrap_or_default();
            self.unpack_layer(form, chain, layers)?;
        }
        self.unpacked(image, form)?
            .ok_or_else(|| LayerError::Unpack {
                path: self.root().join(TREES),
                source: io::Error::new(
                    io::ErrorKind::NotFound,
                    "a tree was removed while the others were made",
                ),
            })
    }

    /// Makes the tree of the last of `layers`; an empty one if there is none.
    fn unpack_layer(
        &self,
        form: TreeForm,
        chain: &Digest,
        layers: &[Digest],
    ) -> Result<(), LayerError> {
        let target = self.tree_dir(form, chain);
        let lease = self.lease()?;
        let _turn = self.turn(chain)?;
        if read_record(&target)?.is_some() {
            return Ok(());
        }
        self.set_aside(&target, &lease)?;
        let temp = self.temp_dir(&lease)?;
        let files = temp.file(FILES);
        let skipped = match layers.split_last() {
            Some((top, below)) => {
                let source = Source::open(self, top, below)?;
                fill::fill(&files, &source, form, parallel::threads())?
            }
            None => fill::empty(&files)?,
        };
        let record = Record {
            diff_id: layers.last().map(Digest::to_string),
            below: layers
                .iter()
                .rev()
                .skip(1)
                .rev()
                .map(Digest::to_string)
                .collect(),
            skipped,
        };
        write_record(&temp.file(RECORD), &record)?;
        temp.publish(&target, &[FILES, RECORD])
    }

    /// Removes all trees but those of these chains of layers, and those that they are made of. Does nothing while there is a lease.
    /// Returns how many went.
    ///
    /// No container that runs may use one of those that go.
    ///
    /// # Errors
    ///
    /// Something cannot be removed.
    pub fn collect_trees(&self, keep: &[Vec<Digest>]) -> Result<u64, LayerError> {
        let Some(_lock) = self.try_exclusive()? else {
            return Ok(0);
        };
        let keep: Vec<Digest> = keep.iter().flat_map(|layers| chains_of(layers)).collect();
        let temp = self.temp_root();
        let mut removed = 0;
        for form in TreeForm::ALL {
            for tree in entries(&self.root().join(TREES).join(form.directory()))? {
                let name = tree.file_name().and_then(|name| name.to_str());
                if keep.iter().any(|chain| Some(chain.hex()) == name) {
                    continue;
                }
                remove_tree(&tree, &temp)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Removes the trees of an image, so that the next [`LayerStore::unpack`] makes them anew. No container that runs may use them.
    ///
    /// # Errors
    ///
    /// Something cannot be removed.
    pub fn discard_tree(&self, damage: &TreeDamage) -> Result<(), LayerError> {
        self.discard_directory(&damage.path)
    }

    fn tree_dir(&self, form: TreeForm, chain: &Digest) -> PathBuf {
        self.root()
            .join(TREES)
            .join(form.directory())
            .join(chain.hex())
    }
}

/// What one tree is made of.
struct Source {
    /// The layer's own index.
    index: TreeIndex<Vec<u8>>,
    /// Its archive.
    tar: File,
    tar_path: PathBuf,
    /// The layer and all below it, merged: it knows what the layer only implies. `None` where nothing is implied.
    merged: Option<TreeIndex<Vec<u8>>>,
}

impl Source {
    fn open(store: &LayerStore, top: &Digest, below: &[Digest]) -> Result<Self, LayerError> {
        let directory = store.layer_dir(top);
        let index = read_index(&directory.join(INDEX))?;
        let tar_path = directory.join(TAR);
        let tar = File::open(&tar_path).map_err(LayerError::io("opening", &tar_path))?;
        let broken = |source| LayerError::Index {
            path: directory.join(INDEX),
            source,
        };
        let merged = if implies_a_directory(&index).map_err(broken)? {
            let diff_ids: Vec<Digest> = below.iter().chain([top]).cloned().collect();
            let mut layers = Vec::with_capacity(diff_ids.len());
            for diff_id in &diff_ids {
                layers.push(read_index(&store.layer_dir(diff_id).join(INDEX))?);
            }
            let merged = merge(&layers, &diff_ids, store.limits().names).and_then(in_memory);
            Some(merged.map_err(|source| LayerError::Merge {
                chain_id: chain_id(&diff_ids),
                source,
            })?)
        } else {
            None
        };
        Ok(Self {
            index,
            tar,
            tar_path,
            merged,
        })
    }
}

/// Is there a directory below the root that no entry names?
fn implies_a_directory<B: AsRef<[u8]>>(index: &TreeIndex<B>) -> Result<bool, IndexError> {
    for number in 1..index.node_count() {
        if index.node(number)?.implicit {
            return Ok(true);
        }
    }
    Ok(false)
}

fn in_memory(encoder: Encoder) -> Result<TreeIndex<Vec<u8>>, IndexError> {
    let mut bytes = Vec::new();
    encoder
        .write(&mut bytes)
        .map_err(|_| IndexError::TooLarge {
            what: "bytes",
            limit: super::limits::MAX_INDEX_BYTES,
        })?;
    TreeIndex::open(bytes)
}

/// Returns the chain that each layer ends, base first; that of no layers if there are none.
fn chains_of(diff_ids: &[Digest]) -> Vec<Digest> {
    if diff_ids.is_empty() {
        return vec![chain_id(diff_ids)];
    }
    (1..=diff_ids.len())
        .filter_map(|len| diff_ids.get(..len))
        .map(chain_id)
        .collect()
}

/// Longest record that is read, in bytes: some hundred layers below, and more.
const MAX_RECORD_BYTES: u64 = 256 << 10;

/// Reads what a tree's directory says of it. `None` if there is no whole tree.
fn read_record(directory: &Path) -> Result<Option<Record>, LayerError> {
    let path = directory.join(RECORD);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(LayerError::io("opening", &path)(error)),
    };
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, MAX_RECORD_BYTES), &mut bytes)
        .map_err(LayerError::io("reading", &path))?;
    // A record that says nothing is none: the tree is made again.
    Ok(serde_json::from_slice(&bytes).ok())
}

fn write_record(path: &Path, record: &Record) -> Result<(), LayerError> {
    let writing = |error| LayerError::io("writing", path)(error);
    let bytes = serde_json::to_vec(record).map_err(|error| writing(error.into()))?;
    let mut file = create_file(path)?;
    file.write_all(&bytes).map_err(writing)?;
    file.sync_all().map_err(writing)
}

/// Removes a tree, out of sight first.
fn remove_tree(tree: &Path, temp: &Path) -> Result<(), LayerError> {
    let removing = |error| LayerError::io("removing", tree)(error);
    super::temp::create_directories(temp)?;
    let aside = temp.join("removed-tree");
    fs::rename(tree, &aside).map_err(removing)?;
    let parent = tree.parent().unwrap_or(tree);
    sync_directory(parent)?;
    fs::remove_dir_all(&aside).map_err(removing)
}

/// Is there a whole tree in this directory?
fn is_whole(directory: &Path) -> Result<bool, LayerError> {
    Ok(exists(&directory.join(FILES))? && read_record(directory)?.is_some())
}
