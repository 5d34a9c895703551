//! Digests: the names of blobs.
//!
//! Only a checked digest exists as a [`Digest`], and only a [`Digest`] may become part of a file name or a URL.
//! Grammar: <https://github.com/opencontainers/image-spec/blob/main/descriptor.md#digests>.

use std::fmt;
use std::str::FromStr;

use oci_spec::image as oci;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256, Sha512};

/// Characters of a foreign text that an error repeats; more would only flood a terminal.
const SHOWN_CHARS: usize = 160;

/// Returns the start of `text`, short enough for an error message.
pub(crate) fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(SHOWN_CHARS).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// Why a text is not a digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// There is no `:` between an algorithm and its value.
    #[error("parsing digest {text:?}: no \":\" found, want \"sha256:\" and 64 hexadecimal digits")]
    NoAlgorithm {
        /// The text, shortened.
        text: String,
    },
    /// The algorithm is not one that can be computed here.
    #[error("parsing digest {text:?}: unknown algorithm {algorithm:?}, want sha256 or sha512")]
    UnknownAlgorithm {
        /// The text, shortened.
        text: String,
        /// What stands before the `:`, shortened.
        algorithm: String,
    },
    /// The value is too short or too long for its algorithm.
    #[error("parsing digest {text:?}: got {got} characters after \":\", want {want}")]
    Length {
        /// The text, shortened.
        text: String,
        /// Bytes after the `:`.
        got: usize,
        /// Bytes that the algorithm needs.
        want: usize,
    },
    /// The value has a character that is not a lower-case hexadecimal digit.
    #[error(
        "parsing digest {text:?}: character {character:?} at byte {position}, want digits 0-9 and a-f"
    )]
    Character {
        /// The text, shortened.
        text: String,
        /// The first wrong character.
        character: char,
        /// Its place in the text, in bytes from 0.
        position: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Algorithm {
    Sha256,
    Sha512,
}

impl Algorithm {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "sha256" => Some(Self::Sha256),
            "sha512" => Some(Self::Sha512),
            _ => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    const fn hex_length(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

/// A checked digest, such as `sha256:44136fa3…`.
///
/// We write sha256 only. sha512 is accepted, because the specification registers both.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    /// Lower-case hexadecimal digits, exactly as many as the algorithm has.
    hex: Box<str>,
}

impl Digest {
    /// Characters of the hexadecimal part that [`Digest::short`] returns, as Docker shows IDs.
    pub const SHORT: usize = 12;

    /// Parses `algorithm:hex`.
    ///
    /// # Errors
    ///
    /// [`DigestError`] names the text and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, DigestError> {
        let Some((name, hex)) = text.split_once(':') else {
            return Err(DigestError::NoAlgorithm { text: shown(text) });
        };
        let Some(algorithm) = Algorithm::parse(name) else {
            return Err(DigestError::UnknownAlgorithm {
                text: shown(text),
                algorithm: shown(name),
            });
        };
        if hex.len() != algorithm.hex_length() {
            return Err(DigestError::Length {
                text: shown(text),
                got: hex.len(),
                want: algorithm.hex_length(),
            });
        }
        let wrong = hex
            .char_indices()
            .find(|(_, c)| !matches!(c, '0'..='9' | 'a'..='f'));
        if let Some((at, character)) = wrong {
            return Err(DigestError::Character {
                text: shown(text),
                character,
                position: name.len() + 1 + at,
            });
        }
        Ok(Self {
            algorithm,
            hex: hex.into(),
        })
    }

    /// Returns the digest that a descriptor names.
    ///
    /// # Errors
    ///
    /// The descriptor type accepts any well-formed algorithm; this accepts only those that can be verified.
    pub fn of(descriptor: &oci::Descriptor) -> Result<Self, DigestError> {
        Self::parse(descriptor.digest().as_ref())
    }

    /// Returns the sha256 digest of `bytes`.
    pub fn sha256_of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::sha256();
        hasher.update(bytes);
        hasher.finish()
    }

    /// Returns the SHA-256 digest of all that a reader has.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn sha256_of_reader(mut reader: impl std::io::Read) -> std::io::Result<Self> {
        let mut hasher = Hasher::sha256();
        let mut buffer = vec![0; 64 << 10];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(hasher.finish()),
                Ok(len) => hasher.update(buffer.get(..len).unwrap_or_default()),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns the algorithm's name: `sha256` or `sha512`.
    pub fn algorithm(&self) -> &str {
        self.algorithm.name()
    }

    /// Returns the value in lower-case hexadecimal digits.
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// Returns the first twelve hexadecimal digits, as Docker shows IDs.
    pub fn short(&self) -> &str {
        self.hex.get(..Self::SHORT).unwrap_or(&self.hex)
    }

    /// Returns the 32 bytes of a sha256 digest, `None` for another algorithm.
    pub fn sha256_bytes(&self) -> Option<[u8; 32]> {
        if self.algorithm != Algorithm::Sha256 {
            return None;
        }
        let mut bytes = [0_u8; 32];
        for (byte, pair) in bytes.iter_mut().zip(self.hex.as_bytes().chunks_exact(2)) {
            *byte = pair
                .iter()
                .fold(0, |value, digit| (value << 4) | nibble(*digit));
        }
        Some(bytes)
    }

    /// Makes a digest of the 32 bytes of a sha256 sum.
    pub fn from_sha256_bytes(bytes: [u8; 32]) -> Self {
        Self::from_bytes(Algorithm::Sha256, &bytes)
    }

    fn from_bytes(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
        let hex: String = bytes
            .iter()
            .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
            .collect();
        Self {
            algorithm,
            hex: hex.into(),
        }
    }
}

/// Returns the value of a lower-case hexadecimal digit; a [`Digest`] holds no other character.
const fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => 0,
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm(), self.hex)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        Self::parse(text)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl From<&Digest> for oci::Digest {
    fn from(digest: &Digest) -> Self {
        Self::from_str(&digest.to_string()).expect("a checked digest obeys the wider OCI grammar")
    }
}

/// Computes a digest of bytes as they pass.
#[derive(Clone, Debug)]
pub struct Hasher(State);

#[derive(Clone, Debug)]
enum State {
    Sha256(Sha256),
    Sha512(Box<Sha512>),
}

impl Hasher {
    /// Starts a sha256 sum.
    pub fn sha256() -> Self {
        Self(State::Sha256(Sha256::new()))
    }

    /// Starts a sum with the algorithm of `digest`, so that the two can be compared.
    pub fn for_digest(digest: &Digest) -> Self {
        match digest.algorithm {
            Algorithm::Sha256 => Self::sha256(),
            Algorithm::Sha512 => Self(State::Sha512(Box::default())),
        }
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(sum) => sum.update(bytes),
            State::Sha512(sum) => sum.update(bytes),
        }
    }

    /// Returns the digest of all bytes added.
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Sha256(sum) => Digest::from_bytes(Algorithm::Sha256, &sum.finalize()),
            State::Sha512(sum) => Digest::from_bytes(Algorithm::Sha512, &sum.finalize()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn known_sums() {
        assert_eq!(Digest::sha256_of(b"").to_string(), EMPTY);
        let sha512 = "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
        let wanted = Digest::parse(sha512).expect("a sha512 digest");
        let mut hasher = Hasher::for_digest(&wanted);
        hasher.update(b"a");
        hasher.update(b"bc");
        assert_eq!(hasher.finish(), wanted);
    }

    #[test]
    fn parts() {
        let digest = Digest::parse(EMPTY).expect("a sha256 digest");
        assert_eq!(digest.algorithm(), "sha256");
        assert_eq!(digest.short(), "e3b0c44298fc");
        assert_eq!(digest.hex().len(), 64);
        assert_eq!(format!("{digest:?}"), EMPTY);
        let bytes = digest.sha256_bytes().expect("32 bytes");
        assert_eq!(bytes[..2], [0xe3, 0xb0]);
        assert_eq!(Digest::from_sha256_bytes(bytes), digest);
        assert_eq!(oci::Digest::from(&digest).as_ref(), EMPTY);
    }

    #[test]
    fn wrong_texts_are_refused() {
        for text in [
            "",
            "sha256",
            "sha256:",
            ":e3b0",
            "../blobs:x",
            "md5:d41d8cd98f00b204e9800998ecf8427e",
            "SHA256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "sha256:E3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85",
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b8555",
            "sha256:../../../../../../../../../../../../../../../../../../../../../x",
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b8é",
            "sha512:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ] {
            assert!(Digest::parse(text).is_err(), "{text:?} was accepted");
        }
        let long = "x".repeat(1_000_000);
        let message = Digest::parse(&long).expect_err("no colon").to_string();
        assert!(message.len() < 400, "{} bytes of message", message.len());
    }

    #[test]
    fn the_place_is_named() {
        let text = EMPTY.replace("b855", "b85g");
        assert_eq!(
            Digest::parse(&text).expect_err("g is no digit"),
            DigestError::Character {
                position: 70,
                character: 'g',
                text,
            }
        );
    }

    #[test]
    fn json_is_a_string() {
        let digest: Digest = serde_json::from_str(&format!("\"{EMPTY}\"")).expect("a digest");
        assert_eq!(
            serde_json::to_string(&digest).expect("JSON"),
            format!("\"{EMPTY}\"")
        );
        assert!(serde_json::from_str::<Digest>("\"sha256:../x\"").is_err());
    }
}
