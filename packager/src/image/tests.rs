use super::*;
use crate::media_type as mt;

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn blob(media_type: &str, size: u64) -> Descriptor {
    let digest = Digest::parse(&format!("sha256:{HEX}")).expect("a digest");
    descriptor(media_type, &digest, size)
}

fn manifest(config: &str, layers: &[&str]) -> ImageManifest {
    let layers: Vec<Descriptor> = layers.iter().map(|layer| blob(layer, 5)).collect();
    let text = canonical_json(&serde_json::json!({
        "schemaVersion": 2, "mediaType": mt::OCI_MANIFEST, "config": blob(config, 7), "layers": layers,
    }));
    match Document::parse(&text, mt::OCI_MANIFEST) {
        Ok(Document::Manifest(manifest)) => manifest,
        other => panic!("{other:?}"),
    }
}

fn image(config_type: &str, layers: &[&str], config: &str) -> Result<Image, ImageError> {
    Image::new(
        blob(mt::OCI_MANIFEST, 11),
        manifest(config_type, layers),
        config.as_bytes(),
    )
}

/// A config of Docker's, with fields that OCI does not know, and `null` as Go writes it.
const DOCKER: &str = r#"{
    "architecture": "amd64", "os": "linux", "os.version": "10", "docker_version": "20.10",
    "container_config": {"Cmd": ["/bin/sh"]},
    "config": {
        "Hostname": "", "User": "app", "Env": ["PATH=/bin"], "Cmd": null, "Entrypoint": ["/app"],
        "ExposedPorts": {"80/tcp": {}}, "Volumes": null, "WorkingDir": "/", "Labels": null,
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 30000000000, "StartPeriod": 5},
        "OnBuild": ["RUN true"], "Shell": ["/bin/sh", "-c"], "StopSignal": "SIGINT", "StopTimeout": 3
    },
    "rootfs": {"type": "layers", "diff_ids": null},
    "history": [{"created_by": "ENV", "empty_layer": true}]
}"#;

#[test]
fn what_go_writes_for_nothing_is_read() {
    let config =
        br#"{"config":{"ExposedPorts":{"80/tcp":null,"81/tcp":{}},"Volumes":{"/v":null}}}"#;
    let config = ImageConfig::parse(config).expect("a config").config;
    assert_eq!(config.exposed_ports.len(), 2);
    assert!(config.volumes.contains_key("/v"));
    let text = format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"{}","digest":"sha256:{HEX}","size":2}},"layers":null}}"#,
        mt::OCI_CONFIG
    );
    match Document::parse(text.as_bytes(), mt::OCI_MANIFEST) {
        Ok(Document::Manifest(manifest)) => assert!(manifest.layers().is_empty()),
        other => panic!("{other:?}"),
    }
    let index = Document::parse(br#"{"schemaVersion":2,"manifests":null}"#, mt::OCI_INDEX);
    assert!(matches!(index, Ok(Document::Index(_))), "{index:?}");
}

#[test]
fn docker_config_survives() {
    let config = ImageConfig::parse(DOCKER.as_bytes()).expect("a config");
    assert_eq!(config.config.user.as_deref(), Some("app"));
    assert_eq!(config.config.cmd, None);
    assert!(config.config.volumes.is_empty());
    assert!(config.rootfs.diff_ids.is_empty());
    let again = canonical_json(&config);
    assert_eq!(ImageConfig::parse(&again).expect("a config"), config);
    let value: serde_json::Value = serde_json::from_slice(&again).expect("JSON");
    for (pointer, wanted) in [
        ("/os.version", "\"10\""),
        ("/docker_version", "\"20.10\""),
        ("/container_config/Cmd/0", "\"/bin/sh\""),
        ("/config/Hostname", "\"\""),
        ("/config/Healthcheck/Interval", "30000000000"),
        ("/config/Healthcheck/StartPeriod", "5"),
        ("/config/OnBuild/0", "\"RUN true\""),
        ("/config/Shell/1", "\"-c\""),
        ("/config/StopTimeout", "3"),
        ("/config/ExposedPorts", "{\"80/tcp\":{}}"),
        ("/rootfs", "{\"diff_ids\":[],\"type\":\"layers\"}"),
        ("/history/0/empty_layer", "true"),
    ] {
        let found = value.pointer(pointer).map(ToString::to_string);
        assert_eq!(found.as_deref(), Some(wanted), "{pointer}");
    }
}

#[test]
fn oci_maps_are_written_in_one_order() {
    let text = |round: u32| {
        let mut layer = blob(mt::OCI_LAYER, 5);
        let names = (0..20).map(|n| ((n + round) % 20, "x".to_owned()));
        layer.set_annotations(Some(names.map(|(n, x)| (format!("a{n}"), x)).collect()));
        let mut whole = manifest(mt::OCI_CONFIG, &[]);
        whole.set_layers(vec![layer]);
        canonical_json(&whole)
    };
    let first = text(0);
    assert!((1..40).all(|round| text(round) == first));
}

#[test]
fn shapes() {
    let wasm = r#"{"architecture":"wasm","os":"wasip2","layerDigests":["sha256:00"],"component":{"exports":[]}}"#;
    let spin = r#"{"architecture":"wasm","os":"Wasip1","config":{"Labels":{"com.fermyon.spin.lockedAppDigest":"x"}}}"#;
    for (config_type, layers, config, shape) in [
        (mt::OCI_CONFIG, &[][..], DOCKER, Shape::TarLayers),
        (mt::DOCKER_CONFIG, &[], DOCKER, Shape::TarLayers),
        (
            mt::OCI_CONFIG,
            &[mt::WASM_COMPONENT_LAYER],
            DOCKER,
            Shape::ComponentLayers,
        ),
        (
            mt::OCI_CONFIG,
            &[mt::OCI_LAYER, mt::WASM],
            DOCKER,
            Shape::ComponentLayers,
        ),
        (mt::WASM_CONFIG_V0, &[mt::WASM], wasm, Shape::WasmArtifact),
        (
            mt::OCI_CONFIG,
            &[mt::WASM_CONTENT_LAYER],
            spin,
            Shape::SpinApplication,
        ),
        (
            mt::OCI_CONFIG,
            &[mt::WASM_CONTENT_LAYER, mt::SPIN_APPLICATION],
            DOCKER,
            Shape::SpinApplication,
        ),
        (
            mt::WASM_CONFIG_V1,
            &[mt::WASM_CONTENT_LAYER],
            "[]",
            Shape::OldWasmArtifact,
        ),
        (
            mt::WASM_MODULE_CONFIG,
            &[mt::WASM_MODULE_CONTENT_LAYER],
            "",
            Shape::OldWasmArtifact,
        ),
        (
            mt::OCI_EMPTY,
            &["application/vnd.dsse.envelope.v1+json"],
            "{}",
            Shape::OtherArtifact,
        ),
        (
            "application/vnd.cncf.helm.config.v1+json",
            &[],
            "{\"config\":7}",
            Shape::OtherArtifact,
        ),
    ] {
        let image = image(config_type, layers, config).expect(config_type);
        assert_eq!(image.shape(), shape, "{config_type} {layers:?}");
        match (image.tar_layers(), shape) {
            (Ok(_), Shape::TarLayers) => {}
            (Err(error @ ImageError::Unsupported { .. }), _) => {
                assert!(error.to_string().contains(&shape.to_string()), "{error}");
            }
            (other, _) => panic!("{shape}: {other:?}"),
        }
    }
    let artifact = image(mt::WASM_CONFIG_V0, &[mt::WASM], wasm).expect("an artifact");
    assert!(artifact.platform().is_wasm());
    assert!(artifact.config.other.contains_key("component"));
}

#[test]
fn layers_and_diff_ids_belong_together() {
    let one = format!(
        r#"{{"os":"wasi","architecture":"wasm","rootfs":{{"type":"layers","diff_ids":["sha256:{HEX}"]}}}}"#
    );
    let good = image(mt::OCI_CONFIG, &[mt::DOCKER_LAYER_GZIP], &one).expect("an image");
    let layers = good.tar_layers().expect("layers");
    assert_eq!(layers.len(), 1);
    assert_eq!(layers[0].compression, Compression::Gzip);
    assert_eq!(layers[0].diff_id.hex(), HEX);
    assert_eq!(good.transfer_size(), 5 + 7 + 11);
    for layers in [&[][..], &[mt::OCI_LAYER, mt::OCI_LAYER]] {
        let error = image(mt::OCI_CONFIG, layers, &one).expect_err("another count");
        assert!(
            matches!(error, ImageError::LayerCount { diff_ids: 1, .. }),
            "{error}"
        );
    }
    let bad = one.replace("sha256:e3", "sha256:../");
    assert!(matches!(
        image(mt::OCI_CONFIG, &[mt::OCI_LAYER], &bad),
        Err(ImageError::Json { kind: "config", .. })
    ));
}

#[test]
fn hostile_documents_are_refused() {
    let good = String::from_utf8(canonical_json(&manifest(mt::OCI_CONFIG, &[mt::OCI_LAYER])))
        .expect("UTF-8");
    let parse = |text: &str, media_type| Document::parse(text.as_bytes(), media_type);
    assert!(parse(&good, mt::OCI_MANIFEST).is_ok());
    let change = |from: &str, to: &str| {
        let changed = good.replace(from, to);
        assert_ne!(changed, good, "{from}");
        changed
    };
    type Want = fn(&ImageError) -> bool;
    let cases: [(String, &str, Want); 12] = [
        (good.clone(), mt::OCI_INDEX, |e| {
            matches!(e, ImageError::MediaTypeMismatch { .. })
        }),
        (good.clone(), mt::DOCKER_SCHEMA1_SIGNED, |e| {
            matches!(e, ImageError::Schema1)
        }),
        (good.clone(), mt::OCI_LAYER, |e| {
            matches!(e, ImageError::NotAnImage { .. })
        }),
        (
            change("\"schemaVersion\":2", "\"schemaVersion\":1"),
            mt::OCI_MANIFEST,
            |e| matches!(e, ImageError::Schema1),
        ),
        (
            change("\"schemaVersion\":2", "\"schemaVersion\":3"),
            mt::OCI_MANIFEST,
            |e| matches!(e, ImageError::SchemaVersion { got: 3, .. }),
        ),
        (
            change(
                "\"schemaVersion\":2",
                "\"manifests\":[],\"schemaVersion\":2",
            ),
            mt::OCI_MANIFEST,
            |e| matches!(e, ImageError::Ambiguous),
        ),
        (change("\"size\":5", "\"size\":-5"), mt::OCI_MANIFEST, |e| {
            matches!(e, ImageError::Json { .. })
        }),
        (change("sha256:", "sha384:"), mt::OCI_MANIFEST, |e| {
            matches!(e, ImageError::Json { .. })
        }),
        (change("sha256:", "blake3:"), mt::OCI_MANIFEST, |e| {
            matches!(e, ImageError::Digest { .. })
        }),
        ("[".repeat(100_000), mt::OCI_MANIFEST, |e| {
            matches!(e, ImageError::Json { .. })
        }),
        (String::new(), mt::OCI_INDEX, |e| {
            matches!(e, ImageError::Json { kind: "index", .. })
        }),
        (
            format!("{good}{}", " ".repeat(4 << 20)),
            mt::OCI_MANIFEST,
            |e| matches!(e, ImageError::TooLarge { .. }),
        ),
    ];
    for (number, (text, media_type, is_right)) in cases.iter().enumerate() {
        match parse(text, media_type) {
            Err(error) => assert!(is_right(&error), "case {number}: {error:?}"),
            Ok(_) => panic!("case {number} was accepted"),
        }
    }
    let layers = vec![mt::OCI_LAYER; Limits::LAYERS + 1];
    let layers: Vec<Descriptor> = layers.iter().map(|layer| blob(layer, 5)).collect();
    let many = serde_json::json!({"schemaVersion": 2, "config": blob(mt::OCI_CONFIG, 2), "layers": layers});
    assert!(matches!(
        Document::parse(&canonical_json(&many), mt::OCI_MANIFEST),
        Err(ImageError::TooMany { got: 501, .. })
    ));
    let entries: Vec<Descriptor> = vec![blob(mt::OCI_MANIFEST, 5); Limits::INDEX_ENTRIES + 1];
    let many = serde_json::json!({"schemaVersion": 2, "manifests": entries});
    assert!(matches!(
        Document::parse(&canonical_json(&many), mt::OCI_INDEX),
        Err(ImageError::TooMany { got: 1001, .. })
    ));
    let long = vec![b' '; (8 << 20) + 1];
    assert!(matches!(
        ImageConfig::parse(&long),
        Err(ImageError::TooLarge { .. })
    ));
}

#[test]
fn docker_documents_are_read_as_the_same_types() {
    let text = canonical_json(&serde_json::json!({
        "schemaVersion": 2, "mediaType": mt::DOCKER_MANIFEST,
        "config": blob(mt::DOCKER_CONFIG, 7), "layers": [blob(mt::DOCKER_LAYER_GZIP, 5)],
    }));
    assert!(matches!(
        Document::parse(&text, mt::DOCKER_MANIFEST),
        Ok(Document::Manifest(_))
    ));
    let (read, media_type) = Document::detect(&text).expect("a manifest");
    assert!(matches!(read, Document::Manifest(_)));
    assert_eq!(media_type, mt::DOCKER_MANIFEST);
    let list = canonical_json(&serde_json::json!({
        "schemaVersion": 2, "mediaType": mt::DOCKER_LIST, "manifests": [blob(mt::DOCKER_MANIFEST, 5)],
    }));
    assert!(matches!(
        Document::parse(&list, mt::DOCKER_LIST),
        Ok(Document::Index(_))
    ));
    let bare = br#"{"schemaVersion":2,"manifests":[]}"#;
    assert_eq!(Document::detect(bare).expect("an index").1, mt::OCI_INDEX);
    assert!(Document::detect(b"{\"schemaVersion\":1}").is_err());
}
