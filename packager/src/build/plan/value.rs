//! Values of instructions, checked.

use std::ops::RangeInclusive;

use super::{Id, Owner, Remote, Source};
use crate::build::containerfile::Problem;
use crate::build::pattern::{Pattern, has_wildcard};

/// `USER`, `USER:GROUP`; each a name or a number.
pub(super) fn owner(text: &str) -> Option<Owner> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let id = |text: &str| {
        if text.is_empty() || text.contains([':', '/', '\n', ' ']) {
            return None;
        }
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return text.parse().ok().map(Id::Number);
        }
        (!text.starts_with(['-', '+'])).then(|| Id::Name(text.to_owned()))
    };
    Some(Owner {
        user: id(user)?,
        group: match group {
            Some(group) => Some(id(group)?),
            None => None,
        },
    })
}

/// Does a signal look like one: a number, or a name such as `SIGTERM`, `TERM`, `RTMIN+3`?
pub(super) fn is_signal(text: &str) -> bool {
    match text.parse::<u8>() {
        Ok(number) => (1..=64).contains(&number),
        Err(_) => {
            text.starts_with(|c: char| c.is_ascii_alphabetic())
                && text
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-'))
        }
    }
}

/// Returns what a source of ADD names elsewhere; `None` for a path.
pub(super) fn remote(text: &str) -> Option<Remote> {
    let (address, fragment) = text.split_once('#').unwrap_or((text, ""));
    let path = address.split('?').next().unwrap_or(address);
    let git = text.starts_with("git@")
        || text.starts_with("git://")
        || text.starts_with("ssh://")
        || (has_scheme(text) && path.ends_with(".git") && !fragment.contains(' '));
    if git {
        Some(Remote::Git(text.to_owned()))
    } else if has_scheme(text) {
        Some(Remote::Url(text.to_owned()))
    } else {
        None
    }
}

fn has_scheme(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
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

pub(super) fn source(text: String) -> Result<Source, Problem> {
    if text.contains("://") {
        let name = "this instruction";
        return Err(Problem::Remote { name, text });
    }
    let mut parts: Vec<String> = Vec::new();
    let mut pivot = 0;
    for (index, part) in text.split('/').enumerate() {
        match part {
            "." if index > 0 => pivot = parts.len(),
            "" | "." => {}
            ".." => {
                if parts.pop().is_none() {
                    return Err(Problem::Outside { text });
                }
                pivot = pivot.min(parts.len());
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
    Ok(Source { text, parts, pivot })
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
    fn owners_are_names_or_numbers() {
        let number = |user, group: Option<u32>| Owner {
            user: Id::Number(user),
            group: group.map(Id::Number),
        };
        assert_eq!(owner("1000"), Some(number(1000, None)));
        assert_eq!(owner("0:4294967295"), Some(number(0, Some(u32::MAX))));
        let named = owner("app:0").expect("is one");
        assert_eq!(named.user, Id::Name("app".to_owned()));
        for text in [
            "",
            ":",
            "1:",
            ":1",
            "-1",
            "+1",
            "4294967296",
            "1:2:3",
            "a b",
        ] {
            assert_eq!(owner(text), None, "{text}");
        }
    }

    #[test]
    fn remotes_are_told_from_paths() {
        let git = |text: &str| matches!(remote(text), Some(Remote::Git(_)));
        let url = |text: &str| matches!(remote(text), Some(Remote::Url(_)));
        assert!(git("https://example.org/a.git"));
        assert!(git("https://example.org/a.git#main:sub"));
        assert!(git("git@example.org:a/b.git"));
        assert!(url("https://example.org/a.tar.gz"));
        assert!(url("http://example.org/a.git.txt"));
        for path in ["a", "a.git", "http", "./git@x", "ftp:/x"] {
            assert_eq!(remote(path), None, "{path}");
        }
    }

    #[test]
    fn a_pivot_is_where_kept_parts_start() {
        for (text, parts, pivot) in [
            ("a/b", 2, 0),
            ("./a/b", 2, 0),
            ("a/./b", 2, 1),
            ("a/b/./c/d", 4, 2),
            ("a/./../b", 1, 0),
            ("a/.", 1, 1),
        ] {
            let source = source(text.to_owned()).expect(text);
            assert_eq!((source.parts.len(), source.pivot), (parts, pivot), "{text}");
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
