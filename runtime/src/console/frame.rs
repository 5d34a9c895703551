//! What is sent to a container's console.

use crate::sys::WindowSize;

/// Most that one frame carries, in bytes.
const LARGEST: usize = 64 << 10;
/// A kind, and the length of what follows, big-endian.
const HEAD: usize = 5;

/// One message to a container's console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// What was typed.
    Input(Vec<u8>),
    /// There is no more.
    End,
    /// The sender's terminal is so large now.
    Size(WindowSize),
}

/// The bytes are none of these messages.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl Frame {
    /// Most bytes that may be in one [`Frame::Input`].
    pub const LONGEST_INPUT: usize = LARGEST;

    /// Returns the bytes that are sent.
    pub fn encode(&self) -> Vec<u8> {
        let size;
        let (kind, payload): (u8, &[u8]) = match self {
            Self::Input(bytes) => (0, bytes),
            Self::End => (1, &[]),
            Self::Size(window) => {
                let [a, b] = window.rows.to_be_bytes();
                let [c, d] = window.columns.to_be_bytes();
                size = [a, b, c, d];
                (2, &size)
            }
        };
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let mut bytes = Vec::with_capacity(HEAD + payload.len());
        bytes.push(kind);
        bytes.extend(length.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    /// Takes the first frame from what was received. `None`: it is not whole yet.
    pub(super) fn take(received: &mut Vec<u8>) -> Result<Option<Self>, Malformed> {
        let Some((&[kind, a, b, c, d], rest)) = received.split_first_chunk::<HEAD>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        if length > LARGEST {
            return Err(Malformed);
        }
        let Some(payload) = rest.get(..length) else {
            return Ok(None);
        };
        let frame = match (kind, payload) {
            (0, bytes) => Self::Input(bytes.to_vec()),
            (1, []) => Self::End,
            (2, &[a, b, c, d]) => Self::Size(WindowSize {
                rows: u16::from_be_bytes([a, b]),
                columns: u16::from_be_bytes([c, d]),
            }),
            _ => return Err(Malformed),
        };
        received.drain(..HEAD + length);
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_arrive_as_they_were_sent() {
        let size = WindowSize {
            rows: 24,
            columns: 300,
        };
        let frames = [
            Frame::Input(b"hello".to_vec()),
            Frame::Size(size),
            Frame::Input(Vec::new()),
            Frame::Input(vec![7; LARGEST]),
            Frame::End,
        ];
        let mut received = Vec::new();
        let mut seen = Vec::new();
        for byte in frames.iter().flat_map(Frame::encode) {
            received.push(byte);
            seen.extend(Frame::take(&mut received).expect("well formed"));
        }
        assert_eq!(seen, frames);
        assert!(received.is_empty());
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        for bad in [
            &b"\x03\0\0\0\0"[..],
            b"\x01\0\0\0\x01x",
            b"\x02\0\0\0\x03abc",
            b"\0\xff\xff\xff\xff",
            b"\0\0\x01\0\x01",
        ] {
            assert_eq!(Frame::take(&mut bad.to_vec()), Err(Malformed), "{bad:?}");
        }
        assert_eq!(Frame::take(&mut b"\0\0\0\0\x05abcd".to_vec()), Ok(None));
    }
}
