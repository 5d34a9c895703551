//! What stands in the way, and is removed.

use std::fs;

use super::super::LayerStore;
use super::{Blob, Tar, World};
use crate::digest::Digest;

#[test]
fn what_stands_in_the_way_is_removed() {
    let world = World::new();
    let blob = Blob::gzip(&Tar::default().file("a", b"content").end());
    let image = world.image(std::slice::from_ref(&blob));
    let root = world.layers.root();
    let mend = || LayerStore::mend(root).expect("mended");
    assert_eq!(mend(), Vec::<std::path::PathBuf>::new());
    world.layers.prepare(&world.store, &image).expect("packed");
    assert_eq!(mend(), Vec::<std::path::PathBuf>::new());

    let layer = world.layers.layer_dir(&blob.diff_id);
    for path in [
        root.join("lock"),
        root.join("packing"),
        root.join("turns")
            .join(Digest::sha256_of(&blob.bytes).hex()),
    ] {
        fs::remove_file(&path).expect("a lock");
        fs::create_dir(&path).expect("a folder");
        fs::write(path.join("file"), b"").expect("a file");
        fs::remove_dir_all(&layer).expect("the layer is gone");
        let error = world.layers.prepare(&world.store, &image);
        error.expect_err("no lock");
        assert_eq!(mend(), [path]);
        world.layers.prepare(&world.store, &image).expect("packed");
    }
    for path in [layer, root.join("sha256"), root.join("tmp")] {
        fs::remove_dir_all(root.join("sha256")).expect("layers are gone");
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        if path.exists() {
            fs::remove_dir_all(&path).expect("a folder");
        }
        fs::write(&path, b"").expect("a file in its place");
        assert_eq!(mend(), [path]);
        world.layers.prepare(&world.store, &image).expect("packed");
        let verified = world.layers.verify().expect("a check");
        assert!(verified.damages.is_empty(), "{verified:?}");
    }
}

#[test]
fn a_file_in_place_of_a_layer_does_not_keep_it_from_being_packed() {
    let world = World::new();
    let blob = Blob::gzip(&Tar::default().file("a", b"content").end());
    let layer = world.layers.layer_dir(&blob.diff_id);
    fs::create_dir_all(layer.parent().expect("a parent")).expect("a folder");
    fs::write(&layer, b"no folder").expect("a file");
    let verified = world.layers.verify().expect("a check");
    assert_eq!(verified.unfinished, [layer]);
    assert_eq!(world.prepared(&[blob]).len(), 2);
}
