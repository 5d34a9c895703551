//! Cutting a logical line into words, in the ways that Docker's instructions do.

use super::error::{Fault, Place, Problem};
use super::lexer::Line;

/// A piece of text and where it stands. Variables and quotes are still in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The text as written.
    pub text: String,
    /// Where it starts.
    pub place: Place,
}

/// The part of a line that is not read yet.
#[derive(Clone, Copy)]
pub(super) struct Rest<'a> {
    line: &'a Line,
    /// Byte offset in the line's text.
    at: usize,
    escape: char,
}

/// White space between arguments. Line feeds cannot occur, since lines were cut before.
fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{b}' | '\u{c}' | '\r')
}

impl<'a> Rest<'a> {
    pub(super) fn new(line: &'a Line, escape: char) -> Self {
        Self {
            line,
            at: 0,
            escape,
        }
    }

    /// The text that is left, without white space around it.
    pub(super) fn text(&self) -> &'a str {
        self.tail().trim()
    }

    /// Where the text that is left starts.
    pub(super) fn place(&self) -> Place {
        let tail = self.tail();
        self.line
            .place(self.at + tail.len() - tail.trim_start().len())
    }

    /// The text that is left, as one word.
    pub(super) fn whole(&self) -> Word {
        Word {
            text: self.text().to_owned(),
            place: self.place(),
        }
    }

    fn tail(&self) -> &'a str {
        self.line.text.get(self.at..).unwrap_or_default()
    }

    /// Takes the next word, up to white space.
    pub(super) fn next(&mut self) -> Option<Word> {
        let tail = self.tail();
        let word = tail.trim_start_matches(is_blank);
        let start = self.at + tail.len() - word.len();
        let end = word.find(is_blank).unwrap_or(word.len());
        self.at = start + end;
        let text = word.get(..end).unwrap_or_default();
        (!text.is_empty()).then(|| Word {
            text: text.to_owned(),
            place: self.line.place(start),
        })
    }

    /// Cuts at white space only; quotes mean nothing, as in Docker's COPY, VOLUME and EXPOSE.
    pub(super) fn spaced(mut self) -> Vec<Word> {
        let mut words = Vec::new();
        while let Some(word) = self.next() {
            words.push(word);
        }
        words
    }

    /// Cuts at white space outside quotes, as in Docker's ENV, LABEL and ARG. Quotes and escapes stay in the words.
    pub(super) fn quoted(mut self) -> Vec<Word> {
        let mut words = Vec::new();
        while let Some(word) = self.next_quoted() {
            words.push(word);
        }
        words
    }

    fn next_quoted(&mut self) -> Option<Word> {
        let tail = self.tail().trim_end();
        let body = tail.trim_start_matches(is_blank);
        let start = self.at + tail.len() - body.len();
        let mut quote = None;
        let mut escaped = false;
        let mut end = body.len();
        for (at, c) in body.char_indices() {
            if escaped {
                escaped = false;
            } else if c == self.escape && quote != Some('\'') {
                escaped = true;
            } else if quote == Some(c) {
                quote = None;
            } else if quote.is_none() && matches!(c, '"' | '\'') {
                quote = Some(c);
            } else if quote.is_none() && is_blank(c) {
                end = at;
                break;
            }
        }
        self.at = start + end;
        let text = body.get(..end).unwrap_or_default();
        (!text.is_empty()).then(|| Word {
            text: text.to_owned(),
            place: self.line.place(start),
        })
    }

    /// Takes the `--name=value` words at the front. A lone `--` ends them.
    pub(super) fn flags(&mut self) -> Vec<(String, Option<Word>, Place)> {
        let mut flags = Vec::new();
        while self.tail().trim_start().starts_with("--") {
            let Some(word) = self.next_quoted() else {
                break;
            };
            let Some(flag) = word.text.strip_prefix("--").filter(|f| !f.is_empty()) else {
                break;
            };
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => {
                    let place = Place {
                        line: word.place.line,
                        column: word.place.column + name.chars().count() + 3,
                    };
                    let text = value.to_owned();
                    (name, Some(Word { text, place }))
                }
                None => (flag, None),
            };
            flags.push((name.to_owned(), value, word.place));
        }
        flags
    }

    /// Reads the rest as a JSON array of strings. `None` if it does not look like one.
    ///
    /// Docker silently takes a broken array for the other form, and then complains of a file `["a",`. We complain of the
    /// array. A single bracket may still start a wildcard, as in `[ab].txt`.
    pub(super) fn json(&self, name: &'static str) -> Result<Option<Vec<Word>>, Fault> {
        let text = self.text();
        let fault = |problem| Fault {
            place: self.place(),
            problem,
        };
        let Some(inside) = text.strip_prefix('[') else {
            return Ok(None);
        };
        let array = match serde_json::from_str::<Vec<serde_json::Value>>(text) {
            Ok(array) => array,
            Err(error) if inside.trim_start().starts_with(['"', '\'']) => {
                let message = error.to_string();
                let reason = message.split(" at line ").next().unwrap_or(&message);
                let start = self.at + self.tail().len() - self.tail().trim_start().len();
                return Err(Fault {
                    place: self.line.place(start + error.column().saturating_sub(1)),
                    problem: Problem::BrokenJson {
                        name,
                        reason: reason.to_owned(),
                    },
                });
            }
            Err(_) => return Ok(None),
        };
        array
            .into_iter()
            .map(|value| match value {
                serde_json::Value::String(text) if text.contains('\0') => Err(fault(Problem::Nul)),
                serde_json::Value::String(text) => Ok(Word {
                    text,
                    place: self.place(),
                }),
                _ => Err(fault(Problem::NotStrings { name })),
            })
            .collect::<Result<Vec<_>, _>>()
            .map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::super::lexer::lex;
    use super::*;

    fn with_rest<T>(text: &str, check: impl Fn(Rest<'_>) -> T) -> T {
        let lexed = lex(text).expect("lexes");
        check(Rest::new(&lexed.lines[0], lexed.escape))
    }

    fn texts(words: Vec<Word>) -> Vec<String> {
        words.into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn quotes_hold_words_together_and_stay() {
        let words = with_rest(r#"a="x y" b=z\ w c='\' d=\"e"#, |rest| rest.quoted());
        assert_eq!(
            texts(words),
            [r#"a="x y""#, r"b=z\ w", r"c='\'", r#"d=\"e"#]
        );
        assert_eq!(
            texts(with_rest("a=\"x y", |rest| rest.quoted())),
            ["a=\"x y"]
        );
    }

    #[test]
    fn flags_come_first_and_may_be_quoted() {
        let text = r#"--chown=1:2 --chmod="0 7" -- --x y"#;
        let lexed = lex(text).expect("lexes");
        let mut rest = Rest::new(&lexed.lines[0], '\\');
        let flags = rest.flags();
        assert_eq!(flags.len(), 2);
        assert_eq!(flags[1].0, "chmod");
        let value = flags[1].1.as_ref().expect("has a value");
        assert_eq!((value.text.as_str(), value.place.column), ("\"0 7\"", 21));
        assert_eq!(rest.text(), "--x y");
    }

    #[test]
    fn json_is_told_from_wildcards() {
        let json = |text: &str| with_rest(text, |rest| rest.json("COPY"));
        assert_eq!(
            texts(json(r#"["a", "b c"]"#).expect("reads").expect("is JSON")),
            ["a", "b c"]
        );
        assert!(json("[ab].txt /").expect("reads").is_none());
        assert!(json("a b").expect("reads").is_none());
        assert!(matches!(
            json(r#"["a", "b""#),
            Err(Fault {
                problem: Problem::BrokenJson { .. },
                ..
            })
        ));
        assert!(matches!(
            json(r#"["a", 1]"#),
            Err(Fault {
                problem: Problem::NotStrings { .. },
                ..
            })
        ));
        assert!(matches!(
            json("['a']"),
            Err(Fault {
                problem: Problem::BrokenJson { .. },
                ..
            })
        ));
    }
}
