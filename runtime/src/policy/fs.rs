//! Grants of host files.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::InvalidGrant;

/// What the guest may do with what is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FsAccess {
    /// Look.
    ReadOnly,
    /// Look and change.
    ReadWrite,
}

/// A host folder or file at a guest path: `HOST:GUEST` or `HOST:GUEST:ro`. In a request nothing of the host is known: there it
/// is `GUEST` or `GUEST:ro`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FsGrant {
    /// The host path, unless this is a request.
    pub source: Option<String>,
    /// The absolute guest path.
    pub target: String,
    /// What the guest may do there.
    pub access: FsAccess,
}

impl FsGrant {
    /// Does a request for `other` come with this grant? Then it is mounted there, and may be changed if that was asked for.
    pub fn satisfies(&self, other: &Self) -> bool {
        parts(&self.target).eq(parts(&other.target)) && self.access >= other.access
    }
}

/// Returns the names that a path is made of.
fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split(['/', std::path::MAIN_SEPARATOR])
        .filter(|part| !matches!(*part, "" | "."))
}

/// Is `path` the folder `folder`, or below it? Both are absolute, and free of `..` and links.
pub(super) fn is_below(path: &str, folder: &str) -> bool {
    let mut path = parts(path);
    parts(folder).all(|part| path.next() == Some(part))
}

impl FromStr for FsGrant {
    type Err = InvalidGrant;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |problem| InvalidGrant {
            what: "a grant of files",
            text: text.to_owned(),
            problem,
        };
        let (paths, access) = match text.strip_suffix(":ro") {
            Some(paths) => (paths, FsAccess::ReadOnly),
            None => (
                text.strip_suffix(":rw").unwrap_or(text),
                FsAccess::ReadWrite,
            ),
        };
        // A guest path begins with a slash, so that a drive letter's colon is none of ours.
        let (source, target) = match paths.rfind(":/") {
            Some(at) => paths.split_at(at),
            None => ("", paths),
        };
        let target = target.trim_start_matches(':');
        if !target.starts_with('/') {
            return Err(wrong(
                "want HOST:GUEST or HOST:GUEST:ro, with an absolute guest path",
            ));
        }
        if target.contains('\0') || target.split('/').any(|part| part == "..") {
            return Err(wrong("the guest path may not contain `..`"));
        }
        if parts(target).next().is_none() {
            return Err(wrong("the guest's root itself cannot be replaced"));
        }
        Ok(Self {
            source: (!source.is_empty()).then(|| source.to_owned()),
            target: target.to_owned(),
            access,
        })
    }
}

impl fmt::Display for FsGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(source) = &self.source {
            write!(f, "{source}:")?;
        }
        f.write_str(&self.target)?;
        match self.access {
            FsAccess::ReadOnly => f.write_str(":ro"),
            FsAccess::ReadWrite => Ok(()),
        }
    }
}

super::as_text!(FsGrant);

/// What of the host may be mounted at most: `/srv`, or `/srv:ro`. It covers all that is below.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPath {
    /// The absolute path.
    pub path: String,
    /// What may be done there.
    pub access: FsAccess,
}

impl HostPath {
    /// Does it cover this grant?
    pub fn covers(&self, source: &str, access: FsAccess) -> bool {
        access <= self.access && is_below(source, &self.path)
    }

    /// Would this grant open something of it? A folder opens all that is below it.
    pub fn touches(&self, source: &str, access: FsAccess) -> bool {
        // What is denied for reading is denied for writing as well: `:ro` denies nothing but the right to change.
        let is_denied = self.access == FsAccess::ReadWrite || access == FsAccess::ReadWrite;
        is_denied && (is_below(source, &self.path) || is_below(&self.path, source))
    }
}

impl FromStr for HostPath {
    type Err = InvalidGrant;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (path, access) = match text.strip_suffix(":ro") {
            Some(path) => (path, FsAccess::ReadOnly),
            None => (text, FsAccess::ReadWrite),
        };
        if !std::path::Path::new(path).is_absolute()
            || path.split(['/', '\\']).any(|part| part == "..")
        {
            return Err(InvalidGrant {
                what: "a host path",
                text: text.to_owned(),
                problem: "want an absolute path without `..`, such as /srv or /srv:ro",
            });
        }
        Ok(Self {
            path: path.to_owned(),
            access,
        })
    }
}

impl fmt::Display for HostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        match self.access {
            FsAccess::ReadOnly => f.write_str(":ro"),
            FsAccess::ReadWrite => Ok(()),
        }
    }
}

super::as_text!(HostPath);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_means_a_grant() {
        let table = [
            ("/a:/b", Some((Some("/a"), "/b", FsAccess::ReadWrite))),
            ("/a:/b:ro", Some((Some("/a"), "/b", FsAccess::ReadOnly))),
            ("./a:/b:rw", Some((Some("./a"), "/b", FsAccess::ReadWrite))),
            (
                "C:\\a b:/b",
                Some((Some("C:\\a b"), "/b", FsAccess::ReadWrite)),
            ),
            ("/b:ro", Some((None, "/b", FsAccess::ReadOnly))),
            ("/b", Some((None, "/b", FsAccess::ReadWrite))),
            ("", None),
            ("a:b", None),
            ("/a:/", None),
            ("/a:/../b", None),
            ("/", None),
        ];
        for (text, want) in table {
            let got = text.parse::<FsGrant>().ok();
            let got = got
                .as_ref()
                .map(|grant| (grant.source.as_deref(), grant.target.as_str(), grant.access));
            assert_eq!(got, want, "{text}");
        }
        for text in ["/a:/b", "/a:/b:ro", "/b:ro", "/b"] {
            assert_eq!(text.parse::<FsGrant>().expect(text).to_string(), text);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_ceiling_covers_what_is_below() {
        use FsAccess::{ReadOnly, ReadWrite};
        let table = [
            ("/srv", "/srv", ReadWrite, true),
            ("/srv", "/srv/data", ReadWrite, true),
            ("/srv/", "/srv/data", ReadOnly, true),
            ("/srv:ro", "/srv/data", ReadOnly, true),
            ("/srv:ro", "/srv/data", ReadWrite, false),
            ("/srv", "/srvx", ReadOnly, false),
            ("/srv", "/", ReadOnly, false),
            ("/", "/etc", ReadWrite, true),
        ];
        for (ceiling, source, access, want) in table {
            let path: HostPath = ceiling.parse().expect(ceiling);
            assert_eq!(path.covers(source, access), want, "{ceiling} {source}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_is_denied_cannot_be_reached_from_above() {
        use FsAccess::{ReadOnly, ReadWrite};
        let table = [
            ("/etc", "/etc", ReadOnly, true),
            ("/etc", "/etc/ssh", ReadOnly, true),
            ("/etc", "/", ReadOnly, true),
            ("/etc", "/srv", ReadWrite, false),
            ("/etc:ro", "/etc", ReadOnly, false),
            ("/etc:ro", "/etc", ReadWrite, true),
            ("/etc:ro", "/", ReadWrite, true),
        ];
        for (denied, source, access, want) in table {
            let path: HostPath = denied.parse().expect(denied);
            assert_eq!(path.touches(source, access), want, "{denied} {source}");
        }
    }

    #[test]
    fn a_grant_that_gives_more_satisfies_a_request() {
        let grant = |text: &str| text.parse::<FsGrant>().expect(text);
        assert!(grant("/x:/data").satisfies(&grant("/data")));
        assert!(grant("/x:/data/").satisfies(&grant("/data:ro")));
        assert!(!grant("/x:/data:ro").satisfies(&grant("/data")));
        assert!(!grant("/x:/other").satisfies(&grant("/data")));
    }
}
