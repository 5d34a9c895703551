//! The image that comes out: documents, digests, history, and what a failure leaves behind.

use std::fs;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use coracle_packager::build::BuildEvent;
use coracle_packager::digest::Digest;
use coracle_packager::image::Document;
use coracle_packager::platform::Platform;

use crate::world::{World, chain};

const DOCKERFILE: &str = "FROM scratch\nARG v=1\nENV A=$v\nWORKDIR /w\nCOPY . /app/\nLABEL l=1 m=2\nEXPOSE 80 53/udp\n\
                          VOLUME /data\nUSER 7\nENTRYPOINT [\"/app/a\"]\nCMD [\"x\"]\n";

#[test]
fn equal_inputs_give_equal_digests() {
    let files = ["a=1", "b=2", "dir/c=3", "dir/d=4", "e/"];
    let one = World::with(&files);
    let other = World::new();
    for file in files.iter().rev() {
        other.put(file);
    }
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    for file in ["a", "dir/c"] {
        let file = fs::File::options().write(true).open(other.path(file));
        file.and_then(|file| file.set_modified(long_ago))
            .expect("set");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        for (name, mode) in [("b", 0o600), ("dir", 0o700), ("dir/d", 0o664)] {
            let permissions = fs::Permissions::from_mode(mode);
            fs::set_permissions(other.path(name), permissions).expect("set");
        }
    }
    let built = one.build(DOCKERFILE);
    let again = one.build(DOCKERFILE);
    assert_eq!(built.descriptor, again.descriptor);
    assert_eq!(built.descriptor, other.build(DOCKERFILE).descriptor);

    other.put("b=changed");
    assert_ne!(built.descriptor, other.build(DOCKERFILE).descriptor);
    let mut request = one.request(DOCKERFILE);
    request.source_date += 1;
    let later = one.run(&request).expect("builds");
    assert_ne!(built.descriptor, later.descriptor);
}

#[test]
fn documents_say_what_was_built() {
    let world = World::with(&["a"]);
    let mut request = world.request(DOCKERFILE);
    request.labels = vec![("m".to_owned(), "3".to_owned())];
    let built = world.run(&request).expect("builds");

    let Document::Index(index) = world.store.document(&built.descriptor).expect("an index") else {
        panic!("not an index");
    };
    assert_eq!(index.manifests().len(), 1);
    let entry = &index.manifests()[0];
    assert_eq!(entry.digest(), built.image.descriptor.digest());
    let platform = entry.platform().as_ref().expect("a platform");
    assert_eq!(Platform::from(platform), Platform::wasm());
    let read = world
        .store
        .image(&built.descriptor, None, &Platform::host());
    let read = read.expect("the store reads it");
    assert_eq!(read.config, built.image.config);
    assert_eq!(read.config_digest, built.image.config_digest);
    let manifest = &built.image.manifest;
    assert_eq!(manifest.layers().len(), 2);
    for layer in manifest.layers() {
        assert_eq!(
            layer.media_type().as_ref(),
            "application/vnd.oci.image.layer.v1.tar+gzip"
        );
    }

    let config = &built.image.config;
    assert_eq!(
        (config.os.as_str(), config.architecture.as_str()),
        ("wasi", "wasm")
    );
    assert_eq!(config.created.as_deref(), Some("2023-11-14T22:13:20Z"));
    let of = &config.config;
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned();
    assert_eq!(of.env, Some(vec![path, "A=1".to_owned()]));
    assert_eq!(of.working_dir.as_deref(), Some("/w"));
    assert_eq!(of.user.as_deref(), Some("7"));
    assert_eq!(of.entrypoint, Some(vec!["/app/a".to_owned()]));
    assert_eq!(of.cmd, Some(vec!["x".to_owned()]));
    assert!(of.exposed_ports.keys().eq(["53/udp", "80/tcp"]));
    assert!(of.volumes.keys().eq(["/data"]));
    assert!(
        of.labels
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .eq(["l=1", "m=3"])
    );
    let history: Vec<(&str, bool)> = config
        .history
        .iter()
        .map(|entry| {
            assert_eq!(entry.created, config.created);
            (
                entry.created_by.as_deref().unwrap_or_default(),
                entry.empty_layer,
            )
        })
        .collect();
    assert_eq!(
        history,
        [
            ("ARG v=1", true),
            ("ENV A=1", true),
            ("WORKDIR /w", false),
            ("COPY . /app/", false),
            ("LABEL l=1 m=2", true),
            ("EXPOSE 80 53/udp", true),
            ("VOLUME [\"/data\"]", true),
            ("USER 7", true),
            ("ENTRYPOINT [\"/app/a\"]", true),
            ("CMD [\"x\"]", true),
        ]
    );
}

#[test]
fn a_built_image_is_ready_to_run() {
    let world = World::with(&["a"]);
    let built = world.build(DOCKERFILE);
    let prepared = world.layers.prepared(&built.image).expect("looks");
    assert_eq!(prepared.expect("is prepared").layers.len(), 2);
}

#[test]
fn an_image_without_layers() {
    let world = World::new();
    let built = world.build("FROM scratch\nLABEL a=b\n");
    assert_eq!(built.image.manifest.layers().len(), 0);
    assert!(
        world
            .layers
            .prepared(&built.image)
            .expect("looks")
            .is_some()
    );
}

#[test]
fn a_working_directory_makes_a_layer_only_where_it_is_missing() {
    let world = World::new();
    let built =
        world.build("FROM scratch\nWORKDIR /a/b\nWORKDIR /a\nWORKDIR b\nWORKDIR /\nWORKDIR /a/c\n");
    let layers = world.layers_of(&built);
    let names: Vec<Vec<&String>> = layers.iter().map(|layer| layer.keys().collect()).collect();
    assert_eq!(names, [vec!["a", "a/b"], vec!["a/c"]]);
}

#[test]
fn steps_are_told() {
    let world = World::with(&["a"]);
    let events = Mutex::new(Vec::new());
    let request = world.request("FROM scratch\nENV x=1\nCOPY a /$x\n");
    let built = world
        .run_with(&request, &|event| events.lock().expect("whole").push(event))
        .expect("builds");
    let step = |number, text: &str| BuildEvent::Step {
        id: number,
        stage: None,
        number,
        total: 3,
        text: text.to_owned(),
    };
    let done = |id| BuildEvent::Done { id, cached: false };
    let layer = &built.image.manifest.layers()[0];
    assert_eq!(
        events.into_inner().expect("whole"),
        [
            step(1, "FROM scratch"),
            done(1),
            step(2, "ENV x=1"),
            done(2),
            step(3, "COPY a /1"),
            BuildEvent::Layer {
                digest: Digest::of(layer).expect("a digest"),
                size: layer.size(),
            },
            done(3),
        ]
    );
}

#[test]
fn arguments_that_nobody_asked_for_are_told() {
    let world = World::new();
    let mut request = world.request("FROM scratch\nARG used\n");
    let pair = |name: &str| (name.to_owned(), "1".to_owned());
    request.args = vec![pair("used"), pair("unused"), pair("HTTP_PROXY")];
    let built = world.run(&request).expect("builds");
    assert_eq!(
        built.warnings,
        ["build argument `unused` is not used: no ARG names it"]
    );
}

#[test]
fn nonsense_in_the_request_is_refused() {
    let world = World::new();
    for name in ["", "a=b", "a\0"] {
        let mut request = world.request("FROM scratch\n");
        request.args = vec![(name.to_owned(), String::new())];
        let error = world.run(&request).expect_err("refused");
        assert!(error.to_string().starts_with("build argument `"), "{error}");
    }
    let mut request = world.request("FROM scratch\n");
    request.labels = vec![("a".to_owned(), "\0".to_owned())];
    assert!(world.run(&request).is_err());
    for date in [-1, i64::MIN, i64::MAX, 253_402_300_800] {
        let mut request = world.request("FROM scratch\n");
        request.source_date = date;
        let error = world.run(&request).expect_err("refused");
        assert_eq!(
            chain(&error),
            format!("source date {date} is not within the years 1970 to 9999")
        );
    }
}

#[test]
fn what_cannot_be_built_is_refused_before_anything_is_written() {
    let world = World::with(&["a"]);
    let message = world.refused("FROM scratch\nCOPY a /\nRUN make\n");
    assert_eq!(
        message,
        "Dockerfile:3:5: the shell form of RUN needs a shell, and wasi/wasm has none: `make`"
    );
    assert_eq!(blobs(&world), 0);
}

#[test]
fn a_failed_build_leaves_no_name_and_nothing_half_written() {
    let world = World::with(&["a"]);
    world.refused("FROM scratch\nCOPY a /\nCOPY missing /\n");
    assert!(world.store.names().expect("names").is_empty());
    let ingest = fs::read_dir(world.store.root().join(".ingest"));
    assert_eq!(ingest.map_or(0, Iterator::count), 0);
    // The lease is free again, and what was written goes.
    world.store.collect_garbage(&[]).expect("collects");
    assert_eq!(blobs(&world), 0);
    world.build("FROM scratch\nCOPY a /\n");
}

fn blobs(world: &World) -> usize {
    fs::read_dir(world.store.root().join("blobs/sha256")).map_or(0, Iterator::count)
}
