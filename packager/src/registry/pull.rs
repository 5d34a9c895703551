//! From a registry into the store.

use std::collections::HashSet;
use std::io::Write as _;

use futures_util::{StreamExt as _, TryStreamExt as _};

use super::download::{self, Wanted, Writers};
use super::error::{Action, Cause, RegistryError, Step};
use super::event::{BlobKind, Progress, TransferEvent};
use super::manifests::ManifestName;
use super::registries::Source;
use super::repository::{Repository, failure};
use super::{Client, PARALLEL, blocking};
use crate::digest::Digest;
use crate::image::{
    self, Descriptor, Document, Image, ImageError, ImageManifest, Limits, Shape, has_image_config,
    select,
};
use crate::media_type::{Distribution, Kind};
use crate::platform::Platform;
use crate::reference::Reference;
use crate::sign::Attached;
use crate::store::{Lease, Store, StoreError};
use crate::trust::Demand;

/// Bytes of one layer. Layers with whole language models have some dozens of gigabytes.
const LAYER_LIMIT: u64 = 256 << 30;
/// Exports by which a component can be run: as a command, or by requests.
const RUNNABLE_EXPORTS: [&str; 2] = ["wasi:cli/run", "wasi:http/incoming-handler"];
/// Exports that a refusal lists.
const LISTED_EXPORTS: usize = 5;

/// An image that was pulled.
#[derive(Debug)]
pub struct Pulled {
    /// What the reference named: a manifest or an index. To be stored under the name.
    pub descriptor: Descriptor,
    /// The image itself, chosen if there was a choice.
    pub image: Image,
    /// Digest of `descriptor`.
    pub digest: Digest,
    /// Was everything in the store before?
    pub up_to_date: bool,
    /// The signatures by which it was found to be trusted, if that took any: those of `descriptor` and of the image.
    pub attached: Attached,
    /// Keeps the blobs from garbage collection. Hold it until the image has its name.
    pub lease: Lease,
}

impl Client {
    /// Pulls an image: the one that is chosen, if the reference names an index.
    ///
    /// Blobs that the store has are not fetched. The image gets no name: that is the caller's next step. What `demand` refuses is
    /// refused before its config and layers are fetched, from wherever it comes.
    ///
    /// # Errors
    ///
    /// [`RegistryError`] names the step and the cause. Nothing that failed its check is in the store then, and what was
    /// fetched whole is reused by the next pull.
    pub async fn pull(
        &self,
        reference: &Reference,
        store: &Store,
        wanted: Option<&Platform>,
        host: &Platform,
        demand: Option<&Demand>,
        progress: Progress<'_>,
    ) -> Result<Pulled, RegistryError> {
        let reference = reference.clone().or_latest();
        let fail = |step, cause| failure(Action::Pull, &reference, step, cause);
        if let Some(demand) = demand {
            demand
                .refuse_outright()
                .map_err(|refused| fail(Step::Prepare, refused.into()))?;
        }
        let sources = self
            .registries
            .sources(&reference)
            .map_err(|cause| fail(Step::Prepare, cause))?;
        let leased = store.clone();
        let lease = blocking(move || leased.lease())
            .await
            .map_err(|cause| fail(Step::Store, cause))?;
        let writers = Writers::new();
        let mut pulled = Err(fail(Step::Resolve, Cause::NotFound));
        for source in sources {
            tracing::debug!(
                registry = source.registry,
                repository = source.repository,
                "pulling"
            );
            pulled = self
                .pull_from(
                    &source, &reference, store, &writers, wanted, host, demand, progress,
                )
                .await;
            match &pulled {
                // What came from a mirror before it failed stays, and is not fetched again.
                Err(error) if error.cause.is_of_the_place() => {
                    tracing::debug!(registry = source.registry, cause = %error.cause, "not from here");
                }
                _ => break,
            }
        }
        writers.join().await;
        let fruit = pulled?;
        Ok(Pulled {
            descriptor: fruit.descriptor,
            digest: fruit.digest,
            image: fruit.image,
            up_to_date: fruit.up_to_date,
            attached: fruit.attached,
            lease,
        })
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the arguments of one pull, and one place to pull from"
    )]
    async fn pull_from(
        &self,
        source: &Source,
        reference: &Reference,
        store: &Store,
        writers: &Writers,
        wanted: Option<&Platform>,
        host: &Platform,
        demand: Option<&Demand>,
        progress: Progress<'_>,
    ) -> Result<Fruit, RegistryError> {
        let from = Repository::at(self, Action::Pull, reference, source)?;
        let pull = Pull {
            from: &from,
            store,
            writers,
            demand,
            progress,
        };
        pull.run(wanted, host).await
    }
}

/// What a pull brings, before it has its lease.
struct Fruit {
    descriptor: Descriptor,
    digest: Digest,
    image: Image,
    up_to_date: bool,
    attached: Attached,
}

struct Pull<'a> {
    from: &'a Repository,
    store: &'a Store,
    writers: &'a Writers,
    demand: Option<&'a Demand>,
    progress: Progress<'a>,
}

/// The documents from the reference to the manifest, in this order.
struct Chain {
    top: Descriptor,
    documents: Vec<Fetched>,
    /// What the last one is.
    manifest: ImageManifest,
    /// Names the last one.
    descriptor: Descriptor,
}

/// A manifest or index.
struct Fetched {
    digest: Digest,
    bytes: Vec<u8>,
    /// Does it come from the registry, and not from the store?
    fetched: bool,
}

struct Found {
    image: Image,
    fetched: bool,
}

impl Pull<'_> {
    async fn run(
        &self,
        wanted: Option<&Platform>,
        host: &Platform,
    ) -> Result<Fruit, RegistryError> {
        let reference = self.from.reference();
        let top = match reference.digest() {
            Some(digest) => digest.clone(),
            None => {
                let tag = reference.tag().unwrap_or("latest").to_owned();
                self.from.head_manifest(&ManifestName::Tag(tag)).await?
            }
        };
        let chain = self.documents(&top, wanted, host).await?;
        let attached = self.judge(&chain).await?;
        let mut up_to_date = chain.documents.iter().all(|document| !document.fetched);
        let found = self.image(&chain, wanted).await?;
        up_to_date &= !found.fetched;
        up_to_date &= !self.layers(&found.image.manifest).await?;
        // A manifest comes after all that it names: where it is, the image is whole.
        for document in chain.documents.iter().rev() {
            if document.fetched {
                self.keep(document).await?;
            }
        }
        Ok(Fruit {
            descriptor: chain.top,
            digest: top,
            image: found.image,
            up_to_date,
            attached,
        })
    }

    /// Finds out whether the image is trusted. An index vouches for the manifests that it names, so a signature of any will do.
    async fn judge(&self, chain: &Chain) -> Result<Attached, RegistryError> {
        let mut attached = Attached::default();
        let Some(demand) = self.demand.filter(|demand| demand.wants_signatures()) else {
            return Ok(attached);
        };
        let manifests: Vec<Digest> = chain
            .documents
            .iter()
            .map(|one| one.digest.clone())
            .collect();
        for digest in &manifests {
            let Attached {
                signatures,
                unreadable,
            } = self.from.signatures(digest).await?;
            attached.signatures.extend(signatures);
            attached.unreadable.extend(unreadable);
        }
        demand
            .judge(self.from.reference(), &manifests, &attached)
            .map_err(|refused| {
                let digest = chain.documents.first().map(|one| one.digest.clone());
                let step = digest.map_or(Step::Resolve, Step::Signatures);
                self.from.fail(step, refused.into())
            })?;
        Ok(attached)
    }

    /// Reads documents from the top one down to a manifest.
    async fn documents(
        &self,
        top: &Digest,
        wanted: Option<&Platform>,
        host: &Platform,
    ) -> Result<Chain, RegistryError> {
        let mut documents = Vec::new();
        let mut first = None;
        let mut digest = top.clone();
        let mut announced: Option<Descriptor> = None;
        for _ in 0..=Limits::NESTING {
            let (fetched, document, media_type) =
                self.document(&digest, announced.as_ref()).await?;
            let descriptor = announced.take().unwrap_or_else(|| {
                image::descriptor(&media_type, &digest, fetched.bytes.len() as u64)
            });
            documents.push(fetched);
            let top = first.get_or_insert_with(|| descriptor.clone());
            match document {
                Document::Manifest(manifest) => {
                    return Ok(Chain {
                        top: top.clone(),
                        documents,
                        manifest,
                        descriptor,
                    });
                }
                Document::Index(index) => {
                    let fail = |cause| self.from.fail(Step::Choose(digest.clone()), cause);
                    let choice =
                        select::choose(&index, wanted, host).map_err(|error| fail(error.into()))?;
                    tracing::debug!(index = %digest, choice = choice.reason, "chosen");
                    let next = image::checked_digest(&choice.descriptor, || "the entry".to_owned())
                        .map_err(|error| fail(error.into()))?;
                    digest = next;
                    announced = Some(choice.descriptor);
                }
            }
        }
        Err(self.from.fail(
            Step::Choose(top.clone()),
            Cause::Nesting {
                limit: Limits::NESTING,
            },
        ))
    }

    /// Reads one manifest or index, from the store or the registry, and checks it against its digest and descriptor.
    async fn document(
        &self,
        digest: &Digest,
        announced: Option<&Descriptor>,
    ) -> Result<(Fetched, Document, String), RegistryError> {
        let step = || Step::Manifest(digest.clone());
        let fail = |cause| self.from.fail(step(), cause);
        if let Some(descriptor) = announced {
            check_limit("the manifest", descriptor.size(), Limits::MANIFEST).map_err(fail)?;
        }
        let (bytes, fetched) = match self.stored_document(digest).await? {
            Some(bytes) => (bytes, false),
            None => {
                let name = ManifestName::Digest(digest.clone());
                (Vec::from(self.from.get_manifest(&name).await?.bytes), true)
            }
        };
        let size = bytes.len() as u64;
        check_limit("the manifest", size, Limits::MANIFEST).map_err(fail)?;
        if let Some(want) = announced.map(Descriptor::size)
            && want != size
        {
            return Err(fail(Cause::WrongSize {
                got: size,
                more: false,
                want,
            }));
        }
        let parsed = match announced {
            Some(descriptor) => {
                let media_type = descriptor.media_type().as_ref();
                Document::parse(&bytes, media_type)
                    .map(|document| (document, media_type.to_owned()))
            }
            None => Document::detect(&bytes),
        };
        let (document, media_type) = parsed.map_err(|error| match error {
            // Portals and web servers answer every request with a page.
            ImageError::Json { .. } if bytes.trim_ascii_start().starts_with(b"<") => fail(
                self.from
                    .protocol("it sends a web page (HTML) where a manifest should be"),
            ),
            error => fail(error.into()),
        })?;
        Ok((
            Fetched {
                digest: digest.clone(),
                bytes,
                fetched,
            },
            document,
            media_type,
        ))
    }

    async fn stored_document(&self, digest: &Digest) -> Result<Option<Vec<u8>>, RegistryError> {
        let (store, digest) = (self.store.clone(), digest.clone());
        blocking(move || match store.read_blob(&digest, Limits::MANIFEST) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(StoreError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        })
        .await
        .map_err(|cause| self.from.fail(Step::Store, cause))
    }

    /// Fetches the config, and refuses what is no image for us before its layers are fetched.
    async fn image(
        &self,
        chain: &Chain,
        wanted: Option<&Platform>,
    ) -> Result<Found, RegistryError> {
        let config = chain.manifest.config();
        let digest = image::checked_digest(config, || "the config".to_owned())
            .map_err(|error| self.from.fail(Step::Store, error.into()))?;
        let fail = |cause| self.from.fail(Step::Blob(digest.clone()), cause);
        check_limit("the config", config.size(), Limits::CONFIG).map_err(fail)?;
        let wanted_blob = Wanted {
            digest: digest.clone(),
            size: config.size(),
            kind: BlobKind::Config,
        };
        let fetched = download::fetch(
            self.from,
            self.store,
            self.writers,
            &wanted_blob,
            self.progress,
        )
        .await?;
        let (store, stored) = (self.store.clone(), digest.clone());
        let bytes = blocking(move || store.read_blob(&stored, Limits::CONFIG))
            .await
            .map_err(fail)?;
        let image = Image::new(chain.descriptor.clone(), chain.manifest.clone(), &bytes)
            .map_err(|error| fail(error.into()))?;
        check_program(&image).map_err(fail)?;
        if let Some(want) = wanted
            && has_image_config(&image.manifest)
            && !image.platform().satisfies(want)
        {
            return Err(fail(Cause::Platform {
                got: Box::new(image.platform()),
                want: Box::new(want.clone()),
            }));
        }
        Ok(Found { image, fetched })
    }

    /// Fetches the layers, some at a time. Returns whether any was fetched.
    async fn layers(&self, manifest: &ImageManifest) -> Result<bool, RegistryError> {
        let mut seen = HashSet::new();
        let mut layers = Vec::new();
        for (index, layer) in manifest.layers().iter().enumerate() {
            let digest = image::checked_digest(layer, || format!("layer {index}"))
                .map_err(|error| self.from.fail(Step::Store, error.into()))?;
            check_limit("the layer", layer.size(), LAYER_LIMIT)
                .map_err(|cause| self.from.fail(Step::Blob(digest.clone()), cause))?;
            if seen.insert(digest.clone()) {
                let wanted = Wanted {
                    digest,
                    size: layer.size(),
                    kind: BlobKind::Layer,
                };
                layers.push((wanted, elsewhere(layer)));
            }
        }
        let Self {
            from,
            store,
            writers,
            progress,
            ..
        } = *self;
        futures_util::stream::iter(layers)
            .map(|(wanted, elsewhere)| async move {
                let fetched = download::fetch(from, store, writers, &wanted, progress).await;
                fetched.map_err(|error| match (&*error.cause, elsewhere) {
                    (Cause::NotFound, Some(url)) => {
                        from.fail(Step::Blob(wanted.digest), Cause::Elsewhere { url })
                    }
                    _ => error,
                })
            })
            .boxed()
            .buffer_unordered(PARALLEL)
            .try_fold(false, |any, fetched| async move { Ok(any | fetched) })
            .await
    }

    /// Puts a manifest or index into the store.
    async fn keep(&self, document: &Fetched) -> Result<(), RegistryError> {
        let Fetched { digest, bytes, .. } = document;
        let size = bytes.len() as u64;
        let kind = match Document::detect(bytes) {
            Ok((Document::Index(_), _)) => BlobKind::Index,
            _ => BlobKind::Manifest,
        };
        (self.progress)(TransferEvent::Started {
            digest: digest.clone(),
            size,
            kind,
        });
        let (store, name, bytes) = (self.store.clone(), digest.clone(), bytes.clone());
        blocking(move || {
            let mut writer = store.blob_writer(Some((&name, size)))?;
            writer.write_all(&bytes).map_err(|source| StoreError::Io {
                action: "writing a manifest in",
                path: store.root().to_owned(),
                source,
            })?;
            writer.commit().map(drop)
        })
        .await
        .map_err(|cause| self.from.fail(Step::Store, cause))?;
        (self.progress)(TransferEvent::Bytes {
            digest: digest.clone(),
            count: size,
        });
        (self.progress)(TransferEvent::Done {
            digest: digest.clone(),
        });
        Ok(())
    }
}

/// Returns where a layer that may not be distributed is offered. Many registries have it all the same.
fn elsewhere(layer: &Descriptor) -> Option<String> {
    let kind = Kind::of(layer.media_type().as_ref());
    let restricted = matches!(kind, Kind::TarLayer(_, Distribution::Restricted));
    let url = layer.urls().iter().flatten().next();
    url.filter(|_| restricted)
        .map(|url| super::redact::foreign(url))
}

fn check_limit(what: &'static str, got: u64, limit: u64) -> Result<(), Cause> {
    if got > limit {
        return Err(Cause::TooLarge { what, got, limit });
    }
    Ok(())
}

/// Refuses what holds no program: charts and signatures, WIT packages, components made for other components.
fn check_program(image: &Image) -> Result<(), Cause> {
    let shape = image.shape();
    if matches!(shape, Shape::OtherArtifact | Shape::Encrypted) {
        let config = crate::digest::shown(image.manifest.config().media_type().as_ref());
        return Err(Cause::NotAnImage { shape, config });
    }
    if shape != Shape::WasmArtifact {
        return Ok(());
    }
    // Modules have no "component", and older tools wrote none for components.
    let exports = image
        .config
        .other
        .get("component")
        .and_then(|component| component.get("exports"));
    let Some(exports) = exports.and_then(serde_json::Value::as_array) else {
        return Ok(());
    };
    let exports: Vec<&str> = exports
        .iter()
        .filter_map(serde_json::Value::as_str)
        .collect();
    let can_run = |export: &&str| {
        RUNNABLE_EXPORTS
            .iter()
            .any(|start| export.starts_with(start))
    };
    if exports.iter().any(can_run) {
        return Ok(());
    }
    let listed = exports
        .iter()
        .take(LISTED_EXPORTS)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    let exports = if listed.is_empty() {
        "none".to_owned()
    } else {
        super::redact::foreign(&listed)
    };
    Err(Cause::NoProgram { exports })
}
