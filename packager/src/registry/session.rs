//! One conversation with one registry about one repository.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use oci_client::client::Client as Http;
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference as Target, RegistryOperation};

use super::credentials::{Credential, CredentialError, HUB};
use super::error::{Action, Cause, RegistryError, Step};
use super::transport::{Scheme, Transport, Upload};
use super::{Client, redact};
use crate::digest::Digest;
use crate::reference::Reference;

/// Where Docker Hub's registry answers.
const HUB_HOST: &str = "registry-1.docker.io";
/// Time for a request whose answer is small: a token, a manifest, the head of a blob. `oci-client` holds such answers in
/// memory whole, however long they are, so this is also the bound on what a hostile registry can make us hold.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// Tries for one request or blob, the first one included.
const TRIES: u32 = 4;
/// The registry's `Retry-After` is out of reach behind `oci-client`, so a limit on requests gets a longer pause.
const LIMITED_FACTOR: u32 = 4;

pub(super) struct Session {
    action: Action,
    reference: Reference,
    /// The registry as the reference names it.
    registry: String,
    /// The host that speaks for the registry.
    host: String,
    transport: Arc<Transport>,
    credential: Option<Credential>,
    /// A credential that exists, but cannot be used: what to say if anonymous access is refused.
    unusable: Option<CredentialError>,
    current: Mutex<Current>,
    /// Held while a new token is fetched, so that parallel transfers fetch one.
    renewing: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Current {
    /// Uses `auth` and never asks for a token itself: `oci-client` would panic on a token that is no header value.
    http: Http,
    auth: RegistryAuth,
    scheme: Scheme,
    /// Did a token server issue `auth`, so that it may run out?
    issued: bool,
    generation: u32,
}

/// The tries that are left for one request or blob.
pub(super) struct Attempts {
    left: u32,
    pause: Duration,
    renewed: bool,
}

impl Session {
    /// Makes the first contact, and gets a token if the registry wants one.
    pub(super) async fn open(
        client: &Client,
        action: Action,
        reference: &Reference,
    ) -> Result<Self, RegistryError> {
        let registry = reference.registry().to_owned();
        let fail = |step, cause| failure(action, reference, step, cause);
        let credential = client
            .credentials
            .get_for_repository(&registry, reference.repository());
        let (credential, unusable) = match credential {
            Ok(credential) => (credential, None),
            Err(error) if error.can_wait() => (None, Some(error)),
            Err(error) => return Err(fail(Step::Prepare, Cause::Credential(error))),
        };
        let host = if registry == HUB { HUB_HOST } else { &registry };
        let target = target(host, reference);
        let transport = Arc::clone(&client.transport);
        let login = Login {
            transport: &transport,
            registry: &registry,
            action,
            target: &target,
        };
        let current = match login.first(credential.as_ref()).await {
            Ok(current) => current,
            Err(Cause::Unauthorized { sent: false, .. }) if unusable.is_some() => {
                let error = unusable.map_or(Cause::NotFound, Cause::Credential);
                return Err(fail(Step::Authenticate, error));
            }
            Err(cause) => return Err(fail(Step::Authenticate, cause)),
        };
        Ok(Self {
            action,
            reference: reference.clone(),
            host: host.to_owned(),
            registry,
            transport,
            credential,
            unusable,
            current: Mutex::new(current),
            renewing: tokio::sync::Mutex::new(()),
        })
    }

    /// Returns the repository by name, for requests about blobs.
    pub(super) fn target(&self) -> Target {
        target(&self.host, &self.reference)
    }

    /// Returns a manifest by digest, for reading.
    pub(super) fn target_by_digest(&self, digest: &Digest) -> Target {
        self.target().clone_with_digest(digest.to_string())
    }

    /// Returns a manifest for writing, by tag or by the text of a digest.
    ///
    /// A digest stands where a tag would: the URL is the same, and `oci-client` panics in its work-around for registries
    /// that send no `Location` (Amazon's) if there is no tag.
    pub(super) fn target_by_name(&self, name: &str) -> Target {
        Target::with_tag(
            self.host.clone(),
            self.reference.repository().to_owned(),
            name.to_owned(),
        )
    }

    pub(super) fn reference(&self) -> &Reference {
        &self.reference
    }

    pub(super) fn registry(&self) -> &str {
        &self.registry
    }

    /// Returns the error for a failed step.
    pub(super) fn fail(&self, step: Step, cause: Cause) -> RegistryError {
        let cause = match (cause, &self.unusable) {
            (Cause::Unauthorized { sent: false, .. }, Some(error)) => {
                Cause::Credential(error.clone())
            }
            (cause, _) => cause,
        };
        failure(self.action, &self.reference, step, cause)
    }

    /// Sorts an error of the registry client.
    pub(super) fn cause(&self, error: OciDistributionError) -> Cause {
        Cause::of(error, &self.registry, self.credential.is_some())
    }

    pub(super) fn attempts(&self) -> Attempts {
        Attempts {
            left: TRIES - 1,
            pause: self.transport.first_pause,
            renewed: false,
        }
    }

    /// Returns the client and credential to use now, and a number that tells them from later ones.
    pub(super) fn now(&self) -> (Http, RegistryAuth, u32) {
        let current = self.current();
        (current.http, current.auth, current.generation)
    }

    /// Returns a client that uploads in pieces.
    pub(super) async fn in_pieces(&self) -> Result<Http, Cause> {
        let current = self.current();
        let http =
            self.transport
                .client(&self.registry, current.scheme, self.action, Upload::Pieces)?;
        http.store_auth_if_needed(&self.host, &current.auth).await;
        Ok(http)
    }

    /// Makes a request with a small answer, again if it may help.
    pub(super) async fn call<T, Request, Answer>(
        &self,
        step: Step,
        request: Request,
    ) -> Result<T, RegistryError>
    where
        Request: Fn(Http, RegistryAuth) -> Answer,
        Answer: Future<Output = Result<T, OciDistributionError>>,
    {
        let mut attempts = self.attempts();
        loop {
            let (http, auth, generation) = self.now();
            let cause = match self.answer(request(http, auth)).await {
                Ok(answer) => return Ok(answer),
                Err(cause) => cause,
            };
            if let Err(cause) = self.again(&mut attempts, generation, cause).await {
                return Err(self.fail(step, cause));
            }
        }
    }

    /// Waits for a small answer, but not for ever.
    pub(super) async fn answer<T>(
        &self,
        request: impl Future<Output = Result<T, OciDistributionError>>,
    ) -> Result<T, Cause> {
        match tokio::time::timeout(ANSWER_LIMIT, request).await {
            Ok(answer) => answer.map_err(|error| self.cause(error)),
            Err(_) => Err(timed_out(&self.registry)),
        }
    }

    /// After a failure: returns when it is time to try again, or gives the cause back if that cannot help.
    pub(super) async fn again(
        &self,
        attempts: &mut Attempts,
        generation: u32,
        cause: Cause,
    ) -> Result<(), Cause> {
        let may_have_run_out = matches!(cause, Cause::Unauthorized { .. }) && self.current().issued;
        if may_have_run_out && !attempts.renewed {
            attempts.renewed = true;
            return self.renew(generation).await;
        }
        if !cause.is_temporary() || attempts.left == 0 {
            return Err(cause);
        }
        tracing::debug!(registry = self.registry, %cause, "trying again");
        let limited = matches!(cause, Cause::TooManyRequests { .. });
        attempts.left = attempts.left.saturating_sub(1);
        let factor = if limited { LIMITED_FACTOR } else { 1 };
        tokio::time::sleep(attempts.pause.saturating_mul(factor)).await;
        attempts.pause = attempts.pause.saturating_mul(2);
        Ok(())
    }

    /// Gets a new token, unless another transfer has done so since `generation`.
    async fn renew(&self, generation: u32) -> Result<(), Cause> {
        let _one_at_a_time = self.renewing.lock().await;
        let old = self.current();
        if old.generation != generation {
            return Ok(());
        }
        let target = self.target();
        let login = Login {
            transport: &self.transport,
            registry: &self.registry,
            action: self.action,
            target: &target,
        };
        let mut new = login
            .with_scheme(old.scheme, self.credential.as_ref())
            .await?;
        new.generation = old.generation.wrapping_add(1);
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    fn current(&self) -> Current {
        self.current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Attempts {
    /// Gives all tries back: the last one got further.
    pub(super) fn refill(&mut self) {
        self.left = TRIES - 1;
    }

    /// Can anything still be tried?
    pub(super) fn are_left(&self) -> bool {
        self.left > 0
    }
}

/// The first contact with a registry.
struct Login<'a> {
    transport: &'a Transport,
    registry: &'a str,
    action: Action,
    target: &'a Target,
}

impl Login<'_> {
    /// Finds the scheme that the registry speaks, and logs in.
    async fn first(&self, credential: Option<&Credential>) -> Result<Current, Cause> {
        let mut failed = None;
        for scheme in self.transport.schemes(self.registry) {
            match self.with_scheme(*scheme, credential).await {
                Ok(current) => {
                    self.transport.remember(self.registry, *scheme);
                    return Ok(current);
                }
                // A certificate that is refused is another cause, and no reason to go on without one.
                Err(cause @ Cause::Connect { .. }) => failed = Some(cause),
                Err(cause) => return Err(cause),
            }
        }
        Err(failed.unwrap_or(Cause::NotFound))
    }

    async fn with_scheme(
        &self,
        scheme: Scheme,
        credential: Option<&Credential>,
    ) -> Result<Current, Cause> {
        let auth = match credential {
            None => RegistryAuth::Anonymous,
            Some(Credential::Basic { username, password }) => {
                RegistryAuth::Basic(username.clone(), password.reveal().to_owned())
            }
            Some(Credential::Bearer(token)) => {
                RegistryAuth::Bearer(self.checked_token(token.reveal())?)
            }
        };
        let operation = match self.action {
            Action::Pull => RegistryOperation::Pull,
            Action::Push => RegistryOperation::Push,
        };
        let is_fixed = matches!(auth, RegistryAuth::Bearer(_));
        // A token of our own is not shown here: this finds out whether anybody answers.
        let shown = if is_fixed {
            &RegistryAuth::Anonymous
        } else {
            &auth
        };
        let http = self.client(scheme)?;
        let request = http.auth(self.target, shown, operation);
        let answer = match tokio::time::timeout(ANSWER_LIMIT, request).await {
            Ok(answer) => {
                answer.map_err(|error| Cause::of(error, self.registry, credential.is_some()))
            }
            Err(_) => Err(timed_out(self.registry)),
        };
        let (auth, issued) = match answer {
            Ok(Some(token)) if !is_fixed => {
                (RegistryAuth::Bearer(self.checked_token(&token)?), true)
            }
            Err(Cause::Unauthorized { .. }) if is_fixed => (auth, false),
            Ok(_) => (auth, false),
            Err(cause) => return Err(cause),
        };
        let http = self.client(scheme)?;
        // With anonymous "credentials" stored, `oci-client` asks an open registry anew before each request.
        if auth != RegistryAuth::Anonymous {
            http.store_auth_if_needed(self.target.resolve_registry(), &auth)
                .await;
        }
        Ok(Current {
            http,
            auth,
            scheme,
            issued,
            generation: 0,
        })
    }

    fn client(&self, scheme: Scheme) -> Result<Http, Cause> {
        self.transport
            .client(self.registry, scheme, self.action, Upload::Whole)
    }

    /// Refuses a token that cannot be sent.
    fn checked_token(&self, token: &str) -> Result<String, Cause> {
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Cause::Protocol {
                registry: self.registry.to_owned(),
                detail: "the token is empty or has characters that no token has".to_owned(),
            });
        }
        Ok(token.to_owned())
    }
}

fn target(host: &str, reference: &Reference) -> Target {
    let tag = reference.tag().unwrap_or("latest");
    Target::with_tag(
        host.to_owned(),
        reference.repository().to_owned(),
        tag.to_owned(),
    )
}

fn timed_out(registry: &str) -> Cause {
    Cause::TimedOut {
        registry: registry.to_owned(),
        seconds: ANSWER_LIMIT.as_secs(),
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
