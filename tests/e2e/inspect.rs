//! `inspect` of images and containers: Docker's JSON.

use serde_json::json;

use crate::fixtures::PATH;
use crate::layout;
use crate::world::World;

#[test]
fn an_image_is_described_in_dockers_words() {
    let world = World::new();
    let id = world.guest_image("exit7");
    let inspected = world.json(&["inspect", "exit7"]);
    assert_eq!(inspected.as_array().map(Vec::len), Some(1));
    let image = &inspected[0];
    assert_eq!(image["Id"], id);
    assert_eq!(image["RepoTags"], json!(["exit7:latest"]));
    assert_eq!(image["Os"], "wasi");
    assert_eq!(image["Architecture"], "wasm");
    assert_eq!(image["RootFS"]["Type"], "layers");
    assert!(
        image["Size"].as_u64().is_some_and(|size| size > 1000),
        "{image}"
    );
    let index = layout::read_json(&world.images().join("index.json"));
    let digest = layout::text(&index["manifests"][0]["digest"]);
    assert_eq!(image["RepoDigests"], json!([format!("exit7@{digest}")]));
    let manifest = layout::manifest(&world.images(), "docker.io/library/exit7:latest");
    let config = layout::read_json(&layout::blob(
        &world.images(),
        layout::text(&manifest["config"]["digest"]),
    ));
    assert_eq!(image["RootFS"]["Layers"], config["rootfs"]["diff_ids"]);
    assert_eq!(image["Created"], config["created"]);
}

#[test]
fn a_container_is_described_in_dockers_words() {
    let world = World::new();
    let image = world.guest_image("exit7");
    let folder = world.path("shared");
    std::fs::create_dir(&folder).expect("a folder to mount");
    let mount = format!("{}:/data:ro", folder.display());
    world
        .run(&[
            "run", "--name", "seven", "-e", "A=b", "-v", &mount, "exit7", "x", "y z",
        ])
        .expect_code(7, &["run"]);
    let inspected = world.json(&["inspect", "seven"]);
    let container = &inspected[0];
    assert_eq!(container["Name"], "/seven");
    assert_eq!(layout::text(&container["Id"]).len(), 64);
    assert_eq!(container["Path"], "/exit7.wasm");
    assert_eq!(container["Args"], json!(["x", "y z"]));
    assert_eq!(container["Image"], image);
    assert_eq!(container["State"]["Status"], "exited");
    assert_eq!(container["State"]["Running"], false);
    assert_eq!(container["State"]["ExitCode"], 7);
    assert_eq!(container["Config"]["Image"], "exit7");
    assert_eq!(container["Config"]["Env"], json!([PATH, "A=b"]));
    assert_eq!(container["Mounts"][0]["Destination"], "/data");
    assert_eq!(container["Mounts"][0]["RW"], false);
}

#[test]
fn several_things_are_one_array() {
    let world = World::new();
    world.guest_image("exit7");
    world.guest_image("cat");
    let inspected = world.json(&["inspect", "cat", "exit7"]);
    let names: Vec<_> = [0, 1]
        .map(|place| inspected[place]["RepoTags"][0].clone())
        .into();
    assert_eq!(names, ["cat:latest", "exit7:latest"]);
}
