//! Starts Linux containers, and programs in those that run.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use coracle_runtime::container::{
    Container, ContainerConfig, Exit, Namespace, NativeConfig, Owned,
};
use coracle_runtime::policy::Limits;
use coracle_runtime::sandbox::native::{
    self as launcher, Bundle, Ended, Options, Record, RootMount, Stdio,
};
use coracle_runtime::sys;
use oci_spec::runtime::Spec;

use super::super::run::{Show, output};
use super::super::{Engine, Error, Prepared, now, policy};
use super::devices;
use super::host_files;
use super::ready::Ready;
use super::report;
use super::seccomp;
use super::spec::{self, Files, Inputs, Joined, Mapping};
use super::stdio;
use super::user::{self, Identity};
use super::{SpecError, capabilities};

/// Where a running container's folder says how it is found again.
const RECORD: &str = "native.json";
/// Bytes of that file that are read.
const MAX_RECORD_BYTES: u64 = 64 << 10;

impl Engine {
    /// Runs the program of a container that this process has taken over, to its end.
    pub(in super::super) fn start_native(
        &self,
        prepared: Prepared,
        owned: &mut Owned,
        show: Show,
        started: &mut dyn FnMut(),
        ended: &mut dyn FnMut(&Exit),
    ) -> Result<Exit, Error> {
        let (config, ready) = prepared.into_native()?;
        let native = native_of(&config)?;
        let output = output(&owned.container, show)?;
        let folder = owned.container.folder();
        // A process that was killed has left its control groups.
        self.left_by(&owned.container).clear();
        let (spec, _) = self.describe(&config, native, &ready, Some(&folder))?;
        let report = report::of(&config, native, &spec);
        policy::check_wall(&config.policy, &report).map_err(|problem| Error::Degraded {
            problem: problem.to_string(),
        })?;
        let upper = owned.container.upper_path();
        give_root(&upper, ready.root)?;
        let bundle = Bundle {
            spec,
            root: RootMount::Overlay {
                lowers: ready.trees.lowers.clone(),
                upper,
                work: owned.container.work_path(),
                user_attributes: !sys::is_root(),
                volatile: config.auto_remove,
            },
            directory: folder.clone(),
        };
        let options = Options {
            id: config.id.to_string(),
            ends_with_parent: true,
            lenient: true,
            ..Options::default()
        };
        let (stdio, mut pumps) = match config.tty {
            true => (Stdio::default(), stdio::Pumps::default()),
            false => stdio::streams(config.open_stdin, &output)?,
        };
        let mut container = launcher::run(bundle, stdio, options)?;
        if let Some(terminal) = container.take_terminal() {
            pumps = stdio::terminal(terminal, config.open_stdin, &output)?;
        }
        write_record(&folder, container.record())?;
        let walls = serde_json::to_value(report).unwrap_or_default();
        owned.started(now(), walls)?;
        sys::pass_signals_on(container.pidfd()).map_err(|source| Error::Limit {
            doing: "passing signals on to the container",
            source,
        })?;
        started();
        let end = container.wait()?;
        let out_of_memory = container.stats().oom_kills.unwrap_or_default() > 0;
        // Its processes are gone, and so is whoever could still write.
        container.delete()?;
        pumps.finish();
        let exit = exit_of(end, out_of_memory, &config.policy.limits);
        owned.finish(&exit)?;
        ended(&exit);
        Ok(exit)
    }

    /// Runs another program in a container that runs, to its end.
    pub(in super::super) fn exec_native(
        &self,
        container: &Container,
        prepared: Prepared,
        started: &mut dyn FnMut(),
        ended: &mut dyn FnMut(&Exit),
    ) -> Result<Exit, Error> {
        let output = prepared.output.clone();
        let (config, ready) = prepared.into_native()?;
        let native = native_of(&config)?;
        let record = read_record(&container.folder()).ok_or_else(|| Error::NotRunning {
            container: config.name.to_string(),
        })?;
        let (spec, _) = self.describe(&config, native, &ready, None)?;
        let process = spec.process().clone().ok_or_else(|| Error::NoCommand {
            image: config.image.clone(),
        })?;
        let options = Options {
            id: config.id.to_string(),
            ends_with_parent: true,
            lenient: true,
            ..Options::default()
        };
        let (stdio, mut pumps) = match config.tty {
            true => (Stdio::default(), stdio::Pumps::default()),
            false => stdio::streams(config.open_stdin, &output)?,
        };
        let mut added = launcher::exec(&record, &spec, process, stdio, options)?;
        if let Some(terminal) = added.take_terminal() {
            pumps = stdio::terminal(terminal, config.open_stdin, &output)?;
        }
        sys::pass_signals_on(added.pidfd()).map_err(|source| Error::Limit {
            doing: "passing signals on to the program",
            source,
        })?;
        started();
        let end = added.wait()?;
        pumps.finish();
        let exit = exit_of(end, false, &config.policy.limits);
        ended(&exit);
        Ok(exit)
    }

    /// Halts all of a container's processes, or lets them go on.
    ///
    /// # Errors
    ///
    /// What the system says, such as that the container has no control group.
    pub(in super::super) fn freeze(
        &self,
        container: &Container,
        frozen: bool,
    ) -> Result<(), Error> {
        if container.config.backend.is_wasm() {
            return Ok(());
        }
        let Some(record) = read_record(&container.folder()) else {
            return Ok(());
        };
        let running = launcher::Container::open(&record)?;
        match frozen {
            true => running.pause()?,
            false => running.resume()?,
        }
        Ok(())
    }

    /// Returns what is left when a container's process is killed: to be asked before its folder goes.
    pub(in super::super) fn left_by(&self, container: &Container) -> Left {
        let native = !container.config.backend.is_wasm();
        Left(native.then(|| read_record(&container.folder())).flatten())
    }

    /// Makes the runtime specification of a container; with its folder, the small files in it as well. Without, it is for a
    /// program that joins the container.
    fn describe(
        &self,
        config: &ContainerConfig,
        native: &NativeConfig,
        ready: &Ready,
        folder: Option<&Path>,
    ) -> Result<(Spec, Identity), Error> {
        let user = native.user.as_deref().unwrap_or_default();
        let identity = user::identify(user, &native.groups, &ready.passwd, &ready.group)?;
        let granted = match native.privileged && sys::is_root() {
            true => devices::of_host()?,
            false => devices::granted(&native.devices)?,
        };
        let with_hosts_network = config.policy.net.mode == coracle_runtime::policy::net::Mode::Host;
        let hostname = hostname(config, native, with_hosts_network);
        let files = match folder {
            Some(folder) => host_files::write(
                folder,
                &hostname,
                with_hosts_network,
                &config.policy.net.hosts,
            )?,
            None => Files::default(),
        };
        let joined = match folder {
            Some(_) => self.joined(native)?,
            None => Joined::any(),
        };
        let mapping = mapping()?;
        let cgroup = format!("/coracle/{}", config.id);
        let mut inputs = Inputs {
            config,
            native,
            identity: &identity,
            devices: &granted,
            hostname: &hostname,
            files: &files,
            joined: &joined,
            mapping: mapping.as_ref(),
            seccomp: None,
            held: held(native),
            cgroup: &cgroup,
        };
        inputs.seccomp = seccomp::chosen(native, &inputs.capabilities()?)?;
        let spec = spec::spec(&inputs)?;
        Ok((spec, identity))
    }

    /// Finds the containers whose namespaces are to be joined.
    fn joined(&self, native: &NativeConfig) -> Result<Joined, Error> {
        let process = |whose: &Namespace| -> Result<Option<u32>, Error> {
            let Namespace::Container(name) = whose else {
                return Ok(None);
            };
            let container = self.containers.find(name)?;
            let record = read_record(&container.folder());
            let running = record.filter(|record| record.is_running().unwrap_or(false));
            Ok(running.map(|record| record.pid()))
        };
        let namespace = |pid: Option<u32>, kind: &str| {
            pid.map(|pid| PathBuf::from(format!("/proc/{pid}/ns/{kind}")))
        };
        Ok(Joined {
            pid: namespace(process(&native.pid)?, "pid"),
            network: namespace(process(&native.network)?, "net"),
        })
    }
}

/// What a Linux container's process leaves to others when it is killed: processes that outlived it, and control groups.
pub(in super::super) struct Left(Option<Record>);

impl Left {
    /// Removes it. What cannot be removed is empty, and costs next to nothing.
    pub(in super::super) fn clear(self) {
        let Some(record) = self.0 else {
            return;
        };
        if let Ok(running) = launcher::Container::open(&record) {
            drop(running.kill_all());
        }
        drop(record.delete());
    }
}

fn native_of(config: &ContainerConfig) -> Result<&NativeConfig, Error> {
    config
        .backend
        .native()
        .ok_or_else(|| Error::ProgramNotFound {
            program: config.args.first().cloned().unwrap_or_default(),
        })
}

/// The host name: what was asked for, the host's own where its network is, else the beginning of the ID.
fn hostname(config: &ContainerConfig, native: &NativeConfig, with_hosts_network: bool) -> String {
    if let Some(name) = &native.hostname {
        return name.clone();
    }
    let own = || config.id.short().to_owned();
    if native.uts == Namespace::Host || with_hosts_network {
        let path = "/proc/sys/kernel/hostname";
        return fs::read_to_string(path).map_or_else(|_| own(), |name| name.trim().to_owned());
    }
    own()
}

/// What this process may give away. It has what is usual, and is asked only about more.
fn held(native: &NativeConfig) -> u64 {
    if !native.privileged && native.cap_add.is_empty() {
        return u64::MAX;
    }
    capabilities::held(&fs::read_to_string("/proc/self/status").unwrap_or_default())
}

/// Without root's rights, the container's root is this user, and nobody else is in it.
fn mapping() -> Result<Option<Mapping>, SpecError> {
    if sys::is_root() {
        return Ok(None);
    }
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    Mapping::one(uid.as_raw(), gid.as_raw()).map(Some)
}

/// Gives the directory of changes the mode and owner that the image's root directory has: overlayfs shows those.
fn give_root(upper: &Path, (mode, uid, gid): (u32, u32, u32)) -> Result<(), Error> {
    let failed = |source| Error::File {
        doing: "preparing",
        path: upper.to_owned(),
        source,
    };
    let found = fs::metadata(upper).map_err(failed)?;
    // Changed by the container since then, or made ready before.
    if found.permissions().mode() & 0o7777 != 0o700 && found.permissions().mode() & 0o7777 != 0o755
    {
        return Ok(());
    }
    if sys::is_root() && (uid, gid) != (0, 0) {
        std::os::unix::fs::chown(upper, Some(uid), Some(gid)).map_err(failed)?;
    }
    fs::set_permissions(upper, fs::Permissions::from_mode(mode)).map_err(failed)
}

fn write_record(folder: &Path, record: &Record) -> Result<(), Error> {
    let path = folder.join(RECORD);
    let text = serde_json::to_vec(record).unwrap_or_default();
    fs::write(&path, text).map_err(|source| Error::File {
        doing: "writing",
        path,
        source,
    })
}

/// Reads how a container is found; `None` if it has never run, or the file is none of ours.
fn read_record(folder: &Path) -> Option<Record> {
    use std::io::Read;
    let mut text = Vec::new();
    let file = fs::File::open(folder.join(RECORD)).ok()?;
    file.take(MAX_RECORD_BYTES).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

fn exit_of(end: Ended, out_of_memory: bool, limits: &Limits) -> Exit {
    let code = u8::try_from(end.code() & 0xff).unwrap_or(u8::MAX);
    match end {
        Ended::Signaled(_) if out_of_memory && limits.memory.is_some() => Exit {
            out_of_memory: true,
            ..Exit::because(code, "the program needed more memory than its limit")
        },
        _ => Exit::by_itself(code),
    }
}
