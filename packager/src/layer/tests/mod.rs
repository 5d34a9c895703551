//! Tests of layers, with the tools that they share.

mod dialects;
#[cfg(unix)]
mod gnu_tar;
mod hostile;
mod index;
mod killed;
mod mending;
mod merging;
mod racing;
#[cfg(unix)]
mod random_trees;
mod storing;
#[cfg(target_os = "linux")]
mod unpacking;
mod verify;
mod writing;

use std::collections::{BTreeMap, VecDeque};
use std::io::Write;

use flate2::write::GzEncoder;
use oci_spec::image::{ImageManifestBuilder, SCHEMA_VERSION};
use tar::{EntryType, Header};
use tempfile::TempDir;

use super::encode::encode;
use super::scan::scan;
use super::source::{Source, Stream};
use super::{LayerStore, Limits, NodeKind, TarError, TreeIndex};
use crate::digest::Digest;
use crate::image::{Image, ImageConfig, RootFs, canonical_json, descriptor};
use crate::media_type::{OCI_CONFIG, OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, OCI_MANIFEST};
use crate::store::Store;

const NAMES: u32 = 100_000;

/// An archive that is made entry by entry, with whatever a header can say.
#[derive(Default)]
struct Tar(Vec<u8>);

impl Tar {
    fn raw(mut self, header: &mut Header, content: &[u8]) -> Self {
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn entry(self, path: &[u8], kind: EntryType, link: &[u8], content: &[u8]) -> Self {
        let mut header = plain_header(path, kind, content.len() as u64);
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
        self.raw(&mut header, content)
    }

    fn file(self, path: &str, content: &[u8]) -> Self {
        self.entry(path.as_bytes(), EntryType::Regular, b"", content)
    }

    fn dir(self, path: &str, mode: u32) -> Self {
        let mut header = plain_header(path.as_bytes(), EntryType::Directory, 0);
        header.set_mode(mode);
        self.raw(&mut header, b"")
    }

    fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(path.as_bytes(), EntryType::Symlink, target.as_bytes(), b"")
    }

    fn hard_link(self, path: &str, target: &str) -> Self {
        self.entry(path.as_bytes(), EntryType::Link, target.as_bytes(), b"")
    }

    fn pax(self, records: &[(&[u8], &[u8])]) -> Self {
        let mut data = Vec::new();
        for (key, value) in records {
            super::pax::push_record(&mut data, key, value);
        }
        self.entry(b"pax", EntryType::XHeader, b"", &data)
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}

fn plain_header(path: &[u8], kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.as_old_mut().name[..path.len()].copy_from_slice(path);
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header
}

/// A node without what depends on where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    kind: NodeKind,
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: (i64, u32),
    size: u64,
    offset: u64,
    layer: u32,
    link: Vec<u8>,
    inode: u32,
    nlink: u32,
    sha256: Option<[u8; 32]>,
    device: (u32, u32),
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    whiteout: bool,
    opaque: bool,
    implicit: bool,
}

/// Walks over all of an index. The root has the empty path.
fn walk<B: AsRef<[u8]>>(
    index: &TreeIndex<B>,
) -> Result<BTreeMap<Vec<u8>, Seen>, super::IndexError> {
    let mut seen = BTreeMap::new();
    let mut queue = VecDeque::from([(Vec::new(), index.root())]);
    while let Some((path, number)) = queue.pop_front() {
        let node = index.node(number)?;
        if node.kind == NodeKind::Directory {
            for child in index.children(number)? {
                let name = index.node(child)?.name;
                assert_eq!(index.parent(child)?, number);
                let below = match path.is_empty() {
                    true => name.to_vec(),
                    false => [&path[..], b"/", name].concat(),
                };
                queue.push_back((below, child));
            }
        }
        let xattrs = node
            .xattrs
            .map(|pair| pair.map(|(name, value)| (name.to_vec(), value.to_vec())))
            .collect::<Result<_, _>>()?;
        seen.insert(
            path,
            Seen {
                kind: node.kind,
                mode: node.mode,
                uid: node.uid,
                gid: node.gid,
                mtime: (node.mtime_sec, node.mtime_nsec),
                size: node.size,
                offset: node.offset,
                layer: node.layer,
                link: node.link.to_vec(),
                inode: node.inode,
                nlink: node.nlink,
                sha256: node.sha256,
                device: node.device,
                xattrs,
                whiteout: node.whiteout,
                opaque: node.opaque,
                implicit: node.implicit,
            },
        );
    }
    Ok(seen)
}

fn index_of(tar: &[u8]) -> Result<TreeIndex<Vec<u8>>, TarError> {
    let mut source = Stream::new(tar);
    index_from(&mut source)
}

fn index_from<S: Source>(source: &mut S) -> Result<TreeIndex<Vec<u8>>, TarError> {
    let tree = scan(source, NAMES)?;
    let encoder = encode(&tree, &Digest::sha256_of(b""), NAMES).expect("within the limits");
    let mut bytes = Vec::new();
    encoder.write(&mut bytes).expect("memory");
    Ok(TreeIndex::open(bytes).expect("just written"))
}

/// Scans an archive and walks over its index.
fn scanned(tar: &[u8]) -> BTreeMap<Vec<u8>, Seen> {
    walk(&index_of(tar).expect("usable archive")).expect("sound index")
}

fn refused(tar: &[u8]) -> TarError {
    match index_of(tar) {
        Ok(_) => panic!("the archive was taken"),
        Err(error) => error,
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// A layer as it comes from a registry.
#[derive(Clone)]
struct Blob {
    bytes: Vec<u8>,
    media_type: &'static str,
    diff_id: Digest,
}

impl Blob {
    fn gzip(tar: &[u8]) -> Self {
        Self {
            bytes: gzip(tar),
            media_type: OCI_LAYER_GZIP,
            diff_id: Digest::sha256_of(tar),
        }
    }

    fn zstd(tar: &[u8]) -> Self {
        Self {
            bytes: zstd::encode_all(tar, 1).expect("memory"),
            media_type: OCI_LAYER_ZSTD,
            diff_id: Digest::sha256_of(tar),
        }
    }

    fn plain(tar: &[u8]) -> Self {
        Self {
            bytes: tar.to_vec(),
            media_type: OCI_LAYER,
            diff_id: Digest::sha256_of(tar),
        }
    }
}

/// A content store and a layer store of their own.
struct World {
    dir: TempDir,
    store: Store,
    layers: LayerStore,
}

impl World {
    fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    fn with_limits(limits: Limits) -> Self {
        let dir = TempDir::new().expect("temporary directory");
        let store = Store::open(&dir.path().join("store")).expect("new store");
        let layers = LayerStore::with_limits(&dir.path().join("layers"), limits);
        Self {
            store,
            layers: layers.expect("new store"),
            dir,
        }
    }

    fn image(&self, blobs: &[Blob]) -> Image {
        let put = |bytes: &[u8], media_type| {
            let (digest, size) = self.store.put_blob(bytes).expect("store");
            descriptor(media_type, &digest, size)
        };
        let layers = blobs.iter().map(|blob| put(&blob.bytes, blob.media_type));
        let config = canonical_json(&ImageConfig {
            architecture: "wasm".to_owned(),
            os: "wasi".to_owned(),
            rootfs: RootFs::layers(blobs.iter().map(|blob| blob.diff_id.clone()).collect()),
            ..ImageConfig::default()
        });
        let manifest = ImageManifestBuilder::default()
            .schema_version(SCHEMA_VERSION)
            .media_type(OCI_MANIFEST)
            .config(put(&config, OCI_CONFIG))
            .layers(layers.collect::<Vec<_>>())
            .build()
            .expect("complete manifest");
        let descriptor = put(&canonical_json(&manifest), OCI_MANIFEST);
        Image::new(descriptor, manifest, &config).expect("consistent image")
    }

    /// Packs an image, and walks over its merged index.
    fn prepared(&self, blobs: &[Blob]) -> BTreeMap<Vec<u8>, Seen> {
        let rootfs = self.layers.prepare(&self.store, &self.image(blobs));
        let index = rootfs.expect("usable layers").read_index();
        walk(&index.expect("sound index")).expect("sound index")
    }

    /// All files of the layer store, locks excepted.
    fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        let mut queue = vec![self.layers.root().to_path_buf()];
        while let Some(dir) = queue.pop() {
            for entry in std::fs::read_dir(&dir).expect("listing") {
                let path = entry.expect("entry").path();
                let name = path.strip_prefix(self.layers.root()).expect("below");
                match path.is_dir() {
                    true => queue.push(path),
                    false => files.push(name.to_string_lossy().replace('\\', "/")),
                }
            }
        }
        files.retain(|file| file != "lock" && file != "packing" && !file.starts_with("turns/"));
        files.sort();
        files
    }
}
