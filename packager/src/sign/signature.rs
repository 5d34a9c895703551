//! A payload and what a private key made of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::payload::PAYLOAD_LIMIT;
use super::{Flaw, KeyError, Payload, PrivateKey, PublicKey};
use crate::digest::{Digest, shown};
use crate::reference::Reference;

/// Characters of a signature in Base64. One on P-256 has 96, one of RSA with 8192 bits has 1368.
pub(super) const SIGNATURE_LIMIT: usize = 4096;

/// A signature, not yet checked: an allegation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The bytes that were signed.
    #[serde(with = "text")]
    pub payload: Vec<u8>,
    /// The signature, as the algorithm writes it (DER for ECDSA).
    #[serde(with = "text")]
    pub signature: Vec<u8>,
}

impl Signature {
    /// Signs a claim.
    ///
    /// # Errors
    ///
    /// The system has no random numbers.
    pub fn make(payload: &Payload, key: &PrivateKey) -> Result<Self, KeyError> {
        let payload = payload.to_bytes();
        Ok(Self {
            signature: key.sign(&payload)?,
            payload,
        })
    }

    /// Checks the signature, and returns what is claimed.
    ///
    /// # Errors
    ///
    /// [`Flaw::Key`], or [`Flaw::Form`] of what was signed.
    pub fn check(&self, key: &PublicKey) -> Result<Payload, Flaw> {
        if !key.has_signed(&self.payload, &self.signature) {
            return Err(Flaw::Key);
        }
        Payload::parse(&self.payload)
    }

    /// Checks that the signature is of one of these manifests, and returns what is claimed of it. The name in it is not looked at.
    ///
    /// # Errors
    ///
    /// As [`Signature::check`], or [`Flaw::Digest`].
    pub fn check_for(&self, key: &PublicKey, manifests: &[Digest]) -> Result<Payload, Flaw> {
        let payload = self.check(key)?;
        if manifests.contains(&payload.digest) {
            return Ok(payload);
        }
        Err(Flaw::Digest {
            got: payload.digest.to_string(),
            want: manifests
                .iter()
                .map(Digest::to_string)
                .collect::<Vec<_>>()
                .join(" or "),
        })
    }

    pub(super) fn from_base64(payload: &[u8], signature: &str) -> Result<Self, Flaw> {
        let wrong = |problem: &str| Flaw::Form {
            problem: problem.to_owned(),
        };
        if payload.len() > PAYLOAD_LIMIT || signature.len() > SIGNATURE_LIMIT {
            return Err(wrong("it is too large"));
        }
        Ok(Self {
            payload: payload.to_vec(),
            signature: STANDARD
                .decode(signature)
                .map_err(|_| wrong("it is not Base64"))?,
        })
    }

    pub(super) fn to_base64(&self) -> String {
        STANDARD.encode(&self.signature)
    }
}

impl Payload {
    /// Checks that the signer meant this repository, whatever the tag.
    ///
    /// # Errors
    ///
    /// [`Flaw::Identity`].
    pub fn is_of_repository(&self, repository: &Reference) -> Result<(), Flaw> {
        let want = repository.name();
        match Reference::parse(&self.identity) {
            Ok(meant) if meant.name() == want => Ok(()),
            _ => Err(Flaw::Identity {
                got: shown(&self.identity),
                want,
            }),
        }
    }
}

/// Bytes as Base64 in JSON.
mod text {
    use base64::Engine as _;

    use super::{Deserialize, Deserializer, STANDARD, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map_err(serde::de::Error::custom)
    }
}
