//! `exec`.

use std::path::PathBuf;

use coracle_runtime::sandbox::native::{
    self, Options, Stdio,
    oci::{Capabilities, Capability, LinuxCapabilities, Process, User},
};

use super::super::super::Exit;
use super::OciError;
use super::create::{connect, write_pid};
use super::store::{Status, Store};

/// Start another program in a container
#[derive(clap::Args)]
pub(super) struct Args {
    /// Working directory
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,

    /// Add an environment variable
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,

    /// Give it a terminal
    #[arg(short, long)]
    tty: bool,

    /// Run as this user, in numbers
    #[arg(short, long, value_name = "UID[:GID]")]
    user: Option<String>,

    /// Add a group, by number
    #[arg(short = 'g', long, value_name = "GID")]
    additional_gids: Vec<u32>,

    /// Read the process from this file, as the specification's `process`
    #[arg(short, long, value_name = "FILE")]
    process: Option<PathBuf>,

    /// Do not wait for its end
    #[arg(short, long)]
    detach: bool,

    /// Write the process's number to this file
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,

    /// Send the terminal to this socket
    #[arg(long, value_name = "SOCKET")]
    console_socket: Option<PathBuf>,

    /// Keep it from gaining privileges
    #[arg(long)]
    no_new_privs: bool,

    /// Add a capability
    #[arg(short, long, value_name = "CAP")]
    cap: Vec<String>,

    /// Give the program so many open files from 3 on
    #[arg(long, value_name = "N", default_value_t = 0)]
    preserve_fds: u32,

    /// Start it in a paused container as well: it waits until that goes on
    #[arg(long)]
    ignore_paused: bool,

    /// The container's name
    id: String,

    /// The program and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

pub(super) fn run(store: &Store, args: Args) -> Result<Exit, OciError> {
    let (folder, known) = store.open(&args.id)?;
    match folder.status(&known)? {
        Status::Running | Status::Created => {}
        Status::Paused if args.ignore_paused => {}
        Status::Paused => {
            return Err(OciError::Usage(
                "cannot exec in a paused container".to_owned(),
            ));
        }
        Status::Stopped => {
            return Err(OciError::Usage(
                "cannot exec in a stopped container".to_owned(),
            ));
        }
    }
    let process = args.process(known.spec.process().as_ref())?;
    let has_terminal = process.terminal().unwrap_or(false);
    if has_terminal && args.console_socket.is_none() {
        return Err(OciError::Usage(
            "a terminal needs --console-socket".to_owned(),
        ));
    }
    let console = args.console_socket.as_deref().map(connect).transpose()?;
    let options = Options {
        id: args.id.clone(),
        preserved_files: args.preserve_fds,
        console: console.map(Into::into),
        ..Options::default()
    };
    let added = native::exec(
        &known.record,
        &known.spec,
        process,
        Stdio::default(),
        options,
    )?;
    write_pid(args.pid_file.as_deref(), &added)?;
    if args.detach {
        return Ok(Exit::Success);
    }
    Ok(super::exit_of(added.wait_and_forward()?))
}

impl Args {
    fn process(&self, container: Option<&Process>) -> Result<Process, OciError> {
        if let Some(path) = &self.process {
            let step = || OciError::io(format!("reading {}", path.display()));
            let text = std::fs::read(path).map_err(step())?;
            return serde_json::from_slice(&text).map_err(|error| step()(error.into()));
        }
        let mut process = container.cloned().unwrap_or_default();
        if self.command.is_empty() {
            return Err(OciError::Usage("no program is named".to_owned()));
        }
        process.set_args(Some(self.command.clone()));
        process.set_terminal(Some(self.tty));
        if let Some(cwd) = &self.cwd {
            process.set_cwd(cwd.clone());
        }
        if !self.env.is_empty() {
            process
                .env_mut()
                .get_or_insert_default()
                .extend(self.env.iter().cloned());
        }
        if let Some(text) = &self.user {
            let wrong = || OciError::Usage(format!("`{text}` is not UID or UID:GID"));
            let (user, group) = text.split_once(':').unwrap_or((text, "0"));
            let mut wanted = User::default();
            wanted.set_uid(user.parse().map_err(|_| wrong())?);
            wanted.set_gid(group.parse().map_err(|_| wrong())?);
            process.set_user(wanted);
        }
        if !self.additional_gids.is_empty() {
            let groups = Some(self.additional_gids.clone());
            process.user_mut().set_additional_gids(groups);
        }
        if self.no_new_privs {
            process.set_no_new_privileges(Some(true));
        }
        if !self.cap.is_empty() {
            process.set_capabilities(Some(with_capabilities(
                process.capabilities().clone().unwrap_or_default(),
                &self.cap,
            )?));
        }
        Ok(process)
    }
}

fn with_capabilities(
    mut sets: LinuxCapabilities,
    names: &[String],
) -> Result<LinuxCapabilities, OciError> {
    for name in names {
        let name = name.to_ascii_uppercase();
        let short = name.strip_prefix("CAP_").unwrap_or(&name);
        let capability: Capability = short
            .parse()
            .map_err(|_| OciError::Usage(format!("unknown capability `{name}`")))?;
        let with = |set: &Option<Capabilities>| {
            let mut set = set.clone().unwrap_or_default();
            set.insert(capability);
            Some(set)
        };
        let (bounding, effective, permitted) = (
            with(sets.bounding()),
            with(sets.effective()),
            with(sets.permitted()),
        );
        sets.set_bounding(bounding);
        sets.set_effective(effective);
        sets.set_permitted(permitted);
    }
    Ok(sets)
}
