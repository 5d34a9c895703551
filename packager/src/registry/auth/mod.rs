//! Who we are to one registry: from its challenge to a header.
//!
//! Nothing is shown before it is asked for: the first request goes without, and public images need no credential. A token is
//! renewed when it is about to run out, when it is refused, or when the registry wants a wider one.

mod challenge;
mod scope;
mod token;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Method, StatusCode};

pub use self::challenge::Challenge;
pub(super) use self::scope::Scopes;
use super::credentials::{Credential, CredentialError, CredentialSource};
use super::endpoint::{Ask, Endpoint};
use super::error::{Action, Cause};
use super::secret::Secret;
use super::{answer, blocking_any, body};

/// What we show to one registry about one repository.
pub(super) struct Auth {
    action: Action,
    credentials: Arc<dyn CredentialSource>,
    /// As the reference names them: credentials are kept by these names.
    registry: String,
    repository: String,
    state: Mutex<State>,
    /// Held while a new token is fetched, so that parallel transfers fetch one.
    renewing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    shown: Shown,
    /// Counts the changes of `shown`.
    generation: u32,
    challenge: Option<Challenge>,
    scopes: Scopes,
    /// A token for later ones, after a login.
    refresh: Option<Secret>,
    /// Was a credential shown, to the registry or its token server?
    sent: bool,
    /// A credential that exists, but cannot be used: what to say if anonymous access is refused.
    unusable: Option<CredentialError>,
}

/// What goes with each request.
#[derive(Clone, Default)]
pub(super) struct Shown {
    /// The header `Authorization`.
    pub(super) header: Option<HeaderValue>,
    /// When it is no longer good.
    until: Option<Instant>,
}

impl Shown {
    fn has_run_out(&self) -> bool {
        self.until.is_some_and(|until| until <= Instant::now())
    }
}

impl Auth {
    pub(super) fn new(
        action: Action,
        credentials: Arc<dyn CredentialSource>,
        registry: &str,
        repository: &str,
        scopes: Scopes,
    ) -> Self {
        Self {
            action,
            credentials,
            registry: registry.to_owned(),
            repository: repository.to_owned(),
            state: Mutex::new(State {
                scopes,
                ..State::default()
            }),
            renewing: tokio::sync::Mutex::new(()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what to show now, and a number that tells it from later ones.
    pub(super) async fn now(&self, endpoint: &Endpoint) -> Result<(Shown, u32), Cause> {
        let (shown, generation) = {
            let state = self.state();
            (state.shown.clone(), state.generation)
        };
        if !shown.has_run_out() {
            return Ok((shown, generation));
        }
        self.renew(endpoint, generation).await?;
        let state = self.state();
        Ok((state.shown.clone(), state.generation))
    }

    /// Was a credential shown?
    pub(super) fn was_sent(&self) -> bool {
        self.state().sent
    }

    /// Returns the token for later ones that a login brought.
    pub(super) fn refresh_token(&self) -> Option<Secret> {
        self.state().refresh.clone()
    }

    /// Returns why a credential that exists could not be used.
    pub(super) fn unusable(&self) -> Option<CredentialError> {
        self.state().unusable.clone()
    }

    /// Remembers what an answer with status 401 wants.
    pub(super) fn challenged(&self, headers: &HeaderMap) {
        let wanted = chosen(headers);
        let mut state = self.state();
        if let Some(challenge) = wanted {
            if let Some(scope) = challenge.parameter("scope") {
                let scope = scope.to_owned();
                state.scopes.add_wanted(&scope);
            }
            state.challenge = Some(challenge);
        }
    }

    /// Widens the token by reading another repository, if there is a token. Returns whether the next request may try.
    pub(super) async fn also_read(&self, endpoint: &Endpoint, repository: &str) -> bool {
        let (before, generation) = {
            let mut state = self.state();
            if state.shown.until.is_none() {
                return true;
            }
            let before = state.scopes.clone();
            if !state.scopes.add_repository(repository, &["pull"]) {
                return true;
            }
            (before, state.generation)
        };
        match self.renew(endpoint, generation).await {
            Ok(()) => true,
            Err(cause) => {
                tracing::debug!(repository, %cause, "no token for another repository");
                self.state().scopes = before;
                false
            }
        }
    }

    /// Gets what to show instead, unless another transfer has done so since `generation`.
    pub(super) async fn renew(&self, endpoint: &Endpoint, generation: u32) -> Result<(), Cause> {
        let _one_at_a_time = self.renewing.lock().await;
        let (challenge, scopes) = {
            let state = self.state();
            if state.generation != generation {
                return Ok(());
            }
            (state.challenge.clone(), state.scopes.clone())
        };
        let challenge = match challenge {
            Some(challenge) => challenge,
            None => self.ask_for_challenge(endpoint).await?,
        };
        let credential = self.credential().await?;
        let (shown, refresh) = match (challenge.scheme.as_str(), &credential) {
            (_, Some(Credential::Bearer(token))) => {
                let header = token::bearer(token.reveal()).ok_or_else(|| Cause::Protocol {
                    registry: self.registry.clone(),
                    detail: "the token for it has characters that no token has".to_owned(),
                })?;
                (fixed(header), None)
            }
            ("basic", Some(Credential::Basic { username, password })) => {
                (fixed(token::basic(username, password)), None)
            }
            ("basic", _) => return Err(self.unauthorized(false)),
            ("bearer", credential) => {
                let token = self
                    .token(endpoint, &challenge, &scopes, credential.as_ref())
                    .await?;
                let shown = Shown {
                    header: Some(token.header),
                    until: Some(token.until),
                };
                (shown, token.refresh)
            }
            (scheme, _) => {
                return Err(Cause::Protocol {
                    registry: self.registry.clone(),
                    detail: format!(
                        "it wants {:?} to be used to log in, which is not known here",
                        super::redact::foreign(scheme)
                    ),
                });
            }
        };
        let mut state = self.state();
        // The same again would be refused again.
        if state.shown.until.is_none()
            && state.shown.header.is_some()
            && state.shown.header == shown.header
        {
            drop(state);
            return Err(self.unauthorized(true));
        }
        state.sent |= credential.is_some();
        state.shown = shown;
        state.refresh = refresh.or(state.refresh.take());
        state.generation = state.generation.wrapping_add(1);
        Ok(())
    }

    async fn token(
        &self,
        endpoint: &Endpoint,
        challenge: &Challenge,
        scopes: &Scopes,
        credential: Option<&Credential>,
    ) -> Result<token::Token, Cause> {
        let request = token::Request {
            challenge,
            scopes,
            credential,
            is_login: self.action == Action::Login,
        };
        match request.send(endpoint).await {
            // A password that is no longer right should not hide what anyone may read.
            Err(refused @ Cause::Unauthorized { sent: true, .. })
                if matches!(self.action, Action::Pull | Action::Read(_)) =>
            {
                self.state().sent = true;
                tracing::debug!(registry = self.registry, %refused, "asking for a token for anyone");
                let anonymous = token::Request {
                    credential: None,
                    ..request
                };
                anonymous.send(endpoint).await.map_err(|_| refused)
            }
            result => result,
        }
    }

    /// Asks where challenges are always given. Google's older registry gives none where one is needed.
    async fn ask_for_challenge(&self, endpoint: &Endpoint) -> Result<Challenge, Cause> {
        let url = endpoint.url("").await?;
        let answer = endpoint.send(Ask::new(Method::GET, url)).await?;
        let wanted = chosen(answer.headers());
        if answer.status() != StatusCode::UNAUTHORIZED {
            body::drain(answer).await;
            return Err(self.unauthorized(false));
        }
        let refused = answer::refused(answer, &self.registry, false).await;
        let challenge = wanted.ok_or(refused)?;
        self.state().challenge = Some(challenge.clone());
        Ok(challenge)
    }

    /// Looks for the credential; a helper program may have it, and may take its time.
    async fn credential(&self) -> Result<Option<Credential>, Cause> {
        let (source, registry, repository) = (
            Arc::clone(&self.credentials),
            self.registry.clone(),
            self.repository.clone(),
        );
        let found = blocking_any(move || source.get_for_repository(&registry, &repository)).await?;
        match found {
            Ok(credential) => Ok(credential),
            Err(error) if error.can_wait() => {
                self.state().unusable = Some(error);
                Ok(None)
            }
            Err(error) => Err(Cause::Credential(error)),
        }
    }

    fn unauthorized(&self, sent: bool) -> Cause {
        Cause::Unauthorized {
            registry: self.registry.clone(),
            sent: sent || self.was_sent(),
            detail: String::new(),
        }
    }
}

/// Returns the challenge to answer: a token rather than the password itself, and what is not known last.
fn chosen(headers: &HeaderMap) -> Option<Challenge> {
    let mut all: Vec<Challenge> = headers
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(Challenge::parse_all)
        .collect();
    let rank = |challenge: &Challenge| match challenge.scheme.as_str() {
        "bearer" => 0,
        "basic" => 1,
        _ => 2,
    };
    all.sort_by_key(rank);
    all.into_iter().next()
}

/// Something to show that does not run out.
fn fixed(header: HeaderValue) -> Shown {
    Shown {
        header: Some(header),
        until: None,
    }
}
