//! What refers to a manifest: signatures, bills of materials, and whatever else somebody attached to it.
//!
//! A registry that knows OCI 1.1 lists it by an API of its own. For one that does not, the client keeps the list, an index under a
//! tag that is made of the digest (distribution-spec, "Referrers Tag Schema").

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::error::{Cause, RegistryError, Step};
use super::manifests::ManifestName;
use super::repository::Repository;
use crate::digest::{Digest, shown};
use crate::image::{Descriptor, Document, ImageIndex};
use crate::media_type::{OCI_EMPTY, OCI_INDEX, OCI_MANIFEST};

/// How often an addition is put that somebody else's overwrites: registries cannot change a tag only if it is still the same.
const PUTS: usize = 4;
/// The empty object, which an artifact has in the place of a config.
const EMPTY: &[u8] = b"{}";

/// What is to refer to a manifest.
#[derive(Clone, Debug)]
pub struct NewReferrer {
    /// What it is, as a media type: `application/spdx+json`.
    pub artifact_type: String,
    /// Its files, which the registry has already.
    pub layers: Vec<Descriptor>,
    /// What is said about it.
    pub annotations: std::collections::BTreeMap<String, String>,
}

impl Repository {
    /// Lists what refers to a manifest, by the API or by the tag; only that of one type, if one is given.
    ///
    /// # Errors
    ///
    /// What keeps the registry from answering; the list under the tag is none.
    pub async fn all_referrers(
        &self,
        digest: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>, RegistryError> {
        let index = match self.referrers(digest, artifact_type).await? {
            Some(index) => Some(index),
            None => self.tagged(digest).await?.map(|(index, _)| index),
        };
        let mut entries = index.map_or_else(Vec::new, |index| index.manifests().clone());
        // A registry may ignore the filter.
        if let Some(wanted) = artifact_type {
            entries.retain(|entry| {
                let is = entry.artifact_type().as_ref();
                is.is_some_and(|is| is.as_ref() == wanted)
            });
        }
        Ok(entries)
    }

    /// Puts a manifest that refers to another one. Where the registry does not say that it has understood that, the list under the
    /// tag is kept as well. Returns the new manifest's digest.
    ///
    /// # Errors
    ///
    /// What the registry says; the subject is not there; others change the list again and again.
    pub async fn attach(
        &self,
        subject: &Digest,
        new: &NewReferrer,
    ) -> Result<Digest, RegistryError> {
        let name = ManifestName::Digest(subject.clone());
        let there = self.get_manifest(&name).await?;
        let config = self.put_blob(Bytes::from_static(EMPTY)).await?;
        let kind = match Document::detect(&there.bytes) {
            Ok((_, media_type)) => media_type,
            Err(error) => return Err(self.wrong_list(subject, &error.to_string())),
        };
        let mut manifest = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": new.artifact_type,
            "config": {"mediaType": OCI_EMPTY, "size": EMPTY.len(), "digest": config.to_string()},
            "layers": new.layers,
            "subject": {"mediaType": kind, "size": there.bytes.len(), "digest": subject.to_string()},
            "annotations": new.annotations,
        });
        if new.layers.is_empty() {
            // An image has at least one layer (image-spec, "Guidelines for Artifact Usage").
            manifest["layers"] = json!([manifest["config"].clone()]);
        }
        let bytes = crate::image::canonical_json(&manifest);
        let digest = Digest::sha256_of(&bytes);
        let entry = json!({
            "mediaType": OCI_MANIFEST, "size": bytes.len(), "digest": digest.to_string(),
            "artifactType": new.artifact_type, "annotations": new.annotations,
        });
        let name = ManifestName::Digest(digest.clone());
        let put = self
            .put_manifest(&name, OCI_MANIFEST, Bytes::from(bytes))
            .await?;
        if !put.knows_subject {
            self.add_to_tag(subject, &digest, &entry).await?;
        }
        Ok(digest)
    }

    async fn add_to_tag(
        &self,
        subject: &Digest,
        digest: &Digest,
        entry: &Value,
    ) -> Result<(), RegistryError> {
        for puts in 0..=PUTS {
            let (entries, mut fields) = match self.tagged(subject).await? {
                Some((index, fields)) => (index.manifests().clone(), fields),
                None => (Vec::new(), Map::new()),
            };
            let is_there = |one: &Descriptor| one.digest().as_ref() == digest.to_string();
            if entries.iter().any(is_there) {
                return Ok(());
            }
            if puts == PUTS {
                break;
            }
            let mut all = match fields.remove("manifests") {
                Some(Value::Array(all)) => all,
                _ => Vec::new(),
            };
            all.push(entry.clone());
            fields.insert("schemaVersion".to_owned(), json!(2));
            fields.insert("mediaType".to_owned(), json!(OCI_INDEX));
            fields.insert("manifests".to_owned(), Value::Array(all));
            let bytes = serde_json::to_vec(&fields).expect("JSON can be written");
            let name = ManifestName::Tag(tag(subject));
            self.put_manifest(&name, OCI_INDEX, Bytes::from(bytes))
                .await?;
        }
        Err(self.wrong_list(subject, "others change it at the same time"))
    }

    /// Reads the list under the tag.
    async fn tagged(
        &self,
        digest: &Digest,
    ) -> Result<Option<(ImageIndex, Map<String, Value>)>, RegistryError> {
        let raw = match self.get_manifest(&ManifestName::Tag(tag(digest))).await {
            Ok(raw) => raw,
            Err(error) if matches!(*error.cause, Cause::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        match Document::detect(&raw.bytes) {
            // What was parsed as an index is a JSON object.
            Ok((Document::Index(index), _)) => Ok(Some((
                index,
                serde_json::from_slice(&raw.bytes).unwrap_or_default(),
            ))),
            Ok((Document::Manifest(_), _)) => {
                Err(self.wrong_list(digest, "it is an image and no index"))
            }
            Err(error) => Err(self.wrong_list(digest, &error.to_string())),
        }
    }

    fn wrong_list(&self, digest: &Digest, problem: &str) -> RegistryError {
        let problem = format!("the list cannot be used: {}", shown(problem));
        self.fail(Step::Referrers(digest.clone()), Cause::Beside { problem })
    }
}

/// The tag of the list: the algorithm and the digits, each cut to what a tag may be long.
fn tag(digest: &Digest) -> String {
    let hex = digest.hex();
    format!("{}-{}", digest.algorithm(), hex.get(..64).unwrap_or(hex))
}
