//! What a container is: decided at create, frozen from then on.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Backend, ContainerError, HealthCheck, RestartPolicy};
use crate::policy::Policy;
use crate::vfs::TmpfsOptions;

/// Identifies a container: 32 random bytes, written as 64 lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Id(String);

impl Id {
    const HEX_DIGITS: usize = 64;

    /// Makes an id from 32 random bytes.
    pub fn from_random(bytes: [u8; 32]) -> Self {
        use std::fmt::Write;
        let mut hex = String::with_capacity(Self::HEX_DIGITS);
        for byte in bytes {
            write!(hex, "{byte:02x}").expect("writing to a String cannot fail");
        }
        Self(hex)
    }

    /// Returns all 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the first 12 digits, as lists show them.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl FromStr for Id {
    type Err = ContainerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == Self::HEX_DIGITS && text.bytes().all(hex) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ContainerError::InvalidId {
                text: text.to_owned(),
            })
        }
    }
}

impl TryFrom<String> for Id {
    type Error = ContainerError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names a container for people: `[a-zA-Z0-9][a-zA-Z0-9_.-]*`, Docker's rule, at most 200 bytes so that it fits a file name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    const LONGEST: usize = 200;

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = ContainerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = text.bytes();
        let first = bytes
            .next()
            .is_some_and(|byte| byte.is_ascii_alphanumeric());
        let rest =
            bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
        // Docker asks for two characters at least; so one script runs on both.
        if first && rest && text.len() >= 2 && text.len() <= Self::LONGEST {
            Ok(Self(text.to_owned()))
        } else {
            Err(ContainerError::InvalidName {
                text: text.to_owned(),
            })
        }
    }
}

impl TryFrom<String> for Name {
    type Error = ContainerError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A host directory or file that the guest sees, a volume, or a file system in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountConfig {
    /// Absolute host path; empty for memory, and for a volume that has no place yet.
    pub source: String,
    /// Absolute guest path.
    pub target: String,
    /// Is the guest kept from changing it?
    pub read_only: bool,
    /// Is it memory? How it begins then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tmpfs: Option<TmpfsOptions>,
    /// Is it a volume, whose files stay when the container goes? Then `source` is where they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<VolumeConfig>,
}

/// Which volume is mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeConfig {
    /// The volume's name; empty until one was made up.
    pub name: String,
    /// Was it made for this container, and has no name that anybody chose?
    #[serde(default, skip_serializing_if = "is_false")]
    pub anonymous: bool,
    /// Does it begin empty, whatever the image has in its place?
    #[serde(default, skip_serializing_if = "is_false")]
    pub no_copy: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// A port that the guest listens on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortConfig {
    /// The port as the guest sees it.
    pub guest: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// Where the host listens for it, if it was published.
    pub host: Option<SocketAddr>,
}

/// What a container is: decided at create, frozen from then on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerConfig {
    /// Version of this format; 1.
    pub version: u32,
    /// The container's id.
    pub id: Id,
    /// The container's name.
    pub name: Name,
    /// When it was created, in seconds since 1970.
    pub created: i64,
    /// Is it removed as soon as its guest ends?
    pub auto_remove: bool,
    /// The image as the user named it.
    pub image: String,
    /// Digest of the image's manifest; keeps its blobs from being collected.
    pub manifest: String,
    /// Digest of the image's config: the image ID.
    pub image_id: String,
    /// The program and its arguments.
    pub args: Vec<String>,
    /// The function of the program that is called with these arguments, instead of starting it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoke: Option<String>,
    /// Environment, each `NAME=value`.
    pub env: Vec<String>,
    /// Working directory.
    pub cwd: String,
    /// Host directories and files that were granted.
    pub mounts: Vec<MountConfig>,
    /// Is the caller's standard input passed on?
    pub open_stdin: bool,
    /// Does it end when the first who was attached leaves?
    #[serde(default)]
    pub stdin_once: bool,
    /// Is everything read-only but the mounts?
    pub read_only: bool,
    /// What was granted, beside what the fields above say.
    #[serde(default)]
    pub policy: Policy,
    /// The ports that it listens on, as far as that is known.
    #[serde(default)]
    pub ports: Vec<PortConfig>,
    /// Bytes that its own files may take, names included; see [`crate::vfs::GuestFsBuilder::upper_limit`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_limit: Option<u64>,
    /// Was a terminal asked for?
    #[serde(default)]
    pub tty: bool,
    /// How much of what the guest says is kept.
    #[serde(default)]
    pub log: crate::logs::LogConfig,
    /// The signal that asks it to end; `SIGTERM` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// How long it may take to end, in seconds, before it is killed; 10 if absent, for ever if negative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// When it is started again.
    #[serde(default)]
    pub restart: RestartPolicy,
    /// How it is asked whether it is well, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthCheck>,
    /// What runs its program.
    #[serde(default, skip_serializing_if = "Backend::is_wasm")]
    pub backend: Backend,
    /// Labels: the image's, then the user's.
    pub labels: std::collections::BTreeMap<String, String>,
}

impl ContainerConfig {
    /// The version that this code writes and reads.
    pub const VERSION: u32 = 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_follows_dockers_rule() {
        for good in ["ab", "a_b", "A.b-c", "0x"] {
            assert_eq!(good.parse::<Name>().expect(good).as_str(), good);
        }
        for bad in [
            "",
            "a",
            "_a",
            ".a",
            "-a",
            "a/b",
            "a b",
            "../x",
            "a\0",
            "ä1",
            &"a".repeat(201),
        ] {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_record_from_before_there_were_policies_is_read() {
        let id = "ab".repeat(32);
        let old = format!(
            r#"{{"version":1,"id":"{id}","name":"old","created":0,"auto_remove":false,"image":"i","manifest":"m","image_id":"d",
            "args":["/a"],"env":[],"cwd":"/","mounts":[],"open_stdin":false,"read_only":false,"labels":{{}}}}"#
        );
        let config: ContainerConfig = serde_json::from_str(&old).expect("the old form");
        assert_eq!(config.policy, Policy::default());
        let again = serde_json::to_string(&config).expect("serialises");
        let again: ContainerConfig = serde_json::from_str(&again).expect("its own form");
        assert_eq!(again, config);
    }

    #[test]
    fn an_id_is_64_hex_digits() {
        let id = Id::from_random([0xab; 32]);
        assert_eq!(id.as_str().parse::<Id>().expect("its own text"), id);
        assert_eq!(id.short(), "abababababab");
        for bad in [
            "",
            "ab",
            &"g".repeat(64),
            &"A".repeat(64),
            &"../".repeat(22)[..64],
        ] {
            assert!(bad.parse::<Id>().is_err(), "{bad:?}");
        }
    }
}
