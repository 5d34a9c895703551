//! Ports of the host that lead to the guest, as text and as a value.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::NetError;
use super::rule::{PortRange, as_text};

/// What is carried on a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// Connections.
    #[default]
    Tcp,
    /// Datagrams.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

impl Protocol {
    fn parse(text: &str) -> Result<Self, NetError> {
        match text.to_ascii_lowercase().as_str() {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            _ => Err(NetError::Protocol {
                text: text.to_owned(),
            }),
        }
    }
}

/// A port that an image or a user says the guest listens on: `80`, `80/tcp`, `53/udp`, `8000-8010`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Exposed {
    /// The ports.
    pub ports: PortRange,
    /// What is carried on them.
    pub protocol: Protocol,
}

impl fmt::Display for Exposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ports, self.protocol)
    }
}

impl FromStr for Exposed {
    type Err = NetError;

    fn from_str(text: &str) -> Result<Self, NetError> {
        let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let protocol = Protocol::parse(protocol)?;
        let ports = PortRange::parse(ports).ok_or_else(|| NetError::GuestPort {
            text: ports.to_owned(),
        })?;
        Ok(Self { ports, protocol })
    }
}

/// One grant of `net.listen`, in Docker's syntax: `[[ip:][hostport]:]guestport[/protocol]`, where ports may be ranges.
///
/// Without a host port the system chooses one. Without an address every IPv4 address of the host is meant.
///
/// ```
/// use coracle_runtime::policy::net::Publish;
///
/// let publish: Publish = "127.0.0.1:8080:80".parse()?;
/// assert_eq!(publish.to_string(), "127.0.0.1:8080:80/tcp");
/// # Ok::<(), coracle_runtime::policy::net::NetError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Publish {
    /// The host's address, if one was chosen.
    pub ip: Option<IpAddr>,
    /// The host's ports: as many as the guest's, or a range to choose one from. `None` for any that is free.
    pub host: Option<PortRange>,
    /// The ports as the guest sees them.
    pub guest: PortRange,
    /// What is carried.
    pub protocol: Protocol,
}

impl Publish {
    /// Most ports of one flag: each is an open descriptor of the host.
    const MOST_PORTS: usize = 512;

    /// Returns, for each guest port, the host ports that may be taken for it: the first that is free. An empty list means
    /// any.
    pub fn pairs(&self) -> Vec<(u16, Vec<u16>)> {
        let host = self.host.map(|range| range.ports().collect::<Vec<_>>());
        self.guest
            .ports()
            .enumerate()
            .map(|(index, guest)| match &host {
                None => (guest, Vec::new()),
                Some(all) if self.guest.count() == 1 => (guest, all.clone()),
                Some(all) => (guest, all.get(index).copied().into_iter().collect()),
            })
            .collect()
    }
}

impl From<Exposed> for Publish {
    fn from(exposed: Exposed) -> Self {
        Self {
            ip: None,
            host: None,
            guest: exposed.ports,
            protocol: exposed.protocol,
        }
    }
}

impl fmt::Display for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip {
            Some(IpAddr::V6(ip)) => write!(f, "[{ip}]:")?,
            Some(IpAddr::V4(ip)) => write!(f, "{ip}:")?,
            None => {}
        }
        match self.host {
            Some(host) => write!(f, "{host}:")?,
            None if self.ip.is_some() => f.write_str(":")?,
            None => {}
        }
        write!(f, "{}/{}", self.guest, self.protocol)
    }
}

impl FromStr for Publish {
    type Err = NetError;

    /// With Docker's messages, where Docker has one.
    fn from_str(text: &str) -> Result<Self, NetError> {
        let (rest, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let (ip, rest) = if let Some(inside) = rest.strip_prefix('[') {
            let (ip, rest) = inside
                .split_once("]:")
                .ok_or_else(|| NetError::HostAddress {
                    text: rest.to_owned(),
                })?;
            (Some(ip), rest)
        } else if rest.matches(':').count() >= 2 {
            let at = rest.match_indices(':').rev().nth(1).map_or(0, |(at, _)| at);
            let (ip, rest) = rest.split_at(at);
            (Some(ip), &rest[1..])
        } else {
            (None, rest)
        };
        let (host, guest) = match rest.split_once(':') {
            Some((host, guest)) => (Some(host).filter(|host| !host.is_empty()), guest),
            None if ip.is_some() => {
                return Err(NetError::NoPort {
                    text: text.to_owned(),
                });
            }
            None => (None, rest),
        };
        if guest.is_empty() {
            return Err(NetError::NoPort {
                text: text.to_owned(),
            });
        }
        let guest = PortRange::parse(guest).ok_or_else(|| NetError::GuestPort {
            text: guest.to_owned(),
        })?;
        let host = host
            .map(|host| {
                // Docker's 0 is "any", as none is.
                if host == "0" {
                    return Ok(None);
                }
                PortRange::parse(host)
                    .map(Some)
                    .ok_or_else(|| NetError::HostPort {
                        text: host.to_owned(),
                    })
            })
            .transpose()?
            .flatten();
        let ip = ip
            .filter(|ip| !ip.is_empty())
            .map(|ip| {
                ip.parse().map_err(|_| NetError::HostAddress {
                    text: ip.to_owned(),
                })
            })
            .transpose()?;
        let publish = Self {
            ip,
            host,
            guest,
            protocol: Protocol::parse(protocol)?,
        };
        if let Some(host) = host
            && host.count() != guest.count()
            && guest.count() != 1
        {
            return Err(NetError::Ranges {
                guest: guest.to_string(),
                host: host.to_string(),
            });
        }
        if guest.count() > Self::MOST_PORTS {
            return Err(NetError::ManyPorts {
                text: text.to_owned(),
                most: Self::MOST_PORTS,
            });
        }
        Ok(publish)
    }
}

as_text!(Exposed, Publish);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_forms_are_read() {
        for (text, want) in [
            ("80", "80/tcp"),
            ("8080:80", "8080:80/tcp"),
            ("8080:80/udp", "8080:80/udp"),
            ("8080:80/TCP", "8080:80/tcp"),
            ("127.0.0.1:8080:80", "127.0.0.1:8080:80/tcp"),
            ("127.0.0.1::80", "127.0.0.1::80/tcp"),
            ("[::1]:8080:80", "[::1]:8080:80/tcp"),
            ("::1:8080:80", "[::1]:8080:80/tcp"),
            (":80", "80/tcp"),
            (":8080:80", "8080:80/tcp"),
            ("0:80", "80/tcp"),
            ("8000-8002:80-82", "8000-8002:80-82/tcp"),
            ("8000-8010:80", "8000-8010:80/tcp"),
            ("80-82", "80-82/tcp"),
        ] {
            let publish: Publish = text.parse().expect(text);
            assert_eq!(publish.to_string(), want, "{text}");
            assert_eq!(want.parse::<Publish>().expect(want), publish);
        }
    }

    #[test]
    fn what_is_wrong_is_said_as_docker_says_it() {
        for (text, want) in [
            ("", "no port specified: <empty>"),
            ("8080:", "no port specified: 8080:<empty>"),
            ("abc", "invalid containerPort: abc"),
            ("0", "invalid containerPort: 0"),
            ("80:70000", "invalid containerPort: 70000"),
            ("abc:80", "invalid hostPort: abc"),
            ("-1:80", "invalid hostPort: -1"),
            ("1.2.3:80:80", "invalid IP address: 1.2.3"),
            ("[::1:80:80", "invalid IP address: [::1:80:80"),
            ("80/sctp", "invalid proto: sctp"),
            ("80/", "invalid proto: "),
            (
                "8000-8001:80-82",
                "invalid ranges specified for container and host Ports: 80-82 and 8000-8001",
            ),
            ("82-80", "invalid containerPort: 82-80"),
            ("1-65535", "publishing 1-65535: it has more than 512 ports"),
        ] {
            let error = text.parse::<Publish>().expect_err(text);
            assert_eq!(error.to_string(), want, "{text}");
        }
    }

    #[test]
    fn ranges_pair_up() {
        let pairs = |text: &str| text.parse::<Publish>().expect(text).pairs();
        assert_eq!(pairs("80"), [(80, vec![])]);
        assert_eq!(
            pairs("8000-8001:80-81"),
            [(80, vec![8000]), (81, vec![8001])]
        );
        assert_eq!(pairs("8000-8001:80"), [(80, vec![8000, 8001])]);
        assert_eq!(pairs("80-81"), [(80, vec![]), (81, vec![])]);
    }

    #[test]
    fn exposed_ports_are_read() {
        let exposed: Exposed = "53/udp".parse().expect("valid");
        assert_eq!(exposed.to_string(), "53/udp");
        assert_eq!(
            "80".parse::<Exposed>().expect("valid").to_string(),
            "80/tcp"
        );
        for text in ["", "/tcp", "x/tcp", "80/x"] {
            assert!(text.parse::<Exposed>().is_err(), "{text}");
        }
    }
}
