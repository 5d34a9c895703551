//! The container's first process, from the new namespaces to the program.
//!
//! It is this executable, started anew from a copy that cannot be written to, with one thread and nothing but a [`Plan`]. The
//! order of the steps is what keeps it safe; where one must come before another, it says so.

mod console;
mod devices;
mod inside;
mod masks;
mod mounts;
mod privileges;
mod program;
mod sysctl;

use std::convert::Infallible;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::OFlags;

use self::inside::{Inside, Links};
use super::error::Told;
use super::hooks;
use super::message::Message;
use super::plan::{NAME, Plan};
use crate::sys::exit_now;
use crate::sys::linux::container as sys;

/// Exit code of a first process that never became the program, as a shell's.
const NOT_EXECUTABLE: i32 = 126;
const NOT_FOUND: i32 = 127;

/// Becomes a container's first process and never returns, if this process was started as one.
///
/// Every program that makes native containers calls it first of all in `main`: the launcher starts the program's own
/// executable for that, under the name `coracle-init`.
pub fn become_init_if_asked() {
    let mut args = std::env::args_os();
    if args.next().is_none_or(|name| name != NAME) {
        return;
    }
    let number = args.next().and_then(|number| number.to_str()?.parse().ok());
    let plan = number.and_then(|number| Plan::read(number).ok());
    let code = match plan {
        Some(plan) => init(&plan),
        // Somebody has started it by hand.
        None => NOT_EXECUTABLE,
    };
    exit_now(code)
}

/// What this process inherited for its own use.
struct Files {
    socket: OwnedFd,
    gate: Option<OwnedFd>,
    console: Option<OwnedFd>,
}

fn init(plan: &Plan) -> i32 {
    // Nobody in the container may look into this process or at what it holds, from before it shares anything with them.
    let hidden = set_oom_score(plan)
        .map_err(Told::step("setting the score for the out-of-memory killer"))
        .and_then(|()| {
            sys::set_dumpable(false).map_err(Told::step("hiding this process from the container"))
        });
    let claim = |number| sys::claim_inherited(number).ok();
    let Some(socket) = claim(plan.socket) else {
        return NOT_EXECUTABLE;
    };
    let files = Files {
        socket,
        gate: plan.gate.and_then(claim),
        console: plan.console.and_then(claim),
    };
    // Hooks that run in this process's namespaces get none of what it was handed by accident.
    let hidden = hidden.and_then(|()| {
        sys::close_from(3 + plan.preserved, true).map_err(Told::step("marking descriptors"))
    });
    let told = match hidden.and_then(|()| prepare(plan, &files)) {
        Err(told) => told,
        Ok(never) => match never {},
    };
    let code = if told.program == Some(true) {
        NOT_FOUND
    } else {
        NOT_EXECUTABLE
    };
    // The launcher may be gone, then nobody is left to tell.
    drop(Message::Failed(told).send(files.socket.as_fd()));
    code
}

/// Written while this process still sees the host's /proc. The launcher does it for a process that joins.
fn set_oom_score(plan: &Plan) -> std::io::Result<()> {
    let score = plan
        .spec
        .process()
        .as_ref()
        .and_then(|process| process.oom_score_adj());
    match score {
        Some(score) if plan.root.is_some() => {
            std::fs::write("/proc/self/oom_score_adj", score.to_string())
        }
        _ => Ok(()),
    }
}

fn prepare(plan: &Plan, files: &Files) -> Result<Infallible, Told> {
    sys::set_umask(0);
    if plan.ends_with_parent {
        sys::end_with_parent().map_err(Told::step("asking to end with the launcher"))?;
    }
    rustix::process::setsid().map_err(Told::step("starting a session"))?;
    if plan.new_keyring {
        keyring(plan)?;
    }
    // The process has joined its cgroups before it became this program.
    if plan.new & libc::CLONE_NEWCGROUP as u64 != 0 {
        sys::leave_cgroup_view().map_err(Told::step("making a cgroup namespace"))?;
    }
    match &plan.root {
        Some(root) => {
            let inside = mounts::root(plan, root)?;
            build(plan, files, &inside)?;
        }
        None => {
            if plan.waits {
                ask(files)?;
            }
            let root = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, 0.into())
                .map_err(Told::step("opening the root"))?;
            let inside = Inside::new(root);
            terminal(plan, files, &inside, false)?;
            console::reopen_null(&inside)?;
        }
    }
    program::become_program(plan, files)
}

/// Builds what the container sees, and goes there.
fn build(plan: &Plan, files: &Files, inside: &Inside) -> Result<(), Told> {
    mounts::all(plan, inside)?;
    devices::make(plan, inside)?;
    terminal(plan, files, inside, true)?;
    if let Some(process) = plan.spec.process() {
        inside
            .directory(process.cwd(), Links::Follow)
            .map_err(Told::step(format!(
                "making the working directory {}",
                process.cwd().display()
            )))?;
    }
    if plan.waits {
        ask(files)?;
    }
    if let Some(hooks) = plan.spec.hooks() {
        let state = hooks::State::new(plan, "creating", std::process::id());
        hooks::run("createContainer", hooks.create_container().as_ref(), &state)
            .map_err(Told::step("running hooks"))?;
    }
    if plan.new & libc::CLONE_NEWUTS as u64 != 0 {
        if let Some(name) = plan.spec.hostname() {
            sys::set_host_name(name).map_err(Told::step("setting the host name"))?;
        }
        if let Some(name) = plan.spec.domainname() {
            sys::set_domain_name(name).map_err(Told::step("setting the domain name"))?;
        }
    }
    if plan.new & libc::CLONE_NEWNET as u64 != 0 {
        sys::loopback_up().map_err(Told::step("turning on the loopback device"))?;
    }
    sysctl::apply(plan)?;
    masks::apply(plan, inside)?;
    console::reopen_null(inside)?;
    finish_root(plan, inside)
}

/// Leaves the host's file system for good.
fn finish_root(plan: &Plan, inside: &Inside) -> Result<(), Told> {
    sys::enter_new_root(inside.root()).map_err(Told::step("entering the new root"))?;
    let read_only = plan
        .spec
        .root()
        .as_ref()
        .and_then(|root| root.readonly())
        .unwrap_or(false);
    if read_only {
        sys::set_attributes(
            inside.root(),
            sys::Attributes::READ_ONLY,
            sys::Attributes::default(),
            false,
        )
        .map_err(Told::step("making the root read-only"))?;
    }
    if let Some(propagation) = mounts::propagation(plan) {
        sys::set_propagation(inside.root(), propagation, false)
            .map_err(Told::step("setting the root's propagation"))?;
    }
    Ok(())
}

fn keyring(plan: &Plan) -> Result<(), Told> {
    let name = std::ffi::CString::new(plan.id.as_bytes())
        .map_err(Told::step("making a session keyring"))?;
    match sys::join_session_keyring(&name) {
        // A kernel without keyrings has no keys to protect.
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => Ok(()),
        result => result.map_err(Told::step("making a session keyring")),
    }
}

/// Makes the terminal that the program shall have, hands its other end out, and makes it the standard streams.
fn terminal(plan: &Plan, files: &Files, inside: &Inside, is_first: bool) -> Result<(), Told> {
    let Some(process) = plan
        .spec
        .process()
        .as_ref()
        .filter(|process| process.terminal().unwrap_or(false))
    else {
        return Ok(());
    };
    let short = |number: u64| u16::try_from(number).unwrap_or(u16::MAX);
    let size = process
        .console_size()
        .map(|size| (short(size.height()), short(size.width())));
    let terminal = console::open(inside, size)?;
    if is_first {
        console::mount(inside, &terminal)?;
    }
    let sent = match &files.console {
        Some(console) => {
            sys::send_with_file(console.as_fd(), b"/dev/ptmx", terminal.controller.as_fd())
        }
        None => Message::Terminal.send_with(files.socket.as_fd(), terminal.controller.as_fd()),
    };
    sent.map_err(Told::step("handing out the terminal"))?;
    for number in 0..3 {
        sys::replace_standard(number, terminal.program.as_fd())
            .map_err(Told::step("using the terminal"))?;
    }
    sys::become_controlling(std::io::stdin().as_fd())
        .map_err(Told::step("taking control of the terminal"))
}

/// Has the launcher do its part, and waits for it.
fn ask(files: &Files) -> Result<(), Told> {
    let step = "waiting for the launcher";
    Message::Asks
        .send(files.socket.as_fd())
        .map_err(Told::step(step))?;
    let mut answer = [0; 1];
    let socket = files.socket.try_clone().map_err(Told::step(step))?;
    match std::fs::File::from(socket).read(&mut answer) {
        Ok(1) => Ok(()),
        Ok(_) => Err(Told::step(step)("it has ended")),
        Err(error) => Err(Told::step(step)(error)),
    }
}

/// Makes a directory the working directory.
fn enter(directory: &Path) -> std::io::Result<()> {
    rustix::process::chdir(directory).map_err(Into::into)
}
