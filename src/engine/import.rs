//! An image of a root file system.

use std::fs;
use std::io::Read;

use coracle_packager::archive::{self, NewImage};
use coracle_packager::build::{self, BaseImages, BuildRequest, NoRunner};
use coracle_packager::image::{Descriptor, Image};
use coracle_packager::platform::Platform;
use coracle_packager::reference::Reference;

use super::{Engine, Error, now, open_context, random};

/// Instructions that change an image's config and no file, as `docker import --change` takes them.
const CHANGES: [&str; 8] = [
    "CMD",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "LABEL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// What to import.
#[derive(Clone, Debug)]
pub struct ImportImage {
    /// The image's name, if it gets one.
    pub name: Option<Reference>,
    /// Dockerfile instructions.
    pub changes: Vec<String>,
    /// For the history.
    pub message: String,
    /// The platform.
    pub platform: Platform,
    /// When it is said to be made, in seconds since 1970.
    pub created: i64,
}

/// The one image that the changes are made to.
struct Imported(Image);

impl BaseImages for Imported {
    fn fetch(
        &self,
        _reference: &Reference,
        _platform: Option<&Platform>,
    ) -> Result<Image, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.0.clone())
    }
}

impl Engine {
    /// Makes an image of a tar of a root file system, plain or compressed. Returns it, and why its default program cannot be
    /// run.
    ///
    /// # Errors
    ///
    /// If the tar or a change cannot be read. Then nothing is kept.
    pub fn import(
        &self,
        tar: impl Read,
        name: &str,
        request: &ImportImage,
    ) -> Result<(Image, Option<Error>), Error> {
        let imported = self.import_once(tar, name, request);
        let collected = self.collect_garbage();
        let imported = imported?;
        collected?;
        Ok(imported)
    }

    fn import_once(
        &self,
        tar: impl Read,
        name: &str,
        request: &ImportImage,
    ) -> Result<(Image, Option<Error>), Error> {
        let _leases = (self.store.lease()?, self.layers.lease()?);
        check_changes(&request.changes)?;
        let created = jiff::Timestamp::from_second(request.created).unwrap_or_default();
        let new = NewImage {
            platform: request.platform.clone(),
            created: created.to_string(),
            comment: request.message.clone(),
        };
        let imported = archive::import(&self.store, tar, &new);
        let (mut descriptor, mut image) = imported.map_err(|source| Error::Archive {
            path: name.to_owned(),
            source: Box::new(source),
        })?;
        self.rootfs(&image)?;
        if !request.changes.is_empty() {
            let (changes, platform) = (&request.changes, &request.platform);
            (descriptor, image) = self.change(image, changes, request.created, platform)?;
        }
        let not_runnable = self.make_ready(&image)?;
        self.made_here(&descriptor)?;
        match &request.name {
            Some(name) => self.store.set_name(name, &descriptor, now())?,
            None => self.store.keep_unnamed(&descriptor, now())?,
        }
        Ok((image, not_runnable))
    }

    /// Carries out the changes as a build on top of the image, whose folder is empty.
    pub(super) fn change(
        &self,
        image: Image,
        changes: &[String],
        created: i64,
        platform: &Platform,
    ) -> Result<(Descriptor, Image), Error> {
        let folder = self
            .root
            .join(format!("import-{:016x}", u64::from_ne_bytes(random())));
        let failed = |doing| {
            let path = folder.clone();
            move |source| Error::File {
                doing,
                path,
                source,
            }
        };
        fs::create_dir(&folder).map_err(failed("creating"))?;
        let built = open_context(&folder).and_then(|context| {
            let dockerfile = format!("FROM imported\n{}\n", changes.join("\n"));
            let build = BuildRequest {
                dockerfile_name: "--change".to_owned(),
                source_date: created,
                platform: Some(platform.clone()),
                ..BuildRequest::new(context, dockerfile)
            };
            let imported = Imported(image);
            let (store, layers) = (&self.store, &self.layers);
            let built = build::build(&build, store, layers, &imported, &NoRunner, &|_| {});
            Ok(built?)
        });
        fs::remove_dir(&folder).map_err(failed("removing"))?;
        built.map(|built| (built.descriptor, built.image))
    }
}

/// Refuses what is no instruction, or one that would change files.
pub(super) fn check_changes(changes: &[String]) -> Result<(), Error> {
    for change in changes {
        let word = change.split_whitespace().next().unwrap_or_default();
        if !CHANGES.contains(&word.to_ascii_uppercase().as_str()) || change.contains('\n') {
            return Err(Error::Change {
                text: change.clone(),
            });
        }
    }
    Ok(())
}
