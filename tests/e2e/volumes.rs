//! Volumes: files that outlive the containers which use them.

use std::fs;

use crate::world::{Running, World, wait_until};

/// An image with a small shell for files, and files where it says that a volume should be.
fn world() -> World {
    let world = World::new();
    world.build(
        "files",
        "FROM scratch\nCOPY files.wasm /bin/\nCOPY tree /\nVOLUME /data\nENTRYPOINT [\"/bin/files.wasm\"]\n",
        &["files"],
        &[
            ("tree/data/seed", b"from the image\n"),
            ("tree/data/sub/deep", b"deep\n"),
            ("tree/other/file", b"other\n"),
        ],
    );
    world
}

fn names(world: &World) -> Vec<String> {
    let text = world.ok(&["volume", "ls", "-q"]);
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_named_volume_is_made_filled_and_kept() {
    let world = world();
    let run = |mount: &str, commands: &[&str]| {
        world.ok(&[&["run", "--rm", "-v", mount, "files"], commands].concat())
    };
    let first = [
        "list,/data",
        "write,/data/new,mine\n",
        "append,/data/seed,more\n",
    ];
    assert_eq!(run("db:/data", &first), "seed\nsub\n");
    let second = ["read,/d/new", "read,/d/seed", "read,/d/sub/deep"];
    assert_eq!(
        run("db:/d:ro", &second),
        "mine\nfrom the image\nmore\ndeep\n"
    );
    // The image's own VOLUME was mounted beside it, and went with its container.
    assert_eq!(names(&world), ["db"]);

    let output = world.run(&["run", "--rm", "-v", "db:/d:ro", "files", "write,/d/x,no"]);
    let output = output.expect_code(1, &["ro"]);
    assert!(
        output.text().contains("Read-only file system"),
        "{}",
        output.text()
    );
    assert_eq!(run("empty:/data:nocopy", &["list,/data"]), "");
    let mount = [
        "run",
        "--rm",
        "--mount",
        "source=third,target=/other",
        "files",
    ];
    assert_eq!(world.ok(&[&mount[..], &["list,/other"]].concat()), "file\n");

    let found = world.json(&["volume", "inspect", "db"]);
    assert_eq!(found[0]["Name"], "db");
    assert_eq!(found[0]["Driver"], "local");
    let path = found[0]["Mountpoint"].as_str().expect("a path");
    assert_eq!(
        fs::read(format!("{path}/new")).expect("the file"),
        b"mine\n"
    );
    assert_eq!(names(&world), ["db", "empty", "third"]);
    assert_eq!(
        world.ok(&["volume", "ls", "--filter", "name=mp"]),
        "DRIVER    VOLUME NAME\nlocal     empty\n"
    );
    world.ok(&["volume", "rm", "db", "empty", "third"]);
    assert!(names(&world).is_empty());
    let output = world.run(&["volume", "rm", "db"]).expect_code(1, &["rm"]);
    assert!(
        output.errors().contains("no such volume: db"),
        "{}",
        output.errors()
    );
    assert_eq!(world.ok(&["volume", "rm", "-f", "db"]), "db\n");
}

#[test]
fn an_anonymous_volume_goes_with_its_container() {
    let world = world();
    world.ok(&[
        "run",
        "--name",
        "one",
        "-v",
        "/extra",
        "files",
        "write,/data/x,1",
        "write,/extra/y,2",
    ]);
    assert_eq!(names(&world).len(), 2);
    world.ok(&[
        "run",
        "--name",
        "two",
        "--volumes-from",
        "one:ro",
        "files",
        "read,/extra/y",
    ]);
    assert_eq!(
        names(&world).len(),
        2,
        "the other's are used, no new ones made"
    );
    world.ok(&["rm", "-v", "one"]);
    assert_eq!(names(&world).len(), 2, "another container has them");
    world.ok(&["rm", "-v", "two"]);
    assert!(names(&world).is_empty());

    // With `rm` alone they stay, until they are pruned; a named one is not.
    world.ok(&["create", "--name", "three", "-v", "kept:/k", "files"]);
    world.ok(&["rm", "three"]);
    assert_eq!(names(&world).len(), 2);
    let pruned = world.ok(&["volume", "prune", "-f"]);
    assert!(pruned.starts_with("Deleted Volumes:\n"), "{pruned}");
    assert_eq!(names(&world), ["kept"]);
    let pruned = world.ok(&["volume", "prune", "-af"]);
    assert!(pruned.contains("kept\n"), "{pruned}");
    assert!(names(&world).is_empty());
}

#[test]
fn what_is_used_is_not_removed() {
    let world = world();
    world.ok(&[
        "create", "--name", "user", "-v", "db:/db", "files", "list,/db",
    ]);
    for text in [&["volume", "rm", "db"][..], &["volume", "rm", "-f", "db"]] {
        let errors = world.run(text).expect_code(1, text).errors();
        assert!(errors.contains("in use by container user"), "{errors}");
    }
    world.ok(&["volume", "prune", "-af"]);
    assert!(names(&world).contains(&"db".to_owned()));
    // It is written to through the host's folder, and seen when the container starts.
    let path = world.json(&["volume", "inspect", "db"])[0]["Mountpoint"].clone();
    fs::write(format!("{}/from-host", path.as_str().expect("a path")), "x").expect("a file");
    assert_eq!(world.ok(&["start", "-a", "user"]), "from-host\n");
    let mounts = world.json(&["inspect", "user"])[0]["Mounts"].clone();
    let db = mounts
        .as_array()
        .expect("mounts")
        .iter()
        .find(|mount| mount["Name"] == "db");
    assert_eq!(db.expect("it is listed")["Type"], "volume");
    // An explanation makes nothing.
    world.ok(&["run", "--explain", "-v", "unmade:/x", "files"]);
    assert!(!names(&world).contains(&"unmade".to_owned()));
}

#[test]
fn mounts_that_mean_nothing_are_refused() {
    let world = world();
    for (flags, wanted) in [
        (&["-v", "x:/data"][..], "not a volume name"),
        (&["-v", "a/b:/data"], "not a volume name"),
        (&["-v", "db:/d", "--tmpfs", "/d"], "duplicate mount point"),
        (
            &["-v", "db:/bin/files.wasm"],
            "can't be mounted over a file",
        ),
        (&["--volumes-from", "nobody"], "nobody"),
        (
            &["--mount", "type=bind,source=/,target=/x,volume-nocopy"],
            "type=volume",
        ),
    ] {
        let message = world.refused(&[&["run", "--rm"], flags, &["files", "list,/"]].concat());
        assert!(message.contains(wanted), "{flags:?}: {message}");
    }
    let message = world.failed(&["volume", "create", "-d", "nfs", "v1"]);
    assert!(message.contains("nfs"), "{message}");
}

#[test]
fn a_kill_while_a_volume_is_filled_loses_nothing() {
    let world = World::new();
    let files: Vec<(String, Vec<u8>)> = (0..400)
        .map(|number| (format!("tree/data/{number}"), vec![b'x'; 3000]))
        .collect();
    let files: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
        .collect();
    world.build(
        "many",
        "FROM scratch\nCOPY files.wasm /bin/\nCOPY tree /\nENTRYPOINT [\"/bin/files.wasm\"]\n",
        &["files"],
        &files,
    );
    let list = ["run", "--rm", "-v", "db:/data", "many", "list,/data"];
    let mark = world.root().join("volumes/db/filling");
    for _ in 0..3 {
        let running = Running::start(&mut world.command(&list));
        wait_until("the volume is being filled", || {
            mark.exists() || names(&world) == ["db"]
        });
        running.kill();
    }
    // Several at once go on with what was left.
    let texts: Vec<String> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..4).map(|_| scope.spawn(|| world.ok(&list))).collect();
        all.into_iter()
            .map(|one| one.join().expect("no panic"))
            .collect()
    });
    for text in texts {
        assert_eq!(text.lines().count(), 400);
    }
    assert!(!mark.exists());
    assert!(world.json(&["volume", "inspect", "db"])[0]["Labels"].is_null());
    world.ok(&["volume", "rm", "db"]);
}
