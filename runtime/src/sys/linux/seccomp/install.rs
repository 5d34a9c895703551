//! Hands a program to the kernel.

use std::io;

use libc::{
    SECCOMP_GET_ACTION_AVAIL, SECCOMP_RET_KILL_PROCESS, SECCOMP_SET_MODE_FILTER, SYS_seccomp,
    sock_filter, sock_fprog,
};

use crate::sys::Applied;

/// Filters this thread's system calls, and those of threads that it makes later. Yields the program's length.
///
/// Needs no_new_privs. Cannot be undone.
///
/// # Errors
///
/// What the kernel says, unless it says that it has no seccomp: that is [`Applied::Unsupported`].
pub(in crate::sys::linux) fn install(program: &[sock_filter]) -> io::Result<Applied<usize>> {
    let len = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let described = sock_fprog {
        len,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: seccomp(2) with SECCOMP_SET_MODE_FILTER reads one sock_fprog and the `len` instructions it points to, and
    // writes to neither (so the cast to a mutable pointer gives nothing away); both are borrowed for the whole call.
    let result = unsafe {
        libc::syscall(
            SYS_seccomp,
            SECCOMP_SET_MODE_FILTER,
            0,
            &raw const described,
        )
    };
    if result == 0 {
        return Ok(Applied::Yes(program.len()));
    }
    let error = io::Error::last_os_error();
    // EINVAL is both "no filters in this kernel" and "not a valid program".
    match error.raw_os_error() {
        Some(libc::ENOSYS | libc::EINVAL) if !is_there() => Ok(Applied::Unsupported(
            "the kernel has no seccomp filters that end a process (Linux 4.14)".to_owned(),
        )),
        _ => Err(error),
    }
}

fn is_there() -> bool {
    let action: u32 = SECCOMP_RET_KILL_PROCESS;
    // SAFETY: seccomp(2) with SECCOMP_GET_ACTION_AVAIL reads one u32, which lives through the call.
    unsafe { libc::syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &raw const action) == 0 }
}

/// Filters this thread's system calls with the flags of seccomp(2), `SECCOMP_FILTER_FLAG_*`. Without no_new_privs it
/// needs CAP_SYS_ADMIN.
///
/// # Errors
///
/// What the kernel says.
pub(crate) fn install_with_flags(program: &[sock_filter], flags: libc::c_ulong) -> io::Result<()> {
    let len = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let described = sock_fprog {
        len,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: as in `install`; the flags used here change neither what is read nor that nothing is written.
    let result = unsafe {
        libc::syscall(
            SYS_seccomp,
            SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const described,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
