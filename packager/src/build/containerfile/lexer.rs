//! Physical lines to logical ones: comments dropped, continuations joined, places remembered.

use std::collections::BTreeSet;

use super::error::{Fault, Place, Problem};
use super::heredoc::{self, HereDocument};
use super::words::Rest;

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
    /// The here-documents that it opens, in order.
    pub(super) documents: Vec<HereDocument>,
}

impl Line {
    /// Makes a line of a text that starts at a place.
    pub(super) fn plain(text: String, place: Place) -> Self {
        Self {
            text,
            pieces: vec![(0, place)],
            documents: Vec::new(),
        }
    }

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
    /// The value of `# check=`, and where it stands.
    pub(super) check: Option<(String, Place)>,
    /// Blank lines within continued instructions.
    pub(super) empty_continuations: Vec<Place>,
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
    let mut empty_continuations = Vec::new();
    let mut open: Option<Line> = None;
    let mut raws = text.split('\n').enumerate();
    while let Some((index, raw)) = raws.next() {
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
        directives
            .read(trimmed, place(indent))
            .map_err(|problem| Fault {
                place: place(indent),
                problem,
            })?;
        // Docker skips comments and blank lines in the middle of a continued instruction too.
        if trimmed.is_empty() || trimmed.starts_with('#') {
            if trimmed.is_empty() && open.is_some() && empty_continuations.len() < MAX_INSTRUCTIONS
            {
                empty_continuations.push(place(0));
            }
            continue;
        }
        let mut line = open.take().unwrap_or(Line {
            text: String::new(),
            pieces: Vec::new(),
            documents: Vec::new(),
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
                read_documents(&mut line, directives.escape(), &mut raws)?;
                push(&mut lines, line)?;
            }
        }
    }
    if let Some(line) = open {
        push(&mut lines, line)?;
    }
    // The end of the file is no blank line in an instruction.
    if text.ends_with('\n') {
        let end = text.split('\n').count();
        empty_continuations.retain(|place: &Place| place.line < end);
    }
    if lines.is_empty() {
        return Err(Fault {
            place: top,
            problem: Problem::NoInstruction,
        });
    }
    Ok(Lexed {
        escape: directives.escape(),
        check: directives.check,
        empty_continuations,
        lines,
    })
}

/// Takes the here-documents that a line opens from the lines below it.
fn read_documents<'t>(
    line: &mut Line,
    escape: char,
    raws: &mut impl Iterator<Item = (usize, &'t str)>,
) -> Result<(), Fault> {
    if !line.text.contains("<<") {
        return Ok(());
    }
    let words = Rest::new(line, escape).quoted();
    let words = words.into_iter().map(|word| (word.text, word.place));
    let mut documents = heredoc::openings(words)?;
    for document in &mut documents {
        loop {
            let Some((index, raw)) = raws.next() else {
                return Err(Fault {
                    place: document.place,
                    problem: Problem::OpenDocument {
                        name: document.name.clone(),
                    },
                });
            };
            if let Some(at) = raw.find('\0') {
                return Err(Fault {
                    place: Place {
                        line: index + 1,
                        column: 1 + raw.get(..at).map_or(0, |s| s.chars().count()),
                    },
                    problem: Problem::Nul,
                });
            }
            if document.ends_with(raw) {
                break;
            }
            document.text.push_str(raw);
            document.text.push('\n');
        }
    }
    line.documents = documents;
    Ok(())
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
/// `syntax` names a program that would parse the file in BuildKit: it is read and has no effect, since no such program is
/// fetched here. `check` tunes the checks.
#[derive(Default)]
struct Directives {
    escape: Option<char>,
    check: Option<(String, Place)>,
    seen: BTreeSet<String>,
    /// Are we past the lines where directives may stand?
    done: bool,
}

impl Directives {
    fn escape(&self) -> char {
        self.escape.unwrap_or('\\')
    }

    fn read(&mut self, line: &str, place: Place) -> Result<(), Problem> {
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
        if name == "check" {
            self.check = Some((value.to_owned(), place));
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
    fn here_documents_are_not_instructions() {
        let lexed = lex("FROM a\nCOPY <<A <<-\"B\" /d/\nRUN no\n # kept \\\n\nA\n\tx\n\tB\nUSER b")
            .expect("lexes");
        assert_eq!(lexed.lines.len(), 3);
        let documents = &lexed.lines[1].documents;
        assert_eq!(documents[0].text, "RUN no\n # kept \\\n\n");
        assert_eq!(documents[1].content(), "x\n");
        assert_eq!(lexed.lines[2].place(0), Place { line: 9, column: 1 });
        // Only where Docker has them.
        assert_eq!(texts("ENV a=<<A\nUSER A").len(), 2);
        let fault = lex("FROM a\nRUN <<A\nUSER b").expect_err("is open");
        assert_eq!(fault.place, Place { line: 2, column: 5 });
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
