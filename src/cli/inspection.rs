//! What `inspect` shows: Docker's fields, and beside them our own under `Coracle`.

use coracle_packager::image::select::Selection;
use coracle_runtime::container::{HealthCheck, PortConfig, Probe, Refused, State, Watched};
use coracle_runtime::logs::LogConfig;
use coracle_runtime::policy::net::Mode;
use coracle_runtime::policy::quantity::{Cpus, Size};
use coracle_runtime::policy::report::enforcement;
use coracle_runtime::sandbox::wall::WallReport;
use serde_json::{Map, Value, json};

use super::units;
use crate::engine::{ContainerSummary, InspectedImage, is_paused};

/// Returns what is known about an image.
pub(super) fn image(inspected: &InspectedImage) -> Value {
    let image = &inspected.image;
    let config = &image.config;
    let mut defaults = json!(config.config);
    if let Some(defaults) = defaults.as_object_mut() {
        // Templates ask for one of them without knowing whether there are any.
        defaults.entry("Labels").or_insert_with(|| json!({}));
    }
    let layers: Vec<Value> = image
        .manifest
        .layers()
        .iter()
        .map(|layer| {
            json!({
                "MediaType": layer.media_type().to_string(),
                "Digest": layer.digest().to_string(),
                "Size": layer.size(),
            })
        })
        .collect();
    json!({
        "Id": image.config_digest.to_string(),
        "RepoTags": inspected.names.iter().map(|name| name.familiar()).collect::<Vec<_>>(),
        "RepoDigests": inspected.names.iter().map(|name| format!("{}@{}", name.familiar_name(), inspected.descriptor.digest())).collect::<Vec<_>>(),
        "Created": config.created,
        "Author": config.author.clone().unwrap_or_default(),
        "Config": defaults,
        "Architecture": config.architecture,
        "Variant": config.variant,
        "Os": config.os,
        "Size": inspected.size,
        "RootFS": { "Type": "layers", "Layers": config.rootfs.diff_ids },
        "Descriptor": {
            "mediaType": inspected.descriptor.media_type().to_string(),
            "digest": inspected.descriptor.digest().to_string(),
            "size": inspected.descriptor.size(),
        },
        "Coracle": {
            "Manifest": image.descriptor.digest().to_string(),
            "Shape": image.shape().to_string(),
            "Layers": layers,
            "Component": config.other.get("component"),
            "Entries": entries(&inspected.selection),
        },
    })
}

/// Returns the entries of the image's indexes, and why each was chosen or not.
fn entries(selection: &Selection) -> Vec<Value> {
    let entries = selection.steps.iter().flat_map(|step| &step.entries);
    entries
        .map(|entry| {
            json!({
                "Platform": entry.platform.as_ref().map(ToString::to_string),
                "Digest": entry.descriptor.digest().to_string(),
                "Chosen": entry.chosen,
                "Reason": entry.reason,
            })
        })
        .collect()
}

/// Returns what is known about a container.
pub(super) fn container(summary: &ContainerSummary, walls: &Value, refused: &[Refused]) -> Value {
    // A container that never started has none, and one of an older version another.
    let watched = summary.container.watched();
    let report: Option<WallReport> = serde_json::from_value(walls.clone()).ok();
    let container = &summary.container;
    let config = &container.config;
    let (program, args) = config
        .args
        .split_first()
        .map_or(("", &[][..]), |(first, rest)| (first, rest));
    let mounts: Vec<Value> = config
        .mounts
        .iter()
        .map(|mount| {
            let kind = match (&mount.volume, &mount.tmpfs) {
                (Some(_), _) => "volume",
                (None, Some(_)) => "tmpfs",
                (None, None) => "bind",
            };
            let mut shown = json!({
                "Type": kind,
                "Source": mount.source,
                "Destination": mount.target,
                "Mode": if mount.read_only { "ro" } else { "" },
                "RW": !mount.read_only,
            });
            if let (Some(volume), Some(shown)) = (&mount.volume, shown.as_object_mut()) {
                shown.insert("Name".to_owned(), json!(volume.name));
                shown.insert("Driver".to_owned(), json!("local"));
            }
            shown
        })
        .collect();
    json!({
        "Id": config.id.as_str(),
        "Created": units::rfc3339(config.created),
        "Path": program,
        "Args": args,
        "State": state(summary, &watched),
        "RestartCount": watched.restarts,
        "Image": config.image_id,
        "Name": format!("/{}", config.name),
        "LogPath": if config.log.max_size == 0 { String::new() } else { container.log_path().join("json.log").display().to_string() },
        "HostConfig": {
            "Memory": config.policy.limits.memory.map_or(0, Size::bytes),
            "NanoCpus": config.policy.limits.cpus.map_or(0, Cpus::nanos),
            "PidsLimit": config.policy.limits.processes,
            "Ulimits": [{ "Name": "nofile", "Soft": config.policy.limits.open_files, "Hard": config.policy.limits.open_files }],
            "AutoRemove": config.auto_remove,
            "RestartPolicy": { "Name": config.restart.word(), "MaximumRetryCount": config.restart.most() },
            "LogConfig": log(&config.log),
            "ReadonlyRootfs": config.read_only,
            "NetworkMode": network_mode(config.policy.net.mode),
            "PortBindings": bindings(&config.ports),
            "ExtraHosts": config.policy.net.hosts,
            "StorageOpt": config.storage_limit.map(|bytes| json!({ "size": bytes.to_string() })),
        },
        "Mounts": mounts,
        "NetworkSettings": {
            "Ports": match summary.state {
                State::Running { .. } => all_ports(&config.ports),
                _ => json!({}),
            },
        },
        "Config": {
            "Image": config.image,
            "Env": config.env,
            "Labels": config.labels,
            "WorkingDir": config.cwd,
            "OpenStdin": config.open_stdin,
            "StdinOnce": config.stdin_once,
            "Healthcheck": config.health.as_ref().map(health),
            "Tty": config.tty,
            "StopSignal": config.stop_signal.as_deref().unwrap_or("SIGTERM"),
            "StopTimeout": config.stop_timeout,
            "Cmd": config.args,
            "ExposedPorts": exposed(&config.ports),
        },
        "Coracle": {
            "Manifest": config.manifest,
            "Upper": container.upper_path(),
            "Walls": walls,
            "Network": config.policy.net,
            "Limits": config.policy.limits,
            "Policy": config.policy,
            "Enforcement": enforcement(&config.policy, report.as_ref()),
            "Refused": refused,
        },
    })
}

/// Returns Docker's word where there is one.
pub(super) fn network_mode(mode: Mode) -> &'static str {
    match mode {
        Mode::None => "none",
        Mode::Granted => "granted",
        Mode::Host => "host",
    }
}

/// Returns, by guest port, where the host listens; `null` for a port that nothing leads to.
fn all_ports(ports: &[PortConfig]) -> Value {
    let mut all = Map::new();
    for port in ports {
        let entry = all
            .entry(format!("{}/{}", port.guest, port.protocol))
            .or_insert(Value::Null);
        if let Some(host) = port.host {
            let binding =
                json!({ "HostIp": host.ip().to_string(), "HostPort": host.port().to_string() });
            match entry {
                Value::Array(list) => list.push(binding),
                _ => *entry = json!([binding]),
            }
        }
    }
    Value::Object(all)
}

/// Returns those of them that lead to the guest.
fn bindings(ports: &[PortConfig]) -> Value {
    let published: Vec<_> = ports
        .iter()
        .filter(|port| port.host.is_some())
        .cloned()
        .collect();
    all_ports(&published)
}

fn exposed(ports: &[PortConfig]) -> Value {
    let names = ports
        .iter()
        .map(|port| (format!("{}/{}", port.guest, port.protocol), json!({})));
    Value::Object(names.collect())
}

fn log(log: &LogConfig) -> Value {
    if log.max_size == 0 {
        return json!({ "Type": "none", "Config": {} });
    }
    json!({
        "Type": "json-file",
        "Config": {
            "max-size": log.max_size.to_string(),
            "max-file": log.max_files.to_string(),
        },
    })
}

fn state(summary: &ContainerSummary, watched: &Watched) -> Value {
    let state = &summary.state;
    /// Docker's way to say "never".
    const NEVER: &str = "0001-01-01T00:00:00Z";
    let (started, finished, pid, code, error) = match state {
        State::Created => (None, None, 0, 0, String::new()),
        State::Running { pid, started } => (Some(*started), None, *pid, 0, String::new()),
        State::Exited {
            exit: Some(exit),
            started,
            finished,
        }
        | State::Restarting {
            exit: Some(exit),
            started,
            finished,
        } => (
            Some(*started),
            *finished,
            0,
            exit.code,
            exit.reason.clone().unwrap_or_default(),
        ),
        State::Exited {
            exit: None,
            started,
            finished,
        }
        | State::Restarting {
            exit: None,
            started,
            finished,
        } => (
            Some(*started),
            *finished,
            0,
            137,
            "the process was killed before it could say how the guest ended".to_owned(),
        ),
    };
    let time = |seconds: Option<i64>| seconds.map_or_else(|| NEVER.to_owned(), units::rfc3339);
    let out_of_memory =
        matches!(state, State::Exited { exit: Some(exit), .. } if exit.out_of_memory);
    // Docker counts one that waits for its next start as running.
    let restarting = matches!(state, State::Restarting { .. });
    let mut all = json!({
        "Status": super::commands::ps::state(state),
        "Running": restarting || matches!(state, State::Running { .. }),
        "Restarting": restarting,
        "Dead": false,
        "OOMKilled": out_of_memory,
        "Paused": is_paused(state),
        "Pid": pid,
        "ExitCode": code,
        "Error": error,
        "StartedAt": time(started),
        "FinishedAt": time(finished),
    });
    if summary.container.config.health.is_some() {
        all["Health"] = json!(watched.health.clone().unwrap_or_default());
    }
    all
}

/// Returns how it is asked whether it is well, in Docker's words.
fn health(check: &HealthCheck) -> Value {
    let test = match &check.probe {
        Probe::Command(args) => {
            let args = args.iter().map(String::as_str);
            std::iter::once("CMD")
                .chain(args)
                .map(str::to_owned)
                .collect()
        }
        Probe::Shell { command, .. } => vec!["CMD-SHELL".to_owned(), command.clone()],
        Probe::Http { port, path } => vec!["HTTP".to_owned(), format!("{port}{path}")],
        Probe::Tcp { port } => vec!["TCP".to_owned(), port.to_string()],
    };
    json!({
        "Test": test,
        "Interval": check.interval,
        "Timeout": check.timeout,
        "Retries": check.retries,
        "StartPeriod": check.start_period,
        "StartInterval": check.start_interval,
    })
}
