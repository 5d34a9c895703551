//! Packed layers on disk.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::digest::Digest;
use crate::image::Image;
use crate::store::Store;

use super::encode::Encoder;
use super::error::{IndexError, LayerError};
use super::index::TreeIndex;
use super::limits::{Limits, MAX_INDEX_BYTES};
use super::merge::merge;
use super::pack::{Expected, pack};
use super::parallel;
use super::temp::{TempDir, create_directories, create_file};
use super::turn::Turn;

/// The uncompressed archive of a layer.
pub(super) const TAR: &str = "layer.tar";
/// The index beside it, and the merged index of a chain. The format's version is in the name, so that programs of two versions
/// can share a store, and each writes what it misses.
pub(super) const INDEX: &str = "index.v1";
/// The blob that this layer was written to, if it was written here.
pub(super) const BLOB: &str = "blob.json";
/// Directory of the locks for single blobs.
pub(super) const TURNS: &str = "turns";
/// Shared by all who use what is packed; taken alone by garbage collection.
const IN_USE: &str = "lock";
/// Shared by all who pack; taken alone by who takes away.
const PACKING: &str = "packing";
/// The locks of the whole store.
pub(super) const LOCKS: [&str; 2] = [IN_USE, PACKING];

/// Layers in packed form: `<algorithm>/<diff ID>/` holds the uncompressed tar of a layer and its index, `chains/<chain ID>/` the
/// merged index of an image's layers, `tmp/` what is being written, `turns/` a lock for each blob that is being packed.
///
/// Nothing in the first two is ever changed, and nothing appears there before it is complete and on disk, so several processes
/// may use one store, and may be killed at any time. Everything is open to its owner only.
///
/// Cloning is cheap.
#[derive(Clone, Debug)]
pub struct LayerStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    limits: Limits,
}

/// The root file system of an image, ready to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rootfs {
    /// File with the merged [`TreeIndex`].
    pub index: PathBuf,
    /// The uncompressed tar of each layer, base first, in the order of [`super::Node::layer`].
    pub layers: Vec<PathBuf>,
    /// Names the stack of layers.
    pub chain_id: Digest,
}

/// Keeps packed layers from being collected until it is dropped.
#[derive(Debug)]
pub struct LayerLease {
    _lock: File,
}

/// A directory that is removed when it is dropped; what a killed process leaves is swept later.
#[derive(Debug)]
pub(crate) struct Scratch {
    directory: TempDir,
    number: AtomicU64,
    _lease: LayerLease,
}

impl Scratch {
    /// Returns the path of a file or directory that is not there yet.
    pub(crate) fn path(&self) -> PathBuf {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        self.directory.file(&number.to_string())
    }

    /// Makes a file, for its owner only.
    pub(crate) fn file(&self) -> Result<(PathBuf, File), LayerError> {
        let path = self.path();
        let file = create_file(&path)?;
        Ok((path, file))
    }
}

impl LayerStore {
    /// Opens the store in `root`, which is made if it is absent.
    ///
    /// # Errors
    ///
    /// The directory cannot be made.
    pub fn open(root: &Path) -> Result<Self, LayerError> {
        Self::with_limits(root, Limits::default())
    }

    /// Opens a store with other ceilings than the default ones.
    ///
    /// # Errors
    ///
    /// The directory cannot be made.
    pub fn with_limits(root: &Path, limits: Limits) -> Result<Self, LayerError> {
        create_directories(root)?;
        let inner = Inner {
            root: root.to_path_buf(),
            limits,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Returns the directory of the store.
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    /// Returns the ceilings for layers.
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// Returns the image's root file system if everything of it is packed.
    ///
    /// This is the short way of starting a container: one call to the system for each layer, and nothing is read.
    ///
    /// # Errors
    ///
    /// The image has no layers of files, or the store cannot be searched.
    pub fn prepared(&self, image: &Image) -> Result<Option<Rootfs>, LayerError> {
        // Checks that the image is made of tar layers, and how many.
        image.tar_layers()?;
        let rootfs = self.rootfs(&image.config.rootfs.diff_ids);
        for file in rootfs.layers.iter().chain([&rootfs.index]) {
            if !exists(file)? {
                return Ok(None);
            }
        }
        Ok(Some(rootfs))
    }

    /// Packs what is not packed yet of the image's layers, and returns its root file system.
    ///
    /// Each layer is decompressed once, and must have the diff ID that the image's config says. Layers that are there are not read
    /// again. Safe in several processes at a time: one packs a layer, the others wait for it. Makes no threads.
    ///
    /// # Errors
    ///
    /// A blob is missing, damaged, not the layer that the config names, no usable tar archive, or beyond a limit. What was complete
    /// before the error stays.
    pub fn prepare(&self, store: &Store, image: &Image) -> Result<Rootfs, LayerError> {
        self.prepare_on(1, store, image)
    }

    /// As [`LayerStore::prepare`], several layers at a time where there are processors for them.
    ///
    /// # Errors
    ///
    /// As [`LayerStore::prepare`].
    pub fn prepare_in_parallel(&self, store: &Store, image: &Image) -> Result<Rootfs, LayerError> {
        self.prepare_on(parallel::threads(), store, image)
    }

    fn prepare_on(
        &self,
        threads: usize,
        store: &Store,
        image: &Image,
    ) -> Result<Rootfs, LayerError> {
        if let Some(rootfs) = self.prepared(image)? {
            return Ok(rootfs);
        }
        self.sweep()?;
        let lease = self.lease()?;
        let _packing = self.packing()?;
        let layers = image.tar_layers()?;
        parallel::for_each(threads, &layers, |layer| {
            let _turn = self.turn(&layer.digest)?;
            if self.has_layer(layer.diff_id)? {
                return Ok(());
            }
            let expected = Expected {
                compression: layer.compression,
                diff_id: layer.diff_id,
            };
            pack(self, store, &layer.digest, Some(expected), &lease).map(drop)
        })?;
        let rootfs = self.rootfs(&image.config.rootfs.diff_ids);
        if !exists(&rootfs.index)? {
            self.write_chain(&rootfs, &image.config.rootfs.diff_ids, &lease)?;
        }
        Ok(rootfs)
    }

    /// Returns the root file system of layers that are all packed, as those of a stage that is being built are.
    ///
    /// # Errors
    ///
    /// A layer is not packed, or its index is damaged.
    pub(crate) fn stack(&self, diff_ids: &[Digest]) -> Result<Rootfs, LayerError> {
        let lease = self.lease()?;
        let rootfs = self.rootfs(diff_ids);
        if !exists(&rootfs.index)? {
            self.write_chain(&rootfs, diff_ids, &lease)?;
        }
        Ok(rootfs)
    }

    /// Makes a directory for what a build needs for a while.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub(crate) fn scratch(&self) -> Result<Scratch, LayerError> {
        let lease = self.lease()?;
        let directory = self.temp_dir(&lease)?;
        Ok(Scratch {
            directory,
            number: AtomicU64::new(0),
            _lease: lease,
        })
    }

    /// Packs a layer before it is known of which image it is, such as one that has just arrived: [`LayerStore::prepare`] then finds
    /// it. Returns its diff ID, which nobody has compared with an image's config.
    ///
    /// # Errors
    ///
    /// The blob is missing, no usable tar archive, or beyond a limit.
    pub fn pack_ahead(&self, store: &Store, blob: &Digest) -> Result<Digest, LayerError> {
        let lease = self.lease()?;
        let _packing = self.packing()?;
        let mut turn = self.turn(blob)?;
        // Another process that fetched the same blob may have packed it.
        if let Some(diff_id) = turn.packed_as()
            && self.has_layer(&diff_id)?
        {
            return Ok(diff_id);
        }
        let diff_id = pack(self, store, blob, None, &lease)?;
        turn.set_packed_as(&diff_id);
        Ok(diff_id)
    }

    /// Keeps all packed layers until the lease is dropped.
    ///
    /// # Errors
    ///
    /// The lock file cannot be used.
    pub fn lease(&self) -> Result<LayerLease, LayerError> {
        let lock = self.lock(IN_USE, File::lock_shared)?;
        Ok(LayerLease { _lock: lock })
    }

    /// Locks the store against all leases, or returns `None` if there is one.
    pub(super) fn try_exclusive(&self) -> Result<Option<File>, LayerError> {
        let (path, file) = self.lock_file(IN_USE)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(LayerError::io("locking", &path)(error)),
        }
    }

    /// Makes a directory for what is being written. A lease must be held until it is published, or a sweep may take it.
    pub(super) fn temp_dir(&self, _lease: &LayerLease) -> Result<TempDir, LayerError> {
        TempDir::new(&self.temp_root())
    }

    pub(super) fn temp_root(&self) -> PathBuf {
        self.root().join("tmp")
    }

    pub(super) fn chains_root(&self) -> PathBuf {
        self.root().join("chains")
    }

    /// Directory of a packed layer.
    pub(super) fn layer_dir(&self, diff_id: &Digest) -> PathBuf {
        self.root().join(diff_id.algorithm()).join(diff_id.hex())
    }

    pub(crate) fn has_layer(&self, diff_id: &Digest) -> Result<bool, LayerError> {
        let dir = self.layer_dir(diff_id);
        Ok(exists(&dir.join(INDEX))? && exists(&dir.join(TAR))?)
    }

    /// Removes the packed form of an image, so that the next [`LayerStore::prepare`] makes it anew from the blobs. Who has it
    /// open keeps it.
    ///
    /// # Errors
    ///
    /// Something cannot be removed.
    pub fn discard(&self, image: &Image) -> Result<(), LayerError> {
        let lease = self.lease()?;
        let _packing = self.not_packing()?;
        let rootfs = self.rootfs(&image.config.rootfs.diff_ids);
        let files = [&rootfs.index].into_iter().chain(&rootfs.layers);
        for directory in files.filter_map(|file| file.parent()) {
            self.set_aside(directory, &lease)?;
        }
        Ok(())
    }

    pub(super) fn discard_directory(&self, directory: &Path) -> Result<(), LayerError> {
        let lease = self.lease()?;
        let _packing = self.not_packing()?;
        self.set_aside(directory, &lease)
    }

    /// Removes a directory if it is there: out of sight first, so that nobody sees half of it.
    pub(super) fn set_aside(&self, directory: &Path, lease: &LayerLease) -> Result<(), LayerError> {
        let aside = self.temp_dir(lease)?;
        match fs::rename(directory, aside.file("removed")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(LayerError::io("removing", directory)(error))
            }
            _ => Ok(()),
        }
    }

    fn rootfs(&self, diff_ids: &[Digest]) -> Rootfs {
        let chain_id = chain_id(diff_ids);
        let tar = |diff_id| self.layer_dir(diff_id).join(TAR);
        Rootfs {
            index: self.chains_root().join(chain_id.hex()).join(INDEX),
            layers: diff_ids.iter().map(tar).collect(),
            chain_id,
        }
    }

    fn write_chain(
        &self,
        rootfs: &Rootfs,
        diff_ids: &[Digest],
        lease: &LayerLease,
    ) -> Result<(), LayerError> {
        let mut layers = Vec::with_capacity(diff_ids.len());
        for diff_id in diff_ids {
            layers.push(read_index(&self.layer_dir(diff_id).join(INDEX))?);
        }
        let encoder = merge(&layers, diff_ids, self.limits().names);
        let encoder = encoder.map_err(|source| LayerError::Merge {
            chain_id: rootfs.chain_id.clone(),
            source,
        })?;
        drop(layers);
        let temp = self.temp_dir(lease)?;
        write_index(encoder, &temp.file(INDEX))?;
        temp.publish_file(INDEX, &rootfs.index)
    }

    /// Says that this process packs: nobody takes away what it finds packed meanwhile.
    fn packing(&self) -> Result<File, LayerError> {
        self.lock(PACKING, File::lock_shared)
    }

    /// Waits until nobody packs.
    fn not_packing(&self) -> Result<File, LayerError> {
        self.lock(PACKING, File::lock)
    }

    /// Waits until nobody else packs this blob. A lease must be held.
    pub(super) fn turn(&self, blob: &Digest) -> Result<Turn, LayerError> {
        create_directories(&self.turns_root())?;
        let name = format!("{TURNS}/{}", blob.hex());
        Ok(Turn::new(self.lock(&name, File::lock)?))
    }

    /// Where there is a file for each blob that was packed, to be locked meanwhile.
    pub(super) fn turns_root(&self) -> PathBuf {
        self.root().join(TURNS)
    }

    fn lock(
        &self,
        name: &str,
        lock: impl FnOnce(&File) -> io::Result<()>,
    ) -> Result<File, LayerError> {
        let (path, file) = self.lock_file(name)?;
        lock(&file).map_err(LayerError::io("locking", &path))?;
        Ok(file)
    }

    fn lock_file(&self, name: &str) -> Result<(PathBuf, File), LayerError> {
        let path = self.root().join(name);
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path);
        let file = file.map_err(LayerError::io("opening", &path))?;
        Ok((path, file))
    }
}

impl Rootfs {
    /// Reads the merged index into memory, for use where it cannot be mapped.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is no index.
    pub fn read_index(&self) -> Result<TreeIndex<Vec<u8>>, LayerError> {
        read_index(&self.index)
    }
}

/// Returns the name of a stack of layers (OCI image specification, config.md, "Layer ChainID").
///
/// The specification leaves the name of no layers open; here it is the digest of no bytes.
pub fn chain_id(diff_ids: &[Digest]) -> Digest {
    let mut layers = diff_ids.iter();
    let Some(base) = layers.next() else {
        return Digest::sha256_of(b"");
    };
    layers.fold(base.clone(), |chain, diff_id| {
        Digest::sha256_of(format!("{chain} {diff_id}").as_bytes())
    })
}

/// Writes an index to a new file, and syncs it.
pub(super) fn write_index(encoder: Encoder, path: &Path) -> Result<(), LayerError> {
    let mut writer = BufWriter::new(create_file(path)?);
    encoder
        .write(&mut writer)
        .and_then(|()| writer.flush())
        .and_then(|()| writer.get_ref().sync_all())
        .map_err(LayerError::io("writing", path))
}

pub(super) fn read_index(path: &Path) -> Result<TreeIndex<Vec<u8>>, LayerError> {
    let reading = |error| LayerError::io("reading", path)(error);
    let file = File::open(path).map_err(reading)?;
    let len = file.metadata().map_err(reading)?.len();
    if len > MAX_INDEX_BYTES {
        return Err(LayerError::Index {
            path: path.to_path_buf(),
            source: IndexError::TooLarge {
                what: "bytes",
                limit: MAX_INDEX_BYTES,
            },
        });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or(0));
    file.take(MAX_INDEX_BYTES)
        .read_to_end(&mut bytes)
        .map_err(reading)?;
    TreeIndex::open(bytes).map_err(|source| LayerError::Index {
        path: path.to_path_buf(),
        source,
    })
}

pub(super) fn exists(path: &Path) -> Result<bool, LayerError> {
    match fs::exists(path) {
        // A file stands where a folder of ours should.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(false),
        found => found.map_err(LayerError::io("searching", path)),
    }
}
