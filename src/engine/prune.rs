//! Removes what is not needed.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use coracle_packager::digest::Digest;
use coracle_packager::store::StoredImage;
use coracle_runtime::container::State;

use super::disk::bytes_in;
use super::{Engine, Error, RemovedImage};

/// What may be removed of what is not needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PruneFilter {
    /// Only what was made before this, in seconds since 1970.
    pub until: Option<i64>,
    /// Only what has these labels, each with a value or with any.
    pub labels: Vec<(String, Option<String>)>,
    /// Only what does not have these.
    pub without_labels: Vec<(String, Option<String>)>,
}

impl PruneFilter {
    pub(super) fn admits(&self, created: Option<i64>, labels: &BTreeMap<String, String>) -> bool {
        let has = |(key, value): &(String, Option<String>)| {
            labels
                .get(key)
                .is_some_and(|got| value.as_ref().is_none_or(|value| value == got))
        };
        // What has no date may be of any.
        self.until
            .is_none_or(|until| created.is_some_and(|created| created < until))
            && self.labels.iter().all(has)
            && !self.without_labels.iter().any(has)
    }
}

/// Which images may be removed, if no container needs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PruneImages {
    /// Those without a name.
    Unnamed,
    /// All.
    All,
}

/// What was removed.
#[derive(Debug, Default)]
pub struct Pruned {
    /// IDs of containers.
    pub containers: Vec<String>,
    /// Images.
    pub images: Vec<RemovedImage>,
    /// Names of volumes.
    pub volumes: Vec<String>,
    /// Bytes that are free now.
    pub bytes: u64,
}

impl Engine {
    /// Removes the containers that do not run.
    ///
    /// # Errors
    ///
    /// What the file system says. Those removed before are gone.
    pub fn prune_containers(&self, filter: &PruneFilter) -> Result<Pruned, Error> {
        let mut pruned = Pruned::default();
        let (containers, _) = self.list_containers()?;
        for summary in containers {
            let config = &summary.container.config;
            if matches!(summary.state, State::Running { .. })
                || !filter.admits(Some(config.created), &config.labels)
            {
                continue;
            }
            let bytes = bytes_in(&summary.container.upper_path());
            self.containers.remove(&summary.container, false)?;
            pruned.bytes = pruned.bytes.saturating_add(bytes);
            pruned.containers.push(config.id.as_str().to_owned());
        }
        Ok(pruned)
    }

    /// Removes images that no container needs, and then all that belongs to no image.
    ///
    /// # Errors
    ///
    /// What the store says. Names removed before are gone.
    pub fn prune_images(&self, which: PruneImages, filter: &PruneFilter) -> Result<Pruned, Error> {
        let mut pruned = Pruned::default();
        let (containers, damaged) = self.list_containers()?;
        // One that cannot be read may need any image.
        if let Some(damaged) = damaged.into_iter().next() {
            return Err(damaged);
        }
        let mut gone: Vec<Digest> = Vec::new();
        for image in self.store.images()? {
            if which == PruneImages::Unnamed && image.name.is_some() {
                continue;
            }
            let parts = self.parts(&image.descriptor);
            let is_used = containers
                .iter()
                .any(|user| parts.contains(&user.container.config.manifest));
            if is_used || !self.admits(&image, filter) {
                continue;
            }
            let digest = Digest::of(&image.descriptor)?;
            match image.name {
                Some(name) if self.store.remove_name(&name)? => {
                    pruned.images.push(RemovedImage::Untagged(name));
                }
                Some(_) => continue,
                None => drop(self.store.remove_unnamed(&digest)?),
            }
            if !gone.contains(&digest) {
                gone.push(digest);
            }
        }
        let kept = self.store.images()?;
        gone.retain(|digest| {
            !kept
                .iter()
                .any(|image| image.descriptor.digest().to_string() == digest.to_string())
        });
        pruned
            .images
            .extend(gone.into_iter().map(RemovedImage::Deleted));
        pruned.bytes = self.collect_garbage_counted()?;
        pruned.bytes = pruned.bytes.saturating_add(self.prune_compiled()?);
        Ok(pruned)
    }

    /// Removes what was compiled by other versions, with other settings or for another processor, and returns its bytes. Who
    /// needs it after all compiles it again.
    fn prune_compiled(&self) -> Result<u64, Error> {
        let ours = [self.wasm()?.directory(), self.metered_wasm()?.directory()];
        let failed = |doing, path: &Path| {
            let path = path.to_owned();
            move |source| Error::File {
                doing,
                path,
                source,
            }
        };
        let root = self.compiled();
        let entries = match fs::read_dir(&root) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
            entries => entries.map_err(failed("listing", &root))?,
        };
        let mut bytes = 0_u64;
        for entry in entries {
            let path = entry.map_err(failed("listing", &root))?.path();
            if ours.contains(&path.as_path()) || !is_code_folder(&path) {
                continue;
            }
            bytes = bytes.saturating_add(bytes_in(&path));
            match fs::remove_dir_all(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                removed => removed.map_err(failed("removing", &path))?,
            }
        }
        Ok(bytes)
    }

    fn admits(&self, image: &StoredImage, filter: &PruneFilter) -> bool {
        if *filter == PruneFilter::default() {
            return true;
        }
        // What cannot be read has no date and no labels.
        let created = self.summarize(image).ok().and_then(|image| image.created);
        let labels = self.open_any(&image.descriptor);
        let labels = labels.map(|image| image.config.config.labels);
        filter.admits(created, &labels.unwrap_or_default())
    }
}

/// Is it a folder of compiled code, by its name? Whatever else somebody keeps there stays.
fn is_code_folder(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit()))
        && path.is_dir()
}
