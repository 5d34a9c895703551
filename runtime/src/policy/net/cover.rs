//! Does one rule grant all that another grants? And what is denied, whoever granted it.

use std::net::IpAddr;

use super::{ConnectRule, Exposed, NamePattern, Peer, PortRange, Publish, Scheme};

impl PortRange {
    /// Is every port of the other one of this?
    pub fn includes(self, other: Self) -> bool {
        self.first() <= other.first() && other.last() <= self.last()
    }
}

impl NamePattern {
    /// Does every name that matches the other match this?
    pub fn includes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (_, Self::Any) => false,
            (Self::Below(parent), Self::Below(other)) => parent == other || self.matches(other),
            (Self::Exactly(_), Self::Below(_)) => false,
            (_, Self::Exactly(name)) => self.matches(name),
        }
    }
}

impl ConnectRule {
    /// Does it grant all that the other grants? A name's addresses are not known before it is looked up: so a range of
    /// addresses includes no name, and a name no address.
    pub fn includes(&self, other: &Self) -> bool {
        let peer = match (&self.peer, &other.peer) {
            (Peer::Named(pattern), Peer::Named(other)) => pattern.includes(other),
            (Peer::Range(range), Peer::Range(other)) => range.contains(other),
            _ => false,
        };
        peer && self.scheme.includes(other.scheme) && self.ports.includes(other.ports)
    }

    /// Does it mean this connection? `names` are those that the address was told for.
    pub(super) fn means<'a>(
        &self,
        scheme: Scheme,
        ip: IpAddr,
        port: u16,
        names: impl IntoIterator<Item = &'a str>,
    ) -> bool {
        self.covers(scheme, port)
            && match &self.peer {
                Peer::Named(pattern) => names.into_iter().any(|name| pattern.matches(name)),
                // Not by another way to write the same address.
                Peer::Range(range) => range.contains(&ip) || range.contains(&ip.to_canonical()),
            }
    }
}

impl Exposed {
    /// May these ports of the host be opened? One that the system chooses may, where any may.
    pub fn includes(&self, publish: &Publish) -> bool {
        self.protocol == publish.protocol
            && publish.host.is_none_or(|host| self.ports.includes(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wider_rule_includes_a_narrower() {
        let table = [
            ("tcp://*:*", "tcp://db.example:5432", true),
            ("tcp://*.example:443", "https://api.example", true),
            ("tcp://*.example:443", "tcp://*.api.example:443", true),
            ("tcp://*.example:443", "tcp://*.example:443", true),
            ("tcp://*.api.example:443", "tcp://*.example:443", false),
            ("tcp://api.example:443", "tcp://*.api.example:443", false),
            ("https://api.example", "tcp://api.example:443", false),
            ("tcp://api.example:443", "udp://api.example:443", false),
            ("tcp://api.example:1-100", "tcp://api.example:90-101", false),
            ("tcp://api.example:*", "tcp://api.example:1-65535", true),
            ("tcp://10.0.0.0/8:80", "tcp://10.1.0.0/16:80", true),
            ("tcp://10.1.0.0/16:80", "tcp://10.0.0.0/8:80", false),
            ("tcp://10.0.0.0/8:80", "tcp://10.1.2.3:80", true),
            ("tcp://0.0.0.0/0:80", "tcp://db.example:80", false),
            ("tcp://*:80", "tcp://10.1.2.3:80", false),
            ("tcp://*:80", "tcp://*.example:80", true),
            ("tcp://*.example:80", "tcp://*:80", false),
        ];
        for (wide, narrow, want) in table {
            let rule = |text: &str| text.parse::<ConnectRule>().expect(text);
            assert_eq!(rule(wide).includes(&rule(narrow)), want, "{wide} {narrow}");
        }
    }

    #[test]
    fn the_hosts_ports_are_what_counts() {
        let table = [
            ("8000-8999", "8080:80", true),
            ("8000-8999", "80:8080", false),
            ("8000-8999", "8080:80/udp", false),
            ("8000-8999", "80", true),
            ("8000-8999/udp", "53", false),
            ("8000-8999", "8990-9000:90-100", false),
        ];
        for (exposed, publish, want) in table {
            let allowed: Exposed = exposed.parse().expect(exposed);
            let publish: Publish = publish.parse().expect(publish);
            assert_eq!(allowed.includes(&publish), want, "{exposed} {publish}");
        }
    }
}
