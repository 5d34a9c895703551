//! What a token is good for: `repository:team/app:pull,push` (distribution's token/scope specification).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Resources of one token that are asked for; a registry that wants more is not answered.
const RESOURCES: usize = 8;
/// Bytes of a scope that a registry may name.
const LENGTH: usize = 1024;

/// Resources and what is to be done with each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Scopes(BTreeMap<String, BTreeSet<String>>);

impl Scopes {
    /// Adds a repository. Returns whether that is news.
    pub(in super::super) fn add_repository(&mut self, name: &str, actions: &[&str]) -> bool {
        self.add(format!("repository:{name}"), actions)
    }

    /// Adds what a registry says it wants, with spaces between. Returns whether any is news.
    pub(in super::super) fn add_wanted(&mut self, text: &str) -> bool {
        let mut is_news = false;
        for scope in text.split_ascii_whitespace() {
            if scope.len() > LENGTH || !scope.bytes().all(|byte| byte.is_ascii_graphic()) {
                continue;
            }
            // The name may have colons, as the resource may be a host with a port.
            if let Some((resource, actions)) = scope.rsplit_once(':')
                && resource.contains(':')
            {
                let actions: Vec<&str> = actions
                    .split(',')
                    .filter(|action| !action.is_empty())
                    .collect();
                is_news |= self.add(resource.to_owned(), &actions);
            }
        }
        is_news
    }

    fn add(&mut self, resource: String, actions: &[&str]) -> bool {
        if !self.0.contains_key(&resource) && self.0.len() >= RESOURCES {
            return false;
        }
        let known = self.0.entry(resource).or_default();
        let before = known.len();
        known.extend(actions.iter().map(|action| (*action).to_owned()));
        known.len() > before
    }

    /// Returns each scope as its text.
    pub(in super::super) fn texts(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(resource, actions)| {
            let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
            format!("{resource}:{}", actions.join(","))
        })
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.texts().collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_joined_by_resource() {
        let mut scopes = Scopes::default();
        assert!(scopes.add_repository("a/b", &["pull"]));
        assert!(!scopes.add_repository("a/b", &["pull"]));
        assert!(
            scopes.add_wanted(
                "repository:a/b:push,pull  repository:h:5000/c:pull registry:catalog:*"
            )
        );
        assert_eq!(
            scopes.to_string(),
            "registry:catalog:* repository:a/b:pull,push repository:h:5000/c:pull"
        );
        assert!(!scopes.add_wanted("repository:a/b:pull nonsense a:b \u{1b}:x:y"));
    }

    #[test]
    fn a_registry_cannot_ask_for_ever_more() {
        let mut scopes = Scopes::default();
        for number in 0..1000 {
            scopes.add_wanted(&format!("repository:{number}:pull"));
        }
        scopes.add_wanted(&format!("repository:{}:pull", "x".repeat(5000)));
        assert_eq!(scopes.texts().count(), RESOURCES);
    }
}
