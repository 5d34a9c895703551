//! Where a guest may connect to, as text and as a value.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::NetError;

/// Longest host name, in bytes (RFC 1035, without the final dot).
const LONGEST_NAME: usize = 253;
/// Longest part of one.
const LONGEST_LABEL: usize = 63;

/// What a guest may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// Anything over TCP, HTTP requests included.
    Tcp,
    /// Datagrams.
    Udp,
    /// HTTP requests through `wasi:http`.
    Http,
    /// The same over TLS.
    Https,
}

impl Scheme {
    /// Does a grant for this allow a connection for `wanted`?
    pub(super) fn includes(self, wanted: Self) -> bool {
        self == wanted || (self == Self::Tcp && matches!(wanted, Self::Http | Self::Https))
    }

    fn default_port(self) -> Option<u16> {
        match self {
            Self::Http => Some(80),
            Self::Https => Some(443),
            Self::Tcp | Self::Udp => None,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}

/// Ports from one to another, both included. Neither is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// Every port.
    pub const ALL: Self = Self {
        first: 1,
        last: u16::MAX,
    };

    /// Makes a range of one port. `None` for port 0.
    pub fn one(port: u16) -> Option<Self> {
        (port != 0).then_some(Self {
            first: port,
            last: port,
        })
    }

    /// Parses `80` or `8000-8010`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let port = |text: &str| {
            // Not "+80", which parse would take.
            text.bytes()
                .all(|byte| byte.is_ascii_digit())
                .then_some(())?;
            text.parse().ok().filter(|port| *port != 0)
        };
        let (first, last) = (port(first)?, port(last)?);
        (first <= last).then_some(Self { first, last })
    }

    /// Is the port one of them?
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    /// Returns the lowest.
    pub fn first(self) -> u16 {
        self.first
    }

    /// Returns the highest.
    pub fn last(self) -> u16 {
        self.last
    }

    /// How many are they?
    pub fn count(self) -> usize {
        usize::from(self.last - self.first) + 1
    }

    /// Returns them in ascending order.
    pub fn ports(self) -> impl Iterator<Item = u16> {
        self.first..=self.last
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first, self.last) {
            (1, u16::MAX) => f.write_str("*"),
            (first, last) if first == last => write!(f, "{first}"),
            (first, last) => write!(f, "{first}-{last}"),
        }
    }
}

/// Host names: one, all below one, or all.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum NamePattern {
    /// `*`
    Any,
    /// `*.example.com`: every name that ends in `.example.com`; not `example.com` itself.
    Below(String),
    /// `example.com`
    Exactly(String),
}

impl NamePattern {
    /// Does the pattern mean this name? The name is in lower case, without a final dot, as [`host_name`] returns it.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Below(parent) => name
                .strip_suffix(parent.as_str())
                .and_then(|rest| rest.strip_suffix('.'))
                .is_some_and(|rest| !rest.is_empty()),
            Self::Exactly(own) => own == name,
        }
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Below(parent) => write!(f, "*.{parent}"),
            Self::Exactly(name) => f.write_str(name),
        }
    }
}

impl FromStr for NamePattern {
    type Err = NetError;

    fn from_str(text: &str) -> Result<Self, NetError> {
        let wrong = |problem| NetError::Name {
            text: text.to_owned(),
            problem,
        };
        match text.strip_prefix("*.") {
            _ if text == "*" => Ok(Self::Any),
            Some(parent) => Ok(Self::Below(host_name(parent).map_err(wrong)?)),
            None => Ok(Self::Exactly(host_name(text).map_err(wrong)?)),
        }
    }
}

/// Returns a host name as it is compared: in lower case, without a final dot.
///
/// # Errors
///
/// Says what is wrong with it. A name whose last part is a number, such as `127.1`, `0x7f000001` or `2130706433`, is an IPv4
/// address to some resolvers and a name to others, and none here.
pub fn host_name(text: &str) -> Result<String, &'static str> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if name.is_empty() {
        return Err("the host is empty");
    }
    if name.len() > LONGEST_NAME {
        return Err("the name is longer than 253 bytes");
    }
    if !name.is_ascii() {
        return Err(
            "the name is not ASCII; write it as its owner registered it, such as xn--bcher-kva.example",
        );
    }
    for label in name.split('.') {
        let plain = label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if label.is_empty() || label.len() > LONGEST_LABEL || !plain {
            return Err("it is neither a host name nor an address");
        }
    }
    let last = name.rsplit('.').next().unwrap_or_default();
    let hexadecimal = last
        .strip_prefix("0x")
        .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if hexadecimal || last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(
            "it looks like an IPv4 address and is none; write all four numbers, in decimal",
        );
    }
    Ok(name)
}

/// Whom a rule allows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// Hosts by name.
    Named(NamePattern),
    /// Hosts by address. One address is a range of one.
    Range(IpNet),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(pattern) => write!(f, "{pattern}"),
            Self::Range(net) => {
                let alone = net.prefix_len() == net.max_prefix_len();
                match (net, alone) {
                    (IpNet::V4(net), true) => write!(f, "{}", net.addr()),
                    (IpNet::V4(net), false) => write!(f, "{net}"),
                    (IpNet::V6(net), true) => write!(f, "[{}]", net.addr()),
                    (IpNet::V6(net), false) => write!(f, "[{net}]"),
                }
            }
        }
    }
}

/// One grant of `net.connect`: `tcp://host:port`, `udp://host:port`, `http://host` or `https://host`.
///
/// The host is a name, `*.name`, an address, a range of addresses such as `10.0.0.0/8` or `[fd00::/8]`, or `*`; the port is
/// one, a range such as `8000-8010`, or `*`. `http` and `https` have their own port where none is given. A bare
/// `host:port` is TCP.
///
/// ```
/// use coracle_runtime::policy::net::ConnectRule;
///
/// let rule: ConnectRule = "db.example:5432".parse()?;
/// assert_eq!(rule.to_string(), "tcp://db.example:5432");
/// # Ok::<(), coracle_runtime::policy::net::NetError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ConnectRule {
    /// What may be spoken.
    pub scheme: Scheme,
    /// With whom.
    pub peer: Peer,
    /// On which ports.
    pub ports: PortRange,
}

impl ConnectRule {
    /// Is the rule about such connections, whoever the peer is?
    pub(super) fn covers(&self, scheme: Scheme, port: u16) -> bool {
        self.scheme.includes(scheme) && self.ports.contains(port)
    }
}

impl fmt::Display for ConnectRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.peer)?;
        match self.scheme.default_port().and_then(PortRange::one) {
            Some(own) if own == self.ports => Ok(()),
            _ => write!(f, ":{}", self.ports),
        }
    }
}

impl FromStr for ConnectRule {
    type Err = NetError;

    fn from_str(text: &str) -> Result<Self, NetError> {
        let wrong = |problem| NetError::Rule {
            text: text.to_owned(),
            problem,
        };
        let (scheme, rest) = match text.split_once("://") {
            None => (Scheme::Tcp, text),
            Some(("tcp", rest)) => (Scheme::Tcp, rest),
            Some(("udp", rest)) => (Scheme::Udp, rest),
            Some(("http", rest)) => (Scheme::Http, rest),
            Some(("https", rest)) => (Scheme::Https, rest),
            Some(_) => return Err(wrong("the scheme is none of tcp, udp, http and https")),
        };
        // As copied from a browser. What lies behind it is not something that can be granted.
        let rest = match scheme {
            Scheme::Http | Scheme::Https => rest.strip_suffix('/').unwrap_or(rest),
            Scheme::Tcp | Scheme::Udp => rest,
        };
        let (host, port) = if let Some(inside) = rest.strip_prefix('[') {
            let (host, after) = inside
                .split_once(']')
                .ok_or_else(|| wrong("there is no `]` to the `[`"))?;
            match after.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if after.is_empty() => (host, None),
                None => return Err(wrong("after `]` there is something else than a port")),
            }
        } else {
            match rest.matches(':').count() {
                0 => (rest, None),
                1 => rest
                    .split_once(':')
                    .map_or((rest, None), |(host, port)| (host, Some(port))),
                _ => {
                    return Err(wrong(
                        "an IPv6 address is written in brackets, as in tcp://[::1]:80",
                    ));
                }
            }
        };
        let peer = peer(host, rest.starts_with('[')).map_err(wrong)?;
        let ports = match port {
            Some("*") => PortRange::ALL,
            Some(port) => PortRange::parse(port).ok_or_else(|| {
                wrong("the port is none: a number up to 65535, a range such as 8000-8010, or *")
            })?,
            None => scheme
                .default_port()
                .and_then(PortRange::one)
                .ok_or_else(|| wrong("there is no port"))?,
        };
        Ok(Self {
            scheme,
            peer,
            ports,
        })
    }
}

fn peer(host: &str, bracketed: bool) -> Result<Peer, &'static str> {
    if let Some((address, prefix)) = host.split_once('/') {
        if !prefix.bytes().all(|byte| byte.is_ascii_digit()) || address.parse::<IpAddr>().is_err() {
            return Err(
                "a path cannot be granted, and a range of addresses is written as 10.0.0.0/8",
            );
        }
        let net: IpNet = host.parse().map_err(|_| "the range of addresses has a prefix that is too long: up to 32 bits for IPv4, up to 128 for IPv6")?;
        if net.addr() != net.network() {
            return Err("the range of addresses has bits set behind its prefix");
        }
        return Ok(Peer::Range(net));
    }
    match host.parse::<IpAddr>() {
        Ok(address) => Ok(Peer::Range(address.into())),
        Err(_) if bracketed => Err("in the brackets there is no IPv6 address"),
        Err(_) => host.parse().map(Peer::Named).map_err(|error| match error {
            NetError::Name { problem, .. } => problem,
            _ => "it is neither a host name nor an address",
        }),
    }
}

/// Text form in records and policy files: the same as on the command line.
macro_rules! as_text {
    ($($type:ty),*) => {$(
        impl TryFrom<String> for $type {
            type Error = NetError;

            fn try_from(text: String) -> Result<Self, NetError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    )*};
}
pub(super) use as_text;

as_text!(NamePattern, ConnectRule);

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<String> {
        text.parse::<ConnectRule>()
            .ok()
            .map(|rule| rule.to_string())
    }

    #[test]
    fn a_rule_reads_and_writes_as_typed() {
        for text in [
            "tcp://db.example:5432",
            "tcp://*.example.com:1-1024",
            "udp://10.0.0.0/8:53",
            "tcp://127.0.0.1:*",
            "tcp://[::1]:80",
            "tcp://[fd00::/8]:80",
            "https://api.example.com",
            "https://api.example.com:8443",
            "http://*:8080-8090",
            "tcp://*:443",
            "tcp://under_score.example:1",
        ] {
            assert_eq!(shown(text).as_deref(), Some(text));
        }
        for (text, want) in [
            ("db:5432", "tcp://db:5432"),
            ("DB.Example.:5432", "tcp://db.example:5432"),
            ("http://a.example:80", "http://a.example"),
            ("https://a.example/", "https://a.example"),
            ("tcp://a:1-65535", "tcp://a:*"),
            ("[::1]:80", "tcp://[::1]:80"),
            ("10.1.0.0/16:22", "tcp://10.1.0.0/16:22"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(want), "{text}");
        }
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for text in [
            "",
            "db",
            "tcp://db",
            "tcp://:80",
            "tcp://db:",
            "tcp://db:0",
            "tcp://db:65536",
            "tcp://db:+80",
            "tcp://db:90-80",
            "tcp://db:80-",
            "ftp://db:21",
            "tcp://::1:80",
            "tcp://[::1:80",
            "tcp://[::1]80",
            "tcp://[db]:80",
            "tcp://10.0.0.1/8:80",
            "tcp://10.0.0.0/33:80",
            "tcp://db/8:80",
            "https://a.example/path",
            "https://user@a.example",
            "tcp://a b:80",
            "tcp://a..b:80",
            "tcp://*.*:80",
            "tcp://*a.example:80",
            "tcp://a.*.example:80",
            "tcp://bücher.example:80",
            // Other ways to write 127.0.0.1.
            "tcp://127.1:80",
            "tcp://2130706433:80",
            "tcp://0x7f000001:80",
            "tcp://0177.0.0.1:80",
            "tcp://0x7f.0.0.1:80",
            "tcp://127.0.0.1.:80",
            "tcp://*.1:80",
        ] {
            assert!(text.parse::<ConnectRule>().is_err(), "{text}");
        }
    }

    #[test]
    fn patterns_match_whole_parts() {
        let matches = |pattern: &str, name: &str| {
            pattern.parse::<NamePattern>().expect(pattern).matches(name)
        };
        assert!(matches("example.com", "example.com"));
        assert!(!matches("example.com", "www.example.com"));
        assert!(matches("*.example.com", "a.b.example.com"));
        assert!(!matches("*.example.com", "example.com"));
        assert!(!matches("*.example.com", "badexample.com"));
        assert!(!matches("*.example.com", ".example.com"));
        assert!(matches("*", "anything"));
    }
}
