//! Platforms: which operating system and architecture a program is for, as in `linux/arm64` or `wasi/wasm`.

use std::fmt;
use std::str::FromStr;

use oci_spec::image as oci;

use crate::digest::shown;

/// Longest part of a platform, in bytes. Real ones have at most a dozen; the bound keeps messages readable.
const MAX_PART: usize = 64;

/// Why a text is not a platform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlatformError {
    /// There are not two or three parts.
    #[error(
        "parsing platform {text:?}: got {parts} parts, want os/architecture or os/architecture/variant, such as wasi/wasm or linux/arm64"
    )]
    Parts {
        /// The text, shortened.
        text: String,
        /// Parts between slashes.
        parts: usize,
    },
    /// A part is empty, too long, or has a character other than letters, digits, `.`, `_` and `-`.
    #[error(
        "parsing platform {text:?}: {part:?} is not a name of letters, digits, \".\", \"_\" and \"-\""
    )]
    Part {
        /// The text, shortened.
        text: String,
        /// The wrong part, shortened.
        part: String,
    },
}

/// An operating system, an architecture and, for some architectures, a variant.
///
/// Names are Go's (`amd64`, `arm64`); the usual other spellings (`x86_64`, `aarch64`) are turned into them, so that
/// equal platforms compare equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

impl Platform {
    /// Makes a platform of its parts, in normal spelling. Parts come from checked text or from an image's JSON.
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let os = match os.to_ascii_lowercase().as_str() {
            "macos" => "darwin".to_owned(),
            other => other.to_owned(),
        };
        let architecture = architecture.to_ascii_lowercase();
        let variant = variant.map(str::to_ascii_lowercase);
        let (architecture, variant) = match (architecture.as_str(), variant.as_deref()) {
            ("x86_64" | "x86-64" | "amd64", None | Some("" | "v1")) => ("amd64", None),
            ("x86_64" | "x86-64", given) => ("amd64", given),
            ("aarch64" | "arm64", None | Some("" | "8" | "v8")) => ("arm64", None),
            ("aarch64", given) => ("arm64", given),
            ("armhf", _) => ("arm", Some("v7")),
            ("armel", _) => ("arm", Some("v6")),
            ("arm", None | Some("" | "7")) => ("arm", Some("v7")),
            ("arm", Some("5")) => ("arm", Some("v5")),
            ("arm", Some("6")) => ("arm", Some("v6")),
            (other, Some("")) => (other, None),
            (other, given) => (other, given),
        };
        Self {
            os,
            architecture: architecture.to_owned(),
            variant: variant.map(str::to_owned),
        }
    }

    /// Parses `os/architecture` or `os/architecture/variant`.
    ///
    /// # Errors
    ///
    /// [`PlatformError`] names the text and the wrong part.
    pub fn parse(text: &str) -> Result<Self, PlatformError> {
        let mut parts = text.split('/');
        let named = (parts.next(), parts.next(), parts.next(), parts.next());
        let (Some(os), Some(architecture), variant, None) = named else {
            return Err(PlatformError::Parts {
                text: shown(text),
                parts: text.split('/').count(),
            });
        };
        for part in [Some(os), Some(architecture), variant]
            .into_iter()
            .flatten()
        {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            if part.is_empty() || part.len() > MAX_PART || !part.chars().all(plain) {
                return Err(PlatformError::Part {
                    text: shown(text),
                    part: shown(part),
                });
            }
        }
        Ok(Self::new(os, architecture, variant))
    }

    /// Returns the platform of programs that every host runs: `wasi/wasm`.
    pub fn wasm() -> Self {
        Self::new("wasi", "wasm", None)
    }

    /// Returns the platform that this binary was built for.
    pub fn host() -> Self {
        Self::new(std::env::consts::OS, std::env::consts::ARCH, None)
    }

    /// Returns the operating system, such as `linux` or `wasi`.
    pub fn os(&self) -> &str {
        &self.os
    }

    /// Returns the architecture, such as `amd64` or `wasm`.
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// Returns the variant of the architecture, such as `v7`.
    pub fn variant(&self) -> Option<&str> {
        self.variant.as_deref()
    }

    /// Is the program WebAssembly? The architecture alone tells: seven spellings of `os` are in use.
    pub fn is_wasm(&self) -> bool {
        matches!(self.architecture.as_str(), "wasm" | "wasm32" | "wasm64")
    }

    /// Is it the `unknown/unknown` that marks what is not a program, such as BuildKit's attestations?
    pub fn is_unknown(&self) -> bool {
        self.os == "unknown" && self.architecture == "unknown"
    }

    /// Does a program for this platform run where `wanted` is asked for?
    ///
    /// Wasm matches Wasm whatever the `os` says, except that 64-bit memory is its own architecture. Otherwise all three
    /// parts must be equal: a higher variant than the baseline may use instructions that the host lacks.
    pub fn satisfies(&self, wanted: &Self) -> bool {
        if self.is_wasm() && wanted.is_wasm() {
            let wide = |platform: &Self| platform.architecture == "wasm64";
            return wide(self) == wide(wanted);
        }
        self == wanted
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        Self::parse(text)
    }
}

impl From<&oci::Platform> for Platform {
    fn from(platform: &oci::Platform) -> Self {
        Self::new(
            &platform.os().to_string(),
            &platform.architecture().to_string(),
            platform.variant().as_deref(),
        )
    }
}

impl From<&Platform> for oci::Platform {
    fn from(platform: &Platform) -> Self {
        let mut made = Self::default();
        made.set_os(oci::Os::from(platform.os()));
        made.set_architecture(oci::Arch::from(platform.architecture()));
        made.set_variant(platform.variant.clone());
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        Platform::parse(text).expect(text)
    }

    #[test]
    fn spellings_become_one() {
        for (text, normal) in [
            ("wasi/wasm", "wasi/wasm"),
            ("linux/x86_64", "linux/amd64"),
            ("Linux/AMD64/v1", "linux/amd64"),
            ("linux/amd64/v3", "linux/amd64/v3"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/6", "linux/arm/v6"),
            ("macos/arm64", "darwin/arm64"),
            ("linux/riscv64", "linux/riscv64"),
        ] {
            assert_eq!(platform(text).to_string(), normal, "{text}");
            assert_eq!(platform(normal), platform(text), "{text}");
        }
    }

    #[test]
    fn wrong_texts_are_refused() {
        for text in [
            "",
            "wasm",
            "a/b/c/d",
            "/wasm",
            "wasi/",
            "linux/a b",
            "linux/\u{1b}[0m",
            "linux/arm/",
        ] {
            assert!(Platform::parse(text).is_err(), "{text:?} was accepted");
        }
        let long = format!("linux/{}", "x".repeat(MAX_PART + 1));
        assert!(Platform::parse(&long).is_err());
    }

    #[test]
    fn wasm_is_known_by_its_architecture() {
        for text in ["wasi/wasm", "wasip1/wasm", "linux/wasm32", "js/wasm64"] {
            assert!(platform(text).is_wasm(), "{text}");
        }
        assert!(!platform("wasi/amd64").is_wasm());
        assert!(platform("wasip2/wasm").satisfies(&platform("wasi/wasm")));
        assert!(platform("linux/wasm32").satisfies(&platform("wasi/wasm")));
        assert!(!platform("wasi/wasm64").satisfies(&platform("wasi/wasm")));
        assert!(!platform("linux/amd64/v3").satisfies(&platform("linux/amd64")));
    }

    #[test]
    fn oci_form_round_trips() {
        for text in ["wasi/wasm", "linux/arm/v6", "windows/amd64"] {
            let wanted = platform(text);
            assert_eq!(Platform::from(&oci::Platform::from(&wanted)), wanted);
        }
    }

    #[test]
    fn the_host_has_a_name() {
        let host = Platform::host();
        assert_eq!(Platform::parse(&host.to_string()), Ok(host));
    }
}
