//! `cp`, `diff` and `commit`: files into containers and out of them, and images of what containers have changed.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};

use crate::world::World;

fn world() -> World {
    let world = World::new();
    world.build(
        "files",
        "FROM scratch\nCOPY files.wasm /bin/\nCOPY tree /\nENTRYPOINT [\"/bin/files.wasm\"]\n",
        &["files"],
        &[
            ("tree/etc/a", b"from the image\n"),
            ("tree/etc/b", b"to be removed\n"),
            ("tree/etc/sub/c", b"deep\n"),
            ("tree/old/x", b"x"),
            ("tree/old/y", b"y"),
        ],
    );
    world
}

/// A container that waits to be started, and says what its file system holds when it is.
fn container(world: &World, name: &str, commands: &[&str]) {
    world.ok(&[&["create", "--name", name, "files"], commands].concat());
}

#[test]
fn files_go_into_a_container_by_dockers_rules() {
    let world = world();
    world.write("one", "1\n");
    world.write("dir/f", "f\n");
    world.write("dir/deep/g", "g\n");
    symlink("f", world.path("dir/link")).expect("a link");
    container(
        &world,
        "box",
        &[
            "list,/",
            "list,/etc",
            "read,/etc/dir/deep/g",
            "read,/new",
            "list,/made",
            "readlink,/made/link",
        ],
    );
    world.ok(&["cp", "one", "box:/new"]);
    world.ok(&["cp", "one", "box:/etc"]);
    world.ok(&["cp", "one", "box:etc/a"]);
    world.ok(&["cp", "dir", "box:/etc"]);
    world.ok(&["cp", "dir/.", "box:/made"]);
    world.ok(&["cp", "./dir", "box:/made"]);
    for (source, target, wanted) in [
        ("one", "box:/nowhere/x", "no such directory"),
        ("one", "box:/nowhere/", "no such directory"),
        ("one", "box:/etc/b/", "not a directory"),
        ("dir", "box:/etc/b", "cannot copy a directory"),
        ("dir/f/", "box:/", "ot a directory"),
        ("none", "box:/", "none"),
        ("one", "nobody:/", "nobody"),
        ("one", "two", "in a container"),
        ("box:/etc", "box:/x", "between containers"),
    ] {
        let message = world.failed(&["cp", source, target]);
        assert!(message.contains(wanted), "{source} {target}: {message}");
    }
    assert_eq!(
        world.ok(&["start", "-a", "box"]),
        "bin\netc\nmade\nnew\nold\na\nb\ndir\none\nsub\ng\n1\ndeep\ndir\nf\nlink\nf\n"
    );
    let a = world.ok(&["cp", "box:/etc/a", "back"]);
    assert_eq!(a, "");
    assert_eq!(fs::read(world.path("back")).expect("the file"), b"1\n");
}

#[test]
fn files_come_out_by_dockers_rules() {
    let world = world();
    let steps = [
        "write,/etc/new,mine\n",
        "symlink,new,/etc/link",
        "symlink,/etc,/all",
        "rm,/etc/b",
    ];
    world.ok(&[&["run", "--name", "box", "files"][..], &steps].concat());
    let read = |path: &str| fs::read_to_string(world.path(path)).expect(path);
    world.ok(&["cp", "box:/etc", "whole"]);
    assert_eq!(read("whole/a"), "from the image\n");
    assert_eq!(read("whole/new"), "mine\n");
    assert!(!world.path("whole/b").exists());
    let link = fs::read_link(world.path("whole/link")).expect("a link");
    assert_eq!(link.to_str(), Some("new"));
    world.ok(&["cp", "box:/etc", "whole"]);
    assert_eq!(read("whole/etc/sub/c"), "deep\n");
    world.ok(&["cp", "box:/etc/.", "whole/etc/sub"]);
    assert_eq!(read("whole/etc/sub/sub/c"), "deep\n");
    world.ok(&["cp", "box:/all", "aslink"]);
    assert!(
        fs::symlink_metadata(world.path("aslink"))
            .expect("it")
            .is_symlink()
    );
    world.ok(&["cp", "-L", "box:/all", "followed"]);
    assert_eq!(read("followed/new"), "mine\n");
    fs::remove_file(world.path("aslink")).expect("the link goes");
    // A link on the host that is to be replaced is not written through.
    world.write("outside", "safe\n");
    symlink(world.path("outside"), world.path("trap")).expect("a link");
    world.ok(&["cp", "box:/etc/new", "trap"]);
    fs::create_dir_all(world.path("victim")).expect("a folder");
    symlink(world.path("whole"), world.path("victim/etc")).expect("a link");
    let message = world.failed(&["cp", "box:/etc", "victim"]);
    assert!(message.contains("cannot overwrite"), "{message}");

    let tar = world
        .run(&["cp", "box:/etc", "-"])
        .expect_code(0, &["cp"])
        .stdout;
    let list = world.write("etc.tar", tar);
    let names = world.tool_ok("tar", &["-tf", list.to_str().expect("UTF-8")]);
    assert_eq!(
        names,
        "etc/\netc/a\netc/link\netc/new\netc/sub/\netc/sub/c\n"
    );
    let message = world.failed(&["cp", "box:/none", "x"]);
    assert!(
        message.contains("could not find the file /none in container box"),
        "{message}"
    );
}

#[test]
fn a_tar_goes_in_and_stays_in() {
    let world = world();
    container(&world, "box", &["read,/srv/x", "read,/srv/d/y"]);
    world.write("t/x", "x\n");
    world.write("t/d/y", "y\n");
    let folder = world.path("t");
    let tar = std::process::Command::new("tar")
        .args(["--owner=5", "--group=6", "-c", "-C"])
        .arg(&folder)
        .arg(".")
        .output()
        .expect("tar")
        .stdout;
    let message = world
        .run_with(&["cp", "-", "box:/srv"], &tar)
        .expect_code(1, &["cp"])
        .errors();
    assert!(message.contains("could not find"), "{message}");
    fs::create_dir_all(world.path("empty")).expect("a folder");
    world.ok(&["cp", "empty", "box:/srv"]);
    world
        .run_with(&["cp", "-a", "-", "box:/srv"], &tar)
        .expect_code(0, &["cp"]);
    assert_eq!(world.ok(&["start", "-a", "box"]), "x\ny\n");
    let out = world
        .run(&["cp", "-a", "box:/srv/x", "-"])
        .expect_code(0, &["cp"])
        .stdout;
    let list = world.write("x.tar", out);
    let line = world.tool_ok(
        "tar",
        &["--numeric-owner", "-tvf", list.to_str().expect("UTF-8")],
    );
    assert!(line.contains("5/6"), "the owner was kept: {line}");

    // Names that lead out of it, and links to go through, end in the container or nowhere.
    let evil = world.path("evil.tar");
    let python = "import sys, tarfile, io\nt = tarfile.open(sys.argv[1], 'w')\n\
        i = tarfile.TarInfo('l'); i.type = tarfile.SYMTYPE; i.linkname = '/../../../../tmp'; t.addfile(i)\n\
        i = tarfile.TarInfo(sys.argv[2]); i.size = 4; t.addfile(i, io.BytesIO(b'evil'))\nt.close()\n";
    for (name, fine) in [
        ("l/coracle-evil", false),
        ("../../evil", false),
        ("/abs", true),
    ] {
        world.tool_ok(
            "python3",
            &["-c", python, evil.to_str().expect("UTF-8"), name],
        );
        let bytes = fs::read(&evil).expect("the archive");
        let output = world.run_with(&["cp", "-", "box:/srv"], &bytes);
        assert_eq!(
            output.code,
            Some(i32::from(!fine)),
            "{name}: {}",
            output.errors()
        );
        assert!(
            !std::path::Path::new("/tmp/coracle-evil").exists(),
            "{name}"
        );
    }
    for cut in [&tar[..700], b"no tar at all, but some bytes"] {
        world
            .run_with(&["cp", "-", "box:/srv"], cut)
            .expect_code(1, &["a damaged archive"]);
    }
}

#[test]
fn volumes_and_a_running_container_are_reached() {
    let world = world();
    world.guest_image("sleep");
    world.ok(&[
        "run",
        "-d",
        "--name",
        "web",
        "-v",
        "data:/data",
        "-v",
        "locked:/ro:ro",
        "--tmpfs",
        "/mem",
        "sleep",
        "60",
    ]);
    world.write("file", "live\n");
    world.ok(&["cp", "file", "web:/data"]);
    world.ok(&["cp", "file", "web:/own"]);
    assert_eq!(
        world.ok(&["run", "--rm", "-v", "data:/d", "files", "read,/d/file"]),
        "live\n"
    );
    let message = world.failed(&["cp", "file", "web:/ro"]);
    assert!(message.contains("read-only"), "{message}");
    let message = world.failed(&["cp", "file", "web:/mem/x"]);
    assert!(message.contains("memory"), "{message}");
    assert_eq!(world.ok(&["diff", "web"]), "A /own\n");
    let id = world.ok(&["commit", "web", "live:1"]);
    assert!(id.starts_with("sha256:"), "{id}");
    assert_eq!(
        world.json(&["inspect", "web"])[0]["State"]["Status"],
        "running"
    );
    world.ok(&["rm", "-f", "web"]);
}

#[test]
fn what_changed_is_listed_and_made_an_image() {
    let world = world();
    let steps = [
        "rm,/etc/b",
        "append,/etc/a,more\n",
        "mkdir,/new",
        "write,/new/file,mine\n",
        "symlink,file,/new/link",
        "rm,/old/x",
        "rm,/old/y",
        "rm,/old",
        "mkdir,/old",
        "write,/old/z,z\n",
    ];
    world.ok(&[
        &[
            "run", "--name", "box", "-e", "A=1", "--label", "l=v", "files",
        ][..],
        &steps,
    ]
    .concat());
    assert_eq!(
        world.ok(&["diff", "box"]),
        "C /etc\nC /etc/a\nD /etc/b\nA /new\nA /new/file\nA /new/link\nC /old\nD /old/x\nD /old/y\nA /old/z\n"
    );
    let commit = [
        "commit",
        "-m",
        "a remark",
        "-a",
        "somebody",
        "-c",
        "ENV B=2",
        "--change",
        "CMD [\"list,/\", \"list,/old\", \"list,/etc\", \"read,/etc/a\", \"read,/new/link\"]",
        "box",
        "made",
    ];
    let id = world.ok(&commit);
    assert_eq!(world.ok(&["images", "-q", "--no-trunc", "made"]), id);
    assert_eq!(
        world.ok(&["run", "--rm", "made"]),
        "bin\netc\nnew\nold\nz\na\nsub\nfrom the image\nmore\nmine\n"
    );
    let image = &world.json(&["inspect", "made"])[0];
    assert_eq!(image["Author"], "somebody");
    assert_eq!(image["Config"]["Labels"]["l"], "v");
    let env = image["Config"]["Env"].to_string();
    assert!(env.contains("A=1") && env.contains("B=2"), "{env}");
    let history = world.ok(&["history", "--format", "{{.Comment}}", "made"]);
    assert!(history.contains("a remark"), "{history}");
    let layers =
        |image: &serde_json::Value| image["RootFS"]["Layers"].as_array().map_or(0, Vec::len);
    assert_eq!(
        layers(image),
        layers(&world.json(&["inspect", "files"])[0]) + 1
    );
    // The image lives without the container, and without its base.
    world.ok(&["rm", "box"]);
    world.ok(&["rmi", "files"]);
    assert_eq!(world.ok(&["run", "--rm", "made", "read,/old/z"]), "z\n");

    world.ok(&["create", "--name", "still", "made"]);
    assert_eq!(world.ok(&["diff", "still"]), "");
    world.ok(&["commit", "still"]);
    for (arguments, wanted) in [
        (&["commit", "-c", "RUN x", "still"][..], "RUN x"),
        (&["commit", "nobody"], "nobody"),
        (&["commit", "still", "UPPER"], "UPPER"),
        (&["diff", "nobody"], "nobody"),
    ] {
        let message = world.failed(arguments);
        assert!(message.contains(wanted), "{message}");
    }
}

#[test]
fn modes_and_times_are_kept() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = world();
    let file = world.write("script", "#!/bin/sh\n");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o4751)).expect("a mode");
    world.tool_ok("touch", &["-d", "2001-02-03T04:05:06Z", "script"]);
    container(&world, "box", &[]);
    world.ok(&["cp", "script", "box:/bin/script"]);
    let out = world
        .run(&["cp", "box:/bin/script", "-"])
        .expect_code(0, &["cp"])
        .stdout;
    let list = world.write("s.tar", out);
    let line = world.tool_ok(
        "tar",
        &[
            "--numeric-owner",
            "--utc",
            "--full-time",
            "-tvf",
            list.to_str().expect("UTF-8"),
        ],
    );
    assert!(line.starts_with("-rwsr-x--x 0/0"), "{line}");
    assert!(line.contains("2001-02-03 04:05:06"), "{line}");
    world.ok(&["cp", "box:/bin/script", "out"]);
    let metadata = fs::metadata(world.path("out")).expect("the copy");
    assert_eq!(
        metadata.mode() & 0o7777,
        0o751,
        "no right to run as somebody else comes out"
    );
    assert_eq!(metadata.mtime(), 981_173_106);
}
