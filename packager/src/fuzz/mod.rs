//! What a fuzzer calls: each function reads foreign bytes as one part of the crate does, and panics where a promise is broken.
//!
//! `fuzz/` in the repository hands them to libFuzzer, and the tests to a few thousand mutations of [`seeds`].

#[cfg(test)]
mod mutations;

use serde_json::json;

use crate::image::{Document, ImageConfig, canonical_json, select};
use crate::layer::fuzz as layer;
use crate::media_type::{ACCEPTED_MANIFESTS, OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST};
use crate::platform::Platform;
use crate::reference::Reference;
use crate::registry::fuzz as registry;

/// A function to call with any bytes.
pub type Target = fn(&[u8]);

/// All of them, by name.
pub const TARGETS: [(&str, Target); 6] = [
    ("reference", reference),
    ("manifest", manifest),
    ("config", config),
    ("tar", tar),
    ("index", index),
    ("challenge", challenge),
];

/// Names of images: what is taken can be written and read again.
pub fn reference(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(reference) = Reference::parse(text) else {
        return;
    };
    for written in [reference.to_string(), reference.familiar()] {
        let again = Reference::parse(&written);
        assert_eq!(again.ok().as_ref(), Some(&reference), "{written}");
    }
    let tagged = reference.clone().or_latest();
    assert!(tagged.tag().is_some() || tagged.digest().is_some());
    assert!(!reference.registry().is_empty() && !reference.repository().is_empty());
    let parts = reference.repository().split('/');
    assert!(parts.clone().all(|part| !part.is_empty() && part != ".."));
}

/// Manifests and indexes: the same under every name that fits, and a choice from any index.
pub fn manifest(data: &[u8]) {
    for media_type in ACCEPTED_MANIFESTS {
        let Ok(document) = Document::parse(data, media_type) else {
            continue;
        };
        match document {
            Document::Manifest(manifest) => {
                let written = canonical_json(&manifest);
                let again = Document::parse(&written, media_type).expect("what was taken before");
                assert_eq!(again, Document::Manifest(manifest));
            }
            Document::Index(index) => {
                let host = Platform::new("linux", "amd64", None);
                if let Ok(choice) = select::choose(&index, None, &host) {
                    let platform = choice.descriptor.platform().as_ref().map(Platform::from);
                    assert!(!platform.is_some_and(|platform| platform.is_unknown()));
                }
                drop(select::explain("sha256:", &index, Some(&host), &host));
            }
        }
    }
    if let Ok((_, media_type)) = Document::detect(data) {
        assert!(!media_type.is_empty());
    }
}

/// Image configs: a build on top of one loses nothing of it.
pub fn config(data: &[u8]) {
    let Ok(config) = ImageConfig::parse(data) else {
        return;
    };
    let written = canonical_json(&config);
    let again = ImageConfig::parse(&written).expect("what was taken before");
    assert_eq!(canonical_json(&again), written);
}

/// Archives of files, plain or compressed: what is taken has an index that can be walked.
pub fn tar(data: &[u8]) {
    layer::tar(data);
}

/// Indexes of layers: whatever the bytes are, every method returns and no walk is endless.
pub fn index(data: &[u8]) {
    layer::index(data);
}

/// Challenges of registries: any header gives a list of bounded length.
pub fn challenge(data: &[u8]) {
    registry::challenge(data);
}

/// Returns valid inputs of a target, to start from.
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    let digest = format!("sha256:{}", "a".repeat(64));
    let layer = json!({"mediaType": OCI_LAYER, "digest": digest, "size": 1});
    let texts = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    match target {
        "reference" => texts(&[
            "alpine",
            "localhost:5000/team/app:1.2",
            &format!("docker.io/library/a@{digest}"),
            "[::1]:5000/a/b-c__d:TAG.x",
            "index.docker.io/x:y",
        ]),
        "manifest" => vec![
            canonical_json(&json!({
                "schemaVersion": 2, "mediaType": OCI_MANIFEST, "annotations": {"a": "b"},
                "config": {"mediaType": OCI_CONFIG, "digest": digest, "size": 2}, "layers": [layer],
            })),
            canonical_json(&json!({
                "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
                    {"mediaType": OCI_MANIFEST, "digest": digest, "size": 3, "platform": {"os": "wasi", "architecture": "wasm"}},
                    {"mediaType": OCI_MANIFEST, "digest": digest, "size": 3, "platform": {"os": "unknown", "architecture": "unknown"}},
                    {"mediaType": OCI_MANIFEST, "digest": digest, "size": 3, "platform": {"os": "linux", "architecture": "arm", "variant": "v7"}},
                ],
            })),
        ],
        "config" => vec![canonical_json(&json!({
            "os": "linux", "architecture": "amd64", "created": "1970-01-01T00:00:00Z", "os.version": "1",
            "config": {
                "Env": ["A=b"], "Entrypoint": ["/a"], "Cmd": null, "Labels": {"x": "y"}, "ExposedPorts": {"1/tcp": {}},
                "Healthcheck": {"Test": ["NONE"], "Interval": 1}, "Volumes": {"/v": null}, "ArgsEscaped": true,
            },
            "rootfs": {"type": "layers", "diff_ids": [digest]},
            "history": [{"created_by": "x", "empty_layer": true}],
        }))],
        "tar" => layer::archives(),
        "index" => layer::indexes(),
        "challenge" => texts(&[
            r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push",error="invalid_token""#,
            r#"Basic realm="a \"quoted\" one", Bearer realm=x, Negotiate"#,
        ]),
        _ => Vec::new(),
    }
}
