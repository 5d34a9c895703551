//! Images: find, list, name, remove, fetch and send.

use std::collections::BTreeSet;

use coracle_packager::digest::Digest;
use coracle_packager::image::select::Selection;
use coracle_packager::image::{Descriptor, Document, Image, Shape};
use coracle_packager::layer::{LayerStore, Rootfs, chain_id};
use coracle_packager::platform::Platform;
use coracle_packager::reference::Reference;
use coracle_packager::registry::{Pushed, TransferEvent};
use coracle_packager::store::StoredImage;
use coracle_runtime::sandbox::wasm::link::key;

use super::build::STEPS;
use super::disk::bytes_in;
use super::registries::runtime;
use super::{Engine, Error, Registries, link, now};

/// One line of a list of images.
#[derive(Clone, Debug)]
pub struct ImageSummary {
    /// Its name, if it has one.
    pub name: Option<Reference>,
    /// Digest of what the name refers to, an index or a manifest.
    pub digest: Digest,
    /// Digest of the chosen entry's config: the image ID.
    pub id: Digest,
    /// When it was made, or else stored here; in seconds since 1970.
    pub created: Option<i64>,
    /// Bytes of the chosen entry's blobs, as a registry keeps them.
    pub size: u64,
}

/// An image, and what is known of it or why that cannot be read: one damaged image must not hide the others.
pub type ListedImage = (StoredImage, Result<ImageSummary, Error>);

/// All that is known about an image.
#[derive(Clone, Debug)]
pub struct InspectedImage {
    /// Its names.
    pub names: Vec<Reference>,
    /// What the names refer to, an index or a manifest.
    pub descriptor: Descriptor,
    /// The entry for this host.
    pub image: Image,
    /// Bytes of the entry's blobs, as a registry keeps them.
    pub size: u64,
    /// How the entry was chosen, if there was a choice.
    pub selection: Selection,
}

/// An image that is here now.
#[derive(Debug)]
pub struct PulledImage {
    /// The entry that was chosen.
    pub image: Image,
    /// Digest of what the name refers to at the registry.
    pub digest: Digest,
    /// Was it here before?
    pub up_to_date: bool,
    /// Why its default program could not be compiled; another one may be chosen at `run`.
    pub not_runnable: Option<Error>,
}

/// One thing that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemovedImage {
    /// The name is gone.
    Untagged(Reference),
    /// Nothing refers to this manifest or index any more, and its blobs are gone.
    Deleted(Digest),
}

impl Engine {
    /// Finds an image by its name, or by the beginning of its ID or digest.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchImage`], [`Error::AmbiguousImage`], or what the store says.
    pub fn find_image(&self, text: &str) -> Result<StoredImage, Error> {
        let found = self.store.find(text)?;
        let first = found.first().ok_or_else(|| Error::NoSuchImage {
            text: text.to_owned(),
        })?;
        // Several names may lead to one image, and one config to differently compressed layers.
        let mut ids = BTreeSet::new();
        if found.len() > 1 {
            for image in &found {
                ids.insert(self.open_image(&image.descriptor, None)?.config_digest);
            }
        }
        match ids.len() {
            0 | 1 => Ok(first.clone()),
            count => Err(Error::AmbiguousImage {
                text: text.to_owned(),
                count,
            }),
        }
    }

    /// Reads the entry of an image that this host, or the platform wanted, would run.
    ///
    /// # Errors
    ///
    /// If the index has no such entry, or the image is damaged.
    pub fn open_image(
        &self,
        descriptor: &Descriptor,
        wanted: Option<&Platform>,
    ) -> Result<Image, Error> {
        Ok(self.store.image(descriptor, wanted, &self.host)?)
    }

    /// Reads the entry that this host would run, or else any: to look at, not to run.
    ///
    /// # Errors
    ///
    /// If nothing of the image is here, or it is damaged.
    pub fn open_any(&self, descriptor: &Descriptor) -> Result<Image, Error> {
        match self.open_image(descriptor, None) {
            Err(error) if error.is_no_match() => {
                let found = self.store.manifests(descriptor)?;
                let first = found.manifests.iter().find(|part| {
                    let platform = part.platform().as_ref().map(Platform::from);
                    part.digest() != descriptor.digest()
                        && !platform.is_some_and(|platform| platform.is_unknown())
                });
                self.open_image(first.ok_or(error)?, None)
            }
            opened => opened,
        }
    }

    /// Reads an image by the digest of its manifest.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchImage`], or if the image is damaged.
    pub fn open_manifest(&self, digest: &Digest) -> Result<Image, Error> {
        let missing = || Error::NoSuchImage {
            text: digest.to_string(),
        };
        let descriptor = self.store.describe(digest)?.ok_or_else(missing)?;
        self.open_image(&descriptor, None)
    }

    /// Lists the images that are kept, newest first.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub fn list_images(&self) -> Result<Vec<ListedImage>, Error> {
        let mut all = Vec::new();
        for named in self.store.images()? {
            let summary = self.summarize(&named);
            all.push((named, summary));
        }
        let age = |(named, summary): &ListedImage| {
            std::cmp::Reverse((
                named.stored_at,
                summary.as_ref().ok().and_then(|image| image.created),
            ))
        };
        all.sort_by_key(age);
        Ok(all)
    }

    /// Reads all that is known about an image.
    ///
    /// # Errors
    ///
    /// As [`Engine::open_image`].
    pub fn inspect_image(&self, named: &StoredImage) -> Result<InspectedImage, Error> {
        let image = self.open_any(&named.descriptor)?;
        let names = self.store.names()?.into_iter();
        let same = names.filter(|other| other.descriptor.digest() == named.descriptor.digest());
        Ok(InspectedImage {
            names: same.map(|other| other.name).collect(),
            descriptor: named.descriptor.clone(),
            size: image.transfer_size(),
            selection: self.store.select(&named.descriptor, None, &self.host)?,
            image,
        })
    }

    /// Says which entry of an image would be chosen, of what, and why. That none fits is an answer as well.
    ///
    /// # Errors
    ///
    /// If the image is damaged.
    pub fn explain_selection(
        &self,
        descriptor: &Descriptor,
        wanted: Option<&Platform>,
    ) -> Result<Selection, Error> {
        Ok(self.store.select(descriptor, wanted, &self.host)?)
    }

    pub(super) fn summarize(&self, named: &StoredImage) -> Result<ImageSummary, Error> {
        let image = self.open_any(&named.descriptor)?;
        // A reproducible image says 1970, which tells a person nothing.
        let made = image
            .config
            .created
            .as_deref()
            .and_then(|time| time.parse::<jiff::Timestamp>().ok());
        let made = made
            .map(jiff::Timestamp::as_second)
            .filter(|seconds| *seconds > 0);
        Ok(ImageSummary {
            name: named.name.clone(),
            digest: Digest::of(&named.descriptor)?,
            size: image.transfer_size(),
            created: made.or(named.stored_at),
            id: image.config_digest,
        })
    }

    /// Gives an image another name.
    ///
    /// # Errors
    ///
    /// As [`Engine::find_image`].
    pub fn tag(&self, source: &str, target: &Reference) -> Result<(), Error> {
        let image = self.find_image(source)?;
        self.store.set_name(target, &image.descriptor, now())?;
        self.tell_image("tag", &target.familiar());
        Ok(())
    }

    /// Removes a name and, when it was the last, the image's blobs. With `force`, all names of an image given by its ID, and
    /// images that ended containers still refer to.
    ///
    /// # Errors
    ///
    /// [`Error::ImageInUse`], [`Error::SeveralNames`], or as [`Engine::find_image`].
    pub fn remove_image(&self, text: &str, force: bool) -> Result<Vec<RemovedImage>, Error> {
        let image = self.find_image(text)?;
        let all = self.store.images()?;
        let of_same = |other: &&StoredImage| other.descriptor.digest() == image.descriptor.digest();
        let siblings: Vec<&StoredImage> = all.iter().filter(of_same).collect();
        let typed = Reference::parse(text).ok().map(Reference::or_latest);
        let by_name = siblings
            .iter()
            .find(|other| other.name.is_some() && other.name == typed);
        let names: Vec<Option<Reference>> = match by_name {
            Some(named) => vec![named.name.clone()],
            None if siblings.len() == 1 || force => {
                siblings.iter().map(|other| other.name.clone()).collect()
            }
            None => {
                return Err(Error::SeveralNames {
                    image: text.to_owned(),
                    count: siblings.len(),
                });
            }
        };
        let is_last = names.len() == siblings.len();
        if is_last && !force {
            self.refuse_if_used(text, &image.descriptor)?;
        }
        let digest = Digest::of(&image.descriptor)?;
        let mut removed = Vec::new();
        for name in names {
            match name {
                Some(name) if self.store.remove_name(&name)? => {
                    self.tell_image("untag", &name.familiar());
                    removed.push(RemovedImage::Untagged(name));
                }
                Some(_) => {}
                None => drop(self.store.remove_unnamed(&digest)?),
            }
        }
        if is_last {
            self.tell_image("delete", &digest.to_string());
            removed.push(RemovedImage::Deleted(digest));
        }
        Ok(removed)
    }

    /// Refuses to take an image from a container that was made of it.
    fn refuse_if_used(&self, image: &str, descriptor: &Descriptor) -> Result<(), Error> {
        let parts = self.parts(descriptor);
        let users = self.containers.list()?;
        match users
            .containers
            .into_iter()
            .find(|user| parts.contains(&user.config.manifest))
        {
            Some(user) => Err(Error::ImageInUse {
                image: image.to_owned(),
                container: user.config.name.to_string(),
            }),
            None => Ok(()),
        }
    }

    /// Removes blobs, packed layers and compiled programs that no image and no container needs.
    pub(super) fn collect_garbage(&self) -> Result<(), Error> {
        self.collect_garbage_counted().map(drop)
    }

    /// Removes files that nothing needs any more: once, after any number of images and containers were removed.
    ///
    /// # Errors
    ///
    /// Something cannot be read or removed. Then those files take room until a later command removes them.
    pub fn tidy(&self) -> Result<(), Error> {
        self.collect_garbage()
    }

    /// As [`Engine::collect_garbage`], and returns the bytes that are free now.
    pub(super) fn collect_garbage_counted(&self) -> Result<u64, Error> {
        let mut used = Vec::new();
        let containers = self.containers.list()?;
        // One that cannot be read may need any image.
        if let Some(damaged) = containers.damaged.into_iter().next() {
            tracing::warn!(error = %damaged, "nothing is removed: a container cannot be read");
            return Ok(0);
        }
        for container in containers.containers {
            used.push(Digest::parse(&container.config.manifest)?);
        }
        // What earlier builds made stays for later ones, for a while.
        let steps = self.step_cache();
        let steps = steps.keep().map_err(|source| Error::File {
            doing: "listing",
            path: self.root.join(STEPS),
            source,
        })?;
        let keep: Vec<Digest> = used.iter().chain(&steps.blobs).cloned().collect();
        let mut bytes = self.store.collect_garbage(&keep)?.bytes;
        // What cannot be read may need any layer: then all of them stay.
        if let Ok(mut needed) = self.needed(&used) {
            needed.diff_ids.extend(steps.diff_ids);
            let packed = self
                .layers
                .collect_garbage(&needed.chains, &needed.diff_ids)?;
            bytes = bytes.saturating_add(packed.bytes);
            #[cfg(target_os = "linux")]
            self.layers.collect_trees(&needed.stacks)?;
            let compiled = self.root.join("compiled");
            let before = bytes_in(&compiled);
            self.keep_artifacts(&needed.artifacts);
            self.keep_trust(&needed.tops);
            self.wasm()?.keep(&needed.programs)?;
            self.metered_wasm()?.keep(&needed.programs)?;
            bytes = bytes.saturating_add(before.saturating_sub(bytes_in(&compiled)));
        }
        Ok(bytes)
    }

    /// Returns what all named images and these manifests need.
    fn needed(&self, manifests: &[Digest]) -> Result<Needed, Error> {
        let mut needed = Needed::default();
        for named in self.store.images()? {
            needed.tops.push(Digest::of(&named.descriptor)?);
            for part in self.store.manifests(&named.descriptor)?.manifests {
                if let Document::Manifest(_) = self.store.document(&part)? {
                    self.add_needed(&mut needed, self.open_image(&part, None)?)?;
                }
            }
        }
        for manifest in manifests {
            // A container outlives its image only by force.
            match self.open_manifest(manifest) {
                Ok(image) => self.add_needed(&mut needed, image)?,
                Err(Error::NoSuchImage { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(needed)
    }

    fn add_needed(&self, needed: &mut Needed, image: Image) -> Result<(), Error> {
        if image.shape() == Shape::TarLayers {
            needed.add(&self.layers, image);
        } else if let Some(made) = self.made_for(&image)? {
            needed.artifacts.push(image.digest()?);
            needed.add(&self.layers, made);
        }
        Ok(())
    }

    /// Returns the image's files in packed form; packs what is not packed yet.
    pub(super) fn rootfs(&self, image: &Image) -> Result<Rootfs, Error> {
        if let Some(rootfs) = self.layers.prepared(image)? {
            return Ok(rootfs);
        }
        let _leases = (self.store.lease()?, self.layers.lease()?);
        Ok(self.layers.prepare(&self.store, image)?)
    }

    /// Fetches an image from its registry, packs its layers, compiles its program, and only then gives it its name.
    ///
    /// # Errors
    ///
    /// What the registry, the store or the compiler says. The store then holds whole blobs only, and the name as before.
    pub fn pull(
        &self,
        reference: &Reference,
        wanted: Option<&Platform>,
        registries: &Registries,
        progress: &(dyn Fn(TransferEvent) + Sync),
    ) -> Result<PulledImage, Error> {
        let pulled = match self.pull_once(reference, wanted, registries, progress) {
            // What is stored here may be damaged, and keeps the right thing from being fetched.
            Err(error) if error.may_be_damage() && !self.store.discard_damaged()?.is_empty() => {
                self.pull_once(reference, wanted, registries, progress)
            }
            result => result,
        };
        // What a failed pull has fetched, or an image that has lost its name to this one.
        let collected = self.collect_garbage();
        let pulled = pulled?;
        collected?;
        self.tell_image("pull", &reference.familiar());
        Ok(pulled)
    }

    fn pull_once(
        &self,
        reference: &Reference,
        wanted: Option<&Platform>,
        registries: &Registries,
        progress: &(dyn Fn(TransferEvent) + Sync),
    ) -> Result<PulledImage, Error> {
        let _leases = (self.store.lease()?, self.layers.lease()?);
        let before = self.store.resolve(reference)?;
        let demand = self.demand(reference)?;
        let client = registries.client();
        let runtime = runtime()?;
        let pulled = self.pack_ahead(progress, |progress| {
            runtime.block_on(client.pull(
                reference,
                &self.store,
                wanted,
                &self.host,
                demand.as_ref(),
                progress,
            ))
        })?;
        let not_runnable = self.make_ready(&pulled.image)?;
        // A digest says all: with it a tag means nothing, as in Docker.
        let name = match reference.digest() {
            Some(digest) => reference
                .without_tag_and_digest()
                .with_digest(digest.clone()),
            None => reference.clone(),
        };
        self.keep_signatures(&pulled.digest, pulled.attached)?;
        self.store.set_name(&name, &pulled.descriptor, now())?;
        Ok(PulledImage {
            up_to_date: before.is_some_and(|before| before.digest() == pulled.descriptor.digest()),
            digest: pulled.digest,
            image: pulled.image,
            not_runnable,
        })
    }

    /// Returns what a name refers to.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchImage`], or what the store says.
    pub fn has_image(&self, reference: &Reference) -> Result<Descriptor, Error> {
        let descriptor = self.store.resolve(reference)?;
        descriptor.ok_or_else(|| Error::NoSuchImage {
            text: reference.familiar(),
        })
    }

    /// Sends an image to the registry that its name says.
    ///
    /// # Errors
    ///
    /// As [`Engine::find_image`], or what the registry says.
    pub fn push(
        &self,
        reference: &Reference,
        registries: &Registries,
        progress: &(dyn Fn(TransferEvent) + Sync),
    ) -> Result<Pushed, Error> {
        let _lease = self.store.lease()?;
        let descriptor = self.has_image(reference)?;
        let client = registries.client();
        Ok(runtime()?.block_on(client.push(reference, &descriptor, &self.store, progress))?)
    }
}

/// What images need beside their blobs.
#[derive(Default)]
struct Needed {
    chains: Vec<Digest>,
    diff_ids: Vec<Digest>,
    /// The layers of each image, base first.
    #[cfg(target_os = "linux")]
    stacks: Vec<Vec<Digest>>,
    programs: BTreeSet<[u8; 32]>,
    /// Manifests of artifacts for which something was made.
    artifacts: Vec<Digest>,
    /// What names stand for.
    tops: Vec<Digest>,
}

impl Needed {
    fn add(&mut self, layers: &LayerStore, image: Image) {
        // An artifact without files has none. An index that is damaged is made anew by the next run, and so is its program.
        let rootfs = layers.prepared(&image).ok().flatten();
        if let Some(Ok(index)) = rootfs.map(|rootfs| rootfs.read_index()) {
            let nodes = (0..index.node_count()).filter_map(|number| index.node(number).ok());
            let programs: Vec<_> = nodes.filter_map(|node| node.sha256).collect();
            let libraries = link::in_index(&index);
            if !libraries.is_empty() {
                let keys = programs
                    .iter()
                    .map(|program| key(program, libraries.iter().copied()));
                self.programs.extend(keys);
            }
            self.programs.extend(programs);
        }
        self.chains.push(chain_id(&image.config.rootfs.diff_ids));
        #[cfg(target_os = "linux")]
        self.stacks.push(image.config.rootfs.diff_ids.clone());
        self.diff_ids.extend(image.config.rootfs.diff_ids);
    }
}
