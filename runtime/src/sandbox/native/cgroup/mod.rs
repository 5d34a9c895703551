//! The container's control groups, through files, for the hierarchies of version 1 and version 2.
//!
//! A process joins by writing `0` into the `tasks` file itself (version 1) or by being cloned into the group (version 2). The way that
//! others go, a number written to `cgroup.procs`, waits for a grace period of the whole machine: it would cost more than
//! everything else together.

mod devices;
mod limits;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use oci_spec::runtime::LinuxResources;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::error::NativeError;
use super::plan::CgroupView;

const ROOT: &str = "/sys/fs/cgroup";
/// statfs(2)'s numbers.
const CGROUP2_MAGIC: u64 = 0x6367_7270;
const CGROUP_MAGIC: u64 = 0x0027_e0eb;
/// The controllers of version 1 that every container joins, where the kernel has them: to be limited, counted and stopped.
const JOINED: [&str; 6] = ["devices", "memory", "pids", "cpu", "cpuacct", "freezer"];
/// How long the kernel may take to see that a group has become empty, or has frozen.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Version {
    One,
    Two,
}

/// One directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Group {
    /// The hierarchy's directory under /sys/fs/cgroup, such as `cpu,cpuacct`. Empty for version 2.
    hierarchy: String,
    /// The container's path in it.
    path: PathBuf,
}

impl Group {
    fn directory(&self) -> PathBuf {
        let path = self.path.strip_prefix("/").unwrap_or(&self.path);
        Path::new(ROOT).join(&self.hierarchy).join(path)
    }

    fn has(&self, controller: &str) -> bool {
        self.hierarchy.split(',').any(|name| name == controller)
    }
}

/// The control groups of one container. Empty: it has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cgroups {
    version: Version,
    groups: Vec<Group>,
}

/// How a process gets in.
#[derive(Debug, Default)]
pub(super) struct Entrance {
    /// `tasks` files of version 1.
    pub(super) tasks: Vec<OwnedFd>,
    /// The directory of version 2.
    pub(super) directory: Option<OwnedFd>,
}

impl Cgroups {
    /// Returns those of a container that has none.
    pub(super) fn none() -> Self {
        Self {
            version: Version::One,
            groups: Vec::new(),
        }
    }

    /// Makes the groups and sets the limits.
    ///
    /// `may_lack` says that a container without any group is better than none, if nothing is asked for that needs one.
    ///
    /// # Errors
    ///
    /// What is asked for and cannot be enforced, and what the system says.
    pub(super) fn create(
        path: &Path,
        resources: Option<&LinuxResources>,
        may_lack: bool,
    ) -> Result<Self, NativeError> {
        let version = version().map_err(NativeError::step("looking at /sys/fs/cgroup"))?;
        let settings = match version {
            Version::One => limits::version_one(resources)?,
            Version::Two => limits::version_two(resources)?,
        };
        let mut controllers: Vec<&str> = JOINED.to_vec();
        for setting in &settings {
            if !controllers.contains(&setting.controller.as_str()) {
                controllers.push(&setting.controller);
            }
        }
        let mut made = Self {
            version,
            groups: Vec::new(),
        };
        match made.make(path, &controllers) {
            Ok(()) => {}
            Err(error)
                if may_lack
                    && settings.is_empty()
                    && matches!(
                        error.kind(),
                        io::ErrorKind::PermissionDenied
                            | io::ErrorKind::ReadOnlyFilesystem
                            | io::ErrorKind::NotFound
                    ) =>
            {
                made.remove()?;
                return Ok(Self::none());
            }
            Err(error) => {
                made.remove()?;
                return Err(NativeError::Step {
                    doing: format!("making the cgroup {}", path.display()),
                    source: error,
                });
            }
        }
        if let Err(error) = made
            .limit(&settings)
            .and_then(|()| made.limit_devices(resources))
        {
            made.remove()?;
            return Err(error);
        }
        Ok(made)
    }

    fn make(&mut self, path: &Path, controllers: &[&str]) -> io::Result<()> {
        if self.version == Version::Two {
            let group = Group {
                hierarchy: String::new(),
                path: path.to_owned(),
            };
            limits::delegate(Path::new(ROOT), &group.directory(), controllers)?;
            self.groups.push(group);
            return Ok(());
        }
        for controller in controllers {
            let Some(hierarchy) = hierarchy(controller) else {
                if JOINED.contains(controller) && *controller != "devices" {
                    continue;
                }
                return Err(io::Error::new(
                    io::ErrorKind::NotFound,
                    format!("the kernel's controller {controller} is not mounted"),
                ));
            };
            if self.groups.iter().any(|group| group.hierarchy == hierarchy) {
                continue;
            }
            let group = Group {
                hierarchy,
                path: path.to_owned(),
            };
            let directory = group.directory();
            match fs::create_dir(&directory) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    fs::create_dir_all(&directory)?;
                }
                // One that a crash has left, or that the engine has made for us, serves as well if nobody is in it.
                Err(error)
                    if error.kind() == io::ErrorKind::AlreadyExists
                        && fs::read_to_string(directory.join("cgroup.procs"))?.is_empty() => {}
                result => result?,
            }
            let is_cpuset = group.has("cpuset");
            self.groups.push(group);
            if is_cpuset {
                limits::inherit_cpuset(&directory)?;
            }
        }
        Ok(())
    }

    fn limit(&self, settings: &[limits::Setting]) -> Result<(), NativeError> {
        for setting in settings {
            let group = match self.version {
                Version::Two => self.groups.first(),
                Version::One => self
                    .groups
                    .iter()
                    .find(|group| group.has(&setting.controller)),
            };
            let Some(group) = group else {
                return Err(NativeError::Unsupported(format!(
                    "the limit {}, and the controller {} is not there",
                    setting.file, setting.controller
                )));
            };
            write(&group.directory().join(&setting.file), &setting.value).map_err(
                NativeError::step(format!("setting {} to {}", setting.file, setting.value)),
            )?;
        }
        Ok(())
    }

    fn limit_devices(&self, resources: Option<&LinuxResources>) -> Result<(), NativeError> {
        let rules = devices::rules(resources);
        let step = || NativeError::step("restricting devices");
        match self.version {
            Version::One => {
                let Some(group) = self.groups.iter().find(|group| group.has("devices")) else {
                    return Ok(());
                };
                let directory = group.directory();
                for (file, text) in devices::version_one(&rules) {
                    write(&directory.join(file), &text).map_err(step())?;
                }
                Ok(())
            }
            Version::Two => {
                let Some(group) = self.groups.first() else {
                    return Ok(());
                };
                let directory = open_directory(&group.directory()).map_err(step())?;
                devices::version_two(&rules, &directory).map_err(step())
            }
        }
    }

    /// Changes the limits of a container that runs.
    ///
    /// # Errors
    ///
    /// As [`Cgroups::create`].
    pub(super) fn update(&self, resources: &LinuxResources) -> Result<(), NativeError> {
        let settings = match self.version {
            Version::One => limits::version_one(Some(resources))?,
            Version::Two => limits::version_two(Some(resources))?,
        };
        self.limit(&settings)
    }

    /// Is there any group?
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Opens what a process needs to get in.
    pub(super) fn entrance(&self) -> io::Result<Entrance> {
        let mut entrance = Entrance::default();
        for group in &self.groups {
            let directory = group.directory();
            match self.version {
                Version::One => {
                    let tasks = OpenOptions::new()
                        .write(true)
                        .open(directory.join("tasks"))?;
                    entrance.tasks.push(tasks.into());
                }
                Version::Two => entrance.directory = Some(open_directory(&directory)?),
            }
        }
        Ok(entrance)
    }

    /// What a mount of type `cgroup` shows.
    pub(super) fn view(&self) -> CgroupView {
        match (self.version, self.groups.first()) {
            (_, None) => CgroupView::None,
            (Version::Two, Some(group)) => CgroupView::V2(group.path.clone()),
            (Version::One, Some(_)) => CgroupView::V1(
                self.groups
                    .iter()
                    .map(|group| (group.hierarchy.clone(), group.path.clone()))
                    .collect(),
            ),
        }
    }

    /// Stops all processes, or lets them go on.
    ///
    /// # Errors
    ///
    /// There is no group that could, or the system says so.
    pub(super) fn freeze(&self, frozen: bool) -> io::Result<()> {
        let (file, text, state, wanted) = match self.version {
            Version::Two => {
                let text = if frozen { "1" } else { "0" };
                ("cgroup.freeze", text, "cgroup.events", text)
            }
            Version::One => {
                let text = if frozen { "FROZEN" } else { "THAWED" };
                ("freezer.state", text, "freezer.state", text)
            }
        };
        let group = self
            .groups
            .iter()
            .find(|group| self.version == Version::Two || group.has("freezer"))
            .ok_or_else(|| io::Error::other("the container has no freezer"))?;
        let directory = group.directory();
        write(&directory.join(file), text)?;
        let end = Instant::now() + PATIENCE;
        loop {
            let now = fs::read_to_string(directory.join(state))?;
            let reached = match self.version {
                Version::One => now.trim() == wanted,
                Version::Two => now
                    .lines()
                    .any(|line| line.strip_prefix("frozen ") == Some(wanted)),
            };
            if reached {
                return Ok(());
            }
            if Instant::now() >= end {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the container's processes do not stop",
                ));
            }
            std::thread::sleep(Duration::from_millis(1));
            if self.version == Version::One && frozen {
                // A process that forks meanwhile may slip through: asked again, the kernel looks again.
                write(&directory.join(file), text)?;
            }
        }
    }

    /// Are all processes stopped?
    pub(super) fn is_frozen(&self) -> bool {
        self.groups.iter().any(|group| {
            let directory = group.directory();
            match self.version {
                Version::One => {
                    group.has("freezer")
                        && fs::read_to_string(directory.join("freezer.state"))
                            .is_ok_and(|state| state.trim() != "THAWED")
                }
                Version::Two => fs::read_to_string(directory.join("cgroup.freeze"))
                    .is_ok_and(|state| state.trim() == "1"),
            }
        })
    }

    /// Returns the numbers of all processes in it, as this process sees them.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(super) fn processes(&self) -> io::Result<Vec<i32>> {
        let Some(group) = self.groups.first() else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        collect(&group.directory(), &mut found)?;
        Ok(found)
    }

    /// Sends a signal to all processes that are in it now.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(super) fn signal(&self, signal: i32) -> io::Result<()> {
        use rustix::process::{Pid, PidfdFlags};
        for number in self.processes()? {
            let Some(pid) = Pid::from_raw(number) else {
                continue;
            };
            // The number may mean another process by now: the handle is opened, then the list looked at again.
            if let Ok(handle) = rustix::process::pidfd_open(pid, PidfdFlags::empty())
                && self.processes()?.contains(&number)
            {
                match crate::sys::linux::container::signal(handle.as_fd(), signal) {
                    Err(error) if error.raw_os_error() != Some(libc::ESRCH) => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Ends all processes in it, wherever they are.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(super) fn kill(&self) -> io::Result<()> {
        if let (Version::Two, Some(group)) = (self.version, self.groups.first()) {
            return write(&group.directory().join("cgroup.kill"), "1");
        }
        let end = Instant::now() + PATIENCE;
        loop {
            let processes = match self.processes() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                result => result?,
            };
            if processes.is_empty() || Instant::now() >= end {
                return Ok(());
            }
            self.signal(libc::SIGKILL)?;
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Removes the groups, and groups that the container has made in them. Those that are gone are no error.
    ///
    /// # Errors
    ///
    /// A group that still has processes.
    pub(super) fn remove(&self) -> Result<(), NativeError> {
        for group in &self.groups {
            let directory = group.directory();
            remove(&directory).map_err(NativeError::step(format!(
                "removing the cgroup {}",
                directory.display()
            )))?;
        }
        Ok(())
    }

    /// Returns what the kernel has counted.
    pub(super) fn stats(&self) -> Stats {
        let directory = |controller: &str| {
            self.groups
                .iter()
                .find(|group| self.version == Version::Two || group.has(controller))
                .map(Group::directory)
        };
        match self.version {
            Version::One => limits::stats_one(directory),
            Version::Two => limits::stats_two(directory),
        }
    }
}

pub use limits::Stats;

fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, 0.into())?)
}

fn version() -> io::Result<Version> {
    let stat = rustix::fs::statfs(ROOT)?;
    Ok(if stat.f_type as u64 == CGROUP2_MAGIC {
        Version::Two
    } else {
        Version::One
    })
}

/// The directory of the hierarchy that has a controller; the name of the controller may be a link to it.
fn hierarchy(controller: &str) -> Option<String> {
    let path = Path::new(ROOT).join(controller);
    let stat = rustix::fs::statfs(&path).ok()?;
    if stat.f_type as u64 != CGROUP_MAGIC {
        return None;
    }
    let name = fs::read_link(&path).ok();
    let name = name.as_deref().and_then(Path::file_name);
    Some(name.map_or_else(
        || controller.to_owned(),
        |name| name.to_string_lossy().into_owned(),
    ))
}

/// Writes a text to a file of a cgroup in one call.
fn write(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|file: File| (&file).write_all(text.as_bytes()))
}

fn collect(directory: &Path, found: &mut Vec<i32>) -> io::Result<()> {
    let listed = fs::read_to_string(directory.join("cgroup.procs"))?;
    found.extend(listed.lines().filter_map(|line| line.parse::<i32>().ok()));
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), found)?;
        }
    }
    Ok(())
}

/// Removes a group. The kernel may need a moment to see that its last process is gone.
fn remove(directory: &Path) -> io::Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        match fs::remove_dir(directory) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() != io::ErrorKind::ResourceBusy || Instant::now() >= end => {
                return Err(error);
            }
            Err(_) => {}
        }
        // Groups inside keep it busy, too.
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                remove(&entry.path())?;
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
