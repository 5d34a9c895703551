//! Credentials, and where they come from.

use super::helper::HelperError;
use super::secret::Secret;

/// The registry name of Docker Hub in references.
pub(super) const HUB: &str = "docker.io";

/// What a registry wants to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A user with a password or access token.
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A token that the registry itself accepts.
    Bearer(Secret),
    /// A token that the registry's token server gives others for: OAuth 2's refresh token.
    Identity(Secret),
}

/// Gives credentials for registries.
pub trait CredentialSource: Send + Sync {
    /// Returns the credential for a registry, named as in references (`docker.io`, `127.0.0.1:5000`), or `None` for
    /// anonymous access.
    ///
    /// # Errors
    ///
    /// A credential exists but cannot be used. If [`CredentialError::can_wait`], the registry is tried anonymously first.
    fn get(&self, registry: &str) -> Result<Option<Credential>, CredentialError>;

    /// As [`Self::get`], for one repository of the registry. Some files have credentials by path.
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    fn get_for_repository(
        &self,
        registry: &str,
        repository: &str,
    ) -> Result<Option<Credential>, CredentialError> {
        // The default has no credentials by path.
        let _: &str = repository;
        self.get(registry)
    }
}

/// Access to every registry without a name.
#[derive(Clone, Copy, Debug, Default)]
pub struct Anonymous;

impl CredentialSource for Anonymous {
    fn get(&self, _registry: &str) -> Result<Option<Credential>, CredentialError> {
        Ok(None)
    }
}

/// Why a credential cannot be used. No message repeats a value from the file: it may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The file is not JSON of the known shape.
    #[error("{problem} at line {line}, column {column}")]
    Malformed {
        /// What kind of mistake.
        problem: &'static str,
        /// Line of the mistake, from 1.
        line: usize,
        /// Column of the mistake, from 1.
        column: usize,
    },
    /// An entry is not a user and a password.
    #[error("entry {key:?} of \"auths\" in Docker's config.json: {problem}")]
    Entry {
        /// The entry's key.
        key: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// The credential is kept by a helper program, which does not give it.
    #[error("the credential for \"{registry}\" is kept by a helper")]
    Helper {
        /// The registry.
        registry: String,
        /// What happened.
        source: HelperError,
    },
}

impl CredentialError {
    /// May anonymous access be tried before this counts? A public image needs no credential.
    pub fn can_wait(&self) -> bool {
        matches!(self, Self::Helper { .. })
    }
}

/// Several sources: the first that has a credential gives it.
#[derive(Default)]
pub struct FirstOf(pub Vec<Box<dyn CredentialSource>>);

impl CredentialSource for FirstOf {
    fn get(&self, registry: &str) -> Result<Option<Credential>, CredentialError> {
        self.get_for_repository(registry, "")
    }

    fn get_for_repository(
        &self,
        registry: &str,
        repository: &str,
    ) -> Result<Option<Credential>, CredentialError> {
        let mut waiting = None;
        for source in &self.0 {
            match source.get_for_repository(registry, repository) {
                Ok(None) => {}
                Err(error) if error.can_wait() => waiting = waiting.or(Some(error)),
                found => return found,
            }
        }
        waiting.map_or(Ok(None), Err)
    }
}
