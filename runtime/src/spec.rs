//! What to run, as plain data: one program with its arguments, environment, working directory and streams.
//!
//! The file system is not in here: it is a value of its own, [`crate::vfs::GuestFs`].

mod listener;

use std::fs::File;
use std::sync::Arc;

use crate::logs::LogWriter;
pub use crate::policy::Limits;
use crate::policy::net::NetPolicy;
use crate::policy::{NamePrefix, Observer};
pub use listener::{ListenError, Listener, OpenSocket};

/// A program to run, and what it gets besides its file system.
#[derive(Clone, Debug)]
pub struct ContainerSpec {
    /// The program's path in the guest; one that is not absolute starts at `cwd`.
    pub program: String,
    /// The SHA-256 of the program's file, where it is known: compiled code is then found without reading the file. Of a program
    /// that was linked with others, [`key`](crate::sandbox::wasm::link::key).
    pub program_sha256: Option<[u8; 32]>,
    /// The arguments, `argv[0]` included. No NUL inside.
    pub args: Vec<String>,
    /// The whole environment, in order. Nothing of the host's is added.
    pub env: Vec<(String, String)>,
    /// The working directory: an absolute guest path to an existing directory.
    pub cwd: String,
    /// What the guest reads on its standard input.
    pub stdin: Stdin,
    /// Where its standard output goes.
    pub stdout: Output,
    /// Where its standard error goes.
    pub stderr: Output,
    /// What it may use up. A service's every request may use that much.
    pub limits: Limits,
    /// Interfaces that a program may not import, WASI's as well.
    pub deny_interfaces: Vec<NamePrefix>,
    /// Is told what the guest uses and is refused.
    pub observer: Option<Arc<dyn Observer>>,
    /// What it may do with the network.
    pub net: NetPolicy,
    /// The open sockets behind the ports that it may listen on.
    pub listeners: Vec<Listener>,
    /// What is made of the program.
    pub world: World,
    /// Does this process's first SIGTERM or SIGINT ask a service that answers HTTP requests to end in peace?
    pub drain_on_signals: bool,
}

impl ContainerSpec {
    /// Describes a program that is run without arguments but its own name, with an empty environment and input, in `/`.
    /// Output goes where this process' own goes.
    pub fn new(program: &str) -> Self {
        Self {
            program: program.to_owned(),
            program_sha256: None,
            args: vec![program.to_owned()],
            env: Vec::new(),
            cwd: "/".to_owned(),
            stdin: Stdin::Empty,
            stdout: Output::Inherit,
            stderr: Output::Inherit,
            limits: Limits::default(),
            deny_interfaces: Vec::new(),
            observer: None,
            net: NetPolicy::default(),
            listeners: Vec::new(),
            world: World::default(),
            drain_on_signals: false,
        }
    }
}

/// What is made of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum World {
    /// What its exports say: a command that is run, or a service that answers HTTP requests. What could be both is run.
    #[default]
    Main,
    /// One of its functions is called.
    Invoke {
        /// The function's name; `interface#function` where a component has several of that name.
        export: String,
        /// Its arguments, as text.
        args: Vec<String>,
    },
}

/// Where a guest's standard input comes from.
#[derive(Clone, Debug, Default)]
pub enum Stdin {
    /// Nowhere: the guest reads end-of-file at once.
    #[default]
    Empty,
    /// This process' own standard input, byte for byte.
    Inherit,
    /// A file or the reading end of a pipe.
    File(Arc<File>),
}

/// Where a guest's standard output or error goes, byte for byte and unbuffered.
#[derive(Clone, Debug, Default)]
pub enum Output {
    /// This process' own.
    #[default]
    Inherit,
    /// A file or the writing end of a pipe.
    File(Arc<File>),
    /// Nowhere.
    Nowhere,
    /// The container's log.
    Log {
        /// The log.
        log: Arc<LogWriter>,
        /// Does it go to this process' own as well?
        show: bool,
    },
}
