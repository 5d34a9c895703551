//! Images: find, list, name, remove, fetch and send.

use std::path::PathBuf;
use std::sync::Arc;

use coracle_packager::digest::Digest;
use coracle_packager::image::{Descriptor, Document, Image};
use coracle_packager::layer::{Rootfs, chain_id};
use coracle_packager::platform::Platform;
use coracle_packager::reference::Reference;
use coracle_packager::registry::{Client, ClientOptions, CredentialSource, Pushed, TransferEvent};
use coracle_packager::store::NamedImage;

use super::{Engine, Error, now};

/// How registries are spoken to.
pub struct Registries {
    /// Where user names and passwords come from.
    pub credentials: Arc<dyn CredentialSource>,
    /// Registries, as `host[:port]`, that are spoken to without TLS. Loopback addresses always may.
    pub insecure: Vec<String>,
    /// Certificates (PEM) that are trusted beside the system's.
    pub extra_roots: Vec<Vec<u8>>,
}

/// One line of a list of images.
#[derive(Clone, Debug)]
pub struct ImageSummary {
    /// Its name.
    pub name: Reference,
    /// Digest of what the name refers to, an index or a manifest.
    pub digest: Digest,
    /// Digest of the chosen entry's config: the image ID.
    pub id: Digest,
    /// When it was made, or else stored here; in seconds since 1970.
    pub created: Option<i64>,
    /// Bytes of the chosen entry's blobs, as a registry keeps them.
    pub size: u64,
}

/// A name, and what it names or why that cannot be read: one damaged image must not hide the others.
pub type ListedImage = (NamedImage, Result<ImageSummary, Error>);

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

/// What became of an image that was to be removed.
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
    pub fn find_image(&self, text: &str) -> Result<NamedImage, Error> {
        let mut found = self.store.find(text)?;
        found.dedup_by(|a, b| a.descriptor.digest() == b.descriptor.digest());
        match (found.len(), found.pop()) {
            (1, Some(image)) => Ok(image),
            (0, _) | (_, None) => Err(Error::NoSuchImage {
                text: text.to_owned(),
            }),
            (count, _) => Err(Error::AmbiguousImage {
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

    /// Lists the named images, newest first.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub fn list_images(&self) -> Result<Vec<ListedImage>, Error> {
        let mut all = Vec::new();
        for named in self.store.names()? {
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
    pub fn inspect_image(&self, named: &NamedImage) -> Result<InspectedImage, Error> {
        let image = self.open_image(&named.descriptor, None)?;
        let names = self.store.names()?.into_iter();
        let same = names.filter(|other| other.descriptor.digest() == named.descriptor.digest());
        Ok(InspectedImage {
            names: same.map(|other| other.name).collect(),
            descriptor: named.descriptor.clone(),
            size: image.transfer_size(),
            image,
        })
    }

    fn summarize(&self, named: &NamedImage) -> Result<ImageSummary, Error> {
        let image = self.open_image(&named.descriptor, None)?;
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
        Ok(self.store.set_name(target, &image.descriptor, now())?)
    }

    /// Removes a name and, when it was the last, the image's blobs. With `force`, all names of an image given by its ID, and
    /// images that ended containers still refer to.
    ///
    /// # Errors
    ///
    /// [`Error::ImageInUse`], [`Error::SeveralNames`], or as [`Engine::find_image`].
    pub fn remove_image(&self, text: &str, force: bool) -> Result<Vec<RemovedImage>, Error> {
        let image = self.find_image(text)?;
        let siblings: Vec<_> = self
            .store
            .names()?
            .into_iter()
            .filter(|other| other.descriptor.digest() == image.descriptor.digest())
            .collect();
        let by_name = Reference::parse(text).is_ok_and(|name| name.or_latest() == image.name);
        let names = if by_name {
            vec![image.name.clone()]
        } else if siblings.len() == 1 || force {
            siblings.iter().map(|other| other.name.clone()).collect()
        } else {
            return Err(Error::SeveralNames {
                image: text.to_owned(),
                count: siblings.len(),
            });
        };
        let last = names.len() == siblings.len();
        if last && !force {
            let parts = self.store.manifests(&image.descriptor)?.manifests;
            let uses = |manifest: &str| {
                parts
                    .iter()
                    .any(|part| part.digest().to_string() == manifest)
            };
            let user = self
                .containers
                .list()?
                .into_iter()
                .find(|user| uses(&user.config.manifest));
            if let Some(user) = user {
                return Err(Error::ImageInUse {
                    image: text.to_owned(),
                    container: user.config.name.to_string(),
                });
            }
        }
        let mut removed = Vec::new();
        for name in names {
            if self.store.remove_name(&name)? {
                removed.push(RemovedImage::Untagged(name));
            }
        }
        self.collect_garbage()?;
        if last {
            removed.push(RemovedImage::Deleted(Digest::of(&image.descriptor)?));
        }
        Ok(removed)
    }

    /// Removes blobs and packed layers that no name and no container needs.
    fn collect_garbage(&self) -> Result<(), Error> {
        let mut used = Vec::new();
        for container in self.containers.list()? {
            used.push(Digest::parse(&container.config.manifest)?);
        }
        self.store.collect_garbage(&used)?;
        // What cannot be read may need any layer: then all of them stay.
        if let Ok((chains, diff_ids)) = self.needed_layers(&used) {
            self.layers.collect_garbage(&chains, &diff_ids)?;
        }
        Ok(())
    }

    /// Returns the chains and layers of all named images and of these manifests.
    fn needed_layers(&self, manifests: &[Digest]) -> Result<(Vec<Digest>, Vec<Digest>), Error> {
        let (mut chains, mut diff_ids) = (Vec::new(), Vec::new());
        let mut need = |image: Image| {
            chains.push(chain_id(&image.config.rootfs.diff_ids));
            diff_ids.extend(image.config.rootfs.diff_ids);
        };
        for named in self.store.names()? {
            for part in self.store.manifests(&named.descriptor)?.manifests {
                if let Document::Manifest(_) = self.store.document(&part)? {
                    need(self.open_image(&part, None)?);
                }
            }
        }
        for manifest in manifests {
            // A container outlives its image only by force.
            match self.open_manifest(manifest) {
                Ok(image) => need(image),
                Err(Error::NoSuchImage { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok((chains, diff_ids))
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
        let _leases = (self.store.lease()?, self.layers.lease()?);
        let before = self.store.resolve(reference)?;
        let client = client(registries);
        let pulled = runtime()?.block_on(client.pull(
            reference,
            &self.store,
            wanted,
            &self.host,
            progress,
        ))?;
        self.layers.prepare(&self.store, &pulled.image)?;
        let not_runnable = self.compile_default(&pulled.image)?;
        self.store.set_name(reference, &pulled.descriptor, now())?;
        Ok(PulledImage {
            up_to_date: before.is_some_and(|before| before.digest() == pulled.descriptor.digest()),
            digest: pulled.digest,
            image: pulled.image,
            not_runnable,
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
        let descriptor = self.store.resolve(reference)?;
        let descriptor = descriptor.ok_or_else(|| Error::NoSuchImage {
            text: reference.familiar(),
        })?;
        let client = client(registries);
        Ok(runtime()?.block_on(client.push(reference, &descriptor, &self.store, progress))?)
    }
}

fn client(registries: &Registries) -> Client {
    // An error means that one is installed, by an earlier exchange or by who embeds this library.
    drop(rustls::crypto::ring::default_provider().install_default());
    Client::new(ClientOptions {
        credentials: Arc::clone(&registries.credentials),
        insecure: registries.insecure.clone(),
        extra_roots: registries.extra_roots.clone(),
        user_agent: concat!("coracle/", env!("CARGO_PKG_VERSION")).to_owned(),
    })
}

/// Makes the runtime for one exchange with a registry; all of it runs on this thread.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Error::File {
            doing: "opening the event queue",
            path: PathBuf::new(),
            source,
        })
}
