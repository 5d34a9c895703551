//! What [`restrict`](super::restrict) takes and gives, on every platform.

use std::error::Error;
use std::fs::File;
use std::io;
use std::path::PathBuf;

/// A file or directory of the host, by name or already open.
#[derive(Debug)]
pub enum Place {
    /// By path. It is resolved once, symbolic links included, when the restriction is made.
    Path(PathBuf),
    /// By an open handle, which may be one that can neither read nor write.
    Handle(File),
}

/// What a process may still reach once it is restricted. Empty lists grant nothing.
#[derive(Clone, Copy, Debug)]
pub struct Reach<'a> {
    /// Files, or directories with all below them, that may be opened to read or to list.
    pub read: &'a [Place],
    /// The same for reading, writing, creating and removing. Nothing in them can be executed.
    pub read_write: &'a [Place],
    /// What of the network may be used.
    pub sockets: &'a Sockets,
}

/// TCP ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ports {
    /// These.
    Listed(Vec<u16>),
    /// Every port.
    Any,
}

impl Ports {
    /// Are there none?
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Listed(ports) if ports.is_empty())
    }
}

impl Default for Ports {
    fn default() -> Self {
        Self::Listed(Vec::new())
    }
}

/// What of the network may be used. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sockets {
    /// Ports of other hosts, or of this one, that may be connected to.
    pub connect: Ports,
    /// Ports of this host that may be listened on.
    pub bind: Ports,
    /// May sockets that are open already be used: accepted from, read and written?
    pub open: bool,
    /// May datagrams be sent, to any port and host?
    pub datagrams: bool,
}

impl Sockets {
    /// Is any of it allowed?
    pub fn any(&self) -> bool {
        self.open || self.makes()
    }

    /// May sockets be made?
    pub fn makes(&self) -> bool {
        self.streams() || self.datagrams
    }

    /// May TCP sockets be made?
    pub fn streams(&self) -> bool {
        !(self.connect.is_empty() && self.bind.is_empty())
    }
}

/// What became of one restriction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied<T> {
    /// It holds from now on, until the process ends.
    Yes(T),
    /// This system cannot make it; the text says why.
    Unsupported(String),
}

/// What became of all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restricted {
    /// Are set-user-ID programs and file capabilities without effect?
    pub no_new_privileges: Applied<()>,
    /// Is what can be opened and connected to limited? Holds Landlock's ABI version.
    pub landlock: Applied<u32>,
    /// Is what the kernel can be asked limited? Holds the length of the filter, in instructions.
    pub seccomp: Applied<usize>,
}

/// Why a restriction that this system supports was not made.
///
/// Some of the restrictions may hold already. The process must not run a guest after this; it may report, and end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestrictError {
    /// Other threads would stay outside.
    #[error("restricting the process: it has other threads, which would stay unrestricted")]
    OtherThreads,
    /// It could not be found out whether there are other threads.
    #[error("restricting the process: listing its threads in `/proc/self/task`")]
    CountThreads(#[source] io::Error),
    /// Privileges could still be gained.
    #[error("restricting the process: setting no_new_privs")]
    NoNewPrivileges(#[source] io::Error),
    /// A granted file or directory cannot be opened.
    #[error("restricting the process: opening the granted {place:?}")]
    Place {
        /// The path, or the handle.
        place: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Landlock is there and failed.
    #[error("restricting the process: Landlock")]
    Landlock(#[source] Box<dyn Error + Send + Sync>),
    /// seccomp is there and failed.
    #[error("restricting the process: seccomp")]
    Seccomp(#[source] Box<dyn Error + Send + Sync>),
}
