//! Values of instructions, checked.

use std::ops::RangeInclusive;

use super::Source;
use crate::build::containerfile::{Problem, Verb};
use crate::build::pattern::{Pattern, has_wildcard};

/// `UID` or `UID:GID`; a UID alone is the GID too, as in Docker.
pub(super) fn owner(text: &str) -> Option<(u32, u32)> {
    let (user, group) = text.split_once(':').unwrap_or((text, text));
    let number = |text: &str| {
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    };
    Some((number(user)?, number(group)?))
}

pub(super) fn mode(text: &str) -> Option<u32> {
    let octal = text.bytes().all(|b| matches!(b, b'0'..=b'7'));
    let mode = u32::from_str_radix(text, 8).ok()?;
    (octal && mode <= 0o7777).then_some(mode)
}

pub(super) fn port_range(text: &str) -> Result<(RangeInclusive<u16>, &'static str), &'static str> {
    if text.contains(':') {
        return Err("EXPOSE names only the container's port, the host's is chosen when it runs");
    }
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "tcp" => "tcp",
        "udp" => "udp",
        "sctp" => "sctp",
        _ => return Err("the protocol must be tcp, udp or sctp"),
    };
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let number = |text: &str| match text.parse::<u16>() {
        Ok(port) if port > 0 && text.bytes().all(|b| b.is_ascii_digit()) => Ok(port),
        _ => Err("a port is a number from 1 to 65535"),
    };
    let (first, last) = (number(first)?, number(last)?);
    if first > last {
        return Err("the range ends before it starts");
    }
    Ok((first..=last, protocol))
}

pub(super) fn source(verb: Verb, text: String) -> Result<Source, Problem> {
    if text.contains("://") || text.starts_with("git@") {
        let name = verb.name();
        return Err(Problem::Remote { name, text });
    }
    let mut parts: Vec<String> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                if parts.pop().is_none() {
                    return Err(Problem::Outside { text });
                }
            }
            part => parts.push(part.to_owned()),
        }
    }
    for part in &parts {
        if has_wildcard(part)
            && let Err(reason) = Pattern::name(part)
        {
            let text = part.clone();
            return Err(Problem::Pattern { text, reason });
        }
    }
    Ok(Source { text, parts })
}

/// Joins two paths of the image and takes `.`, `..` and needless slashes away, without regard to symbolic links.
pub(super) fn join(directory: &str, path: &str) -> String {
    if path.starts_with('/') {
        clean(path)
    } else {
        clean(&format!("{directory}/{path}"))
    }
}

pub(super) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_text() {
        for (directory, path, want) in [
            ("/", "a", "/a"),
            ("/w", "a/./b/", "/w/a/b"),
            ("/w", "/a//b", "/a/b"),
            ("/w/x", "../a", "/w/a"),
            ("/", "../../a", "/a"),
            ("/w", ".", "/w"),
            ("/w", "..", "/"),
        ] {
            assert_eq!(join(directory, path), want, "{directory} {path}");
        }
    }

    #[test]
    fn owners_and_modes_are_numbers() {
        assert_eq!(owner("1000"), Some((1000, 1000)));
        assert_eq!(owner("0:4294967295"), Some((0, u32::MAX)));
        for text in [
            "",
            ":",
            "1:",
            ":1",
            "a",
            "1:a",
            "-1",
            "+1",
            "4294967296",
            "1:2:3",
        ] {
            assert_eq!(owner(text), None, "{text}");
        }
        assert_eq!(mode("0755"), Some(0o755));
        assert_eq!(mode("7777"), Some(0o7777));
        for text in ["", "u+x", "8", "10000", "-1", "+7", "0o7"] {
            assert_eq!(mode(text), None, "{text}");
        }
    }

    #[test]
    fn ports_are_ranges_with_a_protocol() {
        assert_eq!(port_range("80"), Ok((80..=80, "tcp")));
        assert_eq!(port_range("1-65535/UDP"), Ok((1..=65535, "udp")));
        for text in [
            "", "0", "65536", "+1", "a", "80/", "80/x", "9-8", "1-", "80:80", "-1",
        ] {
            assert!(port_range(text).is_err(), "{text}");
        }
    }
}
