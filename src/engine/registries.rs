//! How registries are spoken to, whichever door asks.

use std::path::PathBuf;
use std::sync::Arc;

use coracle_packager::registry::{
    Client, ClientOptions, CredentialSource, LoggedIn, Proxies, RegistriesConf, Secret,
};

use super::Error;

/// How registries are spoken to.
pub struct Registries {
    /// Where user names, passwords and tokens come from.
    pub credentials: Arc<dyn CredentialSource>,
    /// Mirrors, and registries that need no TLS.
    pub conf: RegistriesConf,
    /// Are certificates looked at, and is plain HTTP refused beyond this machine, where `conf` does not say otherwise?
    pub verify_tls: bool,
    /// Folders with certificates by host.
    pub certificate_dirs: Vec<PathBuf>,
    /// Proxies between here and the registries.
    pub proxies: Proxies,
}

impl Registries {
    pub(super) fn client(&self) -> Client {
        // An error means that one is installed, by an earlier exchange or by who embeds this library.
        drop(rustls::crypto::ring::default_provider().install_default());
        Client::new(ClientOptions {
            credentials: Arc::clone(&self.credentials),
            registries: self.conf.clone(),
            verify_tls: self.verify_tls,
            certificate_dirs: self.certificate_dirs.clone(),
            proxies: self.proxies.clone(),
            user_agent: concat!("coracle/", env!("CARGO_PKG_VERSION")).to_owned(),
            extra_roots: Vec::new(),
        })
    }

    /// Asks a registry, named as in references, whether it believes a user and password. Nothing is kept.
    ///
    /// # Errors
    ///
    /// It does not, or something keeps it from answering.
    pub fn login(
        &self,
        registry: &str,
        username: &str,
        password: &Secret,
    ) -> Result<LoggedIn, Error> {
        let client = self.client();
        Ok(runtime()?.block_on(client.login(registry, username, password))?)
    }
}

/// Makes the runtime for one exchange with a registry; all of it runs on this thread.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Error::File {
            doing: "opening the event queue",
            path: PathBuf::new(),
            source,
        })
}
