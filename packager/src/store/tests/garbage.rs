use std::io::Write as _;

use super::*;

fn blobs(store: &Store) -> usize {
    let files = files(store.root());
    files
        .iter()
        .filter(|file| file.starts_with("blobs/"))
        .count()
}

#[test]
fn what_has_a_name_stays_and_the_rest_goes() {
    let (_folder, store) = store();
    let named = put_image(&store, "wasi/wasm", "named");
    let absent = descriptor(mt::OCI_MANIFEST, &Digest::sha256_of(b"absent"), 6);
    let index = put_index(&store, &[named, absent]);
    store.set_name(&name("x:1"), &index, 0).expect("a name");
    let kept = put_image(&store, "wasi/wasm", "kept");
    put_image(&store, "wasi/wasm", "garbage");
    store.put_blob(b"more garbage").expect("a blob");
    assert_eq!(blobs(&store), 4 + 3 + 3 + 1);

    let freed = store
        .collect_garbage(&[digest(&kept)])
        .expect("a collection");
    assert_eq!((freed.blobs, freed.busy), (4, false));
    assert!(freed.bytes > 12);
    assert_eq!(blobs(&store), 4 + 3);
    assert!(store.image(&index, None, &host()).is_ok());
    assert!(store.image(&kept, None, &host()).is_ok());

    // A container may need only a config or a layer: it is kept by its digest alone.
    let config = store
        .image(&kept, None, &host())
        .expect("an image")
        .config_digest;
    store.collect_garbage(&[config]).expect("a collection");
    assert_eq!(blobs(&store), 4 + 1);
    assert!(store.remove_name(&name("x:1")).expect("an answer"));
    store.collect_garbage(&[]).expect("a collection");
    assert_eq!(blobs(&store), 0);
    assert_eq!(
        store.collect_garbage(&[]).expect("a collection"),
        Freed::default()
    );
}

#[test]
fn a_lease_stops_it() {
    let (_folder, store) = store();
    let other = Store::open(store.root()).expect("a store");
    let garbage = store.put_blob(b"garbage").expect("a blob").0;
    let one = store.lease().expect("a lease");
    let two = other.lease().expect("a lease beside another");
    let busy = Freed {
        busy: true,
        ..Freed::default()
    };
    assert_eq!(other.collect_garbage(&[]).expect("an answer"), busy);
    drop(one);
    assert_eq!(store.collect_garbage(&[]).expect("an answer"), busy);
    drop(two);
    let mut writer = other.blob_writer(None).expect("a writer");
    writer.write_all(b"in the making").expect("a write");
    assert_eq!(
        store.collect_garbage(&[]).expect("an answer"),
        busy,
        "a writer is a lease"
    );
    let (digest, size) = writer.commit().expect("a blob");
    assert!(store.has_blob(&garbage, 7).expect("an answer"));
    assert!(store.has_blob(&digest, size).expect("an answer"));
    assert_eq!(store.collect_garbage(&[]).expect("an answer").blobs, 2);
}

#[test]
fn what_a_killed_process_left_goes() {
    let (_folder, store) = store();
    std::fs::write(store.root().join(".ingest/0123456789abcdef"), [1; 1000]).expect("a file");
    let foreign = store.root().join("blobs/sha256/README");
    std::fs::write(&foreign, "not a blob").expect("a file");
    let freed = store.collect_garbage(&[]).expect("a collection");
    assert_eq!((freed.blobs, freed.bytes), (0, 1000));
    assert_eq!(
        files(store.root()),
        ["blobs/sha256/README", "index.json", "oci-layout"]
    );
}

#[test]
fn entries_of_other_tools_keep_their_blobs() {
    let (_folder, store) = store();
    let attached = store.put_blob(b"attached").expect("a blob");
    let subject = put(&store, mt::OCI_MANIFEST, b"only a subject");
    // A kind of document that this store knows nothing about.
    let document = json!({
        "mediaType": "application/vnd.example.future+json", "subject": subject,
        "parts": {"one": [{"digest": attached.0, "size": attached.1}]},
    });
    let document = put(
        &store,
        "application/vnd.example.future+json",
        &canonical_json(&document),
    );
    let index = json!({"schemaVersion": 2, "manifests": [document]});
    std::fs::write(store.root().join("index.json"), index.to_string()).expect("a write");
    let freed = store.collect_garbage(&[]).expect("a collection");
    assert_eq!(freed.blobs, 1, "the subject");
    assert!(store.has_blob(&attached.0, attached.1).expect("an answer"));
}

#[test]
fn a_damaged_manifest_stops_it() {
    let (_folder, store) = store();
    let image = put_image(&store, "wasi/wasm", "x");
    store.set_name(&name("x:1"), &image, 0).expect("a name");
    store.put_blob(b"garbage").expect("a blob");
    let file = store.root().join("blobs/sha256").join(digest(&image).hex());
    std::fs::write(&file, "{}").expect("a write");
    store
        .collect_garbage(&[])
        .expect_err("what it needs is unknown");
    assert_eq!(blobs(&store), 4, "so nothing was removed");
}

#[test]
fn a_cycle_ends() {
    let (_folder, store) = store();
    // Digests make a true cycle impossible; a file that names itself is damaged, and is found out.
    let own = Digest::sha256_of(b"own");
    let text = json!({"schemaVersion": 2, "manifests": [descriptor(mt::OCI_INDEX, &own, 3)]});
    std::fs::write(
        store.root().join("blobs/sha256").join(own.hex()),
        text.to_string(),
    )
    .expect("a write");
    let entry = descriptor(mt::OCI_INDEX, &own, text.to_string().len() as u64);
    store.set_name(&name("x:1"), &entry, 0).expect("a name");
    assert!(store.collect_garbage(&[]).is_err());
    assert!(store.image(&entry, None, &host()).is_err());
    assert!(store.manifests(&entry).is_err());
}

#[test]
fn it_never_races_those_who_write() {
    let (_folder, store) = store();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let store = Store::open(store.root()).expect("a store");
                scope.spawn(move || {
                    for round in 0..10 {
                        let _lease = store.lease().expect("a lease");
                        let image = put_image(&store, "wasi/wasm", &format!("{writer} {round}"));
                        store
                            .set_name(&name(&format!("w{writer}:{round}")), &image, 0)
                            .expect("a name");
                    }
                })
            })
            .collect();
        while !writers.iter().all(|writer| writer.is_finished()) {
            store.collect_garbage(&[]).expect("a collection");
        }
    });
    let names = store.names().expect("names");
    assert_eq!(names.len(), 40);
    for image in names {
        store
            .image(&image.descriptor, None, &host())
            .expect("a whole image");
    }
}
