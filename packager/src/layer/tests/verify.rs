//! What a check of packed layers finds, and how they are made again.

use std::fs;
use std::path::PathBuf;

use super::super::PackedDamage;
use super::{Blob, Tar, World};

fn blobs() -> [Blob; 2] {
    let base = Tar::default()
        .dir("d", 0o755)
        .file("d/a", b"\0asm\x01\0\0\0content")
        .hard_link("d/b", "d/a")
        .pax(&[(b"SCHILY.xattr.user.x", b"value")])
        .file("z", b"base")
        .end();
    let top = Tar::default().file(".wh.z", b"").file("new", b"top").end();
    [Blob::gzip(&base), Blob::zstd(&top)]
}

fn files(world: &World, end: &str) -> Vec<PathBuf> {
    let files = world.files().into_iter().filter(|file| file.ends_with(end));
    files.map(|file| world.layers.root().join(file)).collect()
}

#[test]
fn sound_layers_have_no_damage() {
    let world = World::new();
    world.prepared(&blobs());
    let verified = world.layers.verify().expect("a check");
    assert!(verified.damages.is_empty(), "{verified:?}");
    assert_eq!((verified.layers, verified.chains), (2, 1));
    assert!(verified.leftovers.is_empty() && verified.unfinished.is_empty());
}

/// Every byte of an index counts: whichever is changed, the check finds it.
#[test]
fn every_changed_byte_is_found() {
    let world = World::new();
    world.prepared(&blobs());
    for end in ["layer.tar", "index.v1"] {
        for file in files(&world, end) {
            let sound = fs::read(&file).expect("a file");
            for at in (0..sound.len()).step_by(sound.len().div_ceil(97)) {
                let mut bytes = sound.clone();
                bytes[at] ^= 1;
                fs::write(&file, &bytes).expect("damage");
                let damages = world.layers.verify().expect("a check").damages;
                assert!(
                    damages.iter().any(|damage| file.starts_with(damage.path())),
                    "{file:?} byte {at}: {damages:?}"
                );
            }
            fs::write(&file, &sound).expect("put right");
        }
    }
    assert!(world.layers.verify().expect("a check").damages.is_empty());
}

#[test]
fn what_is_discarded_is_made_again() {
    let world = World::new();
    let image = world.image(&blobs());
    world.layers.prepare(&world.store, &image).expect("packed");
    let harms: [fn(&mut Vec<u8>); 5] = [
        |bytes| bytes.truncate(bytes.len() / 2),
        |bytes| bytes.clear(),
        |bytes| bytes.fill(b'x'),
        |bytes| bytes[8] ^= 2,
        |bytes| bytes.extend_from_slice(b"more"),
    ];
    for end in ["layer.tar", "index.v1"] {
        for harm in harms {
            for file in files(&world, end) {
                let sound = fs::read(&file).expect("a file");
                let mut bytes = sound.clone();
                harm(&mut bytes);
                fs::write(&file, bytes).expect("damage");
                let verified = world.layers.verify().expect("a check");
                assert!(!verified.damages.is_empty(), "{file:?}");
                for damage in &verified.damages {
                    world.layers.discard_packed(damage).expect("removed");
                }
                assert_eq!(world.layers.prepared(&image).expect("searched"), None);
                world.layers.prepare(&world.store, &image).expect("packed");
                assert_eq!(fs::read(&file).expect("a file"), sound, "{file:?}");
                assert!(world.layers.verify().expect("a check").damages.is_empty());
            }
        }
    }
}

#[test]
fn a_chain_under_a_wrong_name_or_without_a_layer() {
    let world = World::new();
    world.prepared(&blobs());
    let chains = world.layers.root().join("chains");
    let file = files(&world, "index.v1")
        .into_iter()
        .find(|file| file.starts_with(&chains))
        .expect("a chain");
    let wrong = chains.join("0".repeat(64));
    fs::create_dir(&wrong).expect("a folder");
    fs::copy(&file, wrong.join("index.v1")).expect("a copy");
    let damages = world.layers.verify().expect("a check").damages;
    assert!(
        matches!(&damages[..], [PackedDamage::Chain { path, .. }] if *path == wrong),
        "{damages:?}"
    );
    world.layers.discard_packed(&damages[0]).expect("removed");
    let layer = files(&world, "layer.tar").remove(0);
    fs::remove_dir_all(layer.parent().expect("a folder")).expect("removed");
    let damages = world.layers.verify().expect("a check").damages;
    assert!(
        matches!(&damages[..], [PackedDamage::Chain { problem, .. }] if problem.contains("gone")),
        "{damages:?}"
    );
}

#[test]
fn another_versions_layer_is_not_called_damaged() {
    let world = World::new();
    world.prepared(&blobs());
    for file in files(&world, "index.v1") {
        fs::rename(&file, file.with_file_name("index.v0")).expect("renamed");
    }
    let verified = world.layers.verify().expect("a check");
    assert!(verified.damages.is_empty(), "{verified:?}");
    assert_eq!(verified.unfinished.len(), 3);
}
