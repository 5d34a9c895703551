//! What a container's guest said, on disk.
//!
//! The files are those of Docker's `json-file` driver, which other tools read: one JSON object a line with `log`, `stream` and
//! `time`. They are written by the process that hosts the guest, with one system call for each of the guest's writes, and
//! nothing is held back: what the guest has written is on disk before its write returns, however it ends. So a line that the
//! guest wrote in pieces is several objects, of which only the last one's text ends with a newline. Bytes that are no UTF-8
//! are kept in `raw` as well, in base64; Docker's driver loses them.
//!
//! ```text
//! <container>/log/json.log     the newest
//!                 json.log.1   the one before, and so on
//! ```

mod entry;
mod read;
mod write;

pub use entry::{Entry, Stream};
pub use read::{Follow, LogReader, Wanted};
pub use write::{LogConfig, LogWriter};

use std::path::{Path, PathBuf};

/// The newest file's name.
const NEWEST: &str = "json.log";

/// Returns the path of the file that is `age` rotations old.
fn file(dir: &Path, age: u32) -> PathBuf {
    dir.join(name(age))
}

fn name(age: u32) -> String {
    if age == 0 {
        NEWEST.to_owned()
    } else {
        format!("{NEWEST}.{age}")
    }
}

#[cfg(test)]
mod tests;
