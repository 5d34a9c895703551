//! The process that watches over a container in the background.
//!
//! It starts the process that hosts the program, and is its parent; it has the other end of its terminal or standard input; it
//! writes down how it ended if that could not say so itself, starts it again where a policy says so, asks whether it is well, and
//! removes what is to be removed at the end. It knows nothing of what kind of program that is, and of the program's files it
//! touches none. When it is killed, the program's process is killed by the kernel: none is left without somebody who watches.

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod health;
#[cfg(target_os = "linux")]
mod life;
#[cfg(target_os = "linux")]
mod watch;

use std::process::Command;

/// What the process that hosts a program says on its standard output when that is about to run, and the process that watches over
/// it to the command that started it.
pub const STARTED: &[u8] = b"started\n";

/// Makes the command line of another process of this program with these arguments, on the same data directory, with nothing of
/// this process' environment.
pub type Commands<'a> = &'a dyn Fn(&[&str]) -> Command;

/// How watching over a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watching {
    /// Its program ended, and is not started again.
    Over,
    /// Another process watches over it, or runs it.
    Elsewhere,
    /// It could not be started.
    Failed {
        /// What the process that was to host it has said.
        said: String,
        /// That process' exit code.
        code: u8,
    },
}
