//! Indexes that are put together by hand: images for several platforms under one name.

use coracle_packager::digest::Digest;
use coracle_packager::image::{
    Descriptor, Document, ImageIndex, Limits, canonical_json, descriptor,
};
use coracle_packager::media_type::OCI_INDEX;
use coracle_packager::platform::Platform;
use coracle_packager::reference::Reference;
use serde_json::json;

use super::{Engine, Error, now};

/// What is changed of an entry.
#[derive(Clone, Debug, Default)]
pub struct EntryChange {
    /// Its operating system.
    pub os: Option<String>,
    /// Its architecture.
    pub architecture: Option<String>,
    /// The variant of that.
    pub variant: Option<String>,
    /// Annotations to add.
    pub annotations: Vec<(String, String)>,
}

impl Engine {
    /// Makes an index of images that are here, and returns its digest. `amend` adds to one that is there.
    ///
    /// # Errors
    ///
    /// The name is taken, an image is not here, or there are too many.
    pub fn create_list(
        &self,
        name: &Reference,
        images: &[String],
        amend: bool,
    ) -> Result<Digest, Error> {
        let mut entries = match self.store.resolve(name)? {
            None => Vec::new(),
            Some(_) if amend => self.list(name)?,
            Some(_) => {
                return Err(Error::ListExists {
                    name: name.familiar(),
                });
            }
        };
        for image in images {
            entries.extend(self.entries_of(image, None, false)?);
        }
        self.set_list(name, entries)
    }

    /// Adds an image to an index: the entry for a platform, all its entries, or the one that would be run here.
    ///
    /// # Errors
    ///
    /// The index or the image is not here, or there are too many.
    pub fn add_to_list(
        &self,
        name: &Reference,
        image: &str,
        wanted: Option<&Platform>,
        all: bool,
        change: &EntryChange,
    ) -> Result<Digest, Error> {
        let mut entries = self.list(name)?;
        for mut entry in self.entries_of(image, wanted, all)? {
            change.apply(&mut entry)?;
            entries.push(entry);
        }
        self.set_list(name, entries)
    }

    /// Changes what an index says of one of its entries, given by its digest or as an image here.
    ///
    /// # Errors
    ///
    /// The index is not here, or has no such entry.
    pub fn annotate_list(
        &self,
        name: &Reference,
        image: &str,
        change: &EntryChange,
    ) -> Result<Digest, Error> {
        let mut entries = self.list(name)?;
        let digests = match Digest::parse(image) {
            Ok(digest) => vec![digest.to_string()],
            Err(_) => {
                let found = self.find_image(image)?;
                self.parts(&found.descriptor)
            }
        };
        let entry = entries
            .iter_mut()
            .find(|entry| digests.contains(&entry.digest().to_string()));
        let entry = entry.ok_or_else(|| Error::NotInList {
            image: image.to_owned(),
            name: name.familiar(),
        })?;
        change.apply(entry)?;
        self.set_list(name, entries)
    }

    /// Returns an index as it is written.
    ///
    /// # Errors
    ///
    /// It is not here, or is an image.
    pub fn inspect_list(&self, name: &Reference) -> Result<Vec<u8>, Error> {
        let found = self.list_descriptor(name)?;
        Ok(self
            .store
            .read_blob(&Digest::of(&found)?, Limits::MANIFEST)?)
    }

    /// Takes an index away; its images stay if they have names of their own.
    ///
    /// # Errors
    ///
    /// It is not here, or is an image.
    pub fn remove_list(&self, name: &Reference) -> Result<(), Error> {
        self.list_descriptor(name)?;
        self.store.remove_name(name)?;
        self.collect_garbage()
    }

    fn list_descriptor(&self, name: &Reference) -> Result<Descriptor, Error> {
        let found = self.store.resolve(name)?;
        let found = found.ok_or_else(|| Error::NoSuchImage {
            text: name.familiar(),
        })?;
        match self.store.document(&found)? {
            Document::Index(_) => Ok(found),
            Document::Manifest(_) => Err(Error::NoList {
                name: name.familiar(),
            }),
        }
    }

    fn list(&self, name: &Reference) -> Result<Vec<Descriptor>, Error> {
        let found = self.list_descriptor(name)?;
        match self.store.document(&found)? {
            Document::Index(index) => Ok(index.manifests().clone()),
            Document::Manifest(_) => Ok(Vec::new()),
        }
    }

    fn entries_of(
        &self,
        image: &str,
        wanted: Option<&Platform>,
        all: bool,
    ) -> Result<Vec<Descriptor>, Error> {
        let found = self.find_image(image)?.descriptor;
        if all && let Document::Index(index) = self.store.document(&found)? {
            return self.present(&index);
        }
        let image = self.open_image(&found, wanted)?;
        let mut entry = image.descriptor.clone();
        if entry.platform().is_none() {
            entry.set_platform(Some((&image.platform()).into()));
        }
        Ok(vec![entry])
    }

    /// Returns the entries whose images are here: only those can be pushed.
    fn present(&self, index: &ImageIndex) -> Result<Vec<Descriptor>, Error> {
        let mut present = Vec::new();
        for entry in index.manifests() {
            if self.store.has_blob(&Digest::of(entry)?, entry.size())? {
                present.push(entry.clone());
            }
        }
        Ok(present)
    }

    /// Writes an index; of several entries for one manifest the last holds.
    fn set_list(&self, name: &Reference, entries: Vec<Descriptor>) -> Result<Digest, Error> {
        let _lease = self.store.lease()?;
        let mut kept: Vec<Descriptor> = Vec::new();
        for entry in entries {
            match kept.iter_mut().find(|old| old.digest() == entry.digest()) {
                Some(old) => *old = entry,
                None => kept.push(entry),
            }
        }
        let index = canonical_json(&json!({
            "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": kept,
        }));
        // Refuses what no store would read again.
        Document::parse(&index, OCI_INDEX)?;
        let (digest, size) = self.store.put_blob(&index)?;
        self.store
            .set_name(name, &descriptor(OCI_INDEX, &digest, size), now())?;
        Ok(digest)
    }
}

impl EntryChange {
    fn apply(&self, entry: &mut Descriptor) -> Result<(), Error> {
        if self.os.is_some() || self.architecture.is_some() || self.variant.is_some() {
            let old = entry.platform().as_ref().map(Platform::from);
            let unknown = "unknown".to_owned();
            let os = self
                .os
                .clone()
                .or(old.as_ref().map(|old| old.os().to_owned()));
            let architecture = self
                .architecture
                .clone()
                .or(old.as_ref().map(|old| old.architecture().to_owned()));
            let variant = self.variant.clone().or(old
                .as_ref()
                .and_then(|old| old.variant().map(str::to_owned)));
            let mut text = format!(
                "{}/{}",
                os.unwrap_or_else(|| unknown.clone()),
                architecture.unwrap_or(unknown)
            );
            if let Some(variant) = variant {
                text = format!("{text}/{variant}");
            }
            entry.set_platform(Some((&Platform::parse(&text)?).into()));
        }
        if !self.annotations.is_empty() {
            let mut annotations = entry.annotations().clone().unwrap_or_default();
            annotations.extend(self.annotations.iter().cloned());
            entry.set_annotations(Some(annotations));
        }
        Ok(())
    }
}
