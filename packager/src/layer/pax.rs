//! Records of pax extended headers (POSIX.1-2017, pax, "pax Extended Header").

/// Splits a pax header into its records; `None` stands for one that is malformed.
///
/// A record is measured by its own length, so a value may hold any byte, line feeds included: extended attributes are
/// binary, and so may names be.
pub(super) fn records(mut data: &[u8]) -> impl Iterator<Item = Option<(&[u8], &[u8])>> {
    std::iter::from_fn(move || {
        if data.is_empty() {
            return None;
        }
        let record = split_record(data);
        data = record.map_or(&[], |(_, _, rest)| rest);
        Some(record.map(|(key, value, _)| (key, value)))
    })
}

fn split_record(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    // A length has few digits: a header is bounded.
    let space = data.iter().take(12).position(|byte| *byte == b' ')?;
    let len = decimal(data.get(..space)?)?;
    let (record, rest) = data.split_at_checked(usize::try_from(len).ok()?)?;
    let body = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|byte| *byte == b'=')?;
    let key = body.get(..equals).filter(|key| !key.is_empty())?;
    Some((key, body.get(equals + 1..)?, rest))
}

/// Parses an unsigned decimal number: digits only.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Parses a time: seconds with an optional fraction, negative before 1970. Digits beyond nanoseconds are dropped.
pub(super) fn time(text: &[u8]) -> Option<(i64, u32)> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(text) => (true, text),
        None => (false, text),
    };
    let point = text.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = match point {
        Some(at) => (text.get(..at)?, text.get(at + 1..)?),
        None => (text, &b""[..]),
    };
    let seconds = i64::try_from(decimal(whole)?).ok()?;
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut nanoseconds = 0u32;
    for place in 0..9 {
        let digit = fraction.get(place).map_or(0, |byte| u32::from(byte - b'0'));
        nanoseconds = nanoseconds * 10 + digit;
    }
    Some(match (negative, nanoseconds) {
        (false, _) => (seconds, nanoseconds),
        (true, 0) => (-seconds, 0),
        // A time is whole seconds plus a fraction that goes forward: -1.25 is -2 + 0.75.
        (true, _) => (-seconds - 1, 1_000_000_000 - nanoseconds),
    })
}

/// Appends one record to a pax header.
pub(super) fn push_record(header: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    // The length counts its own digits.
    while rest + len.to_string().len() != len {
        len = rest + len.to_string().len();
    }
    header.extend_from_slice(len.to_string().as_bytes());
    header.push(b' ');
    header.extend_from_slice(key);
    header.push(b'=');
    header.extend_from_slice(value);
    header.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_round_trip_any_bytes() {
        let pairs: Vec<(Vec<u8>, Vec<u8>)> = vec![
            (b"path".to_vec(), b"a\nb".to_vec()),
            (b"SCHILY.xattr.user.x".to_vec(), vec![0, 10, 61, 255]),
            (b"e".to_vec(), Vec::new()),
            (b"p".to_vec(), vec![b'x'; 93]),
            (b"p".to_vec(), vec![b'x'; 94]),
            (b"p".to_vec(), vec![b'x'; 991]),
            (b"p".to_vec(), vec![b'x'; 992]),
            (b"p".to_vec(), vec![b'x'; 993]),
        ];
        let mut header = Vec::new();
        for (key, value) in &pairs {
            push_record(&mut header, key, value);
        }
        let read: Vec<_> = records(&header)
            .map(|record| record.map(|(key, value)| (key.to_vec(), value.to_vec())))
            .collect::<Option<_>>()
            .expect("well formed");
        assert_eq!(read, pairs);
    }

    #[test]
    fn malformed_records() {
        for bad in [
            &b"path=x\n"[..],
            b"8 path=x\n",
            b"11 path=x\n",
            b"10 path=xy",
            b"9 pathx=\n\n",
            b"8 path x\n",
            b"-9 path=x\n",
            b"99999999999999999999 path=x\n",
            b" path=x\n",
            b"5 =x\n",
            b"0 ",
            b"\0\0\0",
        ] {
            assert!(records(bad).any(|r| r.is_none()), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn times() {
        assert_eq!(time(b"0"), Some((0, 0)));
        assert_eq!(time(b"1700000000.5"), Some((1_700_000_000, 500_000_000)));
        assert_eq!(time(b"1.0000000019"), Some((1, 1)));
        assert_eq!(time(b"-1"), Some((-1, 0)));
        assert_eq!(time(b"-1.25"), Some((-2, 750_000_000)));
        assert_eq!(time(b"-0.5"), Some((-1, 500_000_000)));
        for bad in ["", ".", ".5", "1e3", "--1", "1.x", "9223372036854775808"] {
            assert_eq!(time(bad.as_bytes()), None, "{bad}");
        }
    }
}
