//! From names to addresses.
//!
//! The system's own function would need a C library that loads modules, which a static program has not. Hickory reads the
//! same files (`/etc/hosts`, `/etc/resolv.conf`).

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::net::NetError;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::Reach;

/// Why a name leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in super::super) enum LookupError {
    /// The name does not exist, or has no address.
    #[error("no such host")]
    NoSuchHost,
    /// Nobody answers for names.
    #[error("no name server answers")]
    NoAnswer,
    /// This machine names no name server.
    #[error("the system's settings for name servers cannot be read")]
    NoSettings,
    /// The name has only addresses that must not be used.
    #[error("its address {0} is inside a network that this registry must not lead to")]
    Guarded(IpAddr),
}

/// Looks names up, and for servers that another one led to, refuses addresses inside our networks.
#[derive(Clone, Default)]
pub(in super::super) struct Resolver {
    /// Made on first use: it needs a runtime, and reads files.
    inner: Arc<OnceLock<TokioResolver>>,
    /// Where the one who leads us stands.
    led_from: Option<Reach>,
}

impl Resolver {
    /// Returns the same, for names that a server in this network sends us to.
    pub(in super::super) fn led_from(&self, reach: Reach) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            led_from: Some(reach),
        }
    }

    /// Returns the addresses of a name, or of an address written as text.
    pub(in super::super) async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, LookupError> {
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        let all = match literal.parse() {
            Ok(address) => vec![address],
            Err(_) => self.ask(host).await?,
        };
        let Some(first) = all.first().copied() else {
            return Err(LookupError::NoSuchHost);
        };
        let Some(from) = self.led_from else {
            return Ok(all);
        };
        let open: Vec<IpAddr> = all
            .into_iter()
            .filter(|address| from.may_lead_to(Reach::of(*address)))
            .collect();
        if open.is_empty() {
            return Err(LookupError::Guarded(first));
        }
        Ok(open)
    }

    async fn ask(&self, host: &str) -> Result<Vec<IpAddr>, LookupError> {
        let resolver = match self.inner.get() {
            Some(resolver) => resolver,
            None => {
                let made = make().map_err(|error| {
                    tracing::debug!(%error, "reading the settings for name servers");
                    LookupError::NoSettings
                })?;
                self.inner.get_or_init(|| made)
            }
        };
        match resolver.lookup_ip(host).await {
            Ok(found) => Ok(found.iter().collect()),
            Err(error) => {
                tracing::debug!(host, %error, "looking up");
                if error.is_no_records_found() || error.is_nx_domain() {
                    Err(LookupError::NoSuchHost)
                } else {
                    Err(LookupError::NoAnswer)
                }
            }
        }
    }
}

fn make() -> Result<TokioResolver, NetError> {
    let mut builder = TokioResolver::builder_tokio()?;
    builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    builder.build()
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let found = resolver.addresses(name.as_str()).await?;
            // The port is the URL's.
            let addresses: Addrs =
                Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}
