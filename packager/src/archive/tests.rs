//! Archives as each tool writes them, and as an enemy would.

use std::io::{Cursor, Read, Write as _};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use serde_json::{Value, json};

use super::docker::blob_path;
use super::*;
use crate::digest::Digest;
use crate::image::{Descriptor, canonical_json, descriptor};
use crate::layer::{Attributes, NewMember, TarWriter};
use crate::media_type as mt;
use crate::platform::Platform;
use crate::reference::Reference;
use crate::store::Store;

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("store")).expect("a store");
    (folder, store)
}

/// Members of an archive to be.
#[derive(Clone, Default)]
struct Members(Vec<(String, Member)>);

#[derive(Clone)]
enum Member {
    File(Vec<u8>),
    Symlink(String),
    HardLink(String),
    Folder,
}

impl Members {
    fn file(mut self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.0.push((name.to_owned(), Member::File(bytes.into())));
        self
    }

    fn with(mut self, name: &str, member: Member) -> Self {
        self.0.push((name.to_owned(), member));
        self
    }

    fn blob(self, bytes: &[u8]) -> Self {
        self.file(&blob_path(&Digest::sha256_of(bytes)), bytes)
    }

    fn tar(&self) -> Vec<u8> {
        let mut tar = TarWriter::new(Vec::new());
        let attributes = Attributes::default();
        for (name, member) in &self.0 {
            let member = match member {
                Member::File(bytes) => {
                    let mut content = Cursor::new(bytes.clone());
                    let size = bytes.len() as u64;
                    tar.member(
                        name.as_bytes(),
                        &attributes,
                        NewMember::File(size, &mut content),
                    )
                    .expect("memory");
                    continue;
                }
                Member::Symlink(target) => NewMember::Symlink(target.as_bytes()),
                Member::HardLink(target) => NewMember::HardLink(target.as_bytes()),
                Member::Folder => NewMember::Directory,
            };
            tar.member(name.as_bytes(), &attributes, member)
                .expect("memory");
        }
        tar.finish().expect("memory")
    }
}

/// A layer with one file.
fn layer(content: &str) -> Vec<u8> {
    Members::default().file("file", content).tar()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn config(layers: &[&[u8]]) -> Vec<u8> {
    let diff_ids: Vec<Digest> = layers
        .iter()
        .map(|layer| Digest::sha256_of(layer))
        .collect();
    canonical_json(&json!({
        "os": "linux", "architecture": "amd64", "config": {"Entrypoint": ["/file"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }))
}

/// A Docker archive as Docker wrote it before 25: layers by the name of their folder.
fn old_docker(tags: &Value, layers: &[&[u8]]) -> Members {
    let config = config(layers);
    let name = format!("{}.json", Digest::sha256_of(&config).hex());
    let paths: Vec<String> = (0..layers.len())
        .map(|number| format!("{number:064}/layer.tar"))
        .collect();
    let list = json!([{"Config": name, "RepoTags": tags, "Layers": paths}]);
    let mut members = Members::default();
    for (path, layer) in paths.iter().zip(layers) {
        let folder = path.strip_suffix("layer.tar").expect("the path's end");
        members = members
            .with(folder.trim_end_matches('/'), Member::Folder)
            .file(&format!("{folder}VERSION"), "1.0")
            .file(&format!("{folder}json"), "{}")
            .file(path, *layer);
    }
    members
        .file(&name, config)
        .file("manifest.json", list.to_string())
        .file("repositories", "{}")
}

/// An OCI layout with one image, and its descriptor.
fn layout(annotations: &Value, layer: &[u8]) -> (Members, Descriptor) {
    let config = config(&[layer]);
    let of = |media_type, bytes: &[u8]| {
        descriptor(media_type, &Digest::sha256_of(bytes), bytes.len() as u64)
    };
    let manifest = canonical_json(&json!({
        "schemaVersion": 2, "mediaType": mt::OCI_MANIFEST,
        "config": of(mt::OCI_CONFIG, &config), "layers": [of(mt::OCI_LAYER, layer)],
    }));
    let image = of(mt::OCI_MANIFEST, &manifest);
    let mut entry = json!(image);
    entry["annotations"] = annotations.clone();
    let index = json!({"schemaVersion": 2, "manifests": [entry]});
    let members = Members::default()
        .blob(layer)
        .blob(&config)
        .blob(&manifest)
        .file("oci-layout", r#"{"imageLayoutVersion": "1.0.0"}"#)
        .file("index.json", index.to_string());
    (members, image)
}

fn load_bytes(store: &Store, bytes: &[u8]) -> Result<Vec<Loaded>, ArchiveError> {
    load(store, Input::Archive(Box::new(bytes)))
}

fn names(loaded: &[Loaded]) -> Vec<Vec<String>> {
    loaded
        .iter()
        .map(|image| image.names.iter().map(Reference::familiar).collect())
        .collect()
}

#[track_caller]
fn assert_runs(store: &Store, loaded: &Loaded) {
    let host = Platform::parse("linux/amd64").expect("a platform");
    let image = store
        .image(&loaded.descriptor, None, &host)
        .expect("an image");
    let layers = crate::layer::LayerStore::open(&store.root().join("../layers")).expect("layers");
    layers.prepare(store, &image).expect("packed layers");
}

#[test]
fn an_old_docker_archive() {
    let (_folder, store) = store();
    let (a, b) = (layer("a"), layer("b"));
    let tar = old_docker(&json!(["app:1", "localhost:5000/team/app"]), &[&a, &b]).tar();
    for bytes in [
        tar.clone(),
        gzip(&tar),
        zstd::encode_all(&tar[..], 1).expect("memory"),
    ] {
        let loaded = load_bytes(&store, &bytes).expect("images");
        assert_eq!(
            names(&loaded),
            [["app:1", "localhost:5000/team/app:latest"]]
        );
        assert_runs(&store, &loaded[0]);
    }
    // Compressed layers, as other tools put there.
    let gzipped = old_docker(&Value::Null, &[&a]);
    let mut members = gzipped.0;
    for (_, member) in &mut members {
        if let Member::File(bytes) = member
            && *bytes == a
        {
            *bytes = gzip(&a);
        }
    }
    let loaded = load_bytes(&store, &Members(members).tar()).expect("images");
    assert_eq!(names(&loaded), [Vec::<String>::new()]);
    assert_runs(&store, &loaded[0]);
}

#[test]
fn equal_layers_are_links() {
    let a = layer("a");
    let config = config(&[&a, &a, &a]);
    let list = json!([{
        "Config": "c.json", "RepoTags": ["x"],
        "Layers": ["1/layer.tar", "2/layer.tar", "3/layer.tar"],
    }]);
    let tar = Members::default()
        // Before what they lead to, and one over the other.
        .with("2/layer.tar", Member::Symlink("../3/layer.tar".to_owned()))
        .with("3/layer.tar", Member::Symlink("../1/layer.tar".to_owned()))
        .file("1/layer.tar", a)
        .file("c.json", config.clone())
        .file("manifest.json", list.to_string())
        .tar();
    let (_folder, store) = store();
    let loaded = load_bytes(&store, &tar).expect("images");
    assert_runs(&store, &loaded[0]);

    let layers = [layer("a")];
    let with = |member| {
        Members::default()
            .with("1/layer.tar", member)
            .file("layer.tar", layers[0].clone())
            .file("c.json", self::config(&[&layers[0]]))
            .file(
                "manifest.json",
                json!([{"Config": "c.json", "Layers": ["1/layer.tar"]}]).to_string(),
            )
            .tar()
    };
    load_bytes(&store, &with(Member::HardLink("layer.tar".to_owned()))).expect("images");
    for target in [
        "../../layer.tar",
        "/layer.tar",
        "../1/layer.tar",
        "../none.tar",
    ] {
        let error = load_bytes(&store, &with(Member::Symlink(target.to_owned())));
        let error = error.expect_err(target);
        assert!(matches!(error, ArchiveError::Missing { .. }), "{error:?}");
    }
}

#[test]
fn oci_archives_and_their_names() {
    let containerd = "io.containerd.image.name";
    let oci = "org.opencontainers.image.ref.name";
    for (annotations, want) in [
        (
            json!({ containerd: "docker.io/library/a:1", oci: "1" }),
            &["a:1"][..],
        ),
        (json!({ oci: "quay.io/b/c:2" }), &["quay.io/b/c:2"]),
        (json!({ oci: "app" }), &["app:latest"]),
        (json!({ oci: "latest" }), &[]),
        (json!({ oci: "no name" }), &[]),
        (json!({}), &[]),
        (json!(null), &[]),
    ] {
        let (_folder, store) = store();
        let (members, image) = layout(&annotations, &layer("a"));
        let loaded = load_bytes(&store, &members.tar()).expect("images");
        assert_eq!(names(&loaded), [want], "{annotations}");
        assert_eq!(loaded[0].descriptor.digest(), image.digest());
        assert_runs(&store, &loaded[0]);
    }
    // Docker 25 writes both lists; the name may be in either.
    let (members, _) = layout(&json!({}), &layer("a"));
    let config = blob_path(&Digest::sha256_of(&config(&[&layer("a")])));
    let list = json!([{"Config": config, "RepoTags": ["both:1"], "Layers": []}]);
    let (_folder, store) = store();
    let tar = members.file("manifest.json", list.to_string()).tar();
    assert_eq!(
        names(&load_bytes(&store, &tar).expect("images")),
        [["both:1"]]
    );
}

#[test]
fn what_is_saved_can_be_loaded() {
    let (_folder, first) = store();
    let (members, _) = layout(&json!({}), &layer("a"));
    let loaded = load_bytes(&first, &members.tar()).expect("images");
    let host = Platform::parse("linux/amd64").expect("a platform");
    let names = ["a:1", "localhost/b:2"].map(|name| Reference::parse(name).expect("a name"));
    let saved = Saved {
        descriptor: loaded[0].descriptor.clone(),
        names: names.to_vec(),
        image: Some(
            first
                .image(&loaded[0].descriptor, None, &host)
                .expect("an image"),
        ),
    };
    let mut archives = Vec::new();
    for form in [Form::Oci, Form::Docker, Form::Both] {
        let mut tar = Tar::new(Vec::new());
        save(&first, std::slice::from_ref(&saved), form, &mut tar).expect("an archive");
        archives.push(tar.finish().expect("memory"));
    }
    assert_eq!(archives[1], archives[2]);
    for archive in &archives {
        let (_folder, second) = store();
        let again = load_bytes(&second, archive).expect("images");
        assert_eq!(again[0].descriptor, saved.descriptor);
        assert_eq!(again[0].names, saved.names);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let open = || Dir::open_ambient_dir(folder.path(), ambient_authority()).expect("a folder");
    let mut target = Folder::new(open()).expect("an empty folder");
    save(&first, std::slice::from_ref(&saved), Form::Oci, &mut target).expect("a layout");
    assert!(matches!(Folder::new(open()), Err(ArchiveError::NotEmpty)));
    let (_folder, second) = store();
    let again = load(&second, Input::Folder(open())).expect("images");
    assert_eq!(again[0].names, saved.names);

    // A blob that the disk has changed is not passed on.
    let layer = first
        .root()
        .join(blob_path(&Digest::sha256_of(&layer("a"))));
    let mut bytes = std::fs::read(&layer).expect("the layer");
    bytes[700] ^= 1;
    std::fs::write(&layer, bytes).expect("the layer");
    let mut tar = Tar::new(Vec::new());
    let error = save(&first, std::slice::from_ref(&saved), Form::Oci, &mut tar);
    assert!(matches!(error, Err(ArchiveError::Io { .. })), "{error:?}");
}

#[test]
fn what_an_enemy_writes_is_refused() {
    let a = layer("a");
    let docker = || old_docker(&json!(["x"]), &[&a]);
    let (oci, image) = layout(&json!({}), &a);
    let index = |entries: Value| json!({"schemaVersion": 2, "manifests": entries}).to_string();
    let marker = |members: Members| members.file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    let without = |name: &str| Members(oci.0.iter().filter(|(n, _)| n != name).cloned().collect());
    let manifest_path = blob_path(&Digest::of(&image).expect("a digest"));
    let layer_path = blob_path(&Digest::sha256_of(&a));
    let mut wrong = a.clone();
    wrong[600] ^= 1;
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    for (what, members) in [
        ("nothing", Members::default()),
        ("a root file system", Members::default().file("etc/passwd", "x")),
        ("traversal", docker().file("../evil.tar", "x")),
        ("a path through a folder", docker().file("a/../../evil.tar", "x")),
        ("an absolute path", docker().file("/evil.tar", "x")),
        ("a hard link out", docker().with("x.tar", Member::HardLink("../x".to_owned()))),
        ("two lists", docker().file("manifest.json", "[]")),
        ("two spellings", docker().file("./manifest.json", "[]")),
        ("a blob twice", without(&layer_path).file(&layer_path, &a[..]).file(&layer_path, &a[..])),
        ("a wrong blob", without(&layer_path).file(&layer_path, wrong.clone())),
        ("a short blob", without(&layer_path).file(&layer_path, &a[..512])),
        ("no layer", without(&layer_path)),
        ("no manifest", without(&manifest_path)),
        ("no marker", without("oci-layout")),
        ("a link for a list", without("index.json").with("index.json", Member::Symlink("oci-layout".to_owned()))),
        ("no image", marker(Members::default()).file("index.json", index(json!([])))),
        ("deep JSON", marker(Members::default()).file("index.json", deep)),
        ("no JSON", marker(Members::default()).file("index.json", "{")),
        ("a huge list", marker(Members::default()).file("index.json", vec![b' '; (4 << 20) + 1])),
        ("a thousand images", marker(Members::default()).file("index.json", index(json!(vec![json!(image); 1001])))),
        ("an index of nothing", {
            let nothing = index(json!([]));
            let of = descriptor(mt::OCI_INDEX, &Digest::sha256_of(nothing.as_bytes()), nothing.len() as u64);
            marker(Members::default()).blob(nothing.as_bytes()).file("index.json", index(json!([of])))
        }),
        ("a digest that is a path", marker(Members::default()).file("index.json", index(json!([
            {"mediaType": mt::OCI_MANIFEST, "digest": "sha256:../../../etc/passwd", "size": 3},
        ])))),
        ("a Docker list of nothing", Members::default().file("manifest.json", "null")),
        ("a Docker list out", Members::default().file("manifest.json", json!([{"Config": "../c.json", "Layers": []}]).to_string())),
        ("a Docker list without its config", Members::default().file("manifest.json", json!([{"Config": "c.json"}]).to_string())),
        ("a config that is none", Members::default().file("c.json", "[]").file("manifest.json", json!([{"Config": "c.json"}]).to_string())),
        ("fewer layers than the config", Members::default().file("c.json", config(&[&a])).file("manifest.json", json!([{"Config": "c.json"}]).to_string())),
        ("another layer than the config's", old_docker(&json!(null), &[&a]).0.iter().fold(Members::default(), |members, (name, member)| match member {
            Member::File(bytes) if *bytes == a => members.file(name, wrong.clone()),
            member => members.with(name, member.clone()),
        })),
        ("a name that is none", old_docker(&json!(["UPPER:1"]), &[&a])),
        ("a name that commands a terminal", old_docker(&json!(["a\u{1b}[31m"]), &[&a])),
        ("Docker before 1.10", Members::default().file("repositories", "{}")),
    ] {
        let (_folder, store) = store();
        let error = load_bytes(&store, &members.tar());
        assert!(error.is_err(), "{what}: {error:?}");
        assert_eq!(store.images().expect("images"), [], "{what}");
        let message = error.expect_err(what).to_string();
        assert!(!message.contains('\u{1b}'), "{what}: {message:?}");
    }
}

#[test]
fn what_was_cut_is_refused() {
    let tar = old_docker(&json!(["x"]), &[&layer("a")]).tar();
    let end = tar.len() - 1024;
    for (bytes, step) in [(tar[..end].to_vec(), 256), (gzip(&tar), 31)] {
        for cut in (0..bytes.len()).step_by(step) {
            let (_folder, store) = store();
            let loaded = load_bytes(&store, &bytes[..cut]);
            // The last member and the padding before it are of no use: all that matters may be there.
            assert!(
                loaded.is_err() || cut + 1536 >= end,
                "cut at {cut}: {loaded:?}"
            );
        }
    }
}

#[test]
fn a_bomb_is_given_up() {
    /// Zeros, more than there is disk.
    struct Zeros(u64);
    impl Read for Zeros {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let len = buffer
                .len()
                .min(usize::try_from(self.0).unwrap_or(usize::MAX));
            buffer[..len].fill(0);
            self.0 -= len as u64;
            Ok(len)
        }
    }
    let attributes = Attributes::default();
    let encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).expect("an encoder");
    let mut tar = TarWriter::new(encoder);
    let size = 2 << 30;
    tar.member(
        b"README",
        &attributes,
        NewMember::File(size, &mut Zeros(size)),
    )
    .expect("memory");
    let bytes = tar.finish().expect("memory").finish().expect("memory");
    let (_folder, store) = store();
    let error = load_bytes(&store, &bytes).expect_err("a bomb");
    assert!(matches!(error, ArchiveError::Stream(_)), "{error:?}");
    assert!(
        format!("{error:?}").contains("unpacks to more"),
        "{error:?}"
    );
}
