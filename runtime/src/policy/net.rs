//! What a guest may do with the network: decisions, and nothing that touches it.
//!
//! Everything is refused that is not granted. A grant by name allows the addresses that the name resolved to for this
//! guest, so that neither the name's owner nor the guest can put another address in their place; and only ordinary ones,
//! see [`Class`].

mod address;
mod cover;
mod publish;
mod rule;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use address::{Class, Special};
pub use publish::{Exposed, Protocol, Publish};
pub use rule::{ConnectRule, NamePattern, Peer, PortRange, Scheme, host_name};

/// Why a text is no grant.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetError {
    /// It is no rule to connect by.
    #[error("parsing the rule {text:?}: {problem}")]
    Rule {
        /// The text.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// It is no host name.
    #[error("parsing the name {text:?}: {problem}")]
    Name {
        /// The text.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// It has no port where one must be.
    #[error("no port specified: {text}<empty>")]
    NoPort {
        /// The text.
        text: String,
    },
    /// The guest's port is none.
    #[error("invalid containerPort: {text}")]
    GuestPort {
        /// The port.
        text: String,
    },
    /// The host's port is none.
    #[error("invalid hostPort: {text}")]
    HostPort {
        /// The port.
        text: String,
    },
    /// The host's address is none.
    #[error("invalid IP address: {text}")]
    HostAddress {
        /// The address.
        text: String,
    },
    /// What is carried is neither `tcp` nor `udp`.
    #[error("invalid proto: {text}")]
    Protocol {
        /// The text.
        text: String,
    },
    /// There are not as many ports on one side as on the other.
    #[error("invalid ranges specified for container and host Ports: {guest} and {host}")]
    Ranges {
        /// The guest's.
        guest: String,
        /// The host's.
        host: String,
    },
    /// There are more ports than are opened.
    #[error("publishing {text}: it has more than {most} ports")]
    ManyPorts {
        /// The text.
        text: String,
        /// How many there may be.
        most: usize,
    },
    /// It is no host entry.
    #[error("bad format for add-host: {text:?}")]
    Host {
        /// The text.
        text: String,
    },
}

/// How much of the network there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// None.
    #[default]
    None,
    /// What the lists grant.
    Granted,
    /// All that the host has, as in Docker's `--network host`: nothing is checked.
    Host,
}

/// A name with an address that the user gave it: `name:address`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostEntry {
    /// The name, as [`host_name`] returns it.
    pub name: String,
    /// The address.
    pub ip: IpAddr,
}

impl fmt::Display for HostEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.ip)
    }
}

impl FromStr for HostEntry {
    type Err = NetError;

    /// Takes `name:address` and `name=address`. Docker's address `host-gateway` is the host as the container reaches it,
    /// which here is loopback.
    fn from_str(text: &str) -> Result<Self, NetError> {
        let wrong = || NetError::Host {
            text: text.to_owned(),
        };
        let (name, address) = text.split_once(['=', ':']).ok_or_else(wrong)?;
        let bare = address
            .strip_prefix('[')
            .and_then(|address| address.strip_suffix(']'))
            .unwrap_or(address);
        let ip = match bare {
            "host-gateway" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            _ => bare.parse().map_err(|_| NetError::HostAddress {
                text: address.to_owned(),
            })?,
        };
        let name = host_name(name).map_err(|problem| NetError::Name {
            text: name.to_owned(),
            problem,
        })?;
        Ok(Self { name, ip })
    }
}

rule::as_text!(HostEntry);

/// What a guest may do with the network. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct NetPolicy {
    /// How much of the network there is. The lists count only with [`Mode::Granted`].
    pub mode: Mode,
    /// Where the guest may connect to.
    pub connect: Vec<ConnectRule>,
    /// Names that it may look up, besides those that it may connect to.
    pub dns: Vec<NamePattern>,
    /// Ports that it may listen on.
    pub publish: Vec<Publish>,
    /// Names that have their address from the user.
    pub hosts: Vec<HostEntry>,
    /// Connections that are refused, whatever else is granted; with [`Mode::Host`] they cannot be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<ConnectRule>,
}

/// What is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Allowed,
    /// It may not.
    Refused(Refusal),
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing grants it.
    NotGranted,
    /// Something denies it, whatever was granted.
    Denied,
    /// A grant means the host, but the address is one that has to be named itself.
    Special(Special),
    /// A grant for all hosts means those of the internet, and the address is a private network's.
    Private,
}

impl Verdict {
    /// May it?
    pub fn allows(self) -> bool {
        self == Self::Allowed
    }
}

impl NetPolicy {
    /// Sets the mode that the lists ask for, if none was chosen.
    pub fn settle(&mut self) {
        let grants = !(self.connect.is_empty() && self.dns.is_empty() && self.publish.is_empty());
        if self.mode == Mode::None && grants {
            self.mode = Mode::Granted;
        }
    }

    /// May the guest connect, or send a datagram, to this address? `names` are those whose addresses it was told, and this
    /// is among them.
    pub fn connects<'a>(
        &self,
        scheme: Scheme,
        to: SocketAddr,
        names: impl IntoIterator<Item = &'a str> + Clone,
    ) -> Verdict {
        match self.mode {
            Mode::None => return Verdict::Refused(Refusal::NotGranted),
            Mode::Host => return Verdict::Allowed,
            Mode::Granted => {}
        }
        let mut denials = self.deny.iter();
        if denials.any(|rule| rule.means(scheme, to.ip(), to.port(), names.clone())) {
            return Verdict::Refused(Refusal::Denied);
        }
        let mut refusal = Refusal::NotGranted;
        for rule in self
            .connect
            .iter()
            .filter(|rule| rule.covers(scheme, to.port()))
        {
            let verdict = match &rule.peer {
                Peer::Range(range) => by_range(range, to.ip()),
                Peer::Named(pattern) => self.by_name(pattern, to.ip(), names.clone()),
            };
            match verdict {
                Verdict::Allowed => return verdict,
                Verdict::Refused(Refusal::NotGranted) => {}
                Verdict::Refused(closer) => refusal = closer,
            }
        }
        Verdict::Refused(refusal)
    }

    fn by_name<'a>(
        &self,
        pattern: &NamePattern,
        ip: IpAddr,
        names: impl IntoIterator<Item = &'a str> + Clone,
    ) -> Verdict {
        if *pattern == NamePattern::Any {
            match Class::of(ip) {
                Class::Public => return Verdict::Allowed,
                Class::Private if names.into_iter().any(|name| self.pinned(name, ip)) => {
                    return Verdict::Allowed;
                }
                Class::Private => return Verdict::Refused(Refusal::Private),
                Class::Special(special) => return Verdict::Refused(Refusal::Special(special)),
            }
        }
        let mut verdict = Verdict::Refused(Refusal::NotGranted);
        for name in names.into_iter().filter(|name| pattern.matches(name)) {
            match Class::of(ip) {
                Class::Special(special) if !self.pinned(name, ip) => {
                    verdict = Verdict::Refused(Refusal::Special(special));
                }
                _ => return Verdict::Allowed,
            }
        }
        verdict
    }

    /// Has the name this address from the user, and not from a name server? `localhost` has its own by what it means.
    fn pinned(&self, name: &str, ip: IpAddr) -> bool {
        (name == LOCALHOST && LOOPBACK.contains(&ip))
            || self
                .hosts
                .iter()
                .any(|entry| entry.name == name && entry.ip == ip)
    }

    /// May the guest look the name up? The name is as [`host_name`] returns it.
    pub fn resolves(&self, name: &str) -> bool {
        let by_rule = |rule: &ConnectRule| matches!(&rule.peer, Peer::Named(pattern) if pattern.matches(name));
        match self.mode {
            Mode::None => false,
            Mode::Host => true,
            Mode::Granted => {
                self.connect.iter().any(by_rule)
                    || self.dns.iter().any(|pattern| pattern.matches(name))
            }
        }
    }

    /// May the guest look up any name at all?
    pub fn has_names(&self) -> bool {
        match self.mode {
            Mode::None => false,
            Mode::Host => true,
            Mode::Granted => {
                !self.dns.is_empty()
                    || self
                        .connect
                        .iter()
                        .any(|rule| matches!(rule.peer, Peer::Named(_)))
            }
        }
    }

    /// May the guest do this with anyone?
    pub fn has(&self, scheme: Scheme) -> bool {
        match self.mode {
            Mode::None => false,
            Mode::Host => true,
            Mode::Granted => self
                .connect
                .iter()
                .any(|rule| rule.covers(scheme, rule.ports.first())),
        }
    }

    /// May the guest listen on this port?
    pub fn listens(&self, protocol: Protocol, port: u16) -> Verdict {
        let granted = match self.mode {
            Mode::None => false,
            Mode::Host => true,
            Mode::Granted => self
                .publish
                .iter()
                .any(|publish| publish.protocol == protocol && publish.guest.contains(port)),
        };
        if granted {
            Verdict::Allowed
        } else {
            Verdict::Refused(Refusal::NotGranted)
        }
    }
}

/// The name that means this machine, whatever a name server says (RFC 6761).
pub const LOCALHOST: &str = "localhost";
/// Its addresses.
pub const LOOPBACK: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
];

fn by_range(range: &IpNet, ip: IpAddr) -> Verdict {
    if address::names(range, ip) {
        return Verdict::Allowed;
    }
    match Class::of(ip) {
        Class::Special(special) if range.contains(&ip) => {
            Verdict::Refused(Refusal::Special(special))
        }
        _ => Verdict::Refused(Refusal::NotGranted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(rules: &[&str]) -> NetPolicy {
        let mut policy = NetPolicy {
            connect: rules.iter().map(|rule| rule.parse().expect(rule)).collect(),
            ..NetPolicy::default()
        };
        policy.settle();
        policy
    }

    const GRANTED: Verdict = Verdict::Allowed;
    const NOT: Verdict = Verdict::Refused(Refusal::NotGranted);
    const PRIVATE: Verdict = Verdict::Refused(Refusal::Private);
    const fn special(special: Special) -> Verdict {
        Verdict::Refused(Refusal::Special(special))
    }

    #[test]
    fn what_is_denied_is_refused_whoever_granted_it() {
        let mut policy = policy(&[
            "tcp://*.example:*",
            "tcp://10.0.0.0/8:*",
            "tcp://[::ffff:10.0.0.1]:80",
        ]);
        policy.deny = ["tcp://admin.example:*", "tcp://10.0.0.0/24:80"]
            .map(|rule| rule.parse().expect(rule))
            .to_vec();
        let denied = Verdict::Refused(Refusal::Denied);
        type Case<'a> = (Scheme, &'a str, &'a [&'a str], Verdict);
        let cases: &[Case<'_>] = &[
            (Scheme::Tcp, "8.8.8.8:1", &["www.example"], GRANTED),
            (Scheme::Tcp, "8.8.8.8:1", &["admin.example"], denied),
            (
                Scheme::Https,
                "8.8.8.8:1",
                &["www.example", "admin.example"],
                denied,
            ),
            (Scheme::Tcp, "10.0.0.1:80", &[], denied),
            (Scheme::Tcp, "10.0.0.1:81", &[], GRANTED),
            (Scheme::Tcp, "10.0.1.1:80", &[], GRANTED),
            (Scheme::Tcp, "[::ffff:10.0.0.1]:80", &[], denied),
        ];
        for (scheme, to, names, want) in cases {
            let verdict = policy.connects(*scheme, to.parse().expect(to), names.iter().copied());
            assert_eq!(verdict, *want, "{scheme} {to} {names:?}");
        }
    }

    #[test]
    fn connections_are_decided() {
        use Scheme::*;
        use Special::*;
        type Case<'a> = (&'a str, Scheme, &'a str, &'a [&'a str], Verdict);
        let cases: &[Case<'_>] = &[
            // By address.
            ("tcp://8.8.8.8:53", Tcp, "8.8.8.8:53", &[], GRANTED),
            ("tcp://8.8.8.8:53", Udp, "8.8.8.8:53", &[], NOT),
            ("tcp://8.8.8.8:53", Tcp, "8.8.8.8:54", &[], NOT),
            ("tcp://8.8.8.8:53", Tcp, "8.8.4.4:53", &[], NOT),
            ("udp://8.8.8.8:53", Udp, "8.8.8.8:53", &[], GRANTED),
            (
                "tcp://10.0.0.0/8:1-1024",
                Tcp,
                "10.9.8.7:1024",
                &[],
                GRANTED,
            ),
            ("tcp://10.0.0.0/8:1-1024", Tcp, "10.9.8.7:1025", &[], NOT),
            ("tcp://127.0.0.1:80", Tcp, "127.0.0.1:80", &[], GRANTED),
            ("tcp://127.0.0.1:80", Tcp, "[::ffff:127.0.0.1]:80", &[], NOT),
            (
                "tcp://0.0.0.0/0:80",
                Tcp,
                "127.0.0.1:80",
                &[],
                special(Loopback),
            ),
            (
                "tcp://0.0.0.0/0:80",
                Tcp,
                "169.254.169.254:80",
                &[],
                special(Metadata),
            ),
            (
                "tcp://0.0.0.0/0:80",
                Tcp,
                "0.0.0.0:80",
                &[],
                special(Unspecified),
            ),
            (
                "tcp://169.254.169.254:80",
                Tcp,
                "169.254.169.254:80",
                &[],
                GRANTED,
            ),
            (
                "tcp://[::/0]:80",
                Tcp,
                "[64:ff9b::a9fe:a9fe]:80",
                &[],
                special(Embedded),
            ),
            // By name: only what it resolved to.
            (
                "tcp://a.example:80",
                Tcp,
                "1.2.3.4:80",
                &["a.example"],
                GRANTED,
            ),
            ("tcp://a.example:80", Tcp, "1.2.3.4:80", &[], NOT),
            ("tcp://a.example:80", Tcp, "1.2.3.4:80", &["b.example"], NOT),
            (
                "tcp://a.example:80",
                Tcp,
                "10.0.0.1:80",
                &["a.example"],
                GRANTED,
            ),
            (
                "tcp://a.example:80",
                Tcp,
                "127.0.0.1:80",
                &["a.example"],
                special(Loopback),
            ),
            (
                "tcp://a.example:80",
                Tcp,
                "169.254.169.254:80",
                &["a.example"],
                special(Metadata),
            ),
            (
                "tcp://a.example:80",
                Tcp,
                "[fd00:ec2::254]:80",
                &["a.example"],
                special(Metadata),
            ),
            (
                "tcp://a.example:80",
                Tcp,
                "[64:ff9b::7f00:1]:80",
                &["a.example"],
                special(Embedded),
            ),
            (
                "tcp://a.example:80",
                Tcp,
                "[2002:7f00:1::]:80",
                &["a.example"],
                special(Embedded),
            ),
            (
                "tcp://a.example:80",
                Tcp,
                "0.0.0.0:80",
                &["a.example"],
                special(Unspecified),
            ),
            (
                "udp://a.example:80",
                Udp,
                "255.255.255.255:80",
                &["a.example"],
                special(Reserved),
            ),
            (
                "tcp://*.example:80",
                Tcp,
                "10.0.0.1:80",
                &["a.example"],
                GRANTED,
            ),
            (
                "tcp://localhost:80",
                Tcp,
                "127.0.0.1:80",
                &["localhost"],
                GRANTED,
            ),
            (
                "tcp://localhost:80",
                Tcp,
                "[::1]:80",
                &["localhost"],
                GRANTED,
            ),
            (
                "tcp://localhost:80",
                Tcp,
                "127.0.0.2:80",
                &["localhost"],
                special(Loopback),
            ),
            // All hosts are those of the internet.
            ("tcp://*:80", Tcp, "1.2.3.4:80", &[], GRANTED),
            ("tcp://*:80", Tcp, "10.0.0.1:80", &[], PRIVATE),
            ("tcp://*:80", Tcp, "10.0.0.1:80", &["a.example"], PRIVATE),
            (
                "tcp://*:80",
                Tcp,
                "127.0.0.1:80",
                &["localhost"],
                special(Loopback),
            ),
            ("tcp://*:80", Tcp, "[::1]:80", &[], special(Loopback)),
            // Requests.
            (
                "http://a.example",
                Http,
                "1.2.3.4:80",
                &["a.example"],
                GRANTED,
            ),
            (
                "http://a.example",
                Https,
                "1.2.3.4:443",
                &["a.example"],
                NOT,
            ),
            ("http://a.example", Tcp, "1.2.3.4:80", &["a.example"], NOT),
            (
                "tcp://a.example:443",
                Https,
                "1.2.3.4:443",
                &["a.example"],
                GRANTED,
            ),
            (
                "https://a.example",
                Http,
                "1.2.3.4:443",
                &["a.example"],
                NOT,
            ),
        ];
        for (rule, scheme, to, names, want) in cases {
            let to = to.parse().expect(to);
            let got = policy(&[rule]).connects(*scheme, to, names.iter().copied());
            assert_eq!(got, *want, "{rule} {scheme} {to} {names:?}");
        }
    }

    #[test]
    fn one_grant_is_enough() {
        let policy = policy(&["tcp://a.example:80", "tcp://127.0.0.1:80"]);
        let to = "127.0.0.1:80".parse().expect("an address");
        assert!(policy.connects(Scheme::Tcp, to, ["a.example"]).allows());
    }

    #[test]
    fn what_the_user_pinned_may_be_anything() {
        let mut policy = policy(&["tcp://db:80"]);
        policy.hosts.push("db:127.0.0.1".parse().expect("an entry"));
        let to = |text: &str| text.parse().expect("an address");
        assert!(
            policy
                .connects(Scheme::Tcp, to("127.0.0.1:80"), ["db"])
                .allows()
        );
        assert!(
            !policy
                .connects(Scheme::Tcp, to("127.0.0.2:80"), ["db"])
                .allows()
        );
        assert!(
            !policy
                .connects(Scheme::Tcp, to("127.0.0.1:80"), ["other"])
                .allows()
        );
    }

    #[test]
    fn the_mode_comes_first() {
        let mut policy = policy(&["tcp://1.2.3.4:80"]);
        let to = "1.2.3.4:80".parse().expect("an address");
        assert_eq!(policy.mode, Mode::Granted);
        policy.mode = Mode::None;
        assert!(!policy.connects(Scheme::Tcp, to, []).allows());
        let mut none = NetPolicy::default();
        none.settle();
        assert_eq!(none.mode, Mode::None);
        none.mode = Mode::Host;
        let metadata = "169.254.169.254:80".parse().expect("an address");
        assert!(none.connects(Scheme::Udp, metadata, []).allows());
        assert!(none.resolves("x") && none.listens(Protocol::Udp, 1).allows());
    }

    #[test]
    fn names_and_ports_are_decided() {
        let mut policy = policy(&["https://a.example", "tcp://10.0.0.0/8:80"]);
        policy.dns = vec!["*.b.example".parse().expect("a pattern")];
        policy.publish = vec![
            "8080:80".parse().expect("a port"),
            "53/udp".parse().expect("a port"),
        ];
        for (name, want) in [
            ("a.example", true),
            ("x.b.example", true),
            ("b.example", false),
            ("c", false),
        ] {
            assert_eq!(policy.resolves(name), want, "{name}");
        }
        for (protocol, port, want) in [
            (Protocol::Tcp, 80, true),
            (Protocol::Tcp, 8080, false),
            (Protocol::Udp, 53, true),
            (Protocol::Tcp, 53, false),
            (Protocol::Tcp, 0, false),
        ] {
            assert_eq!(
                policy.listens(protocol, port).allows(),
                want,
                "{protocol} {port}"
            );
        }
        assert!(policy.has(Scheme::Tcp) && policy.has(Scheme::Http) && !policy.has(Scheme::Udp));
    }

    #[test]
    fn it_is_recorded_as_typed() {
        let mut policy = policy(&["db.example:5432"]);
        policy.publish = vec!["8080:80".parse().expect("a port")];
        policy.hosts = vec!["db:host-gateway".parse().expect("an entry")];
        let json = serde_json::to_string(&policy).expect("it serialises");
        assert_eq!(
            json,
            r#"{"mode":"granted","connect":["tcp://db.example:5432"],"dns":[],"publish":["8080:80/tcp"],"hosts":["db:127.0.0.1"]}"#
        );
        assert_eq!(
            serde_json::from_str::<NetPolicy>(&json).expect("its own text"),
            policy
        );
        assert_eq!(
            serde_json::from_str::<NetPolicy>("{}").expect("nothing"),
            NetPolicy::default()
        );
        assert!(serde_json::from_str::<NetPolicy>(r#"{"connect":["x"]}"#).is_err());
    }

    #[test]
    fn host_entries_are_read() {
        for (text, want) in [
            ("db:10.0.0.1", "db:10.0.0.1"),
            ("DB=::1", "db:::1"),
            ("db:[::1]", "db:::1"),
            ("h:host-gateway", "h:127.0.0.1"),
        ] {
            let entry: HostEntry = text.parse().expect(text);
            assert_eq!(entry.to_string(), want);
            assert_eq!(want.parse::<HostEntry>().expect(want), entry);
        }
        for text in ["db", "db:", ":1.2.3.4", "db:1.2.3", "a b:1.2.3.4"] {
            assert!(text.parse::<HostEntry>().is_err(), "{text}");
        }
    }
}
