//! Programs that the specification runs at certain points of a container's life.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use oci_spec::runtime::{Hook, Spec};
use serde::Serialize;

use super::plan::Plan;

/// How long a hook may take that names no time.
const PATIENCE: Duration = Duration::from_secs(300);
/// How much of what a failed hook has said is told, in bytes.
const SAID: u64 = 4096;

/// What a hook reads on its standard input (runtime.md, "State").
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct State {
    oci_version: String,
    id: String,
    status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    bundle: PathBuf,
    #[serde(skip_serializing_if = "HashMap::is_empty")]
    annotations: HashMap<String, String>,
}

impl State {
    pub(super) fn new(plan: &Plan, status: &str, pid: u32) -> Self {
        Self {
            oci_version: super::VERSION.to_owned(),
            id: plan.id.clone(),
            status: status.to_owned(),
            pid: Some(pid).filter(|pid| *pid != 0),
            bundle: plan.bundle.clone(),
            annotations: plan.spec.annotations().clone().unwrap_or_default(),
        }
    }
}

/// Runs the hooks that follow the start (`poststart`) or the removal (`poststop`) of a container. `pid` is 0 where there is none.
///
/// # Errors
///
/// The first hook that fails.
pub fn run_hooks(kind: &str, spec: &Spec, id: &str, bundle: &Path, pid: u32) -> io::Result<()> {
    let Some(hooks) = spec.hooks() else {
        return Ok(());
    };
    let (hooks, status) = match kind {
        "poststart" => (hooks.poststart(), "running"),
        "poststop" => (hooks.poststop(), "stopped"),
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    };
    let state = State {
        oci_version: super::VERSION.to_owned(),
        id: id.to_owned(),
        status: status.to_owned(),
        pid: Some(pid).filter(|pid| *pid != 0),
        bundle: bundle.to_owned(),
        annotations: spec.annotations().clone().unwrap_or_default(),
    };
    run(kind, hooks.as_ref(), &state)
}

/// Runs hooks one after the other; the first that fails ends it.
pub(super) fn run(kind: &str, hooks: Option<&Vec<Hook>>, state: &State) -> io::Result<()> {
    for hook in hooks.into_iter().flatten() {
        one(hook, state).map_err(|error| {
            io::Error::other(format!("{kind} hook {}: {error}", hook.path().display()))
        })?;
    }
    Ok(())
}

fn one(hook: &Hook, state: &State) -> io::Result<()> {
    let mut command = Command::new(hook.path());
    if let Some((name, args)) = hook.args().as_deref().and_then(<[String]>::split_first) {
        std::os::unix::process::CommandExt::arg0(&mut command, name);
        command.args(args);
    }
    command.env_clear();
    for variable in hook.env().iter().flatten() {
        if let Some((name, value)) = variable.split_once('=') {
            command.env(name, value);
        }
    }
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    if let Some(mut input) = child.stdin.take() {
        match input.write_all(&serde_json::to_vec(state)?) {
            // It need not read it.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            result => result?,
        }
    }
    let patience = match hook.timeout() {
        Some(seconds) => Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
        None => PATIENCE,
    };
    let end = Instant::now() + patience;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::other(format!(
                "it took longer than {} seconds",
                patience.as_secs()
            )));
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    if status.success() {
        return Ok(());
    }
    let mut said = String::new();
    if let Some(errors) = child.stderr.take() {
        let mut bytes = Vec::new();
        errors.take(SAID).read_to_end(&mut bytes)?;
        said = String::from_utf8_lossy(&bytes).trim().to_owned();
    }
    Err(io::Error::other(format!("{status} {said}")))
}
