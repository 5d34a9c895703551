//! One repository of one registry: requests with who we are, and tries.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, HeaderMap};
use reqwest::{Body, Method, Response, StatusCode, Url};

use super::auth::{Auth, Scopes};
use super::endpoint::{Ask, Endpoint};
use super::error::{Action, Cause, RegistryError, Step};
use super::registries::Source;
use super::retry::Attempts;
use super::{Client, answer, body, redact};
use crate::digest::Digest;
use crate::reference::Reference;

/// New tokens for one request: the first, and one for a token that ran out or is too narrow.
const RENEWALS: u32 = 2;

/// A repository that requests are made about. Made by [`Client::repository`].
pub struct Repository {
    action: Action,
    reference: Reference,
    /// The name at the server, which may be another than in the reference.
    name: String,
    endpoint: Endpoint,
    auth: Auth,
    first_pause: std::time::Duration,
    pub(super) stall: std::time::Duration,
    /// Has the registry answered a request, so that what it wants to see is known?
    opened: AtomicBool,
    /// Held by the first request: those beside it would be refused as well.
    opening: tokio::sync::Mutex<()>,
}

impl Client {
    /// Prepares requests about the repository that a reference names, at the registry itself and not at a mirror.
    ///
    /// `action` says what a token must be good for. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// The registry is blocked, or its certificates cannot be read.
    pub fn repository(
        &self,
        reference: &Reference,
        action: Action,
    ) -> Result<Repository, RegistryError> {
        let fail = |cause| failure(action, reference, Step::Prepare, cause);
        let source = self.registries.itself(reference).map_err(fail)?;
        Repository::at(self, action, reference, &source)
    }
}

impl Repository {
    /// Prepares requests about a repository where it is kept.
    pub(super) fn at(
        client: &Client,
        action: Action,
        reference: &Reference,
        source: &Source,
    ) -> Result<Self, RegistryError> {
        let mut scopes = Scopes::default();
        match action {
            Action::Pull | Action::Read(_) => {
                scopes.add_repository(&source.repository, &["pull"]);
            }
            Action::Push | Action::Write(_) => {
                scopes.add_repository(&source.repository, &["pull", "push"]);
            }
            // Only who we are is asked.
            Action::Login => {}
        }
        let endpoint = Endpoint::new(
            Arc::clone(&client.transport),
            &source.registry,
            source.authority(),
            client.trust(source),
        )
        .map_err(|cause| failure(action, reference, Step::Prepare, cause))?;
        Ok(Self {
            action,
            reference: reference.clone(),
            name: source.repository.clone(),
            auth: Auth::new(
                action,
                Arc::clone(&client.credentials),
                &source.registry,
                &source.repository,
                scopes,
            ),
            endpoint,
            first_pause: client.transport.first_pause,
            stall: client.transport.stall,
            opened: AtomicBool::new(false),
            opening: tokio::sync::Mutex::new(()),
        })
    }

    pub(super) fn reference(&self) -> &Reference {
        &self.reference
    }

    /// Returns the registry's name in references.
    pub(super) fn registry(&self) -> &str {
        self.endpoint.registry()
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(super) fn auth(&self) -> &Auth {
        &self.auth
    }

    /// Returns the URL of something in the repository, such as `manifests/latest`.
    pub(super) async fn url(&self, rest: &str) -> Result<Url, Cause> {
        self.endpoint.url(&format!("{}/{rest}", self.name)).await
    }

    pub(super) async fn blob_url(&self, digest: &Digest) -> Result<Url, Cause> {
        self.url(&format!("blobs/{digest}")).await
    }

    /// Returns the error for a failed step.
    pub(crate) fn fail(&self, step: Step, cause: Cause) -> RegistryError {
        let cause = match (cause, self.auth.unusable()) {
            (Cause::Unauthorized { sent: false, .. }, Some(error)) => Cause::Credential(error),
            (cause, _) => cause,
        };
        failure(self.action, &self.reference, step, cause)
    }

    pub(super) fn protocol(&self, detail: impl Into<String>) -> Cause {
        Cause::Protocol {
            registry: self.registry().to_owned(),
            detail: detail.into(),
        }
    }

    pub(super) fn attempts(&self) -> Attempts {
        Attempts::new(self.first_pause)
    }

    /// Makes a request, with a new token where one is needed. Only success is an answer.
    pub(super) async fn send(&self, ask: Ask) -> Result<Response, Cause> {
        let first = match self.opened.load(Ordering::Acquire) {
            true => None,
            false => Some(self.opening.lock().await),
        };
        let _first = first.filter(|_| !self.opened.load(Ordering::Acquire));
        let mut renewals = RENEWALS;
        loop {
            let (shown, generation) = self.auth.now(&self.endpoint).await?;
            let mut asked = ask.clone();
            if let Some(header) = shown.header
                && self.endpoint.is_own(&ask.url)
            {
                asked.headers.insert(AUTHORIZATION, header);
            }
            let answer = self.endpoint.send(asked).await?;
            // Only the registry itself may ask who we are, and not the storage that it leads to.
            let is_asked =
                answer.status() == StatusCode::UNAUTHORIZED && self.endpoint.is_own(answer.url());
            if !is_asked {
                self.opened.store(true, Ordering::Release);
                return self.success(answer).await;
            }
            self.auth.challenged(answer.headers());
            let refused = self.refused(answer).await;
            if renewals == 0 {
                return Err(refused);
            }
            renewals = renewals.saturating_sub(1);
            match self.auth.renew(&self.endpoint, generation).await {
                Ok(()) => {}
                // The registry's own words say more than none.
                Err(Cause::Unauthorized {
                    registry,
                    sent,
                    detail,
                }) if detail.is_empty() => {
                    let detail = match refused {
                        Cause::Unauthorized { detail, .. } => detail,
                        _ => detail,
                    };
                    return Err(Cause::Unauthorized {
                        registry,
                        sent,
                        detail,
                    });
                }
                Err(cause) => return Err(cause),
            }
        }
    }

    /// Makes a request whose body comes piece by piece. When it is refused for want of a new token, there is one next time.
    pub(super) async fn stream(
        &self,
        method: Method,
        url: Url,
        mut headers: HeaderMap,
        body: Body,
    ) -> Result<Response, Cause> {
        let (shown, generation) = self.auth.now(&self.endpoint).await?;
        if let Some(header) = shown.header
            && self.endpoint.is_own(&url)
        {
            headers.insert(AUTHORIZATION, header);
        }
        let answer = self.endpoint.stream(method, url, headers, body).await?;
        if answer.status() == StatusCode::UNAUTHORIZED && self.endpoint.is_own(answer.url()) {
            self.auth.challenged(answer.headers());
            let refused = self.refused(answer).await;
            self.auth.renew(&self.endpoint, generation).await?;
            return Err(refused);
        }
        self.success(answer).await
    }

    /// As [`Self::send`], again if it may help.
    pub(super) async fn call(&self, step: Step, ask: Ask) -> Result<Response, RegistryError> {
        let mut attempts = self.attempts();
        loop {
            let cause = match self.send(ask.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(cause) => cause,
            };
            attempts
                .wait(cause)
                .await
                .map_err(|cause| self.fail(step.clone(), cause))?;
        }
    }

    /// Makes a request for a small document, again if it may help. Returns the head and the body.
    pub(super) async fn document(
        &self,
        step: Step,
        ask: Ask,
        limit: usize,
        what: &'static str,
    ) -> Result<(HeaderMap, Bytes), RegistryError> {
        self.document_within(self.attempts(), step, ask, limit, what)
            .await
    }

    pub(super) async fn document_within(
        &self,
        mut attempts: Attempts,
        step: Step,
        ask: Ask,
        limit: usize,
        what: &'static str,
    ) -> Result<(HeaderMap, Bytes), RegistryError> {
        loop {
            let result = async {
                let answer = self.send(ask.clone()).await?;
                let headers = answer.headers().clone();
                let bytes = body::read(answer, limit, what, self.registry()).await?;
                Ok((headers, bytes))
            };
            let cause = match result.await {
                Ok(answer) => return Ok(answer),
                Err(cause) => cause,
            };
            attempts
                .wait(cause)
                .await
                .map_err(|cause| self.fail(step.clone(), cause))?;
        }
    }

    async fn success(&self, answer: Response) -> Result<Response, Cause> {
        if answer.status().is_success() {
            Ok(answer)
        } else {
            Err(self.refused(answer).await)
        }
    }

    async fn refused(&self, answer: Response) -> Cause {
        answer::refused(answer, self.registry(), self.auth.was_sent()).await
    }
}

pub(super) fn failure(
    action: Action,
    reference: &Reference,
    step: Step,
    cause: Cause,
) -> RegistryError {
    RegistryError {
        action,
        // Our own text, but built from what a person typed.
        reference: redact::foreign(&reference.to_string()),
        registry: reference.registry().to_owned(),
        step,
        cause: Box::new(cause),
    }
}
