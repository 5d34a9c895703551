//! An OCI image layout on disk, read with nothing of ours, and the invariants that hold at any instant.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Reads a JSON file.
#[track_caller]
pub(crate) fn read_json(path: &Path) -> Value {
    let text = fs::read(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

/// The file of a blob.
pub(crate) fn blob(layout: &Path, digest: &str) -> PathBuf {
    let (algorithm, hex) = digest.split_once(':').expect("a digest");
    layout.join("blobs").join(algorithm).join(hex)
}

/// The digests of all blobs that are there under their names.
pub(crate) fn blobs(layout: &Path) -> BTreeSet<String> {
    files(&layout.join("blobs/sha256"))
        .iter()
        .filter_map(|path| path.file_name()?.to_str())
        .filter(|name| is_hex(name))
        .map(|hex| format!("sha256:{hex}"))
        .collect()
}

/// The layers' and the config's digests of the only image below the layout's entry of this name.
pub(crate) fn manifest(layout: &Path, name: &str) -> Value {
    let index = read_json(&layout.join("index.json"));
    let entry = index["manifests"]
        .as_array()
        .expect("the index's entries")
        .iter()
        .find(|entry| entry["annotations"]["org.opencontainers.image.ref.name"] == name)
        .unwrap_or_else(|| panic!("{name} is not in {index}"));
    let mut document = read_json(&blob(layout, text(&entry["digest"])));
    while let Some(entries) = document["manifests"].as_array() {
        assert_eq!(entries.len(), 1, "one platform: {document}");
        document = read_json(&blob(layout, text(&entries[0]["digest"])));
    }
    document
}

/// Checks what holds for a store at any instant, whatever was killed: every blob is what its name says, and the index
/// names nothing that is not whole.
#[track_caller]
pub(crate) fn assert_sound(layout: &Path) {
    if !layout.join("index.json").exists() {
        assert_eq!(blobs(layout), BTreeSet::new(), "blobs without an index");
        return;
    }
    let names: Vec<PathBuf> = blobs(layout)
        .iter()
        .map(|digest| blob(layout, digest))
        .collect();
    if !names.is_empty() {
        let sums = Command::new("sha256sum")
            .args(&names)
            .output()
            .expect("sha256sum is there");
        assert!(sums.status.success(), "{sums:?}");
        for line in String::from_utf8_lossy(&sums.stdout).lines() {
            let (sum, path) = line.split_once("  ").expect("a sum and a path");
            assert!(path.ends_with(sum), "{path} has the digest {sum}");
        }
    }
    let index = read_json(&layout.join("index.json"));
    for entry in index["manifests"].as_array().expect("the index's entries") {
        assert_whole(layout, entry);
    }
}

fn assert_whole(layout: &Path, descriptor: &Value) {
    let path = blob(layout, text(&descriptor["digest"]));
    let size = fs::metadata(&path)
        .unwrap_or_else(|error| panic!("{path:?}: {error}"))
        .len();
    assert_eq!(Some(size), descriptor["size"].as_u64(), "{path:?}");
    let media_type = text(&descriptor["mediaType"]);
    if media_type.contains("manifest") || media_type.contains("index") {
        let document = read_json(&path);
        let parts = ["manifests", "layers"]
            .iter()
            .filter_map(|key| document[key].as_array())
            .flatten();
        parts
            .chain(document.get("config"))
            .for_each(|part| assert_whole(layout, part));
    }
}

/// Checks that a store at rest has blobs and its own few files, and nothing half-written.
#[track_caller]
pub(crate) fn assert_tidy(layout: &Path) {
    assert_sound(layout);
    let strangers: Vec<PathBuf> = files(&layout.join("blobs/sha256"))
        .into_iter()
        .filter(|path| {
            !path
                .file_name()
                .and_then(|name| name.to_str())
                .is_some_and(is_hex)
        })
        .collect();
    assert_eq!(strangers, Vec::<PathBuf>::new(), "left behind");
}

/// All files below a folder, sorted; none if it is not there.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return found;
    };
    for entry in entries {
        let path = entry.expect("a folder's entry").path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A JSON string.
#[track_caller]
pub(crate) fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is not text"))
}

fn is_hex(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}
