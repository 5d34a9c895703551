//! The last steps, after which this process is the container's program.

use std::convert::Infallible;
use std::ffi::{CString, OsStr};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxPersonalityDomain, Process};
use rustix::fs::{Access, AtFlags};

use super::super::error::Told;
use super::super::hooks;
use super::super::message::Message;
use super::super::plan::Plan;
use super::{Files, enter, privileges};
use crate::sys::linux::container as sys;
use crate::sys::linux::seccomp;

/// `PER_LINUX` and `PER_LINUX32` of `linux/personality.h`.
const PER_LINUX: libc::c_ulong = 0;
const PER_LINUX32: libc::c_ulong = 8;

/// Becomes the program.
pub(super) fn become_program(plan: &Plan, files: &Files) -> Result<Infallible, Told> {
    let process = plan
        .spec
        .process()
        .as_ref()
        .ok_or_else(|| Told::step("starting the program")("none is named"))?;
    if let Some(personality) = plan
        .spec
        .linux()
        .as_ref()
        .and_then(|linux| linux.personality().as_ref())
    {
        let domain = match personality.domain() {
            LinuxPersonalityDomain::PerLinux => PER_LINUX,
            LinuxPersonalityDomain::PerLinux32 => PER_LINUX32,
        };
        sys::set_personality(domain).map_err(Told::step("setting the execution domain"))?;
    }
    privileges::limits(plan, process, files)?;

    // From here on no descriptor is passed on by accident; what this process uses it has by number. Only then the working directory:
    // /proc/self/fd/N must not lead out.
    sys::close_from(3 + plan.preserved, true).map_err(Told::step("marking descriptors"))?;
    let cwd = process.cwd();
    let entered = enter(cwd);
    let no_new_privileges = process.no_new_privileges().unwrap_or(false);
    if !no_new_privileges {
        // It needs a capability that is given up next.
        filter(plan)?;
    }
    privileges::give_up(plan, process)?;
    if plan.ends_with_parent {
        // The change of user has undone it.
        sys::end_with_parent().map_err(Told::step("asking to end with the launcher"))?;
    }
    if let Err(first) = entered {
        // Only the container's user may enter it, perhaps.
        enter(cwd).map_err(|_| {
            Told::step(format!("entering the working directory {}", cwd.display()))(first)
        })?;
    }
    check_directory(cwd)?;
    if let Some(umask) = process.user().umask() {
        sys::set_umask(umask & 0o777);
    } else {
        sys::set_umask(0o022);
    }
    let (path, args, environment) = program(process)?;
    if let Some(gate) = &files.gate {
        Message::Ready
            .send(files.socket.as_fd())
            .map_err(Told::step("waiting for the start"))?;
        wait(gate)?;
    }
    if let Some(hooks) = plan.spec.hooks().as_ref().filter(|_| plan.root.is_some()) {
        let state = hooks::State::new(plan, "created", std::process::id());
        hooks::run("startContainer", hooks.start_container().as_ref(), &state)
            .map_err(Told::step("running hooks"))?;
    }
    sys::reset_signals();
    if no_new_privileges {
        // As late as possible: the filter need not allow what came before.
        rustix::thread::set_no_new_privs(true)
            .map_err(Told::step("giving up gaining new privileges"))?;
        filter(plan)?;
    }
    let error = sys::execute(&path, &args, &environment);
    Err(Told {
        doing: path.to_string_lossy().into_owned(),
        reason: error.to_string(),
        program: Some(error.kind() == io::ErrorKind::NotFound),
    })
}

fn filter(plan: &Plan) -> Result<(), Told> {
    let Some(program) = &plan.seccomp else {
        return Ok(());
    };
    seccomp::install_with_flags(&program.instructions(), program.flags.into())
        .map_err(Told::step("filtering system calls"))
}

/// A working directory outside of the container's root would be a way out.
fn check_directory(cwd: &Path) -> Result<(), Told> {
    let step = Told::step(format!("entering the working directory {}", cwd.display()));
    let here = rustix::process::getcwd(Vec::new()).map_err(Told::step(format!(
        "entering the working directory {}",
        cwd.display()
    )))?;
    if here.to_bytes().starts_with(b"/") {
        Ok(())
    } else {
        Err(step("it lies outside of the container"))
    }
}

/// Waits for one byte; the end of the file means that nobody will ever say so.
fn wait(gate: &std::os::fd::OwnedFd) -> Result<(), Told> {
    use rustix::event::{PollFd, PollFlags, poll};
    let step = "waiting for the start";
    let mut byte = [0; 1];
    loop {
        let mut watched = [PollFd::new(gate, PollFlags::IN)];
        match poll(&mut watched, None) {
            Err(rustix::io::Errno::INTR) => continue,
            result => result.map_err(Told::step(step))?,
        };
        let gate = gate.try_clone().map_err(Told::step(step))?;
        match std::fs::File::from(gate).read(&mut byte) {
            Ok(1) => return Ok(()),
            Ok(_) => return Err(Told::step(step)("it was given up")),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                ) => {}
            Err(error) => return Err(Told::step(step)(error)),
        }
    }
}

type Prepared = (CString, Vec<CString>, Vec<CString>);

/// Finds the program as the container's user will see it, and makes its arguments ready.
fn program(process: &Process) -> Result<Prepared, Told> {
    let strings = |texts: &Option<Vec<String>>| -> Result<Vec<CString>, Told> {
        texts
            .iter()
            .flatten()
            .map(|text| CString::new(text.as_str()))
            .collect::<Result<_, _>>()
            .map_err(Told::step("reading the program's arguments"))
    };
    let args = strings(process.args())?;
    let environment = strings(process.env())?;
    let name = args
        .first()
        .ok_or_else(|| Told::step("starting the program")("none is named"))?;
    let path = find(
        name.as_bytes(),
        process.env().as_deref().unwrap_or_default(),
    )?;
    Ok((path, args, environment))
}

fn find(name: &[u8], environment: &[String]) -> Result<CString, Told> {
    let failed = |error: rustix::io::Errno, missing| Told {
        doing: String::from_utf8_lossy(name).into_owned(),
        reason: io::Error::from(error).to_string(),
        program: Some(missing),
    };
    let not_found = || failed(rustix::io::Errno::NOENT, true);
    if name.is_empty() {
        return Err(not_found());
    }
    let candidates: Vec<PathBuf> = if name.contains(&b'/') {
        vec![Path::new(OsStr::from_bytes(name)).to_owned()]
    } else {
        let path = environment
            .iter()
            .rev()
            .find_map(|variable| variable.strip_prefix("PATH="))
            .unwrap_or("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        // An empty entry means the working directory, which is not searched.
        path.split(':')
            .filter(|directory| !directory.is_empty())
            .map(|directory| Path::new(directory).join(OsStr::from_bytes(name)))
            .collect()
    };
    let mut refused = None;
    for candidate in candidates {
        let access = rustix::fs::accessat(
            rustix::fs::CWD,
            &candidate,
            Access::EXEC_OK,
            AtFlags::EACCESS,
        );
        match access {
            Ok(()) if candidate.is_dir() => refused = Some(rustix::io::Errno::ISDIR),
            Ok(()) => {
                return CString::new(candidate.as_os_str().as_bytes()).map_err(|_| not_found());
            }
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => {}
            Err(error) => refused = Some(error),
        }
    }
    Err(refused.map_or_else(not_found, |error| failed(error, false)))
}
