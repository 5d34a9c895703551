//! The layer store: what it keeps, and under whose feet.

use std::fs;
use std::thread;

use super::super::{LayerStore, chain_id};
use super::{Blob, Tar, World};
use crate::digest::Digest;

fn two_layers() -> [Blob; 2] {
    [
        Blob::gzip(&Tar::default().file("a", b"base").file("b", b"base").end()),
        Blob::zstd(&Tar::default().file(".wh.a", b"").file("c", b"top").end()),
    ]
}

#[test]
fn prepare_and_read() {
    let world = World::new();
    let blobs = two_layers();
    let image = world.image(&blobs);
    assert_eq!(world.layers.prepared(&image).expect("searched"), None);
    let rootfs = world.layers.prepare(&world.store, &image).expect("packed");
    assert_eq!(
        world.layers.prepared(&image).expect("searched"),
        Some(rootfs.clone())
    );
    let again = world.layers.prepare(&world.store, &image).expect("there");
    assert_eq!(again, rootfs);

    let index = rootfs.read_index().expect("sound");
    let names: Vec<_> = index
        .children(index.root())
        .expect("sound")
        .map(|child| index.node(child).expect("sound"))
        .collect();
    let contents: Vec<_> = names
        .iter()
        .map(|node| {
            let tar = fs::read(&rootfs.layers[node.layer as usize]).expect("tar");
            let start = node.offset as usize;
            (node.name, tar[start..start + node.size as usize].to_vec())
        })
        .collect();
    assert_eq!(
        contents,
        [(&b"b"[..], b"base".to_vec()), (b"c", b"top".to_vec())]
    );
    assert_eq!(index.diff_id(1), Ok(&*blobs[1].diff_id.to_string()));
    for (file, blob) in rootfs.layers.iter().zip(&blobs) {
        assert_eq!(
            Digest::sha256_of(&fs::read(file).expect("tar")),
            blob.diff_id
        );
    }
    let files = world.files();
    assert_eq!(files.len(), 5, "{files:?}");
    assert!(
        !files.iter().any(|file| file.starts_with("tmp")),
        "{files:?}"
    );
}

#[cfg(unix)]
#[test]
fn for_the_owner_only() {
    use std::os::unix::fs::PermissionsExt;

    let world = World::new();
    world.prepared(&two_layers());
    let mut queue = vec![world.layers.root().to_path_buf()];
    while let Some(path) = queue.pop() {
        let mode = fs::metadata(&path).expect("metadata").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", path.display());
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("listing");
            queue.extend(entries.map(|entry| entry.expect("entry").path()));
        }
    }
}

#[test]
fn images_without_layers_and_with_one_layer_twice() {
    let world = World::new();
    assert_eq!(world.prepared(&[]).len(), 1);
    let blob = Blob::gzip(&Tar::default().file("a", b"").end());
    let tree = world.prepared(&[blob.clone(), blob]);
    assert_eq!(tree[&b"a"[..]].layer, 1);
}

/// The examples of the specification are symbolic; this is its formula, spelled out.
#[test]
fn chain_ids() {
    let ids: Vec<_> = ["a", "b", "c"]
        .map(|text| Digest::sha256_of(text.as_bytes()))
        .into();
    assert_eq!(chain_id(&ids[..1]), ids[0]);
    let two = Digest::sha256_of(format!("{} {}", ids[0], ids[1]).as_bytes());
    assert_eq!(chain_id(&ids[..2]), two);
    let three = Digest::sha256_of(format!("{two} {}", ids[2]).as_bytes());
    assert_eq!(chain_id(&ids), three);
}

#[test]
fn a_missing_file_is_made_again() {
    let world = World::new();
    let image = world.image(&two_layers());
    let rootfs = world.layers.prepare(&world.store, &image).expect("packed");
    fs::remove_file(&rootfs.index).expect("removed");
    assert_eq!(world.layers.prepared(&image).expect("searched"), None);
    world.layers.prepare(&world.store, &image).expect("merged");

    // As a program of another version would have left it: a tar, and no index that we know.
    let index = rootfs.layers[0].with_file_name("index.v1");
    fs::remove_file(&index).expect("removed");
    fs::remove_file(&rootfs.index).expect("removed");
    world.layers.prepare(&world.store, &image).expect("packed");
    assert!(index.exists());
    assert_eq!(world.files().len(), 5);
}

#[test]
fn many_at_once() {
    let world = World::new();
    let image = world.image(&two_layers());
    let start = std::sync::Barrier::new(8);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    // Each as a process of its own would: a store of its own on the same directory.
                    let layers = LayerStore::open(world.layers.root()).expect("opened");
                    start.wait();
                    layers.prepare(&world.store, &image).expect("packed")
                })
            })
            .collect();
        let all: Vec<_> = workers
            .into_iter()
            .map(|worker| worker.join().expect("no panic"))
            .collect();
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
    });
    assert_eq!(world.files().len(), 5);
}

/// A directory in `tmp` is what a process leaves that is killed while it packs.
#[test]
fn leftovers_are_swept_but_not_from_under_a_writer() {
    let world = World::new();
    let left = world.layers.root().join("tmp/4242-0");
    let leave = || {
        fs::create_dir_all(&left).expect("directory");
        fs::write(left.join("layer.tar"), b"half").expect("file");
    };
    leave();
    let image = world.image(&two_layers());
    assert_eq!(world.layers.prepared(&image).expect("searched"), None);
    let lease = world.layers.lease().expect("lease");
    world.layers.prepare(&world.store, &image).expect("packed");
    assert!(left.exists(), "who holds a lease may be writing there");
    assert!(world.layers.collect_garbage(&[], &[]).expect("tried").busy);
    drop(lease);
    world.layers.sweep().expect("swept");
    assert!(!left.exists());
    leave();
    assert!(
        !world
            .layers
            .collect_garbage(&[], &[])
            .expect("collected")
            .busy
    );
    assert!(world.files().is_empty(), "{:?}", world.files());
}

#[test]
fn garbage() {
    let world = World::new();
    let [base, top] = two_layers();
    let other = Blob::gzip(&Tar::default().file("other", b"").end());
    let kept = world.image(&[base.clone(), top.clone()]);
    world.layers.prepare(&world.store, &kept).expect("packed");
    world
        .layers
        .prepare(&world.store, &world.image(&[base.clone(), other]))
        .expect("packed");
    let keep = [base.diff_id, top.diff_id];
    let collected = world
        .layers
        .collect_garbage(&[chain_id(&keep)], &keep)
        .expect("collected");
    assert_eq!(
        (collected.layers, collected.chains, collected.busy),
        (1, 1, false)
    );
    assert!(collected.bytes > 1024, "{}", collected.bytes);
    assert!(world.layers.prepared(&kept).expect("searched").is_some());
    assert_eq!(world.files().len(), 5);
    let again = world.layers.collect_garbage(&[chain_id(&keep)], &keep);
    assert_eq!(
        again.expect("collected"),
        super::super::Collected::default()
    );
}

#[test]
fn what_was_packed_ahead_is_found() {
    let world = World::new();
    let blobs = two_layers();
    let image = world.image(&blobs);
    for (blob, layer) in blobs.iter().zip(image.tar_layers().expect("layers")) {
        for _ in 0..2 {
            let diff_id = world.layers.pack_ahead(&world.store, &layer.digest);
            assert_eq!(diff_id.expect("packed"), blob.diff_id);
        }
        // Nobody needs the blob any more: so it is not read again.
        fs::remove_file(
            world
                .store
                .root()
                .join("blobs/sha256")
                .join(layer.digest.hex()),
        )
        .expect("removed");
        let again = world.layers.pack_ahead(&world.store, &layer.digest);
        assert_eq!(again.expect("remembered"), blob.diff_id);
    }
    let rootfs = world.layers.prepare(&world.store, &image).expect("there");
    assert_eq!(rootfs.layers.len(), 2);
    assert!(world.layers.verify().expect("a check").damages.is_empty());
    // What is remembered goes with the next collection, as it may be wrong by then.
    assert!(
        !world
            .layers
            .collect_garbage(&[], &[])
            .expect("collected")
            .busy
    );
    let layer = image.tar_layers().expect("layers").remove(0);
    assert!(
        world
            .layers
            .pack_ahead(&world.store, &layer.digest)
            .is_err()
    );
}

#[test]
fn what_is_no_layer_leaves_nothing_when_packed_ahead() {
    let world = World::new();
    for bytes in [
        &b"\0asm\x01\0\0\0 a program as a layer"[..],
        b"{}",
        b"\x1f\x8b",
    ] {
        let (blob, _) = world.store.put_blob(bytes).expect("stored");
        world
            .layers
            .pack_ahead(&world.store, &blob)
            .expect_err("no archive");
    }
    let absent = Digest::sha256_of(b"absent");
    world
        .layers
        .pack_ahead(&world.store, &absent)
        .expect_err("absent");
    assert!(world.files().is_empty(), "{:?}", world.files());
}

#[test]
fn several_at_a_time_are_what_one_after_the_other_is() {
    let blobs: Vec<Blob> = (0..9)
        .map(|number| {
            let name = format!("file-{number}");
            Blob::gzip(&Tar::default().file(&name, &[number; 5000]).end())
        })
        .collect();
    let (one, many) = (World::new(), World::new());
    let image = one.image(&blobs);
    assert_eq!(many.image(&blobs), image);
    let serial = one.layers.prepare(&one.store, &image).expect("packed");
    let parallel = many.layers.prepare_in_parallel(&many.store, &image);
    let parallel = parallel.expect("packed");
    assert_eq!(one.files(), many.files());
    assert_eq!(
        fs::read(serial.index).expect("an index"),
        fs::read(parallel.index).expect("an index")
    );
}
