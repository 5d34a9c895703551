//! Volumes: folders that outlive the containers which use them.
//!
//! A volume is a folder below the data directory. To the runtime it is a host folder like any other; that it is a volume only
//! the container's record says, and who looks whether a volume is in use reads those.

mod fill;
mod name;
mod store;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use coracle_packager::image::Image;
use coracle_runtime::container::{Container, ContainerConfig, MountConfig, VolumeConfig};
use coracle_runtime::vfs::GuestFs;

pub use name::VolumeName;
pub use store::Volume;

use self::store::{Lease, Record, Stay, VolumeStore};
use super::disk::bytes_in;
use super::lower::ImageLower;
use super::{Engine, Error, PruneFilter, Pruned, RunContainer, now, random};

/// What can go wrong with a volume.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VolumeError {
    /// The text cannot name a volume.
    #[error(
        "`{text}` is not a volume name: [a-zA-Z0-9][a-zA-Z0-9_.-]+ is allowed, 2 to 200 characters"
    )]
    InvalidName {
        /// What was given.
        text: String,
    },
    /// There is no volume of this name.
    #[error("no such volume: {name}")]
    NotFound {
        /// What was looked for.
        name: String,
    },
    /// Containers have the volume mounted.
    #[error("volume {name} is in use by {}", listed(containers))]
    InUse {
        /// The volume.
        name: VolumeName,
        /// The containers' names.
        containers: Vec<String>,
    },
    /// The labels are too much to keep.
    #[error("the volume's labels take {size} bytes, want at most 1 MiB")]
    LargeRecord {
        /// How much, in bytes.
        size: usize,
    },
    /// What the image has in the volume's place cannot be copied.
    #[error("copying /{path} of the image into volume {name}")]
    Filling {
        /// The volume.
        name: VolumeName,
        /// The path in the image.
        path: String,
        /// What happened.
        source: io::Error,
    },
    /// A file operation failed.
    #[error("{doing} {path}")]
    File {
        /// What we were doing, such as "creating".
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl VolumeError {
    /// Says what to do next, if that is known.
    pub(super) fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotFound { .. } => "list the volumes with `coracle volume ls`".to_owned(),
            Self::InUse { containers, .. } => format!(
                "remove the container first with `coracle rm {}`",
                containers.join(" ")
            ),
            _ => return None,
        })
    }
}

fn listed(names: &[String]) -> String {
    match names {
        [one] => format!("container {one}"),
        many => format!("containers {}", many.join(", ")),
    }
}

/// Which volumes may be removed, if no container uses them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PruneVolumes {
    /// Those whose names were made up.
    Anonymous,
    /// All.
    All,
}

/// The mounts of another container, for a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumesFrom {
    /// That container: its name, or the beginning of its id.
    pub container: String,
    /// May the new one only look?
    pub read_only: bool,
}

/// The volumes of a container that is about to be created. Nobody can remove them meanwhile; those that were made for it alone
/// go again if it is not created.
pub(super) struct Making<'a> {
    engine: &'a Engine,
    lease: Option<Lease>,
    made: Vec<VolumeName>,
}

impl Making<'_> {
    /// The container is there: whoever looks sees that it uses them.
    pub(super) fn keep(mut self) {
        self.made.clear();
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        drop(self.lease.take());
        let store = self.engine.volumes();
        if let Some(first) = self.made.first()
            && let Ok(held) = store.lock()
        {
            tracing::debug!(%first, "removing the volumes of a container that was not created");
            for name in &self.made {
                // The failure that led here is reported; `volume prune` removes what stays.
                drop(store.remove(&held, name));
            }
        }
    }
}

impl Engine {
    fn volumes(&self) -> VolumeStore {
        VolumeStore::new(self.root().join("volumes"))
    }

    /// Makes a volume, or finds the one that has the name. Without a name, one is made up.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn create_volume(
        &self,
        name: Option<VolumeName>,
        mut labels: BTreeMap<String, String>,
    ) -> Result<Volume, Error> {
        let store = self.volumes();
        let name = name.unwrap_or_else(|| {
            labels.insert(Volume::ANONYMOUS.to_owned(), String::new());
            VolumeName::anonymous(random())
        });
        let record = record(labels);
        Ok(store.ensure(&store.lease()?, &name, &record, Stay::Kept)?.0)
    }

    /// Finds a volume.
    ///
    /// # Errors
    ///
    /// [`VolumeError::NotFound`], or what the file system says.
    pub fn find_volume(&self, text: &str) -> Result<Volume, Error> {
        let missing = || VolumeError::NotFound {
            name: text.to_owned(),
        };
        let name: VolumeName = text.parse().map_err(|_| missing())?;
        Ok(self.volumes().find(&name)?.ok_or_else(missing)?)
    }

    /// Lists all volumes by name, each with the names of the containers that use it.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn list_volumes(&self) -> Result<Vec<(Volume, Vec<String>)>, Error> {
        self.sweep_volumes()?;
        let containers = self.containers.list()?.containers;
        let volumes = self.volumes().list()?.into_iter();
        Ok(volumes
            .map(|volume| {
                let users = users(&containers, volume.name.as_str());
                (volume, users)
            })
            .collect())
    }

    /// Removes a volume with its files. With `force`, one that is not there is no error.
    ///
    /// # Errors
    ///
    /// [`VolumeError::InUse`], [`VolumeError::NotFound`], or what the file system says.
    pub fn remove_volume(&self, text: &str, force: bool) -> Result<(), Error> {
        let store = self.volumes();
        self.sweep_volumes()?;
        let found = match self.find_volume(text) {
            Err(Error::Volume(VolumeError::NotFound { .. })) if force => return Ok(()),
            found => found?,
        };
        let held = store.lock()?;
        let containers = self.all_containers()?;
        let users = users(&containers, found.name.as_str());
        if !users.is_empty() {
            return Err(Error::Volume(VolumeError::InUse {
                name: found.name,
                containers: users,
            }));
        }
        store.remove(&held, &found.name)?;
        Ok(())
    }

    /// Removes volumes that no container uses.
    ///
    /// # Errors
    ///
    /// What the file system says. Those removed before are gone.
    pub fn prune_volumes(
        &self,
        which: PruneVolumes,
        filter: &PruneFilter,
    ) -> Result<Pruned, Error> {
        let store = self.volumes();
        let mut pruned = Pruned::default();
        let held = store.lock()?;
        let containers = self.all_containers()?;
        for volume in store.list()? {
            if !users(&containers, volume.name.as_str()).is_empty()
                || (which == PruneVolumes::Anonymous && !volume.is_anonymous())
                || !filter.admits(Some(volume.created), &volume.labels)
            {
                continue;
            }
            let bytes = bytes_in(&volume.path());
            store.remove(&held, &volume.name)?;
            pruned.bytes = pruned.bytes.saturating_add(bytes);
            pruned.volumes.push(volume.name.as_str().to_owned());
        }
        Ok(pruned)
    }

    /// Removes the volumes that were made for a container, which is gone, unless another has them as well.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub(super) fn remove_volumes_of(&self, config: &ContainerConfig) -> Result<(), Error> {
        let own = config
            .mounts
            .iter()
            .filter_map(|mount| mount.volume.as_ref());
        let names: Vec<VolumeName> = own
            .filter(|volume| volume.anonymous)
            .filter_map(|volume| volume.name.parse().ok())
            .collect();
        if names.is_empty() {
            return Ok(());
        }
        let store = self.volumes();
        let held = store.lock()?;
        let containers = self.all_containers()?;
        for name in names {
            if users(&containers, name.as_str()).is_empty() {
                store.remove(&held, &name)?;
            }
        }
        Ok(())
    }

    /// Removes the volumes of containers that have removed themselves: behind their wall those could not.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub(super) fn sweep_volumes(&self) -> Result<(), Error> {
        let store = self.volumes();
        if store.passing().is_empty() {
            return Ok(());
        }
        // Somebody makes a container just now: next time.
        let Some(held) = store.try_lock()? else {
            return Ok(());
        };
        // One that cannot be read may need any.
        let Ok(containers) = self.all_containers() else {
            return Ok(());
        };
        for name in store.passing() {
            if users(&containers, name.as_str()).is_empty() {
                store.remove(&held, &name)?;
            }
        }
        Ok(())
    }

    /// Reads every container. One that cannot be read may need anything, so it is an error.
    fn all_containers(&self) -> Result<Vec<Container>, Error> {
        let listing = self.containers.list()?;
        match listing.damaged.into_iter().next() {
            Some(damaged) => Err(damaged.into()),
            None => Ok(listing.containers),
        }
    }

    /// Adds to a request the mounts of other containers, and the volumes that the image asks for; gives every volume its name
    /// and its place. What was asked for first holds.
    pub(super) fn choose_volumes(
        &self,
        image: &Image,
        request: &mut RunContainer,
        strict: bool,
    ) -> Result<(), Error> {
        for from in std::mem::take(&mut request.volumes_from) {
            let other = self.containers.find(&from.container)?;
            for mut mount in other.config.mounts {
                if mount.tmpfs.is_none() && !is_taken(&request.mounts, &mount.target) {
                    mount.read_only |= from.read_only;
                    request.mounts.push(mount);
                }
            }
        }
        let asked = image.config.config.volumes.keys();
        for target in asked.filter_map(|text| target_of(text)).filter(|_| !strict) {
            if !is_taken(&request.mounts, &target) {
                request.mounts.push(MountConfig {
                    target,
                    volume: Some(VolumeConfig::default()),
                    ..MountConfig::default()
                });
            }
        }
        let store = self.volumes();
        for mount in &mut request.mounts {
            let Some(volume) = &mut mount.volume else {
                continue;
            };
            if volume.name.is_empty() {
                volume.anonymous = true;
                volume.name = VolumeName::anonymous(random()).as_str().to_owned();
            }
            let path = store.data_path(&volume.name.parse()?);
            mount.source = path.display().to_string();
        }
        Ok(())
    }

    /// Does the volume of a mount still have to be made, or to be filled from the image?
    pub(super) fn is_to_come(mount: &MountConfig) -> bool {
        let Some(volume) = &mount.volume else {
            return false;
        };
        match std::fs::read_dir(&mount.source) {
            Ok(mut entries) => !volume.no_copy && entries.next().is_none(),
            Err(_) => true,
        }
    }

    /// Makes the volumes of a container that is about to be created, and fills those that are empty with what the image has in
    /// their place.
    pub(super) fn make_volumes(
        &self,
        config: &ContainerConfig,
        lower: &Arc<ImageLower>,
    ) -> Result<Option<Making<'_>>, Error> {
        if config.mounts.iter().all(|mount| mount.volume.is_none()) {
            return Ok(None);
        }
        let store = self.volumes();
        let mut making = Making {
            engine: self,
            lease: None,
            made: Vec::new(),
        };
        let lease = making.lease.insert(store.lease()?);
        for mount in &config.mounts {
            let Some(wanted) = &mount.volume else {
                continue;
            };
            let mut labels = BTreeMap::new();
            let mut stay = Stay::Kept;
            if wanted.anonymous {
                labels.insert(Volume::ANONYMOUS.to_owned(), String::new());
                if config.auto_remove {
                    stay = Stay::Passing;
                }
            }
            let name: VolumeName = wanted.name.parse()?;
            let (volume, made) = store.ensure(lease, &name, &record(labels), stay)?;
            if made && wanted.anonymous {
                making.made.push(name);
            }
            if !wanted.no_copy {
                let image = GuestFs::builder(lower.clone()).build()?;
                fill::fill(&image, &mount.target, &volume)?;
            }
        }
        Ok(Some(making))
    }
}

fn record(labels: BTreeMap<String, String>) -> Record {
    Record {
        version: 1,
        created: now(),
        labels,
    }
}

/// Returns the names of the containers that have a volume.
fn users(containers: &[Container], volume: &str) -> Vec<String> {
    let uses = |container: &&Container| {
        let volumes = container.config.mounts.iter();
        volumes
            .filter_map(|mount| mount.volume.as_ref())
            .any(|used| used.name == volume)
    };
    let users = containers.iter().filter(uses);
    users
        .map(|container| container.config.name.to_string())
        .collect()
}

/// Is something mounted there already?
fn is_taken(mounts: &[MountConfig], target: &str) -> bool {
    mounts
        .iter()
        .any(|mount| parts(&mount.target).eq(parts(target)))
}

fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !matches!(*part, "" | "."))
}

/// Returns the guest path of a volume that an image asks for. What cannot be one only the image's author misses.
fn target_of(text: &str) -> Option<String> {
    let possible = parts(text).next().is_some()
        && !text.contains('\0')
        && !text.split('/').any(|part| part == "..");
    possible.then(|| format!("/{}", parts(text).collect::<Vec<_>>().join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_image_calls_a_volume_is_made_a_path() {
        for (text, want) in [
            ("/data", Some("/data")),
            ("data/x/", Some("/data/x")),
            ("//a/./b", Some("/a/b")),
            ("/", None),
            ("", None),
            ("/a/../..", None),
            ("/a\0b", None),
        ] {
            assert_eq!(target_of(text).as_deref(), want, "{text:?}");
        }
    }

    #[test]
    fn one_place_is_taken_once() {
        let mounts = [MountConfig {
            target: "/a/b".to_owned(),
            ..MountConfig::default()
        }];
        assert!(is_taken(&mounts, "/a//b/"));
        assert!(!is_taken(&mounts, "/a"));
    }
}
