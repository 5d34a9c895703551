//! What the registry answers.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::wire::{Answer, answer};
use super::{Access, Fault, Kind, Request, State};
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
        if path == self.kind.realm() {
            return self.token(request, query, body);
        }
        if let Some(refusal) = self.refusal(address, request) {
            return refusal;
        }
        if let Some(answer) = self.peculiar(request, path, body) {
            return answer;
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
            let stored = answer(201, "").with("Docker-Content-Digest", digest.clone());
            if self.kind == Kind::Ecr {
                return stored;
            }
            return stored.with("Location", format!("/v2/{repository}/manifests/{digest}"));
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
            Some(Some(rest)) if !rest.is_empty() => {
                let (start, size) = (bytes.len() - rest.len(), bytes.len());
                answer(206, rest).with(
                    "Content-Range",
                    format!("bytes {start}-{}/{size}", size - 1),
                )
            }
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
            if let Some(mounted) = mount(&mut content, repository, query) {
                return mounted;
            }
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
            let status = if self.kind == Kind::Ecr { 201 } else { 202 };
            let range = format!("0-{}", so_far.len().saturating_sub(1));
            return answer(status, "")
                .with("Location", location(upload))
                .with("Range", range);
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
        if let Some((_, storage)) = self.storage() {
            let key = (repository.to_owned(), digest.clone());
            storage.content().blobs.insert(key, bytes.clone());
        }
        content
            .blobs
            .insert((repository.to_owned(), digest.clone()), bytes);
        answer(201, "").with("Location", format!("/v2/{repository}/blobs/{digest}"))
    }

    fn token(&self, request: &Request, query: &str, body: &[u8]) -> Answer {
        let Access::Bearer { user, uses } = &self.access else {
            return answer(404, "");
        };
        let wrong = || {
            answer(
                401,
                r#"{"errors":[{"code":"UNAUTHORIZED","message":"wrong user"}]}"#,
            )
        };
        let form = String::from_utf8_lossy(body);
        let mut scope = query
            .replace("%3A", ":")
            .replace("%2F", "/")
            .replace("%2C", ",");
        let mut is_user = false;
        if request.method == "POST" {
            let password = user.as_ref().map_or("", |(_, password)| password.as_str());
            if self.kind != Kind::Acr {
                return answer(404, "");
            }
            if !form.contains("grant_type=refresh_token")
                || !form.contains(&format!("refresh_token={password}&"))
            {
                return answer(400, r#"{"error":"invalid_grant"}"#);
            }
            scope = form
                .replace("%3A", ":")
                .replace("%2F", "/")
                .replace("%2C", ",");
            is_user = true;
        } else if let Some((user, password)) = user {
            is_user = request.authorization == Some(basic(user, password));
            let may_be_anyone = self.kind.has_scopes() && request.authorization.is_none();
            if !is_user && !may_be_anyone {
                return wrong();
            }
        }
        if !is_user {
            scope = scope.replace("push", "");
        }
        let mut content = self.content();
        content.count += 1;
        let token = format!("token-{}", content.count);
        content.tokens.insert(token.clone(), (*uses, scope));
        let field = if self.kind == Kind::Acr {
            "access_token"
        } else {
            "token"
        };
        answer(200, format!(r#"{{"{field}":"{token}"}}"#))
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
                let is_write = !matches!(request.method.as_str(), "GET" | "HEAD");
                if let Some((uses, scope)) =
                    content.tokens.get_mut(token).filter(|(uses, _)| *uses > 0)
                {
                    let is_wide = !self.kind.has_scopes() || !is_write || scope.contains("push");
                    if is_wide {
                        *uses -= 1;
                        return None;
                    }
                }
                let realm = self.kind.realm();
                format!("Bearer realm=\"http://{address}{realm}\",service=\"fake\"")
            }
        };
        let body = r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
        Some(answer(401, body).with("WWW-Authenticate", challenge))
    }
}

/// Takes a blob from another repository: `?mount=<digest>&from=<repository>`.
fn mount(content: &mut super::Content, repository: &str, query: &str) -> Option<Answer> {
    let query = query.replace("%3A", ":").replace("%2F", "/");
    let value = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.to_owned())
    };
    let (digest, from) = (value("mount")?, value("from")?);
    let bytes = content.blobs.get(&(from, digest.clone()))?.clone();
    let location = format!("/v2/{repository}/blobs/{digest}");
    content.blobs.insert((repository.to_owned(), digest), bytes);
    Some(answer(201, "").with("Location", location))
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}
