//! `--filter KEY=VALUE`: what lists take.

use std::collections::BTreeMap;

use super::error::Failure;

/// What was typed, by key.
#[derive(Debug, Default)]
pub(super) struct Filters(BTreeMap<String, Vec<String>>);

impl Filters {
    /// Reads filters; only these keys are known.
    pub(super) fn parse(typed: &[String], known: &[&str]) -> Result<Self, Failure> {
        let mut filters: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for text in typed {
            let wrong = |problem: &str| {
                Failure::usage(format!("the filter {text:?} {problem}"))
                    .with_hint(format!("filters are KEY=VALUE with {}", known.join(", ")))
            };
            let (key, value) = text
                .split_once('=')
                .ok_or_else(|| wrong("is no KEY=VALUE"))?;
            let key = key.trim().to_lowercase();
            if !known.contains(&key.as_str()) {
                return Err(wrong("is not known").plainly());
            }
            filters
                .entry(key)
                .or_default()
                .push(value.trim().to_owned());
        }
        Ok(Self(filters))
    }

    /// Returns the values of a key; none if nothing was said of it.
    pub(super) fn values(&self, key: &str) -> &[String] {
        self.0.get(key).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// Does one of the values fit, or was none said?
    pub(super) fn any(&self, key: &str, fits: impl FnMut(&String) -> bool) -> bool {
        let values = self.values(key);
        values.is_empty() || values.iter().any(fits)
    }

    /// Returns what is to be true or false, if that was said.
    pub(super) fn switch(&self, key: &str) -> Result<Option<bool>, Failure> {
        let read = |text: &String| match text.to_lowercase().as_str() {
            "true" | "1" | "t" => Ok(true),
            "false" | "0" | "f" => Ok(false),
            _ => Err(Failure::Plain(Box::new(Failure::usage(format!(
                "the filter {key}={text} is neither true nor false"
            ))))),
        };
        self.values(key).last().map(read).transpose()
    }

    /// Do the labels have all that were said, each with its value or with any?
    pub(super) fn labels(&self, labels: &BTreeMap<String, String>) -> bool {
        self.values("label")
            .iter()
            .all(|wanted| match wanted.split_once('=') {
                Some((key, value)) => labels.get(key).is_some_and(|got| got == value),
                None => labels.contains_key(wanted),
            })
    }
}

/// Does the text have the pattern in it? `^` and `$` hold it to the beginning and the end.
pub(super) fn contains(text: &str, pattern: &str) -> bool {
    let (start, pattern) = match pattern.strip_prefix('^') {
        Some(rest) => (true, rest),
        None => (false, pattern),
    };
    let (end, pattern) = match pattern.strip_suffix('$') {
        Some(rest) => (true, rest),
        None => (false, pattern),
    };
    match (start, end) {
        (true, true) => text == pattern,
        (true, false) => text.starts_with(pattern),
        (false, true) => text.ends_with(pattern),
        (false, false) => text.contains(pattern),
    }
}

/// Does the text fit a pattern with `*` and `?`, neither of which stands for a slash?
pub(super) fn fits(text: &str, pattern: &str) -> bool {
    // Where to go on when what follows the last `*` does not fit.
    let (text, pattern): (Vec<char>, Vec<char>) =
        (text.chars().collect(), pattern.chars().collect());
    let (mut at, mut with) = (0, 0);
    let mut retry = None;
    while let Some(letter) = text.get(at) {
        match pattern.get(with) {
            Some('*') => {
                retry = Some((at, with));
                with += 1;
                continue;
            }
            Some(wanted) if wanted == letter || (*wanted == '?' && *letter != '/') => {
                (at, with) = (at + 1, with + 1);
                continue;
            }
            _ => {}
        }
        match retry {
            Some((taken, star)) if text.get(taken) != Some(&'/') => {
                retry = Some((taken + 1, star));
                (at, with) = (taken + 1, star + 1);
            }
            _ => return false,
        }
    }
    pattern
        .get(with..)
        .unwrap_or_default()
        .iter()
        .all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(typed: &[&str]) -> Result<Filters, Failure> {
        let typed: Vec<String> = typed.iter().map(|text| (*text).to_owned()).collect();
        Filters::parse(&typed, &["label", "name", "dangling"])
    }

    #[test]
    fn keys_and_values() {
        let found = filters(&["label=a=b", "label=c", "name=x", "name=y"]).expect("filters");
        assert!(
            found.labels(
                &[
                    ("a".to_owned(), "b".to_owned()),
                    ("c".to_owned(), String::new())
                ]
                .into()
            )
        );
        assert!(!found.labels(&[("a".to_owned(), "b".to_owned())].into()));
        assert!(found.any("name", |name| name == "y") && !found.any("name", |name| name == "z"));
        assert!(found.any("dangling", |_| false) && !found.has("dangling"));
        assert_eq!(
            filters(&["dangling=T"])
                .expect("one")
                .switch("dangling")
                .expect("a switch"),
            Some(true)
        );
        assert!(
            filters(&["dangling=maybe"])
                .expect("one")
                .switch("dangling")
                .is_err()
        );
        for bad in ["", "name", "nonsense=1"] {
            assert!(filters(&[bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_and_patterns() {
        for (text, pattern, want) in [
            ("web_1", "web", true),
            ("web_1", "^web$", false),
            ("web", "^web$", true),
            ("my_web", "^web", false),
            ("my_web", "web$", true),
        ] {
            assert_eq!(contains(text, pattern), want, "{text} {pattern}");
        }
        for (text, pattern, want) in [
            ("hello", "h*o", true),
            ("hello", "h*x", false),
            ("a/b", "*", false),
            ("a/b", "a/*", true),
            ("a/b/c", "a/*", false),
            ("a/b/c", "*/*/c", true),
            ("abc", "a?c", true),
            ("a/c", "a?c", false),
            ("", "*", true),
            ("aab", "*ab", true),
            ("x", "", false),
        ] {
            assert_eq!(fits(text, pattern), want, "{text} {pattern}");
        }
    }
}
