//! Pull and push.
//!
//! The wire is `oci-client`'s: this module decides what is asked for, checks what comes back, and keeps it in the store.
//! Nothing enters the store under a digest that is not its own, and what cannot be right (too long, too short, too large)
//! is given up before it is whole.
//!
//! | file | subject |
//! |---|---|
//! | `session.rs` | one registry, one repository: scheme, token, retries |
//! | `transport.rs` | settings of the HTTP client |
//! | `pull.rs`, `download.rs` | from registry to store |
//! | `push.rs`, `upload.rs` | from store to registry |
//! | `credentials.rs`, `docker_config.rs`, `secret.rs` | who we are |
//! | `error.rs`, `answer.rs`, `redact.rs` | errors without secrets |
//! | `event.rs` | progress |

mod answer;
mod credentials;
mod docker_config;
mod download;
mod error;
mod event;
#[cfg(any(test, feature = "testing"))]
pub mod fake;
mod pull;
mod push;
mod redact;
mod secret;
mod session;
#[cfg(test)]
mod tests;
mod transport;
mod upload;

use std::sync::Arc;

pub use credentials::{Anonymous, Credential, CredentialError, CredentialSource};
pub use docker_config::DockerConfig;
pub use error::{Action, Cause, RegistryError, Step};
pub use event::{BlobKind, Progress, TransferEvent};
pub use pull::Pulled;
pub use push::Pushed;
pub use secret::Secret;

use transport::Transport;

/// Blobs that are transferred at the same time: what Docker does, and enough to fill a line.
const PARALLEL: usize = 3;

/// What a [`Client`] needs to know.
pub struct ClientOptions {
    /// Where credentials come from.
    pub credentials: Arc<dyn CredentialSource>,
    /// Registries, named as in references, that may be spoken to by plain HTTP if they do not answer by HTTPS.
    /// Those on this machine (`localhost`, `127.0.0.0/8`, `[::1]`) always may.
    pub insecure: Vec<String>,
    /// What the client calls itself, such as `coracle/0.1.0`.
    pub user_agent: String,
    /// Certificates to trust beside the system's, each in PEM or DER.
    pub extra_roots: Vec<Vec<u8>>,
}

/// Pulls and pushes images. One serves a whole process.
///
/// The process must have a default `rustls` provider, installed before the first call; without one every call fails with
/// [`Cause::Tls`]. Calls need a Tokio runtime with time and I/O.
pub struct Client {
    credentials: Arc<dyn CredentialSource>,
    transport: Arc<Transport>,
}

impl Client {
    /// Makes a client. Nothing is read or sent before the first call.
    pub fn new(options: ClientOptions) -> Self {
        Self {
            credentials: options.credentials,
            transport: Arc::new(Transport::new(
                options.insecure,
                options.user_agent,
                options.extra_roots,
            )),
        }
    }
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
