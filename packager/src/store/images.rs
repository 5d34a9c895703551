//! From a descriptor to an image, and to everything that belongs to it.

use std::collections::HashSet;

use super::Store;
use super::error::StoreError;
use crate::digest::Digest;
use crate::image::select::Selection;
use crate::image::{
    Descriptor, Document, Image, ImageError, Limits, checked_digest, has_image_config, select,
};
use crate::media_type::Kind;
use crate::platform::Platform;

/// Blobs of one image that are followed: every entry of an index with dozens of layers each.
const REACHABLE_LIMIT: usize = 20_000;

/// Everything that a descriptor leads to, each blob once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reachable {
    /// Manifests and indexes that are in the store, each after all that it names; the descriptor itself is last.
    pub manifests: Vec<Descriptor>,
    /// Configs of those manifests.
    pub configs: Vec<Descriptor>,
    /// Layers of those manifests.
    pub layers: Vec<Descriptor>,
    /// Manifests and indexes that an index names and the store does not have: platforms that were not pulled.
    pub absent: Vec<Descriptor>,
}

impl Store {
    /// Reads the image that a descriptor leads to, and chooses where it is an index.
    ///
    /// # Errors
    ///
    /// A blob is missing, larger than [`Limits`] allow or not what it should be, or there is no image for the platform.
    pub fn image(
        &self,
        descriptor: &Descriptor,
        wanted: Option<&Platform>,
        host: &Platform,
    ) -> Result<Image, StoreError> {
        let mut descriptor = descriptor.clone();
        for _ in 0..=Limits::NESTING {
            match self.document(&descriptor)? {
                Document::Index(index) => {
                    let choice = select::choose(&index, wanted, host).map_err(|source| {
                        StoreError::Select {
                            digest: descriptor.digest().to_string(),
                            source,
                        }
                    })?;
                    descriptor = choice.descriptor;
                }
                Document::Manifest(manifest) => {
                    let at = |source| image_error(&descriptor, source);
                    let config = if has_image_config(&manifest) {
                        let digest = checked_digest(manifest.config(), || "the config".to_owned())
                            .map_err(at)?;
                        self.read_described(manifest.config(), &digest, Limits::CONFIG)?
                    } else {
                        Vec::new()
                    };
                    let image = Image::new(descriptor.clone(), manifest, &config).map_err(at)?;
                    return check_platform(image, wanted);
                }
            }
        }
        Err(nested_too_deep(&descriptor))
    }

    /// Says how [`Store::image`] chooses. That nothing fits is an answer as well.
    ///
    /// # Errors
    ///
    /// An index on the way is missing or damaged, or they are nested too deep.
    pub fn select(
        &self,
        descriptor: &Descriptor,
        wanted: Option<&Platform>,
        host: &Platform,
    ) -> Result<Selection, StoreError> {
        let mut selection = Selection::default();
        let mut descriptor = descriptor.clone();
        for _ in 0..=Limits::NESTING {
            let Document::Index(index) = self.document(&descriptor)? else {
                return Ok(selection);
            };
            let digest = descriptor.digest().to_string();
            let step = select::explain(&digest, &index, wanted, host);
            let next = step.outcome.as_ref().ok();
            let next = next.map(|choice| choice.descriptor.clone());
            selection.steps.push(step);
            match next {
                Some(next) => descriptor = next,
                None => return Ok(selection),
            }
        }
        Err(nested_too_deep(&descriptor))
    }

    /// Reads a manifest or index.
    ///
    /// # Errors
    ///
    /// It is missing, has another size than described, or is not what its media type says.
    pub fn document(&self, descriptor: &Descriptor) -> Result<Document, StoreError> {
        let at = |source| image_error(descriptor, source);
        let media_type = descriptor.media_type().as_ref();
        match Kind::of(media_type) {
            Kind::Schema1 => return Err(at(ImageError::Schema1)),
            kind if kind.is_manifest_or_index() => {}
            _ => {
                return Err(at(ImageError::NotAnImage {
                    media_type: crate::digest::shown(media_type),
                }));
            }
        }
        let digest = Digest::of(descriptor)?;
        let bytes = self.read_described(descriptor, &digest, Limits::MANIFEST)?;
        Document::parse(&bytes, media_type).map_err(at)
    }

    fn read_described(
        &self,
        descriptor: &Descriptor,
        digest: &Digest,
        limit: u64,
    ) -> Result<Vec<u8>, StoreError> {
        let bytes = self.read_blob(digest, limit)?;
        let got = bytes.len() as u64;
        if got != descriptor.size() {
            return Err(StoreError::WrongSize {
                digest: digest.clone(),
                got,
                want: descriptor.size(),
            });
        }
        Ok(bytes)
    }

    /// Lists everything that a descriptor leads to, for a push or a search. Layers and configs are not looked at.
    ///
    /// # Errors
    ///
    /// The descriptor's own blob is missing, or a manifest that is there cannot be read.
    pub fn manifests(&self, descriptor: &Descriptor) -> Result<Reachable, StoreError> {
        let mut walk = Walk {
            store: self,
            found: Reachable::default(),
            seen: HashSet::new(),
        };
        walk.visit(descriptor, 0)?;
        Ok(walk.found)
    }
}

struct Walk<'a> {
    store: &'a Store,
    found: Reachable,
    seen: HashSet<Digest>,
}

impl Walk<'_> {
    /// Recursion is as deep as [`Limits::NESTING`].
    fn visit(&mut self, descriptor: &Descriptor, depth: usize) -> Result<(), StoreError> {
        if depth > Limits::NESTING {
            return Err(nested_too_deep(descriptor));
        }
        if !self.is_new(descriptor)? {
            return Ok(());
        }
        let kind = Kind::of(descriptor.media_type().as_ref());
        let digest = Digest::of(descriptor)?;
        let is_part = depth > 0;
        if is_part
            && !(kind.is_manifest_or_index() && self.store.has_blob(&digest, descriptor.size())?)
        {
            self.found.absent.push(descriptor.clone());
            return Ok(());
        }
        match self.store.document(descriptor)? {
            Document::Index(index) => {
                for entry in index.manifests() {
                    self.visit(entry, depth + 1)?;
                }
            }
            Document::Manifest(manifest) => {
                if self.is_new(manifest.config())? {
                    self.found.configs.push(manifest.config().clone());
                }
                for layer in manifest.layers() {
                    if self.is_new(layer)? {
                        self.found.layers.push(layer.clone());
                    }
                }
            }
        }
        self.found.manifests.push(descriptor.clone());
        Ok(())
    }

    fn is_new(&mut self, descriptor: &Descriptor) -> Result<bool, StoreError> {
        if self.seen.len() >= REACHABLE_LIMIT {
            return Err(StoreError::TooManyBlobs {
                digest: descriptor.digest().to_string(),
                limit: REACHABLE_LIMIT,
            });
        }
        Ok(self.seen.insert(Digest::of(descriptor)?))
    }
}

fn image_error(descriptor: &Descriptor, source: ImageError) -> StoreError {
    StoreError::Image {
        digest: descriptor.digest().to_string(),
        source,
    }
}

fn nested_too_deep(descriptor: &Descriptor) -> StoreError {
    StoreError::Nesting {
        digest: descriptor.digest().to_string(),
        limit: Limits::NESTING,
    }
}

/// An index may state no platform for an entry, and a name may lead to a manifest directly: the config has the last word.
fn check_platform(image: Image, wanted: Option<&Platform>) -> Result<Image, StoreError> {
    match wanted {
        Some(want) if has_image_config(&image.manifest) && !image.platform().satisfies(want) => {
            Err(StoreError::Platform {
                digest: image.descriptor.digest().to_string(),
                got: Box::new(image.platform()),
                want: Box::new(want.clone()),
            })
        }
        _ => Ok(image),
    }
}
