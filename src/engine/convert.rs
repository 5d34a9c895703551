//! Images in other forms.

use std::sync::Arc;

use coracle_packager::convert::{self, Family, Losses, Program};
use coracle_packager::digest::Digest;
use coracle_packager::image::artifact;
use coracle_packager::image::{Descriptor, Document, Image, ImageIndex, Shape};
use coracle_packager::media_type::{Compression, Kind};
use coracle_packager::platform::Platform;
use coracle_packager::reference::Reference;
use coracle_packager::registry::{Pushed, TransferEvent};
use coracle_runtime::sandbox::wasm::{Interface, WasmKind, detect};
use coracle_runtime::vfs::GuestFs;
use serde_json::{Value, json};

use super::compile::read_whole;
use super::registries::runtime;
use super::run::{Found, find_program};
use super::{Engine, Error, Registries, now, spec};

/// The `os` and `architecture` of an image with files that is made of an artifact: what Docker asks for.
const WASM_OS: &str = "wasi";
const WASM_ARCHITECTURE: &str = "wasm";
/// What a Wasm artifact's config has beside an image's: it describes the artifact, and not what is made of it.
const ARTIFACT_FIELDS: [&str; 2] = ["layerDigests", "component"];

/// In which form an image is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageForm {
    /// An OCI index of images with layers of files.
    Index,
    /// One OCI image with layers of files.
    Image,
    /// Docker's schema 2: a list of an index, a manifest of an image.
    Docker,
    /// The CNCF's Wasm artifact: one module or component.
    Artifact,
    /// runwasi's image, whose layer is the program.
    ComponentLayer,
}

/// What to convert.
#[derive(Clone, Debug)]
pub struct ConvertImage {
    /// The image, as the user named it.
    pub source: String,
    /// The name of what is made.
    pub target: Reference,
    /// Its form; the one it has if not given.
    pub form: Option<ImageForm>,
    /// How its layers are compressed; as they are if not given.
    pub compression: Option<Compression>,
    /// Only the entry for this platform.
    pub platform: Option<Platform>,
    /// Convert it even if something is lost?
    pub force: bool,
}

/// An image that was converted.
#[derive(Debug)]
pub struct ConvertedImage {
    /// What the new name refers to.
    pub digest: Digest,
    /// What was lost.
    pub losses: Vec<String>,
}

impl Engine {
    /// Makes an image in another form, with a name of its own.
    ///
    /// # Errors
    ///
    /// [`Error::Lossy`] where the form cannot say what the image says; or the image cannot be read or has no such program. Then
    /// nothing is kept.
    pub fn convert(&self, request: &ConvertImage) -> Result<ConvertedImage, Error> {
        let converted = self.convert_once(request);
        // What a refused conversion has made, or an image that has lost its name to this one.
        let collected = self.collect_garbage();
        let converted = converted?;
        collected?;
        Ok(converted)
    }

    fn convert_once(&self, request: &ConvertImage) -> Result<ConvertedImage, Error> {
        let _leases = (self.store.lease()?, self.layers.lease()?);
        let found = self.find_image(&request.source)?.descriptor;
        let form = match request.form {
            Some(form) => form,
            None => self.form_of(&found)?,
        };
        if request.compression.is_some()
            && matches!(form, ImageForm::Artifact | ImageForm::ComponentLayer)
        {
            return Err(Error::NothingToCompress { form: form.name() });
        }
        let mut losses = Losses::default();
        let made = self.in_form(&found, form, request, &mut losses)?;
        let losses = accepted(&request.source, form, losses, request.force)?;
        // Packed and compiled like any that arrives; why it may not run was said when its source came.
        if let Ok(image) = self.open_image(&made, None) {
            drop(self.make_ready(&image)?);
        }
        self.store.set_name(&request.target, &made, now())?;
        Ok(ConvertedImage {
            digest: Digest::of(&made)?,
            losses,
        })
    }

    /// Returns the CNCF's artifact of an image. The caller holds leases until it has a name.
    ///
    /// # Errors
    ///
    /// As [`Engine::convert`].
    pub(super) fn as_artifact(&self, name: &str, image: &Image) -> Result<Descriptor, Error> {
        let mut losses = Losses::default();
        let made = self.of_program(image, ImageForm::Artifact, &mut losses)?;
        accepted(name, ImageForm::Artifact, losses, false)?;
        Ok(made)
    }

    /// Sends an image as the CNCF's artifact; here it stays as it is.
    ///
    /// # Errors
    ///
    /// As [`Engine::convert`] and [`Engine::push`].
    pub fn push_artifact(
        &self,
        reference: &Reference,
        registries: &Registries,
        progress: &(dyn Fn(TransferEvent) + Sync),
    ) -> Result<Pushed, Error> {
        let pushed = self.push_artifact_once(reference, registries, progress);
        let collected = self.collect_garbage();
        let pushed = pushed?;
        collected?;
        Ok(pushed)
    }

    fn push_artifact_once(
        &self,
        reference: &Reference,
        registries: &Registries,
        progress: &(dyn Fn(TransferEvent) + Sync),
    ) -> Result<Pushed, Error> {
        let _leases = (self.store.lease()?, self.layers.lease()?);
        let image = self.open_image(&self.has_image(reference)?, None)?;
        let artifact = self.as_artifact(&reference.familiar(), &image)?;
        let client = registries.client();
        Ok(runtime()?.block_on(client.push(reference, &artifact, &self.store, progress))?)
    }

    /// Tells which form an image has.
    fn form_of(&self, descriptor: &Descriptor) -> Result<ImageForm, Error> {
        let is_docker = descriptor
            .media_type()
            .as_ref()
            .starts_with("application/vnd.docker.");
        if is_docker {
            return Ok(ImageForm::Docker);
        }
        Ok(match self.store.document(descriptor)? {
            Document::Index(_) => ImageForm::Index,
            Document::Manifest(_) => match self.open_image(descriptor, None)?.shape() {
                Shape::WasmArtifact => ImageForm::Artifact,
                Shape::ComponentLayers => ImageForm::ComponentLayer,
                _ => ImageForm::Image,
            },
        })
    }

    fn in_form(
        &self,
        found: &Descriptor,
        form: ImageForm,
        request: &ConvertImage,
        losses: &mut Losses,
    ) -> Result<Descriptor, Error> {
        let family = match form {
            ImageForm::Docker => Family::Docker,
            _ => Family::Oci,
        };
        let document = self.store.document(found)?;
        if matches!(form, ImageForm::Index | ImageForm::Docker)
            && let Document::Index(index) = &document
            && request.platform.is_none()
        {
            return self.whole_index(found, index, family, request.compression, losses);
        }
        let image = self.open_image(found, request.platform.as_ref())?;
        if request.platform.is_none()
            && let Document::Index(index) = &document
        {
            let others = index.manifests().iter();
            let others = others.filter(|entry| entry.digest() != image.descriptor.digest());
            losses.add_all("the entry", others.map(platform_of));
        }
        match form {
            ImageForm::Artifact | ImageForm::ComponentLayer => {
                self.of_program(&image, form, losses)
            }
            ImageForm::Image | ImageForm::Docker => {
                let mut made = self.with_files(&image, family, request.compression, losses)?;
                // It stands alone, and says so itself.
                made.set_platform(None);
                Ok(made)
            }
            ImageForm::Index => {
                let made = self.with_files(&image, family, request.compression, losses)?;
                Ok(convert::index(&self.store, &[made], family, Value::Null)?)
            }
        }
    }

    /// Converts every entry of an index that is here.
    fn whole_index(
        &self,
        found: &Descriptor,
        index: &ImageIndex,
        family: Family,
        compression: Option<Compression>,
        losses: &mut Losses,
    ) -> Result<Descriptor, Error> {
        let mut entries = Vec::new();
        for entry in index.manifests() {
            let is_here = self.store.has_blob(&Digest::of(entry)?, entry.size())?;
            let platform = entry.platform().as_ref().map(Platform::from);
            let is_image = Kind::of(entry.media_type().as_ref()) == Kind::Manifest
                && !platform.is_some_and(|platform| platform.is_unknown());
            if !is_here {
                losses.add(format!(
                    "the entry {}, which is not here",
                    platform_of(entry)
                ));
                continue;
            }
            if !is_image {
                entries.push((entry.clone(), false));
                continue;
            }
            let image = self.open_image(entry, None)?;
            let mut made = self.with_files(&image, family, compression, losses)?;
            match family {
                Family::Oci => {
                    made.set_annotations(entry.annotations().clone());
                }
                Family::Docker => {
                    let lost = entry.annotations().iter().flatten();
                    losses.add_all("annotations", lost.map(|(key, _)| key));
                }
            }
            if let Some(platform) = entry.platform() {
                made.set_platform(Some(platform.clone()));
            }
            entries.push((made, true));
        }
        let same = index.manifests().len() == entries.len()
            && index
                .manifests()
                .iter()
                .zip(&entries)
                .all(|(old, (new, _))| old.digest() == new.digest());
        if same && matches!(family, Family::Oci) {
            return Ok(found.clone());
        }
        // What is no image tells about entries by digests that they no longer have.
        let others = entries.iter().filter(|(_, is_image)| !is_image);
        losses.add_all("the entry", others.map(|(entry, _)| platform_of(entry)));
        entries.retain(|(_, is_image)| *is_image);
        let entries: Vec<Descriptor> = entries.into_iter().map(|(entry, _)| entry).collect();
        let annotations = match family {
            Family::Oci => json!(index.annotations()),
            Family::Docker => {
                let lost = index.annotations().iter().flatten();
                losses.add_all("annotations", lost.map(|(key, _)| key));
                Value::Null
            }
        };
        Ok(convert::index(&self.store, &entries, family, annotations)?)
    }

    /// Returns an image with layers of files: of an artifact, what is made of it to be run.
    fn with_files(
        &self,
        image: &Image,
        family: Family,
        compression: Option<Compression>,
        losses: &mut Losses,
    ) -> Result<Descriptor, Error> {
        if convert::is_in(image, family, compression) {
            let mut same = image.descriptor.clone();
            same.set_platform(Some((&image.platform()).into()));
            return Ok(same);
        }
        let mut runnable = self.runnable(image)?.into_owned();
        let shape = image.shape();
        if shape != Shape::TarLayers {
            WASM_OS.clone_into(&mut runnable.config.os);
            WASM_ARCHITECTURE.clone_into(&mut runnable.config.architecture);
            for field in ARTIFACT_FIELDS {
                runnable.config.other.remove(field);
            }
        }
        if artifact::lock_file(image).is_some() {
            losses.add(
                "what its Spin lock file says beside its program and its files, such as triggers",
            );
        }
        let converted = convert::image(
            &self.store,
            &self.layers,
            &runnable,
            family,
            compression,
            losses,
        );
        Ok(converted?)
    }

    /// Returns an image whose layer is its program.
    fn of_program(
        &self,
        image: &Image,
        form: ImageForm,
        losses: &mut Losses,
    ) -> Result<Descriptor, Error> {
        let runnable = self.runnable(image)?;
        let defaults = &runnable.config.config;
        let args = spec::args(defaults, None, &[]);
        let program = args.first().ok_or_else(|| Error::NoCommand {
            image: image.config_digest.to_string(),
        })?;
        let (env, cwd) = (spec::env(defaults, &[]), spec::cwd(defaults, None));
        let fs = GuestFs::builder(Arc::new(self.open_lower(image)?)).build()?;
        let found = find_program(&fs, program, &env, &cwd)?;
        let bytes = read_whole(&found)?;
        let interface = match detect(&bytes) {
            Some(WasmKind::Component) => {
                let interface = Interface::of(&bytes);
                Some(convert::Interface {
                    exports: interface.exports,
                    imports: interface.imports,
                })
            }
            Some(WasmKind::Module) => None,
            None => {
                return Err(Error::ProgramNotRunnable {
                    program: found.path,
                    problem: "is not a WebAssembly module or component".to_owned(),
                });
            }
        };
        losses.add_all("the file", self.other_files(&runnable, &found)?);
        let (digest, size) = self.store.put_blob(&bytes)?;
        let program = Program {
            digest,
            size,
            path: found.path,
            interface,
        };
        Ok(match form {
            ImageForm::ComponentLayer => {
                convert::component_layer(&self.store, &runnable, &program)?
            }
            _ => convert::artifact(&self.store, &runnable, &program, losses)?,
        })
    }

    /// Lists the files of an image beside its program.
    fn other_files(&self, runnable: &Image, program: &Found) -> Result<Vec<String>, Error> {
        use coracle_packager::layer::NodeKind;
        let damaged = |error| {
            Error::Layer(coracle_packager::layer::LayerError::Merge {
                chain_id: coracle_packager::layer::chain_id(&runnable.config.rootfs.diff_ids),
                source: error,
            })
        };
        let index = self.rootfs(runnable)?.read_index()?;
        let mut others = Vec::new();
        for number in 0..index.node_count() {
            let node = index.node(number).map_err(damaged)?;
            let is_program = node.sha256.is_some() && node.sha256 == program.sha256;
            if node.kind == NodeKind::Directory || is_program {
                continue;
            }
            let mut path = String::from_utf8_lossy(node.name).into_owned();
            let mut above = index.parent(number).map_err(damaged)?;
            while above != index.root() {
                let name = index.node(above).map_err(damaged)?.name;
                path = format!("{}/{path}", String::from_utf8_lossy(name));
                above = index.parent(above).map_err(damaged)?;
            }
            others.push(format!("/{path}"));
        }
        Ok(others)
    }
}

/// Refuses a loss that nobody has accepted.
fn accepted(
    image: &str,
    form: ImageForm,
    losses: Losses,
    force: bool,
) -> Result<Vec<String>, Error> {
    let losses = losses.into_lines();
    if losses.is_empty() || force {
        return Ok(losses);
    }
    Err(Error::Lossy {
        image: image.to_owned(),
        form: form.name(),
        losses,
    })
}

fn platform_of(entry: &Descriptor) -> String {
    match entry.platform() {
        Some(platform) => Platform::from(platform).to_string(),
        None => entry.digest().to_string(),
    }
}

impl ImageForm {
    /// Returns its name, for messages.
    fn name(self) -> &'static str {
        match self {
            Self::Index => "an OCI index",
            Self::Image => "an OCI image",
            Self::Docker => "Docker's schema 2",
            Self::Artifact => "a Wasm artifact",
            Self::ComponentLayer => "an image with its program as a layer",
        }
    }
}
