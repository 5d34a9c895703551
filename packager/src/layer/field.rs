//! The fields of a tar header.
//!
//! The `tar` crate refuses empty numbers, which old writers left, and knows no negative ones.

use super::error::TarError;

/// Bytes of a header, and what contents are padded to.
pub(super) const BLOCK: u64 = 512;

pub(super) fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    bytes
}

pub(super) fn is_zero(block: &[u8]) -> bool {
    block.iter().all(|byte| *byte == 0)
}

/// Checks a header's checksum; old writers summed signed bytes.
pub(super) fn checksum_holds(block: &[u8; BLOCK as usize]) -> bool {
    let Some(want) = number(&block[148..156]) else {
        return false;
    };
    let (mut unsigned, mut signed) = (0i64, 0i64);
    for (at, byte) in block.iter().enumerate() {
        let byte = match at {
            148..156 => b' ',
            _ => *byte,
        };
        unsigned += i64::from(byte);
        signed += i64::from(byte as i8);
    }
    want == unsigned || want == signed
}

pub(super) fn signed(field: &[u8], name: &'static str, position: u64) -> Result<i64, TarError> {
    number(field).ok_or_else(|| TarError::Number {
        position,
        field: name,
        value: field.escape_ascii().to_string(),
    })
}

pub(super) fn number_in<T: TryFrom<i64>>(
    field: &[u8],
    name: &'static str,
    position: u64,
) -> Result<T, TarError> {
    T::try_from(signed(field, name, position)?).map_err(|_| TarError::Number {
        position,
        field: name,
        value: field.escape_ascii().to_string(),
    })
}

/// Parses a header's number: octal text, empty for 0, or GNU's base 256, which may be negative.
fn number(field: &[u8]) -> Option<i64> {
    let (first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        // Seven bits of two's complement, then whole bytes; 12 bytes fit in 128 bits.
        let mut value = i128::from((first << 1) as i8 >> 1);
        for byte in rest {
            value = value << 8 | i128::from(*byte);
        }
        return i64::try_from(value).ok();
    }
    let blank = |byte: &u8| *byte == b' ' || *byte == 0;
    let start = field.iter().position(|b| !blank(b)).unwrap_or(field.len());
    let text = field.get(start..)?;
    let end = text.iter().position(blank).unwrap_or(text.len());
    let mut value = 0i64;
    for byte in text.get(..end)? {
        let digit = match byte {
            b'0'..=b'7' => i64::from(byte - b'0'),
            _ => return None,
        };
        value = value.checked_mul(8)?.checked_add(digit)?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"  644 \0 "), Some(0o644));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(number(b"        "), Some(0));
        assert_eq!(number(b"77777777777\0"), Some(0o77777777777));
        assert_eq!(number(b"\x80\0\0\0\0\0\0\x02\0\0\0\0"), Some(1 << 33));
        assert_eq!(number(&[0xff; 12]), Some(-1));
        assert_eq!(number(&[0xff; 8]), Some(-1));
        for bad in [
            &b"0000648\0"[..],
            b"-000644\0",
            b"0x00644\0",
            b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(number(bad), None, "{}", bad.escape_ascii());
        }
    }
}
