//! Text from registries, made fit for a message.

use std::error::Error;

/// Characters of a registry's own text that a message repeats. Some answer with a whole HTML page.
const SHOWN_CHARS: usize = 300;

/// Returns an error and its causes as one line, with URLs redacted.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        // Some errors already print their cause.
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    foreign(&text)
}

/// Returns foreign text on one line: shortened, without control characters, with URLs redacted.
pub(super) fn foreign(text: &str) -> String {
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        if word.is_empty() {
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&urls(word));
    }
    if line.chars().count() > SHOWN_CHARS {
        line = line.chars().take(SHOWN_CHARS).collect();
        line.push('…');
    }
    line
}

/// Drops what may be secret in every URL of `text`: user and password, query, fragment.
///
/// Storage behind a registry is reached through signed URLs, whose query is a credential.
fn urls(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + "://".len());
        out.push_str(before);
        // A URL ends at a quote or bracket around it.
        let end = after
            .find(['"', '\'', ')', '>', ',', '<'])
            .unwrap_or(after.len());
        let (url, tail) = after.split_at(end);
        let (authority, path) = url.split_at(url.find(['/', '?', '#']).unwrap_or(url.len()));
        out.push_str(authority.rsplit('@').next().unwrap_or_default());
        match path.find(['?', '#']) {
            Some(query) => {
                out.push_str(path.get(..query).unwrap_or_default());
                out.push('…');
            }
            None => out.push_str(path),
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lose_their_secrets() {
        for (text, want) in [
            ("no url", "no url"),
            ("https://r.example/v2/x", "https://r.example/v2/x"),
            (
                "sending to (https://me:pass@s3.example/a?X-Amz-Signature=abc): reset",
                "sending to (https://s3.example/a…): reset",
            ),
            ("a http://u@h#frag b http://x?y", "a http://h… b http://x…"),
            ("https://a:b/c@d", "https://a:b/c@d"),
            ("://", "://"),
            (
                "realm=\"https://u:p@h/t?q=1\",x",
                "realm=\"https://h/t…\",x",
            ),
        ] {
            assert_eq!(foreign(text), want);
        }
    }

    #[test]
    fn foreign_text_cannot_control_a_terminal_or_flood_it() {
        assert_eq!(foreign("a\u{1b}[2J\nb\r\n\tc"), "a [2J b c");
        let long = foreign(&"é ".repeat(100_000));
        assert!(long.chars().count() <= SHOWN_CHARS + 1, "{}", long.len());
    }

    #[test]
    fn a_chain_names_each_cause_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] Inner);
        #[derive(Debug, thiserror::Error)]
        #[error("inner http://a:b@c/?d")]
        struct Inner;
        assert_eq!(chain(&Outer(Inner)), "outer: inner http://c/…");
    }
}
