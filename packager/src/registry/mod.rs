//! Pull, push, and whatever else is asked of a registry.
//!
//! One HTTP client (`reqwest`), one token flow, one place for limits: this module decides what is asked for, checks what comes
//! back, and keeps it in the store. Nothing enters the store under a digest that is not its own, and what cannot be right (too
//! long, too short, too large) is given up before it is whole. `docs/registries.md` is the user's view.
//!
//! | file | subject |
//! |---|---|
//! | `repository.rs`, `retry.rs` | one repository: requests with who we are, again where it may help |
//! | `manifests.rs` | manifests, tags, referrers and small blobs, one request each |
//! | `referrers.rs` | what is attached to a manifest, also where the registry keeps no list of it |
//! | `auth/` | from a challenge to a token |
//! | `endpoint.rs`, `transport/` | one server and where it may lead us; TLS, proxies, names |
//! | `body.rs`, `answer.rs` | bodies within bounds, and what answers mean |
//! | `pull.rs`, `download.rs` | from registry to store |
//! | `web.rs` | one file from the web |
//! | `push.rs`, `upload.rs`, `mount.rs` | from store to registry |
//! | `registries.rs` | mirrors and other locations: `registries.conf` |
//! | `credentials.rs`, `docker_config.rs`, `helper.rs`, `auth_file.rs`, `login.rs`, `secret.rs` | who we are |
//! | `error.rs`, `redact.rs` | errors without secrets |
//! | `event.rs` | progress |

mod answer;
mod auth;
mod auth_file;
mod body;
mod credentials;
mod docker_config;
mod download;
mod endpoint;
mod error;
mod event;
#[cfg(any(test, feature = "testing"))]
pub mod fake;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod fuzz;
mod helper;
mod login;
mod manifests;
mod mount;
mod pull;
mod push;
mod redact;
mod referrers;
mod registries;
mod repository;
mod retry;
mod secret;
#[cfg(test)]
mod tests;
mod transport;
mod upload;
mod web;

use std::path::PathBuf;
use std::sync::Arc;

pub use auth::Challenge;
pub use auth_file::{AuthFile, AuthFileError, Keeper};
pub use credentials::{Anonymous, Credential, CredentialError, CredentialSource, FirstOf};
pub use docker_config::DockerConfig;
pub use error::{Action, Cause, RegistryError, Step};
pub use event::{BlobKind, Progress, TransferEvent};
pub use helper::{Helper, HelperError};
pub use login::LoggedIn;
pub use manifests::{ManifestName, RawManifest, StoredManifest};
pub use pull::Pulled;
pub use push::Pushed;
pub use referrers::NewReferrer;
pub use registries::{RegistriesConf, RegistriesConfError};
pub use repository::Repository;
pub use secret::Secret;
pub use transport::Proxies;
pub use web::WebError;

use registries::Source;
use transport::{Transport, Trust};

/// Blobs that are transferred at the same time: what Docker does, and enough to fill a line.
const PARALLEL: usize = 3;

/// What a [`Client`] needs to know.
pub struct ClientOptions {
    /// Where credentials come from.
    pub credentials: Arc<dyn CredentialSource>,
    /// Mirrors, and which registries need no TLS. Those on this machine (`localhost`, `127.0.0.0/8`, `[::1]`) never do.
    pub registries: RegistriesConf,
    /// Are certificates looked at, and is plain HTTP refused, for registries that `registries` does not call insecure?
    pub verify_tls: bool,
    /// What the client calls itself, such as `coracle/0.1.0`.
    pub user_agent: String,
    /// Certificates to trust beside the system's, each in PEM or DER.
    pub extra_roots: Vec<Vec<u8>>,
    /// Folders with certificates by host, as `/etc/docker/certs.d`; the first that knows a host counts.
    pub certificate_dirs: Vec<PathBuf>,
    /// Proxies between here and the registries.
    pub proxies: Proxies,
}

impl ClientOptions {
    /// Returns options that go by references alone, with the system's certificates and no proxy.
    pub fn new(credentials: Arc<dyn CredentialSource>, user_agent: impl Into<String>) -> Self {
        Self {
            credentials,
            registries: RegistriesConf::default(),
            verify_tls: true,
            user_agent: user_agent.into(),
            extra_roots: Vec::new(),
            certificate_dirs: Vec::new(),
            proxies: Proxies::default(),
        }
    }
}

/// Speaks to registries. One serves a whole process.
///
/// The process must have a default `rustls` provider, installed before the first call; without one every call fails with
/// [`Cause::Tls`]. Calls need a Tokio runtime with time and I/O.
pub struct Client {
    credentials: Arc<dyn CredentialSource>,
    transport: Arc<Transport>,
    registries: RegistriesConf,
    verify_tls: bool,
}

impl Client {
    /// Makes a client. Nothing is read or sent before the first call.
    pub fn new(options: ClientOptions) -> Self {
        Self {
            credentials: options.credentials,
            transport: Arc::new(Transport::new(
                options.user_agent,
                options.extra_roots,
                options.proxies,
                options.certificate_dirs,
            )),
            registries: options.registries,
            verify_tls: options.verify_tls,
        }
    }

    fn trust(&self, source: &Source) -> Trust {
        if self.verify_tls && !source.insecure {
            Trust::Checked
        } else {
            Trust::Anyone
        }
    }
}

/// Runs what may wait, and has an error of its own, on a thread for that.
async fn blocking_any<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Cause> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|stopped| Cause::Stopped {
            detail: redact::chain(&stopped),
        })
}

/// Runs what may wait for the disk on a thread for that.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, crate::store::StoreError> + Send + 'static,
) -> Result<T, Cause> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(stopped) => Err(Cause::Stopped {
            detail: redact::chain(&stopped),
        }),
    }
}
