//! Commands that act on a container that is there.

use std::io::Read;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use coracle_runtime::sandbox::native::{
    self, Container,
    oci::{
        LinuxBlockIoBuilder, LinuxCpuBuilder, LinuxMemoryBuilder, LinuxPids, LinuxResources,
        LinuxResourcesBuilder,
    },
};

use super::super::super::Exit;
use super::OciError;
use super::signal;
use super::store::{Folder, Known, Status, Store, StoreError};

/// How long a killed container may take to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// Let a created container's program begin
#[derive(clap::Args)]
pub(super) struct StartArgs {
    /// The container's name
    id: String,
}

pub(super) fn start(store: &Store, args: &StartArgs) -> Result<Exit, OciError> {
    let (folder, known) = store.open(&args.id)?;
    let status = folder.status(&known)?;
    if status != Status::Created || !folder.open_gate()? {
        return Err(OciError::Usage(format!(
            "cannot start a container that is {}",
            word(status)
        )));
    }
    after_start(&known)?;
    Ok(Exit::Success)
}

/// What follows the start of every container.
pub(super) fn after_start(known: &Known) -> Result<(), OciError> {
    native::run_hooks(
        "poststart",
        &known.spec,
        &known.id,
        &known.bundle,
        known.record.pid(),
    )
    .map_err(OciError::io("starting the container"))
}

/// Send a signal to a container
#[derive(clap::Args)]
pub(super) struct KillArgs {
    /// To all of its processes
    #[arg(short, long)]
    all: bool,

    /// The container's name
    id: String,

    /// The signal
    #[arg(default_value = "SIGTERM", value_parser = signal::parse)]
    signal: i32,
}

pub(super) fn kill(store: &Store, args: &KillArgs) -> Result<Exit, OciError> {
    let (folder, known) = store.open(&args.id)?;
    if folder.status(&known)? == Status::Stopped {
        if args.all {
            known.record.delete()?;
            return Ok(Exit::Success);
        }
        return Err(OciError::Usage("container not running".to_owned()));
    }
    let container = Container::open(&known.record)?;
    match (args.all, args.signal) {
        (true, 9) => container.kill_all()?,
        (true, signal) => container.kill_each(signal)?,
        (false, signal) => container.kill(signal)?,
    }
    Ok(Exit::Success)
}

/// Remove a container
#[derive(clap::Args)]
pub(super) struct DeleteArgs {
    /// End it first if it runs, and be content if there is none
    #[arg(short, long)]
    force: bool,

    /// The container's name
    id: String,
}

pub(super) fn delete(store: &Store, args: &DeleteArgs) -> Result<Exit, OciError> {
    let (folder, known) = match store.open(&args.id) {
        Err(StoreError::Missing(_)) if args.force => return Ok(Exit::Success),
        result => result?,
    };
    let status = folder.status(&known)?;
    match status {
        Status::Stopped => {}
        Status::Created => end(&known)?,
        Status::Running | Status::Paused if args.force => end(&known)?,
        Status::Running | Status::Paused => {
            return Err(OciError::Usage(format!(
                "cannot delete a container that is {}: kill it, or give --force",
                word(status)
            )));
        }
    }
    remove(&folder, store, &args.id)?;
    Ok(Exit::Success)
}

/// Ends a container and waits until it is gone.
fn end(known: &Known) -> Result<(), OciError> {
    let Ok(container) = Container::open(&known.record) else {
        return Ok(());
    };
    container.kill_all()?;
    let until = Instant::now() + PATIENCE;
    while known.record.is_running()? {
        if Instant::now() >= until {
            return Err(OciError::Usage("the container does not end".to_owned()));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Removes what is left of a container that has ended.
pub(super) fn remove(folder: &Folder, store: &Store, id: &str) -> Result<(), OciError> {
    let (_, known) = store.open(id)?;
    known.record.delete()?;
    folder.remove()?;
    // It is gone; a hook that fails changes nothing about that, but is told.
    native::run_hooks("poststop", &known.spec, &known.id, &known.bundle, 0)
        .map_err(OciError::io("after the container was removed"))
}

/// Stop all of a container's processes where they are
#[derive(clap::Args)]
pub(super) struct OneArgs {
    /// The container's name
    id: String,
}

/// Let a paused container's processes go on
#[derive(clap::Args)]
pub(super) struct ResumeArgs {
    /// The container's name
    id: String,
}

pub(super) fn pause(store: &Store, args: &OneArgs) -> Result<Exit, OciError> {
    let (folder, known) = store.open(&args.id)?;
    let status = folder.status(&known)?;
    if !matches!(status, Status::Running | Status::Created) {
        return Err(OciError::Usage(format!(
            "cannot pause a container that is {}",
            word(status)
        )));
    }
    Container::open(&known.record)?.pause()?;
    Ok(Exit::Success)
}

pub(super) fn resume(store: &Store, args: &ResumeArgs) -> Result<Exit, OciError> {
    let (_, known) = store.open(&args.id)?;
    let container = Container::open(&known.record)?;
    if !container.is_paused() {
        return Err(OciError::Usage(
            "cannot resume a container that is not paused".to_owned(),
        ));
    }
    container.resume()?;
    Ok(Exit::Success)
}

/// Change a container's limits
#[derive(clap::Args)]
pub(super) struct UpdateArgs {
    /// Read limits as the specification's `linux.resources` from this file, or - for standard input
    #[arg(short, long, value_name = "FILE")]
    resources: Option<PathBuf>,

    /// Memory, in bytes
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    memory: Option<i64>,

    /// Memory that should be kept under pressure, in bytes
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    memory_reservation: Option<i64>,

    /// Memory with swap, in bytes; -1 for no limit
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    memory_swap: Option<i64>,

    /// Weight of its processor time, 2 to 262144
    #[arg(long, visible_alias = "cpu-share", value_name = "N")]
    cpu_shares: Option<u64>,

    /// Processor time in a period, in microseconds; -1 for no limit
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    cpu_quota: Option<i64>,

    /// Length of a period, in microseconds
    #[arg(long, value_name = "TIME")]
    cpu_period: Option<u64>,

    /// Processors it may use, such as 0-2,7
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,

    /// Memory nodes it may use
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,

    /// Processes; -1 for no limit
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pids_limit: Option<i64>,

    /// Weight of its block I/O, 10 to 1000
    #[arg(long, value_name = "N")]
    blkio_weight: Option<u16>,

    /// The container's name
    id: String,
}

pub(super) fn update(store: &Store, args: &UpdateArgs) -> Result<Exit, OciError> {
    let (folder, mut known) = store.open(&args.id)?;
    if folder.status(&known)? == Status::Stopped {
        return Err(OciError::Usage("container not running".to_owned()));
    }
    let resources = match &args.resources {
        Some(path) => read_resources(path)?,
        None => args.resources()?,
    };
    Container::open(&known.record)?.update(&resources)?;
    if let Some(linux) = known.spec.linux_mut() {
        // The list of devices is not a limit that an update changes.
        let mut kept = resources;
        if let Some(old) = linux.resources() {
            kept.set_devices(old.devices().clone());
        }
        linux.set_resources(Some(kept));
    }
    folder.write(&known)?;
    Ok(Exit::Success)
}

fn read_resources(path: &std::path::Path) -> Result<LinuxResources, OciError> {
    /// The longest file of limits, in bytes.
    const LONGEST: u64 = 1 << 20;
    let step = || OciError::io(format!("reading {}", path.display()));
    let mut text = Vec::new();
    if path == std::path::Path::new("-") {
        std::io::stdin().take(LONGEST).read_to_end(&mut text)
    } else {
        std::fs::File::open(path)
            .map_err(step())?
            .take(LONGEST)
            .read_to_end(&mut text)
    }
    .map_err(step())?;
    serde_json::from_slice(&text).map_err(|error| step()(error.into()))
}

impl UpdateArgs {
    fn resources(&self) -> Result<LinuxResources, OciError> {
        let impossible = |error: native::OciSpecError| OciError::Usage(error.to_string());
        let mut memory = LinuxMemoryBuilder::default();
        let mut cpu = LinuxCpuBuilder::default();
        if let Some(value) = self.memory {
            memory = memory.limit(value);
        }
        if let Some(value) = self.memory_reservation {
            memory = memory.reservation(value);
        }
        if let Some(value) = self.memory_swap {
            memory = memory.swap(value);
        }
        if let Some(value) = self.cpu_shares {
            cpu = cpu.shares(value);
        }
        if let Some(value) = self.cpu_quota {
            cpu = cpu.quota(value);
        }
        if let Some(value) = self.cpu_period {
            cpu = cpu.period(value);
        }
        if let Some(value) = &self.cpuset_cpus {
            cpu = cpu.cpus(value);
        }
        if let Some(value) = &self.cpuset_mems {
            cpu = cpu.mems(value);
        }
        let mut resources = LinuxResourcesBuilder::default()
            .memory(memory.build().map_err(impossible)?)
            .cpu(cpu.build().map_err(impossible)?);
        if let Some(value) = self.pids_limit {
            let mut pids = LinuxPids::default();
            pids.set_limit(value);
            resources = resources.pids(pids);
        }
        if let Some(value) = self.blkio_weight {
            let io = LinuxBlockIoBuilder::default().weight(value).build();
            resources = resources.block_io(io.map_err(impossible)?);
        }
        resources.build().map_err(impossible)
    }
}

pub(super) fn word(status: Status) -> &'static str {
    match status {
        Status::Created => "created",
        Status::Running => "running",
        Status::Paused => "paused",
        Status::Stopped => "stopped",
    }
}
