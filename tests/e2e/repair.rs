//! What the disk has damaged, or somebody has deleted behind our back, and how it is put right.

use std::fs;
use std::path::{Path, PathBuf};

use crate::fixtures::only;
use crate::layout::{self, text};
use crate::registry::Registry;
use crate::world::World;

fn flip(file: &Path) {
    let mut bytes = fs::read(file).expect("a file of the store");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file, bytes).expect("the disk changes a byte");
}

/// Files of the data folder whose name ends so.
fn files(world: &World, end: &str) -> Vec<PathBuf> {
    let all = layout::files(&world.root());
    all.into_iter()
        .filter(|file| file.to_string_lossy().ends_with(end))
        .collect()
}

#[test]
fn a_damaged_blob_is_pulled_again() {
    let registry = Registry::open();
    let sender = World::new();
    let name = registry.image("exit7:1");
    sender.build(&name, &only("exit7"), &["exit7"], &[]);
    sender.ok(&["push", "-q", &name]);
    let world = World::new();
    world.guest_image("cat");
    world.ok(&["pull", "-q", &name]);
    let manifest = layout::manifest(&world.images(), &name);
    let parts = [
        text(&manifest["layers"][0]["digest"]).to_owned(),
        text(&manifest["config"]["digest"]).to_owned(),
        sender.json(&["inspect", &name])[0]["Coracle"]["Manifest"]
            .as_str()
            .expect("a digest")
            .to_owned(),
    ];
    for part in parts {
        flip(&layout::blob(&world.images(), &part));
        // So that the layer has to be read from its blob.
        fs::remove_dir_all(world.root().join("layers")).expect("remove what was packed");
        let message = world.refused(&["run", "--rm", &name]);
        assert!(message.contains("Hint: "), "{part}: {message}");
        world.ok(&["images", "-q", "cat"]);
        world.ok(&["pull", "-q", &name]);
        world.run(&["run", "--rm", &name]).expect_code(7, &["run"]);
        layout::assert_sound(&world.images());
    }
}

#[test]
fn a_damaged_image_does_not_keep_others_from_going() {
    let world = World::new();
    world.guest_image("exit7");
    world.guest_image("cat");
    let id = world.ok(&["images", "-q", "cat"]);
    let manifest = world.json(&["inspect", "exit7"])[0]["Coracle"]["Manifest"]
        .as_str()
        .expect("a digest")
        .to_owned();
    flip(&layout::blob(&world.images(), &manifest));
    world.ok(&["inspect", id.trim_end()]);
    assert!(
        world
            .ok(&["rmi", "cat"])
            .starts_with("Untagged: cat:latest\n")
    );
    assert!(
        world
            .ok(&["rmi", "exit7"])
            .starts_with("Untagged: exit7:latest\n")
    );
    world.guest_image("exit7");
    world
        .run(&["run", "--rm", "exit7"])
        .expect_code(7, &["run"]);
}

#[test]
fn what_was_packed_is_packed_again() {
    let world = World::new();
    world.guest_image("exit7");
    type Harm = (&'static str, &'static str, fn(&Path));
    let harms: [Harm; 5] = [
        ("tar gone", "layer.tar", |file| {
            fs::remove_file(file).expect("remove")
        }),
        ("index cut", "index.v1", |file| {
            fs::write(file, b"CORA").expect("write")
        }),
        ("index empty", "index.v1", |file| {
            fs::write(file, b"").expect("write")
        }),
        ("index gone", "index.v1", |file| {
            fs::remove_file(file).expect("remove")
        }),
        ("all gone", "index.v1", |file| {
            fs::remove_dir_all(file.parent().expect("a folder")).expect("remove");
        }),
    ];
    for (title, end, harm) in harms {
        let victims = files(&world, end);
        assert!(!victims.is_empty(), "{title}");
        for victim in &victims {
            harm(victim);
        }
        let output = world.run(&["run", "--rm", "exit7"]);
        assert_eq!(output.code, Some(7), "{title}: {}", output.errors());
    }
}

#[test]
fn compiled_code_is_made_again_with_its_image() {
    let world = World::new();
    world.guest_image("exit7");
    world.guest_image("cat");
    let before = files(&world, ".cwasm");
    assert_eq!(before.len(), 2, "{before:?}");
    fs::write(&before[0], b"").expect("write");
    fs::write(&before[1], b"\x7fELF").expect("write");
    world
        .run(&["run", "--rm", "exit7"])
        .expect_code(7, &["run"]);
    world.ok(&["rmi", "exit7"]);
    assert_eq!(files(&world, ".cwasm").len(), 1, "it goes with its image");
    world.ok(&["rmi", "cat"]);
    assert_eq!(files(&world, ".cwasm").len(), 0);
}

#[test]
fn an_image_that_lost_its_name_does_not_stay() {
    let world = World::new();
    for seed in 0..3 {
        let noise = crate::fixtures::noise(300_000, seed);
        let dockerfile = "FROM scratch\nCOPY exit7.wasm noise /\nENTRYPOINT [\"/exit7.wasm\"]\n";
        world.build("app", dockerfile, &["exit7"], &[("noise", &noise)]);
    }
    world
        .run(&["run", "--name", "user", "app"])
        .expect_code(7, &["run"]);
    let large = || {
        let size = |file: &PathBuf| fs::metadata(file).expect("a file").len();
        layout::files(&world.root())
            .iter()
            .filter(|file| size(file) > 200_000)
            .count()
    };
    assert_eq!(large(), 2, "one blob, and its packed form");
    world.ok(&["rmi", "-f", "app"]);
    assert_eq!(large(), 2, "the container needs it");
    world.ok(&["rm", "user"]);
    assert_eq!(large(), 0);
}
