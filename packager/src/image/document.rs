use serde_json::Value;

use super::{Descriptor, ImageError, ImageIndex, ImageManifest, checked_digest};
use crate::media_type::Kind;

/// Bounds on what a stranger's image may make us hold in memory or walk through.
#[derive(Clone, Copy, Debug)]
pub struct Limits;

impl Limits {
    /// Bytes of a manifest or index: what registries must accept by the distribution specification.
    pub const MANIFEST: u64 = 4 << 20;
    /// Bytes of a config. Real ones have some kilobytes; labels with embedded files reach a megabyte.
    pub const CONFIG: u64 = 8 << 20;
    /// Layers of one image: the lowest maximum among the large registries is about the same.
    pub const LAYERS: usize = 500;
    /// Entries of one index. Real ones have at most some dozens.
    pub const INDEX_ENTRIES: usize = 1000;
    /// Indexes within indexes. The specification allows nesting; one level is seen in practice.
    pub const NESTING: usize = 4;

    pub(crate) fn check_size(kind: &'static str, got: usize, limit: u64) -> Result<(), ImageError> {
        let got = u64::try_from(got).unwrap_or(u64::MAX);
        if got > limit {
            return Err(ImageError::TooLarge { kind, got, limit });
        }
        Ok(())
    }
}

/// A manifest or an index: what a name can point to.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "one lives at a time, and it is taken apart at once"
)]
pub enum Document {
    /// One image.
    Manifest(ImageManifest),
    /// A choice of images.
    Index(ImageIndex),
}

impl Document {
    /// Parses a manifest or index that was announced with a media type, by a descriptor or an HTTP header.
    ///
    /// # Errors
    ///
    /// The document is too large, is no JSON of its kind, is of Docker's schema 1, says of itself that it is something
    /// else than announced, could be read as both kinds (image-spec, "manifest and index confusion"), lists too much, or
    /// names a blob by a digest that cannot be checked.
    pub fn parse(bytes: &[u8], media_type: &str) -> Result<Self, ImageError> {
        let kind = match Kind::of(media_type) {
            Kind::Index => "index",
            Kind::Manifest => "manifest",
            Kind::Schema1 => return Err(ImageError::Schema1),
            _ => {
                return Err(ImageError::NotAnImage {
                    media_type: crate::digest::shown(media_type),
                });
            }
        };
        Limits::check_size(kind, bytes.len(), Limits::MANIFEST)?;
        let json = |source| ImageError::Json { kind, source };
        let mut value: Value = serde_json::from_slice(bytes).map_err(json)?;
        check_head(&value, kind, media_type)?;
        for list in ["layers", "manifests"] {
            // Go writes `null` for a list that was never made.
            if let Some(value @ Value::Null) = value.get_mut(list) {
                *value = Value::Array(Vec::new());
            }
        }
        if kind == "index" {
            let index: ImageIndex = serde_json::from_value(value).map_err(json)?;
            check_entries(kind, "entries", index.manifests(), Limits::INDEX_ENTRIES)?;
            Ok(Self::Index(index))
        } else {
            let manifest: ImageManifest = serde_json::from_value(value).map_err(json)?;
            check_entries(kind, "layers", manifest.layers(), Limits::LAYERS)?;
            checked_digest(manifest.config(), || "the config".to_owned())?;
            Ok(Self::Manifest(manifest))
        }
    }

    /// Parses a manifest or index whose media type only the document itself tells, and returns that media type.
    ///
    /// # Errors
    ///
    /// As [`Document::parse`]; a document that does not name its media type is taken for what its fields say.
    pub fn detect(bytes: &[u8]) -> Result<(Self, String), ImageError> {
        Limits::check_size("manifest", bytes.len(), Limits::MANIFEST)?;
        let value: Value = serde_json::from_slice(bytes).map_err(|source| ImageError::Json {
            kind: "manifest",
            source,
        })?;
        let media_type = match value.get("mediaType").and_then(Value::as_str) {
            Some(stated) => stated.to_owned(),
            None if value.get("manifests").is_some() => crate::media_type::OCI_INDEX.to_owned(),
            None => crate::media_type::OCI_MANIFEST.to_owned(),
        };
        Ok((Self::parse(bytes, &media_type)?, media_type))
    }
}

fn check_head(value: &Value, kind: &'static str, media_type: &str) -> Result<(), ImageError> {
    match value.get("schemaVersion").and_then(Value::as_u64) {
        Some(2) => {}
        Some(1) => return Err(ImageError::Schema1),
        got => {
            return Err(ImageError::SchemaVersion {
                kind,
                got: got.unwrap_or(0),
            });
        }
    }
    let has = |field: &str| value.get(field).is_some();
    if has("manifests") && (has("layers") || has("config")) {
        return Err(ImageError::Ambiguous);
    }
    match value.get("mediaType").and_then(Value::as_str) {
        Some(stated) if Kind::of(stated) != Kind::of(media_type) => {
            Err(ImageError::MediaTypeMismatch {
                got: crate::digest::shown(stated),
                want: crate::digest::shown(media_type),
            })
        }
        _ => Ok(()),
    }
}

fn check_entries(
    kind: &'static str,
    what: &'static str,
    entries: &[Descriptor],
    limit: usize,
) -> Result<(), ImageError> {
    if entries.len() > limit {
        return Err(ImageError::TooMany {
            kind,
            what,
            got: entries.len(),
            limit,
        });
    }
    for (index, entry) in entries.iter().enumerate() {
        checked_digest(entry, || format!("{kind}, {what} {index}"))?;
    }
    Ok(())
}
