//! From what was decided about a container to the OCI runtime specification's `config.json`. Pure functions.
//!
//! <https://github.com/opencontainers/runtime-spec>; what the specification leaves open is done as Docker does.

use std::collections::HashMap;
use std::path::PathBuf;

use coracle_runtime::container::{ContainerConfig, Namespace, NativeConfig, Ulimit};
use coracle_runtime::policy::Limits;
use coracle_runtime::policy::net::Mode;
use oci_spec::runtime::{
    Capabilities, Capability, Linux, LinuxBuilder, LinuxCapabilitiesBuilder, LinuxCpuBuilder,
    LinuxIdMapping, LinuxIdMappingBuilder, LinuxMemoryBuilder, LinuxNamespace,
    LinuxNamespaceBuilder, LinuxNamespaceType, LinuxPidsBuilder, LinuxResources,
    LinuxResourcesBuilder, LinuxSeccomp, PosixRlimit, PosixRlimitBuilder, PosixRlimitType, Process,
    ProcessBuilder, RootBuilder, Spec, SpecBuilder, UserBuilder,
};

use super::capabilities::{self, Base};
use super::devices::{self, Granted};
use super::mounts;
use super::user::Identity;
use super::{SpecError, env};

/// Microseconds of one period of processor time: Docker's.
const CPU_PERIOD: u64 = 100_000;

/// What the kernel shows of the host and no container has use for: Docker's list.
const MASKED: [&str; 11] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];
/// The same, where only new kernels have it.
const MASKED_SINCE: [&str; 1] = ["/sys/devices/virtual/powercap"];
/// What changes the whole host, and may only be read: Docker's list.
const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// All that a container's specification is made of.
pub(super) struct Inputs<'a> {
    pub(super) config: &'a ContainerConfig,
    pub(super) native: &'a NativeConfig,
    pub(super) identity: &'a Identity,
    /// The devices that were granted.
    pub(super) devices: &'a [Granted],
    /// The host name that it has.
    pub(super) hostname: &'a str,
    pub(super) files: &'a Files,
    pub(super) joined: &'a Joined,
    /// Whom its users are on the host, where it has a user namespace.
    pub(super) mapping: Option<&'a Mapping>,
    pub(super) seccomp: Option<LinuxSeccomp>,
    /// The capabilities that this process has itself, a bit for each: no more can be given away.
    pub(super) held: u64,
    pub(super) cgroup: &'a str,
}

/// Small files of a container's own, on the host.
#[derive(Clone, Debug, Default)]
pub(super) struct Files {
    pub(super) hosts: PathBuf,
    pub(super) hostname: PathBuf,
    pub(super) resolv_conf: PathBuf,
}

/// Namespaces of another container, as paths that lead to them.
#[derive(Clone, Debug, Default)]
pub(super) struct Joined {
    pub(super) pid: Option<PathBuf>,
    pub(super) network: Option<PathBuf>,
}

/// Which numbers of the host are users and groups of the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    pub(super) uids: Vec<LinuxIdMapping>,
    pub(super) gids: Vec<LinuxIdMapping>,
}

impl Joined {
    /// Stands for namespaces that are there already, for a program that joins a container.
    pub(super) fn any() -> Self {
        let path = || Some(PathBuf::from("/proc/self/ns"));
        Self {
            pid: path(),
            network: path(),
        }
    }
}

impl Mapping {
    /// One user and one group of the host, which are root inside.
    pub(super) fn one(uid: u32, gid: u32) -> Result<Self, SpecError> {
        let range = |id: u32| {
            let range = LinuxIdMappingBuilder::default()
                .container_id(0u32)
                .host_id(id)
                .size(1u32);
            Ok::<_, SpecError>(vec![range.build()?])
        };
        Ok(Self {
            uids: range(uid)?,
            gids: range(gid)?,
        })
    }
}

impl Inputs<'_> {
    pub(super) fn has_hosts_network(&self) -> bool {
        self.config.policy.net.mode == Mode::Host && self.native.network == Namespace::Private
    }

    /// Has the container a group with this number?
    pub(super) fn maps_group(&self, gid: u32) -> bool {
        self.mapping
            .is_none_or(|mapping| covers(&mapping.gids, gid))
    }

    /// Has the container a user with this number?
    fn maps_user(&self, uid: u32) -> bool {
        self.mapping
            .is_none_or(|mapping| covers(&mapping.uids, uid))
    }

    /// Which of root's powers it has.
    ///
    /// # Errors
    ///
    /// One that was named is none.
    pub(super) fn capabilities(&self) -> Result<Vec<Capability>, SpecError> {
        let mut chosen = self.wanted_capabilities()?;
        // Within a user namespace all of them are there, and mean the namespace.
        if self.mapping.is_none() {
            chosen.retain(|capability| self.held & capabilities::bit(*capability) != 0);
        }
        Ok(chosen)
    }

    fn wanted_capabilities(&self) -> Result<Vec<Capability>, SpecError> {
        let native = self.native;
        let base = if native.privileged {
            Base::All
        } else if self.strict() {
            Base::None
        } else {
            Base::Usual
        };
        capabilities::chosen(base, &native.cap_add, &native.cap_drop)
    }

    fn strict(&self) -> bool {
        self.config.policy.strict
    }
}

fn covers(ranges: &[LinuxIdMapping], id: u32) -> bool {
    ranges.iter().any(|range| {
        let first = range.container_id();
        id >= first && id - first < range.size()
    })
}

/// Makes the specification.
///
/// # Errors
///
/// What was asked for contradicts itself or names what is not there.
pub(super) fn spec(inputs: &Inputs<'_>) -> Result<Spec, SpecError> {
    let config = inputs.config;
    let root = RootBuilder::default()
        .path("/")
        .readonly(config.read_only)
        .build()?;
    let mut spec = SpecBuilder::default()
        .version("1.2.0")
        .root(root)
        .mounts(mounts::all(inputs)?)
        .process(process(inputs)?)
        .linux(linux(inputs)?)
        .build()?;
    spec.set_hostname(None);
    if inputs.native.uts == Namespace::Private {
        spec.set_hostname(Some(inputs.hostname.to_owned()));
        spec.set_domainname(inputs.native.domainname.clone());
    }
    spec.set_annotations(None);
    Ok(spec)
}

fn process(inputs: &Inputs<'_>) -> Result<Process, SpecError> {
    let config = inputs.config;
    let native = inputs.native;
    let mut process = ProcessBuilder::default()
        .terminal(config.tty)
        .user(user(inputs)?)
        .args(config.args.clone())
        .env(env::of_container(
            config,
            inputs.hostname,
            &inputs.identity.home,
        ))
        .cwd(config.cwd.clone())
        .capabilities(capability_sets(inputs.capabilities()?)?)
        .rlimits(rlimits(&native.ulimits, &config.policy.limits)?)
        .no_new_privileges(native.security.no_new_privileges || inputs.strict())
        .build()?;
    let apparmor = native.security.apparmor.clone();
    process.set_apparmor_profile(apparmor.filter(|_| !native.privileged));
    Ok(process)
}

/// Who the program runs as. The launcher puts the first group among the others: programs that drop it must not keep it
/// (CVE-2022-2995).
fn user(inputs: &Inputs<'_>) -> Result<oci_spec::runtime::User, SpecError> {
    let identity = inputs.identity;
    if !inputs.maps_user(identity.uid) || !inputs.maps_group(identity.gid) {
        return Err(SpecError::Unmapped {
            uid: identity.uid,
            gid: identity.gid,
        });
    }
    // A group that the container has not gives no rights.
    let groups = identity.groups.iter().copied();
    let groups: Vec<u32> = groups.filter(|gid| inputs.maps_group(*gid)).collect();
    Ok(UserBuilder::default()
        .uid(identity.uid)
        .gid(identity.gid)
        .additional_gids(groups)
        .build()?)
}

/// Never inheritable ones: a program could gain them from a file's (CVE-2022-24769).
fn capability_sets(
    capabilities: Vec<Capability>,
) -> Result<oci_spec::runtime::LinuxCapabilities, SpecError> {
    let set: Capabilities = capabilities.into_iter().collect();
    Ok(LinuxCapabilitiesBuilder::default()
        .bounding(set.clone())
        .effective(set.clone())
        .permitted(set)
        .inheritable(Capabilities::new())
        .ambient(Capabilities::new())
        .build()?)
}

fn rlimits(ulimits: &[Ulimit], limits: &Limits) -> Result<Vec<PosixRlimit>, SpecError> {
    let mut all = Vec::new();
    let mut push = |typ, soft: Option<u64>, hard: Option<u64>| -> Result<(), SpecError> {
        let rlimit = PosixRlimitBuilder::default()
            .typ(typ)
            .soft(soft.unwrap_or(u64::MAX))
            .hard(hard.unwrap_or(u64::MAX))
            .build()?;
        all.push(rlimit);
        Ok(())
    };
    for ulimit in ulimits {
        let typ = rlimit_type(&ulimit.name).ok_or_else(|| SpecError::Ulimit {
            name: ulimit.name.clone(),
        })?;
        push(typ, ulimit.soft, ulimit.hard)?;
    }
    let named = ulimits.iter().any(|ulimit| ulimit.name == "nofile");
    if limits.open_files != Limits::DEFAULT_OPEN_FILES && !named {
        let files = Some(u64::from(limits.open_files));
        push(PosixRlimitType::RlimitNofile, files, files)?;
    }
    Ok(all)
}

fn rlimit_type(name: &str) -> Option<PosixRlimitType> {
    use PosixRlimitType as Type;
    Some(match name {
        "core" => Type::RlimitCore,
        "cpu" => Type::RlimitCpu,
        "data" => Type::RlimitData,
        "fsize" => Type::RlimitFsize,
        "locks" => Type::RlimitLocks,
        "memlock" => Type::RlimitMemlock,
        "msgqueue" => Type::RlimitMsgqueue,
        "nice" => Type::RlimitNice,
        "nofile" => Type::RlimitNofile,
        "nproc" => Type::RlimitNproc,
        "rss" => Type::RlimitRss,
        "rtprio" => Type::RlimitRtprio,
        "rttime" => Type::RlimitRttime,
        "sigpending" => Type::RlimitSigpending,
        "stack" => Type::RlimitStack,
        _ => return None,
    })
}

fn linux(inputs: &Inputs<'_>) -> Result<Linux, SpecError> {
    let native = inputs.native;
    let open = native.privileged || native.security.system_paths_unconfined;
    let list = |paths: &[&str]| -> Vec<String> {
        match open {
            true => Vec::new(),
            false => paths.iter().map(|path| (*path).to_owned()).collect(),
        }
    };
    let mut masked = list(&MASKED);
    masked.extend(list(&MASKED_SINCE));
    let nodes = inputs.devices.iter().map(|device| device.node.clone());
    let mut linux = LinuxBuilder::default()
        .namespaces(namespaces(inputs)?)
        .devices(nodes.collect::<Vec<_>>())
        .resources(resources(inputs)?)
        .cgroups_path(inputs.cgroup)
        .masked_paths(masked)
        .readonly_paths(list(&READ_ONLY))
        .sysctl(sysctls(inputs)?)
        .build()?;
    if let Some(mapping) = inputs.mapping {
        linux.set_uid_mappings(Some(mapping.uids.clone()));
        linux.set_gid_mappings(Some(mapping.gids.clone()));
    }
    linux.set_seccomp(inputs.seccomp.clone());
    Ok(linux)
}

fn namespaces(inputs: &Inputs<'_>) -> Result<Vec<LinuxNamespace>, SpecError> {
    use LinuxNamespaceType as Type;
    let native = inputs.native;
    let joined = inputs.joined;
    let network = match inputs.has_hosts_network() {
        true => &Namespace::Host,
        false => &native.network,
    };
    let mut all = Vec::new();
    let mut push = |typ, whose: &Namespace, path: Option<&PathBuf>| -> Result<(), SpecError> {
        let mut namespace = LinuxNamespaceBuilder::default().typ(typ);
        match whose {
            Namespace::Host => return Ok(()),
            Namespace::Private => {}
            Namespace::Container(name) => {
                namespace = namespace.path(path.ok_or_else(|| SpecError::Join {
                    container: name.clone(),
                })?);
            }
        }
        all.push(namespace.build()?);
        Ok(())
    };
    let own = Namespace::Private;
    push(Type::Mount, &own, None)?;
    push(Type::Pid, &native.pid, joined.pid.as_ref())?;
    push(Type::Ipc, &native.ipc, None)?;
    push(Type::Uts, &native.uts, None)?;
    push(Type::Network, network, joined.network.as_ref())?;
    push(Type::Cgroup, &native.cgroup, None)?;
    if inputs.mapping.is_some() {
        push(Type::User, &own, None)?;
    }
    Ok(all)
}

fn resources(inputs: &Inputs<'_>) -> Result<LinuxResources, SpecError> {
    let limits = &inputs.config.policy.limits;
    let rules = devices::rules(inputs.devices, inputs.native.privileged)?;
    let mut resources = LinuxResourcesBuilder::default().devices(rules);
    if let Some(memory) = limits.memory {
        let bytes = i64::try_from(memory.bytes()).unwrap_or(i64::MAX);
        // As much again may be swapped out, as in Docker.
        let memory = LinuxMemoryBuilder::default()
            .limit(bytes)
            .swap(bytes.saturating_mul(2))
            .build()?;
        resources = resources.memory(memory);
    }
    if let Some(cpus) = limits.cpus {
        let quota = i64::try_from(cpus.nanos() / (1_000_000_000 / CPU_PERIOD)).unwrap_or(i64::MAX);
        let cpu = LinuxCpuBuilder::default()
            .period(CPU_PERIOD)
            .quota(quota)
            .build()?;
        resources = resources.cpu(cpu);
    }
    if let Some(processes) = limits.processes {
        let pids = LinuxPidsBuilder::default()
            .limit(i64::from(processes))
            .build()?;
        resources = resources.pids(pids);
    }
    Ok(resources.build()?)
}

/// Checks that each parameter belongs to a namespace that the container has of its own.
fn sysctls(inputs: &Inputs<'_>) -> Result<HashMap<String, String>, SpecError> {
    let native = inputs.native;
    let mut all = HashMap::new();
    for (name, value) in &native.sysctls {
        let ipc = name.starts_with("kernel.msg")
            || name.starts_with("kernel.shm")
            || name == "kernel.sem"
            || name.starts_with("fs.mqueue.");
        let own = if ipc {
            native.ipc == Namespace::Private
        } else if name.starts_with("net.") {
            native.network == Namespace::Private && !inputs.has_hosts_network()
        } else if name == "kernel.domainname" || name == "kernel.hostname" {
            native.uts == Namespace::Private
        } else {
            false
        };
        let plain = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte))
            && !name.contains("..")
            && !name.contains('/');
        if !own || !plain {
            return Err(SpecError::Sysctl { name: name.clone() });
        }
        all.insert(name.clone(), value.clone());
    }
    Ok(all)
}

#[cfg(test)]
pub(super) mod tests {
    use coracle_runtime::container::Id;
    use oci_spec::runtime::Mount;

    use super::*;

    /// All that a specification is made of, to be changed.
    pub(in super::super) struct Case {
        pub(in super::super) config: ContainerConfig,
        pub(in super::super) native: NativeConfig,
        pub(in super::super) joined: Joined,
        pub(in super::super) mapping: Option<Mapping>,
        held: u64,
        files: Files,
        identity: Identity,
    }

    impl Default for Case {
        fn default() -> Self {
            let id = "ab".repeat(32);
            let text = format!(
                r#"{{"version":1,"id":"{id}","name":"test","created":0,"auto_remove":false,"image":"i","manifest":"m","image_id":"d",
                "args":["/bin/true"],"env":["A=1"],"cwd":"/w","mounts":[],"open_stdin":false,"read_only":false,"labels":{{}}}}"#
            );
            Self {
                config: serde_json::from_str(&text).expect("a config"),
                native: NativeConfig::default(),
                joined: Joined::default(),
                mapping: None,
                held: u64::MAX,
                files: Files::default(),
                identity: Identity {
                    uid: 1,
                    gid: 2,
                    groups: vec![3],
                    home: "/h".to_owned(),
                },
            }
        }
    }

    impl Case {
        pub(in super::super) fn inputs(&self) -> Inputs<'_> {
            Inputs {
                config: &self.config,
                native: &self.native,
                identity: &self.identity,
                devices: &[],
                hostname: "box",
                files: &self.files,
                joined: &self.joined,
                mapping: self.mapping.as_ref(),
                seccomp: None,
                held: self.held,
                cgroup: "/coracle/x",
            }
        }

        fn json(&self) -> serde_json::Value {
            let spec = spec(&self.inputs()).expect("valid");
            serde_json::to_value(spec).expect("serialises")
        }

        fn namespaces(&self) -> String {
            let json = self.json();
            let list = json["linux"]["namespaces"].as_array().expect("a list");
            let names = list.iter().map(|namespace| {
                let kind = namespace["type"].as_str().expect("a type");
                match namespace["path"].as_str() {
                    Some(path) => format!("{kind}={path}"),
                    None => kind.to_owned(),
                }
            });
            names.collect::<Vec<_>>().join(" ")
        }
    }

    pub(in super::super) fn options_of(mounts: &[Mount], target: &str) -> String {
        let mount = mounts
            .iter()
            .find(|mount| mount.destination() == &PathBuf::from(target))
            .expect(target);
        mount.options().clone().unwrap_or_default().join(" ")
    }

    #[test]
    fn the_usual_container() {
        let mut case = Case::default();
        case.config.id = Id::from_random([7; 32]);
        let json = case.json();
        let process = &json["process"];
        assert_eq!(process["args"], serde_json::json!(["/bin/true"]));
        assert_eq!(process["cwd"], "/w");
        assert_eq!(
            process["user"],
            serde_json::json!({"uid": 1, "gid": 2, "additionalGids": [3]})
        );
        assert_eq!(process["noNewPrivileges"], false);
        assert_eq!(process["rlimits"], serde_json::json!([]));
        let sets = &process["capabilities"];
        assert_eq!(sets["bounding"].as_array().map(Vec::len), Some(14));
        for empty in ["inheritable", "ambient"] {
            assert_eq!(sets[empty], serde_json::json!([]), "{empty}");
        }
        assert_eq!(json["hostname"], "box");
        assert_eq!(json["root"]["readonly"], false);
        assert_eq!(
            json["linux"]["maskedPaths"].as_array().map(Vec::len),
            Some(12)
        );
        assert_eq!(
            json["linux"]["readonlyPaths"].as_array().map(Vec::len),
            Some(5)
        );
        let resources = &json["linux"]["resources"];
        assert!(resources["memory"].is_null() && resources["cpu"].is_null());
        assert_eq!(case.namespaces(), "mount pid ipc uts network cgroup");
    }

    #[test]
    fn namespaces_of_others() {
        let mut case = Case::default();
        case.native.ipc = Namespace::Host;
        case.native.pid = Namespace::Container("db".to_owned());
        case.joined.pid = Some("/proc/7/ns/pid".into());
        case.native.uts = Namespace::Host;
        case.config.policy.net.mode = Mode::Host;
        assert_eq!(case.namespaces(), "mount pid=/proc/7/ns/pid cgroup");
        assert!(case.json()["hostname"].is_null());
        case.joined.pid = None;
        let error = spec(&case.inputs()).expect_err("it does not run");
        assert_eq!(
            error.to_string(),
            "cannot join namespaces of container db: it does not run, or is no Linux container"
        );
    }

    #[test]
    fn strict_has_nothing_but_what_is_named() {
        let mut case = Case::default();
        case.config.policy.strict = true;
        case.native.cap_add = vec!["CHOWN".to_owned()];
        let process = &case.json()["process"];
        assert_eq!(
            process["capabilities"]["bounding"],
            serde_json::json!(["CAP_CHOWN"])
        );
        assert_eq!(process["noNewPrivileges"], true);
    }

    #[test]
    fn privileged_is_masked_from_nothing() {
        let mut case = Case::default();
        case.native.privileged = true;
        let json = case.json();
        assert_eq!(json["linux"]["maskedPaths"], serde_json::json!([]));
        assert_eq!(json["linux"]["readonlyPaths"], serde_json::json!([]));
        let all = json["process"]["capabilities"]["bounding"]
            .as_array()
            .map(Vec::len);
        assert_eq!(all, Some(41));
        // No more than there is.
        case.held = 0b11;
        let sets = &case.json()["process"]["capabilities"];
        assert_eq!(sets["bounding"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn limits_become_resources() {
        let mut case = Case::default();
        let limits = &mut case.config.policy.limits;
        limits.memory = Some("64m".parse().expect("a size"));
        limits.cpus = Some("1.5".parse().expect("a share"));
        limits.processes = Some(10);
        limits.open_files = 100;
        case.native.ulimits = vec![Ulimit {
            name: "nproc".to_owned(),
            soft: Some(5),
            hard: None,
        }];
        let json = case.json();
        let resources = &json["linux"]["resources"];
        assert_eq!(resources["memory"]["limit"], 64 << 20);
        assert_eq!(resources["memory"]["swap"], 128 << 20);
        assert_eq!(
            (&resources["cpu"]["quota"], &resources["cpu"]["period"]),
            (&150_000.into(), &100_000.into())
        );
        assert_eq!(resources["pids"]["limit"], 10);
        let rlimits = json["process"]["rlimits"]
            .as_array()
            .expect("a list")
            .clone();
        assert_eq!(rlimits[0]["type"], "RLIMIT_NPROC");
        assert_eq!(rlimits[0]["hard"], u64::MAX);
        assert_eq!(
            (&rlimits[1]["type"], &rlimits[1]["soft"]),
            (&"RLIMIT_NOFILE".into(), &100.into())
        );
    }

    #[test]
    fn a_user_namespace_has_its_users() {
        let one = |size| {
            let range = LinuxIdMappingBuilder::default()
                .container_id(0u32)
                .host_id(1000u32)
                .size(size);
            vec![range.build().expect("valid")]
        };
        let mut case = Case {
            identity: Identity {
                uid: 0,
                gid: 0,
                groups: vec![3, 7],
                home: "/root".to_owned(),
            },
            mapping: Some(Mapping {
                uids: one(1u32),
                gids: one(1u32),
            }),
            ..Case::default()
        };
        assert!(case.namespaces().ends_with(" user"));
        let mounts = mounts::all(&case.inputs()).expect("valid");
        assert!(!options_of(&mounts, "/dev/pts").contains("gid="));
        assert_eq!(case.json()["linux"]["uidMappings"][0]["hostID"], 1000);
        case.mapping = Some(Mapping {
            uids: one(1u32),
            gids: one(6u32),
        });
        let mounts = mounts::all(&case.inputs()).expect("valid");
        assert!(options_of(&mounts, "/dev/pts").contains("gid=5"));
        // Of its groups it keeps those that are there; who is not there it cannot be.
        let user = &case.json()["process"]["user"];
        assert_eq!(user["additionalGids"], serde_json::json!([3]));
        case.identity.uid = 1;
        let error = spec(&case.inputs()).expect_err("nobody");
        assert_eq!(
            error.to_string(),
            "user 1 with group 0 is not in the container's user namespace"
        );
    }

    #[test]
    fn parameters_of_the_whole_host_are_refused() {
        let mut case = Case::default();
        for (name, good) in [
            ("net.ipv4.ip_forward", true),
            ("kernel.shmmax", true),
            ("kernel.sem", true),
            ("fs.mqueue.msg_max", true),
            ("kernel.panic", false),
            ("vm.swappiness", false),
            ("kernel.core_pattern", false),
            ("net.../kernel/panic", false),
            ("net/../kernel/panic", false),
        ] {
            case.native.sysctls = [(name.to_owned(), "1".to_owned())].into();
            assert_eq!(spec(&case.inputs()).is_ok(), good, "{name}");
        }
        case.native.sysctls = [("net.ipv4.ip_forward".to_owned(), "1".to_owned())].into();
        case.config.policy.net.mode = Mode::Host;
        assert!(spec(&case.inputs()).is_err());
    }
}
