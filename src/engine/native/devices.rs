//! The devices of a container: the few that every one has, and the host's that were granted.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use coracle_runtime::container::DeviceConfig;
use oci_spec::runtime::{
    LinuxDevice, LinuxDeviceBuilder, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType,
};

use super::SpecError;

/// Devices of one folder, or of the whole host for `--privileged`, at most.
const MAX_DEVICES: usize = 1024;
/// Folders within folders of `/dev` that are looked into.
const MAX_DEPTH: usize = 4;

/// A device of the host's, with what may be done with it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Granted {
    pub(super) node: LinuxDevice,
    pub(super) access: String,
}

/// Looks up what `--device` names: a device, or all in a folder.
///
/// # Errors
///
/// It is not there, or no device.
pub(super) fn granted(devices: &[DeviceConfig]) -> Result<Vec<Granted>, SpecError> {
    let mut all = Vec::new();
    for device in devices {
        let source = Path::new(&device.source);
        let failed = |problem: String| SpecError::Device {
            path: device.source.clone(),
            problem,
        };
        let metadata = fs::metadata(source).map_err(|error| failed(error.to_string()))?;
        if metadata.is_dir() {
            for (path, node) in below(source, MAX_DEPTH) {
                let rest = path.strip_prefix(source).unwrap_or(&path);
                let target = Path::new(&device.target).join(rest);
                all.push(grant(&node, &target, &device.access)?);
            }
        } else if is_device(&metadata) {
            all.push(grant(&metadata, Path::new(&device.target), &device.access)?);
        } else {
            return Err(failed("it is no device".to_owned()));
        }
    }
    Ok(all)
}

/// All devices of the host but terminals and what a container has of its own.
pub(super) fn of_host() -> Result<Vec<Granted>, SpecError> {
    let own = [
        "/dev/pts",
        "/dev/shm",
        "/dev/fd",
        "/dev/mqueue",
        "/dev/console",
        "/dev/ptmx",
    ];
    let mut all = Vec::new();
    for (path, node) in below(Path::new("/dev"), MAX_DEPTH) {
        if own.iter().any(|own| path.starts_with(own))
            || usual_nodes().any(|own| path == Path::new(own))
        {
            continue;
        }
        all.push(grant(&node, &path, "rwm")?);
    }
    Ok(all)
}

/// The nodes that the launcher makes in every container (runtime specification, config-linux.md, "Default Devices").
fn usual_nodes() -> impl Iterator<Item = &'static str> {
    [
        "/dev/null",
        "/dev/zero",
        "/dev/full",
        "/dev/random",
        "/dev/urandom",
        "/dev/tty",
    ]
    .into_iter()
}

fn is_device(metadata: &fs::Metadata) -> bool {
    metadata.file_type().is_char_device() || metadata.file_type().is_block_device()
}

fn below(directory: &Path, depth: usize) -> Vec<(PathBuf, fs::Metadata)> {
    let mut found = Vec::new();
    // What cannot be listed has nothing that could be used.
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        if metadata.is_dir() && depth > 0 {
            found.extend(below(&entry.path(), depth - 1));
        } else if is_device(&metadata) {
            found.push((entry.path(), metadata));
        }
        if found.len() >= MAX_DEVICES {
            break;
        }
    }
    found.truncate(MAX_DEVICES);
    found
}

fn grant(metadata: &fs::Metadata, target: &Path, access: &str) -> Result<Granted, SpecError> {
    let kind = match metadata.file_type().is_block_device() {
        true => LinuxDeviceType::B,
        false => LinuxDeviceType::C,
    };
    let number = metadata.rdev();
    let node = LinuxDeviceBuilder::default()
        .path(target)
        .typ(kind)
        .major(i64::from(rustix::fs::major(number)))
        .minor(i64::from(rustix::fs::minor(number)))
        .file_mode(metadata.mode() & 0o7777)
        .uid(metadata.uid())
        .gid(metadata.gid())
        .build()?;
    Ok(Granted {
        node,
        access: access.to_owned(),
    })
}

/// What the kernel lets a container do with devices: nothing but making nodes, using the usual ones and terminals, and what was
/// granted. Later rules hold against earlier ones.
pub(super) fn rules(
    granted: &[Granted],
    everything: bool,
) -> Result<Vec<LinuxDeviceCgroup>, SpecError> {
    let rule = |allow, kind, major: Option<i64>, minor: Option<i64>, access: &str| {
        let mut rule = LinuxDeviceCgroupBuilder::default()
            .allow(allow)
            .typ(kind)
            .access(access);
        if let Some(major) = major {
            rule = rule.major(major);
        }
        if let Some(minor) = minor {
            rule = rule.minor(minor);
        }
        rule.build()
    };
    use LinuxDeviceType::{A, B, C};
    if everything {
        return Ok(vec![rule(true, A, None, None, "rwm")?]);
    }
    let mut rules = vec![
        rule(false, A, None, None, "rwm")?,
        rule(true, C, None, None, "m")?,
        rule(true, B, None, None, "m")?,
    ];
    // null, zero, full, random, urandom, tty, console, ptmx; then all of devpts.
    for (major, minor) in [
        (1, 3),
        (1, 5),
        (1, 7),
        (1, 8),
        (1, 9),
        (5, 0),
        (5, 1),
        (5, 2),
    ] {
        rules.push(rule(true, C, Some(major), Some(minor), "rwm")?);
    }
    rules.push(rule(true, C, Some(136), None, "rwm")?);
    for device in granted {
        let (kind, major, minor) = (device.node.typ(), device.node.major(), device.node.minor());
        rules.push(rule(true, kind, Some(major), Some(minor), &device.access)?);
    }
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(rules: &[LinuxDeviceCgroup]) -> Vec<String> {
        rules
            .iter()
            .map(|rule| format!("{} {rule}", if rule.allow() { '+' } else { '-' }))
            .collect()
    }

    #[test]
    fn a_device_is_granted_by_name() {
        let device = |source: &str| DeviceConfig {
            source: source.to_owned(),
            target: "/dev/mine".to_owned(),
            access: "r".to_owned(),
        };
        let granted = granted(&[device("/dev/zero")]).expect("there");
        assert_eq!(granted[0].node.path(), &PathBuf::from("/dev/mine"));
        assert_eq!((granted[0].node.major(), granted[0].node.minor()), (1, 5));
        let rules = texts(&rules(&granted, false).expect("valid"));
        assert_eq!(rules.first().map(String::as_str), Some("- a *:* rwm"));
        assert_eq!(rules.last().map(String::as_str), Some("+ c 1:5 r"));
        for (path, want) in [
            (
                "/dev/no-such",
                "device \"/dev/no-such\": No such file or directory (os error 2)",
            ),
            ("/proc/version", "device \"/proc/version\": it is no device"),
        ] {
            assert_eq!(
                super::granted(&[device(path)]).expect_err(path).to_string(),
                want
            );
        }
    }

    #[test]
    fn nothing_else_is_allowed() {
        let plain = texts(&rules(&[], false).expect("valid"));
        assert_eq!(plain.len(), 12);
        assert!(plain[1..].iter().all(|rule| rule.starts_with("+ ")));
        let all = texts(&rules(&[], true).expect("valid"));
        assert_eq!(all, ["+ a *:* rwm"]);
    }
}
