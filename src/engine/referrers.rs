//! What is attached to images in their registries.

use std::collections::BTreeMap;

use coracle_packager::digest::Digest;
use coracle_packager::image::{Descriptor, Document, descriptor};
use coracle_packager::reference::Reference;
use coracle_packager::registry::{Action, ManifestName, NewReferrer};

use super::registries::runtime;
use super::sign::resolve;
use super::{Engine, Error, Registries};

/// The annotation that says what a file is called.
const TITLE: &str = "org.opencontainers.image.title";
/// Bytes of one attached file: it is held in memory. Bills of materials of large images have some 50 MiB.
pub const ATTACHED_LIMIT: usize = 128 << 20;

/// A file that is attached, or to be attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachedFile {
    /// What it is called, if that is said. From a registry: anything at all.
    pub title: Option<String>,
    /// What it is.
    pub media_type: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl Engine {
    /// Lists what is attached to an image in its registry. Returns what the name stands for as well.
    ///
    /// # Errors
    ///
    /// What the registry says.
    pub fn list_attached(
        &self,
        reference: &Reference,
        artifact_type: Option<&str>,
        registries: &Registries,
    ) -> Result<(Digest, Vec<Descriptor>), Error> {
        let client = registries.client();
        let repository = client.repository(reference, Action::Read("looking at"))?;
        runtime()?.block_on(async {
            let digest = resolve(&repository, reference).await?;
            let all = repository.all_referrers(&digest, artifact_type).await?;
            Ok((digest, all))
        })
    }

    /// Attaches files to an image in its registry. Returns the digest of what refers to it now.
    ///
    /// # Errors
    ///
    /// What the registry says.
    pub fn attach_files(
        &self,
        reference: &Reference,
        artifact_type: &str,
        annotations: BTreeMap<String, String>,
        files: Vec<AttachedFile>,
        registries: &Registries,
    ) -> Result<Digest, Error> {
        let client = registries.client();
        let repository = client.repository(reference, Action::Write("attaching to"))?;
        runtime()?.block_on(async {
            let subject = resolve(&repository, reference).await?;
            let mut layers = Vec::new();
            for file in files {
                let size = file.bytes.len() as u64;
                let digest = repository.put_blob(file.bytes.into()).await?;
                let mut layer = descriptor(&file.media_type, &digest, size);
                let title = file.title.map(|title| (TITLE.to_owned(), title));
                layer.set_annotations(title.map(|title| [title].into()));
                layers.push(layer);
            }
            let new = NewReferrer {
                artifact_type: artifact_type.to_owned(),
                layers,
                annotations,
            };
            Ok(repository.attach(&subject, &new).await?)
        })
    }

    /// Fetches the files of what was attached, named by its own digest.
    ///
    /// # Errors
    ///
    /// What the registry says; it is an index.
    pub fn fetch_attached(
        &self,
        reference: &Reference,
        registries: &Registries,
    ) -> Result<Vec<AttachedFile>, Error> {
        let client = registries.client();
        let repository = client.repository(reference, Action::Read("fetching"))?;
        runtime()?.block_on(async {
            let digest = resolve(&repository, reference).await?;
            let raw = repository
                .get_manifest(&ManifestName::Digest(digest))
                .await?;
            let (Document::Manifest(manifest), _) = Document::detect(&raw.bytes)? else {
                return Err(Error::NotAttached {
                    name: reference.familiar(),
                });
            };
            let mut files = Vec::new();
            for layer in manifest.layers() {
                let bytes = repository
                    .get_blob(&Digest::of(layer)?, ATTACHED_LIMIT)
                    .await?;
                let annotations = layer.annotations().as_ref();
                files.push(AttachedFile {
                    title: annotations.and_then(|all| all.get(TITLE).cloned()),
                    media_type: layer.media_type().to_string(),
                    bytes: bytes.to_vec(),
                });
            }
            Ok(files)
        })
    }
}
