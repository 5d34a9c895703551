//! Runs a container in the foreground: the guest executes in this process.
//!
//! Every system call counts here. The order matters as well: whatever needs the host (image, mounts, compiled code, the
//! container's directory) is opened first, then the second wall goes up, then the guest starts.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use coracle_packager::digest::Digest;
use coracle_packager::image::{ContainerConfig as ImageDefaults, Image};
use coracle_packager::layer::Rootfs;
use coracle_runtime::container::{
    Backend, Container, ContainerConfig, Exit, Id, MountConfig, Name, Namespace, NativeConfig,
    Owned, RestartPolicy,
};
use coracle_runtime::logs::{LogConfig, LogWriter};
use coracle_runtime::policy::{Capability, Limits, Observer, Refusal};
use coracle_runtime::sandbox::wall::{self, Place, WallSpec};
use coracle_runtime::sandbox::wasm::{self, Outcome};
use coracle_runtime::spec::{ContainerSpec, Listener, Output, Stdin};
use coracle_runtime::sys::{self, Ending};
use coracle_runtime::vfs::{
    Access, Errno, File, FileKind, GuestFs, GuestFsBuilder, MountSource, Node, OpenOptions, Tmpfs,
    TmpfsOptions,
};

use super::backend::check_native;
use super::error::with_causes;
use super::health::{self, HealthRequest};
use super::lower::ImageLower;
use super::network::{self, NetworkRequest};
use super::policy::{self, PolicyRequest, Watch};
use super::{Engine, Error, VolumesFrom, names, native, now, random, spec};

/// What to run, and what is granted to it.
#[derive(Clone, Debug, Default)]
pub struct RunContainer {
    /// The image as the user named it, for the record.
    pub image: String,
    /// The container's name; one is made up if absent.
    pub name: Option<Name>,
    /// Replaces the image's ENTRYPOINT.
    pub entrypoint: Option<String>,
    /// Replaces the image's CMD.
    pub args: Vec<String>,
    /// The function to call with `args`, instead of starting the program.
    pub invoke: Option<String>,
    /// Environment, each `NAME=value`; added to the image's.
    pub env: Vec<String>,
    /// Replaces the image's WORKDIR.
    pub cwd: Option<String>,
    /// Host directories and files that the guest may use, and volumes.
    pub mounts: Vec<MountConfig>,
    /// Containers whose mounts it gets as well.
    pub volumes_from: Vec<VolumesFrom>,
    /// Labels; added to the image's.
    pub labels: BTreeMap<String, String>,
    /// Is this process's standard input the guest's?
    pub open_stdin: bool,
    /// Was a terminal asked for?
    pub tty: bool,
    /// How much of what the guest says is kept.
    pub log: LogConfig,
    /// The signal that asks the guest to end.
    pub stop_signal: Option<String>,
    /// How long it may take, in seconds.
    pub stop_timeout: Option<i64>,
    /// Does standard input end when the first who was attached leaves?
    pub stdin_once: bool,
    /// When the container is started again.
    pub restart: RestartPolicy,
    /// How it is asked whether it is well.
    pub health: HealthRequest,
    /// Is the container removed when it ends?
    pub auto_remove: bool,
    /// May the guest change only what is mounted?
    pub read_only: bool,
    /// What it may do with the network.
    pub network: NetworkRequest,
    /// What it may use up.
    pub limits: Limits,
    /// Makes of a reason the line that tells it on standard error, where the process is ended before it could return one.
    pub farewell: Option<fn(&str) -> String>,
    /// Bytes that the container's own files may take.
    pub storage_limit: Option<u64>,
    /// How the grants are meant.
    pub policy: PolicyRequest,
    /// What only a Linux program has a use for.
    pub native: NativeConfig,
}

/// A container that is ready to be created and started.
pub struct Prepared {
    pub(super) config: ContainerConfig,
    pub(super) lower: Arc<ImageLower>,
    mounts: Vec<MountSource>,
    listeners: Vec<Listener>,
    /// The program, which is WebAssembly; else `native` is there.
    pub(super) program: Option<Found>,
    pub(super) native: Option<Box<native::Ready>>,
    farewell: Option<fn(&str) -> String>,
    record: Option<Arc<fs::File>>,
    pub(super) tell: Option<fn(&Capability)>,
    /// Where what the program says goes that runs beside a container's own.
    pub(super) output: Output,
    /// Had the program to be compiled? Then this process has threads, and cannot raise the second wall any more.
    pub compiled: bool,
}

impl Prepared {
    /// Returns the id of the container that is to run.
    pub fn id(&self) -> &Id {
        &self.config.id
    }

    /// Returns what a Linux container is started with.
    #[cfg(target_os = "linux")]
    pub(super) fn into_native(self) -> Result<(ContainerConfig, native::Ready), Error> {
        match self.native {
            Some(ready) => Ok((self.config, *ready)),
            None => Err(Error::ProgramNotFound {
                program: self.config.args[0].clone(),
            }),
        }
    }

    /// Returns the files that the guest begins with.
    pub(super) fn view(&self) -> Result<GuestFs, Error> {
        view(&self.lower, &self.config, &self.mounts, None)
    }

    /// Does somebody have to watch over the container from another process?
    pub fn is_watched(&self) -> bool {
        self.config.restart != RestartPolicy::No || self.config.health.is_some()
    }
}

impl Engine {
    /// Decides everything about a container of `image`, opens what it needs of the host, and sees to it that its program
    /// is compiled. Nothing is created yet.
    ///
    /// # Errors
    ///
    /// If a grant is denied, a mount cannot be opened, or the program is not there or no program.
    pub fn prepare(&self, image: &Image, request: RunContainer) -> Result<Prepared, Error> {
        self.decide(image, request, policy::refuse)
    }

    /// As [`Engine::prepare`]; `refused` decides what becomes of grants that are denied.
    pub(super) fn decide(
        &self,
        image: &Image,
        mut request: RunContainer,
        refused: impl FnOnce(Vec<Refusal>) -> Result<(), Error>,
    ) -> Result<Prepared, Error> {
        let options = std::mem::take(&mut request.policy);
        self.choose_volumes(image, &mut request, options.strict)?;
        let mounts = open_mounts(&mut request.mounts, Engine::is_to_come)?;
        let wanted = std::mem::take(&mut request.network);
        let mut native = std::mem::take(&mut request.native);
        if let Some(container) = &wanted.join {
            native.network = Namespace::Container(container.clone());
        }
        let farewell = request.farewell;
        let runnable = self.runnable(image)?;
        let mut config = freeze(&runnable, request, &options)?;
        config.backend = self.backend(&runnable, &config, native, || {
            view(&Arc::new(self.open_lower(image)?), &config, &mounts, None)
        })?;
        if !config.backend.is_wasm() {
            check_native(&config, &wanted)?;
        }
        let network = network::open(image, wanted)?;
        config.policy.net = network.policy;
        config.ports = network.ports;
        refused(policy::bring_below(&mut config.policy, &options))?;
        // The program is looked for before there is a container: its upper will be empty.
        let mut prepared = self.open_parts(image, config, mounts, network.listeners, None)?;
        prepared.farewell = farewell;
        prepared.record = options.record;
        prepared.tell = options.tell;
        Ok(prepared)
    }

    /// Opens what a container that exists needs of the host, to run a program in it.
    pub(super) fn prepare_again(
        &self,
        container: &Container,
        mut config: ContainerConfig,
        listeners: Vec<Listener>,
    ) -> Result<Prepared, Error> {
        let digest = Digest::parse(&config.manifest)?;
        let image = self.open_manifest(&digest)?;
        let mounts = open_mounts(&mut config.mounts, |_| false)?;
        let upper = container.open_upper()?;
        self.open_parts(&image, config, mounts, listeners, Some(upper))
    }

    fn open_parts(
        &self,
        image: &Image,
        config: ContainerConfig,
        mounts: Vec<MountSource>,
        listeners: Vec<Listener>,
        upper: Option<(Dir, Dir)>,
    ) -> Result<Prepared, Error> {
        let lower = Arc::new(self.open_lower(image)?);
        #[cfg(target_os = "linux")]
        if !config.backend.is_wasm() {
            let view = view(&lower, &config, &mounts, None)?;
            let ready = native::Ready::new(self, image, &view, upper)?;
            return Ok(Prepared {
                config,
                lower,
                mounts,
                listeners,
                program: None,
                native: Some(Box::new(ready)),
                farewell: None,
                record: None,
                tell: None,
                output: Output::Inherit,
                compiled: false,
            });
        }
        let view = view(&lower, &config, &mounts, upper)?;
        let env = config
            .env
            .iter()
            .map(|pair| split(pair))
            .collect::<Vec<_>>();
        let mut program = find_program(&view, &config.args[0], &env, &config.cwd)?;
        let compiled = self.compile(&view, &mut program, &config.policy.limits)?;
        tracing::debug!(program = program.path, compiled, "found the program");
        Ok(Prepared {
            config,
            lower,
            mounts,
            listeners,
            program: Some(program),
            native: None,
            farewell: None,
            record: None,
            tell: None,
            output: Output::Inherit,
            compiled,
        })
    }

    /// Creates the container and runs its guest to its end. Calls `ended` as soon as that is recorded, before the guest's
    /// memory is given back: a caller that ends the process there saves the time.
    ///
    /// Raises the second wall around this process: afterwards it can do little but end.
    ///
    /// # Errors
    ///
    /// An [`Error`] means that the guest did not start. If the container could be created it stays as an exited one, as in
    /// Docker, unless it is to be removed.
    pub fn run(&self, mut prepared: Prepared, ended: &mut dyn FnMut(&Exit)) -> Result<Exit, Error> {
        let volumes = self.make_volumes(&prepared.config, &prepared.lower)?;
        if volumes.is_some() {
            prepared.mounts = open_mounts(&mut prepared.config.mounts, |_| false)?;
        }
        let owned = self.containers.create_owned(prepared.config.clone())?;
        if let Some(volumes) = volumes {
            volumes.keep();
        }
        self.run_owned(owned, prepared, Show::Here, &mut || {}, ended)
    }

    /// Runs the guest of a container that this process has taken over. Calls `started` when the walls are up.
    pub(super) fn run_owned(
        &self,
        mut owned: Owned,
        prepared: Prepared,
        show: Show,
        started: &mut dyn FnMut(),
        ended: &mut dyn FnMut(&Exit),
    ) -> Result<Exit, Error> {
        let limits = prepared.config.policy.limits;
        let result = limit_process(&limits, &owned, prepared.farewell)
            .and_then(|()| self.start(prepared, &mut owned, show, started, ended));
        if let Err(error) = &result {
            owned.finish(&Exit::because(
                error.kind().exit_code(),
                &with_causes(error),
            ))?;
        }
        result
    }

    /// Opens the image's files in packed form, and packs what is not packed yet or is damaged.
    pub(super) fn open_lower(&self, image: &Image) -> Result<ImageLower, Error> {
        // A collection in another process must not come between finding the files and opening them.
        let _lease = self.layers.lease()?;
        self.runnable(image)
            .and_then(|image| self.rootfs(&image))
            .and_then(|rootfs| open(&rootfs))
            .or_else(|error| {
                // A process that has no descriptors left, say, must not throw away what is good.
                if !error.may_be_damage() {
                    return Err(error);
                }
                let runnable = self.runnable(image)?;
                self.layers.discard(&runnable)?;
                let runnable = self.runnable(image)?;
                open(&self.rootfs(&runnable)?)
            })
    }

    /// Puts the sandbox together and runs the guest in it.
    fn start(
        &self,
        prepared: Prepared,
        owned: &mut Owned,
        show: Show,
        started: &mut dyn FnMut(),
        ended: &mut dyn FnMut(&Exit),
    ) -> Result<Exit, Error> {
        #[cfg(target_os = "linux")]
        if prepared.native.is_some() {
            return self.start_native(prepared, owned, show, started, ended);
        }
        let output = output(&owned.container, show)?;
        let mut wall = wall_around(&owned.container, &prepared.mounts)?;
        wall.grant_network(&prepared.config.policy.net, &prepared.listeners);
        if let Output::Log { .. } = output {
            wall.read_write
                .push(Place::Path(owned.container.log_path()));
        }
        let upper = owned.open_upper()?;
        let policy = prepared.config.policy.clone();
        let watch = Watch::new(owned, prepared.record.as_deref(), prepared.tell)?;
        let (fs, spec) = sandbox(prepared, upper, output, Some(Arc::new(watch)))?;
        // Both closures write to the record, one after the other.
        let owned = RefCell::new(owned);
        let mut recorded = Ok(());
        let mut raise = || -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
            let report = wall::raise(&wall)?;
            policy::check_wall(&policy, &report)?;
            let report = serde_json::to_value(report)?;
            let mut owned = owned.borrow_mut();
            owned.started(now(), report)?;
            sys::end_on_signals(owned.record.file(), |signal| of_signal(signal).to_line())?;
            started();
            Ok(())
        };
        let mut record = |outcome: &Outcome| {
            let exit = exit_of(outcome);
            recorded = owned.borrow_mut().finish(&exit);
            if recorded.is_ok() {
                ended(&exit);
            }
        };
        let outcome = wasm::run_then(
            self.wasm_for(&spec.limits)?,
            fs,
            &spec,
            &mut raise,
            &mut record,
        )?;
        recorded?;
        Ok(exit_of(&outcome))
    }

    /// Runs another program in a container, beside the guest that the container was made for, and returns its exit code.
    pub(super) fn run_beside(
        &self,
        container: &Container,
        prepared: Prepared,
        raised: &mut dyn FnMut(),
        ended: &mut dyn FnMut(&Exit),
    ) -> Result<Exit, Error> {
        #[cfg(target_os = "linux")]
        if prepared.native.is_some() {
            return self.exec_native(container, prepared, raised, ended);
        }
        allow_open_files(&prepared.config.policy.limits)?;
        let mut wall = wall_around(container, &prepared.mounts)?;
        wall.grant_network(&prepared.config.policy.net, &prepared.listeners);
        let policy = prepared.config.policy.clone();
        let watch = Arc::new(Watch::beside(container, prepared.tell)?);
        let upper = container.open_upper()?;
        let output = prepared.output.clone();
        let (fs, spec) = sandbox(prepared, upper, output, Some(watch))?;
        let mut raise = || -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
            policy::check_wall(&policy, &wall::raise(&wall)?)?;
            raised();
            Ok(())
        };
        let mut record = |outcome: &Outcome| ended(&exit_of(outcome));
        let outcome = wasm::run_then(
            self.wasm_for(&spec.limits)?,
            fs,
            &spec,
            &mut raise,
            &mut record,
        )?;
        Ok(exit_of(&outcome))
    }
}

/// Joins an image's files and mounts to what the guest sees, to look at and not to change. A container that exists has its own
/// files as well.
fn view(
    lower: &Arc<ImageLower>,
    config: &ContainerConfig,
    mounts: &[MountSource],
    upper: Option<(Dir, Dir)>,
) -> Result<GuestFs, Error> {
    let copies = mounts
        .iter()
        .map(MountSource::try_clone)
        .collect::<Result<Vec<_>, _>>();
    let copies = copies.map_err(|source| Error::File {
        doing: "opening the mounts of",
        path: config.image.clone().into(),
        source,
    })?;
    let mut builder = GuestFs::builder(lower.clone());
    if let Some((upper, work)) = upper {
        builder = builder.upper(upper, work).read_only(true);
    }
    Ok(with_mounts(builder, &config.mounts, copies).build()?)
}

/// Where a guest's output is seen, beside the container's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    /// This process passes it on as its own.
    Here,
    /// Nowhere else.
    Nowhere,
    /// On the terminal that is this process' standard input. Who has its other end keeps the log.
    Terminal,
}

/// Opens the container's log, if it keeps one. What is removed at its end keeps none unless nobody sees it.
pub(super) fn output(container: &Container, show: Show) -> Result<Output, Error> {
    let config = &container.config;
    if show == Show::Terminal {
        let terminal = sys::standard_input().map_err(|source| Error::File {
            doing: "taking over the terminal of",
            path: container.folder(),
            source,
        })?;
        return Ok(Output::File(Arc::new(terminal)));
    }
    let here = show == Show::Here;
    if config.log == LogConfig::NONE || (here && config.auto_remove) {
        return Ok(if here {
            Output::Inherit
        } else {
            Output::Nowhere
        });
    }
    let path = container.log_path();
    let log = LogWriter::open(&path, config.log).map_err(|source| Error::File {
        doing: "opening the log",
        path,
        source,
    })?;
    Ok(Output::Log {
        log: Arc::new(log),
        show: here,
    })
}

/// Puts together what the guest gets.
fn sandbox(
    prepared: Prepared,
    (upper, work): (Dir, Dir),
    output: Output,
    observer: Option<Arc<dyn Observer>>,
) -> Result<(GuestFs, ContainerSpec), Error> {
    let Prepared {
        config,
        lower,
        mounts,
        listeners,
        program,
        ..
    } = prepared;
    let program = program.ok_or_else(|| Error::ProgramNotFound {
        program: config.args[0].clone(),
    })?;
    let mut builder = GuestFs::builder(lower)
        .upper(upper, work)
        .upper_limit(config.storage_limit)
        .read_only(config.read_only);
    if let Some(observer) = &observer {
        builder = builder.observer(observer.clone());
    }
    let fs = with_mounts(builder, &config.mounts, mounts).build()?;
    make_working_directory(&fs, &config.cwd)?;
    let spec = ContainerSpec {
        program_sha256: program.sha256,
        world: spec::world(config.invoke, &config.args),
        args: config.args,
        env: config.env.iter().map(|pair| split(pair)).collect(),
        cwd: config.cwd,
        stdin: if config.open_stdin {
            Stdin::Inherit
        } else {
            Stdin::Empty
        },
        stdout: output.clone(),
        stderr: output,
        deny_interfaces: config.policy.deny.interfaces,
        observer,
        drain_on_signals: true,
        limits: config.policy.limits,
        net: config.policy.net,
        listeners,
        ..ContainerSpec::new(&program.path)
    };
    Ok((fs, spec))
}

fn open(rootfs: &Rootfs) -> Result<ImageLower, Error> {
    ImageLower::open(rootfs).map_err(|source| Error::File {
        doing: "opening the packed image",
        path: rootfs.index.clone(),
        source,
    })
}

/// Adds what was granted to the guest's file system.
pub(super) fn with_mounts(
    builder: GuestFsBuilder,
    mounts: &[MountConfig],
    sources: Vec<MountSource>,
) -> GuestFsBuilder {
    mounts
        .iter()
        .zip(sources)
        // Until it is filled from the image, the image's own files are what it will hold.
        .filter(|(mount, source)| {
            !(copies_image(mount) && matches!(source, MountSource::Memory(_)))
        })
        .fold(builder, |builder, (mount, source)| {
            let access = if mount.read_only {
                Access::ReadOnly
            } else {
                Access::ReadWrite
            };
            builder.mount(&mount.target, source, access)
        })
}

/// Says what of the host the process may still reach: the container's own files, and what was mounted. Mounts are named by what
/// was opened, so that both walls mean the same even if somebody moves another thing to that path meanwhile.
fn wall_around(container: &Container, mounts: &[MountSource]) -> Result<WallSpec, Error> {
    let mut wall = WallSpec::default();
    wall.read_write
        .extend([container.upper_path(), container.work_path()].map(Place::Path));
    for (mount, source) in container.config.mounts.iter().zip(mounts) {
        let handle = source.try_clone().map_err(|source| Error::Mount {
            path: mount.source.clone().into(),
            target: mount.target.clone(),
            source,
        })?;
        let place = Place::Handle(match handle {
            MountSource::Directory(dir) => dir.into_std_file(),
            MountSource::File(file) => file,
            // The process' own.
            MountSource::Memory(_) => continue,
        });
        if mount.read_only {
            wall.read.push(place);
        } else {
            wall.read_write.push(place);
        }
    }
    Ok(wall)
}

/// Decides everything about the container.
fn freeze(
    image: &Image,
    request: RunContainer,
    options: &PolicyRequest,
) -> Result<ContainerConfig, Error> {
    let defaults = &image.config.config;
    let entrypoint = request.entrypoint.as_deref();
    let args = match &request.invoke {
        Some(_) => spec::function_args(defaults, entrypoint, &request.args),
        None => spec::args(defaults, entrypoint, &request.args),
    };
    if args.first().is_none_or(String::is_empty) {
        return Err(Error::NoCommand {
            image: request.image,
        });
    }
    let policy = policy::collect(&request, options);
    let health = health::check(defaults, request.health);
    let name = match request.name {
        Some(name) => name,
        None => names::random(random()).parse()?,
    };
    let env = if options.strict {
        spec::env(&ImageDefaults::default(), &request.env)
    } else {
        spec::env(defaults, &request.env)
    };
    Ok(ContainerConfig {
        version: ContainerConfig::VERSION,
        id: Id::from_random(random()),
        name,
        created: now(),
        auto_remove: request.auto_remove,
        read_only: policy.read_only,
        storage_limit: request.storage_limit,
        manifest: image.descriptor.digest().to_string(),
        image_id: image.config_digest.to_string(),
        image: request.image,
        args,
        invoke: request.invoke,
        env: env
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect(),
        cwd: spec::cwd(defaults, request.cwd.as_deref()),
        mounts: request.mounts,
        open_stdin: request.open_stdin,
        stdin_once: request.stdin_once,
        tty: request.tty,
        log: request.log,
        stop_signal: request.stop_signal,
        stop_timeout: request.stop_timeout,
        restart: request.restart,
        health,
        policy,
        ports: Vec::new(),
        backend: Backend::Wasm,
        labels: spec::labels(defaults, &request.labels),
    })
}

fn copies_image(mount: &MountConfig) -> bool {
    mount.volume.as_ref().is_some_and(|volume| !volume.no_copy)
}

/// Opens what is to be mounted. Memory stands for what is still to come.
pub(super) fn open_mounts(
    mounts: &mut [MountConfig],
    is_to_come: impl Fn(&MountConfig) -> bool,
) -> Result<Vec<MountSource>, Error> {
    let open = |mount: &mut MountConfig| {
        if is_to_come(mount) {
            return Ok(MountSource::Memory(Tmpfs::new(TmpfsOptions::default())));
        }
        open_mount(mount)
    };
    mounts.iter_mut().map(open).collect()
}

/// Opens what is to be mounted. Its path is made free of links and dots, so that the record says what was really granted.
fn open_mount(mount: &mut MountConfig) -> Result<MountSource, Error> {
    if let Some(options) = mount.tmpfs {
        return Ok(MountSource::Memory(Tmpfs::new(options)));
    }
    let (path, target) = (PathBuf::from(&mount.source), mount.target.clone());
    let failed = |source| Error::Mount {
        path: path.clone(),
        target: target.clone(),
        source,
    };
    let real = path.canonicalize().map_err(failed)?;
    // Looked at first: opening a pipe would wait for its other end.
    let kind = fs::metadata(&real).map_err(failed)?.file_type();
    let source = if kind.is_dir() {
        let dir = Dir::open_ambient_dir(&real, ambient_authority()).map_err(failed)?;
        MountSource::Directory(dir)
    } else if kind.is_file() {
        let mut options = fs::File::options();
        options.read(true).write(!mount.read_only);
        MountSource::File(options.open(&real).map_err(failed)?)
    } else {
        let problem = "neither a folder nor a regular file";
        return Err(failed(std::io::Error::new(
            std::io::ErrorKind::InvalidInput,
            problem,
        )));
    };
    mount.source = real.into_os_string().into_string().map_err(|_| {
        failed(std::io::Error::new(
            std::io::ErrorKind::InvalidInput,
            "the path is not UTF-8",
        ))
    })?;
    Ok(source)
}

/// Makes the working directory if the image has none of that name, as Docker does.
fn make_working_directory(fs: &GuestFs, cwd: &str) -> Result<(), Error> {
    let failed = |source| Error::WorkingDirectory {
        path: cwd.to_owned(),
        source,
    };
    let root = fs.root();
    let path = cwd.trim_matches('/');
    if path.is_empty() {
        return Ok(());
    }
    if let Ok(stat) = root.stat_at(path.as_bytes(), true) {
        return if stat.kind == FileKind::Directory {
            Ok(())
        } else {
            Err(failed(Errno::NotDir))
        };
    }
    let ends = path
        .match_indices('/')
        .map(|(at, _)| at)
        .chain([path.len()]);
    for end in ends {
        match root.create_dir(&path.as_bytes()[..end]) {
            Ok(()) | Err(Errno::Exist) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(())
}

/// A program in the guest's file system.
pub(super) struct Found {
    /// Its guest path.
    pub(super) path: String,
    /// The open file.
    pub(super) file: File,
    /// Digest of its bytes, where the image's index knows it.
    pub(super) sha256: Option<[u8; 32]>,
}

/// Finds a program as Docker does; see [`spec::program_candidates`].
pub(super) fn find_program(
    fs: &GuestFs,
    program: &str,
    env: &[(String, String)],
    cwd: &str,
) -> Result<Found, Error> {
    let not_runnable = |problem: String| Error::ProgramNotRunnable {
        program: program.to_owned(),
        problem,
    };
    let root = fs.root();
    for path in spec::program_candidates(program, env, cwd) {
        let options = OpenOptions {
            read: true,
            follow: true,
            ..OpenOptions::default()
        };
        match root.open(path.trim_start_matches('/').as_bytes(), &options) {
            Ok(Node::File(file)) => {
                let sha256 = file.content_sha256();
                return Ok(Found { path, file, sha256 });
            }
            Ok(Node::Directory(_)) => return Err(not_runnable("is a directory".to_owned())),
            Err(Errno::NoEntry | Errno::NotDir) => {}
            Err(error) => return Err(not_runnable(error.to_string())),
        }
    }
    Err(Error::ProgramNotFound {
        program: program.to_owned(),
    })
}

fn exit_of(outcome: &Outcome) -> Exit {
    match outcome {
        Outcome::Exited(code) => Exit::by_itself(*code),
        Outcome::Trapped { message } => {
            Exit::because(outcome.code(), &format!("the guest trapped: {message}"))
        }
        Outcome::OutOfMemory { .. } => Exit {
            out_of_memory: true,
            ..Exit::because(
                outcome.code(),
                "the guest needed more memory than its limit",
            )
        },
        Outcome::OutOfFuel => Exit::because(
            outcome.code(),
            "the guest has used up the instructions it was given",
        ),
        Outcome::Interrupted => Exit::because(outcome.code(), "the guest was interrupted"),
    }
}

/// Lets the process hold as many files open as the guest may.
fn allow_open_files(limits: &Limits) -> Result<(), Error> {
    if limits.open_files <= Limits::DEFAULT_OPEN_FILES {
        return Ok(());
    }
    // A few more are the engine's own.
    sys::allow_open_files(limits.open_files.saturating_add(64)).map_err(|source| Error::Limit {
        doing: "allowing so many open files",
        source,
    })
}

/// Sets what the process itself is held to, while it may still do so.
fn limit_process(
    limits: &Limits,
    owned: &Owned,
    farewell: Option<fn(&str) -> String>,
) -> Result<(), Error> {
    allow_open_files(limits)?;
    if let Some(timeout) = limits.timeout {
        let exit = Exit::because(
            Outcome::TIMED_OUT,
            &format!("the guest's time of {timeout} is over"),
        );
        let message = farewell.zip(exit.reason.as_deref());
        let ending = Ending {
            code: exit.code,
            record: exit.to_line(),
            message: message
                .map(|(line, reason)| line(reason).into_bytes())
                .unwrap_or_default(),
        };
        sys::end_after(timeout.duration(), owned.record.file(), ending).map_err(|source| {
            Error::Limit {
                doing: "setting a timer for the guest",
                source,
            }
        })?;
    }
    Ok(())
}

/// Says how a container ended whose process was asked to end.
fn of_signal(signal: i32) -> Exit {
    let code = u8::try_from(128 + signal).unwrap_or(u8::MAX);
    Exit::because(code, &format!("ended by signal {signal}"))
}

pub(super) fn split(pair: &str) -> (String, String) {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    (name.to_owned(), value.to_owned())
}
