//! What a check finds, and what a repair makes of it.

use std::fs;

use super::*;

fn image_of(names: &VerifiedNames) -> Vec<String> {
    let damages = names.damages.iter();
    damages.map(|damage| format!("{damage:?}")).collect()
}

fn blob(store: &Store, descriptor: &Descriptor) -> PathBuf {
    store.path(layout::blob_path(&digest(descriptor)))
}

fn two_images(store: &Store) -> (Descriptor, Descriptor) {
    let one = put_image(store, "wasi/wasm", "one");
    let two = put_index(store, &[put_image(store, "wasi/wasm", "two")]);
    store.set_name(&name("one:1"), &one, 1).expect("a name");
    store.set_name(&name("two:1"), &two, 2).expect("a name");
    (one, two)
}

#[test]
fn a_whole_store_has_no_damage() {
    let (_folder, store) = store();
    two_images(&store);
    let blobs = store.verify_blobs().expect("a check");
    assert!(blobs.damages.is_empty(), "{blobs:?}");
    assert_eq!(blobs.blobs, 7);
    assert!(blobs.leftovers.is_empty() && blobs.strangers.is_empty());
    let names = store.verify_names().expect("a check");
    assert!(names.damages.is_empty(), "{names:?}");
    assert_eq!((names.names, names.users.len()), (2, 7));
    assert_eq!(store.restore_names().expect("nothing to do"), None);
}

#[test]
fn each_damaged_blob_is_found_and_only_that() {
    let (_folder, store) = store();
    let (one, _) = two_images(&store);
    let files = files(&store.root().join("blobs/sha256"));
    for file in &files {
        let path = store.root().join("blobs/sha256").join(file);
        let sound = fs::read(&path).expect("a blob");
        let mut flipped = sound.clone();
        flipped[sound.len() / 2] ^= 1;
        for bytes in [&flipped[..], &sound[..sound.len() - 1], b""] {
            fs::write(&path, bytes).expect("damage");
            let damages = store.verify_blobs().expect("a check").damages;
            assert!(
                matches!(&damages[..], [Damage::Blob { digest, .. }] if digest.hex() == file),
                "{file}: {damages:?}"
            );
        }
        fs::write(&path, sound).expect("put right");
    }
    // A right one is not thrown away.
    assert!(!store.discard_blob(&digest(&one)).expect("checked"));
    fs::write(blob(&store, &one), b"{}").expect("damage");
    assert!(store.discard_blob(&digest(&one)).expect("removed"));
    assert!(!store.discard_blob(&digest(&one)).expect("gone"));
    let names = store.verify_names().expect("a check");
    assert!(
        matches!(&names.damages[..], [Damage::Absent { image, .. }] if image == "one:1"),
        "{names:?}"
    );
}

#[test]
fn what_a_name_lacks_is_said_with_the_name() {
    let (_folder, store) = store();
    let (one, _) = two_images(&store);
    let manifest = store.manifests(&one).expect("a manifest");
    for lost in manifest.configs.iter().chain(&manifest.layers) {
        let path = blob(&store, lost);
        let bytes = fs::read(&path).expect("a blob");
        fs::remove_file(&path).expect("removed");
        let names = store.verify_names().expect("a check");
        let wanted = lost.digest().to_string();
        assert!(
            matches!(&names.damages[..], [Damage::Absent { image, digest, .. }] if image == "one:1" && *digest == wanted),
            "{:?}",
            image_of(&names)
        );
        fs::write(&path, bytes).expect("put right");
    }
    // A platform of an index that was not pulled is no damage; all of them are.
    let host = put_image(&store, "linux/amd64", "three");
    let other = put_image(&store, "linux/arm64", "four");
    let index = put_index(&store, &[host.clone(), other.clone()]);
    store.set_name(&name("many:1"), &index, 3).expect("a name");
    fs::remove_file(blob(&store, &other)).expect("removed");
    assert!(store.verify_names().expect("a check").damages.is_empty());
    fs::remove_file(blob(&store, &host)).expect("removed");
    assert_eq!(store.verify_names().expect("a check").damages.len(), 1);
}

#[test]
fn names_come_back_from_their_last_good_copy() {
    let (_folder, store) = store();
    let (one, two) = two_images(&store);
    let three = put_image(&store, "wasi/wasm", "three");
    // The copy that is kept is from before this change.
    store.set_name(&name("three:1"), &three, 3).expect("a name");
    let index = store.root().join("index.json");
    for damage in [
        None,
        Some(&b""[..]),
        Some(b"{\"schemaVersion\":2,\"mani"),
        Some(b"[]"),
    ] {
        match damage {
            None => fs::remove_file(&index).expect("removed"),
            Some(bytes) => fs::write(&index, bytes).expect("damage"),
        }
        assert!(matches!(
            &store.verify_names().expect("a check").damages[..],
            [Damage::Names(StoreError::DamagedIndex { .. })]
        ));
        assert!(store.collect_garbage(&[]).is_err(), "nothing is removed");
        let restored = store.restore_names().expect("restored").expect("a need");
        assert_eq!(restored.restored[..2], ["one:1", "two:1"]);
        // The one that was named last has another name until somebody gives it its own.
        let short = digest(&three).short().to_owned();
        let given = format!("localhost/recovered:{short}");
        assert!(
            restored.given == [given.clone()] || restored.restored[2..] == [given.clone()],
            "{restored:?}"
        );
        let resolve = |text: &str| store.resolve(&name(text)).expect("names");
        assert_eq!(
            resolve("one:1").map(|image| digest(&image)),
            Some(digest(&one))
        );
        assert_eq!(
            resolve("two:1").map(|image| digest(&image)),
            Some(digest(&two))
        );
        assert_eq!(
            resolve(&given).map(|image| digest(&image)),
            Some(digest(&three))
        );
        assert!(store.verify_names().expect("a check").damages.is_empty());
        let freed = store.collect_garbage(&[]).expect("collected");
        assert_eq!(freed.blobs, 0, "nothing is lost");
        // So that the copy has them all.
        store.set_name(&name("one:1"), &one, 1).expect("a name");
    }
}

#[test]
fn without_any_copy_every_image_gets_a_name() {
    let (_folder, store) = store();
    let (one, two) = two_images(&store);
    fs::remove_file(store.root().join(".index.json.previous")).expect("removed");
    fs::write(store.root().join("index.json"), b"\0\0\0\0").expect("damage");
    let restored = store.restore_names().expect("restored").expect("a need");
    assert_eq!((restored.restored.len(), restored.given.len()), (0, 2));
    for image in [one, two] {
        let given = format!("localhost/recovered:{}", digest(&image).short());
        assert!(restored.given.contains(&given), "{given} {restored:?}");
    }
    assert_eq!(store.collect_garbage(&[]).expect("collected").blobs, 0);
}

#[test]
fn a_name_whose_blobs_are_gone_stays_lost() {
    let (_folder, store) = store();
    let (one, _) = two_images(&store);
    store.remove_name(&name("one:1")).expect("removed");
    store.collect_garbage(&[]).expect("collected");
    assert_eq!(store.blob_size(&digest(&one)).expect("looked"), None);
    fs::write(store.root().join("index.json"), b"x").expect("damage");
    let restored = store.restore_names().expect("restored").expect("a need");
    assert_eq!(restored.restored, ["two:1"]);
    assert_eq!(restored.lost, ["one:1"]);
    assert!(restored.given.is_empty(), "{restored:?}");
}

/// A store whose marker is gone is not taken for a new one.
#[test]
fn a_lost_marker_does_not_hide_lost_names() {
    let (_folder, store) = store();
    two_images(&store);
    fs::remove_file(store.root().join("oci-layout")).expect("removed");
    fs::remove_file(store.root().join("index.json")).expect("removed");
    let store = Store::open(store.root()).expect("a store");
    assert!(store.names().is_err());
    let restored = store.restore_names().expect("restored").expect("a need");
    assert_eq!(restored.restored.len() + restored.given.len(), 2);
}

#[test]
fn leftovers_are_found_and_swept_but_not_from_under_a_writer() {
    let (_folder, store) = store();
    let left = store.root().join(".ingest/0123456789abcdef");
    fs::write(&left, b"half").expect("a file");
    fs::write(store.root().join("blobs/sha256/README"), b"hello").expect("a file");
    let verified = store.verify_blobs().expect("a check");
    assert_eq!(verified.leftovers, std::slice::from_ref(&left));
    assert_eq!(verified.strangers.len(), 1);
    let writer = store.blob_writer(None).expect("a writer");
    let verified = store.verify_blobs().expect("a check");
    assert!(verified.leftovers.is_empty(), "they may be the writer's");
    assert!(!store.sweep_leftovers().expect("tried"));
    drop(writer);
    assert!(store.sweep_leftovers().expect("swept"));
    assert!(!left.exists());
}
