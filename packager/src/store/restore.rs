//! Finds names again after `index.json` was damaged.

use std::collections::{BTreeMap, HashSet};
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use serde_json::{Value, json};

use super::error::{Context as _, StoreError};
use super::layout::{BLOBS, INDEX, PREVIOUS};
use super::names::{INDEX_LIMIT, LayoutIndex, NAME, described};
use super::verify::RestoredNames;
use super::{Store, lock};
use crate::digest::Digest;
use crate::image::{Descriptor, Document, Limits, descriptor};

/// Repository of the names that are given to images whose own name is lost.
const RECOVERED: &str = "localhost/recovered";

/// Keeps the state of `index.json` that is about to be replaced. Costs two calls and no waiting for the disk: both names are of
/// one file, which was synced when it was written.
///
/// A file system without hard links has no such copy.
pub(super) fn keep_previous(store: &Store) {
    // A name in `.ingest`, so that what a killed process leaves is swept.
    let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0);
    let link = format!("{}/{random:016x}", super::layout::INGEST);
    let dir = store.dir();
    if dir.hard_link(INDEX, dir, &link).is_ok() && dir.rename(&link, dir, PREVIOUS).is_err() {
        dir.remove_file(&link).unwrap_or_default();
    }
}

/// Makes `index.json` anew if it cannot be read. The caller holds a lease.
pub(super) fn restore(store: &Store) -> Result<Option<RestoredNames>, StoreError> {
    let _lock = lock::exclusive(store.dir(), store.root())?;
    match store.read_index() {
        Err(StoreError::DamagedIndex { .. }) => {}
        read => return read.map(|_| None),
    }
    let mut restored = RestoredNames::default();
    let mut index = previous(store)?.unwrap_or_else(LayoutIndex::empty);
    let mut named = HashSet::new();
    index.entries_mut().retain(|entry| {
        let (image, descriptor) = described(entry);
        let there = descriptor.is_ok_and(|descriptor| {
            Digest::of(&descriptor).is_ok_and(|digest| {
                let there = store.has_blob(&digest, descriptor.size()).unwrap_or(false);
                named.insert(digest);
                there
            })
        });
        match there {
            true => restored.restored.push(image),
            false => restored.lost.push(image),
        }
        there
    });
    for image in unnamed(store, &named)? {
        let short = Digest::of(&image)?.short().to_owned();
        let name = format!("{RECOVERED}:{short}");
        let mut image = image;
        image.set_annotations(Some([(NAME.to_owned(), name.clone())].into()));
        index.entries_mut().push(json!(image));
        restored.given.push(name);
    }
    store.write_index(&index)?;
    Ok(Some(restored))
}

/// Reads the copy that [`keep_previous`] has kept. `None` where there is none, or it is damaged too.
fn previous(store: &Store) -> Result<Option<LayoutIndex>, StoreError> {
    let path = || store.path(PREVIOUS);
    let file = match store.dir().open(PREVIOUS) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.context("opening", path)?,
    };
    let mut text = Vec::new();
    file.take(INDEX_LIMIT)
        .read_to_end(&mut text)
        .context("reading", path)?;
    let value = serde_json::from_slice::<Value>(&text).ok();
    Ok(value.and_then(|value| LayoutIndex::new(value).ok()))
}

/// Finds the manifests and indexes to which nothing leads.
fn unnamed(store: &Store, named: &HashSet<Digest>) -> Result<Vec<Descriptor>, StoreError> {
    let mut documents = BTreeMap::new();
    let mut led_to = HashSet::new();
    for algorithm in ["sha256", "sha512"] {
        for path in store.files(&format!("{BLOBS}/{algorithm}"))? {
            let hex = path.file_name().and_then(|name| name.to_str());
            let Some(digest) =
                hex.and_then(|hex| Digest::parse(&format!("{algorithm}:{hex}")).ok())
            else {
                continue;
            };
            let Some(document) = document(store, &digest, &path) else {
                continue;
            };
            let (parts, described) = document;
            led_to.extend(parts);
            documents.insert(digest.to_string(), (digest, described));
        }
    }
    let tops = documents.into_values();
    Ok(tops
        .filter(|(digest, _)| !led_to.contains(digest) && !named.contains(digest))
        .map(|(_, described)| described)
        .collect())
}

/// Reads a blob that may be a manifest or an index; `None` if it is neither. Returns which of these it names.
fn document(store: &Store, digest: &Digest, path: &Path) -> Option<(Vec<Digest>, Descriptor)> {
    let size = path.metadata().ok()?.len();
    if size > Limits::MANIFEST {
        return None;
    }
    let bytes = store.read_blob(digest, Limits::MANIFEST).ok()?;
    // Layers are most of what is there, and are no JSON.
    if !bytes.starts_with(b"{") {
        return None;
    }
    let (document, media_type) = Document::detect(&bytes).ok()?;
    let parts = match document {
        Document::Index(index) => index
            .manifests()
            .iter()
            .filter_map(|entry| Digest::of(entry).ok())
            .collect(),
        Document::Manifest(_) => Vec::new(),
    };
    Some((parts, descriptor(&media_type, digest, size)))
}
