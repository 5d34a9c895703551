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
        let config = &container.config;
        if config.auto_remove && restart.is_some_and(|restart| restart != RestartPolicy::No) {
            return Err(Error::RemovedAtEnd {
                container: config.name.to_string(),
            });
        }
        let changed = container.change_config(|config| {
            config.policy.limits = limits;
            config.restart = restart.unwrap_or(config.restart);
        })?;
        if changed {
            self.tell(&container, "update", &[]);
        }
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
        let granted = &container.config.policy;
        let refusals = ceilings
            .iter()
            .flat_map(|NamedCeiling { name, ceiling }| beyond(granted, ceiling, name));
        policy::refuse(refusals.collect())?;
        container.change_config(|config| {
            for named in ceilings {
                named.ceiling.limit(&mut config.policy.limits);
            }
        })?;
        Ok(())
    }
}
