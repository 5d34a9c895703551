//! Containers whose programs the Linux kernel runs: from image and grants to the OCI runtime specification, and through its life.

mod capabilities;
mod devices;
mod env;
mod host_files;
mod mounts;
mod ready;
mod report;
mod run;
mod seccomp;
mod spec;
mod stdio;
mod user;

use oci_spec::OciSpecError;

pub(super) use ready::Ready;

/// Why a container's specification cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// It is no capability.
    #[error("invalid capability: {name:?}")]
    Capability {
        /// The name as given.
        name: String,
    },
    /// The image does not know this user or group.
    #[error("no matching entries in the image's {} file: {name:?}", if *what == "user" { "passwd" } else { "group" })]
    Unknown {
        /// `user` or `group`.
        what: &'static str,
        /// The name as given.
        name: String,
    },
    /// It is no device.
    #[error("device {path:?}: {problem}")]
    Device {
        /// The path on the host.
        path: String,
        /// Why not.
        problem: String,
    },
    /// There is no such limit.
    #[error("invalid ulimit type: {name}")]
    Ulimit {
        /// The name as given.
        name: String,
    },
    /// The parameter is the whole host's, or belongs to a namespace that is not the container's own.
    #[error("sysctl {name:?} is not allowed: it is not one of the container's own namespaces")]
    Sysctl {
        /// The name as given.
        name: String,
    },
    /// The other container has no namespaces.
    #[error(
        "cannot join namespaces of container {container}: it does not run, or is no Linux container"
    )]
    Join {
        /// The container as named.
        container: String,
    },
    /// The text is no seccomp profile.
    #[error("{problem}")]
    Profile {
        /// What is wrong with it.
        problem: String,
    },
    /// The user namespace has no such user or group.
    #[error("user {uid} with group {gid} is not in the container's user namespace")]
    Unmapped {
        /// The user.
        uid: u32,
        /// The group.
        gid: u32,
    },
    /// The specification's own rules.
    #[error("making the runtime specification")]
    Rules(#[from] OciSpecError),
}
