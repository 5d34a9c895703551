//! Settings of the HTTP client: TLS, proxies, name lookup, and the choice between HTTPS and HTTP.

mod certificates;
mod dns;
mod reach;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::{NoProxy, Proxy};

pub(super) use self::certificates::HostCertificates;
pub(super) use self::dns::{LookupError, Resolver};
pub(super) use self::reach::Reach;
use super::error::Cause;
use super::redact;

/// Time to make a connection, TLS included.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);
/// The same where HTTP will be tried next: a server on this machine, or near it, answers at once.
const PROBE_LIMIT: Duration = Duration::from_secs(3);
/// Headers of one answer. `hyper` bounds all of them together to about 400 KiB.
const HEADER_LIMIT: usize = 100;

/// Proxies between here and registries, in the form of the environment's variables.
///
/// They are never used for registries on this machine.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// For registries that are spoken to by plain HTTP, such as `http://proxy.example:3128`.
    pub http: Option<String>,
    /// For registries that are spoken to by HTTPS.
    pub https: Option<String>,
    /// Hosts, domains and networks that are reached without a proxy, with commas between.
    pub none_for: Option<String>,
}

/// How a registry is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Https,
    Http,
}

impl Scheme {
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
        }
    }
}

/// Is the other side's certificate looked at?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    Checked,
    /// Its owner has said so for this registry.
    Anyone,
}

/// How one server is to be reached.
pub(super) struct Peer<'a> {
    /// Host and port.
    pub(super) authority: &'a str,
    pub(super) scheme: Scheme,
    pub(super) trust: Trust,
    /// Certificate authorities beside the system's, and our own certificate.
    pub(super) certificates: &'a HostCertificates,
    /// Who sends us there, if not the user.
    pub(super) led_from: Option<Reach>,
    /// Is another scheme tried if this one gets no connection?
    pub(super) is_probe: bool,
}

pub(super) struct Transport {
    user_agent: String,
    extra_roots: Vec<Vec<u8>>,
    proxies: Proxies,
    certificate_dirs: Vec<PathBuf>,
    pub(super) resolver: Resolver,
    /// The pause before the first retry.
    pub(super) first_pause: Duration,
    /// Time without a byte after which a transfer is given up, and tried again.
    pub(super) stall: Duration,
}

impl Transport {
    pub(super) fn new(
        user_agent: String,
        extra_roots: Vec<Vec<u8>>,
        proxies: Proxies,
        certificate_dirs: Vec<PathBuf>,
    ) -> Self {
        Self {
            user_agent,
            extra_roots,
            proxies,
            certificate_dirs,
            resolver: Resolver::default(),
            first_pause: Duration::from_millis(250),
            stall: Duration::from_secs(60),
        }
    }

    /// May a registry be spoken to by plain HTTP, if it does not speak HTTPS?
    ///
    /// HTTPS always comes first, as with Docker. HTTP is tried only for registries on this machine and those named as
    /// insecure; a certificate that is refused is an error and no reason to go on without TLS.
    pub(super) fn may_be_plain(authority: &str, trust: Trust) -> bool {
        trust == Trust::Anyone || is_loopback(authority)
    }

    /// May requests go through a proxy?
    pub(super) fn has_proxy(&self) -> bool {
        let is_set = |proxy: &Option<String>| proxy.as_deref().is_some_and(|url| !url.is_empty());
        is_set(&self.proxies.http) || is_set(&self.proxies.https)
    }

    /// Reads what the directories of certificates have for a host.
    pub(super) fn certificates(&self, authority: &str) -> Result<HostCertificates, Cause> {
        HostCertificates::read(&self.certificate_dirs, authority)
    }

    /// Makes a client for one server.
    pub(super) fn client(&self, peer: &Peer<'_>) -> Result<reqwest::Client, Cause> {
        // `reqwest` panics without.
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            return Err(Cause::Tls {
                detail: "the process has no default rustls provider".to_owned(),
            });
        }
        let tls = |error: reqwest::Error| Cause::Tls {
            detail: redact::chain(&error),
        };
        let resolver = match peer.led_from {
            Some(reach) => self.resolver.led_from(reach),
            None => self.resolver.clone(),
        };
        let mut builder = reqwest::Client::builder()
            .user_agent(&self.user_agent)
            // Each hop is looked at before it is made.
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .http1_max_headers(HEADER_LIMIT)
            .connect_timeout(if peer.is_probe {
                PROBE_LIMIT
            } else {
                CONNECT_LIMIT
            })
            .dns_resolver(resolver)
            // Not those of this process's environment.
            .no_proxy();
        if !is_loopback(peer.authority) {
            for proxy in self.proxies.of()? {
                builder = builder.proxy(proxy);
            }
        }
        if peer.scheme == Scheme::Http {
            // Without TLS nobody's certificates are needed, and a system may have none.
            return builder.tls_certs_only([]).build().map_err(tls);
        }
        let mut roots = Vec::new();
        for bytes in self.extra_roots.iter().chain(&peer.certificates.roots) {
            let parsed = if bytes.trim_ascii_start().starts_with(b"-----BEGIN") {
                reqwest::Certificate::from_pem_bundle(bytes)
            } else {
                reqwest::Certificate::from_der(bytes).map(|one| vec![one])
            };
            roots.extend(parsed.map_err(tls)?);
        }
        builder = builder.tls_certs_merge(roots);
        if let Some(identity) = &peer.certificates.identity {
            let identity =
                reqwest::Identity::from_pem(identity.reveal().as_bytes()).map_err(tls)?;
            builder = builder.identity(identity);
        }
        if peer.trust == Trust::Anyone {
            builder = builder.tls_danger_accept_invalid_certs(true);
        }
        builder.build().map_err(tls)
    }
}

impl Proxies {
    fn of(&self) -> Result<Vec<Proxy>, Cause> {
        let none_for = self.none_for.as_deref().and_then(NoProxy::from_string);
        let mut proxies = Vec::new();
        type Make = fn(&str) -> reqwest::Result<Proxy>;
        let kinds: [(&Option<String>, Make); 2] = [
            (&self.http, |url| Proxy::http(url)),
            (&self.https, |url| Proxy::https(url)),
        ];
        for (url, make) in kinds {
            let Some(url) = url.as_deref().filter(|url| !url.is_empty()) else {
                continue;
            };
            // As curl: a proxy without a scheme speaks HTTP.
            let url = if url.contains("://") {
                url.to_owned()
            } else {
                format!("http://{url}")
            };
            let proxy = make(&url).map_err(|_| Cause::Proxy {
                proxy: redact::foreign(&url),
            })?;
            proxies.push(proxy.no_proxy(none_for.clone()));
        }
        Ok(proxies)
    }
}

/// Returns the host of `host[:port]`; an IPv6 address without its brackets.
pub(super) fn host_of(authority: &str) -> &str {
    match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

/// Is the registry on this machine?
pub(super) fn is_loopback(authority: &str) -> bool {
    let host = host_of(authority);
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
        let may = Transport::may_be_plain;
        assert!(may("lan.example:5000", Trust::Anyone));
        assert!(!may("lan.example:5000", Trust::Checked));
        assert!(may("127.0.0.1:5000", Trust::Checked));
    }

    #[test]
    fn a_proxy_that_is_none_is_named_without_its_password() {
        let proxies = Proxies {
            https: Some("http://me:hunter2@proxy.example:99999".to_owned()),
            ..Proxies::default()
        };
        let error = proxies
            .of()
            .map(drop)
            .expect_err("no such port")
            .to_string();
        assert!(
            error.contains("proxy.example") && !error.contains("hunter2"),
            "{error}"
        );
        let proxies = Proxies {
            http: Some("proxy.example:3128".to_owned()),
            https: Some(String::new()),
            none_for: Some("example.com".to_owned()),
        };
        assert_eq!(proxies.of().expect("one proxy").len(), 1);
    }
}
