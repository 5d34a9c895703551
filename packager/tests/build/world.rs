//! A store and a build context in a temporary directory, and a short way to say what is in an image.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use coracle_packager::build::{
    self, BaseImages, BuildError, BuildEvent, BuildRequest, Built, NoRunner,
};
use coracle_packager::digest::Digest;
use coracle_packager::image::Image;
use coracle_packager::layer::LayerStore;
use coracle_packager::platform::Platform;
use coracle_packager::reference::Reference;
use coracle_packager::store::Store;
use tempfile::TempDir;

/// A store of its own, and a context of its own.
pub(crate) struct World {
    temporary: TempDir,
    pub(crate) store: Store,
    pub(crate) layers: LayerStore,
    bases: Bases,
}

/// Images that FROM can name, by their familiar name.
#[derive(Default)]
struct Bases(HashMap<String, Image>);

impl BaseImages for Bases {
    fn fetch(
        &self,
        reference: &Reference,
        _: Option<&Platform>,
    ) -> Result<Image, Box<dyn Error + Send + Sync>> {
        let image = self.0.get(&reference.familiar());
        image
            .cloned()
            .ok_or_else(|| "there is no such image".into())
    }
}

/// An entry of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: tar::EntryType,
    pub(crate) mode: u32,
    pub(crate) owner: (u64, u64),
    pub(crate) mtime: u64,
    /// Content of a file, target of a link.
    pub(crate) text: String,
}

impl World {
    pub(crate) fn new() -> Self {
        let temporary = TempDir::new().expect("a temporary directory");
        fs::create_dir(temporary.path().join("context")).expect("the context");
        Self {
            store: Store::open(&temporary.path().join("store")).expect("a store"),
            layers: LayerStore::open(&temporary.path().join("layers")).expect("a layer store"),
            bases: Bases::default(),
            temporary,
        }
    }

    /// Makes a world whose context has these files: see [`World::put`].
    pub(crate) fn with(files: &[&str]) -> Self {
        let world = Self::new();
        for file in files {
            world.put(file);
        }
        world
    }

    pub(crate) fn root(&self) -> &Path {
        self.temporary.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root().join("context").join(name)
    }

    /// Puts something into the context: `name` is a file that holds its name, `name=text` one that holds the text,
    /// `name/` a directory, `name->target` a symbolic link.
    pub(crate) fn put(&self, what: &str) {
        if let Some((name, target)) = what.split_once("->") {
            self.parent(name);
            #[cfg(unix)]
            std::os::unix::fs::symlink(target, self.path(name)).expect("a link");
            #[cfg(not(unix))]
            panic!("no links here: {name} {target}");
        } else if let Some(name) = what.strip_suffix('/') {
            fs::create_dir_all(self.path(name)).expect("a directory");
        } else {
            let (name, text) = what.split_once('=').unwrap_or((what, what));
            self.parent(name);
            fs::write(self.path(name), text).expect("a file");
        }
    }

    fn parent(&self, name: &str) {
        let path = self.path(name);
        let parent = path.parent().expect("the context at least");
        fs::create_dir_all(parent).expect("the directory of a file");
    }

    /// Lets FROM find an image.
    pub(crate) fn add_base(&mut self, name: &str, image: Image) {
        self.bases.0.insert(name.to_owned(), image);
    }

    pub(crate) fn request(&self, dockerfile: &str) -> BuildRequest {
        let context = Dir::open_ambient_dir(self.path(""), ambient_authority());
        BuildRequest {
            source_date: 1_700_000_000,
            platform: Some(Platform::wasm()),
            ..BuildRequest::new(context.expect("the context"), dockerfile.to_owned())
        }
    }

    pub(crate) fn run(&self, request: &BuildRequest) -> Result<Built, BuildError> {
        self.run_with(request, &|_| {})
    }

    pub(crate) fn run_with(
        &self,
        request: &BuildRequest,
        progress: &(dyn Fn(BuildEvent) + Sync),
    ) -> Result<Built, BuildError> {
        let runner = &NoRunner;
        build::build(
            request,
            &self.store,
            &self.layers,
            &self.bases,
            runner,
            progress,
        )
    }

    pub(crate) fn try_build(&self, dockerfile: &str) -> Result<Built, BuildError> {
        self.run(&self.request(dockerfile))
    }

    pub(crate) fn build(&self, dockerfile: &str) -> Built {
        match self.try_build(dockerfile) {
            Ok(built) => built,
            Err(error) => panic!("{dockerfile}: {}", chain(&error)),
        }
    }

    /// Builds what must fail, and returns the message with its causes.
    pub(crate) fn refused(&self, dockerfile: &str) -> String {
        match self.try_build(dockerfile) {
            Ok(built) => panic!("{dockerfile} was built: {:?}", self.names(&built)),
            Err(error) => chain(&error),
        }
    }

    /// Reads the layers, base first, from the blobs in the store.
    pub(crate) fn layers_of(&self, built: &Built) -> Vec<BTreeMap<String, Entry>> {
        let layers = built.image.manifest.layers().iter();
        let diff_ids = &built.image.config.rootfs.diff_ids;
        assert_eq!(layers.len(), diff_ids.len());
        layers
            .zip(diff_ids)
            .map(|(layer, diff_id)| {
                let digest = Digest::of(layer).expect("a digest");
                let blob = self.store.read_blob(&digest, 1 << 30).expect("the blob");
                assert_eq!(blob.len() as u64, layer.size());
                let mut tar = Vec::new();
                let mut unpacked = flate2::read::GzDecoder::new(&blob[..]);
                unpacked.read_to_end(&mut tar).expect("gzip");
                assert_eq!(&Digest::sha256_of(&tar), diff_id);
                entries(&tar)
            })
            .collect()
    }

    /// Lists the files of an image: directories with a slash, files with `=` and content, links with `->` and target.
    pub(crate) fn names(&self, built: &Built) -> Vec<String> {
        let mut all = BTreeMap::new();
        for layer in self.layers_of(built) {
            all.extend(layer);
        }
        all.iter()
            .map(|(name, entry)| match entry.kind {
                tar::EntryType::Directory => format!("{name}/"),
                tar::EntryType::Symlink => format!("{name}->{}", entry.text),
                _ => format!("{name}={}", entry.text),
            })
            .collect()
    }
}

fn entries(tar: &[u8]) -> BTreeMap<String, Entry> {
    let mut found = BTreeMap::new();
    let mut archive = tar::Archive::new(tar);
    for entry in archive.entries().expect("a tar archive") {
        let mut entry = entry.expect("an entry");
        let path = entry.path().expect("a path").display().to_string();
        let mut text = String::new();
        entry.read_to_string(&mut text).expect("content");
        if let Some(target) = entry.link_name().expect("a target") {
            text = target.display().to_string();
        }
        let header = entry.header();
        let made = Entry {
            kind: header.entry_type(),
            mode: header.mode().expect("a mode"),
            owner: (
                header.uid().expect("a user"),
                header.gid().expect("a group"),
            ),
            mtime: header.mtime().expect("a time"),
            text,
        };
        let path = path.trim_end_matches('/').to_owned();
        assert!(!path.is_empty() && path != ".", "the root is named");
        assert!(found.insert(path, made).is_none(), "an entry twice");
    }
    found
}

/// An error with its causes, as a front door shows it.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
