//! The flags that say how grants are meant, and those that grant by file.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coracle_runtime::policy::net::Publish;
use coracle_runtime::policy::{Capability, LARGEST_DOCUMENT, Limits, NetPolicy, Policy, Request};

use super::super::error::Failure;
use super::super::{ceiling, ui};
use super::{env, mount};
use crate::engine::{PolicyRequest, RunContainer};

/// What was typed.
#[derive(clap::Args)]
#[command(next_help_heading = "Policy")]
pub(in super::super) struct Flags {
    /// Grant what this file says as well
    #[arg(long = "policy", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Grant what the image asks for, and show it
    #[arg(long)]
    allow_requested: bool,
    /// Give the guest nothing but what is named: not the image's environment, and no place to write
    #[arg(long)]
    strict: bool,
    /// Write what the guest uses and is refused to this file, as a policy
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Start even where the system lacks a part of the second wall that the policy requires
    #[arg(long)]
    allow_degraded: bool,
    /// Accept that the image asks for more than the last one of its name
    #[arg(long)]
    pub(in super::super) accept: bool,
    /// Show what would run, and what is granted and refused; start nothing
    #[arg(long)]
    pub(in super::super) explain: bool,
}

impl Flags {
    /// Does the image's request play a part?
    pub(in super::super) fn allows_requested(&self) -> bool {
        self.allow_requested
    }

    /// Is what the guest uses to be written down?
    pub(in super::super) fn records(&self) -> bool {
        self.record.is_some()
    }

    /// Reads the policy file, if one was named.
    pub(in super::super) fn read(&self) -> Result<Option<Policy>, Failure> {
        self.file.as_deref().map(read).transpose()
    }

    /// Adds what these flags mean, and what this host's ceilings say.
    pub(in super::super) fn apply(
        &self,
        file: Option<Policy>,
        container: &mut RunContainer,
    ) -> Result<(), Failure> {
        container.policy = PolicyRequest {
            strict: self.strict,
            allow_degraded: self.allow_degraded,
            ceilings: ceiling::read()?,
            tell: Some(tell),
            ..PolicyRequest::default()
        };
        if let Some(policy) = file {
            let folder = self.file.as_deref().and_then(Path::parent);
            grant(policy, folder.unwrap_or(Path::new("")), container)?;
        }
        Ok(())
    }

    /// Opens the file to write down what the guest uses: behind the second wall nothing can be opened any more.
    pub(in super::super) fn open_record(&self) -> Result<Option<Arc<File>>, Failure> {
        let Some(path) = &self.record else {
            return Ok(None);
        };
        let file = File::create(path).map_err(|source| Failure::Io {
            doing: format!("opening {} to record in", path.display()),
            source,
        })?;
        Ok(Some(Arc::new(file)))
    }
}

/// Reads a policy from a file.
pub(in super::super) fn read(path: &Path) -> Result<Policy, Failure> {
    let bytes = read_bounded(path).map_err(|source| Failure::Io {
        doing: format!("reading the policy {}", path.display()),
        source,
    })?;
    Policy::parse(&bytes)
        .map_err(|error| Failure::usage(format!("reading the policy {}: {error}", path.display())))
}

/// Reads a document, up to one byte more than it may have.
pub(in super::super) fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(LARGEST_DOCUMENT as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Adds a policy's grants to those of the flags, which come first where both say something of the same thing.
fn grant(policy: Policy, folder: &Path, container: &mut RunContainer) -> Result<(), Failure> {
    let here = std::path::absolute(folder.join(".")).map_err(|source| Failure::Io {
        doing: "finding the policy's folder".to_owned(),
        source,
    })?;
    for grant in &policy.fs {
        if container
            .mounts
            .iter()
            .any(|mount| mount.target == grant.target)
        {
            continue;
        }
        if grant.source.is_none() {
            return Err(Failure::usage(format!(
                "the policy grants {:?}, which names nothing of this machine",
                grant.to_string()
            ))
            .with_hint("write HOST:GUEST, or NAME:GUEST for a volume"));
        }
        container
            .mounts
            .push(mount::parse(&grant.to_string(), &here)?);
    }
    let typed: Vec<String> = policy.env.iter().map(ToString::to_string).collect();
    let mut variables = env::resolve(&typed, variable)?;
    variables.append(&mut container.env);
    container.env = variables;
    container.open_stdin |= policy.stdin;
    container.read_only |= policy.read_only;
    add_network(&mut container.network.policy, policy.net);
    add_limits(&mut container.limits, &policy.limits);
    let options = &mut container.policy;
    options.strict |= policy.strict;
    options.second_wall = options.second_wall.max(policy.second_wall);
    options.deny = policy.deny;
    Ok(())
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

fn add_network(flags: &mut NetPolicy, file: NetPolicy) {
    if flags.mode == Default::default() {
        flags.mode = file.mode;
    }
    flags.connect.extend(file.connect);
    flags.dns.extend(file.dns);
    flags.publish.extend(file.publish);
    flags.hosts.extend(file.hosts);
    flags.deny.extend(file.deny);
    flags.settle();
}

fn add_limits(flags: &mut Limits, file: &Limits) {
    flags.memory = flags.memory.or(file.memory);
    flags.cpus = flags.cpus.or(file.cpus);
    flags.processes = flags.processes.or(file.processes);
    flags.timeout = flags.timeout.or(file.timeout);
    flags.fuel = flags.fuel.or(file.fuel);
    if flags.open_files == Limits::DEFAULT_OPEN_FILES {
        flags.open_files = file.open_files;
    }
}

/// Grants what an image asks for and the flags do not, as far as it can be: a folder of this host has to be named. Returns what was
/// granted and what was not, for people.
pub(in super::super) fn grant_request(
    request: &Request,
    container: &mut RunContainer,
) -> Result<(Vec<String>, Vec<String>), Failure> {
    let (mut granted, mut left) = (Vec::new(), Vec::new());
    for wanted in &request.fs {
        if !container
            .mounts
            .iter()
            .any(|mount| mount.target == wanted.target)
        {
            left.push(format!("-v HOST:{wanted}"));
        }
    }
    let mut variables = Vec::new();
    for wanted in &request.env {
        let prefix = format!("{}=", wanted.name);
        if container.env.iter().any(|pair| pair.starts_with(&prefix)) {
            continue;
        }
        // An image must not choose the value: it could have set it itself.
        let resolved = env::resolve(std::slice::from_ref(&wanted.name), variable)?;
        if resolved.is_empty() {
            left.push(format!("-e {}=VALUE", wanted.name));
        } else {
            granted.push(format!("-e {}", wanted.name));
            variables.extend(resolved);
        }
    }
    container.env.append(&mut variables);
    if request.stdin && !container.open_stdin {
        container.open_stdin = true;
        granted.push("-i".to_owned());
    }
    let net = &mut container.network.policy;
    for wanted in &request.net.connect {
        if !net.connect.iter().any(|rule| rule.includes(wanted)) {
            granted.push(format!("--allow-connect {wanted}"));
            net.connect.push(wanted.clone());
        }
    }
    for wanted in &request.net.dns {
        if !net.dns.iter().any(|name| name.includes(wanted)) {
            granted.push(format!("--allow-dns {wanted}"));
            net.dns.push(wanted.clone());
        }
    }
    for wanted in &request.net.listen {
        let is_there = |publish: &Publish| {
            publish.protocol == wanted.protocol && publish.guest.includes(wanted.ports)
        };
        if !net.publish.iter().any(is_there) {
            granted.push(format!("-p {wanted}"));
            net.publish.push(Publish::from(*wanted));
        }
    }
    net.settle();
    Ok((granted, left))
}

/// Tells that the guest was refused something, and how to grant it.
pub(in super::super) fn tell(capability: &Capability) {
    let what = format!("the guest was refused {} {capability}", capability.class());
    let hint = capability
        .flag()
        .map(|flag| format!("grant it with {flag}"));
    ui::error(&what, hint.as_deref());
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn container() -> RunContainer {
        RunContainer {
            env: vec!["A=flag".to_owned()],
            ..RunContainer::default()
        }
    }

    #[test]
    fn flags_come_before_the_file() {
        let toml = r#"
            fs = ["./data:/data:ro", "/etc:/taken"]
            env = ["A=file", "B=file"]
            stdin = true
            net.connect = ["db.example:5432"]
            limits.memory = "64m"
            deny.env = ["C"]
        "#;
        let mut container = container();
        container
            .mounts
            .push(mount::parse("/srv:/taken", Path::new("/")).expect("a mount"));
        let policy = Policy::parse(toml.as_bytes()).expect("a policy");
        grant(policy, Path::new("/policies"), &mut container).expect("granted");
        let sources: Vec<_> = container
            .mounts
            .iter()
            .map(|mount| mount.source.as_str())
            .collect();
        assert_eq!(sources, ["/srv", "/policies/./data"]);
        assert_eq!(
            container.env,
            ["A=file", "B=file", "A=flag"],
            "the later counts"
        );
        assert!(container.open_stdin && !container.read_only);
        assert_eq!(container.network.policy.connect.len(), 1);
        assert!(container.network.policy.resolves("db.example"));
        assert_eq!(container.limits.memory.expect("a limit").to_string(), "64m");
        assert!(!container.policy.deny.is_empty());
    }

    #[test]
    fn a_request_is_granted_but_for_what_only_the_user_can_name() {
        let json = r#"{"fs":["/data"],"env":["A","CORACLE_TEST_UNSET=x"],"stdin":true,
            "net":{"connect":["db.example:5432"],"listen":["80"]}}"#;
        let mut container = container();
        let request = Request::parse(json).expect("a request");
        let (granted, left) = grant_request(&request, &mut container).expect("granted");
        assert_eq!(
            granted,
            ["-i", "--allow-connect tcp://db.example:5432", "-p 80/tcp"]
        );
        assert_eq!(left, ["-v HOST:/data", "-e CORACLE_TEST_UNSET=VALUE"]);
        assert_eq!(container.env, ["A=flag"]);
        assert!(container.mounts.is_empty() && container.open_stdin);
        // Once more grants nothing more.
        let (granted, _) = grant_request(&request, &mut container).expect("granted");
        assert!(granted.is_empty(), "{granted:?}");
    }
}
