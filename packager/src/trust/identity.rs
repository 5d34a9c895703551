//! Which name a signature must be for: `signedIdentity`.

use serde::Deserialize;

use crate::digest::shown;
use crate::reference::Reference;
use crate::sign::Flaw;

/// What is written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Written {
    r#type: String,
    docker_reference: Option<String>,
    docker_repository: Option<String>,
    prefix: Option<String>,
    signed_prefix: Option<String>,
}

/// What it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// The image's name with its tag.
    Exact,
    /// The same; of an image named by its digest, the repository.
    RepositoryOfDigestOrExact,
    /// The image's repository, whatever the tag.
    Repository,
    /// This name.
    ExactReference(Reference),
    /// This repository, whatever the tag.
    ExactRepository(Reference),
    /// As by default, but with another beginning.
    Remapped { prefix: String, signed: String },
}

impl Written {
    pub(super) fn check(self) -> Result<Identity, String> {
        let Self {
            r#type,
            docker_reference,
            docker_repository,
            prefix,
            signed_prefix,
        } = self;
        let name = |text: &str| Reference::parse(text).map_err(|error| error.to_string());
        match (
            r#type.as_str(),
            docker_reference,
            docker_repository,
            prefix,
            signed_prefix,
        ) {
            ("matchExact", None, None, None, None) => Ok(Identity::Exact),
            ("matchRepoDigestOrExact", None, None, None, None) => {
                Ok(Identity::RepositoryOfDigestOrExact)
            }
            ("matchRepository", None, None, None, None) => Ok(Identity::Repository),
            ("exactReference", Some(text), None, None, None) => {
                let reference = name(&text)?;
                if reference.tag().is_none() && reference.digest().is_none() {
                    return Err(format!("{text:?} has neither tag nor digest"));
                }
                Ok(Identity::ExactReference(reference))
            }
            ("exactRepository", None, Some(text), None, None) => {
                let repository = name(&text)?;
                if repository != repository.without_tag_and_digest() {
                    return Err(format!("{text:?} is no repository: it has a tag or digest"));
                }
                Ok(Identity::ExactRepository(repository))
            }
            ("remapIdentity", None, None, Some(prefix), Some(signed)) => {
                for text in [&prefix, &signed] {
                    // A host, or more of a name; what comes after it is a path.
                    if text.is_empty() || text.ends_with('/') {
                        return Err(format!("{text:?} is no beginning of a name"));
                    }
                }
                Ok(Identity::Remapped { prefix, signed })
            }
            (known, ..) => Err(format!(
                "signedIdentity of type {known:?} is not known, or has other fields than it should"
            )),
        }
    }
}

impl Identity {
    /// Checks that a signature for the name `signed` is one for the image `named`.
    pub(super) fn check(&self, named: &Reference, signed: &str) -> Result<(), Flaw> {
        let wrong = |want: String| Flaw::Identity {
            got: shown(signed),
            want,
        };
        let meant = Reference::parse(signed);
        let is_exactly = |want: &Reference| match &meant {
            Ok(meant) if meant == want => Ok(()),
            _ => Err(wrong(want.to_string())),
        };
        let is_in = |want: &Reference| match &meant {
            Ok(meant) if meant.name() == want.name() => Ok(()),
            _ => Err(wrong(want.name())),
        };
        let digest_or_exact = |want: &Reference| match want.digest() {
            Some(_) => is_in(want),
            None => is_exactly(want),
        };
        match self {
            // With a digest the tag says nothing (Podman drops it as well).
            Self::Exact => match named.digest() {
                Some(digest) => {
                    is_exactly(&named.without_tag_and_digest().with_digest(digest.clone()))
                }
                None => is_exactly(named),
            },
            Self::RepositoryOfDigestOrExact => digest_or_exact(named),
            Self::Repository => is_in(named),
            Self::ExactReference(want) => is_exactly(want),
            Self::ExactRepository(want) => is_in(want),
            Self::Remapped { prefix, signed } => match remapped(named, prefix, signed) {
                Ok(want) => digest_or_exact(&want),
                Err(problem) => Err(wrong(problem)),
            },
        }
    }
}

/// Returns the name with another beginning, or itself if it begins otherwise.
fn remapped(named: &Reference, prefix: &str, signed: &str) -> Result<Reference, String> {
    let text = named.to_string();
    let Some(rest) = text.strip_prefix(prefix) else {
        return Ok(named.clone());
    };
    let ends_there = if prefix.contains('/') {
        rest.starts_with(['/', ':', '@'])
    } else {
        rest.starts_with('/')
    };
    if !ends_there {
        return Ok(named.clone());
    }
    let text = format!("{signed}{rest}");
    Reference::parse(&text).map_err(|_| format!("{} (which is no name)", shown(&text)))
}
