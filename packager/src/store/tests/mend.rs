//! What keeps a store from being opened, and is put right.

use std::fs;

use super::*;

fn problems(store: &Store) -> Vec<String> {
    let mended = Store::mend(store.root()).expect("mended");
    let name = |mended: &Mended| {
        let path = mended
            .path
            .strip_prefix(store.root())
            .expect("in the store");
        format!("{} {}", path.display(), mended.problem)
    };
    mended.iter().map(name).collect()
}

#[test]
fn what_stands_in_the_way_is_removed() {
    let (_folder, store) = store();
    let image = put_image(&store, "wasi/wasm", "one");
    store.set_name(&name("one:1"), &image, 1).expect("a name");
    assert_eq!(problems(&store), Vec::<String>::new());
    for lock in [".lock", ".lease"] {
        let path = store.root().join(lock);
        fs::remove_file(&path).expect("a lock");
        fs::create_dir(&path).expect("a folder");
        fs::write(path.join("file"), b"").expect("a file");
        store
            .set_name(&name("two:1"), &image, 1)
            .and_then(|()| store.lease())
            .expect_err("no lock");
        assert_eq!(
            problems(&store),
            [format!("{lock} is a folder and should be a file")]
        );
        store.set_name(&name("two:1"), &image, 1).expect("a name");
        store.lease().expect("a lease");
    }
    fs::remove_dir_all(store.root().join(".ingest")).expect("a folder");
    fs::write(store.root().join(".ingest"), b"").expect("a file");
    store.put_blob(b"new").expect_err("no folder");
    assert_eq!(
        problems(&store),
        [".ingest is a file and should be a folder"]
    );
    store.put_blob(b"new").expect("a blob");

    fs::remove_file(store.root().join("index.json")).expect("names");
    fs::create_dir(store.root().join("index.json")).expect("a folder");
    assert_eq!(
        problems(&store),
        ["index.json is a folder and should be a file"]
    );
    let restored = store.restore_names().expect("names").expect("made again");
    assert_eq!(restored.lost, Vec::<String>::new());
    store
        .resolve(&name("one:1"))
        .expect("names")
        .expect("its name");
}

#[test]
fn a_marker_that_says_nothing_is_made_again_and_a_foreign_one_stays() {
    let (_folder, store) = store();
    let image = put_image(&store, "wasi/wasm", "one");
    store.set_name(&name("one:1"), &image, 1).expect("a name");
    let marker = store.root().join("oci-layout");
    for text in [
        "",
        "{",
        "[]",
        "{}",
        r#"{"imageLayoutVersion":1}"#,
        "\0\0\0\0",
    ] {
        fs::write(&marker, text).expect("damage");
        Store::open(store.root()).expect_err(text);
        assert_eq!(problems(&store).len(), 1, "{text:?}");
        let store = Store::open(store.root()).expect("a store");
        store
            .resolve(&name("one:1"))
            .expect("names")
            .expect("its name");
        assert_eq!(problems(&store), Vec::<String>::new());
    }
    fs::write(&marker, r#"{"imageLayoutVersion":"2.0.0"}"#).expect("another version");
    assert_eq!(problems(&store), Vec::<String>::new());
    Store::open(store.root()).expect_err("another version");
}

#[test]
fn a_folder_in_place_of_a_blob_is_damage() {
    let (_folder, store) = store();
    let image = put_image(&store, "wasi/wasm", "one");
    store.set_name(&name("one:1"), &image, 1).expect("a name");
    let (blob, _) = store.put_blob(b"nobody needs it").expect("a blob");
    let path = store.path(layout::blob_path(&blob));
    for keep in [true, false] {
        fs::remove_file(&path).expect("a blob");
        fs::create_dir(&path).expect("a folder");
        fs::write(path.join("file"), b"").expect("a file");
        assert_eq!(store.blob_size(&blob).expect("searched"), None);
        let damages = store.verify_blobs().expect("a check").damages;
        assert!(
            matches!(&damages[..], [Damage::Blob { digest, .. }] if *digest == blob),
            "{damages:?}"
        );
        // It keeps nothing else from being collected.
        store.collect_garbage(&[]).expect("collected");
        assert!(path.is_dir());
        if keep {
            assert_eq!(
                store.discard_damaged().expect("removed"),
                std::slice::from_ref(&blob)
            );
        } else {
            assert!(store.discard_blob(&blob).expect("removed"));
        }
        assert!(!path.exists());
        store.put_blob(b"nobody needs it").expect("a blob");
    }
    fs::create_dir(store.root().join(".ingest/folder")).expect("a folder");
    assert!(store.sweep_leftovers().expect("swept"));
    fs::create_dir(store.root().join(".ingest/folder")).expect("a folder");
    store.collect_garbage(&[]).expect("collected");
    assert!(!store.root().join(".ingest/folder").exists());
}
