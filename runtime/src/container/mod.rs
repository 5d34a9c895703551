//! Containers on disk: what each is, whether it runs, how it ended.
//!
//! There is no daemon: a container is a directory, and any command finds it there. What was decided at create is written
//! once ([`ContainerConfig`]) and never changed. The process that runs the guest holds an exclusive lock while it lives, so
//! that "running" is a question to the kernel and survives no crash, no reused process id and no power cut.
//!
//! ```text
//! <root>/containers/<id>/   config.json   frozen at create
//!                           owner         the process that runs it, as long as state is locked
//!                           state         locked by that process; says since when, and later how the guest ended
//!                           upper/ work/  the container's own files
//!                           monitor …     see [`Watched`]
//! <root>/ephemeral/<id>/    the same for containers that are removed when they end
//! <root>/staging/           directories in the making or in removal; swept by whoever comes next
//! <root>/names/<name>       the id that has the name
//! ```

mod backend;
mod config;
mod execs;
mod health;
mod record;
mod restart;
mod reuse;
mod store;
mod strays;
mod sweep;
mod watched;

pub use backend::{
    Backend, DeviceConfig, Namespace, NativeConfig, SeccompChoice, Security, Ulimit,
};
pub use config::{ContainerConfig, Id, MountConfig, Name, PortConfig, VolumeConfig};
pub use execs::{ExecLock, RunningExec};
pub use health::{Checked, Health, HealthCheck, HealthStatus, Probe};
pub use record::{Exit, LastWords, Record, Refusals, Refused};
pub use restart::{Backoff, InvalidRestartPolicy, RestartPolicy};
pub use store::{Container, ContainerError, ContainerStore, Listing, Owned, State};
pub use sweep::remove as remove_tree;
pub use watched::{Watch, Watched};
