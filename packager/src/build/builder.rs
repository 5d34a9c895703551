//! Walks a plan and yields an image.

use serde_json::json;

use super::context::Context;
use super::copy::{self, Entries};
use super::error::BaseError;
use super::plan::{Action, BaseName, DEFAULT_PATH, Options, Plan, Planner, Start, Step, set_env};
use super::plan::{Base, CopyAction};
use super::tree::Tree;
use super::{BaseImages, BuildError, BuildEvent, BuildRequest, Built, containerfile, date, write};
use crate::digest::Digest;
use crate::image::{
    ContainerConfig, Descriptor, Document, Empty, History, Image, ImageConfig, ImageError, Limits,
    MediaType, RootFs, canonical_json, descriptor,
};
use crate::layer::LayerStore;
use crate::media_type::{
    Compression, Distribution, Kind, OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD, OCI_MANIFEST,
};
use crate::platform::Platform;
use crate::store::Store;

/// An image that grows.
struct Builder<'a> {
    store: &'a Store,
    layer_store: &'a LayerStore,
    context: Context<'a>,
    source_date: i64,
    /// The same, as config and history state it.
    created: String,
    progress: &'a dyn Fn(BuildEvent),
    config: ImageConfig,
    layers: Vec<Descriptor>,
    tree: Tree,
    /// Has a CMD been seen, so that ENTRYPOINT does not take the base image's away?
    own_cmd: bool,
    warnings: Vec<String>,
}

/// See [`super::build`].
pub(super) fn run(
    request: &BuildRequest,
    store: &Store,
    layer_store: &LayerStore,
    bases: &dyn BaseImages,
    progress: &dyn Fn(BuildEvent),
) -> Result<Built, BuildError> {
    let created = date::rfc3339(request.source_date).ok_or(BuildError::SourceDate {
        got: request.source_date,
    })?;
    check_names("build argument", &request.args)?;
    check_names("label", &request.labels)?;
    let file = containerfile::parse(&request.dockerfile_name, &request.dockerfile)?;
    let host = Platform::host();
    let planner = Planner::new(
        &file,
        Options {
            args: &request.args,
            target: request.target.as_deref(),
            platform: &request.platform,
            build_platform: &host,
        },
    )?;
    let base = planner.base()?;
    let context = Context::open(&request.context, &request.dockerfile_name)?;

    // From here on blobs are written or relied on.
    let _lease = store.lease()?;
    let total = file.instructions.len() + 1;
    progress(BuildEvent::Step {
        number: 1,
        total,
        text: from_text(&base),
    });
    let mut builder = Builder {
        store,
        layer_store,
        context,
        source_date: request.source_date,
        created,
        progress,
        config: ImageConfig::default(),
        layers: Vec::new(),
        tree: Tree::default(),
        own_cmd: false,
        warnings: Vec::new(),
    };
    builder.start(&base, bases)?;
    let Plan { steps, unused_args } = planner.steps(builder.inherited(), &base.platform)?;
    for (index, step) in steps.into_iter().enumerate() {
        progress(BuildEvent::Step {
            number: index + 2,
            total,
            text: step.text.clone(),
        });
        builder.step(step)?;
    }
    for name in unused_args {
        let warning = format!("build argument `{name}` is not used: no ARG names it");
        builder.warnings.push(warning);
    }
    for (name, value) in &request.labels {
        let labels = &mut builder.config.config.labels;
        labels.insert(name.clone(), value.clone());
    }
    builder.finish(&base.platform)
}

fn check_names(what: &'static str, pairs: &[(String, String)]) -> Result<(), BuildError> {
    for (name, value) in pairs {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            let name = name.clone();
            return Err(BuildError::Argument { what, name });
        }
    }
    Ok(())
}

fn from_text(base: &Base) -> String {
    match &base.name {
        BaseName::Scratch => "FROM scratch".to_owned(),
        BaseName::Image(reference) => format!("FROM {}", reference.familiar()),
    }
}

impl Builder<'_> {
    fn start(&mut self, base: &Base, bases: &dyn BaseImages) -> Result<(), BuildError> {
        match &base.name {
            BaseName::Scratch => {
                self.config.config = ContainerConfig {
                    env: Some(vec![DEFAULT_PATH.to_owned()]),
                    working_dir: Some("/".to_owned()),
                    ..ContainerConfig::default()
                };
            }
            BaseName::Image(reference) => {
                let inherited = bases
                    .fetch(reference, &base.platform)
                    .map_err(BaseError::Fetch)
                    .and_then(|image| self.inherit(&image, &base.platform).map(|()| image));
                let image = inherited.map_err(|source| BuildError::Base {
                    at: base.at.clone(),
                    name: reference.familiar(),
                    source,
                })?;
                let rootfs = self.layer_store.prepare(self.store, &image)?;
                self.tree = Tree::new(Some(rootfs.read_index()?));
            }
        }
        let platform = &base.platform;
        self.config.os = platform.os().to_owned();
        self.config.architecture = platform.architecture().to_owned();
        self.config.variant = platform.variant().map(str::to_owned);
        Ok(())
    }

    /// Takes over config and layers of a base image that is for this platform.
    fn inherit(&mut self, image: &Image, platform: &Platform) -> Result<(), BaseError> {
        let layers = image
            .tar_layers()
            .map_err(|source| BaseError::Image(Box::new(source)))?;
        if !image.platform().satisfies(platform) {
            return Err(BaseError::Platform {
                got: image.platform().to_string(),
                want: platform.to_string(),
            });
        }
        if let Some(trigger) = image.config.config.on_build.iter().flatten().next() {
            let trigger = crate::digest::shown(trigger);
            return Err(BaseError::OnBuild { trigger });
        }
        for (index, layer) in layers.iter().enumerate() {
            let mut descriptor = layer.descriptor.clone();
            let media_type = oci_layer(&descriptor).ok_or(BaseError::Restricted { index })?;
            descriptor.set_media_type(MediaType::from(media_type));
            self.layers.push(descriptor);
        }
        self.config = image.config.clone();
        self.config.config.on_build = None;
        // Other tools count one entry per layer.
        let entries = self
            .config
            .history
            .iter()
            .filter(|h| !h.empty_layer)
            .count();
        let missing = self.layers.len().saturating_sub(entries);
        let unknown = std::iter::repeat_n(History::default(), missing);
        self.config.history.splice(0..0, unknown);
        Ok(())
    }

    /// What the instructions find in the base image's config.
    fn inherited(&self) -> Start {
        let config = &self.config.config;
        Start {
            env: config.env.clone().unwrap_or_default(),
            working_dir: config.working_dir.clone().unwrap_or_default(),
            shell: config.shell.clone().filter(|shell| !shell.is_empty()),
        }
    }

    fn step(&mut self, step: Step) -> Result<(), BuildError> {
        let config = &mut self.config.config;
        let mut entries = Entries::new();
        match &step.action {
            Action::Arg => {}
            Action::Cmd(args) => {
                config.cmd = Some(args.clone());
                self.own_cmd = true;
            }
            Action::Copy(action) => entries = self.copy(&step, action)?,
            Action::Entrypoint(args) => {
                config.entrypoint.clone_from(args);
                if !self.own_cmd {
                    config.cmd = None;
                }
            }
            Action::Env(pairs) => {
                let env = config.env.get_or_insert_default();
                for (name, value) in pairs {
                    set_env(env, name, value);
                }
            }
            Action::Expose(ports) => {
                let ports = ports.iter().map(|port| (port.clone(), Empty {}));
                config.exposed_ports.extend(ports);
            }
            Action::Label(pairs) => config.labels.extend(pairs.iter().cloned()),
            Action::User(user) => config.user = Some(user.clone()),
            Action::Volume(paths) => {
                let paths = paths.iter().map(|path| (path.clone(), Empty {}));
                config.volumes.extend(paths);
            }
            Action::Workdir(path) => {
                config.working_dir = Some(path.clone());
                entries = copy::make_directory(path, &mut self.tree)
                    .map_err(|source| failed(&step, source))?;
            }
        }
        let empty_layer = entries.is_empty();
        if !empty_layer {
            self.add_layer(&step, &entries)?;
        }
        self.config.history.push(History {
            created: Some(self.created.clone()),
            created_by: Some(step.text),
            empty_layer,
            ..History::default()
        });
        Ok(())
    }

    fn copy(&mut self, step: &Step, action: &CopyAction) -> Result<Entries, BuildError> {
        let planned = copy::plan(action, &self.context, &mut self.tree)
            .map_err(|source| failed(step, source))?;
        Ok(planned.unwrap_or_else(|| {
            // Docker says nothing. It is hardly ever meant.
            let warning = format!(
                "{}: `{}` copies nothing: nothing matches",
                step.at, step.text
            );
            self.warnings.push(warning);
            Entries::new()
        }))
    }

    fn add_layer(&mut self, step: &Step, entries: &Entries) -> Result<(), BuildError> {
        if self.layers.len() >= Limits::LAYERS {
            return Err(BuildError::TooManyLayers {
                at: step.at.clone(),
                limit: Limits::LAYERS,
            });
        }
        let layer = write::layer(
            step,
            entries,
            &self.context,
            self.source_date,
            self.store,
            self.layer_store,
        )?;
        (self.progress)(BuildEvent::Layer {
            digest: Digest::of(&layer.descriptor).map_err(|source| ImageError::Digest {
                what: "the layer".to_owned(),
                source,
            })?,
            size: layer.descriptor.size(),
        });
        self.config.rootfs.diff_ids.push(layer.diff_id);
        self.layers.push(layer.descriptor);
        Ok(())
    }

    /// Writes config, manifest and index, and prepares the image to be run.
    fn finish(mut self, platform: &Platform) -> Result<Built, BuildError> {
        self.config.created = Some(self.created);
        self.config.rootfs = RootFs::layers(self.config.rootfs.diff_ids);
        let config = canonical_json(&self.config);
        // Refuses a config that no store would read again.
        ImageConfig::parse(&config)?;
        let config_descriptor = put(self.store, OCI_CONFIG, &config)?;
        let manifest = canonical_json(&json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": config_descriptor,
            "layers": self.layers,
        }));
        let Document::Manifest(parsed) = Document::parse(&manifest, OCI_MANIFEST)? else {
            return Err(BuildError::Image(ImageError::Ambiguous));
        };
        let mut manifest_descriptor = put(self.store, OCI_MANIFEST, &manifest)?;
        let image = Image::new(manifest_descriptor.clone(), parsed, &config)?;
        manifest_descriptor.set_platform(Some(platform.into()));
        let index = canonical_json(&json!({
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [manifest_descriptor],
        }));
        let descriptor = put(self.store, OCI_INDEX, &index)?;
        self.layer_store.prepare(self.store, &image)?;
        Ok(Built {
            descriptor,
            image,
            warnings: self.warnings,
        })
    }
}

fn failed(step: &Step, source: copy::CopyError) -> BuildError {
    BuildError::Step {
        at: step.at.clone(),
        step: step.text.clone(),
        source: Box::new(source),
    }
}

fn put(store: &Store, media_type: &str, bytes: &[u8]) -> Result<Descriptor, BuildError> {
    let (digest, size) = store.put_blob(bytes)?;
    Ok(descriptor(media_type, &digest, size))
}

/// OCI's name for the media type of a layer: an OCI manifest must not hold Docker's. `None` if it may not be copied.
pub(super) fn oci_layer(descriptor: &Descriptor) -> Option<&'static str> {
    match Kind::of(descriptor.media_type().as_ref()) {
        Kind::TarLayer(compression, Distribution::Free) => Some(match compression {
            Compression::None => OCI_LAYER,
            Compression::Gzip => OCI_LAYER_GZIP,
            Compression::Zstd => OCI_LAYER_ZSTD,
        }),
        _ => None,
    }
}
