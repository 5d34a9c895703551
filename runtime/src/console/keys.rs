//! The keys by which a person leaves a container's terminal.

use std::str::FromStr;

/// A row of keys which, typed one after the other, are not passed on but mean that the terminal is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetachKeys {
    keys: Vec<u8>,
    /// How many of them have just been typed.
    typed: usize,
}

/// The text names no keys.
#[derive(Debug, thiserror::Error)]
#[error("invalid detach keys: {text}")]
pub struct InvalidKeys {
    /// What was given.
    text: String,
}

impl Default for DetachKeys {
    /// Docker's: ctrl-p, then ctrl-q.
    fn default() -> Self {
        Self {
            keys: vec![0x10, 0x11],
            typed: 0,
        }
    }
}

impl FromStr for DetachKeys {
    type Err = InvalidKeys;

    /// Reads keys with commas between them: a character, or `ctrl-` and one of `a` to `z`, `@`, `[`, `\`, `]`, `^`, `_`. Empty: there
    /// are none, and the terminal cannot be left.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidKeys {
            text: text.to_owned(),
        };
        let mut keys = Vec::new();
        for key in text.split(',').filter(|_| !text.is_empty()) {
            let byte = match (key.strip_prefix("ctrl-"), key.as_bytes()) {
                (Some(key), _) => match key.as_bytes() {
                    [letter @ b'a'..=b'z'] => letter - b'a' + 1,
                    [sign @ (b'@' | b'['..=b'_')] => sign - b'@',
                    _ => return Err(invalid()),
                },
                (None, [byte]) if byte.is_ascii() => *byte,
                _ => return Err(invalid()),
            };
            keys.push(byte);
        }
        Ok(Self { keys, typed: 0 })
    }
}

impl DetachKeys {
    /// Looks at what was typed. Returns what of it is to be passed on, and whether the terminal is left; what comes after that is
    /// nobody's.
    pub fn filter(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut pass = Vec::with_capacity(typed.len());
        for byte in typed {
            if self.keys.get(self.typed) == Some(byte) {
                self.typed += 1;
                if self.typed == self.keys.len() {
                    self.typed = 0;
                    return (pass, true);
                }
                continue;
            }
            // It was no beginning of it: what was held back is passed on, and this key may begin anew.
            pass.extend(self.keys.get(..self.typed).unwrap_or_default());
            self.typed = 0;
            if self.keys.first() == Some(byte) {
                self.typed = 1;
                if self.keys.len() == 1 {
                    self.typed = 0;
                    return (pass, true);
                }
            } else {
                pass.push(*byte);
            }
        }
        (pass, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_named_as_in_docker() {
        let keys = |text: &str| text.parse::<DetachKeys>().expect(text).keys;
        assert_eq!(keys("ctrl-p,ctrl-q"), DetachKeys::default().keys);
        assert_eq!(keys("ctrl-@,a,ctrl-[,ctrl-_"), [0, b'a', 0x1b, 0x1f]);
        assert_eq!(keys(""), b"");
        for bad in ["ctrl-", "ctrl-A", "ctrl-pp", "ab", "a,", "é", "shift-a"] {
            assert!(bad.parse::<DetachKeys>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_typed_is_passed_on_but_the_keys() {
        let of = |keys: &str, pieces: &[&[u8]]| {
            let mut keys: DetachKeys = keys.parse().expect("keys");
            let mut passed = Vec::new();
            for piece in pieces {
                let (pass, left) = keys.filter(piece);
                passed.extend(pass);
                if left {
                    return (passed, true);
                }
            }
            (passed, false)
        };
        assert_eq!(of("a,b", &[b"xaby"]), (b"x".to_vec(), true));
        assert_eq!(of("a,b", &[b"xa", b"b"]), (b"x".to_vec(), true));
        assert_eq!(of("a,b", &[b"xa", b"ab"]), (b"xa".to_vec(), true));
        assert_eq!(of("a,b", &[b"acab"]), (b"ac".to_vec(), true));
        assert_eq!(of("a,b", &[b"ac", b"b"]), (b"acb".to_vec(), false));
        assert_eq!(of("a", &[b"xa"]), (b"x".to_vec(), true));
        assert_eq!(of("", &[b"\x10\x11"]), (b"\x10\x11".to_vec(), false));
    }
}
