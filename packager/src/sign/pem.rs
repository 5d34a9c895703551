//! PEM (RFC 7468), with one block a file.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::KeyError;

/// Bytes of a key file. Real ones have less than one kilobyte.
pub(super) const FILE_LIMIT: usize = 64 << 10;
/// Characters of a line.
const LINE: usize = 64;

/// Reads a text with one block. Returns its label and its bytes.
pub(super) fn read(text: &[u8]) -> Result<(String, Vec<u8>), KeyError> {
    let wrong = |problem| KeyError::Pem { problem };
    if text.len() > FILE_LIMIT {
        return Err(wrong("it is too large"));
    }
    let text = std::str::from_utf8(text).map_err(|_| wrong("it is no text"))?;
    let mut lines = text.lines().map(str::trim);
    // What stands before a block is for people.
    let label = lines
        .by_ref()
        .find_map(|line| line.strip_prefix("-----BEGIN ")?.strip_suffix("-----"))
        .ok_or(wrong("there is no line \"-----BEGIN …-----\""))?;
    let end = format!("-----END {label}-----");
    let mut body = String::new();
    loop {
        match lines.next() {
            Some(line) if line == end => break,
            Some(line) => body.push_str(line),
            None => return Err(wrong("its end is missing")),
        }
    }
    if lines.any(|line| line.starts_with("-----BEGIN ")) {
        return Err(wrong("there is more than one key in it"));
    }
    let bytes = STANDARD
        .decode(body)
        .map_err(|_| wrong("it is not Base64"))?;
    Ok((label.to_owned(), bytes))
}

/// Writes a block.
pub(super) fn write(label: &str, bytes: &[u8]) -> String {
    let body = STANDARD.encode(bytes);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        // Base64 is ASCII: it can be cut anywhere.
        let (line, more) = rest.split_at(rest.len().min(LINE));
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}
