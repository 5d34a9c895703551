//! Settings of the HTTP client, and the choice between HTTPS and HTTP.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};

use super::error::{Action, Cause};
use super::redact;

/// Time to make a connection, TLS included.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);
/// The same where HTTP will be tried next: a server on this machine, or near it, answers at once.
const PROBE_LIMIT: Duration = Duration::from_secs(3);
/// Time without a byte after which a download is given up, and tried again.
const READ_LIMIT: Duration = Duration::from_secs(60);
/// A proxy that is never spoken to, see [`Transport::client`].
const UNUSED_PROXY: &str = "http://127.0.0.1:9";
/// Exempts every name and every address from a proxy.
const EVERYTHING: &str = "*,0.0.0.0/0,::/0";

/// How a registry is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Https,
    Http,
}

/// How blobs are uploaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upload {
    /// One request with the whole blob: every registry takes it, and it is the fastest.
    Whole,
    /// Requests with pieces: for proxies that limit the size of one, and for empty blobs, which `oci-client` refuses to
    /// send whole.
    Pieces,
}

pub(super) struct Transport {
    insecure: Vec<String>,
    user_agent: &'static str,
    extra_roots: Vec<Vec<u8>>,
    /// Registries that were found to speak HTTP only.
    plain: Mutex<BTreeSet<String>>,
    /// The pause before the first retry.
    pub(super) first_pause: Duration,
}

impl Transport {
    pub(super) fn new(
        insecure: Vec<String>,
        user_agent: String,
        extra_roots: Vec<Vec<u8>>,
    ) -> Self {
        Self {
            insecure,
            // `oci-client` wants it for the life of the process, which is also the life of a client.
            user_agent: Box::leak(user_agent.into_boxed_str()),
            extra_roots,
            plain: Mutex::new(BTreeSet::new()),
            first_pause: Duration::from_millis(250),
        }
    }

    /// Returns the schemes to try, in order.
    ///
    /// HTTPS always comes first, as with Docker. HTTP is tried only for registries on this machine and those named as
    /// insecure; a certificate that is refused is an error and no reason to go on without TLS.
    pub(super) fn schemes(&self, registry: &str) -> &'static [Scheme] {
        if !self.may_be_plain(registry) {
            &[Scheme::Https]
        } else if self.known_plain().contains(registry) {
            &[Scheme::Http]
        } else {
            &[Scheme::Https, Scheme::Http]
        }
    }

    pub(super) fn remember(&self, registry: &str, scheme: Scheme) {
        if scheme == Scheme::Http {
            self.known_plain().insert(registry.to_owned());
        }
    }

    fn known_plain(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.plain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn may_be_plain(&self, registry: &str) -> bool {
        is_loopback(registry) || self.insecure.iter().any(|name| name == registry)
    }

    /// Makes a client of `oci-client` for one registry.
    ///
    /// It panics without a `rustls` provider and without system certificates, so both are looked for before.
    pub(super) fn client(
        &self,
        registry: &str,
        scheme: Scheme,
        action: Action,
        upload: Upload,
    ) -> Result<oci_client::Client, Cause> {
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            return Err(Cause::Tls {
                detail: "the process has no default rustls provider".to_owned(),
            });
        }
        let build = |config: ClientConfig| {
            oci_client::Client::try_from(config).map_err(|error| Cause::Tls {
                detail: redact::chain(&error),
            })
        };
        if !self.extra_roots.is_empty() {
            build(ClientConfig::default())?;
        }
        let probing = scheme == Scheme::Https && self.may_be_plain(registry);
        let mut config = ClientConfig {
            protocol: match scheme {
                Scheme::Https => ClientProtocol::Https,
                Scheme::Http => ClientProtocol::Http,
            },
            use_monolithic_push: upload == Upload::Whole,
            extra_root_certificates: self
                .extra_roots
                .iter()
                .map(|root| certificate(root))
                .collect(),
            platform_resolver: None,
            connect_timeout: Some(if probing { PROBE_LIMIT } else { CONNECT_LIMIT }),
            // For an upload it would count from the first byte sent, not from the last.
            read_timeout: (action == Action::Pull).then_some(READ_LIMIT),
            user_agent: self.user_agent,
            ..ClientConfig::default()
        };
        if is_loopback(registry) {
            // The proxies of the environment are for the world outside. Naming one turns those off, and the exception
            // for everything turns the named one off.
            config.http_proxy = Some(UNUSED_PROXY.to_owned());
            config.https_proxy = Some(UNUSED_PROXY.to_owned());
            config.no_proxy = Some(EVERYTHING.to_owned());
        }
        build(config)
    }
}

fn certificate(bytes: &[u8]) -> Certificate {
    let pem = bytes.trim_ascii_start().starts_with(b"-----BEGIN");
    Certificate {
        encoding: if pem {
            CertificateEncoding::Pem
        } else {
            CertificateEncoding::Der
        },
        data: bytes.to_vec(),
    }
}

/// Is the registry on this machine?
fn is_loopback(registry: &str) -> bool {
    let host = match registry.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => registry.split(':').next().unwrap_or_default(),
    };
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_told_by_the_host_alone() {
        for registry in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:5000",
            "127.9.8.7",
            "[::1]:5000",
            "[::1]",
        ] {
            assert!(is_loopback(registry), "{registry}");
        }
        for registry in [
            "r.example",
            "localhost.example:5000",
            "127.0.0.1.example",
            "128.0.0.1",
            "[::2]:1",
            "0.0.0.0:5000",
            "",
            "[",
        ] {
            assert!(!is_loopback(registry), "{registry}");
        }
    }

    #[test]
    fn only_named_registries_may_be_plain() {
        let transport = Transport::new(
            vec!["lan.example:5000".to_owned()],
            "test".to_owned(),
            Vec::new(),
        );
        let both = &[Scheme::Https, Scheme::Http];
        assert_eq!(transport.schemes("lan.example:5000"), both);
        assert_eq!(transport.schemes("lan.example"), &[Scheme::Https]);
        assert_eq!(transport.schemes("docker.io"), &[Scheme::Https]);
        assert_eq!(transport.schemes("127.0.0.1:5000"), both);
        transport.remember("127.0.0.1:5000", Scheme::Http);
        assert_eq!(transport.schemes("127.0.0.1:5000"), &[Scheme::Http]);
    }
}
