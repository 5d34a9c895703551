//! `manifest`: indexes that are put together by hand.

use serde_json::Value;

use crate::layout::text;
use crate::registry::Registry;
use crate::world::World;

/// An image that says another platform.
fn image(world: &World, name: &str, platform: &str) -> String {
    let context = world.context(
        &format!("context-{name}"),
        "FROM scratch\nCOPY exit7.wasm /\nARG NAME\nLABEL name=$NAME\nENTRYPOINT [\"/exit7.wasm\"]\n",
        &["exit7"],
        &[],
    );
    let argument = format!("NAME={name}");
    let flags = [
        "build",
        "-q",
        "--platform",
        platform,
        "--build-arg",
        &argument,
        "-t",
        name,
    ];
    world.ok(&[&flags[..], &[&context]].concat());
    let found = world.json(&["inspect", name]);
    text(&found[0]["Coracle"]["Manifest"]).to_owned()
}

fn platforms(list: &Value) -> Vec<String> {
    let entries = list["manifests"].as_array().expect("entries").iter();
    entries
        .map(|entry| {
            let platform = &entry["platform"];
            let variant = platform["variant"].as_str();
            let variant = variant.map_or(String::new(), |variant| format!("/{variant}"));
            format!(
                "{}/{}{variant}",
                text(&platform["os"]),
                text(&platform["architecture"])
            )
        })
        .collect()
}

#[test]
fn an_index_of_wasm_and_native_images() {
    let registry = Registry::open();
    let world = World::new();
    let wasm = image(&world, "wasm", "wasi/wasm");
    let amd = image(&world, "amd", "linux/amd64");
    let arm = image(&world, "arm", "linux/arm64");
    let list = registry.image("app:1");
    let digest = world.ok(&["manifest", "create", &list, "amd"]);
    assert!(digest.starts_with("sha256:"), "{digest}");
    let message = world.refused(&["manifest", "create", &list, "wasm"]);
    assert!(message.contains("--amend"), "{message}");
    world.ok(&["manifest", "create", "--amend", &list, "wasm"]);
    world.ok(&["manifest", "add", "--platform", "linux/arm64", &list, "arm"]);
    let found = world.json(&["manifest", "inspect", &list]);
    assert_eq!(
        platforms(&found),
        ["linux/amd64", "wasi/wasm", "linux/arm64"]
    );
    for (entry, digest) in found["manifests"]
        .as_array()
        .expect("entries")
        .iter()
        .zip([&amd, &wasm, &arm])
    {
        assert_eq!(entry["digest"], **digest);
    }
    // The same one again replaces its entry.
    world.ok(&["manifest", "add", "--annotation", "a=b", &list, "wasm"]);
    world.ok(&[
        "manifest",
        "annotate",
        "--arch",
        "arm64",
        "--variant",
        "v9",
        &list,
        &arm,
    ]);
    let found = world.json(&["manifest", "inspect", &list]);
    assert_eq!(
        platforms(&found),
        ["linux/amd64", "wasi/wasm", "linux/arm64/v9"]
    );
    assert_eq!(found["manifests"][1]["annotations"]["a"], "b");
    world.run(&["run", "--rm", &list]).expect_code(7, &["run"]);
    let choice = world.ok(&["image", "inspect", "--explain", &list]);
    assert!(choice.contains("* wasi/wasm"), "{choice}");

    world.ok(&["manifest", "push", "--purge", &list]);
    world.refused(&["manifest", "inspect", &list]);
    let remote = format!("docker://{list}");
    let raw = world.tool_ok(
        "skopeo",
        &["inspect", "--raw", "--tls-verify=false", &remote],
    );
    let raw: Value = serde_json::from_str(&raw).expect("JSON");
    assert_eq!(
        platforms(&raw),
        ["linux/amd64", "wasi/wasm", "linux/arm64/v9"]
    );
    let receiver = World::new();
    receiver
        .run(&["run", "--rm", &list])
        .expect_code(7, &["run"]);

    let message = world.refused(&["manifest", "annotate", "--os", "linux", "wasm", &amd]);
    assert!(message.contains("not in"), "{message}");
    world.ok(&["manifest", "rm", "amd"]);
    world
        .run(&["inspect", "--type", "image", "amd"])
        .expect_code(1, &["inspect"]);
}
