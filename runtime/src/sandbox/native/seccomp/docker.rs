//! Profiles in Docker's format: the specification's, with conditions on capabilities, architecture and kernel.
//!
//! `docker-default.json` is Docker's own default profile, unchanged, from moby 20.10.24 as in Debian's package
//! golang-github-docker-docker-dev (Apache-2.0, Copyright The Moby Authors). What Docker has changed since is below.

use std::collections::BTreeSet;

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompBuilder, LinuxSeccompFilterFlag, LinuxSeccompOperator, LinuxSyscallBuilder,
};
use serde::Deserialize;

const DEFAULT: &str = include_str!("docker-default.json");

/// Docker 25 took them out: too many holes in too few years.
const REMOVED: [&str; 3] = ["io_uring_enter", "io_uring_register", "io_uring_setup"];
/// Harmless calls that came with later kernels and that later versions of Docker allow.
const ADDED: [&str; 14] = [
    "cachestat",
    "fchmodat2",
    "futex_requeue",
    "futex_wait",
    "futex_wake",
    "futex_waitv",
    "getxattrat",
    "listxattrat",
    "map_shadow_stack",
    "memfd_secret",
    "mseal",
    "process_mrelease",
    "removexattrat",
    "setxattrat",
];
/// Docker 23 lets no container open sockets to the virtual machine's host.
const AF_VSOCK: u64 = 40;

/// Why a text is no profile.
#[derive(Debug, thiserror::Error)]
#[error("parsing a seccomp profile: {0}")]
pub struct ProfileError(#[from] serde_json::Error);

/// A profile in Docker's format.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Profile {
    default_action: LinuxSeccompAction,
    #[serde(default)]
    default_errno_ret: Option<u32>,
    #[serde(default)]
    architectures: Vec<Arch>,
    #[serde(default)]
    arch_map: Option<Vec<Architecture>>,
    #[serde(default)]
    flags: Vec<LinuxSeccompFilterFlag>,
    #[serde(default)]
    listener_path: String,
    #[serde(default)]
    listener_metadata: String,
    #[serde(default)]
    syscalls: Option<Vec<Entry>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Architecture {
    architecture: Arch,
    #[serde(default)]
    sub_architectures: Option<Vec<Arch>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    #[serde(default)]
    name: String,
    #[serde(default)]
    names: Vec<String>,
    action: LinuxSeccompAction,
    #[serde(default)]
    errno_ret: Option<u32>,
    #[serde(default)]
    errno: Option<String>,
    #[serde(default)]
    args: Option<Vec<LinuxSeccompArg>>,
    #[serde(default)]
    comment: String,
    #[serde(default)]
    includes: Conditions,
    #[serde(default)]
    excludes: Conditions,
}

/// When an entry counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Conditions {
    #[serde(default)]
    caps: Vec<String>,
    #[serde(default)]
    arches: Vec<String>,
    #[serde(default)]
    min_kernel: Option<String>,
}

impl Profile {
    /// Parses a profile, in Docker's format or the specification's, which is a part of it.
    ///
    /// # Errors
    ///
    /// What the text holds and a profile has not: an unknown field would be a rule that nobody enforces.
    pub fn parse(text: &str) -> Result<Self, ProfileError> {
        Ok(serde_json::from_str(text)?)
    }

    /// Returns Docker's default profile.
    #[expect(
        clippy::missing_panics_doc,
        reason = "the text is part of the program and a test reads it"
    )]
    pub fn docker_default() -> Self {
        let mut profile = Self::parse(DEFAULT).expect("the profile is part of the program");
        let entries = profile.syscalls.get_or_insert_default();
        for entry in entries.iter_mut() {
            entry
                .names
                .retain(|name| !REMOVED.contains(&name.as_str()) && name != "socket");
        }
        let allow = |names: &[&str], args| Entry {
            name: String::new(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            action: LinuxSeccompAction::ScmpActAllow,
            errno_ret: None,
            errno: None,
            args,
            comment: String::new(),
            includes: Conditions::default(),
            excludes: Conditions::default(),
        };
        let elsewhere = LinuxSeccompArgBuilder::default()
            .index(0_usize)
            .value(AF_VSOCK)
            .op(LinuxSeccompOperator::ScmpCmpNe)
            .build()
            .expect("all fields have defaults");
        entries.push(allow(&ADDED, None));
        entries.push(allow(&["socket"], Some(vec![elsewhere])));
        profile
    }

    /// Resolves the conditions: what the container's bounding capabilities, such as `CAP_CHOWN`, this machine's architecture
    /// and the kernel's version allow.
    #[expect(
        clippy::missing_panics_doc,
        reason = "the builders' fields all have defaults"
    )]
    pub fn resolve(&self, capabilities: &BTreeSet<String>, kernel: (u32, u32)) -> LinuxSeccomp {
        // Go's names, which are Docker's.
        let (arch, native) = match std::env::consts::ARCH {
            "aarch64" => ("arm64", Arch::ScmpArchAarch64),
            _ => ("amd64", Arch::ScmpArchX86_64),
        };
        let mut architectures = self.architectures.clone();
        for one in self.arch_map.iter().flatten() {
            if one.architecture == native {
                architectures.push(native);
                architectures.extend(one.sub_architectures.iter().flatten());
            }
        }
        let counts = |entry: &&Entry| {
            let Entry {
                includes, excludes, ..
            } = entry;
            let is_here = |name: &String| name == arch;
            let has = |capability: &String| capabilities.contains(capability);
            (includes.arches.is_empty() || includes.arches.iter().any(is_here))
                && !excludes.arches.iter().any(is_here)
                && includes.caps.iter().all(has)
                && !excludes.caps.iter().any(has)
                && includes
                    .min_kernel
                    .as_deref()
                    .is_none_or(|least| kernel >= version(least))
                && excludes
                    .min_kernel
                    .as_deref()
                    .is_none_or(|least| kernel < version(least))
        };
        let entries = self.syscalls.iter().flatten().filter(counts);
        let syscalls: Vec<_> = entries
            .map(|entry| {
                let mut names = entry.names.clone();
                if !entry.name.is_empty() {
                    names.push(entry.name.clone());
                }
                let mut call = LinuxSyscallBuilder::default()
                    .names(names)
                    .action(entry.action);
                if let Some(number) = entry.errno_ret {
                    call = call.errno_ret(number);
                }
                if let Some(args) = entry.args.clone().filter(|args| !args.is_empty()) {
                    call = call.args(args);
                }
                call.build().expect("all fields are given")
            })
            .collect();
        let mut resolved = LinuxSeccompBuilder::default()
            .default_action(self.default_action)
            .architectures(architectures)
            .syscalls(syscalls);
        if let Some(number) = self.default_errno_ret {
            resolved = resolved.default_errno_ret(number);
        }
        if !self.flags.is_empty() {
            resolved = resolved.flags(self.flags.clone());
        }
        if !self.listener_path.is_empty() {
            resolved = resolved.listener_path(&self.listener_path);
        }
        resolved.build().expect("all fields have defaults")
    }
}

/// The first two numbers of a version; what is none counts as never reached.
fn version(text: &str) -> (u32, u32) {
    let mut parts = text.split('.').map(|part| part.parse().unwrap_or(u32::MAX));
    let major = parts.next().unwrap_or(u32::MAX);
    (major, parts.next().unwrap_or(0))
}
