//! Reading policies: TOML for people, JSON in labels.

use serde::de::DeserializeOwned;

/// Largest document that is read, in bytes: some thousand grants, more than anybody reads.
pub const LARGEST_DOCUMENT: usize = 256 << 10;

/// A text that is not what it should be: a grant in a flag, file or label.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {what}: {problem}")]
pub struct InvalidGrant {
    /// What it should be, such as "a variable".
    pub what: &'static str,
    /// What was written.
    pub text: String,
    /// What is wrong.
    pub problem: &'static str,
}

/// A document that is no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Not read at all.
    #[error("the policy has {size} bytes, want at most {LARGEST_DOCUMENT}")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
    },
    /// Not text.
    #[error("the policy is not UTF-8")]
    NotText,
    /// Wrong at a place.
    #[error("line {line}, column {column}: {problem}")]
    Wrong {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong there, with what may have been meant.
        problem: String,
    },
}

/// Reads a TOML document.
///
/// # Errors
/// [`DocumentError`], with the line. A field that nobody knows is an error: what was meant to be denied must not be passed over.
pub(super) fn from_toml<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DocumentError> {
    let text = text(bytes)?;
    toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let before = text.get(..at).unwrap_or(text);
        DocumentError::Wrong {
            line: before.matches('\n').count() + 1,
            column: before
                .chars()
                .rev()
                .take_while(|letter| *letter != '\n')
                .count()
                + 1,
            problem: with_suggestion(error.message()),
        }
    })
}

/// Reads a JSON document.
///
/// # Errors
/// As [`from_toml`].
pub(super) fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DocumentError> {
    serde_json::from_str(text(bytes)?).map_err(|error| {
        let message = error.to_string();
        // serde_json says the place once more.
        let plain = message.split(" at line ").next().unwrap_or(&message);
        DocumentError::Wrong {
            line: error.line(),
            column: error.column(),
            problem: with_suggestion(plain),
        }
    })
}

fn text(bytes: &[u8]) -> Result<&str, DocumentError> {
    if bytes.len() > LARGEST_DOCUMENT {
        return Err(DocumentError::TooLarge { size: bytes.len() });
    }
    std::str::from_utf8(bytes).map_err(|_| DocumentError::NotText)
}

/// Adds what may have been meant. serde names a field that it does not know, and those that it knows, in backquotes.
fn with_suggestion(message: &str) -> String {
    let first = message.lines().next().unwrap_or_default();
    if !first.starts_with("unknown field ") {
        return first.to_owned();
    }
    let mut words = first.split('`').skip(1).step_by(2);
    let unknown = words.next().unwrap_or_default();
    let plain = first.split(',').next().unwrap_or(first);
    let known: Vec<&str> = words.collect();
    match known.iter().min_by_key(|word| distance(unknown, word)) {
        Some(word) if distance(unknown, word) <= 2 => format!("{plain}; did you mean `{word}`?"),
        Some(_) => format!("{plain}; there are {}", known.join(", ")),
        None => plain.to_owned(),
    }
}

/// Counts the single letters to insert, delete or replace to turn one word into the other. Of a long word, only the beginning.
fn distance(from: &str, to: &str) -> usize {
    /// Longer than every field.
    const LONGEST: usize = 32;
    let to: Vec<char> = to.chars().take(LONGEST).collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().take(LONGEST).enumerate() {
        let mut next = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let replaced = row[j] + usize::from(a != *b);
            next.push(replaced.min(row[j + 1] + 1).min(next[j] + 1));
        }
        row = next;
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;

    fn problem(toml: &str) -> String {
        from_toml::<Policy>(toml.as_bytes())
            .expect_err(toml)
            .to_string()
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place_and_what_was_meant() {
        assert_eq!(
            problem("strict = true\nstidn = true\n"),
            "line 2, column 1: unknown field `stidn`; did you mean `stdin`?"
        );
        assert!(
            problem("stdin = true\n\nfs = [\"nowhere\"]\n")
                .starts_with("line 3, column 6: \"nowhere\" is not")
        );
        assert!(problem("everything = true").contains("there are fs, "));
        assert!(problem("fs = [").starts_with("line 1, "));
        assert!(problem("stdin = 1").contains("invalid type"));
        let json = from_json::<Policy>(b"{\"stdin\": true,\n \"evn\": []}").expect_err("a slip");
        assert_eq!(
            json.to_string(),
            "line 2, column 6: unknown field `evn`; did you mean `env`?"
        );
    }

    #[test]
    fn a_document_is_bounded() {
        assert_eq!(
            from_toml::<Policy>(&[b' '; LARGEST_DOCUMENT + 1]),
            Err(DocumentError::TooLarge {
                size: LARGEST_DOCUMENT + 1
            })
        );
        assert_eq!(from_toml::<Policy>(b"\xff"), Err(DocumentError::NotText));
        let deep = "[".repeat(100_000);
        assert!(from_json::<Policy>(deep.as_bytes()).is_err());
        assert!(from_toml::<Policy>(format!("fs = {deep}").as_bytes()).is_err());
        let keys = format!("{} = 1", "a.".repeat(10_000));
        assert!(from_toml::<Policy>(keys.as_bytes()).is_err());
    }
}
