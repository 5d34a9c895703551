//! The system call filter's part: what is refused, and what ends the process.

use std::ptr::{null, null_mut};

use libc::{EACCES, ENOSYS, EPERM, SIGSYS, c_long, syscall};

use crate::child::{Ended, Errno, Ground, behind, errno, errno_of, whole_wall};
use coracle_runtime::sandbox::wall::{Place, WallSpec};

/// Tries raw system calls behind a wall that grants nothing.
fn tried(act: impl FnOnce() -> Vec<c_long>) -> Ended<Vec<Errno>> {
    // The error number of each must be read before the next call.
    behind(WallSpec::default(), || {
        act().into_iter().map(|errno| errno as Errno).collect()
    })
}

macro_rules! call {
    ($($argument:expr),+) => {
        // SAFETY: every try passes valid or null pointers, and is refused before the kernel uses them.
        c_long::from(errno(unsafe { syscall($($argument),+) }))
    };
}

#[test]
fn ordinary_calls_are_refused_with_eperm() {
    let own = std::process::id();
    let no_path = c"".as_ptr();
    let result = tried(|| {
        vec![
            call!(libc::SYS_socket, libc::AF_INET, libc::SOCK_STREAM, 0),
            call!(libc::SYS_socket, libc::AF_UNIX, libc::SOCK_STREAM, 0),
            call!(libc::SYS_socket, libc::AF_NETLINK, libc::SOCK_RAW, 0),
            call!(
                libc::SYS_socketpair,
                libc::AF_UNIX,
                libc::SOCK_STREAM,
                0,
                [0; 2].as_mut_ptr()
            ),
            call!(libc::SYS_kill, own, libc::SIGTERM),
            call!(libc::SYS_kill, 1, 0),
            call!(libc::SYS_tgkill, own, own, libc::SIGTERM),
            call!(libc::SYS_rt_sigqueueinfo, own, libc::SIGTERM, null::<u8>()),
            call!(libc::SYS_pidfd_open, own, 0),
            call!(
                libc::SYS_setrlimit,
                libc::RLIMIT_NOFILE,
                [1_u64; 2].as_ptr()
            ),
            call!(
                libc::SYS_prlimit64,
                0,
                libc::RLIMIT_NOFILE,
                [1_u64; 2].as_ptr(),
                null::<u8>()
            ),
            call!(
                libc::SYS_prlimit64,
                own,
                libc::RLIMIT_NOFILE,
                null::<u8>(),
                [0_u64; 2].as_mut_ptr()
            ),
            call!(libc::SYS_prctl, libc::PR_SET_DUMPABLE, 1, 0, 0, 0),
            call!(
                libc::SYS_prctl,
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_STRICT,
                0,
                0,
                0
            ),
            call!(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_STRICT,
                0,
                null::<u8>()
            ),
            call!(libc::SYS_setuid, 0),
            call!(libc::SYS_capset, null::<u8>(), null::<u8>()),
            call!(libc::SYS_personality, 0x0040_0000),
            call!(libc::SYS_memfd_create, no_path, 0),
            call!(libc::SYS_ioctl, 0, libc::TIOCSTI, [b'x'].as_ptr()),
            call!(libc::SYS_fcntl, 0, libc::F_SETOWN, own),
            call!(libc::SYS_madvise, null::<u8>(), 4096, 100),
            call!(libc::SYS_inotify_init1, 0),
            call!(libc::SYS_shmget, 0, 4096, 0o600),
            call!(libc::SYS_msgget, 0, 0o600),
            call!(libc::SYS_splice, 0, null::<u8>(), 1, null::<u8>(), 1, 0),
            call!(9999),
        ]
    });
    assert_eq!(result, Ended::Said(vec![EPERM; 27]));
}

#[test]
fn no_process_is_made() {
    let result = tried(|| {
        let mut errors = vec![
            call!(
                libc::SYS_clone,
                libc::SIGCHLD,
                null::<u8>(),
                null::<u8>(),
                null::<u8>(),
                null::<u8>()
            ),
            call!(
                libc::SYS_clone,
                libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
                null::<u8>(),
                null::<u8>(),
                null::<u8>(),
                null::<u8>()
            ),
            call!(
                libc::SYS_clone,
                libc::CLONE_NEWUSER | libc::SIGCHLD,
                null::<u8>(),
                null::<u8>(),
                null::<u8>(),
                null::<u8>()
            ),
            call!(
                libc::SYS_clone,
                libc::CLONE_VM | libc::CLONE_SIGHAND | libc::CLONE_THREAD | libc::CLONE_NEWNET,
                null::<u8>(),
                null::<u8>(),
                null::<u8>(),
                null::<u8>()
            ),
        ];
        // SAFETY: refused; were it not, the child would leave at once without touching anything.
        let forked = unsafe { libc::fork() };
        if forked == 0 {
            coracle_runtime::sys::exit_now(0);
        }
        errors.push(errno(forked.into()).into());
        errors.push(call!(libc::SYS_clone3, null::<u8>(), 0));
        errors
    });
    assert_eq!(
        result,
        Ended::Said(vec![EPERM, EPERM, EPERM, EPERM, EPERM, ENOSYS])
    );
    let command = behind(WallSpec::default(), || {
        errno_of(std::process::Command::new("/bin/sh").spawn())
    });
    assert_eq!(command, Ended::Said(EPERM));
}

#[test]
fn memory_does_not_become_executable() {
    let page = 4096;
    let result = tried(|| {
        let readable = libc::PROT_READ | libc::PROT_WRITE;
        let private = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a fresh mapping at an address that the kernel chooses.
        let memory = unsafe { libc::mmap(null_mut(), page, readable, private, -1, 0) };
        assert_ne!(memory, libc::MAP_FAILED);
        vec![
            call!(
                libc::SYS_mmap,
                null::<u8>(),
                page,
                readable | libc::PROT_EXEC,
                private,
                -1,
                0
            ),
            call!(
                libc::SYS_mmap,
                null::<u8>(),
                page,
                libc::PROT_EXEC,
                private,
                -1,
                0
            ),
            call!(
                libc::SYS_mprotect,
                memory,
                page,
                libc::PROT_READ | libc::PROT_EXEC
            ),
            call!(
                libc::SYS_pkey_mprotect,
                memory,
                page,
                libc::PROT_READ | libc::PROT_EXEC,
                -1
            ),
            call!(libc::SYS_mprotect, memory, page, libc::PROT_READ),
        ]
    });
    assert_eq!(result, Ended::Said(vec![EPERM, EPERM, EPERM, EPERM, 0]));
}

#[test]
fn attacks_end_the_process() {
    let none = null::<u8>();
    let name = c"/bin/sh".as_ptr();
    let own = std::process::id();
    let tries: [(&str, &dyn Fn() -> c_long); 20] = [
        ("execve", &|| {
            call!(
                libc::SYS_execve,
                name,
                [name, null()].as_ptr(),
                [null::<u8>()].as_ptr()
            )
        }),
        ("execveat", &|| {
            call!(
                libc::SYS_execveat,
                libc::AT_FDCWD,
                name,
                [name, null()].as_ptr(),
                [null::<u8>()].as_ptr(),
                0
            )
        }),
        ("ptrace", &|| {
            call!(libc::SYS_ptrace, libc::PTRACE_TRACEME, 0, none, none)
        }),
        ("process_vm_readv", &|| {
            call!(libc::SYS_process_vm_readv, own, none, 0, none, 0, 0)
        }),
        ("process_vm_writev", &|| {
            call!(libc::SYS_process_vm_writev, own, none, 0, none, 0, 0)
        }),
        ("pidfd_getfd", &|| call!(libc::SYS_pidfd_getfd, -1, 0, 0)),
        ("mount", &|| {
            call!(libc::SYS_mount, none, none, none, 0, none)
        }),
        ("unshare", &|| call!(libc::SYS_unshare, libc::CLONE_NEWUSER)),
        ("setns", &|| call!(libc::SYS_setns, -1, 0)),
        ("chroot", &|| call!(libc::SYS_chroot, none)),
        ("bpf", &|| call!(libc::SYS_bpf, 0, none, 0)),
        ("keyctl", &|| call!(libc::SYS_keyctl, 0, 0, 0, 0, 0)),
        ("init_module", &|| {
            call!(libc::SYS_init_module, none, 0, none)
        }),
        ("finit_module", &|| {
            call!(libc::SYS_finit_module, -1, none, 0)
        }),
        ("kexec_load", &|| call!(libc::SYS_kexec_load, 0, 0, none, 0)),
        ("io_uring_setup", &|| {
            call!(libc::SYS_io_uring_setup, 1, none)
        }),
        ("perf_event_open", &|| {
            call!(libc::SYS_perf_event_open, none, 0, 0, -1, 0)
        }),
        ("userfaultfd", &|| call!(libc::SYS_userfaultfd, 0)),
        ("open_by_handle_at", &|| {
            call!(libc::SYS_open_by_handle_at, -1, none, 0)
        }),
        ("reboot", &|| call!(libc::SYS_reboot, 0, 0, 0, none)),
    ];
    for (name, attack) in tries {
        assert_eq!(tried(|| vec![attack()]), Ended::Killed(SIGSYS), "{name}");
    }
}

/// The x32 ABI shares x86-64's architecture value; its numbers have bit 30.
#[cfg(target_arch = "x86_64")]
#[test]
fn the_same_call_by_the_x32_abi_ends_the_process() {
    assert_eq!(
        tried(|| vec![call!(0x4000_0000 | libc::SYS_getpid)]),
        Ended::Killed(SIGSYS)
    );
}

/// 32-bit calls have other numbers: 1 is exit there and write here, 11 execve there and munmap here.
#[cfg(target_arch = "x86_64")]
#[test]
fn a_32_bit_call_ends_the_process() {
    let result = tried(|| {
        let answer: u64;
        // SAFETY: `int 0x80` is a 32-bit getpid; it takes no pointers, changes rax and, seen from 64 bits, r8 to r11.
        unsafe {
            std::arch::asm!("int 0x80", inlateout("rax") 20_u64 => answer,
                out("r8") _, out("r9") _, out("r10") _, out("r11") _, options(nostack));
        }
        vec![answer as c_long]
    });
    // A kernel without 32-bit emulation answers the trap with a segmentation fault: no way in either.
    assert!(
        matches!(result, Ended::Killed(SIGSYS | libc::SIGSEGV)),
        "{result:?}"
    );
}

#[test]
fn a_granted_directory_holds_no_programs() {
    // Even a program in a directory with all rights: mapping it is refused before execve is thought of.
    let ground = Ground::new();
    let program = ground.upper.join("program");
    std::fs::copy("/proc/self/exe", &program).expect("copy");
    let result = behind(ground.spec(), || {
        use std::os::fd::AsRawFd;
        let file = std::fs::File::open(&program).expect("open");
        call!(
            libc::SYS_mmap,
            null::<u8>(),
            4096,
            libc::PROT_READ | libc::PROT_EXEC,
            libc::MAP_PRIVATE,
            file.as_raw_fd(),
            0
        )
    });
    assert_eq!(result, Ended::Said(c_long::from(EPERM)));
}

#[test]
fn a_second_wall_is_refused() {
    if !whole_wall() {
        return;
    }
    let ground = Ground::new();
    let result = behind(ground.spec(), || {
        let spec = WallSpec {
            read: vec![Place::Path("/".into())],
            ..WallSpec::default()
        };
        let refused = coracle_runtime::sandbox::wall::raise(&spec).is_err();
        (refused, errno_of(std::fs::File::open("/etc/passwd")))
    });
    assert_eq!(result, Ended::Said((true, EACCES)));
}
