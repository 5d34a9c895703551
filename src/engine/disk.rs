//! What takes up the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use coracle_packager::digest::Digest;
use coracle_packager::image::{Descriptor, Image};
use coracle_packager::store::StoredImage;
use coracle_runtime::container::State;

use super::{ContainerSummary, Engine, Error, ImageSummary};

/// What takes up the disk, by kind.
#[derive(Debug)]
pub struct DiskUse {
    /// Blobs, which images share.
    pub images: Share,
    /// What containers have changed.
    pub containers: Share,
    /// Layers in the form in which containers read them.
    pub packed: Share,
    /// Compiled programs.
    pub compiled: Share,
    /// Each image by its name.
    pub each_image: Vec<ImageUse>,
    /// Each container.
    pub each_container: Vec<(ContainerSummary, u64)>,
}

/// How much of one kind there is, and how much of it could go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// How many there are.
    pub total: usize,
    /// How many of them are needed by a container, or for containers: run.
    pub active: usize,
    /// Bytes of all.
    pub bytes: u64,
    /// Bytes of those that are not active.
    pub reclaimable: u64,
}

/// One image.
#[derive(Debug)]
pub struct ImageUse {
    /// What is known about it.
    pub summary: ImageSummary,
    /// Bytes of blobs that other images have as well.
    pub shared: u64,
    /// Bytes of blobs that only this one has.
    pub unique: u64,
    /// Containers that were made of it.
    pub containers: usize,
}

/// An image, with all that belongs to it.
struct Whole {
    image: StoredImage,
    blobs: BTreeMap<Digest, u64>,
    diff_ids: BTreeSet<Digest>,
    containers: usize,
}

impl Engine {
    /// Measures everything. What cannot be read counts nothing.
    ///
    /// # Errors
    ///
    /// If the lists of images and containers cannot be read.
    pub fn disk_use(&self) -> Result<DiskUse, Error> {
        let (containers, _) = self.list_containers()?;
        let mut each_container = Vec::new();
        for container in containers {
            let bytes = bytes_in(&container.container.upper_path());
            each_container.push((container, bytes));
        }
        let mut all = Vec::new();
        for image in self.store.images()? {
            all.push(self.whole(image, &each_container));
        }
        let is_running =
            |container: &ContainerSummary| matches!(container.state, State::Running { .. });
        Ok(DiskUse {
            images: share_of_images(&all),
            packed: self.share_of_packed(&all),
            compiled: self.share_of_compiled(),
            containers: Share {
                total: each_container.len(),
                active: each_container
                    .iter()
                    .filter(|(container, _)| is_running(container))
                    .count(),
                bytes: each_container.iter().map(|(_, bytes)| bytes).sum(),
                reclaimable: each_container
                    .iter()
                    .filter(|(container, _)| !is_running(container))
                    .map(|(_, bytes)| bytes)
                    .sum(),
            },
            each_image: self.each_image(&all),
            each_container,
        })
    }

    /// Returns the digests of all manifests and indexes that an image consists of; of a damaged one its own.
    pub(super) fn parts(&self, descriptor: &Descriptor) -> Vec<String> {
        let mut parts = vec![descriptor.digest().to_string()];
        if let Ok(found) = self.store.manifests(descriptor) {
            parts.extend(found.manifests.iter().map(|part| part.digest().to_string()));
        }
        parts
    }

    fn whole(&self, image: StoredImage, containers: &[(ContainerSummary, u64)]) -> Whole {
        let parts = self.parts(&image.descriptor);
        let mut whole = Whole {
            containers: containers
                .iter()
                .filter(|(user, _)| parts.contains(&user.container.config.manifest))
                .count(),
            image,
            blobs: BTreeMap::new(),
            diff_ids: BTreeSet::new(),
        };
        let Ok(found) = self.store.manifests(&whole.image.descriptor) else {
            return whole;
        };
        let blobs = found
            .manifests
            .iter()
            .chain(&found.configs)
            .chain(&found.layers);
        for blob in blobs {
            if let Ok(digest) = Digest::of(blob)
                && let Ok(Some(bytes)) = self.store.blob_size(&digest)
            {
                whole.blobs.insert(digest, bytes);
            }
        }
        for part in &found.manifests {
            if let Ok(Image { config, .. }) = self.open_image(part, None) {
                whole.diff_ids.extend(config.rootfs.diff_ids);
            }
        }
        whole
    }

    fn each_image(&self, all: &[Whole]) -> Vec<ImageUse> {
        let mut each = Vec::new();
        for whole in all {
            let Ok(summary) = self.summarize(&whole.image) else {
                continue;
            };
            let digest = whole.image.descriptor.digest();
            let is_shared = |blob: &Digest| {
                all.iter().any(|other| {
                    other.image.descriptor.digest() != digest && other.blobs.contains_key(blob)
                })
            };
            let shared = whole.blobs.iter().filter(|(blob, _)| is_shared(blob));
            let shared = shared.map(|(_, bytes)| bytes).sum();
            each.push(ImageUse {
                summary,
                shared,
                unique: whole.blobs.values().sum::<u64>() - shared,
                containers: whole.containers,
            });
        }
        each
    }

    /// Programs lie in a folder for each version of the compiler.
    fn share_of_compiled(&self) -> Share {
        let versions = fs::read_dir(self.root.join("compiled"))
            .into_iter()
            .flatten();
        let shares = versions
            .filter_map(Result::ok)
            .map(|version| share_of(&version.path(), |_| true));
        shares.fold(Share::default(), |sum, share| Share {
            total: sum.total + share.total,
            active: sum.active + share.active,
            bytes: sum.bytes + share.bytes,
            reclaimable: sum.reclaimable + share.reclaimable,
        })
    }

    fn share_of_packed(&self, all: &[Whole]) -> Share {
        let active: BTreeSet<&Digest> = all
            .iter()
            .filter(|whole| whole.containers > 0)
            .flat_map(|whole| &whole.diff_ids)
            .collect();
        share_of(&self.root.join("layers").join("sha256"), |hex| {
            active.iter().any(|digest| digest.hex() == hex)
        })
    }
}

fn share_of_images(all: &[Whole]) -> Share {
    let distinct = |wanted: &dyn Fn(&&Whole) -> bool| {
        let digests: BTreeSet<String> = all
            .iter()
            .filter(wanted)
            .map(|whole| whole.image.descriptor.digest().to_string())
            .collect();
        let blobs: BTreeMap<&Digest, &u64> = all
            .iter()
            .filter(wanted)
            .flat_map(|whole| &whole.blobs)
            .collect();
        (digests.len(), blobs.into_values().sum::<u64>())
    };
    let (total, bytes) = distinct(&|_| true);
    let (active, needed) = distinct(&|whole| whole.containers > 0);
    Share {
        total,
        active,
        bytes,
        reclaimable: bytes - needed,
    }
}

/// Measures the entries of a folder.
fn share_of(folder: &Path, is_active: impl Fn(&str) -> bool) -> Share {
    let mut share = Share::default();
    let entries = fs::read_dir(folder)
        .map(|entries| entries.filter_map(Result::ok).collect())
        .unwrap_or_else(|_| Vec::new());
    for entry in entries {
        let bytes = bytes_in(&entry.path());
        share.total += 1;
        share.bytes += bytes;
        if entry.file_name().to_str().is_some_and(&is_active) {
            share.active += 1;
        } else {
            share.reclaimable += bytes;
        }
    }
    share
}

/// Adds up the sizes of all files in a folder, or of one file. What cannot be read counts nothing.
pub(super) fn bytes_in(path: &Path) -> u64 {
    let mut bytes: u64 = 0;
    let mut ahead: Vec<PathBuf> = vec![path.to_owned()];
    while let Some(path) = ahead.pop() {
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        if metadata.is_dir() {
            let entries = fs::read_dir(&path).into_iter().flatten();
            ahead.extend(entries.filter_map(Result::ok).map(|entry| entry.path()));
        } else {
            bytes = bytes.saturating_add(metadata.len());
        }
    }
    bytes
}
