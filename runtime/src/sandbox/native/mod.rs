//! Native Linux containers: programs of the host's own kind in namespaces, by the OCI runtime specification.
//!
//! The launcher takes a [`Spec`](oci_spec::runtime::Spec) and starts its first process in one step: a clone into new namespaces and the
//! container's cgroup, which executes this program anew from a copy that nobody can write to. That process has one thread and
//! only what it was handed; it builds the container's root by descriptors, gives up what it does not need, and becomes the
//! program. What the specification asks for and nobody enforces here is refused, never left out.
//!
//! A program that uses this calls [`become_init_if_asked`] first of all in `main`.

mod capability;
mod cgroup;
mod container;
mod error;
mod features;
mod hooks;
mod init;
mod launch;
mod message;
mod mount_options;
mod plan;
mod sealed;
pub mod seccomp;
mod support;
mod users;

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use oci_spec::runtime::Spec;

pub use self::cgroup::Stats;
pub use self::container::{Container, Ended, Record};
pub use self::error::NativeError;
pub use self::features::{default_spec, features};
pub use self::hooks::run_hooks;
pub use self::init::become_init_if_asked;
pub use self::launch::{Created, create, exec, run};
pub use self::plan::RootMount;
pub use capability::CAPABILITIES;
pub use oci_spec::OciSpecError;
pub use oci_spec::runtime as oci;

/// The version of the specification that is kept.
pub const VERSION: &str = "1.3.0";

/// What a container is made of.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// What the specification says. Its `root.path` is not read: `root` is.
    pub spec: Spec,
    /// Its root file system.
    pub root: RootMount,
    /// Relative paths in the specification begin here. An absolute path.
    pub directory: PathBuf,
}

/// The program's standard streams. `None`: those of this process. With a terminal they are not used.
#[derive(Debug, Default)]
pub struct Stdio {
    /// What it reads.
    pub stdin: Option<OwnedFd>,
    /// What it writes.
    pub stdout: Option<OwnedFd>,
    /// What it complains to.
    pub stderr: Option<OwnedFd>,
}

/// What the specification does not say.
#[derive(Debug, Default)]
pub struct Options {
    /// The container's name, for its keyring, its hooks and, if the specification names none, its cgroup.
    pub id: String,
    /// Makes no cgroup. Limits are then refused.
    pub no_cgroup: bool,
    /// Ends the container when the thread that started it ends.
    pub ends_with_parent: bool,
    /// Leaves the program in the caller's session keyring.
    pub no_new_keyring: bool,
    /// Sets a limit that this system does not allow as near as it does, and reports it, instead of failing.
    pub lenient: bool,
    /// How many descriptors of this process from 3 on the program gets.
    pub preserved_files: u32,
    /// A socket that a terminal's controlling end is sent to. Without, [`Container::take_terminal`] has it.
    pub console: Option<OwnedFd>,
    /// The reading end of what lets a created container start with one byte, such as a named pipe. Without, [`Created::start`] does.
    pub gate: Option<OwnedFd>,
}
