//! What is wrong with a policy, and what a policy says to an image.

use std::path::PathBuf;

use crate::sign::{Flaw, KeyError};

/// A policy that cannot be used. Then nothing is accepted under it.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// It cannot be read.
    #[error("reading it")]
    Read(#[source] std::io::Error),
    /// The file is larger than any honest one.
    #[error("it has more than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The text is not JSON of the right form, or says something that is not known.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A list of requirements is empty, which would accept everything.
    #[error(
        "the requirements for {scope} are empty, want at least one, such as {{\"type\": \"reject\"}}"
    )]
    Empty {
        /// For what.
        scope: String,
    },
    /// A requirement contradicts itself.
    #[error("a requirement for {scope}: {problem}")]
    Requirement {
        /// For what.
        scope: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A key file cannot be read.
    #[error("reading the key {path} of the policy")]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A key is none.
    #[error("using the key {key} of the policy")]
    Key {
        /// The file, or a word for a key in the policy itself.
        key: String,
        /// What is wrong with it.
        source: KeyError,
    },
}

/// Why a policy refuses an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nothing there is accepted.
    #[error("the trust policy rejects everything in {scope}")]
    Rejected {
        /// The scope.
        scope: String,
    },
    /// The policy wants something that is not checked here.
    #[error("the trust policy wants of {scope} what cannot be checked here: {what}")]
    Unsupported {
        /// The scope.
        scope: String,
        /// What.
        what: String,
    },
    /// No signature is known.
    #[error("the trust policy wants images of {scope} to be signed, and this one has no signature")]
    Unsigned {
        /// The scope.
        scope: String,
    },
    /// There are signatures, and none of them will do.
    #[error(
        "the trust policy accepts none of the image's signatures for {scope} ({count}); of one: {flaw}"
    )]
    WrongSignatures {
        /// The scope.
        scope: String,
        /// How many there are.
        count: usize,
        /// What is wrong with one of them.
        flaw: Flaw,
    },
}

impl Refused {
    /// Says what the user could do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Rejected { .. } | Self::Unsupported { .. } => {
                "the policy is ~/.config/containers/policy.json, else /etc/containers/policy.json (docs/signing.md); --insecure-policy goes on without it"
            }
            Self::Unsigned { .. } => {
                "if it was signed since it came here, pull it again; its owner signs it with `coracle sign`; --insecure-policy goes on without the policy"
            }
            Self::WrongSignatures { flaw, .. } => match flaw {
                Flaw::Identity { .. } => {
                    "a policy says in \"signedIdentity\" which names are right: signatures of cosign, and of `coracle sign`, have no tag and want \"matchRepository\" (docs/signing.md)"
                }
                _ => "--insecure-policy goes on without the policy (docs/signing.md)",
            },
        }
    }
}
