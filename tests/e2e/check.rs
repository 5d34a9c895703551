//! `coracle system check`: it finds what the disk damages, says what it means, and repairs what it can.

use std::fs;
use std::path::{Path, PathBuf};

use crate::fixtures::only;
use crate::layout::{self, text};
use crate::registry::Registry;
use crate::world::World;

const REPAIR: [&str; 3] = ["system", "check", "--repair"];

fn flip(file: &Path) {
    let mut bytes = fs::read(file).expect("a file of the data folder");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file, bytes).expect("the disk changes a byte");
}

fn only_file(world: &World, end: &str) -> PathBuf {
    let mut files = layout::files(&world.root());
    files.retain(|file| file.to_string_lossy().ends_with(end));
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

/// Runs a check that must fail, and returns what it has found.
fn problems(world: &World, arguments: &[&str]) -> String {
    let output = world.run(arguments).expect_code(1, arguments);
    output.text()
}

#[test]
fn a_sound_data_folder_has_no_problem() {
    let world = World::new();
    assert_eq!(world.ok(&["system", "check"]), "");
    world.guest_image("exit7");
    world
        .run(&["run", "--name", "kept", "exit7"])
        .expect_code(7, &["run"]);
    world
        .run(&["run", "--rm", "exit7"])
        .expect_code(7, &["run"]);
    let output = world.run(&["system", "check"]);
    assert_eq!(output.text(), "", "{}", output.errors());
    assert!(
        output.errors().starts_with(
            "Checked: 1 names, 4 blobs, 1 packed layers, 1 compiled programs, 1 containers; "
        ),
        "{}",
        output.errors()
    );
    assert_eq!(output.code, Some(0));
}

#[test]
fn a_damaged_blob_is_removed_and_its_image_named() {
    let registry = Registry::open();
    let world = World::new();
    let name = registry.image("exit7:1");
    world.build(&name, &only("exit7"), &["exit7"], &[]);
    world.ok(&["push", "-q", &name]);
    world.guest_image("cat");
    let manifest = layout::manifest(&world.images(), &name);
    let layer = text(&manifest["layers"][0]["digest"]).to_owned();
    flip(&layout::blob(&world.images(), &layer));

    let found = problems(&world, &["system", "check"]);
    assert!(
        found.contains(&layer) && found.contains(&format!("pull or build again: {name}\n")),
        "{found}"
    );
    let json = problems(&world, &["system", "check", "--format", "json"]);
    let line: serde_json::Value = serde_json::from_str(json.trim_end()).expect("one object");
    assert_eq!(
        (&line["Place"], &line["State"]),
        (&"images".into(), &"remains".into())
    );

    let found = problems(&world, &REPAIR);
    assert!(found.contains("repaired: "), "{found}");
    assert!(
        found.contains(&format!("pull or build {name} again")),
        "{found}"
    );
    // It stays a problem until the image is whole again.
    problems(&world, &["system", "check"]);
    world.ok(&["pull", "-q", &name]);
    world.ok(&["system", "check"]);
    world.run(&["run", "--rm", &name]).expect_code(7, &["run"]);
}

#[test]
fn lost_names_come_back() {
    let world = World::new();
    world.guest_image("exit7");
    world.guest_image("cat");
    world.ok(&["tag", "exit7", "again:2"]);
    let index = world.images().join("index.json");
    let before = world.ok(&["images", "-q"]);
    for damage in [&b"{"[..], b"", b"\0\0\0"] {
        fs::write(&index, damage).expect("the disk empties the list");
        for command in [&["images"][..], &["run", "exit7"], &["rmi", "exit7"]] {
            let output = world.run(command);
            assert_ne!(output.code, Some(0), "{command:?}");
            let message = output.errors();
            assert!(
                message.contains("coracle system check --repair"),
                "{message}"
            );
        }
        assert!(problems(&world, &["system", "check"]).contains("list of images"));
        let repaired = world.ok(&REPAIR);
        assert!(repaired.contains("from its last good copy"), "{repaired}");
        world
            .run(&["run", "--rm", "exit7"])
            .expect_code(7, &["run"]);
        world.ok(&["system", "check"]);
        world.ok(&["tag", "exit7", "again:2"]);
    }
    fs::remove_file(&index).expect("remove");
    world.ok(&REPAIR);
    world.ok(&["tag", "exit7", "again:2"]);
    assert_eq!(
        world.ok(&["images", "-q"]).lines().count(),
        before.lines().count()
    );
}

#[test]
fn damaged_packed_layers_and_compiled_code_are_made_again() {
    let world = World::new();
    world.guest_image("exit7");
    for end in ["layer.tar", ".cwasm"] {
        flip(&only_file(&world, end));
        let found = problems(&world, &["system", "check"]);
        assert_eq!(
            found.lines().filter(|line| !line.starts_with(' ')).count(),
            if end == ".cwasm" { 1 } else { 2 },
            "{found}"
        );
        world.ok(&REPAIR);
        world
            .run(&["run", "--rm", "exit7"])
            .expect_code(7, &["run"]);
        world.ok(&["system", "check"]);
    }
}

#[test]
fn leftovers_and_a_damaged_container() {
    let world = World::new();
    world.guest_image("exit7");
    world
        .run(&["run", "--name", "bad", "exit7"])
        .expect_code(7, &["run"]);
    let root = world.root();
    let left = [
        root.join("images/.ingest/0123456789abcdef"),
        root.join("layers/tmp/4242-0/layer.tar"),
        root.join(format!("staging/{}.dead/x", "a".repeat(64))),
    ];
    for file in &left {
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        fs::write(file, b"half").expect("a file");
    }
    let notes = world.ok(&["system", "check"]);
    assert_eq!(
        notes.matches("note: one file or folder").count(),
        3,
        "{notes}"
    );
    assert!(left.iter().all(|file| file.exists()));
    world.ok(&REPAIR);
    assert!(!left.iter().any(|file| file.exists()));

    let config = only_file(&world, "/config.json");
    fs::write(&config, b"{").expect("damage");
    let found = problems(&world, &REPAIR);
    assert!(found.contains("coracle rm "), "{found}");
    let id = config
        .parent()
        .and_then(Path::file_name)
        .expect("an id")
        .to_string_lossy()
        .into_owned();
    world.ok(&["rm", &id]);
    world.ok(&["system", "check"]);
}

#[test]
fn what_keeps_the_data_folder_from_being_opened_is_repaired() {
    let world = World::new();
    world.guest_image("exit7");
    // So that the last good copy of the list has its name.
    world.ok(&["tag", "exit7", "other"]);
    let (images, layers) = (world.images(), world.root().join("layers"));
    let folder = |path: &Path| {
        if path.is_file() {
            fs::remove_file(path).expect("a file");
        }
        fs::create_dir(path).expect("a folder in its place");
        fs::write(path.join("file"), b"").expect("a file");
    };
    for path in [
        images.join("oci-layout"),
        images.join("index.json"),
        images.join(".lock"),
        images.join(".lease"),
        layers.join("lock"),
    ] {
        folder(&path);
        let shown = path.display().to_string();
        // Only changes take the first lock.
        let command: &[&str] = match path.starts_with(&images) {
            true => &["tag", "exit7", "third"],
            false => &["system", "check"],
        };
        let output = world.run(command);
        assert_ne!(output.code, Some(0), "{shown}");
        let message = output.text() + &output.errors();
        assert!(message.contains("check --repair"), "{shown}: {message}");
        let report = world.ok(&REPAIR);
        assert!(
            report.contains(&format!("repaired: {shown} ")),
            "{shown}: {report}"
        );
        assert_eq!(world.ok(&["system", "check"]), "", "{shown}");
        world
            .run(&["run", "--rm", "exit7"])
            .expect_code(7, &["run"]);
    }
    for text in ["", "{\"imageLayoutVersion\":", "{}"] {
        fs::write(images.join("oci-layout"), text).expect("damage");
        let message = world.refused(&["images"]);
        assert!(
            message.contains("coracle system check --repair"),
            "{message}"
        );
        let report = world.ok(&REPAIR);
        assert!(
            report.contains("oci-layout does not say which version"),
            "{report}"
        );
        world
            .run(&["run", "--rm", "exit7"])
            .expect_code(7, &["run"]);
    }
    let blob = layout::blob(&images, &format!("sha256:{}", "0".repeat(64)));
    fs::create_dir(&blob).expect("a folder in place of a blob");
    let found = problems(&world, &["system", "check"]);
    assert!(found.contains("blob sha256:0000"), "{found}");
    world.ok(&REPAIR);
    assert!(!blob.exists());
    assert_eq!(world.ok(&["system", "check"]), "");
}
