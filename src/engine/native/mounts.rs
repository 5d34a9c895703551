//! What is mounted in a container: the kernel's file systems, three small files of ours, and what was granted.

use std::path::{Path, PathBuf};

use coracle_runtime::container::{MountConfig, Namespace};
use coracle_runtime::vfs::TmpfsOptions;
use oci_spec::runtime::{Mount, MountBuilder};

use super::SpecError;
use super::spec::Inputs;

/// Bytes of `/dev/shm` where nothing else is said: Docker's.
const SHM_BYTES: u64 = 64 << 20;

/// Returns all mounts, in the order in which they are made. What was granted takes the place of what would be there otherwise.
pub(super) fn all(inputs: &Inputs<'_>) -> Result<Vec<Mount>, SpecError> {
    let mut own = kernels(inputs)?;
    own.extend(shared_memory(inputs)?);
    own.extend(files(inputs)?);
    let granted = &inputs.config.mounts;
    own.retain(|mount| {
        !granted
            .iter()
            .any(|granted| clean(&granted.target) == *mount.destination())
    });
    let mut granted: Vec<&MountConfig> = granted.iter().collect();
    // What lies deeper comes later, or it would be hidden.
    granted.sort_by_key(|mount| clean(&mount.target).components().count());
    for mount in granted {
        own.push(of_config(mount)?);
    }
    Ok(own)
}

/// The kernel's own file systems, as in Docker. Order and options are what runc's documentation and the runtime specification
/// (config-linux.md, "Default Filesystems") ask for.
fn kernels(inputs: &Inputs<'_>) -> Result<Vec<Mount>, SpecError> {
    let access = if inputs.native.privileged { "rw" } else { "ro" };
    // Rootless with one user there is no group 5.
    let terminals = match inputs.maps_group(5) {
        true => "newinstance ptmxmode=0666 mode=0620 gid=5",
        false => "newinstance ptmxmode=0666 mode=0620",
    };
    let mut mounts = vec![
        mount("/proc", "proc", "proc", "nosuid noexec nodev")?,
        mount(
            "/dev",
            "tmpfs",
            "tmpfs",
            "nosuid strictatime mode=755 size=65536k",
        )?,
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &format!("nosuid noexec {terminals}"),
        )?,
    ];
    let has_own_network = !inputs.has_hosts_network();
    if inputs.mapping.is_none() || has_own_network {
        mounts.push(mount(
            "/sys",
            "sysfs",
            "sysfs",
            &format!("nosuid noexec nodev {access}"),
        )?);
    } else {
        // The kernel gives its own sysfs only to who owns the network.
        mounts.push(mount(
            "/sys",
            "none",
            "/sys",
            "rbind nosuid noexec nodev ro",
        )?);
    }
    if inputs.mapping.is_none() {
        let options = format!("nosuid noexec nodev {access}");
        mounts.push(mount("/sys/fs/cgroup", "cgroup", "cgroup", &options)?);
    }
    Ok(mounts)
}

fn shared_memory(inputs: &Inputs<'_>) -> Result<Vec<Mount>, SpecError> {
    let native = inputs.native;
    if native.ipc == Namespace::Private {
        let size = native.shm_size.unwrap_or(SHM_BYTES);
        let options = format!("nosuid noexec nodev mode=1777 size={size}");
        return Ok(vec![
            mount("/dev/mqueue", "mqueue", "mqueue", "nosuid noexec nodev")?,
            mount("/dev/shm", "tmpfs", "shm", &options)?,
        ]);
    }
    let of_host = |path: &str| mount(path, "bind", path, "rbind rprivate nosuid noexec nodev");
    Ok(vec![of_host("/dev/mqueue")?, of_host("/dev/shm")?])
}

fn files(inputs: &Inputs<'_>) -> Result<Vec<Mount>, SpecError> {
    let file = |target: &str, source: &Path| -> Result<Mount, SpecError> {
        mount(
            target,
            "bind",
            &source.display().to_string(),
            "rbind rprivate",
        )
    };
    let files = inputs.files;
    Ok(vec![
        file("/etc/resolv.conf", &files.resolv_conf)?,
        file("/etc/hostname", &files.hostname)?,
        file("/etc/hosts", &files.hosts)?,
    ])
}

fn of_config(granted: &MountConfig) -> Result<Mount, SpecError> {
    let access = if granted.read_only { "ro" } else { "rw" };
    match granted.tmpfs {
        Some(options) => {
            let TmpfsOptions {
                size,
                mode,
                uid,
                gid,
            } = options;
            let mut text = format!("nosuid nodev noexec {access} size={size} mode={mode:o}");
            for (name, number) in [("uid", uid), ("gid", gid)] {
                if number != 0 {
                    text.push_str(&format!(" {name}={number}"));
                }
            }
            mount(&granted.target, "tmpfs", "tmpfs", &text)
        }
        None => {
            let options = format!("rbind rprivate {access}");
            mount(&granted.target, "bind", &granted.source, &options)
        }
    }
}

fn mount(target: &str, kind: &str, source: &str, options: &str) -> Result<Mount, SpecError> {
    let options: Vec<String> = options.split(' ').map(str::to_owned).collect();
    Ok(MountBuilder::default()
        .destination(clean(target))
        .typ(kind)
        .source(source)
        .options(options)
        .build()?)
}

/// Makes one spelling of all that mean the same place: no `.`, no doubled or trailing slash.
fn clean(path: &str) -> PathBuf {
    Path::new(path).components().collect()
}

#[cfg(test)]
mod tests {
    use super::super::spec::tests::{Case, options_of};
    use super::*;

    fn targets(case: &Case) -> Vec<String> {
        let mounts = all(&case.inputs()).expect("valid");
        mounts
            .iter()
            .map(|mount| mount.destination().display().to_string())
            .collect()
    }

    fn bind(target: &str, read_only: bool) -> MountConfig {
        MountConfig {
            source: "/host".to_owned(),
            target: target.to_owned(),
            read_only,
            tmpfs: None,
            volume: None,
        }
    }

    #[test]
    fn the_usual_ones() {
        assert_eq!(
            targets(&Case::default()),
            [
                "/proc",
                "/dev",
                "/dev/pts",
                "/sys",
                "/sys/fs/cgroup",
                "/dev/mqueue",
                "/dev/shm",
                "/etc/resolv.conf",
                "/etc/hostname",
                "/etc/hosts"
            ]
        );
    }

    #[test]
    fn what_is_granted_comes_instead_and_outermost_first() {
        let mut case = Case::default();
        case.config.mounts = vec![
            bind("/a/b/c", true),
            bind("/a", false),
            bind("/etc//hosts/", false),
            bind("/dev/shm", false),
        ];
        let targets = targets(&case);
        assert_eq!(targets.len(), 12);
        assert_eq!(targets[8..], ["/a", "/etc/hosts", "/dev/shm", "/a/b/c"]);
        let mounts = all(&case.inputs()).expect("valid");
        assert_eq!(options_of(&mounts, "/a/b/c"), "rbind rprivate ro");
        assert_eq!(options_of(&mounts, "/a"), "rbind rprivate rw");
    }

    #[test]
    fn memory_and_its_size() {
        let mut case = Case::default();
        case.native.shm_size = Some(1 << 20);
        case.config.mounts = vec![MountConfig {
            tmpfs: Some(TmpfsOptions {
                size: 4096,
                mode: 0o700,
                uid: 7,
                gid: 0,
            }),
            source: String::new(),
            ..bind("/run", false)
        }];
        let mounts = all(&case.inputs()).expect("valid");
        assert_eq!(
            options_of(&mounts, "/dev/shm"),
            "nosuid noexec nodev mode=1777 size=1048576"
        );
        assert_eq!(
            options_of(&mounts, "/run"),
            "nosuid nodev noexec rw size=4096 mode=700 uid=7"
        );
    }

    #[test]
    fn privileged_may_change_the_kernels_settings() {
        let mut case = Case::default();
        let mounts = all(&case.inputs()).expect("valid");
        assert!(options_of(&mounts, "/sys").ends_with(" ro"));
        assert!(options_of(&mounts, "/sys/fs/cgroup").ends_with(" ro"));
        case.native.privileged = true;
        let mounts = all(&case.inputs()).expect("valid");
        assert!(options_of(&mounts, "/sys").ends_with(" rw"));
    }
}
