//! Which devices a container may use.
//!
//! Whatever the specification lists, the start is: none. Then come the devices that every container has, then the list, in
//! its order; the last rule that fits decides.

use std::io;
use std::os::fd::OwnedFd;

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType, LinuxResources};

use crate::sys::linux::device_filter;

/// One rule. `None` is any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) allow: bool,
    pub(super) kind: Kind,
    pub(super) major: Option<u32>,
    pub(super) minor: Option<u32>,
    pub(super) read: bool,
    pub(super) write: bool,
    pub(super) make: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    All,
    Block,
    Character,
}

/// null, zero, full, random, urandom, tty, console, ptmx, and terminals; making any node is no use of it.
const DEFAULT: [(u32, Option<u32>); 9] = [
    (1, Some(3)),
    (1, Some(5)),
    (1, Some(7)),
    (1, Some(8)),
    (1, Some(9)),
    (5, Some(0)),
    (5, Some(1)),
    (5, Some(2)),
    (136, None),
];

/// Returns the rules in their order.
pub(super) fn rules(resources: Option<&LinuxResources>) -> Vec<Rule> {
    let rule = |allow, kind, (read, write, make)| Rule {
        allow,
        kind,
        major: None,
        minor: None,
        read,
        write,
        make,
    };
    let mut rules = vec![
        rule(false, Kind::All, (true, true, true)),
        rule(true, Kind::Character, (false, false, true)),
        rule(true, Kind::Block, (false, false, true)),
    ];
    rules.extend(DEFAULT.iter().map(|(major, minor)| Rule {
        major: Some(*major),
        minor: *minor,
        ..rule(true, Kind::Character, (true, true, true))
    }));
    let listed = resources.and_then(|resources| resources.devices().as_ref());
    let mut listed: Vec<Rule> = listed.into_iter().flatten().map(one).collect();
    // "None" at the beginning is what we begin with; later it takes back what came before, and the default devices, too.
    while listed.first() == rules.first() {
        listed.remove(0);
    }
    rules.extend(listed);
    rules
}

fn one(rule: &LinuxDeviceCgroup) -> Rule {
    let number = |number: Option<i64>| number.and_then(|number| u32::try_from(number).ok());
    let access = rule.access().as_deref().unwrap_or("rwm");
    Rule {
        allow: rule.allow(),
        kind: match rule.typ() {
            Some(LinuxDeviceType::B) => Kind::Block,
            Some(LinuxDeviceType::C | LinuxDeviceType::U) => Kind::Character,
            _ => Kind::All,
        },
        major: number(rule.major()),
        minor: number(rule.minor()),
        read: access.contains('r'),
        write: access.contains('w'),
        make: access.contains('m'),
    }
}

/// The writes that set rules in version 1.
pub(super) fn version_one(rules: &[Rule]) -> Vec<(&'static str, String)> {
    rules
        .iter()
        .map(|rule| {
            let file = if rule.allow {
                "devices.allow"
            } else {
                "devices.deny"
            };
            let number = |number: Option<u32>| {
                number.map_or_else(|| "*".to_owned(), |number| number.to_string())
            };
            let kind = match rule.kind {
                // For all devices the kernel reads nothing but this letter.
                Kind::All => return (file, "a".to_owned()),
                Kind::Block => 'b',
                Kind::Character => 'c',
            };
            let access: String = [(rule.read, 'r'), (rule.write, 'w'), (rule.make, 'm')]
                .iter()
                .filter_map(|(is_set, letter)| is_set.then_some(*letter))
                .collect();
            let text = format!(
                "{kind} {}:{} {access}",
                number(rule.major),
                number(rule.minor)
            );
            (file, text)
        })
        .collect()
}

/// Attaches a program to the group that decides on each use.
pub(super) fn version_two(rules: &[Rule], directory: &OwnedFd) -> io::Result<()> {
    let rules: Vec<device_filter::Rule> = rules
        .iter()
        .map(|rule| device_filter::Rule {
            allow: rule.allow,
            kind: match rule.kind {
                Kind::All => None,
                Kind::Block => Some(device_filter::BLOCK),
                Kind::Character => Some(device_filter::CHARACTER),
            },
            major: rule.major,
            minor: rule.minor,
            access: (u32::from(rule.make) * device_filter::MAKE)
                | (u32::from(rule.read) * device_filter::READ)
                | (u32::from(rule.write) * device_filter::WRITE),
        })
        .collect();
    device_filter::attach(&rules, directory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::{LinuxDeviceCgroupBuilder, LinuxResourcesBuilder};

    #[test]
    fn nothing_listed_means_the_default_devices() {
        let written = version_one(&rules(None));
        assert_eq!(written[0], ("devices.deny", "a".to_owned()));
        assert_eq!(written[1], ("devices.allow", "c *:* m".to_owned()));
        assert!(written.contains(&("devices.allow", "c 1:3 rwm".to_owned())));
        assert!(
            !written
                .iter()
                .any(|(_, text)| text.starts_with("b") && text.contains('r'))
        );
    }

    #[test]
    fn the_list_comes_last_and_in_its_order() {
        let rule = |allow, kind, major, access: &str| {
            LinuxDeviceCgroupBuilder::default()
                .allow(allow)
                .typ(kind)
                .major(major)
                .minor(0_i64)
                .access(access)
                .build()
                .expect("a rule")
        };
        let all = LinuxDeviceCgroupBuilder::default()
            .allow(false)
            .access("rwm")
            .build()
            .expect("a rule");
        let resources = LinuxResourcesBuilder::default()
            .devices(vec![
                all,
                rule(true, LinuxDeviceType::B, 8_i64, "r"),
                rule(false, LinuxDeviceType::C, 5_i64, "w"),
            ])
            .build()
            .expect("resources");
        let written = version_one(&rules(Some(&resources)));
        let denials = written.iter().filter(|(_, text)| text == "a").count();
        assert_eq!(denials, 1, "the default devices stay");
        assert_eq!(
            written[written.len() - 2..],
            [
                ("devices.allow", "b 8:0 r".to_owned()),
                ("devices.deny", "c 5:0 w".to_owned())
            ]
        );
    }
}
