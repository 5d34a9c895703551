//! Mount points: where they are, what can't be done to them.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;

fn image() -> World {
    World::new(|lower| {
        let root = lower.root();
        let etc = lower.add_dir(root, b"etc", 0o755).expect("a directory");
        lower
            .add_file(etc, b"hosts", 0o644, b"image")
            .expect("a file");
        lower.add_dir(root, b"run", 0o755).expect("a directory");
        let var = lower.add_dir(root, b"var", 0o755).expect("a directory");
        lower.add_symlink(var, b"run", b"/run").expect("a link");
    })
}

#[test]
fn points_need_not_exist_and_show_up_in_listings() {
    let world = image();
    let data = world.host_dir("data");
    fs::write(data.join("in"), "data").expect("a file");
    let hosts = world.path("hosts");
    fs::write(&hosts, "mounted").expect("a file");
    let open = || {
        MountSource::File(
            fs::File::options()
                .read(true)
                .write(true)
                .open(&hosts)
                .expect("a file"),
        )
    };
    let inner = world.host_dir("inner");
    fs::write(inner.join("deep"), "inner").expect("a file");
    let root = world
        .builder()
        .mount(
            "/srv/a/data/nested/more",
            mount_dir(&inner),
            Access::ReadOnly,
        )
        .mount("/srv/a/data", mount_dir(&data), Access::ReadWrite)
        .mount("/etc/hosts", open(), Access::ReadOnly)
        .mount("/etc/rw", open(), Access::ReadWrite)
        .mount("/var/run/sock", mount_dir(&data), Access::ReadOnly)
        .build()
        .expect("built")
        .root();
    assert_eq!(
        names(&root, ".").expect("list"),
        ["etc", "run", "srv", "var"]
    );
    assert_eq!(names(&root, "srv/a").expect("list"), ["data"]);
    assert_eq!(names(&root, "srv/a/data").expect("list"), ["in", "nested"]);
    assert_eq!(
        names(&root, "run").expect("list"),
        ["sock"],
        "a link on the way is followed in the image"
    );
    assert_eq!(read(&root, "var/run/sock/in").as_deref(), Ok("data"));
    assert_eq!(
        read(&root, "srv/a/data/nested/more/deep").as_deref(),
        Ok("inner")
    );
    assert_eq!(read(&root, "etc/hosts").as_deref(), Ok("mounted"));
    assert_eq!(
        file(&root, "etc/hosts", &WRITE).err(),
        Some(Errno::ReadOnly)
    );
    write(&root, "etc/rw", "by the guest").expect("write");
    assert_eq!(
        fs::read_to_string(&hosts).expect("the host's file"),
        "by the guest"
    );
    write(&root, "srv/a/data/new", "new").expect("write");
    assert_eq!(
        fs::read_to_string(data.join("new")).expect("the host's file"),
        "new"
    );
    assert_eq!(
        file(&root, "srv/a/data/nested/x", &CREATE).err(),
        Some(Errno::ReadOnly),
        "there is no such host directory"
    );
    assert_eq!(
        world.upper_paths(),
        Vec::<String>::new(),
        "mounts leave nothing in the container's layer"
    );
    snapshot(&root);

    for (what, got) in [
        ("rmdir", root.remove_dir(b"srv/a/data")),
        ("rmdir above", root.remove_dir(b"srv/a")),
        (
            "rmdir above, in a mount",
            root.remove_dir(b"srv/a/data/nested"),
        ),
        ("unlink", root.remove_file(b"etc/hosts")),
        ("rename", root.rename(b"srv/a/data", &root, b"d")),
        ("rename above", root.rename(b"srv", &root, b"d")),
        ("rename a file", root.rename(b"etc/hosts", &root, b"h")),
        (
            "rename onto",
            root.rename(b"etc/passwd", &root, b"etc/hosts")
                .or_else(|_| {
                    write(&root, "etc/passwd", "p")
                        .and_then(|()| root.rename(b"etc/passwd", &root, b"etc/hosts"))
                }),
        ),
    ] {
        assert_eq!(got, Err(Errno::Busy), "{what}");
    }
    assert_eq!(root.create_dir(b"srv/a/data"), Err(Errno::Exist));
    assert_eq!(
        root.hard_link(b"etc/hosts", false, &root, b"etc/h"),
        Err(Errno::CrossDevice)
    );
    assert_eq!(
        root.rename(b"srv/a/data/in", &root, b"in"),
        Err(Errno::CrossDevice)
    );
    assert_eq!(
        root.rename(b"etc/passwd", &root, b"srv/a/data/p"),
        Err(Errno::CrossDevice)
    );
    assert_eq!(
        root.hard_link(b"srv/a/data/in", false, &root, b"in"),
        Err(Errno::CrossDevice)
    );

    // On the way to a mount point, the guest's own file system begins again as soon as something is made there.
    write(&root, "srv/a/own", "own").expect("write");
    assert_eq!(names(&root, "srv/a").expect("list"), ["data", "own"]);
    assert_eq!(
        fs::read_to_string(world.path("upper/srv/a/own")).expect("in the upper"),
        "own"
    );
}

#[test]
fn links_in_a_mount_are_the_guests() {
    let world = image();
    let data = world.host_dir("data");
    fs::write(data.join("in"), "data").expect("a file");
    symlink("/etc/hosts", data.join("abs")).expect("a link");
    symlink("../etc/hosts", data.join("up")).expect("a link");
    symlink("/data/in", data.join("home")).expect("a link");
    let root = world
        .builder()
        .mount("/data", mount_dir(&data), Access::ReadOnly)
        .build()
        .expect("built")
        .root();
    let handle = directory(&root, "data").expect("open");
    for dir in [(&root, "data/"), (&handle, "")] {
        for (path, want) in [("abs", "image"), ("up", "image"), ("home", "data")] {
            assert_eq!(
                read(dir.0, &format!("{}{path}", dir.1)).as_deref(),
                Ok(want),
                "{path}"
            );
        }
    }
}

#[test]
fn whiteouts_mean_nothing_in_a_mount() {
    let world = image();
    let data = world.host_dir("data");
    fs::write(data.join(".wh.x"), "mine").expect("a file");
    fs::write(data.join("x"), "x").expect("a file");
    let root = world
        .builder()
        .mount("/data", mount_dir(&data), Access::ReadWrite)
        .build()
        .expect("built")
        .root();
    assert_eq!(names(&root, "data").expect("list"), [".wh.x", "x"]);
    root.remove_file(b"data/.wh.x").expect("unlink");
    root.remove_file(b"data/x").expect("unlink");
    assert_eq!(fs::read_dir(&data).expect("list").count(), 0);
}

#[test]
fn bad_mount_points_are_refused_by_name() {
    let world = image();
    let data = world.host_dir("data");
    for path in [
        "relative",
        "/",
        "/a/../b",
        "/.wh.x",
        "/etc/hosts",
        "/etc/hosts/below",
        "",
        "/nul\0",
    ] {
        let error = world
            .builder()
            .mount(path, mount_dir(&data), Access::ReadOnly)
            .build()
            .expect_err("refused");
        assert!(error.to_string().contains(path), "{path:?}: {error}");
    }
    let file = MountSource::File(fs::File::open(world.path("layer")).expect("a file"));
    let error = world
        .builder()
        .mount("/etc", file, Access::ReadOnly)
        .build()
        .expect_err("refused");
    assert_eq!(
        error.to_string(),
        "mounting at \"/etc\": a file can't be mounted over a directory"
    );
    let twice = world
        .builder()
        .mount("/data", mount_dir(&data), Access::ReadOnly)
        .mount("//data/./", mount_dir(&data), Access::ReadOnly)
        .build();
    assert!(twice.is_err());
}
