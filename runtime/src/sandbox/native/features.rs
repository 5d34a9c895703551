//! What of the specification is supported, in its own form, and a configuration to begin with.

use oci_spec::runtime::{Arch, LinuxNamespaceType, LinuxSeccompAction, Spec};
use serde::Serialize;

/// features.md of the specification.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Features {
    oci_version_min: &'static str,
    oci_version_max: &'static str,
    hooks: [&'static str; 6],
    mount_options: Vec<String>,
    linux: LinuxFeatures,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LinuxFeatures {
    namespaces: [LinuxNamespaceType; 7],
    capabilities: Vec<String>,
    cgroup: CgroupFeatures,
    seccomp: SeccompFeatures,
    apparmor: Switch,
    selinux: Switch,
    intel_rdt: Switch,
    net_devices: Switch,
    mount_extensions: MountExtensions,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CgroupFeatures {
    v1: bool,
    v2: bool,
    systemd: bool,
    systemd_user: bool,
    rdma: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SeccompFeatures {
    enabled: bool,
    actions: [LinuxSeccompAction; 8],
    operators: [&'static str; 7],
    archs: Vec<Arch>,
    known_flags: [&'static str; 4],
    supported_flags: [&'static str; 3],
}

#[derive(Debug, Serialize)]
struct Switch {
    enabled: bool,
}

#[derive(Debug, Serialize)]
struct MountExtensions {
    idmap: Switch,
}

/// Returns what is supported.
pub fn features() -> Features {
    use LinuxNamespaceType::{Cgroup, Ipc, Mount, Network, Pid, User, Uts};
    use LinuxSeccompAction as Action;
    let words = [
        "ro",
        "rw",
        "nosuid",
        "suid",
        "nodev",
        "dev",
        "noexec",
        "exec",
        "noatime",
        "atime",
        "relatime",
        "norelatime",
        "strictatime",
        "nostrictatime",
        "nodiratime",
        "diratime",
        "nosymfollow",
        "symfollow",
    ];
    let mut mount_options: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    mount_options.extend(words.iter().map(|word| format!("r{word}")));
    for word in ["private", "slave", "shared", "unbindable", "bind"] {
        mount_options.extend([word.to_owned(), format!("r{word}")]);
    }
    mount_options.push("defaults".to_owned());
    mount_options.sort();
    let no = || Switch { enabled: false };
    Features {
        oci_version_min: "1.0.0",
        oci_version_max: super::VERSION,
        hooks: [
            "prestart",
            "createRuntime",
            "createContainer",
            "startContainer",
            "poststart",
            "poststop",
        ],
        mount_options,
        linux: LinuxFeatures {
            namespaces: [Cgroup, Ipc, Mount, Network, Pid, User, Uts],
            capabilities: super::capability::names(),
            cgroup: CgroupFeatures {
                v1: true,
                v2: true,
                systemd: false,
                systemd_user: false,
                rdma: true,
            },
            seccomp: SeccompFeatures {
                enabled: true,
                actions: [
                    Action::ScmpActAllow,
                    Action::ScmpActErrno,
                    Action::ScmpActKill,
                    Action::ScmpActKillProcess,
                    Action::ScmpActKillThread,
                    Action::ScmpActLog,
                    Action::ScmpActTrace,
                    Action::ScmpActTrap,
                ],
                operators: [
                    "SCMP_CMP_NE",
                    "SCMP_CMP_LT",
                    "SCMP_CMP_LE",
                    "SCMP_CMP_EQ",
                    "SCMP_CMP_GE",
                    "SCMP_CMP_GT",
                    "SCMP_CMP_MASKED_EQ",
                ],
                archs: if cfg!(target_arch = "aarch64") {
                    vec![Arch::ScmpArchAarch64, Arch::ScmpArchArm]
                } else {
                    vec![Arch::ScmpArchX86, Arch::ScmpArchX86_64, Arch::ScmpArchX32]
                },
                known_flags: [
                    "SECCOMP_FILTER_FLAG_TSYNC",
                    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
                    "SECCOMP_FILTER_FLAG_LOG",
                    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
                ],
                supported_flags: [
                    "SECCOMP_FILTER_FLAG_TSYNC",
                    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
                    "SECCOMP_FILTER_FLAG_LOG",
                ],
            },
            apparmor: no(),
            selinux: no(),
            intel_rdt: no(),
            net_devices: no(),
            mount_extensions: MountExtensions { idmap: no() },
        },
    }
}

/// Returns a configuration that runs `sh` in a root called `rootfs`; for these user and group, or for root.
pub fn default_spec(user: Option<(u32, u32)>) -> Spec {
    let mut spec = match user {
        Some((user, group)) => Spec::rootless(user, group),
        None => Spec::default(),
    };
    spec.set_hostname(Some("coracle".to_owned()));
    if let Some(process) = spec.process_mut() {
        process.set_no_new_privileges(Some(true));
    }
    spec.set_version(super::VERSION.to_owned());
    spec
}
