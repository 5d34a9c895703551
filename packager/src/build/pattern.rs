//! Wildcards: those of COPY, which are Go's `filepath.Match`, and those of `.dockerignore`, which also have `**`.
//!
//! <https://pkg.go.dev/path/filepath#Match>, <https://docs.docker.com/build/concepts/context/#dockerignore-files>

/// A compiled wildcard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    tokens: Vec<Token>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Char(char),
    /// `?`: one character, but no slash.
    One,
    /// `*`: any characters, but no slash.
    Many,
    /// `**` at the end: anything.
    Rest,
    /// `**` elsewhere: nothing, or anything up to a slash.
    Directories,
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

/// Does a name hold a wildcard that is not escaped?
pub(super) fn has_wildcard(name: &str) -> bool {
    let mut chars = name.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            '*' | '?' | '[' => return true,
            _ => {}
        }
    }
    false
}

impl Pattern {
    /// Compiles a wildcard for one name. `**` means no more than `*`.
    pub(super) fn name(text: &str) -> Result<Self, &'static str> {
        Self::compile(text, false)
    }

    /// Compiles a wildcard for a whole path.
    pub(super) fn path(text: &str) -> Result<Self, &'static str> {
        Self::compile(text, true)
    }

    fn compile(text: &str, deep: bool) -> Result<Self, &'static str> {
        let mut tokens = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            tokens.push(match c {
                '*' if deep && chars.next_if_eq(&'*').is_some() => {
                    let slash = chars.next_if_eq(&'/').is_some();
                    // Docker takes `**.txt`, which has neither a slash nor another wildcard, for "ends in .txt".
                    let suffix = !slash && tokens.is_empty() && is_plain(chars.clone());
                    if chars.peek().is_none() || suffix {
                        Token::Rest
                    } else {
                        Token::Directories
                    }
                }
                '*' => Token::Many,
                '?' => Token::One,
                '[' => class(&mut chars)?,
                '\\' => Token::Char(chars.next().ok_or("it ends in an escape")?),
                c => Token::Char(c),
            });
        }
        Ok(Self { tokens })
    }

    /// Does the whole text match?
    ///
    /// Takes time in proportion to the product of both lengths, whatever the pattern.
    pub(super) fn matches(&self, text: &str) -> bool {
        let chars: Vec<char> = text.chars().collect();
        // Places in the text that the tokens so far can have led to.
        let mut here = vec![false; chars.len() + 1];
        here[0] = true;
        for token in &self.tokens {
            here = token.step(&here, &chars);
            if !here.contains(&true) {
                return false;
            }
        }
        here.last() == Some(&true)
    }
}

impl Token {
    fn step(&self, from: &[bool], chars: &[char]) -> Vec<bool> {
        let mut to = vec![false; from.len()];
        // Has any place before the current one been reached?
        let mut before = false;
        for (at, reached) in from.iter().copied().enumerate() {
            let previous = at.checked_sub(1).and_then(|at| Some((at, *chars.get(at)?)));
            to[at] = match self {
                Self::Many => reached || previous.is_some_and(|(at, c)| to[at] && c != '/'),
                Self::Rest => reached || before,
                Self::Directories => reached || (before && previous.is_some_and(|(_, c)| c == '/')),
                Self::Char(_) | Self::One | Self::Class { .. } => {
                    previous.is_some_and(|(at, c)| from[at] && self.takes(c))
                }
            };
            before |= reached;
        }
        to
    }

    /// Does a token for one character match this one?
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Char(want) => *want == c,
            Self::One => c != '/',
            Self::Class { negated, ranges } => {
                let inside = ranges
                    .iter()
                    .any(|(first, last)| (*first..=*last).contains(&c));
                c != '/' && inside != *negated
            }
            Self::Many | Self::Rest | Self::Directories => false,
        }
    }
}

/// Is there no wildcard in what follows?
fn is_plain(mut chars: impl Iterator<Item = char>) -> bool {
    !chars.any(|c| matches!(c, '*' | '?' | '[' | ']' | '\\'))
}

/// Reads a character class after its opening bracket.
fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Token, &'static str> {
    const OPEN: &str = "a bracket is not closed";
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    let character =
        |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| match chars.next().ok_or(OPEN)? {
            '\\' => chars.next().ok_or(OPEN),
            '-' | ']' => Err("a character class needs `-` and `]` escaped"),
            c => Ok(c),
        };
    loop {
        if !ranges.is_empty() && chars.next_if_eq(&']').is_some() {
            return Ok(Token::Class { negated, ranges });
        }
        let first = character(chars)?;
        let last = if chars.next_if_eq(&'-').is_some() {
            character(chars)?
        } else {
            first
        };
        ranges.push((first, last));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_in_go() {
        for (pattern, text, want) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*", "", true),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^c]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("ab[!c]", "ab!", true),
            (r"a\*b", "a*b", true),
            (r"a\*b", "ab", false),
            ("a?b", "a☺b", true),
            ("a[^a]b", "a☺b", true),
            ("a??b", "a☺b", false),
            (r"[\]a]", "]", true),
            (r"[\-x]", "-", true),
            ("[x-]", "x", false),
            ("a**b", "axyb", true),
            ("arr[[]0].txt", "arr[0].txt", true),
            (".*", ".hidden", true),
            ("*", ".hidden", true),
        ] {
            let got = Pattern::name(pattern).map(|pattern| pattern.matches(text));
            assert_eq!(got.unwrap_or(false), want, "{pattern} {text}");
        }
        for pattern in [
            "[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "[", "[^", "[^bc", "a[", "a\\",
        ] {
            assert!(Pattern::name(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn paths_match_as_in_dockerignore() {
        for (pattern, text, want) in [
            ("**", "a/b", true),
            ("**/", "a", true),
            ("**/b", "b", true),
            ("**/b", "a/x/b", true),
            ("**/b", "ab", false),
            ("a/**", "a/b/c", true),
            ("a/**", "a", false),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a/**/b", "a/xb", false),
            ("**/*.md", "README.md", true),
            ("**/*.md", "docs/x/a.md", true),
            ("**.md", "docs/x/a.md", true),
            ("*.md", "docs/a.md", false),
            ("*/a.md", "docs/a.md", true),
            ("*/*/x*", "a/b/xyz", true),
            ("a?c", "a/c", false),
            ("**/**/x", "x", true),
            ("a[^x]c", "a/c", false),
        ] {
            let compiled = Pattern::path(pattern).expect(pattern);
            assert_eq!(compiled.matches(text), want, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_stay_cheap() {
        let pattern = Pattern::path(&"**/*a".repeat(60)).expect("compiles");
        assert!(!pattern.matches(&"a/".repeat(1000)));
    }

    #[test]
    fn wildcards_are_seen() {
        for (name, want) in [
            ("a", false),
            ("a*", true),
            ("[", true),
            ("\\*", false),
            ("\\\\*", true),
            ("a\\", false),
        ] {
            assert_eq!(has_wildcard(name), want, "{name}");
        }
    }
}
