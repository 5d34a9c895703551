//! Signatures beside an image in its registry.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::payload::PAYLOAD_LIMIT;
use super::{Flaw, PublicKey, Signature};
use crate::digest::{Digest, shown};
use crate::image::{Document, ImageManifest, Limits};
use crate::media_type::{OCI_CONFIG, OCI_MANIFEST};
use crate::registry::{Cause, ManifestName, RegistryError, Repository, Step};

/// The layer that holds a payload.
const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation of that layer that holds the signature, in Base64.
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// Signatures of one manifest that are looked at. Who signs each release with three keys needs three.
const SIGNATURES: usize = 100;
/// How often an addition is put that somebody else's overwrites: registries cannot change a tag only if it is still the same.
const PUTS: usize = 4;

/// What lies beside a manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attached {
    /// Signatures, in the order in which they were added. Not yet checked.
    pub signatures: Vec<Signature>,
    /// Why others are none.
    pub unreadable: Vec<Flaw>,
}

/// Returns the tag by which the signatures of a manifest are found.
pub fn signature_tag(digest: &Digest) -> String {
    format!("{}-{}.sig", digest.algorithm(), digest.hex())
}

impl Repository {
    /// Fetches the signatures of a manifest or index. That there are none is no error.
    ///
    /// # Errors
    ///
    /// What keeps the registry from answering; there are more than anybody makes; the list is no manifest.
    pub async fn signatures(&self, digest: &Digest) -> Result<Attached, RegistryError> {
        let Some(list) = self.signature_list(digest).await? else {
            return Ok(Attached::default());
        };
        let mut attached = Attached::default();
        for layer in list.manifest.layers() {
            if layer.media_type().as_ref() != PAYLOAD {
                continue;
            }
            let annotations = layer.annotations().as_ref();
            let signature = annotations.and_then(|all| all.get(SIGNATURE));
            let read = match (signature, Digest::of(layer)) {
                (None, _) => Err(Flaw::Form {
                    problem: format!("its annotation {SIGNATURE:?} is missing"),
                }),
                _ if layer.size() > PAYLOAD_LIMIT as u64 => Err(Flaw::Form {
                    problem: format!("it has more than {PAYLOAD_LIMIT} bytes"),
                }),
                (_, Err(error)) => Err(Flaw::Form {
                    problem: error.to_string(),
                }),
                (Some(signature), Ok(blob)) => match self.get_blob(&blob, PAYLOAD_LIMIT).await {
                    Ok(payload) => Signature::from_base64(&payload, signature),
                    // One that is damaged must not hide those that are not.
                    Err(error) if is_of_the_blob(&error.cause) => Err(Flaw::Form {
                        problem: error.cause.to_string(),
                    }),
                    Err(error) => return Err(error),
                },
            };
            match read {
                Ok(signature) => attached.signatures.push(signature),
                Err(flaw) => attached.unreadable.push(flaw),
            }
        }
        Ok(attached)
    }

    /// Puts a signature beside a manifest, after those that are there. Returns whether it was added: one by the same key that says
    /// the same stays alone.
    ///
    /// # Errors
    ///
    /// What the registry says; or somebody else changes the list again and again meanwhile.
    pub async fn add_signature(
        &self,
        digest: &Digest,
        signature: &Signature,
        key: &PublicKey,
    ) -> Result<bool, RegistryError> {
        let payload = Digest::sha256_of(&signature.payload);
        for puts in 0..=PUTS {
            let list = self.signature_list(digest).await?;
            if let Some(list) = &list
                && list.has(&payload, signature, key)
            {
                return Ok(list.has_exactly(&payload, signature));
            }
            if puts < PUTS {
                self.put_signature(digest, signature, &payload, list)
                    .await?;
            }
        }
        Err(self.wrong(
            digest,
            "others change the list of signatures at the same time",
        ))
    }

    async fn put_signature(
        &self,
        digest: &Digest,
        signature: &Signature,
        payload: &Digest,
        list: Option<List>,
    ) -> Result<(), RegistryError> {
        self.put_blob(Bytes::copy_from_slice(&signature.payload))
            .await?;
        let config = match &list {
            Some(list) => self.config_of(digest, list).await?,
            None => json!({
                "architecture": "", "os": "", "created": "0001-01-01T00:00:00Z", "config": {},
                "history": [], "rootfs": {"type": "layers", "diff_ids": []},
            }),
        };
        let config = with_diff_id(config, payload);
        let config_digest = self.put_blob(Bytes::from(config.clone())).await?;
        let document = with_layer(list, signature, payload, &config_digest, config.len());
        let name = ManifestName::Tag(signature_tag(digest));
        self.put_manifest(&name, OCI_MANIFEST, Bytes::from(document))
            .await
            .map(drop)
    }

    async fn signature_list(&self, digest: &Digest) -> Result<Option<List>, RegistryError> {
        let name = ManifestName::Tag(signature_tag(digest));
        let raw = match self.get_manifest(&name).await {
            Ok(raw) => raw,
            Err(error) if matches!(*error.cause, Cause::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        let problem = match Document::detect(&raw.bytes) {
            Ok((Document::Manifest(manifest), _)) => {
                let signatures = manifest.layers().len();
                if signatures <= SIGNATURES {
                    // What was parsed as a manifest is a JSON object.
                    let fields = serde_json::from_slice(&raw.bytes).unwrap_or_default();
                    return Ok(Some(List { manifest, fields }));
                }
                format!("it has {signatures} signatures, want at most {SIGNATURES}")
            }
            Ok((Document::Index(_), _)) => "an index is where they should be".to_owned(),
            Err(error) => format!("their list cannot be read: {}", with_source(&error)),
        };
        Err(self.wrong(digest, &problem))
    }

    async fn config_of(&self, digest: &Digest, list: &List) -> Result<Value, RegistryError> {
        let config = list.manifest.config();
        let limit = usize::try_from(Limits::CONFIG).unwrap_or(usize::MAX);
        let blob = Digest::of(config).map_err(|error| self.wrong(digest, &error.to_string()))?;
        let bytes = self.get_blob(&blob, limit).await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            self.wrong(
                digest,
                &format!("the config of their list is no JSON: {error}"),
            )
        })
    }

    fn wrong(&self, digest: &Digest, problem: &str) -> RegistryError {
        let problem = shown(problem);
        self.fail(Step::Signatures(digest.clone()), Cause::Beside { problem })
    }
}

/// Is it the blob that is wrong, and not the way to it?
fn is_of_the_blob(cause: &Cause) -> bool {
    matches!(
        cause,
        Cause::NotFound
            | Cause::TooLarge { .. }
            | Cause::WrongDigest { .. }
            | Cause::WrongSize { .. }
    )
}

/// The manifest whose layers are signatures.
struct List {
    manifest: ImageManifest,
    /// The same, with all that we know nothing of.
    fields: Map<String, Value>,
}

impl List {
    /// Is there a signature that says the same by the same key?
    fn has(&self, payload: &Digest, signature: &Signature, key: &PublicKey) -> bool {
        self.of_payload(payload).any(|text| {
            Signature::from_base64(&signature.payload, text)
                .is_ok_and(|other| other.check(key).is_ok())
        })
    }

    fn has_exactly(&self, payload: &Digest, signature: &Signature) -> bool {
        let text = signature.to_base64();
        self.of_payload(payload).any(|other| *other == text)
    }

    fn of_payload(&self, payload: &Digest) -> impl Iterator<Item = &String> {
        let payload = payload.to_string();
        self.manifest
            .layers()
            .iter()
            .filter(move |layer| layer.digest().as_ref() == payload)
            .filter_map(|layer| layer.annotations().as_ref()?.get(SIGNATURE))
    }
}

/// Adds a layer's digest to a config, as it must be in one of an image.
fn with_diff_id(mut config: Value, payload: &Digest) -> Vec<u8> {
    let ids = config.pointer_mut("/rootfs/diff_ids");
    if let Some(ids) = ids.and_then(Value::as_array_mut) {
        ids.push(json!(payload.to_string()));
    }
    serde_json::to_vec(&config).expect("JSON can be written")
}

/// Adds a layer to a list, or makes one.
fn with_layer(
    list: Option<List>,
    signature: &Signature,
    payload: &Digest,
    config: &Digest,
    config_size: usize,
) -> Vec<u8> {
    let mut fields = list.map(|list| list.fields).unwrap_or_default();
    let kind = fields
        .get("config")
        .and_then(|config| config.get("mediaType"));
    let kind = kind
        .and_then(Value::as_str)
        .unwrap_or(OCI_CONFIG)
        .to_owned();
    let mut layers = match fields.remove("layers") {
        Some(Value::Array(layers)) => layers,
        _ => Vec::new(),
    };
    layers.push(json!({
        "mediaType": PAYLOAD, "size": signature.payload.len(), "digest": payload.to_string(),
        "annotations": {(SIGNATURE): signature.to_base64()},
    }));
    fields.insert("schemaVersion".to_owned(), json!(2));
    fields.insert("mediaType".to_owned(), json!(OCI_MANIFEST));
    fields.insert(
        "config".to_owned(),
        json!({"mediaType": kind, "size": config_size, "digest": config.to_string()}),
    );
    fields.insert("layers".to_owned(), Value::Array(layers));
    serde_json::to_vec(&fields).expect("JSON can be written")
}

fn with_source(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
