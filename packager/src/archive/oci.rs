//! `index.json` of an OCI layout.

use serde_json::{Value, json};

use super::error::ArchiveError;
use super::{INDEX, MARKER, MAX_IMAGES};
use crate::digest::Digest;
use crate::image::{Descriptor, canonical_json};
use crate::media_type::{Kind, OCI_INDEX};
use crate::reference::Reference;

/// The whole name, as containerd, Docker and BuildKit write it.
const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// The name by the layout's specification; some tools write a tag only.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

pub(super) const MARKER_TEXT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// One image that an `index.json` lists.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) name: Option<Reference>,
    /// Without what names it here.
    pub(super) descriptor: Descriptor,
}

/// Checks the layout's marker. Docker archives that are layouts as well all have one.
pub(super) fn check_marker(bytes: Option<&[u8]>) -> Result<(), ArchiveError> {
    let problem = |problem: &str| ArchiveError::List {
        list: MARKER,
        problem: problem.to_owned(),
    };
    let bytes = bytes.ok_or_else(|| problem("it is not there"))?;
    let marker: Value =
        serde_json::from_slice(bytes).map_err(|error| problem(&error.to_string()))?;
    match marker.get("imageLayoutVersion").and_then(Value::as_str) {
        Some("1.0.0") => Ok(()),
        _ => Err(problem("the version is not 1.0.0")),
    }
}

/// Reads the entries that are images. Others, such as a signature's, are passed over.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Entry>, ArchiveError> {
    let problem = |problem: String| ArchiveError::List {
        list: INDEX,
        problem,
    };
    let value: Value = serde_json::from_slice(bytes).map_err(|error| problem(error.to_string()))?;
    if value.get("schemaVersion").and_then(Value::as_u64) != Some(2) {
        return Err(problem("its schemaVersion is not 2".to_owned()));
    }
    let listed = match value.get("manifests") {
        Some(Value::Array(listed)) => listed.as_slice(),
        // Go writes this for a list that was never made.
        Some(Value::Null) => &[],
        _ => return Err(problem("it has no list \"manifests\"".to_owned())),
    };
    if listed.len() > MAX_IMAGES {
        return Err(ArchiveError::TooMany {
            what: format!("images in {INDEX}"),
            limit: MAX_IMAGES as u64,
        });
    }
    let mut entries = Vec::new();
    for value in listed {
        let mut descriptor: Descriptor =
            serde_json::from_value(value.clone()).map_err(|error| problem(error.to_string()))?;
        let kind = Kind::of(descriptor.media_type().as_ref());
        if !kind.is_manifest_or_index() && kind != Kind::Schema1 {
            continue;
        }
        Digest::of(&descriptor).map_err(|error| problem(error.to_string()))?;
        let mut annotations = descriptor.annotations().clone().unwrap_or_default();
        let whole = annotations.remove(CONTAINERD_NAME);
        let short = annotations.remove(REF_NAME);
        descriptor.set_annotations(Some(annotations).filter(|rest| !rest.is_empty()));
        entries.push(Entry {
            name: name(whole.as_deref(), short.as_deref())?,
            descriptor,
        });
    }
    Ok(entries)
}

/// Chooses between the two places in which a name can be.
fn name(whole: Option<&str>, short: Option<&str>) -> Result<Option<Reference>, ArchiveError> {
    if let Some(whole) = whole {
        return Ok(Some(Reference::parse(whole)?.or_latest()));
    }
    // A bare word may be a name or a tag: only `latest` is surely a tag. What is no name at all is another tool's remark.
    let short = short.filter(|text| *text != crate::reference::DEFAULT_TAG);
    Ok(short
        .and_then(|text| Reference::parse(text).ok())
        .map(Reference::or_latest))
}

/// Writes an `index.json`; one entry for each name.
pub(super) fn write<'a>(
    images: impl Iterator<Item = (&'a Descriptor, &'a [Reference])>,
) -> Vec<u8> {
    let mut entries = Vec::new();
    for (descriptor, names) in images {
        if names.is_empty() {
            entries.push(descriptor.clone());
        }
        for name in names {
            let mut entry = descriptor.clone();
            let mut annotations = entry.annotations().clone().unwrap_or_default();
            for key in [CONTAINERD_NAME, REF_NAME] {
                annotations.insert(key.to_owned(), name.to_string());
            }
            entry.set_annotations(Some(annotations));
            entries.push(entry);
        }
    }
    canonical_json(&json!({
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": entries,
    }))
}
