//! Builds images, and leaves them ready to run.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use cap_std::fs::Dir;
use coracle_packager::build::{
    self, BaseImages, BuildEvent, BuildRequest, Built, Refusal, StepCache, Warning,
};
use coracle_packager::image::{Descriptor, Image};
use coracle_packager::platform::Platform;
use coracle_packager::reference::Reference;
use coracle_packager::registry::TransferEvent;
use coracle_runtime::vfs::GuestFs;

use super::error::CONTEXT;
use super::own_folder::OwnFolder;
use super::registries::runtime;
use super::{Engine, Error, ExportTo, Registries, export, now};

/// What to build.
pub struct BuildImage<'a> {
    /// What the packager needs; its platform is one of `platforms`.
    pub request: BuildRequest,
    /// Is the program alone wanted, as the CNCF's Wasm artifact?
    pub artifact: bool,
    /// The platforms to build for, one after the other; none for what the Dockerfile makes by itself.
    pub platforms: Vec<Platform>,
    /// Files that RUN may see, and no layer has.
    pub secrets: Vec<BuildSecret>,
    /// How the registries of base images are spoken to.
    pub registries: &'a Registries,
    /// Are base images fetched though they are here?
    pub pull: bool,
    /// Hears of each step.
    pub progress: &'a (dyn Fn(BuildEvent) + Sync),
    /// Hears of the transfer of base images.
    pub transfer: &'a (dyn Fn(TransferEvent) + Sync),
}

/// An image that was built.
#[derive(Debug)]
pub struct BuiltImage {
    /// The image; of several platforms the first one.
    pub image: Image,
    /// Its index, with all platforms.
    pub descriptor: Descriptor,
    /// What its author should look at.
    pub warnings: Vec<String>,
    /// Is its default program WebAssembly that can be run?
    pub is_wasm: bool,
    /// Why its default program could not be compiled; another one may be chosen at `run`.
    pub not_runnable: Option<Error>,
}

/// Base images: those here, else those of their registry.
struct Bases<'a> {
    engine: &'a Engine,
    registries: &'a Registries,
    pull: bool,
    transfer: &'a (dyn Fn(TransferEvent) + Sync),
}

impl BaseImages for Bases<'_> {
    fn fetch(&self, reference: &Reference, platform: Option<&Platform>) -> Result<Image, Refusal> {
        let engine = self.engine;
        let here = match self.pull {
            true => None,
            false => engine.store.resolve(reference)?,
        };
        if let Some(descriptor) = here {
            let image = engine.store.image(&descriptor, platform, &engine.host)?;
            engine.check_named(reference, &descriptor, &image)?;
            return Ok(image);
        }
        let pulled = engine.pull(reference, platform, self.registries, self.transfer)?;
        Ok(pulled.image)
    }

    fn download(&self, url: &str, to: &mut fs::File) -> Result<(), Refusal> {
        let client = self.registries.client();
        runtime()?.block_on(client.download(url, to))?;
        Ok(())
    }

    fn clone_git(&self, url: &str, to: &Path) -> Result<PathBuf, Refusal> {
        super::git::clone(url, to)
    }
}

/// A file that RUN may see, and no layer has.
#[derive(Clone)]
pub struct BuildSecret {
    /// Its name.
    pub id: String,
    /// Its content.
    pub content: Vec<u8>,
}

/// Returns what runs the programs of a build.
#[cfg(target_os = "linux")]
fn runner<'a>(engine: &'a Engine, secrets: &'a [BuildSecret]) -> super::step::Steps<'a> {
    super::step::Steps { engine, secrets }
}

/// Linux programs run on Linux.
#[cfg(not(target_os = "linux"))]
fn runner(_: &Engine, _: &[BuildSecret]) -> build::NoRunner {
    build::NoRunner
}

/// Where the results of earlier builds are noted, in the data directory.
pub(super) const STEPS: &str = "build/steps";
/// Where contexts are unpacked that come as archives.
const CONTEXTS: &str = "build/contexts";

impl Engine {
    /// Returns the results of earlier builds.
    pub fn step_cache(&self) -> StepCache {
        StepCache::new(&self.root.join(STEPS))
    }

    /// Looks at a Dockerfile without building it.
    ///
    /// # Errors
    ///
    /// The Dockerfile is wrong.
    pub fn check_build(&self, request: &BuildRequest) -> Result<(Vec<Warning>, bool), Error> {
        Ok(build::check(request)?)
    }

    /// Forgets the results of earlier builds, and removes what only they needed. Returns the bytes that are free now.
    ///
    /// # Errors
    ///
    /// Something cannot be removed.
    pub fn prune_builds(&self) -> Result<u64, Error> {
        self.step_cache().clear().map_err(|source| Error::File {
            doing: "removing",
            path: self.root.join(STEPS),
            source,
        })?;
        self.collect_garbage_counted()
    }

    /// Builds an image, compiles its program, and only then gives it its names.
    ///
    /// # Errors
    ///
    /// What the builder, a base image's registry or the compiler says. The names then stay as before.
    pub fn build(&self, build: BuildImage<'_>) -> Result<BuiltImage, Error> {
        let built = self.build_once(build);
        // What a failed build has made, or an image that has lost its name to this one.
        let collected = self.collect_garbage();
        built.and_then(|built| collected.map(|()| built))
    }

    fn build_once(&self, build: BuildImage<'_>) -> Result<BuiltImage, Error> {
        let _leases = (self.store.lease()?, self.layers.lease()?);
        let bases = Bases {
            engine: self,
            registries: build.registries,
            pull: build.pull,
            transfer: build.transfer,
        };
        let runner = runner(self, &build.secrets);
        let mut request = build.request;
        let mut platforms: Vec<Option<Platform>> = build.platforms.into_iter().map(Some).collect();
        if platforms.is_empty() {
            platforms.push(None);
        }
        let mut all: Vec<Built> = Vec::new();
        for platform in platforms {
            request.platform = platform;
            all.push(build::build(
                &request,
                &self.store,
                &self.layers,
                &bases,
                &runner,
                build.progress,
            )?);
        }
        let descriptor = match all.as_mut_slice() {
            [only] if build.artifact => {
                only.descriptor = self.as_artifact("the image", &only.image)?;
                only.image = self.open_image(&only.descriptor, None)?;
                only.descriptor.clone()
            }
            all => build::combine(&self.store, all)?,
        };
        let mut warnings = Vec::new();
        let mut not_runnable = None;
        let mut is_wasm = false;
        for (index, built) in all.iter().enumerate() {
            let problem = self.make_ready(&built.image)?;
            if index == 0 {
                is_wasm = problem.is_none();
                not_runnable = problem;
            }
            for warning in &built.warnings {
                if !warnings.contains(warning) {
                    warnings.push(warning.clone());
                }
            }
        }
        self.made_here(&descriptor)?;
        for name in &request.tags {
            self.store.set_name(name, &descriptor, now())?;
        }
        if request.tags.is_empty() {
            self.store.keep_unnamed(&descriptor, now())?;
        }
        Ok(BuiltImage {
            image: all.swap_remove(0).image,
            descriptor,
            warnings,
            is_wasm,
            not_runnable,
        })
    }

    /// Writes the files of an image that was built into a folder, which is made if it is not there. Files of the same name are
    /// replaced; owners are left out.
    ///
    /// # Errors
    ///
    /// Something cannot be read or written.
    pub fn write_files(&self, built: &BuiltImage, to: &Path) -> Result<(), Error> {
        let failed = |doing| {
            move |source| Error::File {
                doing,
                path: to.to_owned(),
                source,
            }
        };
        fs::create_dir_all(to).map_err(failed("creating"))?;
        let dir = Dir::open_ambient_dir(to, cap_std::ambient_authority());
        let dir = dir.map_err(failed("opening"))?;
        let rootfs = self.layers.prepare(&self.store, &built.image)?;
        Ok(build::write_files(&rootfs, &dir)?)
    }

    /// Writes the files of an image that was built as a tar archive.
    ///
    /// # Errors
    ///
    /// Something cannot be read or written.
    pub fn write_tar(&self, built: &BuiltImage, to: ExportTo<'_>) -> Result<(), Error> {
        let lower = std::sync::Arc::new(self.open_lower(&built.image)?);
        let fs = GuestFs::builder(lower).read_only(true).build()?;
        export::write_to(&fs, to).map(drop)
    }
}

/// A directory that an archive was unpacked to. It goes when this is dropped.
pub struct UnpackedContext {
    folder: OwnFolder,
}

impl UnpackedContext {
    /// Unpacks a tar archive, or makes an empty directory of no bytes.
    ///
    /// # Errors
    ///
    /// It is no archive, or cannot be written.
    pub fn new(engine: &Engine, reader: &mut dyn Read) -> Result<Self, Error> {
        let parent = engine.root.join(CONTEXTS);
        let folder = OwnFolder::new(&parent).map_err(|source| Error::File {
            doing: "making a folder in",
            path: parent,
            source,
        })?;
        let unpacked = Self { folder };
        let mut first = [0];
        // An archive of no bytes is none.
        let read = reader.read(&mut first).map_err(|source| Error::File {
            doing: "reading",
            path: PathBuf::from("standard input"),
            source,
        })?;
        if read > 0 {
            build::unpack_context(first.chain(reader), &unpacked.open()?)?;
        }
        Ok(unpacked)
    }

    /// Opens it.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn open(&self) -> Result<Dir, Error> {
        open_context(self.folder.path())
    }
}

/// Opens a build context.
///
/// # Errors
///
/// What the file system says, with the path.
pub fn open_context(path: &Path) -> Result<Dir, Error> {
    Dir::open_ambient_dir(path, cap_std::ambient_authority()).map_err(|source| Error::File {
        doing: CONTEXT,
        path: path.to_owned(),
        source,
    })
}
