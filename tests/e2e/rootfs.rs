//! `export` and `import`: root file systems as archives.

use std::fs;
use std::process::Command;

use serde_json::json;

use crate::fixtures::guest;
use crate::layout;
use crate::world::World;

/// Unpacks an archive with GNU tar and returns the folder.
fn unpacked(world: &World, bytes: &[u8], name: &str) -> std::path::PathBuf {
    let archive = world.write(&format!("{name}.tar"), bytes);
    let folder = world.path(name);
    fs::create_dir_all(&folder).expect("a folder");
    let output = Command::new("tar")
        .args(["-x", "-p", "-C"])
        .arg(&folder)
        .arg("-f")
        .arg(&archive)
        .output()
        .expect("tar");
    assert!(output.status.success(), "{output:?}");
    folder
}

#[test]
fn an_exported_container_is_its_image_and_its_changes() {
    let world = World::new();
    world.build(
        "app",
        "FROM scratch\nCOPY files.wasm /\nCOPY a /etc/a\nCOPY b /etc/b\nENTRYPOINT [\"/files.wasm\"]\n",
        &["files"],
        &[("a", b"from the image\n"), ("b", b"to be removed\n")],
    );
    let steps = [
        "rm,/etc/b",
        "write,/etc/a,changed",
        "mkdir,/new",
        "write,/new/file,mine",
        "symlink,../etc/a,/new/link",
    ];
    let arguments = [&["run", "--name", "box", "app"][..], &steps].concat();
    world.ok(&arguments);
    let bytes = world
        .run(&["export", "box"])
        .expect_code(0, &["export"])
        .stdout;
    let folder = unpacked(&world, &bytes, "root");
    let read = |path: &str| fs::read(folder.join(path)).expect(path);
    assert_eq!(read("etc/a"), b"changed");
    assert_eq!(read("new/file"), b"mine");
    assert_eq!(read("new/link"), b"changed");
    assert!(!folder.join("etc/b").exists());
    assert!(read("files.wasm") == fs::read(guest("files")).expect("the guest"));
    let names = fs::read_dir(folder.join("etc")).expect("a folder").count();
    assert_eq!(names, 1, "no whiteout is seen");

    let target = world.path("c.tar").display().to_string();
    world.ok(&["export", "-o", &target, "box"]);
    assert!(
        fs::read(&target).expect("the archive") == bytes,
        "the same each time"
    );
    world.failed(&["export", "-o", &target, "nothing"]);

    // And back: an image of one layer.
    let id = world.ok(&[
        "import",
        "--change",
        "ENTRYPOINT [\"/files.wasm\"]",
        "-c",
        "ENV A=1",
        "-m",
        "a remark",
        &target,
        "back:1",
    ]);
    let image = world.json(&["inspect", "back:1"]);
    assert_eq!(format!("{}\n", layout::text(&image[0]["Id"])), id);
    assert_eq!(image[0]["Config"]["Env"], json!(["A=1"]));
    assert_eq!(
        image[0]["RootFS"]["Layers"]
            .as_array()
            .expect("layers")
            .len(),
        1
    );
    assert!(world.ok(&["history", "back:1"]).contains("a remark"));
    assert_eq!(
        world.ok(&["run", "--rm", "back:1", "read,/new/link", "list,/etc"]),
        "changeda\n"
    );
}

#[test]
fn hard_links_owners_modes_and_times_go_through() {
    let world = World::new();
    let root = world.path("root");
    fs::create_dir(&root).expect("a folder");
    fs::copy(guest("files"), root.join("files.wasm")).expect("a guest");
    fs::write(root.join("one"), "x").expect("a file");
    fs::hard_link(root.join("one"), root.join("two")).expect("a link");
    let output = Command::new("tar")
        .current_dir(&root)
        .args([
            "-c",
            "-z",
            "--owner=7",
            "--group=8",
            "--mode=0640",
            "--mtime=@1000",
        ])
        .args(["one", "two", "files.wasm"])
        .output()
        .expect("tar");
    assert!(output.status.success(), "{output:?}");
    let id = world
        .run_with(
            &["import", "-c", "CMD [\"/files.wasm\"]", "-"],
            &output.stdout,
        )
        .expect_code(0, &["import"])
        .text();
    world.ok(&["run", "--name", "box", id.trim_end()]);
    let bytes = world
        .run(&["export", "box"])
        .expect_code(0, &["export"])
        .stdout;
    let archive = world.write("out.tar", &bytes);
    let listed = Command::new("tar")
        .args(["-t", "-v", "--numeric-owner", "--utc", "-f"])
        .arg(&archive)
        .output()
        .expect("tar");
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(text.contains("-rw-r----- 7/8"), "{text}");
    assert!(text.contains("1970-01-01 00:16"), "{text}");
    assert!(text.contains("two link to one"), "{text}");
}

#[test]
fn what_cannot_be_imported_leaves_nothing() {
    let world = World::new();
    for (bytes, flags) in [
        (
            &b"no tar at all, but long enough to be looked at"[..],
            &[][..],
        ),
        (b"", &["-c", "RUN true"]),
        (b"", &["-c", "COPY a b"]),
        (b"", &["-c", "ENV A=1\nCOPY a b"]),
    ] {
        let arguments = [&["import"][..], flags, &["-", "x"]].concat();
        let output = world.run_with(&arguments, bytes).expect_code(1, &arguments);
        assert!(!output.errors().is_empty());
        assert_eq!(world.ok(&["images", "-q"]), "");
        assert_eq!(layout::blobs(&world.images()).len(), 0);
    }
    let message = world.failed(&["import", "https://example.com/root.tar"]);
    assert!(message.contains("curl"), "{message}");
}
