//! Images whose program is a layer by itself.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;

use super::Losses;
use super::error::ConvertError;
use crate::digest::Digest;
use crate::image::{
    ContainerConfig, Descriptor, Document, Image, ImageConfig, RootFs, canonical_json, descriptor,
};
use crate::media_type::{OCI_CONFIG, OCI_MANIFEST, WASM, WASM_COMPONENT_LAYER, WASM_CONFIG_V0};
use crate::store::Store;

/// The `os` of a module's config, of a component's, and the `architecture` of both.
const MODULE_OS: &str = "wasip1";
const COMPONENT_OS: &str = "wasip2";
const ARCHITECTURE: &str = "wasm";
/// Labels that OCI has annotations for.
const OCI_KEYS: &str = "org.opencontainers.image.";
/// The file's name, for tools that write layers to files.
const TITLE: &str = "org.opencontainers.image.title";
/// What runwasi's tools write, so that images with one config and different programs have different IDs.
const RUNWASI_LABEL: &str = "containerd.runwasi.layers";
/// The variable that every image built from scratch has, which says nothing.
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The time of an artifact whose image says none: readers want one.
const NO_TIME: &str = "1970-01-01T00:00:00Z";

/// A program that is in the store as a blob.
#[derive(Clone, Debug)]
pub struct Program {
    /// The blob.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Its guest path in the image that it comes from.
    pub path: String,
    /// What it imports and exports, if it is a component; a module's is not described.
    pub interface: Option<Interface>,
}

/// The names of what a component imports and exports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// Exports, in the component's order.
    pub exports: Vec<String>,
    /// Imports, in the component's order.
    pub imports: Vec<String>,
}

/// Writes the CNCF's Wasm artifact of an image's program: <https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/>.
///
/// It has no place for what a container is started with, which is a loss where the image says any of it.
///
/// # Errors
///
/// The store cannot be written.
pub fn artifact(
    store: &Store,
    image: &Image,
    program: &Program,
    losses: &mut Losses,
) -> Result<Descriptor, ConvertError> {
    let defaults = &image.config.config;
    lost_defaults(defaults, losses);
    let mut config = json!({
        "created": image.config.created.as_deref().unwrap_or(NO_TIME),
        "architecture": ARCHITECTURE,
        "os": os(program),
        "layerDigests": [program.digest],
    });
    if let Some(author) = &image.config.author {
        config["author"] = json!(author);
    }
    if let Some(interface) = &program.interface {
        config["component"] = json!(interface);
    }
    let (digest, size) = store.put_blob(&canonical_json(&config))?;
    let config = descriptor(WASM_CONFIG_V0, &digest, size);
    manifest(store, image, &config, &layer(program, WASM))
}

/// Writes an image whose layer is the program itself, as runwasi's tools do. All that its config says of a container stays.
///
/// # Errors
///
/// The store cannot be written.
pub fn component_layer(
    store: &Store,
    image: &Image,
    program: &Program,
) -> Result<Descriptor, ConvertError> {
    let mut defaults = image.config.config.clone();
    let rest = |list: Option<Vec<String>>| list.into_iter().flatten().skip(1);
    let path = program.path.clone();
    if defaults
        .entrypoint
        .as_ref()
        .is_some_and(|list| !list.is_empty())
    {
        let more = rest(defaults.entrypoint.take());
        defaults.entrypoint = Some([path].into_iter().chain(more).collect());
    } else {
        // runwasi knows no CMD in place of an entrypoint.
        defaults.cmd = Some(rest(defaults.cmd.take()).collect());
        defaults.entrypoint = Some(vec![path]);
    }
    let unique = Digest::sha256_of(program.digest.to_string().as_bytes());
    defaults
        .labels
        .insert(RUNWASI_LABEL.to_owned(), unique.hex().to_owned());
    let config = ImageConfig {
        created: image.config.created.clone(),
        author: image.config.author.clone(),
        architecture: ARCHITECTURE.to_owned(),
        os: MODULE_OS.to_owned(),
        config: defaults,
        rootfs: RootFs::default(),
        ..ImageConfig::default()
    };
    let (digest, size) = store.put_blob(&canonical_json(&config))?;
    let config = descriptor(OCI_CONFIG, &digest, size);
    let media_type = match program.interface {
        Some(_) => WASM_COMPONENT_LAYER,
        None => WASM,
    };
    manifest(store, image, &config, &layer(program, media_type))
}

fn os(program: &Program) -> &'static str {
    match program.interface {
        Some(_) => COMPONENT_OS,
        None => MODULE_OS,
    }
}

fn layer(program: &Program, media_type: &str) -> Descriptor {
    let mut layer = descriptor(media_type, &program.digest, program.size);
    let name = program.path.rsplit('/').next().unwrap_or_default();
    layer.set_annotations(Some([(TITLE.to_owned(), name.to_owned())].into()));
    layer
}

fn manifest(
    store: &Store,
    image: &Image,
    config: &Descriptor,
    layer: &Descriptor,
) -> Result<Descriptor, ConvertError> {
    let labels = image.config.config.labels.iter();
    let mut annotations: BTreeMap<&str, &str> = labels
        .filter(|(key, _)| key.starts_with(OCI_KEYS))
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    let own = image.manifest.annotations().iter().flatten();
    annotations.extend(own.map(|(key, value)| (key.as_str(), value.as_str())));
    let mut manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer],
    });
    if !annotations.is_empty() {
        manifest["annotations"] = json!(annotations);
    }
    let manifest = canonical_json(&manifest);
    Document::parse(&manifest, OCI_MANIFEST)?;
    let (digest, size) = store.put_blob(&manifest)?;
    Ok(descriptor(OCI_MANIFEST, &digest, size))
}

/// Names what an image says of its containers and an artifact cannot, in the words of a Dockerfile.
fn lost_defaults(defaults: &ContainerConfig, losses: &mut Losses) {
    let names = |list: &Option<Vec<String>>| -> Vec<String> {
        let pairs = list.iter().flatten();
        pairs
            .filter(|pair| *pair != DEFAULT_PATH)
            .map(|pair| pair.split('=').next().unwrap_or_default().to_owned())
            .collect()
    };
    let program_first = |list: &Option<Vec<String>>, skip| -> Vec<String> {
        list.iter().flatten().skip(skip).cloned().collect()
    };
    losses.add_all("ENV", names(&defaults.env));
    let has_entrypoint = defaults
        .entrypoint
        .as_ref()
        .is_some_and(|list| !list.is_empty());
    losses.add_all(
        "ENTRYPOINT arguments",
        program_first(&defaults.entrypoint, 1),
    );
    losses.add_all(
        "CMD",
        program_first(&defaults.cmd, usize::from(!has_entrypoint)),
    );
    losses.add_all("USER", defaults.user.iter().filter(|user| !user.is_empty()));
    let directory = defaults.working_dir.iter();
    losses.add_all(
        "WORKDIR",
        directory.filter(|path| !matches!(path.as_str(), "" | "/")),
    );
    losses.add_all("EXPOSE", defaults.exposed_ports.keys());
    losses.add_all("VOLUME", defaults.volumes.keys());
    let labels = defaults.labels.keys();
    let kept = |key: &&String| key.starts_with(OCI_KEYS) || *key == RUNWASI_LABEL;
    losses.add_all("LABEL", labels.filter(|key| !kept(key)));
    losses.add_all("STOPSIGNAL", &defaults.stop_signal);
    let health = defaults.healthcheck.as_ref().map(|_| "command");
    losses.add_all("HEALTHCHECK", health);
    losses.add_all("ONBUILD", defaults.on_build.iter().flatten());
    losses.add_all("SHELL", defaults.shell.iter().flatten().take(1));
}
