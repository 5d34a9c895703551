//! Replacing variables and taking quotes away, by the rules of a shell as far as Docker follows them.
//!
//! See <https://docs.docker.com/reference/dockerfile/#environment-replacement>.

use std::cell::RefCell;
use std::iter::Peekable;
use std::str::Chars;

use super::substitute::{Glob, Greed};

/// `${a:-${b:-…}}`: how deep. More than a person writes; less than overflows a stack.
const MAX_DEPTH: usize = 32;

/// Why a text could not be expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExpandError {
    /// A quote that nothing closes.
    #[error("the quote {quote} is not closed")]
    Quote {
        /// The quote.
        quote: char,
    },
    /// `${a` without its brace.
    #[error("`${{` is not closed by `}}`")]
    Brace,
    /// `${}`, `${:x}`.
    #[error("`${{…}}` names no variable")]
    Name,
    /// `${a=b}` and other operators that Docker does not have.
    #[error("the operator `{operator}` in `${{{name}{operator}…}}` is none of a Dockerfile")]
    Operator {
        /// The variable.
        name: String,
        /// The operator.
        operator: String,
    },
    /// `${a:?message}` with `a` unset.
    #[error("variable `{name}`: {message}")]
    Required {
        /// The variable.
        name: String,
        /// The message from the file.
        message: String,
    },
    /// `${a/b}`
    #[error("`${{{name}/…}}` has no replacement")]
    Replacement {
        /// The variable.
        name: String,
    },
    /// A pattern that is too long.
    #[error("a pattern has more than 256 characters")]
    Pattern,
    /// Too much text came out.
    #[error("the Dockerfile's variables expand to more than {limit} bytes")]
    TooLong {
        /// The bound.
        limit: usize,
    },
    /// Too many `${…}` within each other.
    #[error("more than {MAX_DEPTH} substitutions within each other")]
    TooDeep,
}

impl ExpandError {
    pub(super) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Operator { .. } => {
                Some("use `-`, `:-`, `+`, `:+`, `?`, `:?`, `#`, `##`, `%`, `%%`, `/` or `//`")
            }
            Self::Replacement { .. } => Some(
                "write `${name/pattern/replacement}`; an empty replacement takes the match away",
            ),
            Self::Required { .. } => Some("give it with --build-arg NAME=VALUE"),
            Self::Quote { .. } => Some(
                "close it, or escape it if it is text; COPY takes names with spaces only as a JSON array",
            ),
            _ => None,
        }
    }
}

/// Replaces variables in words.
pub struct Expander<'a> {
    /// The escape character of the file.
    pub escape: char,
    /// Returns a variable's value, `None` if it is not set.
    pub lookup: &'a dyn Fn(&str) -> Option<String>,
    /// Bytes that one word may become.
    pub limit: usize,
    /// Takes the names that are replaced by nothing because they are not set, and that have no other value there.
    pub missed: &'a RefCell<Vec<String>>,
}

impl Expander<'_> {
    /// Expands a text that stays one word.
    pub fn word(&self, text: &str) -> Result<String, ExpandError> {
        Ok(self.expand(text)?.text)
    }

    /// Expands a text and cuts the result at white space that was not quoted.
    pub fn words(&self, text: &str) -> Result<Vec<String>, ExpandError> {
        Ok(self.expand(text)?.finish())
    }

    /// Expands a here-document: quotes are text, variables are replaced, and an escape makes what follows text.
    pub fn document(&self, text: &str) -> Result<String, ExpandError> {
        let mut scan = Scan {
            rules: self,
            chars: text.chars().peekable(),
            depth: 0,
        };
        let mut out = String::new();
        while let Some(c) = scan.chars.next() {
            match c {
                '$' => out.push_str(&scan.variable()?),
                c if c == self.escape => out.extend(scan.chars.next()),
                c => out.push(c),
            }
            scan.check(&out)?;
        }
        Ok(out)
    }

    fn expand(&self, text: &str) -> Result<Output, ExpandError> {
        Scan {
            rules: self,
            chars: text.chars().peekable(),
            depth: 0,
        }
        .until(None)
    }
}

/// What was expanded so far: as one text, and as words.
#[derive(Default)]
struct Output {
    text: String,
    words: Vec<String>,
    word: String,
}

impl Output {
    /// Adds text that holds no separators, because it was quoted or escaped.
    fn quoted(&mut self, text: &str) {
        self.text.push_str(text);
        self.word.push_str(text);
    }

    /// Adds text whose white space separates words.
    fn plain(&mut self, text: &str) {
        self.text.push_str(text);
        for c in text.chars() {
            if !c.is_whitespace() {
                self.word.push(c);
            } else if !self.word.is_empty() {
                self.words.push(std::mem::take(&mut self.word));
            }
        }
    }

    fn finish(mut self) -> Vec<String> {
        if !self.word.is_empty() {
            self.words.push(self.word);
        }
        self.words
    }
}

struct Scan<'a> {
    rules: &'a Expander<'a>,
    chars: Peekable<Chars<'a>>,
    depth: usize,
}

impl Scan<'_> {
    /// Reads up to the end, or up to `stop`, which is taken.
    fn until(&mut self, stop: Option<char>) -> Result<Output, ExpandError> {
        let mut out = Output::default();
        while let Some(c) = self.chars.next() {
            if Some(c) == stop {
                return Ok(out);
            }
            match c {
                '\'' => out.quoted(&self.single_quoted()?),
                '"' => out.quoted(&self.double_quoted()?),
                '$' => out.plain(&self.variable()?),
                c if c == self.rules.escape => {
                    // An escape at the very end escapes nothing, and goes.
                    if let Some(c) = self.chars.next() {
                        out.quoted(c.encode_utf8(&mut [0; 4]));
                    }
                }
                c => out.plain(c.encode_utf8(&mut [0; 4])),
            }
            self.check(&out.text)?;
        }
        match stop {
            Some(_) => Err(ExpandError::Brace),
            None => Ok(out),
        }
    }

    fn check(&self, text: &str) -> Result<(), ExpandError> {
        let limit = self.rules.limit;
        if text.len() > limit {
            return Err(ExpandError::TooLong { limit });
        }
        Ok(())
    }

    fn single_quoted(&mut self) -> Result<String, ExpandError> {
        let mut text = String::new();
        for c in self.chars.by_ref() {
            if c == '\'' {
                return Ok(text);
            }
            text.push(c);
        }
        Err(ExpandError::Quote { quote: '\'' })
    }

    fn double_quoted(&mut self) -> Result<String, ExpandError> {
        let mut text = String::new();
        while let Some(c) = self.chars.next() {
            match c {
                '"' => return Ok(text),
                '$' => text.push_str(&self.variable()?),
                c if c == self.rules.escape => {
                    // Only these three can be escaped here; before anything else the escape is text.
                    match self.chars.peek().copied() {
                        Some(next) if matches!(next, '"' | '$') || next == c => {
                            text.push(next);
                            self.chars.next();
                        }
                        Some(_) => text.push(c),
                        None => {}
                    }
                }
                c => text.push(c),
            }
            self.check(&text)?;
        }
        Err(ExpandError::Quote { quote: '"' })
    }

    /// Reads what follows a dollar sign.
    fn variable(&mut self) -> Result<String, ExpandError> {
        if self.chars.peek() != Some(&'{') {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".to_owned());
            }
            return Ok(self.plain(&name));
        }
        self.chars.next();
        let name = self.name();
        if name.is_empty() {
            return match self.chars.peek() {
                None => Err(ExpandError::Brace),
                Some(_) => Err(ExpandError::Name),
            };
        }
        let value = (self.rules.lookup)(&name);
        let mut operator = String::new();
        let mut value_for_test = value.clone();
        let mut next = self.chars.next();
        if next == Some(':') {
            operator.push(':');
            // With the colon, an empty value counts as none.
            value_for_test = value_for_test.filter(|value| !value.is_empty());
            next = self.chars.next();
        }
        let Some(sign) = next else {
            return Err(ExpandError::Brace);
        };
        match sign {
            '}' if operator.is_empty() => return Ok(self.plain(&name)),
            '-' | '+' | '?' => {}
            '#' | '%' | '/' if operator.is_empty() => return self.pattern(&name, sign, value),
            _ => {
                operator.push(sign);
                return Err(ExpandError::Operator { name, operator });
            }
        }
        if self.depth >= MAX_DEPTH {
            return Err(ExpandError::TooDeep);
        }
        self.depth += 1;
        let word = self.until(Some('}'))?.text;
        self.depth -= 1;
        match (sign, value_for_test) {
            ('+', Some(_)) => Ok(word),
            ('+', None) => Ok(String::new()),
            (_, Some(value)) => Ok(value),
            ('-', None) => Ok(word),
            (_, None) => {
                let message = match (word.is_empty(), operator.is_empty()) {
                    (false, _) => word,
                    (true, true) => "not set".to_owned(),
                    (true, false) => "empty or not set".to_owned(),
                };
                Err(ExpandError::Required { name, message })
            }
        }
    }

    /// `$a` and `${a}`
    fn plain(&self, name: &str) -> String {
        (self.rules.lookup)(name).unwrap_or_else(|| {
            self.rules.missed.borrow_mut().push(name.to_owned());
            String::new()
        })
    }

    /// `${a#p}`, `${a##p}`, `${a%p}`, `${a%%p}`, `${a/p/r}`, `${a//p/r}`; a variable that is not set is empty.
    fn pattern(
        &mut self,
        name: &str,
        sign: char,
        value: Option<String>,
    ) -> Result<String, ExpandError> {
        let double = self.chars.next_if_eq(&sign).is_some();
        if self.depth >= MAX_DEPTH {
            return Err(ExpandError::TooDeep);
        }
        self.depth += 1;
        let stop = if sign == '/' { '/' } else { '}' };
        let pattern = self.raw_until(stop).map_err(|error| match error {
            ExpandError::Brace if sign == '/' => ExpandError::Replacement {
                name: name.to_owned(),
            },
            error => error,
        })?;
        let replacement = match sign {
            '/' => Some(self.until(Some('}'))?.text),
            _ => None,
        };
        self.depth -= 1;
        let value = value.unwrap_or_default();
        let glob = Glob::new(&pattern, self.rules.escape).ok_or(ExpandError::Pattern)?;
        let greed = if double {
            Greed::Longest
        } else {
            Greed::Shortest
        };
        let text = match (sign, replacement) {
            ('/', Some(replacement)) => glob.replace(&value, &replacement, double),
            ('%', _) => glob.without_suffix(&value, greed),
            _ => glob.without_prefix(&value, greed),
        };
        self.check(&text)?;
        Ok(text)
    }

    /// Reads a pattern up to `stop`, which is taken: variables and quotes are replaced, escapes stay for the pattern.
    fn raw_until(&mut self, stop: char) -> Result<String, ExpandError> {
        let mut text = String::new();
        while let Some(c) = self.chars.next() {
            if c == stop {
                return Ok(text);
            }
            match c {
                '}' => return Err(ExpandError::Brace),
                '\'' => text.push_str(&self.single_quoted()?),
                '"' => text.push_str(&self.double_quoted()?),
                '$' => text.push_str(&self.variable()?),
                c if c == self.rules.escape => {
                    text.push(c);
                    text.extend(self.chars.next());
                }
                c => text.push(c),
            }
            self.check(&text)?;
        }
        Err(ExpandError::Brace)
    }

    /// Reads a name: letters, digits and `_`; or only digits; or one of the shell's special parameters, which are never set.
    fn name(&mut self) -> String {
        let mut name = String::new();
        match self.chars.peek().copied() {
            Some(c @ ('@' | '*' | '#' | '?' | '-' | '$' | '!')) => {
                self.chars.next();
                name.push(c);
            }
            Some(c) if c.is_numeric() => self.take_while(&mut name, char::is_numeric),
            _ => self.take_while(&mut name, |c| c.is_alphanumeric() || c == '_'),
        }
        name
    }

    fn take_while(&mut self, name: &mut String, wanted: impl Fn(char) -> bool) {
        while let Some(c) = self.chars.next_if(|c| wanted(*c)) {
            name.push(c);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "a" => Some("A".to_owned()),
            "sp" => Some("x y".to_owned()),
            "p" => Some("a/b/c.tar.gz".to_owned()),
            "empty" => Some(String::new()),
            _ => None,
        }
    }

    fn expander(escape: char) -> Expander<'static> {
        Expander {
            escape,
            lookup: &lookup,
            limit: 1000,
            missed: Box::leak(Box::default()),
        }
    }

    #[test]
    fn what_is_not_set_is_told() {
        let expander = expander('\\');
        let text = "$x ${y} ${z:-1} ${v+1} $a '$q' \"$w\"";
        assert_eq!(expander.word(text).as_deref(), Ok("  1  A $q "));
        assert_eq!(*expander.missed.borrow(), ["x", "y", "w"]);
    }

    #[test]
    fn words_expand_as_in_docker() {
        for (text, want) in [
            ("$a", "A"),
            ("${a}b", "Ab"),
            ("$ab", ""),
            ("$a-$a", "A-A"),
            (r"\$a", "$a"),
            (r"\\$a", r"\A"),
            ("'$a'", "$a"),
            ("\"$a\"", "A"),
            (r#""\$a \" \n \\""#, r#"$a " \n \"#),
            ("${b:-d}", "d"),
            ("${b-d}", "d"),
            ("${empty:-d}", "d"),
            ("${empty-d}", ""),
            ("${a:+y}", "y"),
            ("${empty:+y}", ""),
            ("${empty+y}", "y"),
            ("${b+y}", ""),
            ("${a:?no}", "A"),
            ("${empty?no}", ""),
            ("${b:-${c:-${a}}}", "A"),
            ("${p#*/}", "b/c.tar.gz"),
            ("${p##*/}", "c.tar.gz"),
            ("${p%.*}", "a/b/c.tar"),
            ("${p%%.*}", "a/b/c"),
            (r"${p/\//-}", "a-b/c.tar.gz"),
            (r"${p//\//-}", "a-b-c.tar.gz"),
            ("${p/c*z/$a}", "a/b/A"),
            ("${p//'/'/}", "abc.tar.gz"),
            ("${p#$a}", "a/b/c.tar.gz"),
            ("\"${p##*/}\"", "c.tar.gz"),
            ("${b#x}${b/x/y}", ""),
            ("${b:-'}'}", "}"),
            (r"${b:-\}}", "}"),
            ("$", "$"),
            ("a$", "a$"),
            ("$ a", "$ a"),
            ("$1x", "x"),
            ("it\\'s", "it's"),
            ("end\\", "end"),
            ("$sp", "x y"),
        ] {
            assert_eq!(expander('\\').word(text).as_deref(), Ok(want), "{text}");
        }
        assert_eq!(expander('`').word(r"c:\$a`$a").as_deref(), Ok(r"c:\A$a"));
    }

    #[test]
    fn documents_keep_their_quotes() {
        let text = "\"$a\" 'it' \\$a \\\\ ${b:-d}\n";
        assert_eq!(
            expander('\\').document(text).as_deref(),
            Ok("\"A\" 'it' $a \\ d\n")
        );
    }

    #[test]
    fn words_are_cut_after_expansion() {
        let words = |text| expander('\\').words(text).expect("expands");
        assert_eq!(words("$sp \"$sp\" z"), ["x", "y", "x y", "z"]);
        assert_eq!(words("  "), [""; 0]);
        assert_eq!(words(r"a\ b"), ["a b"]);
    }

    #[test]
    fn faults_are_named() {
        for (text, want) in [
            ("'a", ExpandError::Quote { quote: '\'' }),
            ("\"a", ExpandError::Quote { quote: '"' }),
            ("${a", ExpandError::Brace),
            ("${", ExpandError::Brace),
            ("${a:-b", ExpandError::Brace),
            ("${}", ExpandError::Name),
            ("${:-x}", ExpandError::Name),
            ("${{a}}", ExpandError::Name),
        ] {
            assert_eq!(expander('\\').word(text), Err(want), "{text}");
        }
        assert_eq!(
            expander('\\').word("${a/b}"),
            Err(ExpandError::Replacement {
                name: "a".to_owned()
            })
        );
        for text in ["${a:#x}", "${a:}", "${a=b}", "${a:=b}", "${a b}"] {
            let got = expander('\\').word(text);
            assert!(
                matches!(got, Err(ExpandError::Operator { .. })),
                "{text}: {got:?}"
            );
        }
        let required = expander('\\').word("${b:?say b}");
        assert_eq!(
            required,
            Err(ExpandError::Required {
                name: "b".to_owned(),
                message: "say b".to_owned()
            })
        );
    }

    #[test]
    fn bounds_hold() {
        let deep = format!("{}{}", "${b:-".repeat(40), "}".repeat(40));
        assert_eq!(expander('\\').word(&deep), Err(ExpandError::TooDeep));
        let long = "$sp".repeat(400);
        assert_eq!(
            expander('\\').word(&long),
            Err(ExpandError::TooLong { limit: 1000 })
        );
    }
}
