//! Containers: list, find and remove.

use coracle_packager::digest::Digest;
use coracle_runtime::container::{Container, ContainerError, State};

use super::disk::bytes_in;
use super::{Engine, Error};

/// A container, and where it is in its life.
#[derive(Clone, Debug)]
pub struct ContainerSummary {
    /// The container.
    pub container: Container,
    /// Where it is in its life.
    pub state: State,
}

/// How large a container is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContainerSize {
    /// Of its own files.
    pub own: u64,
    /// Of these and its image, as a registry keeps it.
    pub with_image: u64,
}

/// How a container is removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemoveContainer {
    /// Is its process killed first if it runs?
    pub force: bool,
    /// Do the volumes that were made for it go as well? Those of one that was to remove itself always do.
    pub volumes: bool,
}

impl Engine {
    /// Lists all containers, newest first, and says what is wrong with those that cannot be read.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn list_containers(&self) -> Result<(Vec<ContainerSummary>, Vec<Error>), Error> {
        self.sweep_volumes()?;
        let mut all = Vec::new();
        let listing = self.containers.list()?;
        for container in listing.containers {
            match container.state() {
                Ok(state) => all.push(ContainerSummary { container, state }),
                // Removed while we were looking.
                Err(ContainerError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok((all, listing.damaged.into_iter().map(Error::from).collect()))
    }

    /// Measures a container's own files, and all that it sees.
    pub fn container_size(&self, container: &Container) -> ContainerSize {
        let own = bytes_in(&container.upper_path());
        // What cannot be read counts nothing.
        let image = Digest::parse(&container.config.manifest).map_err(Error::from);
        let image = image
            .and_then(|digest| self.open_manifest(&digest))
            .map_or(0, |image| image.transfer_size());
        ContainerSize {
            own,
            with_image: own.saturating_add(image),
        }
    }

    /// Finds one container by its id, its name, or the beginning of its id.
    ///
    /// # Errors
    ///
    /// If none or several match.
    pub fn find_container(&self, text: &str) -> Result<ContainerSummary, Error> {
        let container = self.containers.find(text)?;
        let state = container.state()?;
        Ok(ContainerSummary { container, state })
    }

    /// Removes a container and its files. It may have been the last that
    /// needed its image: call [`Engine::tidy`] when the last of several is gone.
    ///
    /// # Errors
    ///
    /// If none or several match, or it runs and force was not asked for.
    pub fn remove_container(&self, text: &str, how: RemoveContainer) -> Result<(), Error> {
        match self.containers.find(text) {
            Ok(container) => {
                if how.force {
                    // What is frozen does not die. That it does not run is no matter.
                    drop(self.freeze(&container, false));
                }
                let left = self.left_by(&container);
                self.containers.remove(&container, how.force)?;
                left.clear();
                if how.volumes || container.config.auto_remove {
                    self.remove_volumes_of(&container.config)?;
                }
                self.tell(&container, "destroy", &[]);
                Ok(())
            }
            Err(error) => {
                let id = text.parse();
                if !id.is_ok_and(|id| self.containers.remove_damaged(&id).unwrap_or(false)) {
                    return Err(error.into());
                }
                Ok(())
            }
        }
    }
}
