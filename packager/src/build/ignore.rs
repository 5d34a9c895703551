//! `.dockerignore`: what of the build context does not exist for the build.
//!
//! <https://docs.docker.com/build/concepts/context/#dockerignore-files>

use super::pattern::Pattern;

/// Bytes of an ignore file. Real ones have a few KiB.
pub(super) const MAX_BYTES: u64 = 1 << 20;

/// Rules of an ignore file. Every file of the context is held against every rule.
const MAX_RULES: usize = 2_000;

/// A rule that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{file}:{line}: `{text}` is not a pattern: {reason}")]
pub struct IgnoreError {
    /// The ignore file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The rule.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// The rules of one ignore file, in order. The last one that matches a path decides.
#[derive(Clone, Debug, Default)]
pub(super) struct Ignore {
    /// The file they came from.
    pub(super) file: String,
    rules: Vec<Rule>,
}

/// One line of an ignore file.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    /// Its line number, from 1.
    pub(super) line: usize,
    /// Does it bring back what a rule above took away?
    exception: bool,
    pattern: Pattern,
}

impl Ignore {
    pub(super) fn parse(file: &str, text: &str) -> Result<Self, IgnoreError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut rules = Vec::new();
        for (index, line) in text.lines().enumerate() {
            // A comment starts in the first column; elsewhere `#` is part of a name.
            let trimmed = line.trim();
            if line.starts_with('#') || trimmed.is_empty() {
                continue;
            }
            let error = |reason| IgnoreError {
                file: file.to_owned(),
                line: index + 1,
                text: trimmed.to_owned(),
                reason,
            };
            if rules.len() >= MAX_RULES {
                return Err(error("there are more than 2000 rules"));
            }
            let (exception, pattern) = match trimmed.strip_prefix('!') {
                Some(pattern) => (true, pattern.trim()),
                None => (false, trimmed),
            };
            if pattern.is_empty() {
                return Err(error("nothing follows the `!`"));
            }
            rules.push(Rule {
                line: index + 1,
                exception,
                pattern: Pattern::path(&clean(pattern)).map_err(error)?,
            });
        }
        Ok(Self {
            file: file.to_owned(),
            rules,
        })
    }

    /// Returns the rule that takes a path away, if one does. A rule that matches a directory matches all below it.
    pub(super) fn excludes(&self, path: &str) -> Option<&Rule> {
        let mut verdict = None;
        for rule in &self.rules {
            // A rule that could not change the verdict is not tried.
            if rule.exception == verdict.is_some() && rule.matches(path) {
                verdict = (!rule.exception).then_some(rule);
            }
        }
        verdict
    }

    /// Can something below an excluded directory be included again?
    pub(super) fn has_exceptions(&self) -> bool {
        self.rules.iter().any(|rule| rule.exception)
    }
}

impl Rule {
    fn matches(&self, path: &str) -> bool {
        let ancestors = path.match_indices('/').filter_map(|(at, _)| path.get(..at));
        ancestors
            .chain([path])
            .any(|path| self.pattern.matches(path))
    }
}

/// Go's `filepath.Clean`, and away with a slash at the front: patterns are relative to the context anyway.
fn clean(pattern: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in pattern.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excluded(rules: &str, path: &str) -> bool {
        let ignore = Ignore::parse(".dockerignore", rules).expect(rules);
        ignore.excludes(path).is_some()
    }

    #[test]
    fn rules_decide_as_in_docker() {
        for (rules, path, want) in [
            ("", "a", false),
            ("a", "a", true),
            ("a", "a/b/c", true),
            ("a", "b/a", false),
            ("/a", "a", true),
            ("a/", "a", true),
            ("./a//b/", "a/b", true),
            ("x/../a", "a", true),
            ("../a", "a", false),
            ("*", "a/b", true),
            ("*.md", "a.md", true),
            ("*.md", "docs/a.md", false),
            ("**/*.md", "docs/a.md", true),
            ("*/temp*", "some/temporary.txt", true),
            ("*/temp*", "some/temp/x", true),
            ("*/*/temp*", "a/b/temp", true),
            ("temp?", "tempa", true),
            ("temp?", "temp", false),
            ("# a", "# a", false),
            (" # a", "# a", true),
            ("  a  ", "a", true),
            ("*.md\n!README.md", "README.md", false),
            (
                "*.md\n!README*.md\nREADME-secret.md",
                "README-secret.md",
                true,
            ),
            (
                "*.md\nREADME-secret.md\n!README*.md",
                "README-secret.md",
                false,
            ),
            ("!README.md\n*.md", "README.md", true),
            ("*\n!src", "src/a", false),
            ("*\n!src\nsrc/b", "src/b", true),
            ("a\n!a/b", "a/b/c", false),
            ("a\n!a/b", "a/c", true),
            ("! a\na", "a", true),
            ("\u{feff}a", "a", true),
            ("a\r\nb\r\n", "b", true),
            (".git", ".git/config", true),
            (".git", ".gitignore", false),
        ] {
            assert_eq!(excluded(rules, path), want, "{rules:?} {path}");
        }
    }

    #[test]
    fn bad_rules_name_their_line() {
        for (rules, line) in [("a\n!\n", 2), ("[", 1), ("\n\nx\\", 3)] {
            let error = Ignore::parse("x", rules).expect_err(rules);
            assert_eq!(error.line, line, "{rules:?}");
        }
        assert!(Ignore::parse("x", &"a\n".repeat(MAX_RULES + 1)).is_err());
    }

    #[test]
    fn the_rule_that_decides_is_named() {
        let ignore = Ignore::parse("x", "a\n!a\n*").expect("parses");
        assert_eq!(ignore.excludes("a").map(|rule| rule.line), Some(3));
    }
}
