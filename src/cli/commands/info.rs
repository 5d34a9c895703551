//! `coracle info`

use coracle_runtime::sandbox::wasm;
use serde_json::json;

use super::super::error::Failure;
use super::super::sanitize::sanitize;
use super::super::{Exit, ceiling, ui, units};
use super::Format;
use super::printing;
use crate::engine::Engine;

/// Show what this host has, and what Coracle keeps on it
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Print lines for people, or JSON
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

pub(in super::super) fn run(engine: &Engine, args: &Args) -> Result<Exit, Failure> {
    let census = engine.census()?;
    let kernel = first_line("/proc/sys/kernel/osrelease");
    let system = system();
    let memory = coracle_runtime::sys::memory();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let security = security();
    let ceilings: Vec<String> = ceiling::read()?
        .into_iter()
        .map(|named| named.name)
        .collect();
    let root = engine.root().display().to_string();
    let rootless = !coracle_runtime::sys::is_root();
    if args.format == Format::Json {
        let value = json!({
            "Containers": census.containers,
            "ContainersRunning": census.running,
            "ContainersPaused": census.paused,
            "ContainersStopped": census.stopped,
            "Images": census.images,
            "ServerVersion": env!("CARGO_PKG_VERSION"),
            "WasmtimeVersion": wasm::WASMTIME_VERSION,
            "DefaultRuntime": "wasm",
            "LoggingDriver": "json-file",
            "SecurityOptions": security,
            "Rootless": rootless,
            "KernelVersion": kernel,
            "OperatingSystem": system,
            "OSType": std::env::consts::OS,
            "Architecture": std::env::consts::ARCH,
            "NCPU": processors,
            "MemTotal": memory,
            "DockerRootDir": root,
            "Ceilings": ceilings,
        });
        ui::json_line(&value).map_err(printing)?;
        return Ok(Exit::Success);
    }
    let lines = [
        format!("Containers: {}", census.containers),
        format!(" Running: {}", census.running),
        format!(" Paused: {}", census.paused),
        format!(" Stopped: {}", census.stopped),
        format!("Images: {}", census.images),
        format!("Coracle Version: {}", env!("CARGO_PKG_VERSION")),
        format!("Wasmtime Version: {}", wasm::WASMTIME_VERSION),
        "Logging Driver: json-file".to_owned(),
        format!("Second Wall: {}", security.join(", ")),
        format!("Rootless: {rootless}"),
        format!(
            "Ceilings: {}",
            if ceilings.is_empty() {
                "none".to_owned()
            } else {
                ceilings.join(", ")
            }
        ),
        format!("Kernel Version: {kernel}"),
        format!("Operating System: {system}"),
        format!("OSType: {}", std::env::consts::OS),
        format!("Architecture: {}", std::env::consts::ARCH),
        format!("CPUs: {processors}"),
        format!("Total Memory: {}", units::binary(memory)),
        format!("Coracle Root Dir: {root}"),
    ];
    for line in lines {
        ui::line(&sanitize(&line)).map_err(printing)?;
    }
    Ok(Exit::Success)
}

/// Returns what the kernel has that the second wall is made of.
fn security() -> Vec<String> {
    let modules = first_line("/sys/kernel/security/lsm");
    let actions = first_line("/proc/sys/kernel/seccomp/actions_avail");
    let mut all = Vec::new();
    if modules.split(',').any(|module| module == "landlock") {
        all.push("landlock".to_owned());
    }
    if !actions.is_empty() {
        all.push("seccomp".to_owned());
    }
    if all.is_empty() {
        all.push("none".to_owned());
    }
    all
}

/// Returns what the system calls itself.
fn system() -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(
        || std::env::consts::OS.to_owned(),
        |name| name.trim_matches('"').to_owned(),
    )
}

fn first_line(path: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().next().unwrap_or_default().to_owned()
}
