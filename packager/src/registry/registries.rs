//! Where registries are, in the format of containers-registries.conf(5), version 2.
//!
//! Understood: `[[registry]]` with `prefix`, `location`, `insecure`, `blocked` and `mirror-by-digest-only`, and its
//! `[[registry.mirror]]` with `location`, `insecure` and `pull-from-mirror`. A name without a registry means Docker Hub here,
//! as with Docker, so what the file says about short names does not apply.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::credentials::HUB;
use super::error::Cause;
use crate::reference::Reference;

/// Where Docker Hub's registry answers.
const HUB_HOST: &str = "registry-1.docker.io";

/// Mirrors, other locations, and registries that are not to be checked or not to be used.
///
/// The default has none: each registry is where its name says.
#[derive(Clone, Debug, Default)]
pub struct RegistriesConf {
    /// By prefix.
    registries: BTreeMap<String, Registry>,
}

/// Why a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistriesConfError {
    /// It is not TOML, or has a value of another type.
    #[error("{detail}")]
    Malformed {
        /// What and where, on one line.
        detail: String,
    },
    /// It is of the version before `[[registry]]`.
    #[error("it is of version 1 (\"[registries.…]\"), which is no longer read")]
    Version1,
    /// An entry says nothing that could be used.
    #[error("{field} {value:?}: {problem}")]
    Entry {
        /// Such as `location`.
        field: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    registry: Vec<Registry>,
    registries: Option<toml::Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Registry {
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    mirror_by_digest_only: bool,
    #[serde(default)]
    mirror: Vec<Mirror>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Mirror {
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    pull_from_mirror: PullFrom,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum PullFrom {
    #[default]
    #[serde(alias = "")]
    All,
    DigestOnly,
    TagOnly,
}

/// A repository where it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// As references would name it: credentials are kept by this name.
    pub(super) registry: String,
    pub(super) repository: String,
    pub(super) insecure: bool,
}

impl Source {
    /// Returns the host and port that speak for the registry.
    pub(super) fn authority(&self) -> &str {
        if self.registry == HUB {
            HUB_HOST
        } else {
            &self.registry
        }
    }
}

impl RegistriesConf {
    /// Adds a file. Where it names a prefix that is there already, the new entry takes the old one's place.
    ///
    /// # Errors
    ///
    /// The file is none of this format.
    pub fn add(&mut self, text: &str) -> Result<(), RegistriesConfError> {
        let file: File = toml::from_str(text).map_err(|error| RegistriesConfError::Malformed {
            detail: super::redact::foreign(&error.to_string()),
        })?;
        if file.registries.is_some() {
            return Err(RegistriesConfError::Version1);
        }
        for mut registry in file.registry {
            let trim = |text: &str| text.trim_end_matches('/').to_owned();
            registry.location = trim(&registry.location);
            registry.prefix = trim(&registry.prefix);
            if registry.prefix.is_empty() {
                registry.prefix.clone_from(&registry.location);
            }
            check("prefix", &registry.prefix, Wildcard::Allowed)?;
            if !registry.location.is_empty() {
                check("location", &registry.location, Wildcard::Refused)?;
            }
            for mirror in &mut registry.mirror {
                mirror.location = trim(&mirror.location);
                check("location", &mirror.location, Wildcard::Refused)?;
            }
            self.registries.insert(registry.prefix.clone(), registry);
        }
        Ok(())
    }

    /// Adds registries, as `host[:port]`, that need no TLS or have certificates that are not checked.
    #[must_use]
    pub fn with_insecure(mut self, registries: &[&str]) -> Self {
        for name in registries {
            // What else is said of it holds on: one that is blocked stays so.
            let registry = self
                .registries
                .entry((*name).to_owned())
                .or_insert_with(|| Registry {
                    prefix: (*name).to_owned(),
                    location: String::new(),
                    insecure: true,
                    blocked: false,
                    mirror_by_digest_only: false,
                    mirror: Vec::new(),
                });
            registry.insecure = true;
        }
        self
    }

    /// Returns where a reference is pulled from, in order: mirrors, then the registry itself.
    pub(super) fn sources(&self, reference: &Reference) -> Result<Vec<Source>, Cause> {
        let mut sources = Vec::new();
        let name = reference.name();
        if let Some((registry, matched)) = self.find(&name) {
            for mirror in &registry.mirror {
                let by_digest = reference.digest().is_some();
                let fits = match mirror.pull_from_mirror {
                    PullFrom::All => by_digest || !registry.mirror_by_digest_only,
                    PullFrom::DigestOnly => by_digest,
                    PullFrom::TagOnly => !by_digest,
                };
                let rest = name.get(matched..).unwrap_or_default();
                if fits && let Some((host, repository)) = moved(&mirror.location, rest) {
                    sources.push(Source {
                        registry: host,
                        repository,
                        insecure: mirror.insecure,
                    });
                }
            }
        }
        sources.push(self.itself(reference)?);
        Ok(sources)
    }

    /// Returns where a reference is kept, without its mirrors.
    pub(super) fn itself(&self, reference: &Reference) -> Result<Source, Cause> {
        let name = reference.name();
        let named = Source {
            registry: reference.registry().to_owned(),
            repository: reference.repository().to_owned(),
            insecure: false,
        };
        let Some((registry, matched)) = self.find(&name) else {
            return Ok(named);
        };
        if registry.blocked {
            return Err(Cause::Blocked {
                prefix: registry.prefix.clone(),
            });
        }
        let rest = name.get(matched..).unwrap_or_default();
        let insecure = registry.insecure;
        if registry.location.is_empty() {
            return Ok(Source { insecure, ..named });
        }
        match moved(&registry.location, rest) {
            Some((host, repository)) => Ok(Source {
                registry: host,
                repository,
                insecure,
            }),
            None => Ok(Source { insecure, ..named }),
        }
    }

    /// Returns the entry whose prefix fits best, and how many bytes of the name it covers.
    fn find(&self, name: &str) -> Option<(&Registry, usize)> {
        self.registries
            .values()
            .filter_map(|registry| Some((registry, covered(&registry.prefix, name)?)))
            .max_by_key(|(registry, _)| (!registry.prefix.starts_with('*'), registry.prefix.len()))
    }
}

/// Returns how much of a name a prefix covers: whole parts of it, or for `*.example.com` a host within.
fn covered(prefix: &str, name: &str) -> Option<usize> {
    if let Some(domain) = prefix.strip_prefix('*') {
        let host = name.split('/').next().unwrap_or_default();
        return host.ends_with(domain).then_some(host.len());
    }
    let rest = name.strip_prefix(prefix)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(prefix.len())
}

/// Joins a location and the rest of a name, and splits it into host and repository.
fn moved(location: &str, rest: &str) -> Option<(String, String)> {
    let whole = format!("{location}{rest}");
    let (host, repository) = whole.split_once('/')?;
    (!repository.is_empty()).then(|| (host.to_owned(), repository.to_owned()))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wildcard {
    Allowed,
    Refused,
}

/// Checks that a text is a host with perhaps a port and a path.
fn check(field: &'static str, value: &str, wildcard: Wildcard) -> Result<(), RegistriesConfError> {
    let fail = |problem| RegistriesConfError::Entry {
        field,
        value: super::redact::foreign(value),
        problem,
    };
    if value.contains("://") {
        return Err(fail("it is a URL, want host[:port][/path]"));
    }
    let rest = match (value.strip_prefix("*."), wildcard) {
        (Some(rest), Wildcard::Allowed) if !rest.contains('/') => rest,
        (Some(_), _) => return Err(fail("\"*.\" stands for a host only, in a prefix")),
        (None, _) => value,
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let is_host = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    if host.is_empty() || host.starts_with('.') || !host.chars().all(is_host) {
        return Err(fail("it names no host, want host[:port][/path]"));
    }
    if !path.is_empty() && Reference::parse(&format!("localhost/{path}")).is_err() {
        return Err(fail("its path is no part of an image's name"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf(text: &str) -> RegistriesConf {
        let mut conf = RegistriesConf::default();
        conf.add(text).expect("a file");
        conf
    }

    fn sources(conf: &RegistriesConf, name: &str) -> Vec<String> {
        let reference = Reference::parse(name).expect("a reference");
        let sources = conf.sources(&reference).expect("not blocked").into_iter();
        sources
            .map(|source| {
                let mark = if source.insecure { "!" } else { "" };
                format!("{mark}{}/{}", source.authority(), source.repository)
            })
            .collect()
    }

    #[test]
    fn without_an_entry_a_name_says_all() {
        let conf = RegistriesConf::default();
        assert_eq!(
            sources(&conf, "ubuntu"),
            ["registry-1.docker.io/library/ubuntu"]
        );
        assert_eq!(sources(&conf, "r.example:5000/a/b"), ["r.example:5000/a/b"]);
        // What Debian ships is this, in comments.
        let conf = self::conf(
            "unqualified-search-registries = [\"example.com\"]\nshort-name-mode=\"enforcing\"\n[aliases]\n\"x\" = \"y/x\"\n",
        );
        assert_eq!(
            sources(&conf, "ubuntu"),
            ["registry-1.docker.io/library/ubuntu"]
        );
    }

    #[test]
    fn mirrors_come_before_the_registry() {
        let conf = conf(
            r#"
            [[registry]]
            location = "docker.io"
            [[registry.mirror]]
            location = "mirror.lan:5000/hub"
            insecure = true
            [[registry.mirror]]
            location = "only.digests"
            pull-from-mirror = "digest-only"
            [[registry.mirror]]
            location = "only.tags/"
            pull-from-mirror = "tag-only"
            "#,
        );
        assert_eq!(
            sources(&conf, "ubuntu:1"),
            [
                "!mirror.lan:5000/hub/library/ubuntu",
                "only.tags/library/ubuntu",
                "registry-1.docker.io/library/ubuntu"
            ]
        );
        let by_digest = format!("ubuntu@sha256:{}", "0".repeat(64));
        assert_eq!(
            sources(&conf, &by_digest),
            [
                "!mirror.lan:5000/hub/library/ubuntu",
                "only.digests/library/ubuntu",
                "registry-1.docker.io/library/ubuntu"
            ]
        );
        let conf = self::conf(
            "[[registry]]\nlocation = \"q.example\"\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = \"m.example\"\n",
        );
        assert_eq!(sources(&conf, "q.example/x:1"), ["q.example/x"]);
        assert_eq!(
            sources(&conf, &format!("q.example/x@sha256:{}", "0".repeat(64))).len(),
            2
        );
    }

    #[test]
    fn the_longest_prefix_wins_and_ends_at_a_part() {
        let conf = conf(
            r#"
            [[registry]]
            prefix = "*.example.com"
            insecure = true
            [[registry]]
            prefix = "a.example.com"
            location = "b.example"
            [[registry]]
            prefix = "a.example.com/team"
            location = "c.example/x"
            [[registry]]
            prefix = "blocked.example"
            blocked = true
            "#,
        );
        for (name, want) in [
            ("z.example.com/i", "!z.example.com/i"),
            ("a.example.com/i", "b.example/i"),
            ("a.example.com/team/i", "c.example/x/i"),
            ("a.example.com/teams/i", "b.example/teams/i"),
            ("example.com/i", "example.com/i"),
        ] {
            assert_eq!(sources(&conf, name), [want], "{name}");
        }
        let blocked = Reference::parse("blocked.example/x").expect("a reference");
        assert!(
            matches!(conf.sources(&blocked), Err(Cause::Blocked { prefix }) if prefix == "blocked.example")
        );
    }

    #[test]
    fn a_later_file_replaces_an_entry() {
        let mut conf = conf("[[registry]]\nlocation = \"r.example\"\ninsecure = true\n");
        conf.add("[[registry]]\nlocation = \"r.example\"\n")
            .expect("a file");
        assert_eq!(sources(&conf, "r.example/x"), ["r.example/x"]);
        let conf = conf.with_insecure(&["r.example"]);
        assert_eq!(sources(&conf, "r.example/x"), ["!r.example/x"]);
    }

    #[test]
    fn what_is_blocked_stays_so_without_tls() {
        let conf = conf("[[registry]]\nlocation = \"r.example\"\nblocked = true\n");
        let conf = conf.with_insecure(&["r.example"]);
        let name = Reference::parse("r.example/x").expect("a reference");
        assert!(matches!(conf.sources(&name), Err(Cause::Blocked { .. })));
    }

    #[test]
    fn what_cannot_be_meant_is_named() {
        for (text, word) in [
            ("[[registry]]\nlocation = 1\n", "line 2"),
            ("[[registry]\n", "line 1"),
            ("[registries.search]\nregistries = [\"x\"]\n", "version 1"),
            ("[[registry]]\n", "prefix \"\""),
            ("[[registry]]\nlocation = \"https://r.example\"\n", "URL"),
            ("[[registry]]\nprefix = \"*.x/y\"\n", "host only"),
            (
                "[[registry]]\nprefix = \"x\"\nlocation = \"*.y\"\n",
                "host only",
            ),
            ("[[registry]]\nlocation = \"r.example/UPPER\"\n", "path"),
            ("[[registry]]\nlocation = \"r.example/../x\"\n", "path"),
            ("[[registry]]\nlocation = \"r example\"\n", "no host"),
            (
                "[[registry]]\nlocation = \"r\"\n[[registry.mirror]]\nlocation = \"\"\n",
                "no host",
            ),
        ] {
            let error = RegistriesConf::default()
                .add(text)
                .expect_err(text)
                .to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
