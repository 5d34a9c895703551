//! Conversions, there and back.

use serde_json::json;

use super::*;
use crate::digest::Digest;
use crate::image::{Descriptor, Image, canonical_json, descriptor};
use crate::layer::{Attributes, LayerStore, LayerWriter};
use crate::media_type::{self as mt, Compression};
use crate::platform::Platform;
use crate::store::Store;

struct World {
    store: Store,
    layers: LayerStore,
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self {
            store: Store::open(&folder.path().join("store")).expect("a store"),
            layers: LayerStore::open(&folder.path().join("layers")).expect("layers"),
            _folder: folder,
        }
    }

    fn put(&self, media_type: &str, bytes: &[u8]) -> Descriptor {
        let (digest, size) = self.store.put_blob(bytes).expect("a blob");
        descriptor(media_type, &digest, size)
    }

    /// An image of two layers, with annotations.
    fn image(&self) -> Image {
        let mut layers = Vec::new();
        let mut diff_ids = Vec::new();
        for content in ["one", "two"] {
            let mut writer = LayerWriter::new();
            let attributes = Attributes::default();
            let path = format!("/{content}");
            writer
                .add_bytes(
                    path.as_bytes(),
                    &attributes,
                    &content.repeat(1000).into_bytes(),
                )
                .expect("an entry");
            let written = writer.finish(&self.layers, &self.store).expect("a layer");
            layers.push(written.descriptor);
            diff_ids.push(written.diff_id);
        }
        let config = canonical_json(&json!({
            "os": "wasi", "architecture": "wasm", "created": "2020-01-01T00:00:00Z",
            "config": {"Entrypoint": ["/one", "x"], "Env": ["A=1", "B=2"], "Labels": {"l": "1", "org.opencontainers.image.title": "t"}},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }));
        let manifest = canonical_json(&json!({
            "schemaVersion": 2, "mediaType": mt::OCI_MANIFEST, "annotations": {"a": "b"},
            "config": self.put(mt::OCI_CONFIG, &config), "layers": layers,
        }));
        self.open(&self.put(mt::OCI_MANIFEST, &manifest))
    }

    fn open(&self, descriptor: &Descriptor) -> Image {
        let host = Platform::new("linux", "amd64", None);
        self.store.image(descriptor, None, &host).expect("an image")
    }

    fn convert(
        &self,
        image: &Image,
        family: Family,
        wanted: Option<Compression>,
    ) -> (Image, Vec<String>) {
        let mut losses = Losses::default();
        let made = super::image(
            &self.store,
            &self.layers,
            image,
            family,
            wanted,
            &mut losses,
        );
        (self.open(&made.expect("converted")), losses.into_lines())
    }
}

fn types(image: &Image) -> Vec<String> {
    let layers = image.manifest.layers().iter();
    layers.map(|layer| layer.media_type().to_string()).collect()
}

#[test]
fn oci_to_docker_and_back() {
    let world = World::new();
    let oci = world.image();
    assert!(is_in(&oci, Family::Oci, None) && is_in(&oci, Family::Oci, Some(Compression::Gzip)));
    assert!(
        !is_in(&oci, Family::Oci, Some(Compression::Zstd)) && !is_in(&oci, Family::Docker, None)
    );
    let (docker, losses) = world.convert(&oci, Family::Docker, None);
    assert_eq!(losses, ["annotations a"]);
    assert_eq!(docker.descriptor.media_type().as_ref(), mt::DOCKER_MANIFEST);
    assert_eq!(
        docker.manifest.config().media_type().as_ref(),
        mt::DOCKER_CONFIG
    );
    assert_eq!(types(&docker), [mt::DOCKER_LAYER_GZIP; 2]);
    assert_eq!(
        docker.config_digest, oci.config_digest,
        "the image ID stays"
    );
    assert!(is_in(&docker, Family::Docker, None));
    let (back, losses) = world.convert(&docker, Family::Oci, None);
    assert_eq!(losses, Vec::<String>::new());
    assert_eq!(back.manifest.layers(), oci.manifest.layers());
    assert!(back.manifest.annotations().is_none());
}

#[test]
fn each_compression_holds_the_same_layers() {
    let world = World::new();
    let image = world.image();
    for (wanted, media_type) in [
        (Compression::Zstd, mt::OCI_LAYER_ZSTD),
        (Compression::None, mt::OCI_LAYER),
        (Compression::Gzip, mt::OCI_LAYER_GZIP),
    ] {
        let (made, losses) = world.convert(&image, Family::Oci, Some(wanted));
        assert_eq!(losses, Vec::<String>::new());
        assert_eq!(types(&made), [media_type; 2]);
        assert_eq!(made.config_digest, image.config_digest);
        // Packed anew from the new blobs, which must be what the config says.
        let folder = tempfile::tempdir().expect("a folder");
        let layers = LayerStore::open(folder.path()).expect("layers");
        layers.prepare(&world.store, &made).expect("packed");
        let (again, _) = world.convert(&made, Family::Oci, Some(wanted));
        assert_eq!(again.descriptor.digest(), made.descriptor.digest());
    }
}

#[test]
fn a_damaged_packed_layer_is_not_passed_on() {
    let world = World::new();
    let image = world.image();
    let rootfs = world.layers.prepare(&world.store, &image).expect("packed");
    let mut bytes = std::fs::read(&rootfs.layers[1]).expect("a tar");
    bytes[600] ^= 1;
    std::fs::write(&rootfs.layers[1], bytes).expect("damage");
    let made = super::image(
        &world.store,
        &world.layers,
        &image,
        Family::Oci,
        Some(Compression::Zstd),
        &mut Losses::default(),
    );
    assert!(
        matches!(made, Err(ConvertError::Damaged { .. })),
        "{made:?}"
    );
}

#[test]
fn layers_that_are_elsewhere_stay_there() {
    let world = World::new();
    let image = world.image();
    let foreign = |media_type: &str| {
        let mut manifest = image.manifest.clone();
        let mut layers = manifest.layers().clone();
        layers[0].set_media_type(media_type.into());
        layers[0].set_urls(Some(vec!["https://example/layer".to_owned()]));
        manifest.set_layers(layers);
        world.open(&world.put(mt::OCI_MANIFEST, &canonical_json(&manifest)))
    };
    let gzip = foreign(mt::OCI_FOREIGN_LAYER_GZIP);
    let (docker, _) = world.convert(&gzip, Family::Docker, Some(Compression::Zstd));
    assert_eq!(
        types(&docker),
        [mt::DOCKER_FOREIGN_LAYER_GZIP, mt::DOCKER_LAYER_ZSTD]
    );
    let layer = &docker.manifest.layers()[0];
    assert_eq!(layer.digest(), image.manifest.layers()[0].digest());
    assert_eq!(
        layer.urls().as_deref(),
        Some(&["https://example/layer".to_owned()][..])
    );
    // Its content is gzip whatever is said; a name for another compression that Docker lacks is refused before that is seen.
    let error = layers::layer(
        &world.store,
        &foreign(mt::OCI_FOREIGN_LAYER_ZSTD)
            .tar_layers()
            .expect("layers")[0],
        std::path::Path::new("unused"),
        Family::Docker,
        None,
        &mut Losses::default(),
    );
    assert!(
        matches!(error, Err(ConvertError::NoDockerType { .. })),
        "{error:?}"
    );
}

#[test]
fn an_artifact_says_what_it_is_and_what_is_lost() {
    let world = World::new();
    let image = world.image();
    let wasm = b"\0asm\x0d\0\x01\0";
    let (digest, size) = world.store.put_blob(wasm).expect("a blob");
    let mut program = Program {
        digest: digest.clone(),
        size,
        path: "/one".to_owned(),
        interface: Some(Interface {
            exports: vec!["wasi:cli/run@0.2.0".to_owned()],
            imports: vec!["wasi:io/streams@0.2.0".to_owned()],
        }),
    };
    let mut losses = Losses::default();
    let made = artifact(&world.store, &image, &program, &mut losses).expect("an artifact");
    assert_eq!(
        losses.into_lines(),
        ["ENV A, B", "ENTRYPOINT arguments x", "LABEL l"]
    );
    let made = world.open(&made);
    let config = Digest::of(made.manifest.config()).expect("a digest");
    let config = world.store.read_blob(&config, 10_000).expect("a config");
    let config: serde_json::Value = serde_json::from_slice(&config).expect("JSON");
    assert_eq!(
        config,
        json!({
            "created": "2020-01-01T00:00:00Z", "architecture": "wasm", "os": "wasip2", "layerDigests": [digest],
            "component": {"exports": ["wasi:cli/run@0.2.0"], "imports": ["wasi:io/streams@0.2.0"]},
        })
    );
    assert_eq!(
        made.manifest.config().media_type().as_ref(),
        mt::WASM_CONFIG_V0
    );
    assert_eq!(types(&made), [mt::WASM]);
    let annotations = made.manifest.annotations().clone().expect("annotations");
    assert_eq!(annotations["a"], "b");
    assert_eq!(annotations["org.opencontainers.image.title"], "t");

    program.interface = None;
    let module = artifact(&world.store, &image, &program, &mut Losses::default());
    assert_eq!(
        world.open(&module.expect("an artifact")).config.os,
        "wasip1"
    );
    let module = component_layer(&world.store, &image, &program).expect("an image");
    let module = world.open(&module);
    assert_eq!(types(&module), [mt::WASM]);
    assert_eq!(
        module.config.config.entrypoint,
        image.config.config.entrypoint
    );
    assert_eq!(module.config.config.env, image.config.config.env);
    assert_eq!(module.shape(), crate::image::Shape::ComponentLayers);
}
