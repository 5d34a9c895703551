//! Names: entries of `index.json`.
//!
//! An entry has a name if its annotation `org.opencontainers.image.ref.name` is a reference in canonical form with a tag
//! or a digest. One that we keep without a name says only when that was. Entries of other tools have other names, or none:
//! they are kept as they are, and never shown.

use std::io::{ErrorKind, Read as _};

use serde_json::{Value, json};

use super::error::{Context as _, StoreError};
use super::layout::INDEX;
use super::{Store, lock, restore, temporary};
use crate::digest::Digest;
use crate::image::{Descriptor, Document, Limits, canonical_json, descriptor};
use crate::reference::Reference;

/// Annotation that holds the name: the image layout's own.
pub(super) const NAME: &str = "org.opencontainers.image.ref.name";
/// Annotation that tells when the name was set, in seconds since 1970, decimal.
const STORED_AT: &str = "dev.coracle.stored-at";
/// Bytes of `index.json`: some 100,000 names. The bound is for a wrong file in its place.
pub(super) const INDEX_LIMIT: u64 = 64 << 20;

/// An image that has a name.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedImage {
    /// The name, with a tag or a digest.
    pub name: Reference,
    /// The index or manifest that it names.
    pub descriptor: Descriptor,
    /// When the name was set, in seconds since 1970. Unknown for names that another tool set.
    pub stored_at: Option<i64>,
}

impl NamedImage {
    fn of(entry: &Value) -> Option<Self> {
        let name = name_of(entry)?;
        let mut descriptor: Descriptor = serde_json::from_value(entry.clone()).ok()?;
        Digest::of(&descriptor).ok()?;
        let mut annotations = descriptor.annotations().clone().unwrap_or_default();
        annotations.remove(NAME);
        let stored_at = annotations
            .remove(STORED_AT)
            .and_then(|seconds| seconds.parse().ok());
        descriptor.set_annotations(Some(annotations).filter(|rest| !rest.is_empty()));
        Some(Self {
            name,
            descriptor,
            stored_at,
        })
    }
}

/// Returns what an entry is called, for messages, and what it names.
pub(super) fn described(entry: &Value) -> (String, Result<Descriptor, StoreError>) {
    let digest = || entry.get("digest").and_then(Value::as_str);
    let image = name_of(entry).map_or_else(
        || crate::digest::shown(name_text(entry).or_else(digest).unwrap_or("an entry")),
        |name| name.familiar(),
    );
    let descriptor = serde_json::from_value(entry.clone()).map_err(|source| StoreError::Image {
        digest: crate::digest::shown(digest().unwrap_or("an entry")),
        source: crate::image::ImageError::Json {
            kind: "the entry in index.json",
            source,
        },
    });
    (image, descriptor)
}

/// An image that is kept, with or without a name.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredImage {
    /// The name, with a tag or a digest.
    pub name: Option<Reference>,
    /// The index or manifest.
    pub descriptor: Descriptor,
    /// When it was named or kept, in seconds since 1970. Unknown for names that another tool set.
    pub stored_at: Option<i64>,
}

impl StoredImage {
    fn of(entry: &Value) -> Option<Self> {
        NamedImage::of(entry)
            .map(Self::from)
            .or_else(|| Self::unnamed(entry))
    }

    fn unnamed(entry: &Value) -> Option<Self> {
        let annotations = entry.get("annotations")?;
        if annotations.get(NAME).is_some() {
            return None;
        }
        let stored_at = annotations.get(STORED_AT)?.as_str()?.parse().ok();
        let mut descriptor: Descriptor = serde_json::from_value(entry.clone()).ok()?;
        Digest::of(&descriptor).ok()?;
        let mut annotations = descriptor.annotations().clone().unwrap_or_default();
        annotations.remove(STORED_AT);
        descriptor.set_annotations(Some(annotations).filter(|rest| !rest.is_empty()));
        Some(Self {
            name: None,
            descriptor,
            stored_at,
        })
    }
}

impl From<NamedImage> for StoredImage {
    fn from(image: NamedImage) -> Self {
        Self {
            name: Some(image.name),
            descriptor: image.descriptor,
            stored_at: image.stored_at,
        }
    }
}

fn name_text(entry: &Value) -> Option<&str> {
    entry.get("annotations")?.get(NAME)?.as_str()
}

fn name_of(entry: &Value) -> Option<Reference> {
    let text = name_text(entry)?;
    let name = Reference::parse(text).ok()?;
    let is_whole = name.tag().is_some() || name.digest().is_some();
    (is_whole && name.to_string() == text).then_some(name)
}

impl Store {
    /// Returns all names, in the order in which they were first set.
    ///
    /// # Errors
    ///
    /// `index.json` cannot be read.
    pub fn names(&self) -> Result<Vec<NamedImage>, StoreError> {
        let index = self.read_index()?;
        Ok(index.entries().iter().filter_map(NamedImage::of).collect())
    }

    /// Returns all images that are kept, those without a name included, in the order in which they came.
    ///
    /// # Errors
    ///
    /// `index.json` cannot be read.
    pub fn images(&self) -> Result<Vec<StoredImage>, StoreError> {
        let index = self.read_index()?;
        Ok(index.entries().iter().filter_map(StoredImage::of).collect())
    }

    /// Finds what a reference names: by its digest if it has one, else by its exact name, with `latest` for a missing tag.
    ///
    /// # Errors
    ///
    /// `index.json`, or a blob that has the digest, cannot be read.
    pub fn resolve(&self, reference: &Reference) -> Result<Option<Descriptor>, StoreError> {
        let reference = reference.clone().or_latest();
        let index = self.read_index()?;
        let Some(digest) = reference.digest() else {
            // Texts are compared, not references: only the canonical text is a name, and parsing all would be slower.
            let text = reference.to_string();
            let entry = index
                .entries()
                .iter()
                .find(|entry| name_text(entry) == Some(&text));
            return Ok(entry.and_then(NamedImage::of).map(|image| image.descriptor));
        };
        let named = index
            .entries()
            .iter()
            .filter_map(NamedImage::of)
            .find(|image| Digest::of(&image.descriptor).as_ref() == Ok(digest));
        match named {
            Some(image) => Ok(Some(image.descriptor)),
            None => self.describe(digest),
        }
    }

    /// Describes a manifest or index that is in the store, named or not, such as one image of an index.
    ///
    /// # Errors
    ///
    /// The blob cannot be read.
    pub fn describe(&self, digest: &Digest) -> Result<Option<Descriptor>, StoreError> {
        match self.blob_size(digest)? {
            Some(size) if size <= Limits::MANIFEST => {
                let bytes = self.read_blob(digest, Limits::MANIFEST)?;
                let described = Document::detect(&bytes).ok();
                Ok(described.map(|(_, media_type)| descriptor(&media_type, digest, size)))
            }
            _ => Ok(None),
        }
    }

    /// Finds images as people name them: by reference, or by the start of an image ID.
    ///
    /// An ID is the digest of a config, a manifest or an index. A name wins over an ID that looks the same. Several names
    /// may have the same ID, and several images the same start: what that means, the caller decides.
    ///
    /// # Errors
    ///
    /// `index.json` cannot be read.
    pub fn find(&self, text: &str) -> Result<Vec<StoredImage>, StoreError> {
        let images = self.images()?;
        if let Ok(reference) = Reference::parse(text).map(Reference::or_latest) {
            let found: Vec<StoredImage> = images
                .iter()
                .filter(|image| is_named(image, &reference))
                .cloned()
                .collect();
            if !found.is_empty() {
                return Ok(found);
            }
        }
        let Some(start) = id_start(text) else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        for image in images {
            // A damaged image has no ID, and must not hide the others.
            if self.has_id(&image.descriptor, start).unwrap_or(false) {
                found.push(image);
            }
        }
        Ok(found)
    }

    /// Does the image, or one that its index lists, have an ID with this start?
    fn has_id(&self, descriptor: &Descriptor, start: &str) -> Result<bool, StoreError> {
        let matches = |descriptor: &Descriptor| {
            Digest::of(descriptor).is_ok_and(|digest| digest.hex().starts_with(start))
        };
        if matches(descriptor) {
            return Ok(true);
        }
        let reachable = self.manifests(descriptor)?;
        Ok(reachable.manifests.iter().any(matches) || reachable.configs.iter().any(matches))
    }

    /// Gives a name to an index or manifest, in place of what had the name before.
    ///
    /// Readers of the names see the old state or the new one. `now` is in seconds since 1970.
    ///
    /// # Errors
    ///
    /// The name has neither tag nor digest, the blob is not in the store, or `index.json` cannot be read or replaced.
    pub fn set_name(
        &self,
        name: &Reference,
        descriptor: &Descriptor,
        now: i64,
    ) -> Result<(), StoreError> {
        if name.tag().is_none() && name.digest().is_none() {
            return Err(StoreError::Unnamed {
                name: name.to_string(),
            });
        }
        let _lease = self.lease()?;
        let digest = Digest::of(descriptor)?;
        if !self.has_blob(&digest, descriptor.size())? {
            return Err(StoreError::Missing {
                digest,
                root: self.root().to_owned(),
            });
        }
        let text = name.to_string();
        let mut annotations = descriptor.annotations().clone().unwrap_or_default();
        annotations.insert(NAME.to_owned(), text.clone());
        annotations.insert(STORED_AT.to_owned(), now.to_string());
        let mut named = descriptor.clone();
        named.set_annotations(Some(annotations));
        let entry = json!(named);

        let _lock = lock::exclusive(self.dir(), self.root())?;
        let mut index = self.read_index()?;
        let place = index
            .entries()
            .iter()
            .position(|old| name_text(old) == Some(&text));
        let entries = index.entries_mut();
        entries.retain(|old| {
            // What gets a name is not kept without one as well.
            let is_unnamed = StoredImage::unnamed(old)
                .is_some_and(|old| Digest::of(&old.descriptor).as_ref() == Ok(&digest));
            name_text(old) != Some(&text) && !is_unnamed
        });
        entries.insert(place.unwrap_or(entries.len()).min(entries.len()), entry);
        self.write_index(&index)
    }

    /// Keeps an index or manifest without a name, unless it is kept already.
    ///
    /// # Errors
    ///
    /// The blob is not in the store, or `index.json` cannot be read or replaced.
    pub fn keep_unnamed(&self, descriptor: &Descriptor, now: i64) -> Result<(), StoreError> {
        let _lease = self.lease()?;
        let digest = Digest::of(descriptor)?;
        if !self.has_blob(&digest, descriptor.size())? {
            return Err(StoreError::Missing {
                digest,
                root: self.root().to_owned(),
            });
        }
        let mut annotations = descriptor.annotations().clone().unwrap_or_default();
        annotations.insert(STORED_AT.to_owned(), now.to_string());
        let mut kept = descriptor.clone();
        kept.set_annotations(Some(annotations));

        let _lock = lock::exclusive(self.dir(), self.root())?;
        let mut index = self.read_index()?;
        let same = |entry: &Value| {
            StoredImage::of(entry)
                .is_some_and(|old| Digest::of(&old.descriptor) == Ok(digest.clone()))
        };
        if index.entries().iter().any(same) {
            return Ok(());
        }
        index.entries_mut().push(json!(kept));
        self.write_index(&index)
    }

    /// Gives up an image that is kept without a name, and tells whether it was.
    ///
    /// # Errors
    ///
    /// `index.json` cannot be read or replaced.
    pub fn remove_unnamed(&self, digest: &Digest) -> Result<bool, StoreError> {
        let _lease = self.lease()?;
        let _lock = lock::exclusive(self.dir(), self.root())?;
        let mut index = self.read_index()?;
        let before = index.entries().len();
        index.entries_mut().retain(|entry| {
            StoredImage::unnamed(entry)
                .is_none_or(|image| Digest::of(&image.descriptor).as_ref() != Ok(digest))
        });
        if index.entries().len() == before {
            return Ok(false);
        }
        self.write_index(&index)?;
        Ok(true)
    }

    /// Takes a name away, and tells whether it was there. The blobs stay until garbage is collected.
    ///
    /// # Errors
    ///
    /// `index.json` cannot be read or replaced.
    pub fn remove_name(&self, name: &Reference) -> Result<bool, StoreError> {
        if name.tag().is_none() && name.digest().is_none() {
            // Such an entry is another tool's.
            return Ok(false);
        }
        let _lease = self.lease()?;
        let _lock = lock::exclusive(self.dir(), self.root())?;
        let mut index = self.read_index()?;
        let before = index.entries().len();
        let text = name.to_string();
        index
            .entries_mut()
            .retain(|entry| name_text(entry) != Some(&text));
        if index.entries().len() == before {
            return Ok(false);
        }
        self.write_index(&index)?;
        Ok(true)
    }

    /// Reads `index.json` without a lock: it is only ever replaced as a whole.
    pub(super) fn read_index(&self) -> Result<LayoutIndex, StoreError> {
        let damaged = |problem: String| StoreError::DamagedIndex {
            path: self.path(INDEX),
            problem,
        };
        let file = match self.dir().open(INDEX) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(damaged("it is gone".to_owned()));
            }
            opened => opened.context("opening", || self.path(INDEX))?,
        };
        // A dozen names, in one call: `read_to_end` begins with 32 bytes otherwise.
        let mut text = Vec::with_capacity(8 << 10);
        file.take(INDEX_LIMIT + 1)
            .read_to_end(&mut text)
            .context("reading", || self.path(INDEX))?;
        if text.len() as u64 > INDEX_LIMIT {
            return Err(damaged(format!("it has more than {INDEX_LIMIT} bytes")));
        }
        let value: Value =
            serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        LayoutIndex::new(value).map_err(damaged)
    }

    pub(super) fn write_index(&self, index: &LayoutIndex) -> Result<(), StoreError> {
        restore::keep_previous(self);
        temporary::replace(
            self.dir(),
            self.root(),
            INDEX,
            &canonical_json(&index.to_value()),
        )
    }
}

/// `index.json` as it is: nothing that another tool wrote there may get lost.
#[derive(Debug)]
pub(super) struct LayoutIndex {
    /// Everything but the entries.
    head: serde_json::Map<String, Value>,
    entries: Vec<Value>,
}

impl LayoutIndex {
    /// One without names.
    pub(super) fn empty() -> Self {
        let head = [
            ("schemaVersion".to_owned(), json!(2)),
            ("mediaType".to_owned(), json!(crate::media_type::OCI_INDEX)),
        ];
        Self {
            head: head.into_iter().collect(),
            entries: Vec::new(),
        }
    }

    pub(super) fn new(value: Value) -> Result<Self, String> {
        let Value::Object(mut head) = value else {
            return Err("it is not a JSON object".to_owned());
        };
        if head.get("schemaVersion").and_then(Value::as_u64) != Some(2) {
            return Err("its schemaVersion is not 2".to_owned());
        }
        match head.remove("manifests") {
            Some(Value::Array(entries)) => Ok(Self { head, entries }),
            // Go writes this for a list that was never made.
            Some(Value::Null) => Ok(Self {
                head,
                entries: Vec::new(),
            }),
            _ => Err("it has no list \"manifests\"".to_owned()),
        }
    }

    pub(super) fn entries(&self) -> &[Value] {
        &self.entries
    }

    pub(super) fn entries_mut(&mut self) -> &mut Vec<Value> {
        &mut self.entries
    }

    fn to_value(&self) -> Value {
        let mut object = self.head.clone();
        object.insert("manifests".to_owned(), Value::Array(self.entries.clone()));
        Value::Object(object)
    }
}

/// Is it this name? A digest is compared with the image's own: `hello@sha256:…` is every tag of `hello` with that digest.
fn is_named(image: &StoredImage, reference: &Reference) -> bool {
    let Some(name) = &image.name else {
        return false;
    };
    match reference.digest() {
        None => name == reference,
        Some(digest) => {
            name.name() == reference.name() && Digest::of(&image.descriptor).as_ref() == Ok(digest)
        }
    }
}

/// Returns the hexadecimal digits of what may be the start of an ID. One is enough, as in Docker: a name comes first anyway.
fn id_start(text: &str) -> Option<&str> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    let is_hex = hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    (!hex.is_empty() && is_hex).then_some(hex)
}
