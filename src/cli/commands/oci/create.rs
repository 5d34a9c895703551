//! `create` and `run`.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::super::super::Exit;
use super::OciError;
use super::store::{Folder, Known, Store, read_config};
use coracle_runtime::sandbox::native::{
    self, Bundle, Container, Options, RootMount, Stdio, oci::Spec,
};

/// What both take.
#[derive(clap::Args)]
struct Common {
    /// The bundle's folder
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    bundle: PathBuf,

    /// Write the process's number to this file
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,

    /// Send the terminal to this socket
    #[arg(long, value_name = "SOCKET")]
    console_socket: Option<PathBuf>,

    /// Give the program so many open files from 3 on
    #[arg(long, value_name = "N", default_value_t = 0)]
    preserve_fds: u32,

    /// Leave the program in the caller's session keyring
    #[arg(long)]
    no_new_keyring: bool,

    /// Refused: without pivot_root the host's file system stays within reach
    #[arg(long)]
    no_pivot: bool,

    /// The container's name
    id: String,
}

/// Create a container, and stop before its program begins
#[derive(clap::Args)]
pub(super) struct CreateArgs {
    #[command(flatten)]
    common: Common,
}

/// Create a container and start its program
#[derive(clap::Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    common: Common,

    /// Do not wait for its end
    #[arg(short, long)]
    detach: bool,

    /// Keep what is known of it when it has ended
    #[arg(long)]
    keep: bool,
}

pub(super) fn create(store: &Store, args: &CreateArgs, systemd: bool) -> Result<Exit, OciError> {
    make(store, &args.common, systemd, Way::Create)?;
    Ok(Exit::Success)
}

pub(super) fn run(store: &Store, args: &RunArgs, systemd: bool) -> Result<Exit, OciError> {
    let (folder, container) = make(store, &args.common, systemd, Way::Run)?;
    if args.detach {
        return Ok(Exit::Success);
    }
    let ended = container.wait_and_forward()?;
    if !args.keep {
        super::manage::remove(&folder, store, &args.common.id)?;
    }
    Ok(super::exit_of(ended))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Create,
    Run,
}

fn make(
    store: &Store,
    args: &Common,
    systemd: bool,
    way: Way,
) -> Result<(Folder, Container), OciError> {
    if args.no_pivot {
        return Err(OciError::Usage(
            "--no-pivot is refused: without pivot_root the host's file system stays within the container's reach".to_owned(),
        ));
    }
    let bundle = fs::canonicalize(&args.bundle).map_err(OciError::io(format!(
        "opening the bundle {}",
        args.bundle.display()
    )))?;
    let mut spec = read_config(&bundle.join("config.json"))?;
    let root = spec
        .root()
        .as_ref()
        .ok_or_else(|| OciError::Usage("the configuration names no root".to_owned()))?;
    let rootfs = bundle.join(root.path());
    if systemd {
        read_as_systemd(&mut spec, &args.id)?;
    }
    if way == Way::Create && spec.process().is_none() {
        return Err(OciError::Usage(
            "the configuration names no process".to_owned(),
        ));
    }
    let has_terminal = spec
        .process()
        .as_ref()
        .and_then(|process| process.terminal())
        .unwrap_or(false);
    if has_terminal != args.console_socket.is_some() {
        return Err(OciError::Usage(if has_terminal {
            "the process wants a terminal: give --console-socket".to_owned()
        } else {
            "--console-socket is for a process with a terminal".to_owned()
        }));
    }
    let folder = store.create(&args.id)?;
    let made = start(&folder, args, &bundle, &rootfs, spec, way);
    match made {
        Ok(container) => Ok((folder, container)),
        Err(error) => {
            // The first failure counts.
            drop(folder.remove());
            Err(error)
        }
    }
}

fn start(
    folder: &Folder,
    args: &Common,
    bundle: &Path,
    rootfs: &Path,
    spec: Spec,
    way: Way,
) -> Result<Container, OciError> {
    let console = args.console_socket.as_deref().map(connect).transpose()?;
    let options = Options {
        id: args.id.clone(),
        no_new_keyring: args.no_new_keyring,
        preserved_files: args.preserve_fds,
        console: console.map(Into::into),
        gate: match way {
            Way::Create => Some(folder.make_gate()?),
            Way::Run => None,
        },
        ..Options::default()
    };
    let made = Bundle {
        spec: spec.clone(),
        root: RootMount::Directory(rootfs.to_owned()),
        directory: bundle.to_owned(),
    };
    let container = match way {
        Way::Create => native::create(made, Stdio::default(), options)?.leave(),
        Way::Run => native::run(made, Stdio::default(), options)?,
    };
    let known = Known {
        id: args.id.clone(),
        bundle: bundle.to_owned(),
        rootfs: rootfs.to_owned(),
        created: jiff::Timestamp::now().to_string(),
        owner: coracle_runtime::sys::user(),
        record: container.record().clone(),
        spec,
    };
    let recorded = folder
        .write(&known)
        .map_err(OciError::from)
        .and_then(|()| write_pid(args.pid_file.as_deref(), &container))
        .and_then(|()| match way {
            Way::Create => Ok(()),
            Way::Run => Ok(super::manage::after_start(&known)?),
        });
    match recorded {
        Ok(()) => Ok(container),
        Err(error) => {
            drop(container.kill_all());
            drop(container.wait());
            drop(container.delete());
            Err(error)
        }
    }
}

/// Writes a process's number to a file, in one step.
pub(super) fn write_pid(path: Option<&Path>, container: &Container) -> Result<(), OciError> {
    let Some(path) = path else {
        return Ok(());
    };
    let step = || OciError::io(format!("writing {}", path.display()));
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let mut file = fs::File::create(&new).map_err(step())?;
    write!(file, "{}", container.pid()).map_err(step())?;
    fs::rename(&new, path).map_err(step())
}

/// Connects to the socket that a terminal is sent to.
pub(super) fn connect(path: &Path) -> Result<UnixStream, OciError> {
    UnixStream::connect(path).map_err(OciError::io(format!(
        "connecting to the console socket {}",
        path.display()
    )))
}

/// Turns SLICE:PREFIX:NAME into the path that systemd would use.
fn read_as_systemd(spec: &mut Spec, id: &str) -> Result<(), OciError> {
    let Some(linux) = spec.linux_mut() else {
        return Ok(());
    };
    let named = linux
        .cgroups_path()
        .as_ref()
        .and_then(|path| path.to_str())
        .map_or_else(|| format!("system.slice:coracle:{id}"), str::to_owned);
    let path = systemd_path(&named).ok_or_else(|| {
        OciError::Usage(format!(
            "`{named}` is not SLICE:PREFIX:NAME, as --systemd-cgroup says"
        ))
    })?;
    linux.set_cgroups_path(Some(path));
    Ok(())
}

fn systemd_path(named: &str) -> Option<PathBuf> {
    let mut parts = named.split(':');
    let (slice, prefix, name) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || name.is_empty() || name.contains('/') || prefix.contains('/') {
        return None;
    }
    let mut path = PathBuf::from("/");
    let slice = if slice.is_empty() {
        "system.slice"
    } else {
        slice
    };
    let stem = slice.strip_suffix(".slice")?;
    if stem.is_empty() || stem.contains('/') {
        return None;
    }
    // A slice a-b.slice lies in a.slice.
    if stem != "-" {
        let mut whole = String::new();
        for part in stem.split('-') {
            if part.is_empty() {
                return None;
            }
            if !whole.is_empty() {
                whole.push('-');
            }
            whole.push_str(part);
            path.push(format!("{whole}.slice"));
        }
    }
    if name.ends_with(".slice") {
        path.push(name);
    } else if prefix.is_empty() {
        path.push(format!("{name}.scope"));
    } else {
        path.push(format!("{prefix}-{name}.scope"));
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemds_names_become_paths() {
        for (named, path) in [
            ("system.slice:docker:abc", "/system.slice/docker-abc.scope"),
            (
                "user-1000.slice:libpod:x",
                "/user.slice/user-1000.slice/libpod-x.scope",
            ),
            ("-.slice::x", "/x.scope"),
        ] {
            assert_eq!(
                systemd_path(named).as_deref(),
                Some(Path::new(path)),
                "{named}"
            );
        }
        for wrong in [
            "",
            "a:b",
            "a.slice:b:",
            "a--b.slice:c:d",
            "a.slice:b:../../x",
        ] {
            assert_eq!(systemd_path(wrong), None, "{wrong}");
        }
    }
}
