//! Kernel parameters of the container's namespaces.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::super::error::Told;
use super::super::plan::Plan;
use crate::sys::linux::container::{Attributes, NewFileSystem};

/// Writes the parameters, through a procfs of our own that is mounted nowhere: what an image or another container has put at /proc
/// has no say.
pub(super) fn apply(plan: &Plan) -> Result<(), Told> {
    let parameters = plan
        .spec
        .linux()
        .as_ref()
        .and_then(|linux| linux.sysctl().as_ref())
        .filter(|parameters| !parameters.is_empty());
    let Some(parameters) = parameters else {
        return Ok(());
    };
    let proc = NewFileSystem::open(c"proc")
        .and_then(|proc| proc.mount(Attributes::default()))
        .map_err(Told::step("reaching the kernel's parameters"))?;
    for (name, value) in parameters {
        set(&proc, name, value)
            .map_err(Told::step(format!("setting the kernel parameter {name}")))?;
    }
    Ok(())
}

fn set(proc: &OwnedFd, name: &str, value: &str) -> io::Result<()> {
    let path = format!("sys/{}", name.replace('.', "/"));
    let resolve = ResolveFlags::BENEATH
        | ResolveFlags::NO_XDEV
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_SYMLINKS;
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat2(proc, path.as_str(), flags, Mode::empty(), resolve)?;
    File::from(file).write_all(value.as_bytes())
}
