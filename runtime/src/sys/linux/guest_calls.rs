//! The system calls of a process that hosts a Wasm guest.
//!
//! What is listed here is what the guest file system, wasmtime, tokio and the C library were seen to need, and nothing
//! "to be safe". Three answers for the rest: EPERM for most, since libraries probe and then do without; ENOSYS
//! for clone3, whose flags lie in memory where no filter sees them, so that the C library takes clone; and the end of
//! the process for what only an attack would try. Paths are Landlock's part: a filter sees pointers, not names.

use std::collections::BTreeMap;

use libc::c_long;

use super::seccomp::{Action, Case, Filter, Match, Rule, Test};
use crate::sys::Sockets;

/// The bits of an argument that is an `int` or `unsigned int` in the kernel.
const INT: u64 = 0xffff_ffff;
const REFUSE: Action = Action::Errno(libc::EPERM as u16);

/// Reading and writing what is open, and finding out about it.
const OPEN_FILES: &[c_long] = &[
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_pwritev2,
    libc::SYS_lseek,
    libc::SYS_copy_file_range,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fadvise64,
    // The mode of files that the engine itself makes; needs a handle that was opened under Landlock's eyes.
    libc::SYS_fchmod,
    // What a copy was in the image is recorded as an attribute of it; the same holds.
    libc::SYS_fgetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_getdents64,
    libc::SYS_close,
];

/// Calls that take paths, all but the last four mediated by Landlock. `openat2` is what cap-std uses, the others are for
/// the standard library, which also writes the exit status and removes the container at the end.
const PATHS: &[c_long] = &[
    libc::SYS_openat2,
    libc::SYS_openat,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    // Landlock lets these pass for any path (kernel documentation, "current limitations"): existence, size, owner, times
    // and link targets can be asked, and times of the user's own files set. The report says so.
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_readlinkat,
    libc::SYS_utimensat,
];

/// The same under the older names that glibc still uses on x86-64, but none that Landlock would let pass.
#[cfg(target_arch = "x86_64")]
const OLD_NAMES: &[c_long] = &[
    libc::SYS_open,
    libc::SYS_mkdir,
    libc::SYS_rmdir,
    libc::SYS_unlink,
    libc::SYS_rename,
    libc::SYS_link,
    libc::SYS_symlink,
    libc::SYS_poll,
    libc::SYS_epoll_wait,
    libc::SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
const OLD_NAMES: &[c_long] = &[];

/// The guest's memories (grown by mprotect, or moved), the allocator, fibers' stacks. With mmap and mprotect, which must not
/// make memory executable; see [`filter`].
const MEMORY: &[c_long] = &[libc::SYS_munmap, libc::SYS_mremap, libc::SYS_brk];

/// Threads that the process makes later: standard input's, tokio's blocking ones, a timer.
const THREADS: &[c_long] = &[
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_gettid,
    libc::SYS_exit,
];

/// Traps of the guest arrive as signals, on a stack of their own.
const SIGNALS: &[c_long] = &[
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
];

/// tokio's event loop, poll_oneoff, pollables.
const WAITING: &[c_long] = &[
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_ppoll,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
];

/// Clocks (where the vDSO does not answer), random numbers, and who we are: nothing that changes anything.
const ASKING: &[c_long] = &[
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getcwd,
    libc::SYS_uname,
];

/// Sockets that are open, only where there are any.
const OPEN_SOCKETS: &[c_long] = &[
    libc::SYS_accept4,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_shutdown,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
];

/// Sockets of one's own, only where connecting or datagrams were granted; Landlock compares TCP's ports. Datagrams are bound before
/// they are sent. With `socket`, see [`argument_rules`].
const NEW_SOCKETS: &[c_long] = &[libc::SYS_connect, libc::SYS_bind];

/// Listening on ports that were not open before, only where that was granted.
const LISTENING: &[c_long] = &[libc::SYS_listen];

/// What only an attack would try: starting programs, looking into other processes, changing what the machine is, and the
/// kernel interfaces with the worst record. The process ends at once, so that nothing is tried twice.
const FATAL: &[c_long] = &[
    // Other programs.
    libc::SYS_execve,
    libc::SYS_execveat,
    // Other processes, and other ways to this one's memory.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_userfaultfd,
    // Namespaces, roots and mounts.
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_mount_setattr,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    // Files by number, past every path.
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    // Code in the kernel, and queues that carry out calls past this filter.
    libc::SYS_bpf,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_perf_event_open,
    // Keys, and the machine itself.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_syslog,
    libc::SYS_vhangup,
];

/// The same where only x86 has them: access to I/O ports and segment tables.
#[cfg(target_arch = "x86_64")]
const FATAL_OLD: &[c_long] = &[libc::SYS_iopl, libc::SYS_ioperm, libc::SYS_modify_ldt];
#[cfg(not(target_arch = "x86_64"))]
const FATAL_OLD: &[c_long] = &[];

/// Returns the filter for a process that hosts a guest; `pid` is its own process id.
pub(super) fn filter(sockets: &Sockets, pid: u32) -> Filter {
    let mut rules = BTreeMap::new();
    let groups = [
        (Action::Allow, OPEN_FILES),
        (Action::Allow, PATHS),
        (Action::Allow, OLD_NAMES),
        (Action::Allow, MEMORY),
        (Action::Allow, THREADS),
        (Action::Allow, SIGNALS),
        (Action::Allow, WAITING),
        (Action::Allow, ASKING),
        (Action::Allow, &[libc::SYS_exit_group]),
        (
            Action::Allow,
            if sockets.any() { OPEN_SOCKETS } else { &[] },
        ),
        (
            Action::Allow,
            if sockets.makes() { NEW_SOCKETS } else { &[] },
        ),
        (
            Action::Allow,
            if sockets.bind.is_empty() {
                &[]
            } else {
                LISTENING
            },
        ),
        (Action::KillProcess, FATAL),
        (Action::KillProcess, FATAL_OLD),
        (Action::Errno(libc::ENOSYS as u16), &[libc::SYS_clone3]),
    ];
    for (action, calls) in groups {
        for call in calls {
            rules.insert(number(*call), Rule::from(action));
        }
    }
    for (call, cases) in argument_rules(sockets, pid) {
        let cases = cases
            .into_iter()
            .map(|when| Case {
                when: when.into_iter().map(Test::Masked).collect(),
                then: Action::Allow,
            })
            .collect();
        rules.insert(
            number(call),
            Rule {
                cases,
                otherwise: REFUSE,
            },
        );
    }
    Filter {
        default: REFUSE,
        foreign: Action::KillProcess,
        rules,
    }
}

/// Calls that are allowed when one of the listed alternatives holds, each a list of matches.
fn argument_rules(sockets: &Sockets, pid: u32) -> Vec<(c_long, Vec<Vec<Match>>)> {
    let not_executable = vec![vec![Match {
        arg: 2,
        mask: libc::PROT_EXEC as u64,
        value: 0,
    }]];
    let mut rules = vec![
        (libc::SYS_mmap, not_executable.clone()),
        (libc::SYS_mprotect, not_executable),
        (libc::SYS_madvise, advice()),
        (libc::SYS_clone, vec![vec![thread_flags()]]),
        // Only abort() sends signals, to its own thread group.
        (libc::SYS_tgkill, one_of(0, &[u64::from(pid)])),
        // Asking for the own limits (the C library, for the stack's bounds); setting has a pointer in argument 2.
        (
            libc::SYS_prlimit64,
            vec![vec![
                Match {
                    arg: 0,
                    mask: INT,
                    value: 0,
                },
                Match {
                    arg: 2,
                    mask: u64::MAX,
                    value: 0,
                },
            ]],
        ),
        (
            libc::SYS_prctl,
            one_of(
                0,
                &[
                    libc::PR_SET_NAME as u64,
                    libc::PR_GET_NAME as u64,
                    libc::PR_SET_VMA as u64,
                ],
            ),
        ),
        (libc::SYS_fcntl, one_of(1, &fcntl_commands())),
        (libc::SYS_ioctl, one_of(1, &ioctl_requests())),
    ];
    if sockets.makes() {
        let mut kinds = Vec::new();
        if sockets.streams() {
            // MPTCP and SMC are streams as well, which Landlock does not compare.
            kinds.extend([
                (libc::SOCK_STREAM, 0),
                (libc::SOCK_STREAM, libc::IPPROTO_TCP),
            ]);
        }
        if sockets.datagrams {
            kinds.extend([(libc::SOCK_DGRAM, 0), (libc::SOCK_DGRAM, libc::IPPROTO_UDP)]);
        }
        let both = [libc::AF_INET, libc::AF_INET6];
        let cases = kinds
            .into_iter()
            .flat_map(|(kind, protocol)| both.map(|domain| socket(domain, kind, protocol)));
        rules.push((libc::SYS_socket, cases.collect()));
    }
    rules
}

fn socket(domain: i32, kind: i32, protocol: i32) -> Vec<Match> {
    vec![
        Match {
            arg: 0,
            mask: INT,
            value: domain as u64,
        },
        // Beside the type there may be SOCK_NONBLOCK and SOCK_CLOEXEC.
        Match {
            arg: 1,
            mask: INT & !((libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) as u64),
            value: kind as u64,
        },
        Match {
            arg: 2,
            mask: INT,
            value: protocol as u64,
        },
    ]
}

/// A new thread of this process, and no namespace: what the C library asks for. Without CLONE_THREAD it would be a process.
fn thread_flags() -> Match {
    let thread = (libc::CLONE_VM | libc::CLONE_SIGHAND | libc::CLONE_THREAD) as u64;
    let namespaces = (libc::CLONE_NEWNS
        | libc::CLONE_NEWCGROUP
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUSER
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET) as u64;
    Match {
        arg: 0,
        mask: thread | namespaces,
        value: thread,
    }
}

/// Advice below 32 concerns our own memory only; above 99 root can take pages from the whole machine. Between, 102 and 103
/// (guard pages) are how newer C libraries protect the stacks of threads.
fn advice() -> Vec<Vec<Match>> {
    let mut cases = vec![vec![Match {
        arg: 2,
        mask: INT & !31,
        value: 0,
    }]];
    cases.extend(one_of(2, &[102, 103]));
    cases
}

/// Flags and copies of handles. Not F_SETOWN, which makes the kernel send signals to others.
fn fcntl_commands() -> [u64; 6] {
    [
        libc::F_DUPFD,
        libc::F_DUPFD_CLOEXEC,
        libc::F_GETFD,
        libc::F_SETFD,
        libc::F_GETFL,
        libc::F_SETFL,
    ]
    .map(|it| it as u64)
}

/// Is it a terminal, how large, how much can be read, flags of the handle. Not TIOCSTI, which types into the user's shell. And which
/// pages of its own memory a service's guest has written (`PAGEMAP_SCAN`, asked of a handle of `/proc/self/pagemap`).
fn ioctl_requests() -> [u64; 7] {
    /// `_IOWR('f', 16, struct pm_scan_arg)`.
    const PAGEMAP_SCAN: u32 = 0xc060_6610;
    [
        PAGEMAP_SCAN as libc::Ioctl,
        libc::TCGETS,
        libc::TIOCGWINSZ,
        libc::FIONREAD,
        libc::FIONBIO,
        libc::FIOCLEX,
        libc::FIONCLEX,
    ]
    .map(|request| u64::from(request as u32))
}

fn one_of(arg: u8, values: &[u64]) -> Vec<Vec<Match>> {
    values
        .iter()
        .map(|value| {
            vec![Match {
                arg,
                mask: INT,
                value: *value,
            }]
        })
        .collect()
}

fn number(call: c_long) -> u32 {
    u32::try_from(call).expect("libc's system call numbers are small and positive")
}

#[cfg(test)]
mod tests {
    use super::super::seccomp::Arch;
    use super::*;
    use crate::sys::Ports;

    fn all() -> Sockets {
        Sockets {
            connect: Ports::Any,
            bind: Ports::Any,
            open: true,
            datagrams: true,
        }
    }

    #[test]
    fn no_call_has_two_answers() {
        let lists = [
            OPEN_FILES,
            PATHS,
            OLD_NAMES,
            MEMORY,
            THREADS,
            SIGNALS,
            WAITING,
            ASKING,
            OPEN_SOCKETS,
            NEW_SOCKETS,
            LISTENING,
            FATAL,
            FATAL_OLD,
        ];
        let listed: usize = lists.iter().map(|list| list.len()).sum();
        let by_argument = argument_rules(&all(), 1).len();
        // exit_group and clone3 stand in no list.
        assert_eq!(filter(&all(), 1).rules.len(), listed + by_argument + 2);
    }

    #[test]
    fn the_filter_stays_small() {
        // Loading takes some 0.2 microseconds for each instruction: who has no network does not pay for those who have.
        const ALONE: usize = 400;
        const WITH_NETWORK: usize = 450;
        let arch = Arch::native().expect("an architecture with filters");
        for (sockets, most) in [(Sockets::default(), ALONE), (all(), WITH_NETWORK)] {
            let program = filter(&sockets, u32::MAX).compile(arch).expect("compiles");
            assert!(program.len() <= most, "{}", program.len());
        }
    }

    #[test]
    fn only_the_network_calls_that_are_needed_are_allowed() {
        let new = [
            NEW_SOCKETS,
            LISTENING,
            &[libc::SYS_socket, libc::SYS_socketpair],
        ]
        .concat();
        let has = |filter: &Filter, call: &c_long| filter.rules.contains_key(&number(*call));
        let nothing = filter(&Sockets::default(), 1);
        assert!(
            !new.iter()
                .chain(OPEN_SOCKETS)
                .any(|call| has(&nothing, call))
        );
        let open = Sockets {
            open: true,
            ..Sockets::default()
        };
        let open = filter(&open, 1);
        assert!(OPEN_SOCKETS.iter().all(|call| has(&open, call)));
        assert!(!new.iter().any(|call| has(&open, call)));
        assert_eq!(open.default, REFUSE);
    }
}
