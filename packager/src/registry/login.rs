//! Proving who we are, and nothing else.

use std::sync::Arc;

use reqwest::Method;

use super::credentials::{Credential, CredentialError, CredentialSource, HUB};
use super::endpoint::Ask;
use super::error::{Action, RegistryError, Step};
use super::secret::Secret;
use super::{Client, body};
use crate::reference::Reference;

/// A user whom a registry believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedIn {
    /// What is to be kept: the password, or an identity token if the registry gave one.
    pub credential: Credential,
    /// Did the registry want to know who asks? One that lets everybody in believes any password.
    pub was_asked: bool,
}

/// One credential for whoever asks.
struct Given(Credential);

impl CredentialSource for Given {
    fn get(&self, _registry: &str) -> Result<Option<Credential>, CredentialError> {
        Ok(Some(self.0.clone()))
    }
}

impl Client {
    /// Asks a registry, named as in references, whether it believes a user and password.
    ///
    /// # Errors
    ///
    /// [`Cause::Unauthorized`](super::Cause::Unauthorized) if it does not, or what keeps it from answering.
    pub async fn login(
        &self,
        registry: &str,
        username: &str,
        password: &Secret,
    ) -> Result<LoggedIn, RegistryError> {
        let given = Credential::Basic {
            username: username.to_owned(),
            password: password.clone(),
        };
        let client = Self {
            credentials: Arc::new(Given(given.clone())),
            transport: Arc::clone(&self.transport),
            registries: self.registries.clone(),
            verify_tls: self.verify_tls,
        };
        // The settings are found by names; any name of the registry has those of the registry.
        let any = if registry == HUB {
            "login".to_owned()
        } else {
            format!("{registry}/login")
        };
        let named = |error: RegistryError| RegistryError {
            reference: super::redact::foreign(registry),
            step: Step::Authenticate,
            ..error
        };
        let reference = Reference::parse(&any).map_err(|error| RegistryError {
            action: Action::Login,
            reference: super::redact::foreign(registry),
            registry: super::redact::foreign(registry),
            step: Step::Prepare,
            cause: Box::new(super::Cause::NoRegistry {
                problem: error.to_string(),
            }),
        })?;
        if reference.registry() != registry {
            return Err(named(RegistryError {
                action: Action::Login,
                reference: String::new(),
                registry: super::redact::foreign(registry),
                step: Step::Prepare,
                cause: Box::new(super::Cause::NoRegistry {
                    problem: "it is the beginning of a name at Docker Hub, want host[:port]"
                        .to_owned(),
                }),
            }));
        }
        let repository = client
            .repository(&reference, Action::Login)
            .map_err(named)?;
        let url = repository
            .endpoint()
            .url("")
            .await
            .map_err(|cause| named(repository.fail(Step::Authenticate, cause)))?;
        let answer = repository
            .call(Step::Authenticate, Ask::new(Method::GET, url))
            .await
            .map_err(named)?;
        body::drain(answer).await;
        let identity = repository.auth().refresh_token().map(Credential::Identity);
        Ok(LoggedIn {
            credential: identity.unwrap_or(given),
            was_asked: repository.auth().was_sent(),
        })
    }
}
