//! Other people's tools read what we write: skopeo and umoci from our store, skopeo from a registry. And we read what
//! they write.

use std::fs;

use serde_json::{Value, json};

use crate::fixtures::guest;
use crate::layout::{self, text};
use crate::registry::Registry;
use crate::world::World;

/// For a tool that would choose this machine's platform.
const PLATFORM: [&str; 4] = ["--override-os", "wasi", "--override-arch", "wasm"];

fn world() -> World {
    let world = World::new();
    world.build(
        "app:1",
        "FROM scratch\n\
         COPY files.wasm /bin/\n\
         COPY etc /etc\n\
         ENV A=1 B=\"two words\"\n\
         LABEL org.example.label=value\n\
         WORKDIR /etc\n\
         ENTRYPOINT [\"/bin/files.wasm\"]\n\
         CMD [\"read,/etc/motd\"]\n",
        &["files"],
        &[("etc/motd", b"hello\n"), ("etc/deep/er/file", b"x")],
    );
    world
}

fn skopeo(world: &World, arguments: &[&str]) -> String {
    let mut all = vec!["--insecure-policy"];
    all.extend(PLATFORM);
    all.extend(arguments);
    world.tool_ok("skopeo", &all)
}

/// Our store as an argument of skopeo.
fn store(world: &World, name: &str) -> String {
    format!("oci:{}:{name}", world.images().display())
}

#[test]
fn skopeo_and_umoci_read_the_store() {
    let world = world();
    let source = store(&world, "docker.io/library/app:1");
    let copy = world.path("copy");
    skopeo(
        &world,
        &["copy", &source, &format!("oci:{}:app", copy.display())],
    );
    layout::assert_tidy(&copy);
    assert_eq!(
        layout::manifest(&copy, "app"),
        layout::manifest(&world.images(), "docker.io/library/app:1")
    );

    // `umoci unpack` would also make a configuration for a Linux container, which it rightly refuses to do for wasi.
    let rootfs = world.path("rootfs");
    let image = format!("{}:app", copy.display());
    let target = rootfs.display().to_string();
    world.tool_ok("umoci", &["raw", "unpack", "--image", &image, &target]);
    assert_eq!(
        fs::read(rootfs.join("etc/motd")).expect("a file"),
        b"hello\n"
    );
    assert_eq!(
        fs::read(rootfs.join("etc/deep/er/file")).expect("a file"),
        b"x"
    );
    assert_eq!(
        fs::read(rootfs.join("bin/files.wasm")).expect("the program"),
        fs::read(guest("files")).expect("the guest")
    );
}

#[test]
fn skopeo_copies_the_whole_index() {
    let world = world();
    let copy = world.path("copy");
    skopeo(
        &world,
        &[
            "copy",
            "--all",
            &store(&world, "docker.io/library/app:1"),
            &format!("oci:{}:app", copy.display()),
        ],
    );
    layout::assert_tidy(&copy);
    let digest = |layout_path: &std::path::Path| {
        layout::read_json(&layout_path.join("index.json"))["manifests"][0]["digest"].clone()
    };
    assert_eq!(digest(&copy), digest(&world.images()));
}

#[test]
fn skopeo_and_inspect_agree() {
    let registry = Registry::open();
    let world = world();
    let name = registry.image("team/app:1");
    world.ok(&["tag", "app:1", &name]);
    world.ok(&["push", "-q", &name]);
    let remote = format!("docker://{name}");
    let theirs: Value =
        serde_json::from_str(&skopeo(&world, &["inspect", "--tls-verify=false", &remote]))
            .expect("JSON");
    let config: Value = serde_json::from_str(&skopeo(
        &world,
        &["inspect", "--config", "--tls-verify=false", &remote],
    ))
    .expect("JSON");
    let ours = world.json(&["inspect", &name])[0].clone();

    assert_eq!(theirs["Name"], registry.image("team/app"));
    assert_eq!(
        ours["RepoDigests"]
            .as_array()
            .expect("digests")
            .iter()
            .filter(|digest| **digest
                == format!("{}@{}", registry.image("team/app"), text(&theirs["Digest"])))
            .count(),
        1,
        "{} {}",
        ours["RepoDigests"],
        theirs["Digest"]
    );
    assert_eq!(ours["Architecture"], theirs["Architecture"]);
    assert_eq!(ours["Os"], theirs["Os"]);
    assert_eq!(ours["Created"], theirs["Created"]);
    assert_eq!(ours["Config"]["Env"], theirs["Env"]);
    assert_eq!(ours["Config"]["Labels"], theirs["Labels"]);
    assert_eq!(ours["RootFS"]["Layers"], config["rootfs"]["diff_ids"]);
    let layers: Vec<Value> = ours["Coracle"]["Layers"]
        .as_array()
        .expect("layers")
        .iter()
        .map(|layer| layer["Digest"].clone())
        .collect();
    assert_eq!(json!(layers), theirs["Layers"]);

    let copy = world.path("copy");
    skopeo(
        &world,
        &[
            "copy",
            "--src-tls-verify=false",
            &remote,
            &format!("oci:{}:app", copy.display()),
        ],
    );
    layout::assert_tidy(&copy);
    assert_eq!(
        layout::manifest(&copy, "app"),
        layout::manifest(&world.images(), &name)
    );
}

#[test]
fn an_image_in_dockers_older_format_runs() {
    let registry = Registry::open();
    let world = world();
    let name = registry.image("converted:1");
    skopeo(
        &world,
        &[
            "copy",
            "--format",
            "v2s2",
            "--dest-tls-verify=false",
            &store(&world, "docker.io/library/app:1"),
            &format!("docker://{name}"),
        ],
    );
    let receiver = World::new();
    receiver.ok(&["pull", &name]);
    assert_eq!(receiver.ok(&["run", "--rm", &name]), "hello\n");
    let image = receiver.json(&["inspect", &name]);
    assert_eq!(
        image[0]["Config"]["Labels"],
        json!({"org.example.label": "value"})
    );
}

#[test]
fn what_umoci_changed_runs() {
    let registry = Registry::open();
    let world = world();
    let copy = world.path("copy");
    let image = format!("{}:app", copy.display());
    skopeo(
        &world,
        &[
            "copy",
            &store(&world, "docker.io/library/app:1"),
            &format!("oci:{image}"),
        ],
    );
    // A new file, and one removed: a layer with a whiteout, written by others.
    world.write("new.txt", "from umoci\n");
    let new = world.path("new.txt").display().to_string();
    world.tool_ok(
        "umoci",
        &["insert", "--image", &image, &new, "/etc/new.txt"],
    );
    world.tool_ok(
        "umoci",
        &["insert", "--image", &image, "--whiteout", "/etc/deep"],
    );
    let name = registry.image("changed:1");
    skopeo(
        &world,
        &[
            "copy",
            "--dest-tls-verify=false",
            &format!("oci:{image}"),
            &format!("docker://{name}"),
        ],
    );
    let receiver = World::new();
    assert_eq!(
        receiver.ok(&["run", "--rm", &name, "list,/etc", "read,/etc/new.txt"]),
        "motd\nnew.txt\nfrom umoci\n"
    );
}
