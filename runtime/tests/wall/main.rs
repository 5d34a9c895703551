//! What a process can still do behind the second wall, tried for real.
//!
//! Each case runs in a forked child (the wall cannot be lowered again), which reports through a pipe. `EPERM` comes from
//! the system call filter, `EACCES` from Landlock.
#![cfg(target_os = "linux")]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "figures, and skips that must be seen"
)]

mod child;
mod cost;
mod files;
mod forbidden;
mod needed;
mod network;
mod report;
