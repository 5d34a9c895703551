//! The file that other programs read what went wrong from.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;

/// How a line of it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// key=value
    Text,
    /// One object on a line
    Json,
}

/// The file, if one was named.
pub(super) struct Log {
    path: Option<PathBuf>,
    format: Format,
}

#[derive(Serialize)]
struct Line<'a> {
    level: &'a str,
    msg: &'a str,
    time: String,
}

impl Log {
    pub(super) fn new(path: Option<PathBuf>, format: Format) -> Self {
        Self { path, format }
    }

    /// Writes an error. If that fails there is nothing to be done: the error goes to standard error, too.
    pub(super) fn error(&self, text: &str) {
        let Some(path) = &self.path else {
            return;
        };
        let time = jiff::Timestamp::now().to_string();
        let line = match self.format {
            Format::Json => {
                let line = Line {
                    level: "error",
                    msg: text,
                    time,
                };
                serde_json::to_string(&line).unwrap_or_default()
            }
            Format::Text => format!("time=\"{time}\" level=error msg={text:?}"),
        };
        let opened = OpenOptions::new().append(true).create(true).open(path);
        drop(opened.and_then(|mut file| writeln!(file, "{line}")));
    }
}
