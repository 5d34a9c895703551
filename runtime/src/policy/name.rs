//! Names that are granted: variables and interfaces.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::InvalidGrant;

/// A variable that the guest gets: `NAME=value`, or `NAME` for the caller's value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnvGrant {
    /// Its name.
    pub name: String,
    /// Its value; the caller's, if absent.
    pub value: Option<String>,
}

impl FromStr for EnvGrant {
    type Err = InvalidGrant;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        if name.is_empty() || text.contains('\0') {
            return Err(InvalidGrant {
                what: "a variable",
                text: text.to_owned(),
                problem: "want NAME or NAME=value",
            });
        }
        Ok(Self {
            name: name.to_owned(),
            value,
        })
    }
}

impl fmt::Display for EnvGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match &self.value {
            Some(value) => write!(f, "={value}"),
            None => Ok(()),
        }
    }
}

super::as_text!(EnvGrant);

/// A name, or all that begin so: `LANG`, `APP_*`, `acme:greet/*`, `*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NamePrefix(String);

impl NamePrefix {
    /// Does the name fit?
    pub fn matches(&self, name: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => self.0 == name,
        }
    }

    /// Does this interface fit, whatever its version? A version is compared only if one was written. What a module imports is
    /// `wasi_snapshot_preview1.fd_write`: the interface is what stands before the dot.
    pub fn matches_interface(&self, name: &str) -> bool {
        let bare = name.split('@').next().unwrap_or(name);
        let module = bare.split_once('.').map_or(bare, |(module, _)| module);
        [name, bare, module].iter().any(|name| self.matches(name))
    }
}

impl FromStr for NamePrefix {
    type Err = InvalidGrant;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = text.strip_suffix('*').unwrap_or(text);
        if text.is_empty() || plain.contains(['*', '\0']) {
            return Err(InvalidGrant {
                what: "a name",
                text: text.to_owned(),
                problem: "want a name; a `*` can only be its end",
            });
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for NamePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

super::as_text!(NamePrefix);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_or_its_beginning() {
        let table = [
            ("LANG", "LANG", true),
            ("LANG", "LANGUAGE", false),
            ("APP_*", "APP_TOKEN", true),
            ("APP_*", "APP", false),
            ("*", "anything", true),
        ];
        for (pattern, name, want) in table {
            let pattern: NamePrefix = pattern.parse().expect(pattern);
            assert_eq!(pattern.matches(name), want, "{pattern} {name}");
        }
        for bad in ["", "**", "a*b", "\0"] {
            assert!(bad.parse::<NamePrefix>().is_err(), "{bad:?}");
        }
        for bad in ["", "=x", "a\0=b"] {
            assert!(bad.parse::<EnvGrant>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_interface_fits_in_every_version() {
        let table = [
            ("acme:greet/hello", "acme:greet/hello@1.2.0", true),
            ("acme:greet/hello@1.2.0", "acme:greet/hello@1.2.0", true),
            ("acme:greet/hello@1.2.0", "acme:greet/hello@1.3.0", false),
            ("acme:greet/*", "acme:greet/bye", true),
            ("acme:greet/hello", "acme:greet/hello-world@1.0.0", false),
            (
                "wasi_snapshot_preview1",
                "wasi_snapshot_preview1.fd_write",
                true,
            ),
            (
                "wasi_snapshot_preview1.fd_write",
                "wasi_snapshot_preview1.fd_write",
                true,
            ),
            (
                "wasi_snapshot_preview1.fd_read",
                "wasi_snapshot_preview1.fd_write",
                false,
            ),
        ];
        for (pattern, name, want) in table {
            let pattern: NamePrefix = pattern.parse().expect(pattern);
            assert_eq!(pattern.matches_interface(name), want, "{pattern} {name}");
        }
    }
}
