//! What there is on this host, in numbers.

use coracle_runtime::container::State;

use super::{Engine, Error, is_paused};

/// What is in a data directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// All containers.
    pub containers: usize,
    /// Those that run.
    pub running: usize,
    /// Those that are halted.
    pub paused: usize,
    /// All others.
    pub stopped: usize,
    /// Images.
    pub images: usize,
}

impl Engine {
    /// Counts what there is.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn census(&self) -> Result<Census, Error> {
        let (all, _) = self.list_containers()?;
        let mut census = Census {
            containers: all.len(),
            images: self.list_images()?.len(),
            ..Census::default()
        };
        for summary in &all {
            match &summary.state {
                state if is_paused(state) => census.paused += 1,
                State::Running { .. } | State::Restarting { .. } => census.running += 1,
                _ => census.stopped += 1,
            }
        }
        Ok(census)
    }
}
