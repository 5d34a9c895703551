//! `${a#p}`, `${a%p}`, `${a/p/r}`: taking parts of a value away, and putting others in their place.
//!
//! Patterns are the shell's, as far as Docker has them: `*`, `?`, and a backslash before what is meant as it is.

/// Characters and wildcards of one pattern. More than a person writes; it bounds the time that one substitution takes.
const MAX_TOKENS: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Char(char),
    /// `?`
    One,
    /// `*`
    Many,
}

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Glob {
    tokens: Vec<Token>,
}

/// How much a pattern takes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Greed {
    Shortest,
    Longest,
}

impl Glob {
    /// Compiles a pattern; `None` if it is too long.
    pub(super) fn new(text: &str, escape: char) -> Option<Self> {
        let mut tokens = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            let token = match c {
                '*' => Token::Many,
                '?' => Token::One,
                c if c == escape => Token::Char(chars.next().unwrap_or(c)),
                c => Token::Char(c),
            };
            // Two stars mean what one means.
            if token != Token::Many || tokens.last() != Some(&Token::Many) {
                tokens.push(token);
            }
        }
        (tokens.len() <= MAX_TOKENS).then_some(Self { tokens })
    }

    /// `${a#p}` and `${a##p}`
    pub(super) fn without_prefix(&self, text: &str, greed: Greed) -> String {
        let chars: Vec<char> = text.chars().collect();
        let len = prefix_len(&self.tokens, &chars, greed).unwrap_or(0);
        chars.into_iter().skip(len).collect()
    }

    /// `${a%p}` and `${a%%p}`
    pub(super) fn without_suffix(&self, text: &str, greed: Greed) -> String {
        let chars: Vec<char> = text.chars().rev().collect();
        let tokens: Vec<Token> = self.tokens.iter().rev().copied().collect();
        let len = prefix_len(&tokens, &chars, greed).unwrap_or(0);
        chars.into_iter().skip(len).rev().collect()
    }

    /// `${a/p/r}`, and `${a//p/r}` for all matches: the leftmost one, as long as it can be. An empty match is none.
    pub(super) fn replace(&self, text: &str, replacement: &str, all: bool) -> String {
        let chars: Vec<char> = text.chars().collect();
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        while let Some((start, end)) = self.find(&chars, at) {
            out.extend(chars.get(at..start).unwrap_or_default());
            out.push_str(replacement);
            at = end;
            if !all {
                break;
            }
        }
        out.extend(chars.get(at..).unwrap_or_default());
        out
    }

    /// Finds the leftmost longest match from `from` on, in one pass: for each token it is kept where the earliest match that
    /// has come so far began.
    fn find(&self, chars: &[char], from: usize) -> Option<(usize, usize)> {
        let mut states: Vec<Option<usize>> = vec![None; self.tokens.len() + 1];
        let mut best: Option<(usize, usize)> = None;
        for at in from..=chars.len() {
            if best.is_none() {
                let first = states.first_mut()?;
                *first = first.or(Some(at));
            }
            // A star may match nothing.
            for (index, token) in self.tokens.iter().enumerate() {
                if *token == Token::Many
                    && let Some(start) = states[index]
                {
                    states[index + 1] = earlier(states[index + 1], Some(start));
                }
            }
            if let Some(start) = states.last().copied().flatten()
                && start < at
                && best.is_none_or(|(first, _)| start <= first)
            {
                best = Some((start, at));
            }
            let Some(c) = chars.get(at) else { break };
            let mut next = vec![None; states.len()];
            for (index, token) in self.tokens.iter().enumerate() {
                // Only what began no later than the best one can still win.
                let Some(start) =
                    states[index].filter(|start| best.is_none_or(|(first, _)| *start <= first))
                else {
                    continue;
                };
                match token {
                    Token::Many => next[index] = earlier(next[index], Some(start)),
                    Token::Char(want) if want != c => {}
                    Token::Char(_) | Token::One => {
                        next[index + 1] = earlier(next[index + 1], Some(start));
                    }
                }
            }
            states = next;
            if best.is_some() && states.iter().all(Option::is_none) {
                break;
            }
        }
        best
    }
}

fn earlier(one: Option<usize>, other: Option<usize>) -> Option<usize> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Returns how many characters at the start match the whole pattern.
fn prefix_len(tokens: &[Token], chars: &[char], greed: Greed) -> Option<usize> {
    let mut here = vec![false; tokens.len() + 1];
    here[0] = true;
    let mut found = None;
    for at in 0..=chars.len() {
        for (index, token) in tokens.iter().enumerate() {
            if *token == Token::Many && here[index] {
                here[index + 1] = true;
            }
        }
        if here.last() == Some(&true) {
            found = Some(at);
            if greed == Greed::Shortest {
                return found;
            }
        }
        let Some(c) = chars.get(at) else { break };
        let mut next = vec![false; here.len()];
        for (index, token) in tokens.iter().enumerate() {
            if !here[index] {
                continue;
            }
            match token {
                Token::Many => next[index] = true,
                Token::Char(want) if want != c => {}
                Token::Char(_) | Token::One => next[index + 1] = true,
            }
        }
        here = next;
        if !here.contains(&true) {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glob(pattern: &str) -> Glob {
        Glob::new(pattern, '\\').expect("compiles")
    }

    #[test]
    fn ends_are_taken_away_as_in_a_shell() {
        use Greed::{Longest, Shortest};
        for (pattern, greed, prefix, suffix) in [
            ("f*b", Shortest, "arfoobar", "foobarfoobar"),
            ("*b", Shortest, "arfoobar", "foobarfoobar"),
            ("*b", Longest, "ar", "foobarfoobar"),
            ("*r", Longest, "", ""),
            ("b*", Shortest, "foobarfoobar", "foobarfoo"),
            ("b*", Longest, "foobarfoobar", "foo"),
            ("f?o", Shortest, "barfoobar", "foobarfoobar"),
            ("???", Longest, "barfoobar", "foobarfoo"),
            ("x", Longest, "foobarfoobar", "foobarfoobar"),
            ("", Longest, "foobarfoobar", "foobarfoobar"),
            ("*", Shortest, "foobarfoobar", "foobarfoobar"),
            ("*", Longest, "", ""),
        ] {
            let glob = glob(pattern);
            assert_eq!(
                glob.without_prefix("foobarfoobar", greed),
                prefix,
                "{pattern}"
            );
            assert_eq!(
                glob.without_suffix("foobarfoobar", greed),
                suffix,
                "{pattern}"
            );
        }
        assert_eq!(glob(r"\*").without_prefix("*a", Shortest), "a");
        assert_eq!(glob("v").without_prefix("v1.2", Shortest), "1.2");
        assert_eq!(glob(".*").without_suffix("1.2.3", Shortest), "1.2");
    }

    #[test]
    fn parts_are_replaced_as_in_a_shell() {
        for (pattern, replacement, one, all) in [
            ("o", "0", "f0obar", "f00bar"),
            ("o*", "-", "f-", "f-"),
            ("?", ".", ".oobar", "......"),
            ("a?", "", "foob", "foob"),
            ("x", "y", "foobar", "foobar"),
            ("", "y", "foobar", "foobar"),
            ("*", "y", "y", "y"),
            ("o*a", "_", "f_r", "f_r"),
        ] {
            let glob = glob(pattern);
            assert_eq!(glob.replace("foobar", replacement, false), one, "{pattern}");
            assert_eq!(glob.replace("foobar", replacement, true), all, "{pattern}");
        }
        assert_eq!(glob(r"\/").replace("a/b/c", "-", true), "a-b-c");
    }

    #[test]
    fn hostile_patterns_stay_cheap() {
        let text = "a".repeat(100_000);
        assert_eq!(
            glob(&"*a".repeat(60)).replace(&format!("{text}b"), "", true),
            "b"
        );
        assert_eq!(glob(&"a*b".repeat(40)).replace(&text, "", true), text);
        assert!(Glob::new(&"a".repeat(MAX_TOKENS + 1), '\\').is_none());
    }
}
