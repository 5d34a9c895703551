//! One requirement of a policy.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::error::PolicyError;
use super::identity::{self, Identity};
use crate::sign::PublicKey;

/// Bytes of a key file. Real ones have some hundreds.
const KEY_LIMIT: u64 = 64 << 10;
/// Keys of one requirement. Each is tried on each signature.
const KEYS: usize = 100;

/// What is written: all fields that any type of requirement has in containers-policy.json(5).
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Written {
    r#type: String,
    key_path: Option<PathBuf>,
    key_paths: Option<Vec<PathBuf>>,
    key_data: Option<String>,
    key_datas: Option<Vec<String>>,
    signed_identity: Option<identity::Written>,
    key_type: Option<IgnoredAny>,
    base_layer_identity: Option<IgnoredAny>,
    fulcio: Option<IgnoredAny>,
    pki: Option<IgnoredAny>,
    rekor_public_key_path: Option<IgnoredAny>,
    rekor_public_key_paths: Option<IgnoredAny>,
    rekor_public_key_data: Option<IgnoredAny>,
    rekor_public_key_datas: Option<IgnoredAny>,
}

/// What it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Requirement {
    AcceptAnything,
    Reject,
    /// One signature by one of the keys, for this name.
    Signed {
        keys: Keys,
        identity: Identity,
    },
    /// What others may be able to check.
    Unsupported(&'static str),
}

/// Keys, not yet read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Keys {
    Files(Vec<PathBuf>),
    /// In the policy itself, in Base64.
    Here(Vec<String>),
}

impl Written {
    pub(super) fn check(self) -> Result<Requirement, String> {
        match self.r#type.as_str() {
            "insecureAcceptAnything" if self.is_bare() => Ok(Requirement::AcceptAnything),
            "reject" if self.is_bare() => Ok(Requirement::Reject),
            "insecureAcceptAnything" | "reject" => {
                Err(format!("{:?} has no other fields", self.r#type))
            }
            "signedBy" => Ok(Requirement::Unsupported("\"signedBy\" (GPG signatures)")),
            "signedBaseLayer" => Ok(Requirement::Unsupported("\"signedBaseLayer\"")),
            "sigstoreSigned" => self.sigstore(),
            other => Err(format!("the type {other:?} is not known")),
        }
    }

    fn is_bare(&self) -> bool {
        self.key_path.is_none()
            && self.key_paths.is_none()
            && self.key_data.is_none()
            && self.key_datas.is_none()
            && self.signed_identity.is_none()
            && self.key_type.is_none()
            && self.base_layer_identity.is_none()
            && self.fulcio.is_none()
            && self.pki.is_none()
            && !self.wants_log()
    }

    fn wants_log(&self) -> bool {
        self.rekor_public_key_path.is_some()
            || self.rekor_public_key_paths.is_some()
            || self.rekor_public_key_data.is_some()
            || self.rekor_public_key_datas.is_some()
    }

    fn sigstore(self) -> Result<Requirement, String> {
        if self.key_type.is_some() || self.base_layer_identity.is_some() {
            return Err("\"sigstoreSigned\" has a field of another type".to_owned());
        }
        if self.fulcio.is_some() || self.pki.is_some() {
            return Ok(Requirement::Unsupported(
                "\"sigstoreSigned\" with certificates (\"fulcio\", \"pki\")",
            ));
        }
        if self.wants_log() {
            return Ok(Requirement::Unsupported(
                "\"sigstoreSigned\" with a transparency log (\"rekorPublicKey…\")",
            ));
        }
        let keys = match (self.key_path, self.key_paths, self.key_data, self.key_datas) {
            (Some(path), None, None, None) => Keys::Files(vec![path]),
            (None, Some(paths), None, None) => Keys::Files(paths),
            (None, None, Some(data), None) => Keys::Here(vec![data]),
            (None, None, None, Some(data)) => Keys::Here(data),
            _ => {
                return Err(
                    "\"sigstoreSigned\" wants one of keyPath, keyPaths, keyData and keyDatas"
                        .to_owned(),
                );
            }
        };
        let count = match &keys {
            Keys::Files(paths) => paths.len(),
            Keys::Here(data) => data.len(),
        };
        if !(1..=KEYS).contains(&count) {
            return Err(format!("it has {count} keys, want 1 to {KEYS}"));
        }
        let identity = match self.signed_identity {
            Some(written) => written.check()?,
            None => Identity::RepositoryOfDigestOrExact,
        };
        Ok(Requirement::Signed { keys, identity })
    }
}

impl Keys {
    /// Reads them. One that cannot be read is not left out: perhaps it is the one that was revoked by changing the file.
    pub(super) fn read(&self) -> Result<Vec<PublicKey>, PolicyError> {
        match self {
            Self::Files(paths) => paths.iter().map(|path| read_file(path)).collect(),
            Self::Here(data) => data.iter().map(|data| decode(data)).collect(),
        }
    }
}

fn read_file(path: &Path) -> Result<PublicKey, PolicyError> {
    let mut text = Vec::new();
    File::open(path)
        // Room for one byte more shows that it is too large.
        .and_then(|file| file.take(KEY_LIMIT + 1).read_to_end(&mut text))
        .map_err(|source| PolicyError::KeyFile {
            path: path.to_owned(),
            source,
        })?;
    PublicKey::from_pem(&text).map_err(|source| PolicyError::Key {
        key: path.display().to_string(),
        source,
    })
}

fn decode(data: &str) -> Result<PublicKey, PolicyError> {
    let key = "in \"keyData\"".to_owned();
    let text = STANDARD.decode(data);
    let read = match &text {
        Ok(text) => PublicKey::from_pem(text),
        Err(_) => Err(crate::sign::KeyError::Pem {
            problem: "it is not Base64",
        }),
    };
    read.map_err(|source| PolicyError::Key { key, source })
}
