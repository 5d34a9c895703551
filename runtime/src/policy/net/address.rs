//! What kind of address an address is.
//!
//! A name's owner chooses what it resolves to. So a grant by name reaches ordinary addresses only; the special ones (this
//! machine, its neighbours, the cloud's credentials, and every way to write an IPv4 address inside an IPv6 one) are
//! reached by a grant that names them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// What an address stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A host of the internet.
    Public,
    /// A host of a private network: RFC 1918, RFC 4193, RFC 6598.
    Private,
    /// Something that is not a host elsewhere.
    Special(Special),
}

/// An address that is reached only by a grant that names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Special {
    /// `0.0.0.0` and `::`, which systems take for this machine; and the rest of `0.0.0.0/8`.
    Unspecified,
    /// This machine.
    Loopback,
    /// A neighbour on the wire.
    LinkLocal,
    /// Where clouds hand out a machine's credentials.
    Metadata,
    /// Many hosts at once.
    Multicast,
    /// All hosts of a network at once, or an address with no meaning yet.
    Reserved,
    /// An IPv4 address written as an IPv6 one, which a translator or tunnel may take to any IPv4 host.
    Embedded,
}

impl fmt::Display for Special {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "an unspecified address",
            Self::Loopback => "this machine itself",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "a cloud's metadata service",
            Self::Multicast => "a multicast address",
            Self::Reserved => "a reserved address",
            Self::Embedded => "an IPv4 address inside an IPv6 one",
        })
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(high: [u16; 4], low: [u16; 4], prefix: u8) -> Ipv6Net {
    let [a, b, c, d] = high;
    let [e, f, g, h] = low;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix)
}

/// The first that holds an address decides, so the narrow ones come first.
const V4: &[(Ipv4Net, Class)] = &[
    // AWS, Azure, Google Cloud, DigitalOcean, OpenStack and others.
    (
        v4(169, 254, 169, 254, 32),
        Class::Special(Special::Metadata),
    ),
    // AWS: credentials of ECS tasks and EKS pods.
    (v4(169, 254, 170, 2, 32), Class::Special(Special::Metadata)),
    (v4(169, 254, 170, 23, 32), Class::Special(Special::Metadata)),
    // Alibaba Cloud, Oracle Cloud, Azure's host agent.
    (
        v4(100, 100, 100, 200, 32),
        Class::Special(Special::Metadata),
    ),
    (v4(192, 0, 0, 192, 32), Class::Special(Special::Metadata)),
    (v4(168, 63, 129, 16, 32), Class::Special(Special::Metadata)),
    (v4(0, 0, 0, 0, 8), Class::Special(Special::Unspecified)),
    (v4(127, 0, 0, 0, 8), Class::Special(Special::Loopback)),
    (v4(169, 254, 0, 0, 16), Class::Special(Special::LinkLocal)),
    (v4(192, 0, 0, 0, 24), Class::Special(Special::Reserved)),
    (v4(224, 0, 0, 0, 4), Class::Special(Special::Multicast)),
    // Broadcast is the last of them.
    (v4(240, 0, 0, 0, 4), Class::Special(Special::Reserved)),
    (v4(10, 0, 0, 0, 8), Class::Private),
    (v4(100, 64, 0, 0, 10), Class::Private),
    (v4(172, 16, 0, 0, 12), Class::Private),
    (v4(192, 168, 0, 0, 16), Class::Private),
    (v4(198, 18, 0, 0, 15), Class::Private),
];

const V6: &[(Ipv6Net, Class)] = &[
    // AWS: machines, EKS pods; Google Cloud.
    (
        v6([0xfd00, 0xec2, 0, 0], [0, 0, 0, 0x254], 128),
        Class::Special(Special::Metadata),
    ),
    (
        v6([0xfd00, 0xec2, 0, 0], [0, 0, 0, 0x23], 128),
        Class::Special(Special::Metadata),
    ),
    (
        v6([0xfd20, 0xce, 0, 0], [0, 0, 0, 0x254], 128),
        Class::Special(Special::Metadata),
    ),
    (
        v6([0; 4], [0; 4], 128),
        Class::Special(Special::Unspecified),
    ),
    (
        v6([0; 4], [0, 0, 0, 1], 128),
        Class::Special(Special::Loopback),
    ),
    (
        v6([0xfe80, 0, 0, 0], [0; 4], 10),
        Class::Special(Special::LinkLocal),
    ),
    (
        v6([0xff00, 0, 0, 0], [0; 4], 8),
        Class::Special(Special::Multicast),
    ),
    // Mapped (::ffff:a.b.c.d), translated (::ffff:0:a.b.c.d), compatible (::a.b.c.d).
    (
        v6([0; 4], [0, 0xffff, 0, 0], 96),
        Class::Special(Special::Embedded),
    ),
    (
        v6([0; 4], [0xffff, 0, 0, 0], 96),
        Class::Special(Special::Embedded),
    ),
    (v6([0; 4], [0; 4], 96), Class::Special(Special::Embedded)),
    // NAT64 (RFC 6052), and NAT64 of a network's own (RFC 8215).
    (
        v6([0x64, 0xff9b, 0, 0], [0; 4], 96),
        Class::Special(Special::Embedded),
    ),
    (
        v6([0x64, 0xff9b, 1, 0], [0; 4], 48),
        Class::Special(Special::Embedded),
    ),
    // 6to4, Teredo.
    (
        v6([0x2002, 0, 0, 0], [0; 4], 16),
        Class::Special(Special::Embedded),
    ),
    (
        v6([0x2001, 0, 0, 0], [0; 4], 32),
        Class::Special(Special::Embedded),
    ),
    (
        v6([0x100, 0, 0, 0], [0; 4], 64),
        Class::Special(Special::Reserved),
    ),
    (v6([0xfc00, 0, 0, 0], [0; 4], 7), Class::Private),
    // Site-local, long out of use.
    (v6([0xfec0, 0, 0, 0], [0; 4], 10), Class::Private),
];

/// Returns what an address stands for, and the range that says so.
fn look_up(address: IpAddr) -> (Class, Option<IpNet>) {
    let found = match address {
        IpAddr::V4(address) => V4
            .iter()
            .find(|(net, _)| net.contains(&address))
            .map(|(net, class)| (*class, IpNet::V4(*net))),
        IpAddr::V6(address) => V6
            .iter()
            .find(|(net, _)| net.contains(&address))
            .map(|(net, class)| (*class, IpNet::V6(*net))),
    };
    found.map_or((Class::Public, None), |(class, net)| (class, Some(net)))
}

impl Class {
    /// Returns what an address stands for.
    pub fn of(address: IpAddr) -> Self {
        look_up(address).0
    }
}

/// Says whether a range of addresses names this one. An ordinary address is named by every range that holds it, a special
/// one only by a range that lies within its kind's: `127.0.0.0/8` names `127.0.0.1`, and `0.0.0.0/0` does not.
pub(super) fn names(range: &IpNet, address: IpAddr) -> bool {
    range.contains(&address)
        && match look_up(address) {
            (Class::Special(_), Some(kind)) => kind.contains(range),
            _ => true,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    #[test]
    fn addresses_have_their_class() {
        use Special::*;
        let special = [
            ("0.0.0.0", Unspecified),
            ("0.1.2.3", Unspecified),
            ("127.0.0.1", Loopback),
            ("127.255.255.254", Loopback),
            ("169.254.1.1", LinkLocal),
            ("169.254.169.254", Metadata),
            ("169.254.170.2", Metadata),
            ("100.100.100.200", Metadata),
            ("192.0.0.192", Metadata),
            ("168.63.129.16", Metadata),
            ("224.0.0.251", Multicast),
            ("239.255.255.255", Multicast),
            ("240.0.0.1", Reserved),
            ("255.255.255.255", Reserved),
            ("::", Unspecified),
            ("::1", Loopback),
            ("fe80::1", LinkLocal),
            ("febf::1", LinkLocal),
            ("fd00:ec2::254", Metadata),
            ("fd20:ce::254", Metadata),
            ("ff02::1", Multicast),
            ("::ffff:127.0.0.1", Embedded),
            ("::ffff:8.8.8.8", Embedded),
            ("::ffff:0:127.0.0.1", Embedded),
            ("::127.0.0.1", Embedded),
            ("64:ff9b::7f00:1", Embedded),
            ("64:ff9b::a9fe:a9fe", Embedded),
            ("64:ff9b:1::7f00:1", Embedded),
            ("64:ff9b:1:ffff::1", Embedded),
            ("2002:7f00:1::", Embedded),
            ("2001::7f00:1", Embedded),
            ("100::1", Reserved),
        ];
        for (text, want) in special {
            assert_eq!(Class::of(ip(text)), Class::Special(want), "{text}");
        }
        for text in [
            "10.0.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "fc00::1",
            "fd12::1",
        ] {
            assert_eq!(Class::of(ip(text)), Class::Private, "{text}");
        }
        for text in [
            "8.8.8.8",
            "172.32.0.1",
            "126.255.255.255",
            "128.0.0.1",
            "2606:4700::1",
            "2001:db8::1",
            "64:ff9c::1",
        ] {
            assert_eq!(Class::of(ip(text)), Class::Public, "{text}");
        }
    }

    #[test]
    fn a_wide_range_does_not_name_what_is_special() {
        for (range, address, want) in [
            ("127.0.0.1/32", "127.0.0.1", true),
            ("127.0.0.0/8", "127.0.0.1", true),
            ("0.0.0.0/0", "127.0.0.1", false),
            ("126.0.0.0/7", "127.0.0.1", false),
            ("169.254.0.0/16", "169.254.1.1", true),
            ("169.254.0.0/16", "169.254.169.254", false),
            ("169.254.169.254/32", "169.254.169.254", true),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("0.0.0.0/0", "10.0.0.1", true),
            ("10.0.0.0/8", "10.0.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("::/0", "::1", false),
            ("::/0", "64:ff9b::7f00:1", false),
            ("64:ff9b::/96", "64:ff9b::7f00:1", true),
            ("fd00::/8", "fd00:ec2::254", false),
            ("::ffff:0:0/96", "::ffff:127.0.0.1", true),
        ] {
            let range = range.parse().expect(range);
            assert_eq!(names(&range, ip(address)), want, "{range} {address}");
        }
    }
}
