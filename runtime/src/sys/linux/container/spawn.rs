//! A process in new or joined namespaces, that starts with a program held open.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use libc::{c_int, c_long, clone_args, pid_t};

use super::check;

/// From `linux/sched.h`; the crate's own constant is too narrow for it.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// `CLONE_NEW*` flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Namespaces(pub(crate) u64);

/// What to start, and where.
pub(crate) struct Spawn<'a> {
    /// Namespaces that are made for it.
    pub(crate) new: Namespaces,
    /// Namespaces that it joins before, each with its `CLONE_NEW*` flag; or one pidfd with several.
    pub(crate) join: &'a [(BorrowedFd<'a>, c_int)],
    /// A directory of cgroup v2 that it begins in.
    pub(crate) cgroup: Option<BorrowedFd<'a>>,
    /// `tasks` files of cgroup v1 that it writes itself into: this takes no lock that others wait for.
    pub(crate) tasks: &'a [BorrowedFd<'a>],
    /// The program.
    pub(crate) program: BorrowedFd<'a>,
    /// Its arguments, the first being its name. It has no environment.
    pub(crate) args: &'a [CString],
    /// Descriptors that it gets under a number of their own.
    pub(crate) renumber: &'a [(BorrowedFd<'a>, RawFd)],
    /// Descriptors that it gets under the number they have.
    pub(crate) keep: &'a [RawFd],
    /// A pipe: it reads one byte before it becomes root of its user namespace, whose maps are written by then. It closes the
    /// other end, so that it does not wait for ever if nobody writes.
    pub(crate) mapped: Option<(BorrowedFd<'a>, BorrowedFd<'a>)>,
    /// It becomes root of the user namespace that it joins.
    pub(crate) becomes_root: bool,
    /// Where it writes one byte `X` and an error number of four bytes, if it cannot start the program.
    pub(crate) failure: BorrowedFd<'a>,
}

/// A process that was started, and that only its parent may wait for.
#[derive(Debug)]
pub(crate) struct Child {
    /// Its number in this process's PID namespace.
    pub(crate) pid: i32,
    /// A handle that never means another process.
    pub(crate) pidfd: OwnedFd,
}

/// Starts a process.
///
/// Between clone and exec the child makes system calls on prepared data only, allocates nothing and takes no lock, so that it does
/// not matter what other threads of this process held at that moment.
///
/// # Errors
///
/// What the kernel says about the first process. What comes later arrives on [`Spawn::failure`].
pub(crate) fn spawn(spawn: &Spawn<'_>) -> io::Result<Child> {
    let mut argv: Vec<*const libc::c_char> = spawn.args.iter().map(|arg| arg.as_ptr()).collect();
    argv.push(std::ptr::null());
    if spawn.join.is_empty() {
        let mut pidfd: c_int = -1;
        let mut args = clone_arguments(spawn);
        args.pidfd = (&raw mut pidfd) as u64;
        args.flags |= libc::CLONE_PIDFD as u64;
        args.exit_signal = libc::SIGCHLD as u64;
        // SAFETY: without CLONE_VM the child has its own copy of memory and goes on on its own copy of the stack; see
        // `become_program` for what it does. `pidfd` lives through the call, which writes one int to it.
        let pid = unsafe { clone3(&args) };
        if pid == 0 {
            become_program(spawn, &argv);
        }
        let pid = check(pid)?;
        return Ok(Child {
            pid: i32::try_from(pid).map_err(io::Error::other)?,
            // SAFETY: with CLONE_PIDFD the kernel has stored a new descriptor there.
            pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
        });
    }
    // setns to a PID namespace counts for children only: a process in between joins, and makes a sibling of itself.
    let (reader, writer) = pipe()?;
    let between = clone_args {
        exit_signal: libc::SIGCHLD as u64,
        ..empty_arguments()
    };
    // SAFETY: as above.
    let helper = unsafe { clone3(&between) };
    if helper == 0 {
        join_and_clone(spawn, &argv, writer.as_raw_fd());
    }
    let helper = check(helper)? as pid_t;
    drop(writer);
    let mut answer = [0; 4];
    let read = read_exactly(reader.as_raw_fd(), &mut answer);
    // The sibling is our child: until we wait for it, nobody else gets its number.
    let pid = i32::from_ne_bytes(answer);
    let child = match (read, pid) {
        (true, 1..) => open(pid).map(|pidfd| Child { pid, pidfd }),
        (true, error) => Err(io::Error::from_raw_os_error(-error)),
        (false, _) => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
    };
    wait_for(helper)?;
    child
}

fn empty_arguments() -> clone_args {
    // SAFETY: clone_args is eleven integers, for all of which zero means "not asked for".
    unsafe { std::mem::zeroed() }
}

fn clone_arguments(spawn: &Spawn<'_>) -> clone_args {
    let mut args = empty_arguments();
    args.flags = spawn.new.0;
    if let Some(cgroup) = spawn.cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    args
}

/// # Safety
///
/// `args` must not share memory with the child, nor name a stack.
unsafe fn clone3(args: &clone_args) -> c_long {
    // SAFETY: clone3(2) reads as many bytes of `args` as it is told; the caller vouches for what they ask for.
    unsafe {
        libc::syscall(
            libc::SYS_clone3,
            args as *const clone_args,
            size_of::<clone_args>(),
        )
    }
}

fn errno() -> c_int {
    // SAFETY: the pointer is to this thread's own variable.
    unsafe { *libc::__errno_location() }
}

/// The process in between. Never returns.
fn join_and_clone(spawn: &Spawn<'_>, argv: &[*const libc::c_char], answer: RawFd) -> ! {
    let say = |number: c_int| {
        let bytes = number.to_ne_bytes();
        // SAFETY: four bytes of our own are written; then this process ends, without destructors.
        unsafe {
            libc::write(answer, bytes.as_ptr().cast(), bytes.len());
            libc::_exit(0)
        }
    };
    // A namespace may belong to the user namespace that is joined as well, or to the caller's: what fails before is tried after.
    let user = |kind: c_int| kind & libc::CLONE_NEWUSER != 0;
    let joins_user = spawn.join.iter().any(|(_, kind)| user(*kind));
    let mut late: u32 = 0;
    for (index, (namespace, kind)) in spawn.join.iter().enumerate() {
        if user(*kind) && *kind == libc::CLONE_NEWUSER {
            continue;
        }
        // SAFETY: setns(2) takes two integers.
        if unsafe { libc::setns(namespace.as_raw_fd(), *kind) } != 0 {
            if !joins_user || errno() != libc::EPERM || index >= 32 {
                say(-errno());
            }
            late |= 1 << index;
        }
    }
    for (namespace, kind) in spawn.join {
        if *kind != libc::CLONE_NEWUSER {
            continue;
        }
        // SAFETY: setns(2) takes two integers.
        if unsafe { libc::setns(namespace.as_raw_fd(), *kind) } != 0 {
            say(-errno());
        }
    }
    for (index, (namespace, kind)) in spawn.join.iter().enumerate() {
        if index >= 32 || late & (1 << index) == 0 {
            continue;
        }
        // SAFETY: setns(2) takes two integers.
        if unsafe { libc::setns(namespace.as_raw_fd(), *kind) } != 0 {
            say(-errno());
        }
    }
    let mut args = clone_arguments(spawn);
    args.flags |= libc::CLONE_PARENT as u64;
    // SAFETY: as in `spawn`.
    let pid = unsafe { clone3(&args) };
    if pid == 0 {
        become_program(spawn, argv);
    }
    say(if pid < 0 { -errno() } else { pid as c_int })
}

/// What the child does: system calls on what was prepared. Never returns.
fn become_program(spawn: &Spawn<'_>, argv: &[*const libc::c_char]) -> ! {
    let number = try_to_become_program(spawn, argv);
    let mut message = [b'X', 0, 0, 0, 0];
    message[1..].copy_from_slice(&number.to_ne_bytes());
    // SAFETY: five bytes of our own are written; then the process ends, without destructors.
    unsafe {
        libc::write(
            spawn.failure.as_raw_fd(),
            message.as_ptr().cast(),
            message.len(),
        );
        libc::_exit(127)
    }
}

fn try_to_become_program(spawn: &Spawn<'_>, argv: &[*const libc::c_char]) -> c_int {
    for tasks in spawn.tasks {
        // SAFETY: one byte of a constant is written. 0 means the writer, and the kernel then takes no global lock.
        if unsafe { libc::write(tasks.as_raw_fd(), c"0".as_ptr().cast(), 1) } != 1 {
            return errno();
        }
    }
    if let Some((mapped, other)) = spawn.mapped {
        // SAFETY: close takes an integer. It is this process's own copy, which it shares with nobody and never uses again.
        unsafe { libc::close(other.as_raw_fd()) };
        let mut byte = [0];
        if !read_exactly(mapped.as_raw_fd(), &mut byte) {
            return libc::ECANCELED;
        }
    }
    if spawn.becomes_root {
        // SAFETY: plain system calls with integers and a null list; the C library's wrappers would signal other threads. setgroups is
        // refused where the map was made without privileges, and then there is nothing to drop.
        unsafe {
            libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>());
            if libc::syscall(libc::SYS_setresgid, 0, 0, 0) != 0
                || libc::syscall(libc::SYS_setresuid, 0, 0, 0) != 0
            {
                return errno();
            }
        }
    }
    for (from, to) in spawn.renumber {
        // SAFETY: dup3 takes integers. Where both are the same only the flag has to go.
        let done = unsafe {
            if from.as_raw_fd() == *to {
                libc::fcntl(*to, libc::F_SETFD, 0)
            } else {
                libc::dup3(from.as_raw_fd(), *to, 0)
            }
        };
        if done < 0 {
            return errno();
        }
    }
    for number in spawn.keep {
        // SAFETY: fcntl with F_SETFD takes an integer.
        if unsafe { libc::fcntl(*number, libc::F_SETFD, 0) } < 0 {
            return errno();
        }
    }
    let none = [std::ptr::null::<libc::c_char>()];
    // SAFETY: execveat(2) reads an empty string and two lists that end with null, whose strings live in `spawn`.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            spawn.program.as_raw_fd(),
            c"".as_ptr(),
            argv.as_ptr(),
            none.as_ptr(),
            libc::AT_EMPTY_PATH,
        );
    }
    errno()
}

fn read_exactly(file: RawFd, bytes: &mut [u8]) -> bool {
    loop {
        // SAFETY: at most as many bytes are written as the slice has. What is read here is at most four bytes, written at once.
        let read = unsafe { libc::read(file, bytes.as_mut_ptr().cast(), bytes.len()) };
        if read < 0 && errno() == libc::EINTR {
            continue;
        }
        return usize::try_from(read) == Ok(bytes.len());
    }
}

/// Makes a pipe: the end to read, and the end to write.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: pipe2 writes two ints.
    check(c_long::from(unsafe {
        libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC)
    }))?;
    // SAFETY: both have just been made for us.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

fn open(pid: pid_t) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open(2) takes two integers.
    let number = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: it has just been made for us.
    Ok(unsafe { OwnedFd::from_raw_fd(number as RawFd) })
}

/// Waits for a child of this process, and returns its wait status.
pub(crate) fn wait_for(pid: pid_t) -> io::Result<c_int> {
    let mut status = 0;
    loop {
        // SAFETY: waitpid writes one int. __WALL finds children of any kind.
        match check(c_long::from(unsafe {
            libc::waitpid(pid, &raw mut status, libc::__WALL)
        })) {
            Ok(_) => return Ok(status),
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Takes over a descriptor that this process was started with, and keeps it from being passed on.
///
/// # Errors
///
/// There is no descriptor with that number.
pub(crate) fn claim_inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl with F_SETFD takes an integer.
    check(c_long::from(unsafe {
        libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC)
    }))?;
    // SAFETY: it is open, as we have just seen. The launcher names each descriptor once in the plan that this process works on,
    // and nothing else in this process, which has only begun, has opened or owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Closes (or only marks, so that a new program does not get them) all descriptors from a number on.
pub(crate) fn close_from(first: u32, only_mark: bool) -> io::Result<()> {
    let flags = if only_mark {
        libc::CLOSE_RANGE_CLOEXEC
    } else {
        0
    };
    // SAFETY: close_range(2) takes integers. What owns such a descriptor in this process is never used again when it really closes: the
    // program is executed next.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, flags) }).map(drop)
}

/// Makes the cgroups that this process is in the roots of what it sees.
pub(crate) fn leave_cgroup_view() -> io::Result<()> {
    set_namespaces(libc::CLONE_NEWCGROUP)
}

/// unshare(2).
pub(crate) fn set_namespaces(flags: c_int) -> io::Result<()> {
    // SAFETY: unshare(2) takes an integer. No flag used here changes what memory means.
    check(c_long::from(unsafe { libc::unshare(flags) })).map(drop)
}

/// Executes a program under a path, as the last thing this process does. Returns only if that fails.
pub(crate) fn execute(path: &CStr, args: &[CString], environment: &[CString]) -> io::Error {
    let list = |texts: &[CString]| {
        let mut pointers: Vec<*const libc::c_char> =
            texts.iter().map(|text| text.as_ptr()).collect();
        pointers.push(std::ptr::null());
        pointers
    };
    let (args, environment) = (list(args), list(environment));
    // SAFETY: execve reads a string that ends and two lists that end with null; all of it lives through the call.
    unsafe { libc::execve(path.as_ptr(), args.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

/// Makes a standard stream, 0 to 2, mean what `file` means.
pub(crate) fn replace_standard(number: RawFd, file: BorrowedFd<'_>) -> io::Result<()> {
    debug_assert!((0..3).contains(&number), "nothing owns these");
    // SAFETY: dup3 takes integers; the standard streams are owned by nothing in Rust's sense.
    check(c_long::from(unsafe {
        libc::dup3(file.as_raw_fd(), number, 0)
    }))
    .map(drop)
}

/// Sends a signal of any number to a process.
pub(crate) fn signal(process: BorrowedFd<'_>, number: c_int) -> io::Result<()> {
    // SAFETY: pidfd_send_signal(2) takes integers, and null for the details.
    check(unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            process.as_raw_fd(),
            number,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    })
    .map(drop)
}
