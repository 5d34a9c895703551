//! What the launcher hands to the container's first process.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{OwnedFd, RawFd};
use std::path::PathBuf;

use oci_spec::runtime::Spec;
use serde::{Deserialize, Serialize};

use super::seccomp::Program;
use crate::sys::linux::container::claim_inherited;

/// The name that the first process is started under.
pub(super) const NAME: &str = "coracle-init";

/// Where the container's root file system is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RootMount {
    /// A directory, or what is mounted there.
    Directory(PathBuf),
    /// Layers, joined inside the container's mount namespace: nothing is mounted on the host.
    Overlay {
        /// Directories that are read only, the uppermost first. At least one.
        lowers: Vec<PathBuf>,
        /// Where changes go. With `work` on one file system. The mount is attached here, in the container's namespace.
        upper: PathBuf,
        /// An empty directory that the kernel works in.
        work: PathBuf,
        /// Are the overlay's own attributes `user.overlay.*`, as without privileges they must be?
        user_attributes: bool,
        /// May the kernel leave out what keeps the changes over a crash of the machine? For containers that are removed at
        /// their end.
        volatile: bool,
    },
}

/// What the first process does.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) id: String,
    pub(super) spec: Spec,
    /// Relative paths in the specification begin here.
    pub(super) bundle: PathBuf,
    /// `None`: the process joins a container that is there.
    pub(super) root: Option<RootMount>,
    /// `CLONE_NEW*` of the namespaces that were made for it, and of the cgroup namespace that it makes.
    pub(super) new: u64,
    /// Is it root of a user namespace only?
    pub(super) user_namespace: bool,
    /// Directories under /sys/fs/cgroup and the container's path in each, for a mount of type `cgroup`.
    pub(super) cgroups: CgroupView,
    pub(super) seccomp: Option<Program>,
    /// Messages to the launcher.
    pub(super) socket: RawFd,
    /// One byte here lets the program begin.
    pub(super) gate: Option<RawFd>,
    /// Where a terminal's controlling end is sent; the launcher gets it otherwise.
    pub(super) console: Option<RawFd>,
    /// How many descriptors from 3 on the program gets.
    pub(super) preserved: u32,
    /// Does the launcher have something to do before the program may run, such as hooks?
    pub(super) waits: bool,
    pub(super) ends_with_parent: bool,
    pub(super) new_keyring: bool,
    /// May a limit that this system does not allow be set as near as it does, and reported?
    pub(super) lenient: bool,
}

/// What a mount of type `cgroup` shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum CgroupView {
    /// The container has no cgroup.
    None,
    /// One hierarchy for each controller (or several), by the names of their directories and the container's paths there.
    V1(Vec<(String, PathBuf)>),
    /// One hierarchy, and the container's path there.
    V2(PathBuf),
}

impl Plan {
    /// Writes the plan to memory that the first process inherits.
    pub(super) fn write(&self) -> std::io::Result<OwnedFd> {
        let memory = rustix::fs::memfd_create(NAME, rustix::fs::MemfdFlags::CLOEXEC)?;
        let mut file = File::from(memory);
        serde_json::to_writer(std::io::BufWriter::new(&file), self)?;
        file.seek(SeekFrom::Start(0))?;
        Ok(file.into())
    }

    /// Reads the plan that this process was started with.
    pub(super) fn read(number: RawFd) -> std::io::Result<Self> {
        let mut text = Vec::new();
        File::from(claim_inherited(number)?).read_to_end(&mut text)?;
        Ok(serde_json::from_slice(&text)?)
    }
}
