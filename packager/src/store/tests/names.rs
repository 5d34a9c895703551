use super::*;

fn index_file(store: &Store) -> PathBuf {
    store.root().join("index.json")
}

fn index_text(store: &Store) -> String {
    std::fs::read_to_string(index_file(store)).expect("index.json")
}

#[test]
fn a_name_is_set_moved_and_removed() {
    let (_folder, store) = store();
    let one = put_image(&store, "wasi/wasm", "one");
    let two = put_image(&store, "wasi/wasm", "two");
    store.set_name(&name("hello:1"), &one, 100).expect("a name");
    store
        .set_name(&name("hello:latest"), &one, 200)
        .expect("a name");
    store.set_name(&name("hello:1"), &two, 300).expect("a name");
    let names = store.names().expect("names");
    assert_eq!(names.len(), 2);
    assert_eq!(names[0].name, name("hello:1"));
    assert_eq!(names[0].descriptor, two);
    assert_eq!(names[0].stored_at, Some(300));
    assert_eq!(names[1].stored_at, Some(200));
    assert_eq!(
        store.resolve(&name("hello")).expect("an answer"),
        Some(one.clone())
    );
    assert_eq!(
        store.resolve(&name("hello:1")).expect("an answer"),
        Some(two.clone())
    );
    assert_eq!(store.resolve(&name("hello:2")).expect("an answer"), None);
    let by_digest = name("other/name").with_digest(digest(&two));
    assert_eq!(
        store.resolve(&by_digest).expect("an answer"),
        Some(two.clone())
    );

    assert!(store.remove_name(&name("hello:1")).expect("an answer"));
    assert!(!store.remove_name(&name("hello:1")).expect("an answer"));
    assert_eq!(store.resolve(&name("hello:1")).expect("an answer"), None);
    // The manifest is still there, so its digest still leads to it.
    let found = store
        .resolve(&by_digest)
        .expect("an answer")
        .expect("a manifest");
    assert_eq!((found.digest(), found.size()), (two.digest(), two.size()));
    assert_eq!(found.media_type().as_ref(), mt::OCI_MANIFEST);
    let nothing = name("x").with_digest(Digest::sha256_of(b"nothing"));
    assert_eq!(store.resolve(&nothing).expect("an answer"), None);
}

#[test]
fn the_entry_is_what_other_tools_look_for() {
    let (_folder, store) = store();
    let image = put_image(&store, "wasi/wasm", "x");
    store
        .set_name(&name("hello"), &image, 1)
        .expect_err("no tag");
    store
        .set_name(&name("hello").or_latest(), &image, 1_700_000_000)
        .expect("a name");
    let index: serde_json::Value = serde_json::from_str(&index_text(&store)).expect("JSON");
    assert_eq!(
        index["manifests"][0],
        json!({
            "mediaType": mt::OCI_MANIFEST, "digest": image.digest(), "size": image.size(),
            "platform": {"os": "wasi", "architecture": "wasm"},
            "annotations": {
                "org.opencontainers.image.ref.name": "docker.io/library/hello:latest",
                "dev.coracle.stored-at": "1700000000",
            },
        })
    );
}

#[test]
fn only_what_is_in_the_store_gets_a_name() {
    let (_folder, store) = store();
    let absent = descriptor(mt::OCI_MANIFEST, &Digest::sha256_of(b"absent"), 6);
    let error = store
        .set_name(&name("x:1"), &absent, 0)
        .expect_err("absent");
    assert!(matches!(error, StoreError::Missing { .. }), "{error}");
    assert_eq!(store.names().expect("names"), []);
}

#[test]
fn entries_of_other_tools_survive() {
    let (_folder, store) = store();
    let hex = "0".repeat(64);
    let foreign = json!([
        {"mediaType": mt::OCI_MANIFEST, "digest": format!("sha256:{hex}"), "size": 1,
         "platform": {"os": "windows", "architecture": "amd64", "os.version": "10.0.1"}, "x-future": {"a": [1.5, null]}},
        {"mediaType": mt::OCI_MANIFEST, "digest": format!("sha256:{hex}"), "size": 1,
         "annotations": {"org.opencontainers.image.ref.name": "latest"}},
        {"annotations": {"org.opencontainers.image.ref.name": "docker.io/library/untagged"}},
        "nonsense",
    ]);
    let index =
        json!({"schemaVersion": 2, "manifests": foreign, "annotations": {"a": "b"}, "x-future": 1});
    std::fs::write(index_file(&store), index.to_string()).expect("a write");
    assert_eq!(store.names().expect("names"), []);
    let image = put_image(&store, "wasi/wasm", "x");
    store.set_name(&name("x:1"), &image, 0).expect("a name");
    store.set_name(&name("x:2"), &image, 0).expect("a name");
    assert!(store.remove_name(&name("x:1")).expect("an answer"));
    assert!(!store.remove_name(&name("untagged")).expect("an answer"));
    let after: serde_json::Value = serde_json::from_str(&index_text(&store)).expect("JSON");
    assert_eq!(
        after["manifests"].as_array().expect("a list")[..4],
        foreign.as_array().expect("a list")[..]
    );
    assert_eq!(after["manifests"].as_array().map(Vec::len), Some(5));
    assert_eq!(after["x-future"], json!(1));
    assert_eq!(after["annotations"], json!({"a": "b"}));
}

#[test]
fn a_damaged_index_is_named_and_left_alone() {
    let (_folder, store) = store();
    let image = put_image(&store, "wasi/wasm", "x");
    for text in [
        "",
        "{",
        "[]",
        "{}",
        r#"{"schemaVersion":2}"#,
        r#"{"schemaVersion":1,"manifests":[]}"#,
    ] {
        std::fs::write(index_file(&store), text).expect("a write");
        let errors = [
            store.names().map(drop),
            store.resolve(&name("x:1")).map(drop),
            store.set_name(&name("x:1"), &image, 0),
            store.remove_name(&name("x:1")).map(drop),
            store.collect_garbage(&[]).map(drop),
        ];
        for error in errors {
            let error = error.expect_err("damaged");
            assert!(
                matches!(error, StoreError::DamagedIndex { .. }),
                "{text}: {error}"
            );
            assert!(error.to_string().contains("index.json"), "{error}");
        }
        assert_eq!(index_text(&store), text);
    }
    std::fs::remove_file(index_file(&store)).expect("a removal");
    let again = Store::open(store.root()).expect("a store");
    assert!(matches!(
        again.collect_garbage(&[]),
        Err(StoreError::DamagedIndex { .. })
    ));
    assert!(
        !index_file(&store).exists(),
        "an index that is gone is not replaced by an empty one"
    );
}

#[test]
fn readers_see_the_old_names_or_the_new_ones() {
    let (_folder, store) = store();
    let image = put_image(&store, "wasi/wasm", "x");
    store.set_name(&name("fixed:1"), &image, 0).expect("a name");
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (store, image) = (Store::open(store.root()).expect("a store"), &image);
                scope.spawn(move || {
                    for round in 0..20 {
                        let name = name(&format!("w{writer}:{round}"));
                        store.set_name(&name, image, 0).expect("a name");
                        if round % 2 == 0 {
                            assert!(store.remove_name(&name).expect("an answer"));
                        }
                    }
                })
            })
            .collect();
        while !writers.iter().all(|writer| writer.is_finished()) {
            assert!(
                store
                    .resolve(&name("fixed:1"))
                    .expect("an answer")
                    .is_some()
            );
        }
    });
    assert_eq!(store.names().expect("names").len(), 41, "no name got lost");
    assert!(
        !files(store.root())
            .iter()
            .any(|file| file.starts_with(".ingest"))
    );
}

#[test]
fn finding_by_name_and_by_id() {
    let (_folder, store) = store();
    let wasm = put_image(&store, "wasi/wasm", "wasm");
    let native = put_image(&store, "linux/amd64", "native");
    let index = put_index(&store, &[wasm.clone(), native.clone()]);
    store.set_name(&name("both:1"), &index, 0).expect("a name");
    store.set_name(&name("both:2"), &index, 0).expect("a name");
    store
        .set_name(&name("only:latest"), &native, 0)
        .expect("a name");
    let find = |text: &str| -> Vec<String> {
        let found = store.find(text).expect("an answer");
        found
            .iter()
            .map(|image| image.name.as_ref().expect("a name").familiar())
            .collect()
    };
    assert_eq!(find("both:1"), ["both:1"]);
    assert_eq!(find("only"), ["only:latest"]);
    assert_eq!(find("both"), Vec::<String>::new());
    assert_eq!(
        find(&format!("both@{}", index.digest())),
        ["both:1", "both:2"]
    );
    assert_eq!(
        find(&format!("else@{}", index.digest())),
        Vec::<String>::new()
    );

    let config = store
        .image(&native, None, &host())
        .expect("an image")
        .config_digest;
    assert_eq!(find(config.hex()), ["both:1", "both:2", "only:latest"]);
    assert_eq!(find(config.short()), ["both:1", "both:2", "only:latest"]);
    assert_eq!(
        find(&config.to_string()),
        ["both:1", "both:2", "only:latest"]
    );
    assert_eq!(find(&digest(&wasm).hex()[..20]), ["both:1", "both:2"]);
    assert_eq!(
        find(&format!("sha256:{}", &digest(&index).hex()[..10])),
        ["both:1", "both:2"]
    );
    assert!(!find(&config.hex()[..1]).is_empty());
    for text in ["", "sha256:", "zzzz", "Not A Name", "../../etc/passwd"] {
        assert_eq!(find(text), Vec::<String>::new(), "{text:?}");
    }
    // A name wins over an ID that looks the same.
    let id = digest(&wasm);
    let start = id.short();
    store
        .set_name(&name(start).or_latest(), &native, 0)
        .expect("a name");
    assert_eq!(find(start), [format!("{start}:latest")]);
}

#[test]
fn an_image_without_a_name_is_kept() {
    let (_folder, store) = store();
    let image = put_image(&store, "wasi/wasm", "x");
    let id = digest(&image);
    store.keep_unnamed(&image, 7).expect("kept");
    store.keep_unnamed(&image, 8).expect("kept already");
    let images = store.images().expect("images");
    assert_eq!(images.len(), 1);
    assert_eq!((&images[0].name, images[0].stored_at), (&None, Some(7)));
    assert_eq!(images[0].descriptor, image);
    assert_eq!(store.names().expect("names"), []);
    assert_eq!(store.find(id.short()).expect("found"), images);
    store.collect_garbage(&[]).expect("a collection");
    assert!(store.describe(&id).expect("readable").is_some());

    // With a name it needs no entry of its own any more.
    store.set_name(&name("x:1"), &image, 9).expect("a name");
    assert_eq!(store.images().expect("images").len(), 1);
    store.keep_unnamed(&image, 9).expect("kept already");
    assert!(!store.remove_unnamed(&id).expect("an answer"));
    store.remove_name(&name("x:1")).expect("an answer");
    store.keep_unnamed(&image, 9).expect("kept");
    assert!(store.remove_unnamed(&id).expect("an answer"));
    assert_eq!(store.images().expect("images"), []);
}
