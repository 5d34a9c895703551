//! The only place that prints.
//!
//! Standard output carries data (ids, tables, JSON), so that it can be piped; progress, warnings and errors go to standard
//! error. A reader that has closed its end of a pipe is no error: there is nobody left to tell.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};

use serde::Serialize;

use super::sanitize::{is_harmful, sanitize};

/// Prints one line of data. It must hold nothing from outside that was not sanitized.
pub(super) fn line(text: &str) -> io::Result<()> {
    quiet_pipe(writeln!(io::stdout().lock(), "{text}"))
}

/// Prints bytes of data as they are.
pub(super) fn raw(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    quiet_pipe(out.write_all(bytes).and_then(|()| out.flush()))
}

/// Prints a value as JSON: indented, as `docker inspect` does.
pub(super) fn json_pretty(value: &impl Serialize) -> io::Result<()> {
    let mut text = Vec::new();
    let indent = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    value.serialize(&mut serde_json::Serializer::with_formatter(
        &mut text, indent,
    ))?;
    json(text)
}

/// Prints a value as JSON on one line.
pub(super) fn json_line(value: &impl Serialize) -> io::Result<()> {
    json(serde_json::to_vec(value)?)
}

/// Prints JSON.
fn json(text: Vec<u8>) -> io::Result<()> {
    let text = String::from_utf8(text).map_err(io::Error::other)?;
    raw(escape_json(&text).as_bytes())
}

/// Writes what could command a terminal as JSON's escapes, and ends the line. Such a character can only stand in a string.
pub(super) fn escape_json(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + 1);
    for character in text.chars() {
        if character == '\n' || !is_harmful(character) {
            safe.push(character);
        } else {
            // All of them are in Unicode's first plane: one escape each.
            write!(safe, "\\u{:04x}", u32::from(character))
                .expect("writing to a String cannot fail");
        }
    }
    safe.push('\n');
    safe
}

/// Tells a person what happens; on standard error.
pub(super) fn status(text: &str) {
    tell(&sanitize(text));
}

/// Asks a person something, on standard error, and leaves the line open for the answer.
pub(super) fn ask(question: &str) {
    // Nowhere is left to report that standard error is gone.
    drop(write!(io::stderr().lock(), "{}", sanitize(question)));
}

/// Tells a person of something that may be wrong.
pub(super) fn warning(text: &str) {
    tell(&format!("Warning: {}", sanitize(text)));
}

/// Returns the line that tells a person what went wrong.
pub(super) fn error_line(message: &str) -> String {
    format!("coracle: {}\n", sanitize(message))
}

/// Tells a person what went wrong, and what to do next.
pub(super) fn error(message: &str, hint: Option<&str>) {
    tell(error_line(message).trim_end());
    if let Some(hint) = hint {
        tell(&format!("Hint: {}", sanitize(hint)));
    }
}

/// Prints what another process of this program would have told.
pub(super) fn pass_on(text: &str) {
    for line in text.lines() {
        tell(&sanitize(line));
    }
}

/// Prints from now on what this program's own parts trace.
pub(super) fn trace() {
    use tracing_subscriber::filter::{LevelFilter, Targets};
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::util::SubscriberInitExt;
    let ours = ["coracle", "coracle_packager", "coracle_runtime"];
    let targets = Targets::new().with_targets(ours.map(|name| (name, LevelFilter::DEBUG)));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(false)
        .without_time();
    // It fails only if somebody traces already, and then they want to.
    drop(
        tracing_subscriber::registry()
            .with(targets)
            .with(lines)
            .try_init(),
    );
}

/// Is a person watching standard output?
pub(super) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Is a person watching standard error?
pub(super) fn is_watched() -> bool {
    io::stderr().is_terminal()
}

fn tell(line: &str) {
    // Nowhere is left to report that standard error is gone.
    drop(writeln!(io::stderr().lock(), "{line}"));
}

fn quiet_pipe(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// A table as Docker prints it: columns as wide as their widest cell and three spaces, and at least ten.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Makes a table with its headings.
    pub(super) fn new(headings: &[&str]) -> Self {
        Self {
            rows: vec![
                headings
                    .iter()
                    .map(|heading| (*heading).to_owned())
                    .collect(),
            ],
        }
    }

    /// Adds a row. Cells may come from outside.
    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows
            .push(cells.iter().map(|cell| sanitize(cell)).collect());
    }

    /// Adds a row of any length.
    pub(super) fn cells(&mut self, cells: impl Iterator<Item = String>) {
        self.rows.push(cells.map(|cell| sanitize(&cell)).collect());
    }

    /// Prints the table.
    pub(super) fn print(&self) -> io::Result<()> {
        raw(self.render().as_bytes())
    }

    fn render(&self) -> String {
        const GAP: usize = 3;
        const NARROWEST: usize = 10;
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
            (widest + GAP).max(NARROWEST)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            for (column, cell) in row.iter().enumerate() {
                text.push_str(cell);
                if column + 1 < row.len() {
                    let padding = widths[column] - cell.chars().count();
                    text.extend(std::iter::repeat_n(' ', padding));
                }
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_commands_no_terminal() {
        let value = serde_json::json!({ "a\u{9b}": "\u{202e}b\n日" });
        let text = escape_json(&value.to_string());
        assert_eq!(text, "{\"a\\u009b\":\"\\u202eb\\n日\"}\n");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).expect("still JSON"),
            value
        );
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["A", "LONG", "C"]);
        table.row(["wide".to_owned(), "x".to_owned(), "é\u{1b}[1m".to_owned()]);
        assert_eq!(
            table.render(),
            "A         LONG      C\nwide      x         é\\u{1b}[1m\n"
        );
        let mut table = Table::new(&["A", "B"]);
        table.row(["eleven char".to_owned(), String::new()]);
        assert_eq!(table.render(), "A             B\neleven char   \n");
    }
}
