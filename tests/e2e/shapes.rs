//! The shapes in which Wasm travels in OCI, each made here by its specification: they are listed, inspected and run.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::fixtures::guest;
use crate::layout;
use crate::world::World;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// Writes a blob into a layout and describes it.
fn blob(folder: &str, world: &World, media_type: &str, bytes: &[u8]) -> Value {
    let mut child = Command::new("sha256sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("sha256sum");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(bytes).expect("the bytes");
    drop(stdin);
    let output = child.wait_with_output().expect("a sum");
    let hex = String::from_utf8_lossy(&output.stdout)[..64].to_owned();
    world.write(&format!("{folder}/blobs/sha256/{hex}"), bytes);
    json!({"mediaType": media_type, "digest": format!("sha256:{hex}"), "size": bytes.len()})
}

/// Writes a layout of one image, called like its folder, and returns its path.
fn image(world: &World, name: &str, config: Value, layers: &[Value], manifest: Value) -> String {
    let mut whole = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers,
    });
    if let (Value::Object(whole), Value::Object(more)) = (&mut whole, manifest) {
        whole.extend(more);
    }
    let mut entry = blob(name, world, MANIFEST, whole.to_string().as_bytes());
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": format!("{name}:1")});
    world.write(
        &format!("{name}/index.json"),
        json!({"schemaVersion": 2, "manifests": [entry]}).to_string(),
    );
    world.write(
        &format!("{name}/oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    );
    world.path(name).display().to_string()
}

fn bytes(name: &str) -> Vec<u8> {
    fs::read(guest(name)).expect("a guest")
}

#[test]
fn a_cncf_artifact_runs() {
    let world = World::new();
    let layer = blob("w3", &world, "application/wasm", &bytes("exit7"));
    let config = json!({
        "architecture": "wasm", "os": "wasip1", "layerDigests": [layer["digest"]],
    });
    let config_type = "application/vnd.wasm.config.v0+json";
    let config = blob("w3", &world, config_type, config.to_string().as_bytes());
    let path = image(&world, "w3", config, &[layer], json!({}));
    let loaded = world.run(&["load", "-i", &path]).expect_code(0, &["load"]);
    assert_eq!(loaded.text(), "Loaded image: w3:1\n");
    assert_eq!(loaded.errors(), "", "it was compiled when it was loaded");
    world.run(&["run", "--rm", "w3:1"]).expect_code(7, &["run"]);
    assert!(world.ok(&["images"]).contains("w3 "));
    let found = world.json(&["inspect", "w3:1"]);
    assert!(
        layout::text(&found[0]["Coracle"]["Shape"]).contains("CNCF"),
        "{found}"
    );
    assert!(world.ok(&["history", "w3:1"]).contains("application/wasm"));

    // It can be saved and loaded, pruned around, and made anew where the disk has lost what was made of it.
    let archive = world
        .run(&["save", "w3:1"])
        .expect_code(0, &["save"])
        .stdout;
    let message = world.failed(&["save", "--format", "docker-archive", "-o", "x", "w3:1"]);
    assert!(message.contains("oci-archive"), "{message}");
    world.ok(&["system", "prune", "-f"]);
    world.run(&["run", "--rm", "w3:1"]).expect_code(7, &["run"]);
    for folder in ["layers", "artifacts", "compiled"] {
        fs::remove_dir_all(world.root().join(folder)).expect("it was there");
        world
            .run(&["run", "--rm", "w3:1"])
            .expect_code(7, &[folder]);
    }
    let other = World::new();
    other
        .run_with(&["load"], &archive)
        .expect_code(0, &["load"]);
    other.run(&["run", "--rm", "w3:1"]).expect_code(7, &["run"]);
    other.ok(&["rmi", "w3:1"]);
    assert_eq!(layout::blobs(&other.images()).len(), 0);
    assert_eq!(
        fs::read_dir(other.root().join("artifacts"))
            .expect("a folder")
            .count(),
        0
    );
}

#[test]
fn a_runwasi_component_layer_runs() {
    let world = World::new();
    let types = [
        "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
        "application/wasm",
    ];
    for (number, media_type) in types.into_iter().enumerate() {
        let name = format!("w2-{number}");
        let layer = blob(&name, &world, media_type, &bytes("show"));
        let config = json!({
            "architecture": "wasm", "os": "wasip1", "rootfs": {"type": "layers", "diff_ids": []},
            "config": {"Entrypoint": ["show.wasm"], "Cmd": ["args"], "Env": ["A=1"]},
        });
        let config = blob(&name, &world, CONFIG, config.to_string().as_bytes());
        let path = image(&world, &name, config, &[layer], json!({}));
        world.ok(&["load", "-i", &path]);
        let name = format!("{name}:1");
        assert!(
            world.ok(&["run", "--rm", &name]).contains("show.wasm"),
            "{name}"
        );
        // With layers of files it is the same program with the same arguments and variables.
        let files = format!("w2-{number}:files");
        world.ok(&["convert", "--to", "index", &name, &files]);
        assert_eq!(
            world.ok(&["run", "--rm", &files]),
            world.ok(&["run", "--rm", &name])
        );
    }
}

#[test]
fn older_artifacts_run() {
    let world = World::new();
    for (name, config_type, layer_type) in [
        (
            "krustlet",
            "application/vnd.wasm.config.v1+json",
            "application/vnd.wasm.content.layer.v1+wasm",
        ),
        (
            "solo",
            "application/vnd.module.wasm.config.v1+json",
            "application/vnd.module.wasm.content.layer.v1+wasm",
        ),
    ] {
        let layer = blob(name, &world, layer_type, &bytes("exit7"));
        let config = blob(name, &world, config_type, b"{}");
        let path = image(&world, name, config, &[layer], json!({}));
        world.ok(&["load", "-i", &path]);
        let name = format!("{name}:1");
        world.run(&["run", "--rm", &name]).expect_code(7, &[&name]);
        world.json(&["inspect", &name]);
        for form in ["artifact", "component", "image", "index", "docker"] {
            world.ok(&["convert", "--to", form, &name, form]);
            world.run(&["run", "--rm", form]).expect_code(7, &[form]);
        }
    }
}

#[test]
fn a_spin_application_runs_with_its_files() {
    let world = World::new();
    let wasm = blob(
        "w4",
        &world,
        "application/vnd.wasm.content.layer.v1+wasm",
        &bytes("files"),
    );
    let data = blob(
        "w4",
        &world,
        "application/vnd.wasm.content.layer.v1+data",
        b"a static file\n",
    );
    let lock = json!({
        "spin_lock_version": 1,
        "triggers": [{"id": "t", "trigger_type": "command", "trigger_config": {"component": "c"}}],
        "components": [{
            "id": "c",
            "source": {"content_type": "application/wasm", "digest": wasm["digest"]},
            "files": [
                {"content": {"digest": data["digest"]}, "path": "/static/a.txt"},
                {"content": {"inline": "aW5saW5lCg=="}, "path": "b.txt"},
            ],
        }],
    });
    let lock_type = "application/vnd.fermyon.spin.application.v1+config";
    let lock = blob("w4", &world, lock_type, lock.to_string().as_bytes());
    let config = json!({
        "architecture": "wasm", "os": "Wasip1", "rootfs": {"type": "layers", "diff_ids": []},
        "config": {"Labels": {"com.fermyon.spin.lockedAppDigest": "x"}},
    });
    let config = blob("w4", &world, CONFIG, config.to_string().as_bytes());
    let path = image(&world, "w4", config, &[wasm, data, lock], json!({}));
    world.ok(&["load", "-i", &path]);
    let reads = |name: &str| {
        assert_eq!(
            world.ok(&["run", "--rm", name, "read,/static/a.txt", "read,/b.txt"]),
            "a static file\ninline\n",
            "{name}"
        );
    };
    reads("w4:1");
    let message = world.refused(&["convert", "--to", "image", "w4:1", "w4:image"]);
    assert!(message.contains("triggers"), "{message}");
    let forced = ["convert", "--to", "image", "--force", "w4:1", "w4:image"];
    let lost = world.run(&forced).expect_code(0, &forced).errors();
    assert!(lost.contains("triggers"), "{lost}");
    reads("w4:image");
}

#[test]
fn what_cannot_be_run_says_why() {
    let world = World::new();
    let wasm = |name| blob(name, &world, "application/wasm", &bytes("exit7"));
    let config_type = "application/vnd.wasm.config.v0+json";
    let config = |name| {
        blob(
            name,
            &world,
            config_type,
            br#"{"architecture":"wasm","os":"wasip1"}"#,
        )
    };
    let two = image(
        &world,
        "two",
        config("two"),
        &[wasm("two"), wasm("two")],
        json!({}),
    );
    let encrypted = blob(
        "secret",
        &world,
        "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
        b"unreadable",
    );
    let native = br#"{"architecture":"amd64","os":"linux","config":{"Entrypoint":["/a"]},"rootfs":{"type":"layers","diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]}}"#;
    let secret = blob("secret", &world, CONFIG, native);
    let secret = image(&world, "secret", secret, &[encrypted], json!({}));
    let chart = blob(
        "chart",
        &world,
        "application/vnd.cncf.helm.config.v1+json",
        b"{}",
    );
    let chart_layer = blob(
        "chart",
        &world,
        "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
        b"x",
    );
    let chart = image(&world, "chart", chart, &[chart_layer], json!({}));
    for (name, path, why) in [
        ("two:1", two, "2 programs"),
        ("secret:1", secret, "decrypt"),
        ("chart:1", chart, "no program"),
    ] {
        let loaded = world.run(&["load", "-i", &path]).expect_code(0, &["load"]);
        assert!(loaded.errors().contains(why), "{}", loaded.errors());
        let message = world
            .run(&["run", "--rm", name])
            .expect_code(126, &[name])
            .errors();
        assert!(message.contains(why), "{message}");
        world.json(&["inspect", name]);
    }
    assert_eq!(world.ok(&["images", "-q"]).lines().count(), 3);
}
