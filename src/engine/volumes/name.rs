//! What a volume may be called.

use std::fmt;
use std::str::FromStr;

use super::VolumeError;

/// Names a volume: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`, Docker's rule, at most 200 bytes so that it fits a file name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumeName(String);

impl VolumeName {
    const LONGEST: usize = 200;

    /// Makes up a name that nobody else has: 64 hex digits, as Docker's anonymous volumes have.
    pub(super) fn anonymous(bytes: [u8; 32]) -> Self {
        Self(
            coracle_runtime::container::Id::from_random(bytes)
                .as_str()
                .to_owned(),
        )
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VolumeName {
    type Err = VolumeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        let first = text.bytes().next();
        if first.is_some_and(|byte| byte.is_ascii_alphanumeric())
            && text.bytes().all(allowed)
            && (2..=Self::LONGEST).contains(&text.len())
        {
            Ok(Self(text.to_owned()))
        } else {
            Err(VolumeError::InvalidName {
                text: text.to_owned(),
            })
        }
    }
}

impl fmt::Display for VolumeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_file_name() {
        for good in ["db", "a_b.c-d", "0x", &"a".repeat(200)] {
            assert_eq!(good.parse::<VolumeName>().expect(good).as_str(), good);
        }
        let name = VolumeName::anonymous([0xab; 32]);
        assert_eq!(name.as_str().parse::<VolumeName>().expect("its own"), name);
        for bad in [
            "",
            "a",
            ".ab",
            "-ab",
            "_ab",
            "a/b",
            "..",
            "a b",
            "a\0b",
            "äb",
            &"a".repeat(201),
        ] {
            assert!(bad.parse::<VolumeName>().is_err(), "{bad:?}");
        }
    }
}
