//! Physical lines to logical ones: comments dropped, continuations joined, places remembered.

use std::collections::BTreeSet;

use super::error::{Fault, Place, Problem};

/// A Dockerfile's size in bytes. Real ones have a few KiB; the bound keeps a wrong `-f` from filling memory.
pub(super) const MAX_BYTES: usize = 1 << 20;

/// Instructions in one file. Docker's own limit of layers is 127, and generated files stay far below this.
pub(super) const MAX_INSTRUCTIONS: usize = 2_000;

/// A logical line: its text, and where each part of it stood.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) text: String,
    /// Start of each physical line within `text`, and its place in the file; ascending.
    pieces: Vec<(usize, Place)>,
}

impl Line {
    /// Returns where the byte `at` of the text stands in the file.
    pub(super) fn place(&self, at: usize) -> Place {
        let Some((start, place)) = self.pieces.iter().rev().find(|(start, _)| *start <= at) else {
            return Place { line: 1, column: 1 };
        };
        let skipped = self.text.get(*start..at).map_or(0, |s| s.chars().count());
        Place {
            line: place.line,
            column: place.column + skipped,
        }
    }
}

/// A file cut into logical lines.
#[derive(Debug)]
pub(super) struct Lexed {
    /// The escape character, which also continues lines: `\` unless a directive says otherwise.
    pub(super) escape: char,
    pub(super) lines: Vec<Line>,
}

/// Cuts a file into logical lines.
pub(super) fn lex(text: &str) -> Result<Lexed, Fault> {
    let top = Place { line: 1, column: 1 };
    if text.len() > MAX_BYTES {
        return Err(Fault {
            place: top,
            problem: Problem::TooLarge {
                bytes: text.len(),
                limit: MAX_BYTES,
            },
        });
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut directives = Directives::default();
    let mut lines = Vec::new();
    let mut open: Option<Line> = None;
    for (index, raw) in text.split('\n').enumerate() {
        let raw = raw.strip_suffix('\r').unwrap_or(raw);
        let trimmed = raw.trim_start();
        let indent = raw.len() - trimmed.len();
        let place = |at: usize| Place {
            line: index + 1,
            column: 1 + raw.get(..at).map_or(0, |s| s.chars().count()),
        };
        if let Some(at) = raw.find('\0') {
            return Err(Fault {
                place: place(at),
                problem: Problem::Nul,
            });
        }
        directives.read(trimmed).map_err(|problem| Fault {
            place: place(indent),
            problem,
        })?;
        // Docker skips comments and blank lines in the middle of a continued instruction too.
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let mut line = open.take().unwrap_or(Line {
            text: String::new(),
            pieces: Vec::new(),
        });
        // White space at the start of a continuation separates words; at the start of an instruction it means nothing.
        let from = if line.pieces.is_empty() { indent } else { 0 };
        line.pieces.push((line.text.len(), place(from)));
        let content = raw.get(from..).unwrap_or_default();
        match continued(content, directives.escape()) {
            Some(content) => {
                line.text.push_str(content);
                open = Some(line);
            }
            None => {
                line.text.push_str(content);
                push(&mut lines, line)?;
            }
        }
    }
    if let Some(line) = open {
        push(&mut lines, line)?;
    }
    if lines.is_empty() {
        return Err(Fault {
            place: top,
            problem: Problem::NoInstruction,
        });
    }
    Ok(Lexed {
        escape: directives.escape(),
        lines,
    })
}

fn push(lines: &mut Vec<Line>, line: Line) -> Result<(), Fault> {
    if line.text.trim().is_empty() {
        return Ok(());
    }
    if lines.len() >= MAX_INSTRUCTIONS {
        return Err(Fault {
            place: line.place(0),
            problem: Problem::TooManyInstructions {
                limit: MAX_INSTRUCTIONS,
            },
        });
    }
    lines.push(line);
    Ok(())
}

/// Returns the line without its continuation mark, if it has one. A doubled escape at the end is text.
fn continued(line: &str, escape: char) -> Option<&str> {
    let content = line.trim_end_matches([' ', '\t']).strip_suffix(escape)?;
    (!content.ends_with(escape)).then_some(content)
}

/// Parser directives: `# key=value` comments at the very top of the file.
///
/// `syntax` names a program that would parse the file in BuildKit, `check` tunes its linter: both are read and have no
/// effect, since no such program is fetched here.
#[derive(Default)]
struct Directives {
    escape: Option<char>,
    seen: BTreeSet<String>,
    /// Are we past the lines where directives may stand?
    done: bool,
}

impl Directives {
    fn escape(&self) -> char {
        self.escape.unwrap_or('\\')
    }

    fn read(&mut self, line: &str) -> Result<(), Problem> {
        if self.done {
            return Ok(());
        }
        let Some((name, value)) = directive(line) else {
            self.done = true;
            return Ok(());
        };
        if !self.seen.insert(name.clone()) {
            return Err(Problem::DirectiveRepeated { name });
        }
        if name == "escape" {
            self.escape = Some(match value {
                "\\" => '\\',
                "`" => '`',
                _ => {
                    return Err(Problem::EscapeDirective {
                        value: value.to_owned(),
                    });
                }
            });
        }
        Ok(())
    }
}

/// Returns the lower-case name and the value of a directive that Docker knows.
fn directive(line: &str) -> Option<(String, &str)> {
    let (name, value) = line.strip_prefix('#')?.split_once('=')?;
    let name = name.trim().to_ascii_lowercase();
    let value = value.trim();
    (matches!(name.as_str(), "escape" | "syntax" | "check") && !value.is_empty())
        .then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        let lexed = lex(text).expect("lexes");
        lexed.lines.into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn joins_continued_lines_over_comments_and_blank_ones() {
        assert_eq!(
            texts("FROM a\nENV a=1 \\\n# why\n\n   b=2\nUSER x"),
            ["FROM a", "ENV a=1    b=2", "USER x"]
        );
    }

    #[test]
    fn a_doubled_escape_does_not_continue() {
        assert_eq!(texts("USER a\\\\\nUSER b"), ["USER a\\\\", "USER b"]);
    }

    #[test]
    fn takes_mark_and_carriage_returns_away() {
        assert_eq!(
            texts("\u{feff}FROM a\r\nUSER \\\r\nb\r\n"),
            ["FROM a", "USER b"]
        );
    }

    #[test]
    fn directives_end_with_the_first_other_line() {
        assert_eq!(lex("# escape=`\nFROM a").expect("lexes").escape, '`');
        assert_eq!(lex("\n# escape=`\nFROM a").expect("lexes").escape, '\\');
        assert_eq!(
            lex("# note\n# escape=`\nFROM a").expect("lexes").escape,
            '\\'
        );
        assert_eq!(
            lex("#syntax=x/y\n#Escape = `\nFROM a")
                .expect("lexes")
                .escape,
            '`'
        );
    }

    #[test]
    fn places_survive_joining() {
        let lexed = lex("  ENV é=1 \\\n  b=2").expect("lexes");
        let line = &lexed.lines[0];
        assert_eq!(line.place(0), Place { line: 1, column: 3 });
        let b = line.text.find("b=2").expect("is there");
        assert_eq!(line.place(b), Place { line: 2, column: 3 });
    }

    #[test]
    fn bounds_hold() {
        let large = "#".repeat(MAX_BYTES + 1);
        assert!(matches!(
            lex(&large),
            Err(Fault {
                problem: Problem::TooLarge { .. },
                ..
            })
        ));
        let many = "USER a\n".repeat(MAX_INSTRUCTIONS + 1);
        let fault = lex(&many).expect_err("too many");
        assert_eq!(fault.place.line, MAX_INSTRUCTIONS + 1);
    }
}
