//! Puts the whole process behind no_new_privs, Landlock and seccomp.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{guest_calls, landlock, seccomp};
use crate::sys::{Applied, Reach, RestrictError, Restricted};

/// Restricts this process, and all threads that it makes later, until it ends.
///
/// Landlock first: its own system calls are not on seccomp's list. Both need no_new_privs, without which a program with
/// more rights could be started inside the restrictions. Memory must have been made executable before, files outside
/// of `reach` opened before; what is open stays usable.
///
/// A restriction that the kernel does not have is reported as [`Applied::Unsupported`] and the others are made; whether
/// that is enough is the caller's decision.
///
/// # Errors
///
/// See [`RestrictError`]. Called a second time it fails at Landlock or seccomp, which are no longer allowed.
pub fn restrict(reach: &Reach<'_>) -> Result<Restricted, RestrictError> {
    alone()?;
    rustix::thread::set_no_new_privs(true)
        .map_err(|errno| RestrictError::NoNewPrivileges(errno.into()))?;
    let landlock = landlock::restrict(reach)?;
    let seccomp = match seccomp::Arch::native() {
        Some(arch) => {
            let filter = guest_calls::filter(reach.sockets, std::process::id());
            let program = filter
                .compile(arch)
                .map_err(|error| RestrictError::Seccomp(Box::new(error)))?;
            seccomp::install(&program).map_err(|error| RestrictError::Seccomp(Box::new(error)))?
        }
        None => Applied::Unsupported(format!(
            "no system call filter for {}",
            std::env::consts::ARCH
        )),
    };
    Ok(Restricted {
        no_new_privileges: Applied::Yes(()),
        landlock,
        seccomp,
    })
}

/// Makes sure that no other thread exists: Landlock and seccomp restrict the calling thread and those it makes later.
fn alone() -> Result<(), RestrictError> {
    let tasks = Path::new("/proc/self/task");
    // Linux counts a link for each thread, beside the directory's usual two: one call, where listing takes five. On a
    // kernel that counts otherwise the list decides.
    let links = tasks
        .metadata()
        .map_err(RestrictError::CountThreads)?
        .nlink();
    if links == 3 {
        return Ok(());
    }
    // proc(5): one directory for each thread. Two are enough to know.
    let listed = tasks
        .read_dir()
        .and_then(|tasks| tasks.take(2).collect::<io::Result<Vec<_>>>());
    match listed.map_err(RestrictError::CountThreads)?.len() {
        1 => Ok(()),
        _ => Err(RestrictError::OtherThreads),
    }
}
