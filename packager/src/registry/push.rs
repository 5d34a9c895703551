//! From the store to a registry.

use futures_util::{StreamExt as _, TryStreamExt as _};

use super::error::{Action, Cause, RegistryError, Step};
use super::event::{BlobKind, Progress, TransferEvent};
use super::manifests::ManifestName;
use super::mount::Neighbours;
use super::repository::Repository;
use super::upload::{self, Offered};
use super::{Client, PARALLEL, blocking};
use crate::digest::{Digest, DigestError};
use crate::image::{Descriptor, Limits};
use crate::media_type::Kind;
use crate::platform::Platform;
use crate::reference::Reference;
use crate::store::{Store, StoreError};

/// An image that was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// Digest of the manifest or index that the tag now names.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

impl Client {
    /// Pushes an image and everything that it consists of, byte for byte as it is in the store, to a tag (`latest` if the
    /// reference names none).
    ///
    /// Blobs that the registry has are not sent. The tag comes last: who sees it sees a whole image.
    ///
    /// # Errors
    ///
    /// [`RegistryError`] names the step and the cause. An index of which the store has not every entry is refused with
    /// [`Cause::MissingEntry`] before anything is sent.
    pub async fn push(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        store: &Store,
        progress: Progress<'_>,
    ) -> Result<Pushed, RegistryError> {
        let reference = reference.clone().or_latest();
        let prepare =
            |cause| super::repository::failure(Action::Push, &reference, Step::Prepare, cause);
        let (Some(tag), None) = (reference.tag(), reference.digest()) else {
            return Err(prepare(Cause::DigestReference));
        };
        let (work_store, top) = (store.clone(), descriptor.clone());
        let work = blocking(move || Ok((work_store.lease()?, Work::of(&work_store, &top)?)))
            .await
            .map_err(&prepare)?;
        let (_lease, work) = work;
        let work = work.complete().map_err(&prepare)?;

        let to = self.repository(&reference, Action::Push)?;
        let neighbours = Neighbours::new(store, &reference);
        let (to, known) = (&to, &neighbours);
        futures_util::stream::iter(work.blobs)
            .map(|offered| async move { upload::send(to, store, known, &offered, progress).await })
            .boxed()
            .buffer_unordered(PARALLEL)
            .try_collect::<Vec<()>>()
            .await?;
        let mut pushed = None;
        let last = work.manifests.len().saturating_sub(1);
        for (position, (digest, descriptor)) in work.manifests.into_iter().enumerate() {
            let name = if position == last {
                ManifestName::Tag(tag.to_owned())
            } else {
                ManifestName::Digest(digest.clone())
            };
            let document = Document {
                digest,
                descriptor,
                name,
            };
            document.send(to, store, progress).await?;
            pushed = Some(Pushed {
                size: document.descriptor.size(),
                digest: document.digest,
            });
        }
        pushed.ok_or_else(|| prepare(Cause::NotFound))
    }
}

/// What a push has to move.
struct Work {
    /// Layers before configs.
    blobs: Vec<Offered>,
    /// Each after all that it names.
    manifests: Vec<(Digest, Descriptor)>,
    missing: Option<Cause>,
}

impl Work {
    fn of(store: &Store, descriptor: &Descriptor) -> Result<Self, StoreError> {
        let reachable = store.manifests(descriptor)?;
        let mut missing = None;
        if let Some(absent) = reachable.absent.first() {
            missing = Some(Cause::MissingEntry {
                digest: Digest::of(absent)?,
                platform: match absent.platform() {
                    Some(platform) => Platform::from(platform).to_string(),
                    None => "an unnamed platform".to_owned(),
                },
            });
        }
        let kinds = [
            (reachable.layers, BlobKind::Layer),
            (reachable.configs, BlobKind::Config),
        ];
        let mut blobs = Vec::new();
        for (descriptors, kind) in kinds {
            for descriptor in descriptors {
                let digest = Digest::of(&descriptor)?;
                let size = descriptor.size();
                if missing.is_none() && !store.has_blob(&digest, size)? {
                    missing = Some(Cause::MissingBlob {
                        digest: digest.clone(),
                    });
                }
                blobs.push(Offered { digest, size, kind });
            }
        }
        let manifests = reachable
            .manifests
            .into_iter()
            .map(|descriptor| Ok((Digest::of(&descriptor)?, descriptor)))
            .collect::<Result<_, DigestError>>()?;
        Ok(Self {
            blobs,
            manifests,
            missing,
        })
    }

    fn complete(self) -> Result<Self, Cause> {
        match self.missing {
            Some(missing) => Err(missing),
            None => Ok(self),
        }
    }
}

/// A manifest or index to push.
struct Document {
    digest: Digest,
    descriptor: Descriptor,
    name: ManifestName,
}

impl Document {
    async fn send(
        &self,
        to: &Repository,
        store: &Store,
        progress: Progress<'_>,
    ) -> Result<(), RegistryError> {
        let media_type = self.descriptor.media_type().as_ref();
        let kind = match Kind::of(media_type) {
            Kind::Index => BlobKind::Index,
            _ => BlobKind::Manifest,
        };
        let digest = self.digest.clone();
        progress(TransferEvent::Started {
            digest: digest.clone(),
            size: self.descriptor.size(),
            kind,
        });
        let (store, name) = (store.clone(), digest.clone());
        let bytes = blocking(move || store.read_blob(&name, Limits::MANIFEST))
            .await
            .map_err(|cause| to.fail(Step::Store, cause))?;
        to.put_manifest(&self.name, media_type, bytes.into())
            .await?;
        progress(TransferEvent::Bytes {
            digest: digest.clone(),
            count: self.descriptor.size(),
        });
        progress(TransferEvent::Done { digest });
        Ok(())
    }
}
