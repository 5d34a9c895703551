//! One object of a log file.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Longest text of one object, in bytes: Docker's.
const LONGEST: usize = 16 << 10;

/// Which of its streams a guest wrote to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What a guest wrote, in one piece: at most a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The bytes, with the newline if the guest wrote one.
    pub bytes: Vec<u8>,
    /// Where it wrote them.
    pub stream: Stream,
    /// When.
    pub time: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct Object<'a> {
    log: Cow<'a, str>,
    stream: Stream,
    time: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    raw: Option<String>,
}

/// Adds the objects for what a guest wrote to `text`.
pub(super) fn encode(bytes: &[u8], stream: Stream, time: Timestamp, text: &mut Vec<u8>) {
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        for piece in line.chunks(LONGEST) {
            let log = String::from_utf8_lossy(piece);
            let raw = matches!(log, Cow::Owned(_)).then(|| STANDARD.encode(piece));
            let object = Object {
                log,
                stream,
                time,
                raw,
            };
            serde_json::to_writer(&mut *text, &object).expect("strings serialise");
            text.push(b'\n');
        }
    }
}

/// Reads one line of a log file. A line that a power cut has torn says nothing.
pub(super) fn decode(line: &[u8]) -> Option<Entry> {
    let object: Object<'_> = serde_json::from_slice(line).ok()?;
    let bytes = match object.raw {
        Some(raw) => STANDARD.decode(raw).ok()?,
        None => object.log.into_owned().into_bytes(),
    };
    Some(Entry {
        bytes,
        stream: object.stream,
        time: object.time,
    })
}
