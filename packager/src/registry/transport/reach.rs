//! How far an address is from here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The network that an address belongs to. A registry on the internet must not lead us into a network of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Reach {
    /// The internet.
    Public,
    /// A network of an organisation or of a provider.
    Private,
    /// This machine.
    Loopback,
    /// The machines on the same cable; clouds keep their metadata, and credentials with it, at such an address.
    LinkLocal,
    /// No machine: unspecified, multicast or reserved.
    Nowhere,
}

impl Reach {
    pub(in super::super) fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => Self::of_v6(address),
        }
    }

    /// Returns the network of a registry with these addresses: a private one only if all of them are in it.
    pub(in super::super) fn of_all(addresses: &[IpAddr]) -> Self {
        let mut reaches = addresses.iter().map(|address| Self::of(*address));
        let Some(first) = reaches.next() else {
            return Self::Public;
        };
        if reaches.all(|reach| reach == first) {
            first
        } else {
            Self::Public
        }
    }

    /// May a server in this network send us to one in that?
    pub(in super::super) fn may_lead_to(self, target: Self) -> bool {
        match target {
            Self::Public => true,
            Self::Nowhere => false,
            // This machine is part of the networks that it is in.
            Self::Private => matches!(self, Self::Private | Self::Loopback),
            Self::Loopback | Self::LinkLocal => self == target,
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        match address.octets() {
            [0, ..] | [224..=255, ..] => Self::Nowhere,
            [127, ..] => Self::Loopback,
            [169, 254, ..] => Self::LinkLocal,
            // RFC 1918, RFC 6598 (carriers), RFC 6890 (protocols), RFC 2544 (benchmarks).
            [10, ..]
            | [172, 16..=31, ..]
            | [192, 168, ..]
            | [100, 64..=127, ..]
            | [192, 0, 0, _]
            | [198, 18..=19, ..] => Self::Private,
            _ => Self::Public,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        let v4 = |high: u16, low: u16| {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            Self::of_v4(Ipv4Addr::new(a, b, c, d))
        };
        match address.segments() {
            [0, 0, 0, 0, 0, 0, 0, 0] => Self::Nowhere,
            [0, 0, 0, 0, 0, 0, 0, 1] => Self::Loopback,
            // Four kinds of addresses that hold an older one: mapped, compatible, NAT64 and 6to4.
            [0, 0, 0, 0, 0, 0xffff | 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
                v4(high, low)
            }
            [0x2002, high, low, ..] => v4(high, low),
            [0xff00..=0xffff, ..] => Self::Nowhere,
            [0xfe80..=0xfebf, ..] => Self::LinkLocal,
            [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] | [0x64, 0xff9b, 1, ..] => Self::Private,
            _ => Self::Public,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_sorted() {
        for (address, want) in [
            ("1.1.1.1", Reach::Public),
            ("172.32.0.1", Reach::Public),
            ("100.128.0.1", Reach::Public),
            ("2606:4700::1111", Reach::Public),
            ("::ffff:8.8.8.8", Reach::Public),
            ("10.1.2.3", Reach::Private),
            ("172.31.255.255", Reach::Private),
            ("192.168.0.1", Reach::Private),
            ("100.100.100.200", Reach::Private),
            ("fd00:ec2::254", Reach::Private),
            ("::ffff:10.0.0.1", Reach::Private),
            ("64:ff9b::192.168.1.1", Reach::Private),
            ("2002:a00:1::", Reach::Private),
            ("127.0.0.1", Reach::Loopback),
            ("127.255.0.9", Reach::Loopback),
            ("::1", Reach::Loopback),
            ("::ffff:127.0.0.1", Reach::Loopback),
            ("::127.0.0.1", Reach::Loopback),
            ("169.254.169.254", Reach::LinkLocal),
            ("::ffff:169.254.169.254", Reach::LinkLocal),
            ("fe80::1", Reach::LinkLocal),
            ("0.0.0.0", Reach::Nowhere),
            ("0.1.2.3", Reach::Nowhere),
            ("::", Reach::Nowhere),
            ("255.255.255.255", Reach::Nowhere),
            ("224.0.0.1", Reach::Nowhere),
            ("ff02::1", Reach::Nowhere),
        ] {
            let parsed = address.parse().expect("an address");
            assert_eq!(Reach::of(parsed), want, "{address}");
        }
    }

    #[test]
    fn nobody_leads_inwards() {
        use Reach::{LinkLocal, Loopback, Nowhere, Private, Public};
        for (from, allowed) in [
            (Public, &[Public][..]),
            (Private, &[Public, Private]),
            (Loopback, &[Public, Private, Loopback]),
            (LinkLocal, &[Public, LinkLocal]),
        ] {
            for to in [Public, Private, Loopback, LinkLocal, Nowhere] {
                assert_eq!(
                    from.may_lead_to(to),
                    allowed.contains(&to),
                    "{from:?} {to:?}"
                );
            }
        }
    }

    #[test]
    fn one_public_address_makes_a_registry_public() {
        let of = |texts: &[&str]| {
            let addresses: Vec<IpAddr> = texts
                .iter()
                .map(|text| text.parse().expect("an address"))
                .collect();
            Reach::of_all(&addresses)
        };
        assert_eq!(of(&["10.0.0.1", "10.0.0.2"]), Reach::Private);
        assert_eq!(of(&["10.0.0.1", "1.1.1.1"]), Reach::Public);
        assert_eq!(of(&[]), Reach::Public);
    }
}
