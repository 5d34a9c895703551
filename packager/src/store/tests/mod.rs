//! The store from outside, and against what strangers and crashes do to it.

mod blobs;
mod garbage;
mod images;
mod killed;
mod mend;
mod names;
mod verify;

use std::path::Path;

use serde_json::json;

use super::*;
use crate::image::{Descriptor, canonical_json, descriptor};
use crate::media_type as mt;
use crate::platform::Platform;
use crate::reference::Reference;

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("store")).expect("a store");
    (folder, store)
}

fn name(text: &str) -> Reference {
    Reference::parse(text).expect("a reference")
}

fn host() -> Platform {
    Platform::parse("linux/amd64").expect("a platform")
}

fn put(store: &Store, media_type: &str, bytes: &[u8]) -> Descriptor {
    let (digest, size) = store.put_blob(bytes).expect("a blob");
    descriptor(media_type, &digest, size)
}

fn digest(descriptor: &Descriptor) -> Digest {
    Digest::of(descriptor).expect("a digest")
}

/// Stores an image of one layer and returns its manifest's descriptor, with its platform.
fn put_image(store: &Store, platform: &str, content: &str) -> Descriptor {
    let platform = Platform::parse(platform).expect("a platform");
    let layer = put(store, mt::OCI_LAYER, content.as_bytes());
    let config = canonical_json(&json!({
        "os": platform.os(), "architecture": platform.architecture(), "config": {"Entrypoint": [content]},
        "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
    }));
    let config = put(store, mt::OCI_CONFIG, &config);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": mt::OCI_MANIFEST, "config": config, "layers": [layer],
    });
    let mut manifest = put(store, mt::OCI_MANIFEST, &canonical_json(&manifest));
    manifest.set_platform(Some((&platform).into()));
    manifest
}

fn put_index(store: &Store, entries: &[Descriptor]) -> Descriptor {
    let index = json!({"schemaVersion": 2, "mediaType": mt::OCI_INDEX, "manifests": entries});
    put(store, mt::OCI_INDEX, &canonical_json(&index))
}

/// Returns all files below a directory, relative to it, sorted; lock files are left out.
fn files(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let relative = path.strip_prefix(root).expect("a path below");
            let relative = relative.to_str().expect("UTF-8").to_owned();
            if relative != ".lock" && relative != ".lease" {
                found.push(relative);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_new_store_is_an_oci_layout() {
    let (_folder, store) = store();
    let read = |file: &str| std::fs::read_to_string(store.root().join(file)).expect(file);
    assert_eq!(read("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#);
    assert_eq!(
        read("index.json"),
        r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#
    );
    assert!(store.root().join("blobs/sha256").is_dir());
    assert_eq!(files(store.root()), ["index.json", "oci-layout"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        for directory in ["", "blobs", "blobs/sha256", ".ingest"] {
            let metadata = store.root().join(directory).metadata().expect(directory);
            assert_eq!(
                metadata.permissions().mode() & 0o777,
                0o700,
                "{directory:?}"
            );
        }
    }
}

#[test]
fn many_may_open_a_new_store_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("a/b/store");
    std::thread::scope(|scope| {
        for number in 0..16 {
            let root = &root;
            scope.spawn(move || {
                let store = Store::open(root).expect("a store");
                let image = put_image(&store, "wasi/wasm", &format!("{number}"));
                store
                    .set_name(&name(&format!("x:{number}")), &image, 0)
                    .expect("a name");
            });
        }
    });
    let store = Store::open(&root).expect("a store");
    assert_eq!(store.names().expect("names").len(), 16);
}

#[test]
fn what_is_no_layout_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    for text in ["", "{}", "x", r#"{"imageLayoutVersion":"2.0.0"}"#] {
        std::fs::write(folder.path().join("oci-layout"), text).expect("a file");
        let error = Store::open(folder.path()).expect_err(text);
        assert!(
            matches!(error, StoreError::Layout { .. }),
            "{text}: {error}"
        );
        assert!(error.to_string().contains("oci-layout"), "{error}");
    }
    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let error = Store::open(&file).expect_err("a file is no directory");
    assert!(error.to_string().contains("file"), "{error}");
}

#[test]
fn a_layout_of_another_tool_is_used_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(
        folder.path().join("oci-layout"),
        r#"{"imageLayoutVersion": "1.0.0"}"#,
    )
    .expect("a file");
    std::fs::write(
        folder.path().join("index.json"),
        r#"{"schemaVersion":2,"manifests":null}"#,
    )
    .expect("a file");
    let store = Store::open(folder.path()).expect("a store");
    assert_eq!(store.names().expect("names"), []);
    let image = put_image(&store, "wasi/wasm", "x");
    store.set_name(&name("x:1"), &image, 0).expect("a name");
    assert_eq!(store.names().expect("names").len(), 1);
}
