//! Here-documents: text that stands in the Dockerfile itself.
//!
//! <https://docs.docker.com/reference/dockerfile/#here-documents>

use super::error::{Fault, Place, Problem};

/// Here-documents of one instruction: more than anybody writes.
const MAX_DOCUMENTS: usize = 64;

/// The text between `<<EOF` and `EOF`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HereDocument {
    /// What ends it, and for COPY the name of the file.
    pub name: String,
    /// The lines between, each with its line feed.
    pub text: String,
    /// Are variables replaced in it? Not if any part of the name was quoted.
    pub expand: bool,
    /// Do tabs at the start of each line go? With `<<-` they do.
    pub chomp: bool,
    /// Where its word stands.
    pub place: Place,
}

impl HereDocument {
    /// Returns the text as the instruction takes it: without the tabs of `<<-`.
    pub fn content(&self) -> String {
        if !self.chomp {
            return self.text.clone();
        }
        let lines = self.text.split_inclusive('\n');
        lines.map(|line| line.trim_start_matches('\t')).collect()
    }

    /// Does this line of the file end the document?
    pub(super) fn ends_with(&self, line: &str) -> bool {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let line = match self.chomp {
            true => line.trim_start_matches('\t'),
            false => line,
        };
        line == self.name
    }
}

/// Reads `<<EOF`, `<<-EOF`, `3<<"EOF"`. `None` if the word is something else.
pub(super) fn opening(word: &str, place: Place) -> Option<HereDocument> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit());
    let rest = rest.strip_prefix("<<")?;
    let (chomp, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let name: String = rest.chars().filter(|c| !matches!(c, '"' | '\'')).collect();
    if name.is_empty() || rest.contains('<') {
        return None;
    }
    Some(HereDocument {
        expand: name == rest,
        name,
        text: String::new(),
        chomp,
        place,
    })
}

/// Is a text one word that opens a here-document?
pub(in crate::build) fn is_opening(text: &str) -> bool {
    !text.contains([' ', '\t']) && opening(text, Place { line: 1, column: 1 }).is_some()
}

/// Finds the here-documents that a line opens: only COPY, ADD and RUN have any, also behind ONBUILD.
pub(super) fn openings(
    words: impl Iterator<Item = (String, Place)>,
) -> Result<Vec<HereDocument>, Fault> {
    let mut words = words.peekable();
    let is = |word: &str, name: &str| word.eq_ignore_ascii_case(name);
    // What follows ONBUILD is an instruction as well.
    let _trigger = words.next_if(|(word, _)| is(word, "ONBUILD"));
    let takes = words
        .next()
        .is_some_and(|(word, _)| is(&word, "COPY") || is(&word, "ADD") || is(&word, "RUN"));
    if !takes {
        return Ok(Vec::new());
    }
    let mut documents = Vec::new();
    for (word, place) in words {
        if let Some(document) = opening(&word, place) {
            if documents.len() >= MAX_DOCUMENTS {
                return Err(Fault {
                    place,
                    problem: Problem::TooManyDocuments {
                        limit: MAX_DOCUMENTS,
                    },
                });
            }
            documents.push(document);
        }
    }
    Ok(documents)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place = Place { line: 1, column: 1 };

    #[test]
    fn openings_are_recognised() {
        for (word, name, expand, chomp) in [
            ("<<EOF", "EOF", true, false),
            ("<<-EOF", "EOF", true, true),
            ("3<<\"EOF\"", "EOF", false, false),
            ("<<-'a b'", "a b", false, true),
            ("<<E\"O\"F", "EOF", false, false),
        ] {
            let document = opening(word, HERE).expect(word);
            assert_eq!(
                (document.name.as_str(), document.expand, document.chomp),
                (name, expand, chomp),
                "{word}"
            );
        }
        for word in ["<<", "<<-", "a<<EOF", "<<<x", "<EOF", "<<\"\""] {
            assert_eq!(opening(word, HERE), None, "{word}");
        }
    }

    #[test]
    fn tabs_go_only_where_asked() {
        let mut document = opening("<<-X", HERE).expect("opens");
        document.text = "\t\ta\n b\n\tc\n".to_owned();
        assert_eq!(document.content(), "a\n b\nc\n");
        assert!(document.ends_with("\t\tX\r"));
        document.chomp = false;
        assert_eq!(document.content(), document.text);
        assert!(!document.ends_with("\tX"));
        assert!(document.ends_with("X"));
    }
}
