//! What the registry answers.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::wire::{Answer, answer};
use super::{Access, Fault, Request, State};
use crate::digest::Digest;

impl State {
    /// Records a request, and returns what to do wrong with it.
    pub(super) fn note(&self, request: &Request) -> Option<Fault> {
        let mut content = self.content();
        content.requests.push(request.clone());
        let (_, _, fault, times) = content.faults.iter_mut().find(|(method, part, _, times)| {
            *times > 0 && *method == request.method && request.path.contains(part.as_str())
        })?;
        *times -= 1;
        Some(fault.clone())
    }

    pub(super) fn answer(&self, address: SocketAddr, request: &Request, body: &[u8]) -> Answer {
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        if path == "/token" {
            return self.token(request);
        }
        if let Some(refusal) = self.refusal(address, request) {
            return refusal;
        }
        let Some(rest) = path.strip_prefix("/v2/") else {
            return answer(404, "");
        };
        if rest.is_empty() {
            return answer(200, "{}");
        }
        let method = request.method.as_str();
        if let Some((repository, name)) = rest.split_once("/manifests/") {
            self.manifests(method, repository, name, body)
        } else if let Some((repository, upload)) = rest.split_once("/blobs/uploads/") {
            self.uploads(method, repository, upload, query, body)
        } else if let Some((repository, digest)) = rest.split_once("/blobs/") {
            self.blobs(request, repository, digest)
        } else {
            answer(404, "")
        }
    }

    fn manifests(&self, method: &str, repository: &str, name: &str, body: &[u8]) -> Answer {
        let mut content = self.content();
        if method == "PUT" {
            let split = body.iter().position(|byte| *byte == b'\n').unwrap_or(0);
            let (media_type, bytes) = body.split_at(split);
            let media_type = String::from_utf8_lossy(media_type).into_owned();
            let bytes = bytes.get(1..).unwrap_or_default().to_vec();
            let digest = Digest::sha256_of(&bytes).to_string();
            for name in [name, &digest] {
                let key = (repository.to_owned(), name.to_owned());
                content
                    .manifests
                    .insert(key, (media_type.clone(), bytes.clone()));
            }
            return answer(201, "")
                .with("Location", format!("/v2/{repository}/manifests/{digest}"));
        }
        match content
            .manifests
            .get(&(repository.to_owned(), name.to_owned()))
        {
            Some((media_type, bytes)) => answer(200, bytes.clone())
                .with("Content-Type", media_type.clone())
                .with(
                    "Docker-Content-Digest",
                    Digest::sha256_of(bytes).to_string(),
                ),
            None => answer(
                404,
                r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"unknown"}]}"#,
            ),
        }
    }

    fn blobs(&self, request: &Request, repository: &str, digest: &str) -> Answer {
        let content = self.content();
        let Some(bytes) = content
            .blobs
            .get(&(repository.to_owned(), digest.to_owned()))
        else {
            return answer(
                404,
                r#"{"errors":[{"code":"BLOB_UNKNOWN","message":"unknown"}]}"#,
            );
        };
        let start = request.range.as_deref().and_then(|range| {
            range
                .strip_prefix("bytes=")?
                .strip_suffix('-')?
                .parse::<usize>()
                .ok()
        });
        match start.map(|start| bytes.get(start..)) {
            None => answer(200, bytes.clone()),
            Some(Some(rest)) if !rest.is_empty() => answer(206, rest),
            Some(_) => answer(416, ""),
        }
    }

    fn uploads(
        &self,
        method: &str,
        repository: &str,
        upload: &str,
        query: &str,
        body: &[u8],
    ) -> Answer {
        let mut content = self.content();
        let location = |upload: &str| format!("/v2/{repository}/blobs/uploads/{upload}?state=1");
        if method == "POST" {
            content.count += 1;
            let upload = format!("upload-{}", content.count);
            content.uploads.insert(upload.clone(), Vec::new());
            return answer(202, "").with("Location", location(&upload));
        }
        let Some(so_far) = content.uploads.get_mut(upload) else {
            return answer(404, "");
        };
        so_far.extend_from_slice(body);
        if method == "PATCH" {
            return answer(202, "").with("Location", location(upload));
        }
        let bytes = content.uploads.remove(upload).unwrap_or_default();
        let digest = Digest::sha256_of(&bytes).to_string();
        if !query
            .replace("%3A", ":")
            .contains(&format!("digest={digest}"))
        {
            return answer(
                400,
                r#"{"errors":[{"code":"DIGEST_INVALID","message":"wrong"}]}"#,
            );
        }
        content
            .blobs
            .insert((repository.to_owned(), digest.clone()), bytes);
        answer(201, "").with("Location", format!("/v2/{repository}/blobs/{digest}"))
    }

    fn token(&self, request: &Request) -> Answer {
        let Access::Bearer { user, uses } = &self.access else {
            return answer(404, "");
        };
        if let Some((user, password)) = user
            && request.authorization != Some(basic(user, password))
        {
            return answer(
                401,
                r#"{"errors":[{"code":"UNAUTHORIZED","message":"wrong user"}]}"#,
            );
        }
        let mut content = self.content();
        content.count += 1;
        let token = format!("token-{}", content.count);
        content.tokens.insert(token.clone(), *uses);
        answer(200, format!(r#"{{"token":"{token}"}}"#))
    }

    fn refusal(&self, address: SocketAddr, request: &Request) -> Option<Answer> {
        let challenge = match &self.access {
            Access::Open => return None,
            Access::Basic { user, password } => {
                if request.authorization == Some(basic(user, password)) {
                    return None;
                }
                "Basic realm=\"fake\"".to_owned()
            }
            Access::Bearer { .. } => {
                let mut content = self.content();
                let token = request.authorization.as_deref().unwrap_or_default();
                let token = token.strip_prefix("Bearer ").unwrap_or_default();
                if let Some(uses) = content.tokens.get_mut(token).filter(|uses| **uses > 0) {
                    *uses -= 1;
                    return None;
                }
                format!("Bearer realm=\"http://{address}/token\",service=\"fake\"")
            }
        };
        let body = r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
        Some(answer(401, body).with("WWW-Authenticate", challenge))
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}
