//! `coracle convert` and `--artifact`: other tools read what is made, and it runs as before.

use std::fs;

use serde_json::{Value, json};

use crate::component::component;
use crate::fixtures::{guest, only};
use crate::layout::{self, text};
use crate::registry::Registry;
use crate::world::World;

const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";

/// A document of a registry, as skopeo gets it.
fn remote(world: &World, name: &str, config: bool) -> Value {
    let image = format!("docker://{name}");
    let mut arguments = vec!["inspect", "--raw", "--tls-verify=false"];
    if config {
        arguments.push("--config");
    }
    arguments.push(&image);
    let text = world.tool_ok("skopeo", &arguments);
    serde_json::from_str(&text).expect("JSON")
}

fn shape(world: &World, name: &str) -> String {
    text(&world.json(&["inspect", name])[0]["Coracle"]["Shape"]).to_owned()
}

#[test]
fn an_image_goes_as_an_artifact_through_a_registry_and_back() {
    let registry = Registry::open();
    let world = World::new();
    world.build("app", &only("exit7"), &["exit7"], &[]);
    let name = registry.image("team/app:wasm");
    let digest = world.ok(&["convert", "--to", "artifact", "app", &name]);
    assert!(digest.starts_with("sha256:"), "{digest}");
    assert!(shape(&world, &name).contains("CNCF"));
    world.ok(&["push", "-q", &name]);

    // As the specification says, to another tool.
    let manifest = remote(&world, &name, false);
    assert_eq!(manifest["config"]["mediaType"], WASM_CONFIG);
    let layers = manifest["layers"].as_array().expect("layers");
    assert_eq!(layers.len(), 1, "{manifest}");
    assert_eq!(layers[0]["mediaType"], "application/wasm");
    let config = remote(&world, &name, true);
    assert_eq!(config["architecture"], "wasm");
    assert_eq!(config["os"], "wasip1");
    assert_eq!(config["layerDigests"], json!([layers[0]["digest"]]));
    assert!(
        config["created"].is_string() && config["component"].is_null(),
        "{config}"
    );
    let copy = world.path("copy").display().to_string();
    let source = format!("docker://{name}");
    let target = format!("dir:{copy}");
    let copies = [
        "--insecure-policy",
        "copy",
        "--src-tls-verify=false",
        &source,
        &target,
    ];
    world.tool_ok("skopeo", &copies);
    let hex = text(&layers[0]["digest"])
        .strip_prefix("sha256:")
        .expect("a digest");
    let program = fs::read(world.path(&format!("copy/{hex}"))).expect("the program");
    assert!(program == fs::read(guest("exit7")).expect("the guest"));

    // And to another of ours, which makes an image of it again.
    let other = World::new();
    other.ok(&["pull", "-q", &name]);
    other.run(&["run", "--rm", &name]).expect_code(7, &["run"]);
    other.ok(&["convert", "--to", "index", &name, "back"]);
    other.run(&["run", "--rm", "back"]).expect_code(7, &["run"]);
    let back = other.json(&["inspect", "back"]);
    assert_eq!(back[0]["Architecture"], "wasm", "{back}");
    assert_eq!(back[0]["Os"], "wasi");
    assert!(shape(&other, "back").contains("tar layers"));
    other.ok(&["rmi", &name]);
    other.run(&["run", "--rm", "back"]).expect_code(7, &["run"]);
    layout::assert_tidy(&other.images());
}

#[test]
fn build_and_push_write_artifacts() {
    let registry = Registry::open();
    let world = World::new();
    let context = world.context("context", &only("exit7"), &["exit7"], &[]);
    let name = registry.image("built:1");
    world.ok(&["build", "-q", "--artifact", "-t", &name, &context]);
    assert!(shape(&world, &name).contains("CNCF"));
    world.run(&["run", "--rm", &name]).expect_code(7, &["run"]);
    world.ok(&["push", "-q", &name]);
    let built = remote(&world, &name, false);

    // Pushed as an artifact, the image stays what it is.
    let name = registry.image("pushed:1");
    world.ok(&["build", "-q", "-t", &name, &context]);
    world.ok(&["push", "-q", "--artifact", &name]);
    assert!(shape(&world, &name).contains("tar layers"));
    assert_eq!(remote(&world, &name, false), built);
    let other = World::new();
    other.ok(&["pull", "-q", &name]);
    other.run(&["run", "--rm", &name]).expect_code(7, &["run"]);

    let more = "FROM scratch\nCOPY exit7.wasm a.txt /\nENV A=1\nENTRYPOINT [\"/exit7.wasm\"]\n";
    let context = world.context("more", more, &["exit7"], &[("a.txt", b"more")]);
    let message = world.refused(&["build", "-q", "--artifact", "-t", "more", &context]);
    assert!(
        message.contains("/a.txt") && message.contains("ENV A"),
        "{message}"
    );
    assert!(!world.ok(&["images"]).contains("more"));
    layout::assert_tidy(&world.images());
}

#[test]
fn what_would_be_lost_is_named_and_lost_only_by_force() {
    let world = World::new();
    let dockerfile = "FROM scratch\nCOPY show.wasm etc /\nENV A=1 B=2\nLABEL x=y\nEXPOSE 80\nUSER 1000\nWORKDIR /w\n\
                      ENTRYPOINT [\"/show.wasm\", \"one\"]\nCMD [\"two\"]\n";
    world.build("app", dockerfile, &["show"], &[("etc/motd", b"hello\n")]);
    let message = world.refused(&["convert", "--to", "artifact", "app", "small"]);
    for lost in [
        "the file /motd",
        "ENV A, B",
        "LABEL x",
        "EXPOSE 80/tcp",
        "USER 1000",
        "WORKDIR /w",
        "ENTRYPOINT arguments one",
        "CMD two",
        "--force",
    ] {
        assert!(message.contains(lost), "{lost}: {message}");
    }
    assert!(!world.ok(&["images"]).contains("small"));
    let forced = ["convert", "--to", "artifact", "--force", "app", "small"];
    let errors = world.run(&forced).expect_code(0, &forced).errors();
    assert!(errors.contains("lost: ENV A, B"), "{errors}");
    let seen = world.ok(&["run", "--rm", "small"]);
    assert!(
        seen.contains("/app.wasm") && !seen.contains("one"),
        "{seen}"
    );

    // A program as a layer of an image keeps all of that but the files.
    let message = world.refused(&["convert", "--to", "component", "app", "layer"]);
    assert!(
        message.contains("the file /motd") && !message.contains("ENV"),
        "{message}"
    );
    world.ok(&["convert", "--to", "component", "--force", "app", "layer"]);
    let seen = world.ok(&["run", "--rm", "layer"]);
    assert_eq!(seen, world.ok(&["run", "--rm", "app"]));

    let message = world.refused(&[
        "convert",
        "--to",
        "artifact",
        "--compression",
        "zstd",
        "app",
        "x",
    ]);
    assert!(message.contains("--compression"), "{message}");
    let message = world.refused(&["convert", "--compression", "zstd", "small", "x"]);
    assert!(message.contains("--compression"), "{message}");
    world.build(
        "native",
        "FROM scratch\nCOPY a /\nENTRYPOINT [\"/a\"]\n",
        &[],
        &[("a", b"#!/bin/sh\n")],
    );
    let output = world.run(&["convert", "--to", "artifact", "native", "x"]);
    assert!(
        output.errors().contains("WebAssembly"),
        "{}",
        output.errors()
    );
    assert_ne!(output.code, Some(0));
}

#[test]
fn a_components_artifact_lists_what_it_imports_and_exports() {
    let world = World::new();
    let dockerfile = "FROM scratch\nCOPY app.wasm /\nENTRYPOINT [\"/app.wasm\"]\n";
    world.build("app", dockerfile, &[], &[("app.wasm", &component("exit7"))]);
    world.ok(&["convert", "--to", "artifact", "app", "app:artifact"]);
    let name = "docker.io/library/app:artifact";
    let manifest = layout::manifest(&world.images(), name);
    let config = layout::read_json(&layout::blob(
        &world.images(),
        text(&manifest["config"]["digest"]),
    ));
    assert_eq!(config["os"], "wasip2");
    let names = |side: &str| config["component"][side].to_string();
    assert!(names("exports").contains("wasi:cli/run@0.2."), "{config}");
    assert!(
        names("imports").contains("wasi:cli/stdout@0.2."),
        "{config}"
    );
    let (image, artifact) = (
        world.run(&["run", "--rm", "app"]),
        world.run(&["run", "--rm", "app:artifact"]),
    );
    assert_eq!((image.code, image.stdout), (artifact.code, artifact.stdout));
    world.ok(&["convert", "--to", "component", "app", "app:layer"]);
    let manifest = layout::manifest(&world.images(), "docker.io/library/app:layer");
    assert_eq!(
        manifest["layers"][0]["mediaType"],
        "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm"
    );
}

#[test]
fn dockers_schema_and_other_compressions_are_read_by_others() {
    let registry = Registry::open();
    let world = World::new();
    world.build("app", &only("exit7"), &["exit7"], &[]);
    let id = world.ok(&["images", "-q", "app"]);
    let docker = registry.image("docker:1");
    world.ok(&["convert", "--to", "docker", "app", &docker]);
    world.ok(&["push", "-q", &docker]);
    let list = remote(&world, &docker, false);
    assert_eq!(
        list["mediaType"],
        "application/vnd.docker.distribution.manifest.list.v2+json"
    );
    assert_eq!(list["manifests"][0]["platform"]["architecture"], "wasm");
    let single = registry.image("docker:2");
    world.ok(&[
        "convert",
        "--to",
        "docker",
        "--platform",
        "wasi/wasm",
        "app",
        &single,
    ]);
    world.ok(&["push", "-q", &single]);
    let manifest = remote(&world, &single, false);
    assert_eq!(
        manifest["layers"][0]["mediaType"],
        "application/vnd.docker.image.rootfs.diff.tar.gzip"
    );
    let archive = format!("docker-archive:{}:app:1", world.path("app.tar").display());
    let source = format!("docker://{single}");
    let copy = [
        "--insecure-policy",
        "copy",
        "--src-tls-verify=false",
        &source,
        &archive,
    ];
    world.tool_ok("skopeo", &copy);

    let zstd = registry.image("zstd:1");
    world.ok(&["convert", "--compression", "zstd", "app", &zstd]);
    world.ok(&["push", "-q", &zstd]);
    let layout_of_theirs = format!("oci:{}:zstd", world.path("theirs").display());
    let source = format!("docker://{zstd}");
    world.tool_ok(
        "skopeo",
        &[
            "--insecure-policy",
            "--override-os",
            "wasi",
            "--override-arch",
            "wasm",
            "copy",
            "--src-tls-verify=false",
            &source,
            &layout_of_theirs,
        ],
    );
    let manifest = layout::manifest(&world.path("theirs"), "zstd");
    assert_eq!(
        manifest["layers"][0]["mediaType"],
        "application/vnd.oci.image.layer.v1.tar+zstd"
    );
    let other = World::new();
    for name in [&docker, &single, &zstd] {
        other.ok(&["pull", "-q", name]);
        other.run(&["run", "--rm", name]).expect_code(7, &[name]);
        assert_eq!(other.ok(&["images", "-q", name]), id, "{name}");
    }
    // There and back it is the same image.
    world.ok(&["convert", "--to", "index", &docker, "back"]);
    let digest = |name: &str| world.json(&["inspect", name])[0]["Coracle"]["Manifest"].clone();
    assert_eq!(digest("back"), digest("app"));
    // Converting to what it is makes nothing new.
    world.ok(&["convert", "--to", "index", "app", "same"]);
    assert_eq!(digest("same"), digest("app"));
}
