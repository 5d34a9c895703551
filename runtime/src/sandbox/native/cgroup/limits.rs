//! Limits as files of cgroups, and what the kernel has counted.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxResources, LinuxThrottleDevice};
use serde::Serialize;

use super::super::error::NativeError;
use super::write;

/// A value for a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) controller: String,
    pub(super) file: String,
    pub(super) value: String,
}

/// What the kernel has counted for a container. `None`: it does not count it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Processor time, in nanoseconds.
    pub cpu_nanoseconds: Option<u64>,
    /// Memory in use, in bytes, with what could be given back of files' contents.
    pub memory_bytes: Option<u64>,
    /// Of that, contents of files that were not used lately.
    pub memory_inactive_files_bytes: Option<u64>,
    /// The limit, in bytes; a very large number means that there is none.
    pub memory_limit_bytes: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// How many there may be.
    pub pids_limit: Option<u64>,
    /// Read from block devices, in bytes.
    pub read_bytes: Option<u64>,
    /// Written to block devices, in bytes.
    pub written_bytes: Option<u64>,
    /// How often the kernel ended a process of it because the memory limit was reached.
    pub oom_kills: Option<u64>,
}

struct Settings(Vec<Setting>);

impl Settings {
    fn add(&mut self, controller: &str, file: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.0.push(Setting {
                controller: controller.to_owned(),
                file: file.to_owned(),
                value: value.to_string(),
            });
        }
    }
}

/// "No limit" is a negative number in the specification, and a word in most files.
fn or_max(value: i64) -> String {
    if value <= 0 {
        "max".to_owned()
    } else {
        value.to_string()
    }
}

fn rate(device: &LinuxThrottleDevice) -> String {
    format!("{}:{} {}", device.major(), device.minor(), device.rate())
}

/// Translates limits for hierarchies of version 1.
pub(super) fn version_one(resources: Option<&LinuxResources>) -> Result<Vec<Setting>, NativeError> {
    let mut settings = Settings(Vec::new());
    let Some(resources) = resources else {
        return Ok(settings.0);
    };
    if resources
        .unified()
        .as_ref()
        .is_some_and(|unified| !unified.is_empty())
    {
        return Err(NativeError::Unsupported(
            "settings of cgroup v2, and this system has v1".to_owned(),
        ));
    }
    if let Some(memory) = resources.memory() {
        let limit = |value: Option<i64>| value.filter(|value| *value != 0);
        settings.add("memory", "memory.limit_in_bytes", limit(memory.limit()));
        settings.add(
            "memory",
            "memory.soft_limit_in_bytes",
            limit(memory.reservation()),
        );
        settings.add(
            "memory",
            "memory.memsw.limit_in_bytes",
            limit(memory.swap()),
        );
        settings.add(
            "memory",
            "memory.kmem.tcp.limit_in_bytes",
            limit(memory.kernel_tcp()),
        );
        settings.add("memory", "memory.swappiness", memory.swappiness());
        let unkillable = memory.disable_oom_killer().filter(|unkillable| *unkillable);
        settings.add("memory", "memory.oom_control", unkillable.map(|_| 1));
    }
    if let Some(cpu) = resources.cpu() {
        settings.add(
            "cpu",
            "cpu.shares",
            cpu.shares().filter(|shares| *shares != 0),
        );
        settings.add(
            "cpu",
            "cpu.cfs_period_us",
            cpu.period().filter(|period| *period != 0),
        );
        settings.add(
            "cpu",
            "cpu.cfs_quota_us",
            cpu.quota().filter(|quota| *quota != 0),
        );
        settings.add("cpu", "cpu.cfs_burst_us", cpu.burst());
        settings.add("cpu", "cpu.idle", cpu.idle().filter(|idle| *idle != 0));
        settings.add(
            "cpu",
            "cpu.rt_period_us",
            cpu.realtime_period().filter(|period| *period != 0),
        );
        settings.add(
            "cpu",
            "cpu.rt_runtime_us",
            cpu.realtime_runtime().filter(|time| *time != 0),
        );
        settings.add("cpuset", "cpuset.cpus", text(cpu.cpus()));
        settings.add("cpuset", "cpuset.mems", text(cpu.mems()));
    }
    if let Some(pids) = resources.pids() {
        settings.add("pids", "pids.max", Some(or_max(pids.limit())));
    }
    if let Some(io) = resources.block_io() {
        settings.add(
            "blkio",
            "blkio.weight",
            io.weight().filter(|weight| *weight != 0),
        );
        settings.add(
            "blkio",
            "blkio.leaf_weight",
            io.leaf_weight().filter(|weight| *weight != 0),
        );
        for device in io.weight_device().iter().flatten() {
            let value = |weight| format!("{}:{} {weight}", device.major(), device.minor());
            settings.add("blkio", "blkio.weight_device", device.weight().map(value));
        }
        for (file, devices) in [
            (
                "blkio.throttle.read_bps_device",
                io.throttle_read_bps_device(),
            ),
            (
                "blkio.throttle.write_bps_device",
                io.throttle_write_bps_device(),
            ),
            (
                "blkio.throttle.read_iops_device",
                io.throttle_read_iops_device(),
            ),
            (
                "blkio.throttle.write_iops_device",
                io.throttle_write_iops_device(),
            ),
        ] {
            for device in devices.iter().flatten() {
                settings.add("blkio", file, Some(rate(device)));
            }
        }
    }
    for page in resources.hugepage_limits().iter().flatten() {
        let file = format!("hugetlb.{}.limit_in_bytes", page.page_size());
        settings.add("hugetlb", &file, Some(page.limit()));
    }
    if let Some(network) = resources.network() {
        settings.add(
            "net_cls",
            "net_cls.classid",
            network.class_id().filter(|id| *id != 0),
        );
        for priority in network.priorities().iter().flatten() {
            let value = format!("{} {}", priority.name(), priority.priority());
            settings.add("net_prio", "net_prio.ifpriomap", Some(value));
        }
    }
    rdma(resources, &mut settings);
    Ok(settings.0)
}

fn text(value: &Option<String>) -> Option<&String> {
    value.as_ref().filter(|value| !value.is_empty())
}

fn rdma(resources: &LinuxResources, settings: &mut Settings) {
    for (device, limit) in resources.rdma().iter().flatten() {
        let mut value = device.clone();
        for (name, number) in [
            ("hca_handle", limit.hca_handles()),
            ("hca_object", limit.hca_objects()),
        ] {
            if let Some(number) = number {
                value.push_str(&format!(" {name}={number}"));
            }
        }
        settings.add("rdma", "rdma.max", Some(value));
    }
}

/// Docker's shares, 2 to 262144 with 1024 in the middle, as the weight of version 2, 1 to 10000.
fn weight(shares: u64) -> u64 {
    let shares = shares.clamp(2, 262_144);
    1 + (shares - 2) * 9999 / 262_142
}

/// Translates limits for version 2.
pub(super) fn version_two(resources: Option<&LinuxResources>) -> Result<Vec<Setting>, NativeError> {
    let mut settings = Settings(Vec::new());
    let Some(resources) = resources else {
        return Ok(settings.0);
    };
    if let Some(memory) = resources.memory() {
        let limit = memory.limit().filter(|limit| *limit != 0);
        settings.add("memory", "memory.max", limit.map(or_max));
        let reservation = memory.reservation().filter(|limit| *limit != 0);
        settings.add("memory", "memory.low", reservation.map(or_max));
        // Here swap counts without memory, there with it.
        let swap = match (memory.swap().filter(|swap| *swap != 0), limit) {
            (None, _) => None,
            (Some(swap), _) if swap < 0 => Some("max".to_owned()),
            (Some(swap), Some(limit)) if limit > 0 && swap >= limit => {
                Some((swap - limit).to_string())
            }
            (Some(_), _) => {
                return Err(NativeError::Invalid(
                    "the limit of memory with swap is below that of memory, or without one"
                        .to_owned(),
                ));
            }
        };
        settings.add("memory", "memory.swap.max", swap);
        if memory.disable_oom_killer().unwrap_or(false)
            || memory.swappiness().is_some()
            || memory.kernel_tcp().is_some_and(|limit| limit != 0)
        {
            return Err(NativeError::Unsupported(
                "a memory setting that cgroup v2 has not".to_owned(),
            ));
        }
    }
    if let Some(cpu) = resources.cpu() {
        settings.add(
            "cpu",
            "cpu.weight",
            cpu.shares().filter(|shares| *shares != 0).map(weight),
        );
        let quota = cpu.quota().filter(|quota| *quota != 0);
        let period = cpu.period().filter(|period| *period != 0);
        if quota.is_some() || period.is_some() {
            let value = format!(
                "{} {}",
                or_max(quota.unwrap_or(-1)),
                period.unwrap_or(100_000)
            );
            settings.add("cpu", "cpu.max", Some(value));
        }
        settings.add("cpu", "cpu.max.burst", cpu.burst());
        settings.add("cpu", "cpu.idle", cpu.idle().filter(|idle| *idle != 0));
        if cpu.realtime_period().is_some_and(|period| period != 0)
            || cpu.realtime_runtime().is_some_and(|time| time != 0)
        {
            return Err(NativeError::Unsupported(
                "real-time limits, which cgroup v2 has not".to_owned(),
            ));
        }
        settings.add("cpuset", "cpuset.cpus", text(cpu.cpus()));
        settings.add("cpuset", "cpuset.mems", text(cpu.mems()));
    }
    if let Some(pids) = resources.pids() {
        settings.add("pids", "pids.max", Some(or_max(pids.limit())));
    }
    if let Some(io) = resources.block_io() {
        settings.add(
            "io",
            "io.bfq.weight",
            io.weight().filter(|weight| *weight != 0),
        );
        for (key, devices) in [
            ("rbps", io.throttle_read_bps_device()),
            ("wbps", io.throttle_write_bps_device()),
            ("riops", io.throttle_read_iops_device()),
            ("wiops", io.throttle_write_iops_device()),
        ] {
            for device in devices.iter().flatten() {
                let value = format!(
                    "{}:{} {key}={}",
                    device.major(),
                    device.minor(),
                    device.rate()
                );
                settings.add("io", "io.max", Some(value));
            }
        }
        if io.leaf_weight().is_some_and(|weight| weight != 0)
            || io
                .weight_device()
                .as_ref()
                .is_some_and(|devices| !devices.is_empty())
        {
            return Err(NativeError::Unsupported(
                "weights of single block devices".to_owned(),
            ));
        }
    }
    for page in resources.hugepage_limits().iter().flatten() {
        let file = format!("hugetlb.{}.max", page.page_size());
        settings.add("hugetlb", &file, Some(page.limit()));
    }
    if resources.network().is_some() {
        return Err(NativeError::Unsupported(
            "network classes, which cgroup v2 has not".to_owned(),
        ));
    }
    rdma(resources, &mut settings);
    for (file, value) in resources.unified().iter().flatten() {
        let controller = file.split('.').next().unwrap_or_default();
        if file.contains('/') || controller.is_empty() {
            return Err(NativeError::Invalid(format!(
                "`{file}` names no file of a cgroup"
            )));
        }
        settings.add(controller, file, Some(value));
    }
    Ok(settings.0)
}

/// A new group of cpuset has no processors until it is told, and then nobody can join.
pub(super) fn inherit_cpuset(directory: &Path) -> io::Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let own = fs::read_to_string(directory.join(file))?;
        if !own.trim().is_empty() {
            continue;
        }
        let parent = directory.parent().ok_or(io::ErrorKind::NotFound)?;
        let mut value = fs::read_to_string(parent.join(file))?;
        if value.trim().is_empty() {
            inherit_cpuset(parent)?;
            value = fs::read_to_string(parent.join(file))?;
        }
        write(&directory.join(file), value.trim())?;
    }
    Ok(())
}

/// Makes a group of version 2, and gives it the controllers that its parents can pass on.
pub(super) fn delegate(root: &Path, directory: &Path, wanted: &[&str]) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let below = directory.strip_prefix(root).map_err(io::Error::other)?;
    let mut at = root.to_owned();
    for name in below.components() {
        let there = fs::read_to_string(at.join("cgroup.controllers"))?;
        let passed_on = fs::read_to_string(at.join("cgroup.subtree_control"))?;
        for controller in there.split_whitespace() {
            let is_wanted = wanted.contains(&controller) || matches!(controller, "io" | "cpuset");
            if is_wanted && !passed_on.split_whitespace().any(|one| one == controller) {
                // Refused where processes are in the group: then a limit that needs the controller fails, and says so.
                drop(write(
                    &at.join("cgroup.subtree_control"),
                    &format!("+{controller}"),
                ));
            }
        }
        at.push(name);
    }
    Ok(())
}

fn number(path: Option<PathBuf>, file: &str) -> Option<u64> {
    let text = fs::read_to_string(path?.join(file)).ok()?;
    let text = text.trim();
    if text == "max" {
        return Some(u64::MAX);
    }
    text.parse().ok()
}

/// The number behind a word in a file of lines.
fn field(path: Option<PathBuf>, file: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path?.join(file)).ok()?;
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(' ')?;
        (key == name).then(|| value.trim().parse().ok())?
    })
}

pub(super) fn stats_one(directory: impl Fn(&str) -> Option<PathBuf>) -> Stats {
    let io = |kind: &str| {
        let text =
            fs::read_to_string(directory("blkio")?.join("blkio.throttle.io_service_bytes")).ok()?;
        Some(
            text.lines()
                .filter_map(|line| {
                    let mut words = line.split(' ').skip(1);
                    (words.next() == Some(kind)).then(|| words.next()?.parse::<u64>().ok())?
                })
                .sum(),
        )
    };
    Stats {
        cpu_nanoseconds: number(directory("cpuacct"), "cpuacct.usage"),
        memory_bytes: number(directory("memory"), "memory.usage_in_bytes"),
        memory_inactive_files_bytes: field(
            directory("memory"),
            "memory.stat",
            "total_inactive_file",
        ),
        memory_limit_bytes: number(directory("memory"), "memory.limit_in_bytes"),
        pids: number(directory("pids"), "pids.current"),
        pids_limit: number(directory("pids"), "pids.max"),
        read_bytes: io("Read"),
        written_bytes: io("Write"),
        oom_kills: field(directory("memory"), "memory.oom_control", "oom_kill"),
    }
}

pub(super) fn stats_two(directory: impl Fn(&str) -> Option<PathBuf>) -> Stats {
    let at = || directory("");
    let io = |key: &str| {
        let text = fs::read_to_string(at()?.join("io.stat")).ok()?;
        Some(
            text.split_whitespace()
                .filter_map(|word| {
                    word.strip_prefix(key)?
                        .strip_prefix('=')?
                        .parse::<u64>()
                        .ok()
                })
                .sum(),
        )
    };
    Stats {
        cpu_nanoseconds: field(at(), "cpu.stat", "usage_usec")
            .map(|time| time.saturating_mul(1000)),
        memory_bytes: number(at(), "memory.current"),
        memory_inactive_files_bytes: field(at(), "memory.stat", "inactive_file"),
        memory_limit_bytes: number(at(), "memory.max"),
        pids: number(at(), "pids.current"),
        pids_limit: number(at(), "pids.max"),
        read_bytes: io("rbytes"),
        written_bytes: io("wbytes"),
        oom_kills: field(at(), "memory.events", "oom_kill"),
    }
}
