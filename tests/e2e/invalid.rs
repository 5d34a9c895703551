//! What is typed wrong, and a store that something else has damaged.

use std::fs;

use crate::layout::{self, text};
use crate::world::World;

#[test]
fn a_wrong_reference_is_named() {
    let world = World::new();
    world.guest_image("exit7");
    let long = "a".repeat(300);
    for wrong in [
        "team/UPPER",
        "a b",
        "x:",
        "x@sha256:123",
        "x@",
        "/x",
        "x//y",
        "-x",
        "x:ta g",
        "http://x",
        "x:\u{1b}[31m",
        "",
        &long,
    ] {
        for arguments in [
            ["pull", "--", wrong].as_slice(),
            &["push", "--", wrong],
            &["tag", "--", "exit7", wrong],
        ] {
            let message = world.refused(arguments);
            let start: String = wrong
                .chars()
                .take(8)
                .filter(|letter| !letter.is_control())
                .collect();
            let start = start.split(char::is_whitespace).next().unwrap_or_default();
            if !wrong.contains('\u{1b}') {
                assert!(message.contains(start), "{arguments:?}: {message}");
            }
            assert!(
                !message.contains('\u{1b}'),
                "{arguments:?}: an escape reaches the terminal"
            );
        }
    }
    assert_eq!(world.ok(&["images", "-q"]).lines().count(), 1);
}

#[test]
fn a_context_that_is_not_there_is_named() {
    let world = World::new();
    let message = world.refused(&["build", "-t", "x", "./missing"]);
    assert!(message.contains("missing"), "{message}");
    fs::create_dir(world.path("empty")).expect("a folder");
    let message = world.refused(&["build", "-t", "x", "./empty"]);
    assert!(message.contains("Dockerfile"), "{message}");
    let message = world.refused(&["run", "./missing"]);
    assert!(message.contains("missing"), "{message}");
}

#[test]
fn a_data_folder_that_cannot_be_is_named() {
    let world = World::new();
    let file = world.write("file", "x");
    let root = file.join("data").display().to_string();
    let message = world.refused(&["--root", &root, "images"]);
    assert!(message.contains("file/data"), "{message}");
}

#[test]
fn the_root_flag_comes_before_the_variable() {
    let world = World::new();
    let root = world.path("elsewhere").display().to_string();
    world.ok(&["--root", &root, "images"]);
    assert!(world.path("elsewhere/images/oci-layout").exists());
    assert!(!world.root().exists());
}

#[test]
fn a_damaged_blob_is_noticed_and_named() {
    let world = World::new();
    world.guest_image("exit7");
    world.guest_image("cat");
    let manifest = layout::manifest(&world.images(), "docker.io/library/exit7:latest");
    let config = text(&manifest["config"]["digest"]);
    let file = layout::blob(&world.images(), config);
    let whole = fs::read(&file).expect("the config");
    let mut bytes = whole.clone();
    bytes[10] ^= 1;
    fs::write(&file, &bytes).expect("the disk changes the config");

    let output = world
        .run(&["inspect", "exit7"])
        .expect_code(1, &["inspect"]);
    assert!(
        output.errors().contains(&config[7..]),
        "{}",
        output.errors()
    );
    let message = world.refused(&["run", "--rm", "exit7"]);
    assert!(message.contains(&config[7..]), "{message}");
    // The other image does not suffer.
    assert_eq!(
        world.run_with(&["run", "--rm", "-i", "cat"], b"x").stdout,
        b"x"
    );
    let listed = world.run(&["images", "-q"]);
    assert_eq!(listed.text().lines().count(), 1);
    assert_ne!(listed.code, Some(0));
}

#[test]
fn a_damaged_index_is_noticed_and_named() {
    let world = World::new();
    world.guest_image("exit7");
    let index = world.images().join("index.json");
    fs::write(&index, "{\"schemaVersion\": 2, \"manifests\": [").expect("the disk cuts the index");
    for arguments in [["run", "exit7"].as_slice(), &["tag", "exit7", "x"]] {
        let message = world.refused(arguments);
        assert!(message.contains("index.json"), "{arguments:?}: {message}");
    }
    let message = world.failed(&["images"]);
    assert!(message.contains("index.json"), "{message}");
    let cut = fs::read_to_string(&index).expect("the index");
    assert_eq!(
        cut, "{\"schemaVersion\": 2, \"manifests\": [",
        "nothing is written over it"
    );
}

#[test]
fn an_image_for_another_machine_is_refused_by_its_platform() {
    let world = World::new();
    let context = world.context(
        "context",
        "FROM scratch\nCOPY a /\nENTRYPOINT [\"/a\"]\n",
        &[],
        &[("a", b"\x7fELF")],
    );
    world.ok(&[
        "build",
        "-q",
        "--platform",
        "linux/s390x",
        "-t",
        "other",
        &context,
    ]);
    let output = world
        .run(&["run", "--rm", "other"])
        .expect_code(125, &["run"]);
    assert!(
        output.errors().contains("linux/s390x"),
        "{}",
        output.errors()
    );
}

#[test]
fn the_version_is_told() {
    let world = World::new();
    let version = world.json(&["version", "--format", "json"]);
    assert_eq!(version["Version"], env!("CARGO_PKG_VERSION"));
    assert!(world.ok(&["version"]).contains(env!("CARGO_PKG_VERSION")));
    assert!(
        !world.root().exists(),
        "asking for the version makes no data folder"
    );
}

#[test]
fn what_is_neither_folder_nor_file_is_not_mounted() {
    let world = World::new();
    world.guest_image("exit7");
    let pipe = world.path("pipe");
    world.tool_ok("mkfifo", &[&pipe]);
    for mode in ["ro", "rw"] {
        let mount = format!("{}:/pipe:{mode}", pipe.display());
        let message = world.refused(&["run", "--rm", "-v", &mount, "exit7"]);
        assert!(
            message.contains("neither a folder nor a regular file"),
            "{message}"
        );
    }
    let message = world.refused(&["run", "--rm", "-w", "/exit7.wasm", "exit7"]);
    assert!(message.contains("/exit7.wasm"), "{message}");
}

#[test]
fn a_damaged_container_hides_no_other_and_can_be_removed() {
    let world = World::new();
    world.guest_image("exit7");
    for name in ["one", "two"] {
        world
            .run(&["run", "--name", name, "exit7"])
            .expect_code(7, &["run"]);
    }
    let id = world.json(&["inspect", "one"])[0]["Id"]
        .as_str()
        .expect("an id")
        .to_owned();
    fs::write(
        world
            .root()
            .join("containers")
            .join(&id)
            .join("config.json"),
        "",
    )
    .expect("the disk loses it");
    let listed = world
        .run(&["ps", "-a", "--format", "json"])
        .expect_code(1, &["ps"]);
    assert!(listed.text().contains("\"two\""), "{}", listed.text());
    assert!(
        listed.errors().contains(&format!("coracle rm {id}")),
        "{}",
        listed.errors()
    );
    world.ok(&["rm", &id]);
    world.ok(&["rm", "two"]);
    world.ok(&["rmi", "exit7"]);
    assert_eq!(world.ok(&["ps", "-a", "-q"]), "");
}

#[test]
fn what_docker_has_and_we_do_not_is_said() {
    let world = World::new();
    world.guest_image("exit7");
    for arguments in [
        ["run", "--dns", "192.0.2.1", "exit7"].as_slice(),
        &["network", "ls"],
    ] {
        let message = world.refused(arguments);
        assert!(message.contains("is not supported yet: "), "{message}");
    }
    let message = world.refused(&["run", "--nonsense", "exit7"]);
    assert!(message.contains("--nonsense"), "{message}");
    // After the image every word is the program's.
    world
        .run(&["run", "--rm", "exit7", "-d", "--nonsense"])
        .expect_code(7, &["run"]);
}
