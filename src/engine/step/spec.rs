//! What a RUN is to the launcher: the OCI runtime specification's words. Docker's defaults, but for what is said here.
//!
//! The program has the host's network unless `--network=none`: there is no bridge. It has all else of its own.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;

use coracle_packager::build::{Refusal, RunStep};
use coracle_runtime::sandbox::native::oci::Spec;
use coracle_runtime::sandbox::native::seccomp::Profile;
use coracle_runtime::sys;
use serde_json::{Value, json};

use super::{From, Ready};

/// Docker's default capabilities.
const CAPABILITIES: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// What the kernel shows of the host: Docker's list.
const MASKED: [&str; 10] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];

/// What changes the whole host: Docker's list.
const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// The host name, the same for every build: a program may write it into what it makes.
const HOSTNAME: &str = "buildkitsandbox";

/// Bytes of the host's resolv.conf.
const MAX_RESOLV: u64 = 64 << 10;

/// Returns the small files of `/etc` that the program sees in place of the image's.
pub(super) fn host_files(with_network: bool) -> Vec<(&'static str, Vec<u8>)> {
    let hosts =
        format!("127.0.0.1\tlocalhost {HOSTNAME}\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    let mut files = vec![("hosts", hosts.into_bytes())];
    let mut resolv = Vec::new();
    let read = File::open("/etc/resolv.conf")
        .and_then(|file| file.take(MAX_RESOLV).read_to_end(&mut resolv));
    if with_network && read.is_ok() {
        files.push(("resolv.conf", resolv));
    }
    files
}

/// Makes the specification.
pub(super) fn of(
    step: &RunStep<'_>,
    env: &[String],
    mounts: &[Ready],
    with_network: bool,
) -> Result<Spec, Refusal> {
    let mut env = env.to_vec();
    for (name, value) in [
        (
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ),
        ("HOSTNAME", HOSTNAME),
        ("HOME", &step.home),
    ] {
        if !env
            .iter()
            .any(|entry| entry.split('=').next() == Some(name))
        {
            env.push(format!("{name}={value}"));
        }
    }
    let (uid, gid) = step.owner;
    if !sys::is_root() && (uid, gid) != (0, 0) {
        return Err("without root's rights, a build has only the user root".into());
    }
    let mut namespaces = vec!["pid", "mount", "ipc", "uts", "cgroup"];
    if !with_network {
        namespaces.push("network");
    }
    let mut linux = json!({
        "maskedPaths": MASKED,
        "readonlyPaths": READ_ONLY,
        "seccomp": Profile::docker_default().resolve(
            &CAPABILITIES.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>(),
            kernel(),
        ),
    });
    if !sys::is_root() {
        namespaces.push("user");
        let one = |id: u32| json!([{ "containerID": 0, "hostID": id, "size": 1 }]);
        linux["uidMappings"] = one(rustix::process::geteuid().as_raw());
        linux["gidMappings"] = one(rustix::process::getegid().as_raw());
    }
    linux["namespaces"] = namespaces
        .iter()
        .map(|kind| json!({ "type": kind }))
        .collect();
    let spec = json!({
        "ociVersion": "1.2.0",
        "hostname": HOSTNAME,
        "root": { "path": "rootfs", "readonly": false },
        "process": {
            "terminal": false,
            "user": { "uid": uid, "gid": gid },
            "args": step.action.argv,
            "env": env,
            "cwd": step.action.workdir,
            "capabilities": {
                "bounding": CAPABILITIES,
                "effective": CAPABILITIES,
                "permitted": CAPABILITIES,
            },
        },
        "mounts": all_mounts(mounts, with_network),
        "linux": linux,
    });
    Ok(serde_json::from_value(spec)?)
}

fn all_mounts(mounts: &[Ready], with_network: bool) -> Vec<Value> {
    let tmpfs = |target: &str, options: &[&str]| json!({ "destination": target, "type": "tmpfs", "source": "tmpfs", "options": options });
    // A sysfs of its own needs a network of its own.
    let sys = match with_network && !sys::is_root() {
        true => {
            json!({ "destination": "/sys", "type": "none", "source": "/sys", "options": ["rbind", "nosuid", "noexec", "nodev", "ro"] })
        }
        false => {
            json!({ "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"] })
        }
    };
    let mut all = vec![
        json!({ "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"] }),
        tmpfs(
            "/dev",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        json!({ "destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"] }),
        tmpfs(
            "/dev/shm",
            &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
        ),
        json!({ "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"] }),
        sys,
    ];
    for mount in mounts {
        all.push(match &mount.from {
            From::Host { path, writable } => {
                let access = if *writable { "rw" } else { "ro" };
                json!({ "destination": mount.target, "type": "none", "source": path, "options": ["rbind", access, "rprivate"] })
            }
            From::Tmpfs { size } => {
                let size = size.map(|size| format!("size={size}"));
                let options: Vec<&str> = ["nosuid", "nodev", "mode=1777"]
                    .into_iter()
                    .chain(size.as_deref())
                    .collect();
                tmpfs(&mount.target, &options)
            }
        });
    }
    all
}

/// The kernel's version, as far as profiles look at it; 0 if it cannot be read.
fn kernel() -> (u32, u32) {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = text
        .split(|letter: char| !letter.is_ascii_digit())
        .map(|number| number.parse().unwrap_or_default());
    (
        numbers.next().unwrap_or_default(),
        numbers.next().unwrap_or_default(),
    )
}
