//! What of the specification is kept here. The rest is refused before anything is done.

use std::collections::BTreeSet;

use oci_spec::runtime::{Linux, LinuxNamespaceType, Process, Spec};

use super::error::NativeError;
use super::mount_options::MountOptions;

/// The kernel parameters that belong to an IPC namespace.
const IPC_PARAMETERS: [&str; 10] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
    "kernel.msg_next_id",
    "kernel.sem_next_id",
];

fn unsupported(what: impl Into<String>) -> NativeError {
    NativeError::Unsupported(what.into())
}

fn invalid(what: impl Into<String>) -> NativeError {
    NativeError::Invalid(what.into())
}

/// Refuses what is not enforced here, and what makes no sense.
pub(super) fn check(spec: &Spec) -> Result<(), NativeError> {
    let version = spec.version();
    if version.split('.').next() != Some("1") {
        return Err(unsupported(format!(
            "version {version} of the specification"
        )));
    }
    if spec.solaris().is_some() || spec.windows().is_some() || spec.vm().is_some() {
        return Err(invalid("it is for another platform than Linux"));
    }
    let Some(linux) = spec.linux() else {
        return Err(invalid("it has no `linux`"));
    };
    if let Some(process) = spec.process() {
        check_process(process)?;
    }
    for mount in spec.mounts().iter().flatten() {
        if !mount.destination().is_absolute() && mount.destination().as_os_str().is_empty() {
            return Err(invalid("a mount has no destination"));
        }
        MountOptions::parse(mount).map_err(|error| {
            unsupported(format!(
                "{} on {}: {error}",
                "a mount",
                mount.destination().display()
            ))
        })?;
    }
    check_linux(linux)?;
    check_namespaces(spec, linux)?;
    check_parameters(linux)
}

/// Refuses what a process asks for and does not get.
pub(super) fn check_process(process: &Process) -> Result<(), NativeError> {
    if process.args().as_ref().is_none_or(|args| args.is_empty()) {
        return Err(invalid("`process.args` names no program"));
    }
    if !process.cwd().is_absolute() {
        return Err(invalid(format!(
            "the working directory {} is not absolute",
            process.cwd().display()
        )));
    }
    if process
        .apparmor_profile()
        .as_ref()
        .is_some_and(|name| !name.is_empty())
    {
        return Err(unsupported("an AppArmor profile"));
    }
    if process
        .selinux_label()
        .as_ref()
        .is_some_and(|label| !label.is_empty())
    {
        return Err(unsupported("an SELinux label"));
    }
    if process.io_priority().is_some() {
        return Err(unsupported("an I/O priority"));
    }
    if process.scheduler().is_some() {
        return Err(unsupported("a scheduling policy"));
    }
    if process.exec_cpu_affinity().is_some() {
        return Err(unsupported("a CPU affinity for programs that are added"));
    }
    if let Some(score) = process.oom_score_adj()
        && !(-1000..=1000).contains(&score)
    {
        return Err(invalid(format!(
            "`oomScoreAdj` {score} is not in -1000 to 1000"
        )));
    }
    let mut seen = BTreeSet::new();
    for limit in process.rlimits().iter().flatten() {
        if !seen.insert(limit.typ().to_string()) {
            return Err(invalid(format!("{} is limited twice", limit.typ())));
        }
        if limit.soft() > limit.hard() {
            return Err(invalid(format!(
                "the soft limit {} is above the hard one",
                limit.typ()
            )));
        }
    }
    Ok(())
}

fn check_linux(linux: &Linux) -> Result<(), NativeError> {
    if linux
        .net_devices()
        .as_ref()
        .is_some_and(|devices| !devices.is_empty())
    {
        return Err(unsupported("moving network devices into it"));
    }
    if linux
        .mount_label()
        .as_ref()
        .is_some_and(|label| !label.is_empty())
    {
        return Err(unsupported("an SELinux label for mounts"));
    }
    if linux.intel_rdt().is_some() {
        return Err(unsupported("Intel's Resource Director Technology"));
    }
    if linux.memory_policy().is_some() {
        return Err(unsupported("a NUMA memory policy"));
    }
    if linux
        .time_offsets()
        .as_ref()
        .is_some_and(|offsets| !offsets.is_empty())
    {
        return Err(unsupported("time offsets"));
    }
    if let Some(personality) = linux.personality()
        && personality
            .flags()
            .as_ref()
            .is_some_and(|flags| !flags.is_empty())
    {
        return Err(unsupported("flags of an execution domain"));
    }
    if let Some(propagation) = linux.rootfs_propagation() {
        let word = propagation.strip_prefix('r').unwrap_or(propagation);
        if !matches!(word, "private" | "slave" | "shared" | "unbindable" | "") {
            return Err(invalid(format!("`rootfsPropagation` is `{propagation}`")));
        }
    }
    Ok(())
}

/// Is this kind of namespace in the list?
pub(super) fn has_namespace(linux: &Linux, kind: LinuxNamespaceType) -> bool {
    linux
        .namespaces()
        .iter()
        .flatten()
        .any(|namespace| namespace.typ() == kind)
}

fn check_namespaces(spec: &Spec, linux: &Linux) -> Result<(), NativeError> {
    let mut seen = Vec::new();
    for namespace in linux.namespaces().iter().flatten() {
        if seen.contains(&namespace.typ()) {
            return Err(invalid(format!(
                "the namespace {} is listed twice",
                namespace.typ()
            )));
        }
        seen.push(namespace.typ());
        if namespace.typ() == LinuxNamespaceType::Time {
            return Err(unsupported("a time namespace"));
        }
        if namespace.typ() == LinuxNamespaceType::Mount && namespace.path().is_some() {
            return Err(unsupported("a mount namespace that is there already"));
        }
    }
    let has = |kind| has_namespace(linux, kind);
    if !has(LinuxNamespaceType::Mount) {
        return Err(unsupported("no mount namespace of its own"));
    }
    if !has(LinuxNamespaceType::Uts) && (spec.hostname().is_some() || spec.domainname().is_some()) {
        return Err(invalid("a host name without a UTS namespace of its own"));
    }
    let maps = |maps: &Option<Vec<_>>| maps.as_ref().is_some_and(|maps| !maps.is_empty());
    let user = linux
        .namespaces()
        .iter()
        .flatten()
        .find(|namespace| namespace.typ() == LinuxNamespaceType::User);
    match user {
        None if maps(linux.uid_mappings()) || maps(linux.gid_mappings()) => {
            Err(invalid("mappings of users without a user namespace"))
        }
        Some(namespace)
            if namespace.path().is_none()
                && !(maps(linux.uid_mappings()) && maps(linux.gid_mappings())) =>
        {
            Err(invalid("a user namespace without mappings"))
        }
        _ => Ok(()),
    }
}

/// Lets nobody change the host's kernel through a container's configuration.
fn check_parameters(linux: &Linux) -> Result<(), NativeError> {
    for name in linux.sysctl().iter().flatten().map(|(name, _)| name) {
        let is_name = name
            .chars()
            .all(|one| one.is_ascii_alphanumeric() || matches!(one, '.' | '_' | '-' | '/' | ':'));
        if !is_name || name.split(['.', '/']).any(|part| part.is_empty()) {
            return Err(invalid(format!(
                "`{}` names no kernel parameter",
                name.escape_debug()
            )));
        }
        let dotted = name.replace('/', ".");
        let namespace = if dotted.starts_with("net.") {
            LinuxNamespaceType::Network
        } else if dotted.starts_with("fs.mqueue.") || IPC_PARAMETERS.contains(&dotted.as_str()) {
            LinuxNamespaceType::Ipc
        } else if dotted == "kernel.domainname" || dotted == "kernel.hostname" {
            LinuxNamespaceType::Uts
        } else {
            return Err(unsupported(format!(
                "the kernel parameter {name}, which belongs to the host"
            )));
        };
        if !has_namespace(linux, namespace) {
            return Err(invalid(format!(
                "the kernel parameter {name} without a namespace of its own for it"
            )));
        }
    }
    Ok(())
}
