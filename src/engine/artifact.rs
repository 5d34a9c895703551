//! Images whose program is a layer by itself get a root file system: made once, when they are pulled or loaded.
//!
//! ```text
//! <root>/artifacts/<hex of the manifest>.json    the diff ID of the layer that was made, and the entrypoint
//! ```

use std::borrow::Cow;
use std::fs;
use std::io::{ErrorKind, Read, Write as _};
use std::path::PathBuf;

use coracle_packager::digest::Digest;
use coracle_packager::image::artifact::{self, Content};
use coracle_packager::image::{Image, Limits, Shape};
use coracle_packager::layer::{Attributes, LayerWriter};
use serde::{Deserialize, Serialize};

use super::replace::Replace;
use super::{Engine, Error};

/// Bytes of a record. Ours have some hundreds; an entrypoint is a stranger's.
const LARGEST_RECORD: u64 = 1 << 20;

#[derive(Serialize, Deserialize)]
struct Record {
    diff_id: Digest,
    entrypoint: Vec<String>,
}

impl Engine {
    /// Returns the image with layers of files: itself, or what was made for it, which is packed then.
    ///
    /// # Errors
    ///
    /// If it holds no program, or the file system fails.
    pub(super) fn runnable<'a>(&self, image: &'a Image) -> Result<Cow<'a, Image>, Error> {
        if image.shape() == Shape::TarLayers {
            return Ok(Cow::Borrowed(image));
        }
        if let Some(made) = self.made_for(image)?
            && self.layers.prepared(&made)?.is_some()
        {
            return Ok(Cow::Owned(made));
        }
        self.make_root(image).map(Cow::Owned)
    }

    /// Returns what was made for an artifact before, whether or not it is still packed.
    pub(super) fn made_for(&self, image: &Image) -> Result<Option<Image>, Error> {
        let path = self.artifact_record(image)?;
        let file = match fs::File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|source| Error::File {
                doing: "opening",
                path: path.clone(),
                source,
            })?,
        };
        let mut text = Vec::new();
        // What cannot be read is made again.
        let read = file.take(LARGEST_RECORD).read_to_end(&mut text);
        let record = read
            .ok()
            .and_then(|_| serde_json::from_slice::<Record>(&text).ok());
        Ok(record.map(|record| artifact::with_layer(image, &record.diff_id, &record.entrypoint)))
    }

    /// Forgets what was made for artifacts that are not here any more.
    pub(super) fn keep_artifacts(&self, manifests: &[Digest]) {
        let entries = fs::read_dir(self.root.join("artifacts"))
            .into_iter()
            .flatten();
        for entry in entries.filter_map(Result::ok) {
            let path = entry.path();
            let hex = path.file_stem().and_then(|stem| stem.to_str());
            if !hex.is_some_and(|hex| manifests.iter().any(|digest| digest.hex() == hex)) {
                // One that stays is of no use and no harm; the next collection tries again.
                drop(fs::remove_file(path));
            }
        }
    }

    fn make_root(&self, image: &Image) -> Result<Image, Error> {
        let _leases = (self.store.lease()?, self.layers.lease()?);
        let lock = match artifact::lock_file(image) {
            Some(lock) => Some(self.store.read_blob(&Digest::of(lock)?, Limits::MANIFEST)?),
            None => None,
        };
        let root = artifact::root(image, lock.as_deref())?;
        let attributes = Attributes {
            mode: 0o644,
            ..Attributes::default()
        };
        let mut writer = LayerWriter::new();
        for file in &root.files {
            let path = file.path.as_bytes();
            match &file.content {
                Content::Bytes(bytes) => writer.add_bytes(path, &attributes, bytes)?,
                Content::Blob(digest, size) => {
                    let open = || -> std::io::Result<Box<dyn Read>> {
                        let blob = self.store.open_blob(digest);
                        Ok(Box::new(blob.map_err(std::io::Error::other)?))
                    };
                    writer.add_file(path, &attributes, *size, Box::new(open))?;
                }
            }
        }
        let diff_id = writer.finish_packed(&self.layers)?;
        let made = artifact::with_layer(image, &diff_id, &root.entrypoint);
        self.layers.prepare(&self.store, &made)?;
        self.record_artifact(
            image,
            &Record {
                diff_id,
                entrypoint: root.entrypoint,
            },
        )?;
        Ok(made)
    }

    fn record_artifact(&self, image: &Image, record: &Record) -> Result<(), Error> {
        let path = self.artifact_record(image)?;
        let failed = |doing| {
            let path = path.clone();
            move |source| Error::File {
                doing,
                path,
                source,
            }
        };
        let folder = self.root.join("artifacts");
        fs::create_dir_all(&folder).map_err(failed("creating the folder of"))?;
        let text = serde_json::to_vec(record)
            .map_err(std::io::Error::from)
            .map_err(failed("writing"))?;
        let mut file = Replace::create(&path)?;
        file.file.write_all(&text).map_err(failed("writing"))?;
        file.finish()
    }

    fn artifact_record(&self, image: &Image) -> Result<PathBuf, Error> {
        let name = format!("{}.json", image.digest()?.hex());
        Ok(self.root.join("artifacts").join(name))
    }
}
