//! Changing what was decided about a container, as far as that can be changed.

use coracle_runtime::container::{Container, RestartPolicy, State};
use coracle_runtime::policy::Limits;
use coracle_runtime::policy::ceiling::beyond;

use super::{Engine, Error, NamedCeiling, policy};

impl Engine {
    /// Gives a container another restart policy and other limits. The policy counts at once, the limits from the next start on.
    ///
    /// # Errors
    ///
    /// If it is removed when it ends, and could not be started again; or what the file system says.
    pub fn update(
        &self,
        mut container: Container,
        restart: Option<RestartPolicy>,
        limits: Limits,
    ) -> Result<(), Error> {
        let mut config = container.config.clone();
        config.policy.limits = limits;
        if let Some(restart) = restart {
            if config.auto_remove && restart != RestartPolicy::No {
                return Err(Error::RemovedAtEnd {
                    container: config.name.to_string(),
                });
            }
            config.restart = restart;
        }
        if config == container.config {
            return Ok(());
        }
        container.replace_config(config)?;
        self.tell(&container, "update", &[]);
        // Nobody would start it again who watches over it already; who wants to is told at the next start.
        Ok(())
    }

    /// Sees to it that a container that is about to be started is below this host's ceilings, which may be lower than when it was
    /// created: its limits are lowered, and a grant above them is refused.
    ///
    /// # Errors
    ///
    /// [`Error::NotGrantable`], or what the file system says.
    pub fn bring_below(
        &self,
        container: &mut Container,
        ceilings: &[NamedCeiling],
    ) -> Result<(), Error> {
        if ceilings.is_empty() || matches!(container.state()?, State::Running { .. }) {
            return Ok(());
        }
        let mut config = container.config.clone();
        let mut refusals = Vec::new();
        for NamedCeiling { name, ceiling } in ceilings {
            refusals.extend(beyond(&config.policy, ceiling, name));
            ceiling.limit(&mut config.policy.limits);
        }
        policy::refuse(refusals)?;
        if config != container.config {
            container.replace_config(config)?;
        }
        Ok(())
    }
}
