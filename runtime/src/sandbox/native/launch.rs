//! Starting a container's first process, and others in it.

use std::ffi::CString;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Linux, LinuxNamespaceType, Process, Spec};
use rustix::fs::OFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::cgroup::{Cgroups, Entrance};
use super::container::{Container, Record};
use super::error::NativeError;
use super::hooks;
use super::message::Message;
use super::plan::{CgroupView, NAME, Plan};
use super::{Bundle, Options, Stdio, sealed, seccomp, support, users};
use crate::sys::linux::container as sys;
use crate::sys::linux::container::{Child, Namespaces, Spawn, spawn, wait_for};

/// A container whose first process is there and waits before the program begins.
#[derive(Debug)]
pub struct Created {
    container: Container,
    socket: OwnedFd,
    gate: Option<OwnedFd>,
}

impl Created {
    /// The container, for its number and its terminal.
    pub fn container(&mut self) -> &mut Container {
        &mut self.container
    }

    /// Lets the program begin.
    ///
    /// # Errors
    ///
    /// The program cannot be started, or the container was made with a gate of the caller's own, which starts it.
    pub fn start(mut self) -> Result<Container, NativeError> {
        let Some(gate) = self.gate.take() else {
            return Err(NativeError::Invalid(
                "the gate is somebody else's".to_owned(),
            ));
        };
        File::from(gate)
            .write_all(b"s")
            .map_err(NativeError::step("starting the container"))?;
        match follow(&self.socket, &mut self.container, || Ok(())) {
            Ok(_) => Ok(self.container),
            Err(error) => Err(self.container.give_up(error)),
        }
    }

    /// Leaves the container waiting behind the gate that the caller has given.
    pub fn leave(self) -> Container {
        self.container
    }
}

/// Makes a container and stops before its program begins.
///
/// # Errors
///
/// See [`NativeError`]; nothing of the container is left then.
pub fn create(bundle: Bundle, stdio: Stdio, options: Options) -> Result<Created, NativeError> {
    launch(bundle, stdio, options, true)
}

/// Makes a container and starts its program.
///
/// # Errors
///
/// As [`create`], and that the program cannot be started.
pub fn run(bundle: Bundle, stdio: Stdio, options: Options) -> Result<Container, NativeError> {
    Ok(launch(bundle, stdio, options, false)?.container)
}

fn launch(
    bundle: Bundle,
    stdio: Stdio,
    mut options: Options,
    waits: bool,
) -> Result<Created, NativeError> {
    let Bundle {
        spec,
        root,
        directory,
    } = bundle;
    support::check(&spec)?;
    if !directory.is_absolute() {
        return Err(NativeError::Invalid(
            "the bundle's path is not absolute".to_owned(),
        ));
    }
    let linux = spec.linux().clone().unwrap_or_default();
    let filter = linux.seccomp().as_ref().map(seccomp::compile).transpose()?;
    let namespaces = Wanted::of(&linux)?;
    let cgroups = if options.no_cgroup {
        let settings = linux.resources().as_ref();
        if settings.is_some_and(limits_something) {
            return Err(NativeError::Unsupported(
                "limits without a cgroup".to_owned(),
            ));
        }
        Cgroups::none()
    } else {
        let is_root = rustix::process::geteuid().is_root();
        let path = cgroup_path(linux.cgroups_path().as_deref(), &options.id);
        Cgroups::create(&path, linux.resources().as_ref(), !is_root)?
    };
    let hooks = spec.hooks().clone().unwrap_or_default();
    let asks = hooks.prestart().is_some() || hooks.create_runtime().is_some();
    let own_gate = waits && options.gate.is_none();
    let (gate, opener) = if own_gate {
        let (reader, writer) = pipe()?;
        (Some(reader), Some(writer))
    } else {
        (options.gate.take().filter(|_| waits), None)
    };
    let plan = Plan {
        id: options.id.clone(),
        spec,
        bundle: directory,
        root: Some(root),
        new: namespaces.new,
        user_namespace: namespaces.has_user || !is_initial_user_namespace(),
        cgroups: cgroups.view(),
        seccomp: filter,
        socket: -1,
        gate: gate.as_ref().map(AsRawFd::as_raw_fd),
        console: options.console.as_ref().map(AsRawFd::as_raw_fd),
        preserved: options.preserved_files,
        waits: asks,
        ends_with_parent: options.ends_with_parent,
        new_keyring: !options.no_new_keyring,
        lenient: options.lenient,
    };
    let started = Start {
        plan,
        join: namespaces.join(),
        mapped: namespaces.new & libc::CLONE_NEWUSER as u64 != 0,
        becomes_root: namespaces.has_user,
        stdio: &stdio,
    }
    .go(&cgroups, &linux);
    let (child, socket, plan) = match started {
        Ok(started) => started,
        Err(error) => {
            cgroups.remove()?;
            return Err(error);
        }
    };
    let own_pids = namespaces.has(LinuxNamespaceType::Pid);
    let record = match Record::new(child.pid, cgroups.clone(), own_pids) {
        Ok(record) => record,
        Err(error) => {
            drop(sys::signal(child.pidfd.as_fd(), libc::SIGKILL));
            drop(wait_for(child.pid));
            cgroups.remove()?;
            return Err(NativeError::step("looking at the container's process")(
                error,
            ));
        }
    };
    let mut container = Container::new(record, child.pidfd);
    let pid = container.pid();
    let runs_hooks = || {
        let state = hooks::State::new(&plan, "creating", pid);
        hooks::run("prestart", hooks.prestart().as_ref(), &state)?;
        hooks::run("createRuntime", hooks.create_runtime().as_ref(), &state)
    };
    match follow(&socket, &mut container, runs_hooks) {
        // It would have said that it waits.
        Ok(false) if waits => Err(container.give_up(NativeError::Ended)),
        Ok(_) => Ok(Created {
            container,
            socket,
            gate: opener,
        }),
        Err(error) => Err(container.give_up(error)),
    }
}

/// Starts another program in a container that runs.
///
/// `spec` is the container's; its capabilities, filter and namespaces hold for the program, and `process` says the rest.
///
/// # Errors
///
/// See [`NativeError`].
pub fn exec(
    container: &Record,
    spec: &Spec,
    process: Process,
    stdio: Stdio,
    options: Options,
) -> Result<Container, NativeError> {
    support::check_process(&process)?;
    let running = Container::open(container)?;
    let linux = spec.linux().clone().unwrap_or_default();
    let filter = linux.seccomp().as_ref().map(seccomp::compile).transpose()?;
    let mut kinds = 0;
    for namespace in linux.namespaces().iter().flatten() {
        kinds |= namespace.typ() as libc::c_int;
    }
    let has_user = support::has_namespace(&linux, LinuxNamespaceType::User);
    let mut inner = spec.clone();
    inner.set_process(Some(process));
    let plan = Plan {
        id: options.id.clone(),
        spec: inner,
        bundle: PathBuf::from("/"),
        root: None,
        new: 0,
        user_namespace: has_user || !is_initial_user_namespace(),
        cgroups: CgroupView::None,
        seccomp: filter,
        socket: -1,
        gate: None,
        console: options.console.as_ref().map(AsRawFd::as_raw_fd),
        preserved: options.preserved_files,
        waits: true,
        ends_with_parent: options.ends_with_parent,
        new_keyring: !options.no_new_keyring,
        lenient: options.lenient,
    };
    let handle = running
        .pidfd()
        .try_clone_to_owned()
        .map_err(NativeError::step("opening the container's process"))?;
    let (child, socket, plan) = Start {
        plan,
        join: vec![(handle, kinds)],
        mapped: false,
        becomes_root: has_user,
        stdio: &stdio,
    }
    .go(container.cgroups(), &linux)?;
    let record = Record::new(child.pid, Cgroups::none(), false)
        .map_err(NativeError::step("looking at the new process"))?;
    let mut added = Container::new(record, child.pidfd);
    let pid = added.pid();
    let sets_score = || {
        let process = plan.spec.process().as_ref();
        match process.and_then(|process| process.oom_score_adj()) {
            // Here, since the container's own /proc is not to be trusted.
            Some(score) => std::fs::write(format!("/proc/{pid}/oom_score_adj"), score.to_string()),
            None => Ok(()),
        }
    };
    match follow(&socket, &mut added, sets_score) {
        Ok(_) => Ok(added),
        Err(error) => Err(added.give_up(error)),
    }
}

fn limits_something(resources: &oci_spec::runtime::LinuxResources) -> bool {
    let mut others = resources.clone();
    others.set_devices(None);
    others != oci_spec::runtime::LinuxResources::default()
}

fn cgroup_path(named: Option<&Path>, id: &str) -> PathBuf {
    let ours = Path::new("/coracle");
    match named {
        Some(path) if path.is_absolute() => path.to_owned(),
        Some(path) => ours.join(path),
        None => ours.join(id),
    }
}

fn pipe() -> Result<(OwnedFd, OwnedFd), NativeError> {
    sys::pipe().map_err(NativeError::step("making a pipe"))
}

/// Is root here the machine's root? In a user namespace only the host's own device nodes work.
fn is_initial_user_namespace() -> bool {
    std::fs::read_to_string("/proc/self/uid_map")
        .is_ok_and(|map| map.split_whitespace().eq(["0", "0", "4294967295"]))
}

/// The namespaces of a container.
struct Wanted {
    new: u64,
    joined: Vec<(OwnedFd, libc::c_int)>,
    has_user: bool,
    kinds: Vec<LinuxNamespaceType>,
}

impl Wanted {
    fn of(linux: &Linux) -> Result<Self, NativeError> {
        let mut wanted = Self {
            new: 0,
            joined: Vec::new(),
            has_user: false,
            kinds: Vec::new(),
        };
        for namespace in linux.namespaces().iter().flatten() {
            let kind = namespace.typ();
            wanted.kinds.push(kind);
            wanted.has_user |= kind == LinuxNamespaceType::User;
            match namespace.path() {
                None => wanted.new |= kind as u64,
                Some(path) => {
                    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
                    let file = rustix::fs::open(path, flags, 0.into()).map_err(|error| {
                        let doing = format!("opening the namespace {}", path.display());
                        NativeError::step(doing)(error.into())
                    })?;
                    wanted.joined.push((file, kind as libc::c_int));
                }
            }
        }
        Ok(wanted)
    }

    fn has(&self, kind: LinuxNamespaceType) -> bool {
        self.kinds.contains(&kind)
    }

    fn join(&self) -> Vec<(OwnedFd, libc::c_int)> {
        let copy = |(file, kind): &(OwnedFd, libc::c_int)| Some((file.try_clone().ok()?, *kind));
        self.joined.iter().filter_map(copy).collect()
    }
}

/// A first process about to be started.
struct Start<'a> {
    plan: Plan,
    join: Vec<(OwnedFd, libc::c_int)>,
    mapped: bool,
    becomes_root: bool,
    stdio: &'a Stdio,
}

impl Start<'_> {
    fn go(
        mut self,
        cgroups: &Cgroups,
        linux: &Linux,
    ) -> Result<(Child, OwnedFd, Plan), NativeError> {
        let io = |doing: &'static str| {
            move |error: rustix::io::Errno| NativeError::step(doing)(error.into())
        };
        let (ours, theirs) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .map_err(io("making a socket"))?;
        self.plan.socket = theirs.as_raw_fd();
        let memory = self
            .plan
            .write()
            .map_err(NativeError::step("writing the plan"))?;
        let program =
            sealed::executable().map_err(NativeError::step("opening this program's executable"))?;
        let args = [
            CString::from(c"coracle-init"),
            CString::new(memory.as_raw_fd().to_string())
                .map_err(|error| NativeError::Invalid(error.to_string()))?,
        ];
        debug_assert_eq!(args[0].to_str(), Ok(NAME), "as the new process expects");
        let entrance: Entrance = cgroups
            .entrance()
            .map_err(NativeError::step("opening the container's cgroup"))?;
        let tasks: Vec<BorrowedFd<'_>> = entrance.tasks.iter().map(AsFd::as_fd).collect();
        let gate = if self.mapped { Some(pipe()?) } else { None };
        let join: Vec<(BorrowedFd<'_>, libc::c_int)> = self
            .join
            .iter()
            .map(|(file, kind)| (file.as_fd(), *kind))
            .collect();
        let mut keep: Vec<RawFd> = vec![memory.as_raw_fd(), theirs.as_raw_fd()];
        keep.extend(self.plan.gate);
        keep.extend(self.plan.console);
        keep.extend((3..).take(self.plan.preserved as usize));
        let renumber: Vec<(BorrowedFd<'_>, RawFd)> =
            [&self.stdio.stdin, &self.stdio.stdout, &self.stdio.stderr]
                .into_iter()
                .zip(0..)
                .filter_map(|(file, number)| Some((file.as_ref()?.as_fd(), number)))
                .collect();
        let cloned = self.plan.new & !(libc::CLONE_NEWCGROUP as u64);
        let child = spawn(&Spawn {
            new: Namespaces(cloned),
            join: &join,
            cgroup: entrance.directory.as_ref().map(AsFd::as_fd),
            tasks: &tasks,
            program: program.as_fd(),
            args: &args,
            renumber: &renumber,
            keep: &keep,
            mapped: gate
                .as_ref()
                .map(|(reader, writer)| (reader.as_fd(), writer.as_fd())),
            becomes_root: self.becomes_root,
            failure: theirs.as_fd(),
        })
        .map_err(NativeError::step("starting a process in new namespaces"))?;
        drop(theirs);
        if let Some((reader, writer)) = gate {
            drop(reader);
            let mapped = users::write(
                child.pid,
                linux.uid_mappings().as_deref().unwrap_or_default(),
                linux.gid_mappings().as_deref().unwrap_or_default(),
            )
            .and_then(|()| {
                File::from(writer)
                    .write_all(b"m")
                    .map_err(NativeError::step("mapping users into the container"))
            });
            if let Err(error) = mapped {
                // Without the byte it ends by itself.
                drop(wait_for(child.pid));
                return Err(error);
            }
        }
        Ok((child, ours, self.plan))
    }
}

/// Follows what the first process tells, until it waits for the start or has become the program.
fn follow(
    socket: &OwnedFd,
    container: &mut Container,
    mut asked: impl FnMut() -> std::io::Result<()>,
) -> Result<bool, NativeError> {
    loop {
        let received = Message::receive(socket.as_fd()).map_err(NativeError::step(
            "listening to the container's first process",
        ))?;
        let Some((message, file)) = received else {
            return Ok(false);
        };
        match message {
            Message::NotStarted(number) => {
                return Err(NativeError::Step {
                    doing: "starting the container's first process".to_owned(),
                    source: std::io::Error::from_raw_os_error(number),
                });
            }
            Message::Failed(told) => return Err(told.into()),
            Message::Asks => {
                asked().map_err(NativeError::step("preparing the container"))?;
                rustix::net::send(socket, b"h", rustix::net::SendFlags::NOSIGNAL).map_err(
                    |error| NativeError::step("answering the first process")(error.into()),
                )?;
            }
            Message::Terminal => container.set_terminal(file),
            Message::Report(text) => container.report(text),
            Message::Ready => return Ok(true),
        }
    }
}
