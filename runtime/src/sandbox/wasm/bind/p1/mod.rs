//! WASI preview 1, and preview 0, for core modules: all 46 functions by hand.
//!
//! A module is never adapted to a component: an adapter puts a page of its own into the module's memory, and programs
//! that take for granted that their memory grows in one piece (Go's heap) overwrite it.
//!
//! Errors are numbers, as POSIX and the witx files give them. A pointer outside the guest's memory ends the guest, as
//! witx wants it.

mod env;
mod fd;
mod io;
mod memory;
mod path;
mod poll;
mod sock;
mod table;
mod types;

use std::time::Instant;

use wasmtime::{Caller, Extern, Linker, Memory as LinearMemory, Module};
use wasmtime_wasi::Rng;

use super::preopen::Start;
use crate::sandbox::wasm::interrupt::Interrupt;
use crate::sandbox::wasm::limits::Limiter;
use crate::sandbox::wasm::stdio::{Input, Output};
use crate::spec::{ContainerSpec, OpenSocket};

use memory::Memory;
use table::{Stream, Table};
use types::{Abi, Failure, Result};

/// All that the host keeps for one guest.
pub(in super::super) struct Guest {
    table: Table,
    streams: Streams,
    args: Vec<String>,
    /// `NAME=value`.
    env: Vec<String>,
    /// There only if the guest imports `random_get`: seeding it costs more than most guests' whole start.
    random: Option<Box<dyn Rng + Send>>,
    started: Instant,
    interrupt: Option<Interrupt>,
    pub(in super::super) limiter: Limiter,
    /// Known once the module is instantiated; before that it is looked up by name.
    pub(in super::super) memory: Option<LinearMemory>,
}

/// The standard streams.
struct Streams {
    stdin: Input,
    stdout: Output,
    stderr: Output,
}

impl Streams {
    fn terminal(&self, stream: Stream) -> bool {
        match stream {
            Stream::Stdin => self.stdin.terminal(),
            Stream::Stdout => self.stdout.terminal(),
            Stream::Stderr => self.stderr.terminal(),
        }
    }
}

impl Guest {
    /// Collects what the guest gets. Everything that must be opened or seeded is, so that nothing needs the host's files later.
    pub(in super::super) fn new(
        spec: &ContainerSpec,
        preopens: Vec<(&'static str, Start)>,
        module: &Module,
        interrupt: Option<Interrupt>,
    ) -> Self {
        let mut env: Vec<_> = spec
            .env
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        // Go begins where this says, and nothing else tells it.
        let in_root = spec.cwd.bytes().all(|byte| byte == b'/');
        if !in_root && !spec.env.iter().any(|(name, _)| name == "PWD") {
            env.push(format!("PWD={}", spec.cwd));
        }
        let listeners: Vec<_> = spec
            .listeners
            .iter()
            .filter_map(|listener| match &listener.socket {
                OpenSocket::Tcp(socket) => Some(sock::Listening::new(socket.clone())),
                OpenSocket::Udp(_) => None,
            })
            .collect();
        if !listeners.is_empty() {
            env.push(format!("LISTEN_FDS={}", listeners.len()));
        }
        Self {
            table: Table::new(listeners.into_iter(), preopens, spec.limits.open_files),
            streams: Streams {
                stdin: Input::new(&spec.stdin),
                stdout: Output::stdout(&spec.stdout, interrupt.clone()),
                stderr: Output::stderr(&spec.stderr, interrupt.clone()),
            },
            args: spec.args.clone(),
            env,
            random: module
                .imports()
                .any(|import| import.name() == "random_get")
                .then(wasmtime_wasi::thread_rng),
            started: Instant::now(),
            interrupt,
            limiter: Limiter::new(spec.limits.memory),
            memory: None,
        }
    }
}

/// Returns what the module imports and nobody here has, as `module.function`.
pub(in super::super) fn missing(module: &Module) -> Vec<String> {
    module
        .imports()
        .filter(|import| import.ty().func().is_none() || !has(import.module(), import.name()))
        .map(|import| format!("{}.{}", import.module(), import.name()))
        .collect()
}

fn abi(module: &str) -> Option<Abi> {
    match module {
        "wasi_snapshot_preview1" => Some(Abi::Preview1),
        "wasi_unstable" => Some(Abi::Preview0),
        _ => None,
    }
}

fn has(module: &str, name: &str) -> bool {
    match abi(module) {
        // The one function that came later.
        Some(Abi::Preview0) if name == "sock_accept" => false,
        Some(_) => PLAIN.contains(&name) || SPECIAL.contains(&name),
        None => false,
    }
}

/// Defines what the module imports, and nothing else. `sockets` says whether the guest finds any open.
///
/// # Errors
/// When a name is imported twice with different types. Wrong types are found by the instantiation.
pub(in super::super) fn link(
    linker: &mut Linker<Guest>,
    module: &Module,
    sockets: bool,
) -> wasmtime::Result<()> {
    // A module may name one function several times.
    linker.allow_shadowing(true);
    for import in module.imports() {
        if let Some(abi) = abi(import.module()) {
            define(linker, abi, import.module(), import.name(), sockets)?;
        }
    }
    Ok(())
}

/// Answers a guest's call: its error number, or the reason why it ends.
fn answer(name: &str, result: Result) -> wasmtime::Result<i32> {
    match result {
        Ok(()) => Ok(0),
        Err(Failure::Errno(errno)) => Ok(i32::from(errno as u16)),
        Err(Failure::Pointer) => Err(wasmtime::Error::msg(format!(
            "{name}: a pointer outside the guest's memory"
        ))),
        Err(Failure::End(error)) => Err(error),
    }
}

/// Runs the body of a host function on the guest's memory.
fn call(
    caller: &mut Caller<'_, Guest>,
    name: &str,
    body: impl FnOnce(&mut Memory<'_>, &mut Guest) -> Result,
) -> wasmtime::Result<i32> {
    let memory = match caller.data().memory {
        Some(memory) => memory,
        None => match caller.get_export("memory") {
            Some(Extern::Memory(memory)) => memory,
            _ => {
                return Err(wasmtime::Error::msg(format!(
                    "{name}: the module exports no memory named \"memory\""
                )));
            }
        },
    };
    let (bytes, guest) = memory.data_and_store_mut(caller);
    answer(name, body(&mut Memory::new(bytes), guest))
}

/// Makes, from one line for each function, their names and the definition of one of them.
macro_rules! functions {
    ($abi:ident; $($name:literal => $($body:ident)::+ ($($arg:ident: $ty:ty),*) $(for $which:ident)?;)*) => {
        /// The functions that never wait.
        const PLAIN: &[&str] = &[$($name),*];

        fn define_plain(linker: &mut Linker<Guest>, $abi: Abi, module: &str, name: &str) -> wasmtime::Result<()> {
            match name {
                $($name => {
                    linker.func_wrap(module, $name, move |mut caller: Caller<'_, Guest>, $($arg: $ty),*| {
                        call(&mut caller, $name, |memory, guest| $($body)::+(memory, guest, $($arg,)* $($which)?))
                    })?;
                })*
                _ => {}
            }
            Ok(())
        }
    };
}

functions! { abi;
    "args_get" => env::args_get(list: u32, text: u32);
    "args_sizes_get" => env::args_sizes_get(count: u32, size: u32);
    "environ_get" => env::environ_get(list: u32, text: u32);
    "environ_sizes_get" => env::environ_sizes_get(count: u32, size: u32);
    "clock_res_get" => env::clock_res_get(id: u32, out: u32);
    "clock_time_get" => env::clock_time_get(id: u32, precision: u64, out: u32);
    "fd_advise" => fd::advise(fd: u32, offset: u64, len: u64, advice: u32);
    "fd_allocate" => fd::allocate(fd: u32, offset: u64, len: u64);
    "fd_close" => fd::close(fd: u32);
    "fd_datasync" => fd::datasync(fd: u32);
    "fd_fdstat_get" => fd::fdstat_get(fd: u32, out: u32);
    "fd_fdstat_set_flags" => fd::fdstat_set_flags(fd: u32, flags: u32);
    "fd_fdstat_set_rights" => fd::fdstat_set_rights(fd: u32, base: u64, inheriting: u64);
    "fd_filestat_get" => fd::filestat_get(fd: u32, out: u32) for abi;
    "fd_filestat_set_size" => fd::filestat_set_size(fd: u32, size: u64);
    "fd_filestat_set_times" => fd::filestat_set_times(fd: u32, atim: u64, mtim: u64, flags: u32);
    "fd_pread" => io::pread(fd: u32, iovs: u32, count: u32, offset: u64, out: u32);
    "fd_prestat_get" => fd::prestat_get(fd: u32, out: u32);
    "fd_prestat_dir_name" => fd::prestat_dir_name(fd: u32, path: u32, len: u32);
    "fd_pwrite" => io::pwrite(fd: u32, iovs: u32, count: u32, offset: u64, out: u32);
    "fd_readdir" => io::readdir(fd: u32, buffer: u32, len: u32, cookie: u64, out: u32);
    "fd_renumber" => fd::renumber(from: u32, to: u32);
    "fd_seek" => fd::seek(fd: u32, offset: i64, whence: u32, out: u32) for abi;
    "fd_sync" => fd::sync(fd: u32);
    "fd_tell" => fd::tell(fd: u32, out: u32);
    "fd_write" => io::write(fd: u32, iovs: u32, count: u32, out: u32);
    "path_create_directory" => path::create_directory(fd: u32, path: u32, len: u32);
    "path_filestat_get" => path::filestat_get(fd: u32, flags: u32, path: u32, len: u32, out: u32) for abi;
    "path_filestat_set_times" =>
        path::filestat_set_times(fd: u32, flags: u32, path: u32, len: u32, atim: u64, mtim: u64, fst_flags: u32);
    "path_link" => path::link(
        old_fd: u32, old_flags: u32, old_path: u32, old_len: u32, new_fd: u32, new_path: u32, new_len: u32
    );
    "path_open" => path::open(
        fd: u32, dirflags: u32, path: u32, len: u32, oflags: u32, base: u64, inheriting: u64, fdflags: u32, out: u32
    );
    "path_readlink" => path::readlink(fd: u32, path: u32, len: u32, buffer: u32, buffer_len: u32, out: u32);
    "path_remove_directory" => path::remove_directory(fd: u32, path: u32, len: u32);
    "path_rename" => path::rename(old_fd: u32, old_path: u32, old_len: u32, new_fd: u32, new_path: u32, new_len: u32);
    "path_symlink" => path::symlink(target: u32, target_len: u32, fd: u32, path: u32, len: u32);
    "path_unlink_file" => path::unlink_file(fd: u32, path: u32, len: u32);
    "proc_raise" => env::proc_raise(signal: u32);
    "random_get" => env::random_get(buffer: u32, len: u32);
    "sched_yield" => env::sched_yield();
    "sock_shutdown" => sock::sock_shutdown(fd: u32, how: u32);
}

/// The functions that may wait, or that do not return.
const SPECIAL: &[&str] = &[
    "fd_read",
    "poll_oneoff",
    "proc_exit",
    "sock_accept",
    "sock_recv",
    "sock_send",
];

fn define(
    linker: &mut Linker<Guest>,
    abi: Abi,
    module: &str,
    name: &str,
    sockets: bool,
) -> wasmtime::Result<()> {
    match name {
        // Only a connection makes a writer wait.
        "fd_write" if sockets => {
            linker.func_wrap_async(module, name, |caller, args| {
                Box::new(fd_write(caller, args))
            })?;
        }
        "sock_accept" => {
            linker.func_wrap_async(module, name, |caller, args| {
                Box::new(sock::sock_accept(caller, args))
            })?;
        }
        "sock_recv" => {
            linker.func_wrap_async(module, name, |caller, args| {
                Box::new(sock::sock_recv(caller, args))
            })?;
        }
        "sock_send" => {
            linker.func_wrap_async(module, name, |caller, args| {
                Box::new(sock::sock_send(caller, args))
            })?;
        }
        "fd_read" => {
            linker.func_wrap_async(module, name, |caller, args| Box::new(fd_read(caller, args)))?;
        }
        "poll_oneoff" => {
            linker.func_wrap_async(module, name, move |caller, args| {
                Box::new(poll_oneoff(caller, args, abi))
            })?;
        }
        "proc_exit" => {
            linker.func_wrap(module, name, |code: u32| -> wasmtime::Result<()> {
                Err(env::proc_exit(code))
            })?;
        }
        name => define_plain(linker, abi, module, name)?,
    }
    Ok(())
}

async fn fd_read(
    mut caller: Caller<'_, Guest>,
    (fd, iovs, count, out): (u32, u32, u32, u32),
) -> wasmtime::Result<i32> {
    if sock::is_socket(caller.data_mut(), fd) {
        return sock::read(&mut caller, (fd, iovs, count, out)).await;
    }
    if let Some(input) = io::waits_for(caller.data_mut(), fd) {
        // What goes wrong here, the read tells.
        input.ready().await.ok();
    }
    call(&mut caller, "fd_read", |memory, guest| {
        io::read(memory, guest, fd, iovs, count, out)
    })
}

async fn fd_write(
    mut caller: Caller<'_, Guest>,
    (fd, iovs, count, out): (u32, u32, u32, u32),
) -> wasmtime::Result<i32> {
    if sock::is_socket(caller.data_mut(), fd) {
        return sock::write(&mut caller, "fd_write", (fd, iovs, count, out)).await;
    }
    call(&mut caller, "fd_write", |memory, guest| {
        io::write(memory, guest, fd, iovs, count, out)
    })
}

async fn poll_oneoff(
    mut caller: Caller<'_, Guest>,
    (subscriptions, events, count, out): (u32, u32, u32, u32),
    abi: Abi,
) -> wasmtime::Result<i32> {
    const NAME: &str = "poll_oneoff";
    let mut wait = None;
    let errno = call(&mut caller, NAME, |memory, guest| {
        wait = Some(poll::begin(memory, guest, subscriptions, count, abi)?);
        Ok(())
    })?;
    let Some(wait) = wait else { return Ok(errno) };
    wait.happen(&mut caller).await;
    call(&mut caller, NAME, |memory, guest| {
        wait.report(memory, guest, events, out)
    })
}
