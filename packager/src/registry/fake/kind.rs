//! How known registries differ (docs/registries.md), as far as a client notices.

use std::sync::{Arc, PoisonError};

use super::wire::{Answer, answer};
use super::{Request, State};
use crate::digest::Digest;

/// Bytes of a piece that GitHub's registry takes at most.
const GITHUB_PIECE: usize = 4 << 20;
/// Bytes of a piece, other than the last, that Amazon's takes at least.
const AMAZON_PIECE: usize = 5 << 20;

/// Which registry is played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// None in particular.
    #[default]
    Plain,
    /// Tokens for anyone to pull; blobs on another host, which takes no credential.
    DockerHub,
    /// Tokens even for what is public; small pieces; no referrers, but a redirect to a page that limits requests.
    Ghcr,
    /// Takes only the kinds of artifact that it was told of.
    Quay,
    /// Basic; repositories must be there; large pieces, answered with 201; tags that stay; no `Location`.
    Ecr,
    /// Only `access_token`, and identity tokens by POST.
    Acr,
    /// No pieces at all; no POST for tokens.
    GoogleAr,
}

impl Kind {
    /// Returns the path of the token server.
    pub(super) fn realm(self) -> &'static str {
        match self {
            Self::Quay => "/v2/auth",
            Self::Acr => "/oauth2/token",
            Self::GoogleAr => "/v2/token",
            _ => "/token",
        }
    }

    /// Do tokens say what they are good for?
    pub(super) fn has_scopes(self) -> bool {
        self != Self::Plain
    }
}

impl State {
    pub(super) fn storage(&self) -> Option<(String, Arc<Self>)> {
        self.storage
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn has_repository(&self, name: &str) -> bool {
        let repositories = self
            .repositories
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        repositories.iter().any(|known| known == name)
    }

    /// Returns what this kind of registry says to a request otherwise than all others.
    pub(super) fn peculiar(&self, request: &Request, path: &str, body: &[u8]) -> Option<Answer> {
        let error = |status, code: &str, message: &str| {
            Some(answer(
                status,
                format!(r#"{{"errors":[{{"code":"{code}","message":"{message}"}}]}}"#),
            ))
        };
        let (repository, _) = path
            .strip_prefix("/v2/")?
            .split_once("/blobs/")
            .or_else(|| path.strip_prefix("/v2/")?.split_once("/manifests/"))
            .unwrap_or_default();
        match (self.kind, request.method.as_str()) {
            (Kind::DockerHub, "GET") if path.contains("/blobs/sha256:") => {
                let (storage, _) = self.storage()?;
                Some(answer(307, "").with(
                    "Location",
                    format!("http://{storage}{path}?X-Amz-Signature=hunter2"),
                ))
            }
            (Kind::Ghcr, "PATCH") if body.len() > GITHUB_PIECE => {
                error(413, "SIZE_INVALID", "too large")
            }
            (Kind::Ghcr, "GET") if path.contains("/referrers/") => {
                Some(answer(303, "").with("Location", "/limited"))
            }
            (Kind::Quay, "PUT")
                if path.contains("/manifests/")
                    && !body.windows(16).any(|word| word == b"oci.image.config")
                    && !body.windows(16).any(|word| word == b"oci.image.index.") =>
            {
                error(
                    400,
                    "MANIFEST_INVALID",
                    "manifest invalid: unsupported artifact type",
                )
            }
            (Kind::Ecr, "POST" | "PUT" | "HEAD") if !self.has_repository(repository) => error(
                404,
                "NAME_UNKNOWN",
                "The repository does not exist in the registry",
            ),
            // The last piece may be small; whether one is the last is not known, but the first is not.
            (Kind::Ecr, "PATCH") if body.len() < AMAZON_PIECE => {
                let upload = path.rsplit('/').next().unwrap_or_default();
                let is_first = self.content().uploads.get(upload).is_none_or(Vec::is_empty);
                if !is_first {
                    return None;
                }
                error(400, "LayerPartTooSmallException", "too small")
            }
            (Kind::Ecr, "PUT") if path.contains("/manifests/") => {
                let (_, name) = path.split_once("/manifests/")?;
                let manifest = body
                    .splitn(2, |byte| *byte == b'\n')
                    .nth(1)
                    .unwrap_or_default();
                let content = self.content();
                let (_, there) = content
                    .manifests
                    .get(&(repository.to_owned(), name.to_owned()))?;
                if Digest::sha256_of(there) == Digest::sha256_of(manifest) {
                    return None;
                }
                error(
                    400,
                    "TAG_INVALID",
                    "The image tag already exists and cannot be overwritten because the repository is immutable",
                )
            }
            (Kind::GoogleAr, "PATCH") => {
                error(400, "UNSUPPORTED", "You must use monolithic uploads")
            }
            _ => None,
        }
    }
}
