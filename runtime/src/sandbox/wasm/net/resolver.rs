//! Names to addresses. What the system was set up with is read before the second wall; behind it, only name servers are asked.

use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::system_conf::read_system_conf;
use tokio::sync::Semaphore;

use crate::policy::net::{LOCALHOST, LOOPBACK, NetPolicy, host_name};

/// Most addresses of one name that the guest is told.
const MOST_ADDRESSES: usize = 64;
/// Most lookups of a guest that are under way at once; more wait.
const AT_ONCE: usize = 16;
/// How long a lookup may take, whatever the system's settings say.
const LONGEST: Duration = Duration::from_secs(30);
/// Largest file of hosts that is read, in bytes. Lists that block advertisements have two or three million.
const LARGEST_HOSTS: u64 = 16 << 20;
/// Where it lies. Windows has it elsewhere, and few use it there.
#[cfg(unix)]
const HOSTS: &str = "/etc/hosts";

/// Why a name has no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResolveError {
    /// The policy says no.
    Refused,
    /// It is no host name.
    Invalid,
    /// There is no such name, or it has no address.
    NotFound,
    /// No name server answered.
    Temporary,
}

/// Looks names up.
pub(super) struct Resolver {
    /// The user's pairs, then the system's.
    hosts: Vec<(String, IpAddr)>,
    /// `None` if the system has no name servers, or no name may be looked up.
    servers: Option<(ResolverConfig, ResolverOpts)>,
    client: OnceLock<Option<TokioResolver>>,
    turns: Semaphore,
}

impl Resolver {
    /// Reads the system's settings, if the policy lets the guest look up anything.
    pub(super) fn new(policy: &NetPolicy) -> Self {
        let mut hosts: Vec<_> = policy
            .hosts
            .iter()
            .map(|entry| (entry.name.clone(), entry.ip))
            .collect();
        let mut servers = None;
        if policy.has_names() {
            hosts.extend(system_hosts());
            servers = read_system_conf()
                .inspect_err(|error| tracing::debug!(%error, "the system has no name servers"))
                .ok();
        }
        Self::with(hosts, servers)
    }

    pub(super) fn with(
        hosts: Vec<(String, IpAddr)>,
        servers: Option<(ResolverConfig, ResolverOpts)>,
    ) -> Self {
        Self {
            hosts,
            servers,
            client: OnceLock::new(),
            turns: Semaphore::new(AT_ONCE),
        }
    }

    /// Returns a name's addresses. The name is one that the guest may look up.
    pub(super) async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let known: Vec<_> = self
            .hosts
            .iter()
            .filter(|(own, _)| own == name)
            .map(|(_, address)| *address)
            .take(MOST_ADDRESSES)
            .collect();
        if !known.is_empty() {
            return Ok(known);
        }
        // No name server is asked for it (RFC 6761).
        if name == LOCALHOST || name.ends_with(".localhost") {
            return Ok(LOOPBACK.to_vec());
        }
        let client = self
            .client
            .get_or_init(|| self.servers.clone().and_then(client))
            .as_ref()
            .ok_or(ResolveError::NotFound)?;
        let _turn = self
            .turns
            .acquire()
            .await
            .map_err(|_| ResolveError::Temporary)?;
        let found = tokio::time::timeout(LONGEST, client.lookup_ip(name))
            .await
            .map_err(|_| ResolveError::Temporary)?;
        match found {
            Ok(found) => Ok(found.iter().take(MOST_ADDRESSES).collect()),
            Err(error) if error.is_nx_domain() || error.is_no_records_found() => {
                Err(ResolveError::NotFound)
            }
            Err(error) => {
                tracing::debug!(name, %error, "looking up");
                Err(ResolveError::Temporary)
            }
        }
    }
}

fn client((config, mut options): (ResolverConfig, ResolverOpts)) -> Option<TokioResolver> {
    // IPv4 first: what has only it is common, and few programs try a second address.
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.use_hosts_file = ResolveHosts::Never;
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    *builder.options_mut() = options;
    builder
        .build()
        .inspect_err(|error| tracing::debug!(%error, "setting up name servers"))
        .ok()
}

/// Returns the pairs of the system's file, if it has one.
#[cfg(unix)]
fn system_hosts() -> Vec<(String, IpAddr)> {
    use std::io::Read;

    let mut text = String::new();
    let read = std::fs::File::open(HOSTS)
        .and_then(|file| file.take(LARGEST_HOSTS).read_to_string(&mut text));
    match read {
        Ok(_) => pairs(&text),
        Err(error) => {
            tracing::debug!(%error, "reading {HOSTS}");
            Vec::new()
        }
    }
}

#[cfg(not(unix))]
fn system_hosts() -> Vec<(String, IpAddr)> {
    Vec::new()
}

/// Reads lines of an address and names, as hosts(5) has them.
fn pairs(text: &str) -> Vec<(String, IpAddr)> {
    let mut pairs = Vec::new();
    for line in text.lines() {
        let mut words = line
            .split('#')
            .next()
            .unwrap_or_default()
            .split_ascii_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse().ok()) else {
            continue;
        };
        pairs.extend(
            words
                .filter_map(|word| host_name(word).ok())
                .map(|name| (name, address)),
        );
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_hosts_is_read() {
        let text = "127.0.0.1 localhost Here.Example. # me\n::1\tsix\nrubbish a\n1.2.3.4\n10.0.0.1 db #x\n1.2.3.4 0x7f.1";
        let pair = |name: &str, ip: &str| (name.to_owned(), ip.parse().expect(ip));
        assert_eq!(
            pairs(text),
            [
                pair("localhost", "127.0.0.1"),
                pair("here.example", "127.0.0.1"),
                pair("six", "::1"),
                pair("db", "10.0.0.1"),
            ]
        );
    }
}
