//! What is signed: the "simple signing" document
//! (<https://github.com/containers/image/blob/main/docs/containers-signature.5.md>).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Flaw;
use crate::digest::Digest;

/// Bytes of a payload. Real ones have some hundreds; a signer may add what it wants to say.
pub(super) const PAYLOAD_LIMIT: usize = 64 << 10;
/// What the document says it is.
const KIND: &str = "cosign container image signature";

/// The signed claim: this manifest is what I mean by that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The manifest or index.
    pub digest: Digest,
    /// The name, as the signer wrote it: cosign's have no tag, Podman's and skopeo's have one.
    pub identity: String,
    /// What else the signer says.
    pub optional: Map<String, Value>,
}

// Anything more in the signed part may change what it means: it is refused.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    critical: Critical,
    // cosign writes null for nothing.
    optional: Option<Map<String, Value>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Critical {
    identity: Identity,
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    #[serde(rename = "docker-reference")]
    docker_reference: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    docker_manifest_digest: String,
}

impl Payload {
    /// Reads a document. Do it only when its signature has been found right.
    ///
    /// # Errors
    ///
    /// [`Flaw::Form`]: it is another document, or says more than is understood.
    pub fn parse(bytes: &[u8]) -> Result<Self, Flaw> {
        let wrong = |problem: String| Flaw::Form { problem };
        if bytes.len() > PAYLOAD_LIMIT {
            return Err(wrong(format!("it has more than {PAYLOAD_LIMIT} bytes")));
        }
        let written: Written =
            serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        let critical = written.critical;
        if critical.kind != KIND {
            return Err(wrong(format!(
                "its type is {:?}, want {KIND:?}",
                crate::digest::shown(&critical.kind)
            )));
        }
        Ok(Self {
            digest: Digest::parse(&critical.image.docker_manifest_digest)
                .map_err(|error| wrong(error.to_string()))?,
            identity: critical.identity.docker_reference,
            optional: written.optional.unwrap_or_default(),
        })
    }

    /// Returns the document, byte for byte as cosign would write it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let written = Written {
            critical: Critical {
                identity: Identity {
                    docker_reference: self.identity.clone(),
                },
                image: Image {
                    docker_manifest_digest: self.digest.to_string(),
                },
                kind: KIND.to_owned(),
            },
            optional: (!self.optional.is_empty()).then(|| self.optional.clone()),
        };
        serde_json::to_vec(&written).expect("strings and JSON are JSON")
    }
}
