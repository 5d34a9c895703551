//! `save` and `load`: to each other, and to and from other people's tools.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::layout;
use crate::world::{Output, World, finish};

/// For a tool that would choose this machine's platform.
const PLATFORM: [&str; 5] = [
    "--insecure-policy",
    "--override-os",
    "wasi",
    "--override-arch",
    "wasm",
];

fn two_images(world: &World) -> (String, String) {
    let ids = (world.guest_image("exit7"), world.guest_image("cat"));
    world.ok(&["tag", "exit7", "localhost:5000/team/seven:1"]);
    ids
}

fn path(world: &World, name: &str) -> String {
    world.path(name).display().to_string()
}

fn compressed(program: &str, bytes: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .arg("-c")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect(program);
    let mut stdin = child.stdin.take().expect("a pipe");
    let bytes = bytes.to_vec();
    let feeding = std::thread::spawn(move || stdin.write_all(&bytes));
    let output = child.wait_with_output().expect("output");
    feeding.join().expect("no panic").expect("all was read");
    output.stdout
}

fn loads(output: Output) -> String {
    output.expect_code(0, &["load"]).text()
}

#[test]
fn what_is_saved_is_loaded_with_its_names() {
    let world = World::new();
    let (seven, cat) = two_images(&world);
    let images = ["exit7", "localhost:5000/team/seven:1", "cat", &cat[7..19]];
    let want = "Loaded image: exit7:latest\nLoaded image: localhost:5000/team/seven:1\nLoaded image: cat:latest\n";
    let archive = world
        .run(&[&["save"][..], &images].concat())
        .expect_code(0, &["save"])
        .stdout;
    let again = world.run(&[&["save"][..], &images].concat()).stdout;
    assert!(archive == again, "the same images give the same bytes");
    for form in ["oci-archive", "docker-archive", "oci-dir"] {
        let target = path(&world, form);
        world.ok(&[&["save", "--format", form, "-o", &target][..], &images].concat());
        let other = World::new();
        assert_eq!(other.ok(&["load", "-i", &target]), want, "{form}");
        other.run(&["run", "--rm", "exit7"]).expect_code(7, &[form]);
        layout::assert_tidy(&other.images());
    }
    for bytes in [
        archive.clone(),
        compressed("gzip", &archive),
        compressed("zstd", &archive),
    ] {
        let other = World::new();
        assert_eq!(loads(other.run_with(&["load"], &bytes)), want);
        assert_eq!(
            other.ok(&["images", "-q", "--no-trunc", "exit7"]),
            format!("{seven}\n")
        );
        let name = "localhost:5000/team/seven:1";
        other.run(&["run", "--rm", name]).expect_code(7, &[name]);
        layout::assert_tidy(&other.images());
    }
}

#[test]
fn an_image_without_a_name_stays() {
    let world = World::new();
    let (seven, _) = two_images(&world);
    let archive = world
        .run(&["save", &seven])
        .expect_code(0, &["save"])
        .stdout;
    let other = World::new();
    assert_eq!(
        loads(other.run_with(&["load"], &archive)),
        format!("Loaded image ID: {seven}\n")
    );
    let row = other.json(&["images", "--format", "json"]);
    assert_eq!(
        (&row["Repository"], &row["Tag"]),
        (&"<none>".into(), &"<none>".into())
    );
    other
        .run(&["run", "--rm", &seven[7..19]])
        .expect_code(7, &["run"]);
    other.ok(&["tag", &seven, "named"]);
    assert_eq!(other.ok(&["images", "-q"]).lines().count(), 1);
    other.ok(&["rmi", "named"]);
    other
        .run_with(&["load"], &archive)
        .expect_code(0, &["load"]);
    assert!(other.ok(&["rmi", &seven]).starts_with("Deleted: sha256:"));
    assert_eq!(layout::blobs(&other.images()).len(), 0);
}

#[test]
fn nothing_is_left_of_what_failed() {
    let world = World::new();
    two_images(&world);
    let target = path(&world, "archive");
    world.failed(&["save", "-o", &target, "exit7", "nothing"]);
    assert!(!world.path("archive").exists());
    world.ok(&["save", "-o", &target, "exit7", "cat"]);
    let whole = fs::read(world.path("archive")).expect("an archive");
    let before: Vec<_> = fs::read_dir(world.path(".")).expect("the folder").collect();
    for cut in [whole.len() / 2, whole.len() * 9 / 10] {
        let other = World::new();
        let message = other
            .run_with(&["load"], &whole[..cut])
            .expect_code(1, &["load"])
            .errors();
        assert!(message.contains("standard input"), "{message}");
        assert_eq!(other.ok(&["images", "-q"]), "");
        assert_eq!(layout::blobs(&other.images()).len(), 0, "{message}");
    }
    // A target that is there is replaced only by a whole one.
    world.failed(&["save", "-o", &target, "nothing"]);
    assert!(fs::read(world.path("archive")).expect("an archive") == whole);
    let after: Vec<_> = fs::read_dir(world.path(".")).expect("the folder").collect();
    assert_eq!(before.len(), after.len(), "no temporary file stays");
    world.write("full/file", "x");
    let message = world.failed(&[
        "save",
        "--format",
        "oci-dir",
        "-o",
        &path(&world, "full"),
        "cat",
    ]);
    assert!(message.contains("not empty"), "{message}");
    world.failed(&["load", "-i", &path(&world, "none")]);
    let root = world.write("root.tar", compressed("gzip", b"no archive at all"));
    world.failed(&["load", "-i", &root.display().to_string()]);
}

#[test]
fn skopeo_reads_and_writes_them_all() {
    let world = World::new();
    world.guest_image("exit7");
    for (form, kind) in [
        ("oci-archive", "oci-archive"),
        ("docker-archive", "docker-archive"),
        ("docker-archive", "oci-archive"),
        ("oci-dir", "oci"),
    ] {
        let ours = path(&world, &format!("ours-{form}-{kind}"));
        world.ok(&["save", "--format", form, "-o", &ours, "exit7"]);
        for target in ["oci-archive", "docker-archive", "oci"] {
            let theirs = path(&world, &format!("theirs-{form}-{kind}-{target}"));
            world.tool_ok(
                "skopeo",
                &[
                    &PLATFORM[..],
                    &[
                        "copy",
                        &format!("{kind}:{ours}"),
                        &format!("{target}:{theirs}:docker.io/library/exit7:2"),
                    ],
                ]
                .concat(),
            );
            let other = World::new();
            assert_eq!(
                other.ok(&["load", "-i", &theirs]),
                "Loaded image: exit7:2\n",
                "{form} {kind} {target}"
            );
            other
                .run(&["run", "--rm", "exit7:2"])
                .expect_code(7, &[target]);
        }
    }
}

#[test]
fn podman_and_buildah_read_and_write_them() {
    let world = World::new();
    let id = world.guest_image("exit7");
    let podman = |arguments: &[&str]| podman(&world, "podman", arguments);
    // Podman chooses from an index for its own platform only, so it gets the image itself.
    for form in ["docker-archive", "oci-archive"] {
        let ours = path(&world, &format!("{form}.tar"));
        let platform = ["--platform", "wasi/wasm"];
        world.ok(&[
            &["save", "--format", form, "-o", &ours][..],
            &platform,
            &["exit7"],
        ]
        .concat());
        let loaded = podman(&["load", "-i", &ours]);
        assert!(
            loaded.contains("docker.io/library/exit7:latest"),
            "{loaded}"
        );
        let theirs: Value =
            serde_json::from_str(&podman(&["image", "inspect", "exit7"])).expect("JSON");
        assert_eq!(format!("sha256:{}", layout::text(&theirs[0]["Id"])), id);
        for back in ["docker-archive", "oci-archive"] {
            let theirs = path(&world, &format!("{form}-{back}.tar"));
            podman(&["save", "--format", back, "-o", &theirs, "exit7"]);
            let other = World::new();
            assert_eq!(
                other.ok(&["load", "-i", &theirs]),
                "Loaded image: exit7:latest\n",
                "{form} {back}"
            );
            other.run(&["run", "--rm", "exit7"]).expect_code(7, &[back]);
        }
        podman(&["rmi", "exit7"]);
    }
}

/// Runs podman or buildah with all their state in the world.
fn podman(world: &World, program: &str, arguments: &[&str]) -> String {
    let state = |name: &str| path(world, &format!("podman-{name}"));
    let (root, run) = (state("root"), state("run"));
    let mut all = vec![
        "--root",
        &root,
        "--runroot",
        &run,
        "--storage-driver",
        "vfs",
    ];
    all.extend(arguments);
    let mut command = world.tool(program, &all);
    command.env("XDG_RUNTIME_DIR", state("runtime"));
    fs::create_dir_all(state("runtime")).expect("a folder");
    finish(command, b"").expect_code(0, &all).text()
}
