//! What this process may do, and what it gives up. All of it is for a process with one thread: the C library's wrappers, which tell
//! other threads, are not used.

use std::ffi::CStr;
use std::io;

use libc::{c_int, c_long, c_ulong};

use super::check;

/// `_LINUX_CAPABILITY_VERSION_3`: two words of 32 bits.
const CAPABILITY_VERSION: u32 = 0x2008_0522;
/// `KEYCTL_JOIN_SESSION_KEYRING` of `linux/keyctl.h`.
const JOIN_SESSION_KEYRING: c_int = 1;
/// CAP_CHECKPOINT_RESTORE, since Linux 5.9.
const LIKELY_LAST: u32 = 40;
/// The most bits that a set can have.
const MOST_CAPABILITIES: u32 = 63;

#[repr(C)]
struct Header {
    version: u32,
    pid: c_int,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Capabilities, a bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sets {
    pub(crate) effective: u64,
    pub(crate) permitted: u64,
    pub(crate) inheritable: u64,
}

/// prctl(2) with integers.
fn prctl(option: c_int, second: c_ulong, third: c_ulong) -> io::Result<c_int> {
    // SAFETY: the options used in this file take integers and touch no memory.
    check(c_long::from(unsafe {
        libc::prctl(option, second, third, 0 as c_ulong, 0 as c_ulong)
    }))
    .map(|value| value as c_int)
}

/// Returns the number of the kernel's last capability.
pub(crate) fn last_capability() -> u32 {
    let known = |number: u32| prctl(libc::PR_CAPBSET_READ, c_ulong::from(number), 0).is_ok();
    // Most kernels of today have just this many: two calls instead of forty.
    let mut last = LIKELY_LAST;
    while last > 0 && !known(last) {
        last -= 1;
    }
    while last < MOST_CAPABILITIES && known(last + 1) {
        last += 1;
    }
    last
}

/// Takes a capability out of the bounding set.
pub(crate) fn drop_bounding(number: u32) -> io::Result<()> {
    prctl(libc::PR_CAPBSET_DROP, c_ulong::from(number), 0).map(drop)
}

/// Sets this process's capabilities.
pub(crate) fn set_capabilities(sets: Sets) -> io::Result<()> {
    let header = Header {
        version: CAPABILITY_VERSION,
        pid: 0,
    };
    let word = |shift: u32| Data {
        effective: (sets.effective >> shift) as u32,
        permitted: (sets.permitted >> shift) as u32,
        inheritable: (sets.inheritable >> shift) as u32,
    };
    let data = [word(0), word(32)];
    // SAFETY: capset(2) reads a header and, for this version, two entries.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) }).map(drop)
}

/// Empties the ambient set.
pub(crate) fn clear_ambient() -> io::Result<()> {
    prctl(
        libc::PR_CAP_AMBIENT,
        libc::PR_CAP_AMBIENT_CLEAR_ALL as c_ulong,
        0,
    )
    .map(drop)
}

/// Puts a capability into the ambient set.
pub(crate) fn raise_ambient(number: u32) -> io::Result<()> {
    prctl(
        libc::PR_CAP_AMBIENT,
        libc::PR_CAP_AMBIENT_RAISE as c_ulong,
        c_ulong::from(number),
    )
    .map(drop)
}

/// Says whether a change of user keeps the permitted capabilities.
pub(crate) fn keep_capabilities(keep: bool) -> io::Result<()> {
    prctl(libc::PR_SET_KEEPCAPS, c_ulong::from(keep), 0).map(drop)
}

/// Says whether other processes of the same user may look into this one.
pub(crate) fn set_dumpable(dumpable: bool) -> io::Result<()> {
    prctl(libc::PR_SET_DUMPABLE, c_ulong::from(dumpable), 0).map(drop)
}

/// Has the kernel end this process when the thread that started it ends. A change of user undoes it.
pub(crate) fn end_with_parent() -> io::Result<()> {
    prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as c_ulong, 0).map(drop)
}

/// Sets the supplementary groups.
pub(crate) fn set_groups(groups: &[u32]) -> io::Result<()> {
    // SAFETY: setgroups(2) reads as many numbers as the slice has.
    check(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) }).map(drop)
}

/// Becomes this user and group, for good.
pub(crate) fn set_ids(user: u32, group: u32) -> io::Result<()> {
    // SAFETY: both take integers.
    check(unsafe { libc::syscall(libc::SYS_setresgid, group, group, group) })?;
    // SAFETY: as above.
    check(unsafe { libc::syscall(libc::SYS_setresuid, user, user, user) })?;
    Ok(())
}

/// Takes a session keyring of its own: the keys of whoever started this process are out of reach.
pub(crate) fn join_session_keyring(name: &CStr) -> io::Result<()> {
    // SAFETY: this keyctl(2) reads a string that ends.
    check(unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, name.as_ptr()) }).map(drop)
}

/// Sets the host name of this UTS namespace.
pub(crate) fn set_host_name(name: &str) -> io::Result<()> {
    // SAFETY: sethostname reads as many bytes as it is told.
    check(c_long::from(unsafe {
        libc::sethostname(name.as_ptr().cast(), name.len())
    }))
    .map(drop)
}

/// Sets the NIS domain name of this UTS namespace.
pub(crate) fn set_domain_name(name: &str) -> io::Result<()> {
    // SAFETY: setdomainname reads as many bytes as it is told.
    check(c_long::from(unsafe {
        libc::setdomainname(name.as_ptr().cast(), name.len())
    }))
    .map(drop)
}

/// Sets the execution domain, `PER_LINUX` or `PER_LINUX32`.
pub(crate) fn set_personality(domain: c_ulong) -> io::Result<()> {
    // SAFETY: personality(2) takes an integer.
    check(c_long::from(unsafe { libc::personality(domain) })).map(drop)
}

/// Sets the mask for the modes of new files.
pub(crate) fn set_umask(mask: u32) {
    // SAFETY: umask(2) takes an integer and cannot fail.
    unsafe { libc::umask(mask) };
}

/// Takes signals again as a new program expects them: nothing blocked, nothing ignored.
pub(crate) fn reset_signals() {
    // SAFETY: the set is written by sigemptyset before it is read; signal() with SIG_DFL installs no code. Numbers that may not be
    // set are refused, which is what we want.
    unsafe {
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_DFL);
        }
    }
}

/// Sets a limit of this process: one of `RLIMIT_*`.
pub(crate) fn set_limit(resource: u32, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit64 {
        rlim_cur: soft,
        rlim_max: hard,
    };
    // SAFETY: prlimit64 reads one rlimit64 and, given null, writes nothing.
    check(unsafe {
        libc::syscall(
            libc::SYS_prlimit64,
            0,
            resource,
            &raw const limit,
            std::ptr::null_mut::<libc::rlimit64>(),
        )
    })
    .map(drop)
}

/// Returns a limit of this process: soft and hard.
pub(crate) fn limit(resource: u32) -> io::Result<(u64, u64)> {
    let mut limit = libc::rlimit64 {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: prlimit64, given null, reads nothing, and writes one rlimit64.
    check(unsafe {
        libc::syscall(
            libc::SYS_prlimit64,
            0,
            resource,
            std::ptr::null::<libc::rlimit64>(),
            &raw mut limit,
        )
    })?;
    Ok((limit.rlim_cur, limit.rlim_max))
}
