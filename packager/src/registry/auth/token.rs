//! A token server, asked once.
//!
//! Users and passwords go by `GET` with HTTP Basic, which every registry takes; identity tokens by `POST` (OAuth 2), the
//! only way there is (distribution's token/jwt and token/oauth specifications).

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;

use super::super::answer;
use super::super::body::{self, TOKEN_LIMIT};
use super::super::credentials::Credential;
use super::super::endpoint::{Ask, Endpoint};
use super::super::error::Cause;
use super::super::redact;
use super::super::secret::Secret;
use super::challenge::Challenge;
use super::scope::Scopes;

/// What we call ourselves to a token server.
const CLIENT_ID: &str = "coracle";
/// The least and the most that a token is held to be good for: some servers say a time that has passed before a request
/// can be made, and a token that runs out is renewed when it is refused.
const LIFE: (u64, u64) = (60, 86_400);
/// A token is renewed so long before its end, so that it does not run out on its way.
const MARGIN: Duration = Duration::from_secs(5);

/// A token for some time.
pub(super) struct Token {
    pub(super) header: HeaderValue,
    pub(super) until: Instant,
    /// A token to get later ones with, if one was asked for and given.
    pub(super) refresh: Option<Secret>,
}

/// What is asked of a token server.
pub(super) struct Request<'a> {
    pub(super) challenge: &'a Challenge,
    pub(super) scopes: &'a Scopes,
    pub(super) credential: Option<&'a Credential>,
    /// Is a token to get later ones with wanted as well?
    pub(super) is_login: bool,
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    refresh_token: Option<String>,
    expires_in: Option<serde_json::Number>,
}

impl Request<'_> {
    pub(super) async fn send(&self, endpoint: &Endpoint) -> Result<Token, Cause> {
        let protocol = |detail: String| Cause::Protocol {
            registry: endpoint.registry().to_owned(),
            detail,
        };
        let realm = self.challenge.parameter("realm").unwrap_or_default();
        let mut url = Url::parse(realm).map_err(|_| {
            protocol(format!(
                "its token server {:?} is no URL",
                redact::foreign(realm)
            ))
        })?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(protocol("its token server's URL has a user".to_owned()));
        }
        url.set_fragment(None);
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let service = self.challenge.parameter("service");
        let ask = match self.credential {
            Some(Credential::Identity(token)) => {
                headers.insert(
                    CONTENT_TYPE,
                    HeaderValue::from_static("application/x-www-form-urlencoded"),
                );
                let mut pairs = vec![
                    ("grant_type", "refresh_token".to_owned()),
                    ("client_id", CLIENT_ID.to_owned()),
                    ("refresh_token", token.reveal().to_owned()),
                    ("scope", self.scopes.to_string()),
                ];
                pairs.extend(service.map(|service| ("service", service.to_owned())));
                Ask {
                    method: Method::POST,
                    url,
                    headers,
                    body: Some(form(&pairs)),
                    is_secret: true,
                }
            }
            credential => {
                let mut query = url.query_pairs_mut();
                if let Some(service) = service {
                    query.append_pair("service", service);
                }
                for scope in self.scopes.texts() {
                    query.append_pair("scope", &scope);
                }
                if let Some(Credential::Basic { username, password }) = credential {
                    query.append_pair("account", username);
                    if self.is_login {
                        query.append_pair("offline_token", "true");
                        query.append_pair("client_id", CLIENT_ID);
                    }
                    headers.insert(AUTHORIZATION, basic(username, password));
                }
                drop(query);
                Ask {
                    method: Method::GET,
                    url,
                    headers,
                    body: None,
                    is_secret: false,
                }
            }
        };
        let answer = endpoint.send(ask).await?;
        if answer.status() != StatusCode::OK {
            let cause =
                answer::refused(answer, endpoint.registry(), self.credential.is_some()).await;
            // Some servers say so to a wrong password.
            return Err(match cause {
                Cause::Denied { registry, detail } => Cause::Unauthorized {
                    registry,
                    sent: self.credential.is_some(),
                    detail,
                },
                Cause::NotFound => protocol(format!(
                    "there is nothing at the address of its token server, {:?}",
                    redact::foreign(realm)
                )),
                cause => cause,
            });
        }
        let bytes = body::read(answer, TOKEN_LIMIT, "the token", endpoint.registry()).await?;
        if bytes.trim_ascii_start().starts_with(b"<") {
            return Err(protocol(
                "its token server sends a web page (HTML)".to_owned(),
            ));
        }
        // The parser's message could repeat what is secret.
        let answer: Answer = serde_json::from_slice(&bytes).map_err(|_| {
            protocol("its token server's answer is not the JSON of a token".to_owned())
        })?;
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        let token = filled(answer.token)
            .or_else(|| filled(answer.access_token))
            .ok_or_else(|| protocol("its token server's answer has no token".to_owned()))?;
        let header = bearer(&token)
            .ok_or_else(|| protocol("the token has characters that no token has".to_owned()))?;
        let life = answer
            .expires_in
            .and_then(|seconds| seconds.as_u64())
            .unwrap_or_default()
            .clamp(LIFE.0, LIFE.1);
        Ok(Token {
            header,
            until: Instant::now() + Duration::from_secs(life).saturating_sub(MARGIN),
            refresh: filled(answer.refresh_token)
                .filter(|_| self.is_login)
                .map(Secret::new),
        })
    }
}

/// Returns the header for a token, unless it has characters that cannot be sent.
pub(super) fn bearer(token: &str) -> Option<HeaderValue> {
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    sensitive(&format!("Bearer {token}"))
}

/// Returns the header for a user and password (RFC 7617).
pub(super) fn basic(username: &str, password: &Secret) -> HeaderValue {
    let pair = STANDARD.encode(format!("{username}:{}", password.reveal()));
    sensitive(&format!("Basic {pair}")).expect("base64 has only characters that a header may have")
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Encodes a form as `application/x-www-form-urlencoded`, which is how a URL writes its query.
fn form(pairs: &[(&str, String)]) -> Bytes {
    let mut url = Url::parse("http://form/").expect("it is a URL");
    url.query_pairs_mut().extend_pairs(pairs);
    Bytes::from(url.query().unwrap_or_default().to_owned())
}
