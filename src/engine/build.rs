//! Builds an image, and leaves it ready to run.

use cap_std::fs::Dir;
use coracle_packager::build::{self, BaseImages, BuildEvent, BuildRequest};
use coracle_packager::image::Image;
use coracle_packager::platform::Platform;
use coracle_packager::reference::Reference;
use coracle_packager::registry::TransferEvent;

use super::error::CONTEXT;
use super::{Engine, Error, Registries, now};

/// What to build.
pub struct BuildImage<'a> {
    /// What the packager needs.
    pub request: BuildRequest,
    /// Is the program alone wanted, as the CNCF's Wasm artifact?
    pub artifact: bool,
    /// How the registries of base images are spoken to.
    pub registries: &'a Registries,
    /// Hears of each step.
    pub progress: &'a dyn Fn(BuildEvent),
    /// Hears of the transfer of base images.
    pub transfer: &'a (dyn Fn(TransferEvent) + Sync),
}

/// An image that was built.
#[derive(Debug)]
pub struct BuiltImage {
    /// The image.
    pub image: Image,
    /// What its author should look at.
    pub warnings: Vec<String>,
    /// Why its default program could not be compiled; another one may be chosen at `run`.
    pub not_runnable: Option<Error>,
}

/// Base images: those here, else those of their registry.
struct Bases<'a> {
    engine: &'a Engine,
    build: &'a BuildImage<'a>,
}

impl BaseImages for Bases<'_> {
    fn fetch(
        &self,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<Image, Box<dyn std::error::Error + Send + Sync>> {
        let engine = self.engine;
        if let Some(descriptor) = engine.store.resolve(reference)? {
            let image = engine
                .store
                .image(&descriptor, Some(platform), &engine.host)?;
            engine.check_named(reference, &descriptor, &image)?;
            return Ok(image);
        }
        let pulled = engine.pull(
            reference,
            Some(platform),
            self.build.registries,
            self.build.transfer,
        )?;
        Ok(pulled.image)
    }
}

impl Engine {
    /// Builds an image, compiles its program, and only then gives it its names.
    ///
    /// # Errors
    ///
    /// What the builder, a base image's registry or the compiler says. The names then stay as before.
    pub fn build(&self, build: &BuildImage<'_>) -> Result<BuiltImage, Error> {
        let built = self.build_once(build);
        // What a failed build has made, or an image that has lost its name to this one.
        let collected = self.collect_garbage();
        built.and_then(|built| collected.map(|()| built))
    }

    fn build_once(&self, build: &BuildImage<'_>) -> Result<BuiltImage, Error> {
        let _leases = (self.store.lease()?, self.layers.lease()?);
        let bases = Bases {
            engine: self,
            build,
        };
        let mut built = build::build(
            &build.request,
            &self.store,
            &self.layers,
            &bases,
            build.progress,
        )?;
        if build.artifact {
            built.descriptor = self.as_artifact("the image", &built.image)?;
            built.image = self.open_image(&built.descriptor, None)?;
        }
        let not_runnable = self.make_ready(&built.image)?;
        self.made_here(&built.descriptor)?;
        for name in &build.request.tags {
            self.store.set_name(name, &built.descriptor, now())?;
        }
        if build.request.tags.is_empty() {
            self.store.keep_unnamed(&built.descriptor, now())?;
        }
        Ok(BuiltImage {
            image: built.image,
            warnings: built.warnings,
            not_runnable,
        })
    }
}

/// Opens a build context.
///
/// # Errors
///
/// What the file system says, with the path.
pub fn open_context(path: &std::path::Path) -> Result<Dir, Error> {
    Dir::open_ambient_dir(path, cap_std::ambient_authority()).map_err(|source| Error::File {
        doing: CONTEXT,
        path: path.to_owned(),
        source,
    })
}
