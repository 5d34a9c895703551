//! A policy file, and which of its requirements are for an image.

use serde::Deserialize;

use super::demand::Demand;
use super::error::PolicyError;
use super::map::UniqueMap;
use super::requirement::{Requirement, Written};
use crate::reference::Reference;

/// Bytes of a policy. Those of large organisations have some dozens of kilobytes.
const POLICY_LIMIT: usize = 4 << 20;
/// The transport of images in registries.
const DOCKER: &str = "docker";

/// A policy, as containers-policy.json(5) describes it.
#[derive(Clone, Debug)]
pub struct TrustPolicy {
    default: Vec<Requirement>,
    /// Of the transport `docker`, by scope.
    scopes: std::collections::BTreeMap<String, Vec<Requirement>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    default: Vec<Written>,
    #[serde(default)]
    transports: UniqueMap<UniqueMap<Vec<Written>>>,
}

impl TrustPolicy {
    /// Reads a policy. The whole file is checked: a mistake anywhere may be a mistake about this image.
    ///
    /// # Errors
    ///
    /// [`PolicyError`]; keys are not read yet.
    pub fn parse(text: &[u8]) -> Result<Self, PolicyError> {
        if text.len() > POLICY_LIMIT {
            return Err(PolicyError::TooLarge {
                limit: POLICY_LIMIT,
            });
        }
        let File {
            default,
            transports,
        } = serde_json::from_slice(text)?;
        let mut policy = Self {
            default: check(default, || "\"default\"".to_owned())?,
            scopes: Default::default(),
        };
        for (transport, scopes) in transports.0 {
            for (scope, written) in scopes.0 {
                let requirements = check(written, || format!("{scope:?} of \"{transport}\""))?;
                if transport == DOCKER {
                    policy.scopes.insert(scope, requirements);
                }
            }
        }
        Ok(policy)
    }

    /// Returns what is demanded of an image of this name, with the keys.
    ///
    /// # Errors
    ///
    /// A key cannot be read.
    pub fn demand(&self, named: &Reference) -> Result<Demand, PolicyError> {
        for scope in scopes_of(named) {
            if let Some(requirements) = self.scopes.get(&scope) {
                let shown = if scope.is_empty() {
                    "all registries".to_owned()
                } else {
                    format!("{scope:?}")
                };
                return Demand::new(shown, requirements);
            }
        }
        Demand::new("all images (its default)".to_owned(), &self.default)
    }
}

fn check(
    written: Vec<Written>,
    scope: impl Fn() -> String,
) -> Result<Vec<Requirement>, PolicyError> {
    if written.is_empty() {
        return Err(PolicyError::Empty { scope: scope() });
    }
    let checked = written.into_iter().map(Written::check);
    checked
        .collect::<Result<_, _>>()
        .map_err(|problem| PolicyError::Requirement {
            scope: scope(),
            problem,
        })
}

/// Returns the scopes that an image is in, the narrowest first: its name with digest or tag, its repository, what is above that, its
/// registry, the domains that this is in (`*.example.com`), and all registries.
fn scopes_of(named: &Reference) -> Vec<String> {
    let mut name = named.name();
    // As in Podman a digest makes a tag meaningless.
    let mut scopes = match (named.digest(), named.tag()) {
        (Some(digest), _) => vec![format!("{name}@{digest}")],
        (None, Some(tag)) => vec![format!("{name}:{tag}")],
        (None, None) => Vec::new(),
    };
    loop {
        scopes.push(name.clone());
        match name.rfind('/') {
            Some(slash) => name.truncate(slash),
            None => break,
        }
    }
    // The port says nothing about whose domain it is.
    let mut host = name.split(':').next().unwrap_or_default();
    while let Some((_, domain)) = host.split_once('.') {
        scopes.push(format!("*.{domain}"));
        host = domain;
    }
    scopes.push(String::new());
    scopes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_scopes_come_before_wide_ones() {
        let of = |text: &str| scopes_of(&Reference::parse(text).expect("a reference"));
        assert_eq!(
            of("r.example.com:5000/team/app:1"),
            [
                "r.example.com:5000/team/app:1",
                "r.example.com:5000/team/app",
                "r.example.com:5000/team",
                "r.example.com:5000",
                "*.example.com",
                "*.com",
                "",
            ]
        );
        let digest = format!("sha256:{}", "a".repeat(64));
        assert_eq!(
            of(&format!("busybox:1@{digest}"))[..2],
            [
                format!("docker.io/library/busybox@{digest}"),
                "docker.io/library/busybox".to_owned()
            ]
        );
        assert_eq!(of("localhost/a")[..], ["localhost/a", "localhost", ""]);
    }
}
