//! What containers that run use up, by the kernel's account of their processes.

use coracle_runtime::container::State;
use coracle_runtime::policy::quantity::Size;
use coracle_runtime::sys::{self, Usage};

use super::{ContainerSummary, Engine, Error};

/// A process of a container.
#[derive(Clone, Debug)]
pub struct ProcessUse {
    /// Its number.
    pub pid: u32,
    /// The program and its arguments, as the guest sees them.
    pub command: String,
    /// What it uses up.
    pub usage: Usage,
}

/// What a container uses up.
#[derive(Clone, Copy, Debug, Default)]
pub struct ContainerUse {
    /// What all its processes together do.
    pub usage: Usage,
    /// How many there are.
    pub processes: usize,
    /// How much memory it may use at most, in bytes.
    pub memory_limit: u64,
}

impl Engine {
    /// Lists the processes of a container: its own, and those of other programs in it. None if it does not run.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn processes(&self, summary: &ContainerSummary) -> Result<Vec<ProcessUse>, Error> {
        let State::Running { pid, .. } = summary.state else {
            return Ok(Vec::new());
        };
        let config = &summary.container.config;
        let execs = summary.container.execs()?;
        let own = (pid, config.args.join(" "));
        let others = execs.into_iter().map(|exec| (exec.pid, exec.command));
        Ok(std::iter::once(own)
            .chain(others)
            // One that has just ended uses nothing up.
            .filter_map(|(pid, command)| {
                let usage = sys::usage(pid)?;
                Some(ProcessUse {
                    pid,
                    command,
                    usage,
                })
            })
            .collect())
    }

    /// Asks what a container uses up now. `None`: it does not run.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn usage(&self, summary: &ContainerSummary) -> Result<Option<ContainerUse>, Error> {
        let processes = self.processes(summary)?;
        if processes.is_empty() {
            return Ok(None);
        }
        let limits = &summary.container.config.policy.limits;
        let mut all = ContainerUse {
            processes: processes.len(),
            memory_limit: limits.memory.map_or_else(sys::memory, Size::bytes),
            ..ContainerUse::default()
        };
        for process in processes {
            all.usage.add(process.usage);
        }
        Ok(Some(all))
    }
}
