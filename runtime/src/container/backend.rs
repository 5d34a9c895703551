//! What runs a container's program, and what only a Linux container is told.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What runs the program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    /// The WebAssembly sandbox.
    #[default]
    Wasm,
    /// The Linux kernel, in namespaces.
    Native(Box<NativeConfig>),
}

impl Backend {
    /// Is it the WebAssembly sandbox?
    pub fn is_wasm(&self) -> bool {
        matches!(self, Self::Wasm)
    }

    /// Returns what a Linux container is told.
    pub fn native(&self) -> Option<&NativeConfig> {
        match self {
            Self::Wasm => None,
            Self::Native(native) => Some(native),
        }
    }
}

/// What only a Linux container is told, as it was asked for: Docker's flags of the same names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NativeConfig {
    /// User name or number, and group after a `:`; root if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// More groups, by name or number.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Host name; the beginning of the ID if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Domain name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domainname: Option<String>,
    /// Capabilities beyond the usual ones, or `ALL`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cap_add: Vec<String>,
    /// Usual capabilities that it does not get, or `ALL`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cap_drop: Vec<String>,
    /// Has it all capabilities and devices, and no mask, profile or filter?
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub privileged: bool,
    /// How it is confined.
    #[serde(skip_serializing_if = "Security::is_default")]
    pub security: Security,
    /// Devices of the host that it may use.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceConfig>,
    /// Limits of each process.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ulimits: Vec<Ulimit>,
    /// Kernel parameters of its namespaces.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    /// Bytes of `/dev/shm`; 64 MiB if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shm_size: Option<u64>,
    /// Whose interprocess communication it sees.
    #[serde(skip_serializing_if = "Namespace::is_private")]
    pub ipc: Namespace,
    /// Whose processes it sees.
    #[serde(skip_serializing_if = "Namespace::is_private")]
    pub pid: Namespace,
    /// Whose host name it has.
    #[serde(skip_serializing_if = "Namespace::is_private")]
    pub uts: Namespace,
    /// Whose control groups it sees.
    #[serde(skip_serializing_if = "Namespace::is_private")]
    pub cgroup: Namespace,
    /// Whose network it has, if another container's.
    #[serde(skip_serializing_if = "Namespace::is_private")]
    pub network: Namespace,
    /// Are its users those of the host? It has users of its own wherever they are needed and this is not said.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub host_users: bool,
    /// Does a process of ours reap what the program leaves behind, and pass signals on?
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub init: bool,
}

/// How a Linux container is confined.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Security {
    /// May no program gain rights that the first one has not?
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_new_privileges: bool,
    /// Which system calls there are.
    #[serde(skip_serializing_if = "SeccompChoice::is_default")]
    pub seccomp: SeccompChoice,
    /// The AppArmor profile, or `unconfined`; the usual one if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apparmor: Option<String>,
    /// Are the kernel's dangerous files in /proc and /sys left as they are?
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub system_paths_unconfined: bool,
}

impl Security {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Which system calls a Linux container has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeccompChoice {
    /// Those of Docker's profile.
    #[default]
    Default,
    /// All of them.
    Unconfined,
    /// Those of this profile, in Docker's or the OCI's form.
    Profile(String),
}

impl SeccompChoice {
    fn is_default(&self) -> bool {
        *self == Self::Default
    }
}

/// A device of the host's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceConfig {
    /// Its path on the host.
    pub source: String,
    /// Its path in the container.
    pub target: String,
    /// Some of `r`, `w` and `m` (make a node).
    pub access: String,
}

/// A limit of each process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// Its name as Docker writes it, such as `nproc`.
    pub name: String,
    /// What holds; `None` is no limit.
    pub soft: Option<u64>,
    /// How far the program may raise it; `None` is no limit.
    pub hard: Option<u64>,
}

/// Whose namespace a container is in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Namespace {
    /// Its own.
    #[default]
    Private,
    /// The host's.
    Host,
    /// That of the container with this name or ID.
    Container(String),
}

impl Namespace {
    fn is_private(&self) -> bool {
        *self == Self::Private
    }
}

impl NativeConfig {
    /// Returns the first thing that was asked for as a flag, if anything was: a WebAssembly program can have none of it.
    pub fn first_flag(&self) -> Option<&'static str> {
        let private = Namespace::is_private;
        [
            (self.user.is_some(), "--user"),
            (!self.groups.is_empty(), "--group-add"),
            (self.hostname.is_some(), "--hostname"),
            (self.domainname.is_some(), "--domainname"),
            (!self.cap_add.is_empty(), "--cap-add"),
            (!self.cap_drop.is_empty(), "--cap-drop"),
            (self.privileged, "--privileged"),
            (!self.security.is_default(), "--security-opt"),
            (!self.devices.is_empty(), "--device"),
            // How many files are open is held for every program.
            (
                self.ulimits.iter().any(|ulimit| ulimit.name != "nofile"),
                "--ulimit",
            ),
            (!self.sysctls.is_empty(), "--sysctl"),
            (self.shm_size.is_some(), "--shm-size"),
            (!private(&self.ipc), "--ipc"),
            (!private(&self.pid), "--pid"),
            (!private(&self.uts), "--uts"),
            (!private(&self.cgroup), "--cgroupns"),
            (!private(&self.network), "--network"),
            (self.host_users, "--userns"),
        ]
        .into_iter()
        .find_map(|(given, flag)| given.then_some(flag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_holds_what_was_asked_for() {
        assert_eq!(
            serde_json::to_string(&Backend::Wasm).expect("serialises"),
            r#""wasm""#
        );
        let native = NativeConfig {
            user: Some("1:2".to_owned()),
            pid: Namespace::Container("db".to_owned()),
            security: Security {
                seccomp: SeccompChoice::Unconfined,
                ..Security::default()
            },
            ..NativeConfig::default()
        };
        let backend = Backend::Native(Box::new(native));
        let text = serde_json::to_string(&backend).expect("serialises");
        assert_eq!(
            text,
            r#"{"native":{"user":"1:2","security":{"seccomp":"unconfined"},"pid":{"container":"db"}}}"#
        );
        let again: Backend = serde_json::from_str(&text).expect("its own text");
        assert_eq!(again, backend);
    }

    #[test]
    fn the_first_flag_is_named() {
        assert_eq!(NativeConfig::default().first_flag(), None);
        let native = NativeConfig {
            init: true,
            pid: Namespace::Host,
            cap_drop: vec!["ALL".to_owned()],
            ..NativeConfig::default()
        };
        assert_eq!(native.first_flag(), Some("--cap-drop"));
    }
}
