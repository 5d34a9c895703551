//! A place in a template's text.

use super::TemplateError;

#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Returns the text from an earlier place to here.
    pub(super) fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    pub(super) fn place(&self) -> usize {
        self.at
    }

    /// Returns the character before this place.
    pub(super) fn before(&self) -> Option<char> {
        self.text.get(..self.at)?.chars().next_back()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let letter = self.peek()?;
        self.at += letter.len_utf8();
        Some(letter)
    }

    /// Goes past `word` if it comes next.
    pub(super) fn eat(&mut self, word: &str) -> bool {
        let comes = self.rest().starts_with(word);
        if comes {
            self.at += word.len();
        }
        comes
    }

    /// Goes past so many bytes of whole characters.
    pub(super) fn take(&mut self, bytes: usize) {
        if self.text.is_char_boundary(self.at + bytes) {
            self.at += bytes;
        }
    }

    /// Goes past what fits, and returns it.
    pub(super) fn take_while(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let len = rest.find(|letter| !fits(letter)).unwrap_or(rest.len());
        self.at += len;
        rest.get(..len).unwrap_or_default()
    }

    /// Goes past white space; says whether there was any.
    pub(super) fn space(&mut self) -> bool {
        !self.take_while(char::is_whitespace).is_empty()
    }

    /// Says what is wrong here.
    pub(super) fn wrong(&self, problem: impl Into<String>) -> TemplateError {
        let before = self.text.get(..self.at).unwrap_or(self.text);
        TemplateError::Parse {
            at: before.chars().count() + 1,
            problem: problem.into(),
        }
    }
}
