//! Paths: making, moving, linking, and ways out of the guest's root, of which there are none.

use crate::guest::*;
use crate::world::World;

fn two_paths(mut guest: Guest, name: &str, from: &str, to: &str) -> Guest {
    let [from, from_len] = guest.text(from);
    let [to, to_len] = guest.text(to);
    let args: &[i64] = match name {
        "path_rename" => &[3, from, from_len, 3, to, to_len],
        "path_link" => &[3, 0, from, from_len, 3, to, to_len],
        "path_symlink" => &[from, from_len, 3, to, to_len],
        other => panic!("{other} has not two paths"),
    };
    guest.call(name, args)
}

#[test]
fn the_tree_is_changed() {
    let world = World::new().file("old", "content").dir("gone");
    let mut guest = Guest::new()
        .path("path_create_directory", 3, "d")
        .path("path_create_directory", 3, "d")
        .path("path_remove_directory", 3, "gone")
        .path("path_remove_directory", 3, "old")
        .path("path_unlink_file", 3, "d");
    for (name, from, to) in [
        ("path_rename", "old", "d/new"),
        ("path_link", "d/new", "hard"),
        ("path_symlink", "/d/new", "soft"),
        ("path_symlink", "x", "soft"),
    ] {
        guest = two_paths(guest, name, from, to);
    }
    guest = guest
        .path("path_remove_directory", 3, "d")
        .path("path_unlink_file", 3, "nothing");
    let mut shown = guest.run(&world);
    assert_eq!(shown.errnos(5), [OK, EXIST, OK, NOTDIR, ISDIR]);
    assert_eq!(shown.errnos(4), [OK, OK, OK, EXIST]);
    assert_eq!(shown.errnos(2), [NOTEMPTY, NOENT]);
    assert_eq!(
        std::fs::read(world.path("upper/hard")).expect("the link"),
        b"content"
    );
    assert_eq!(
        std::fs::read_link(world.path("upper/soft"))
            .expect("the link")
            .as_os_str(),
        "/d/new"
    );
}

#[test]
fn attributes_are_read_and_set_through_links_or_not() {
    let world = World::new()
        .file("f", "12345")
        .symlink("/f", "link")
        .symlink("away", "dangling");
    let mut guest = Guest::new();
    let [link, link_len] = guest.text("link");
    let [dangling, dangling_len] = guest.text("dangling");
    let guest = guest
        .call("path_filestat_get", &[3, 0, link, link_len, 640])
        .show(656, 1)
        .call("path_filestat_get", &[3, 1, link, link_len, 640])
        .show(656, 1)
        .show(672, 8)
        .call("path_filestat_get", &[3, 1, dangling, dangling_len, 640])
        .call("path_filestat_get", &[3, 2, link, link_len, 640])
        .call("path_readlink", &[3, link, link_len, 800, 100, 700])
        .show(700, 4)
        .show(800, 2)
        .call("path_readlink", &[3, link, link_len, 810, 1, 700])
        .show(810, 2)
        .call(
            "path_filestat_set_times",
            &[3, 1, link, link_len, 5_000_000_000, 6_000_000_000, 0b0101],
        );
    let mut shown = guest.run(&world);
    assert_eq!(
        (shown.errno(), shown.bytes()),
        (OK, vec![7]),
        "the link itself"
    );
    assert_eq!(
        (shown.errno(), shown.bytes(), shown.long()),
        (OK, vec![4], 5)
    );
    assert_eq!(shown.errnos(2), [NOENT, INVAL]);
    assert_eq!(
        (shown.errno(), shown.word(), shown.bytes()),
        (OK, 2, b"/f".to_vec())
    );
    assert_eq!((shown.errno(), shown.bytes()), (OK, b"/\0".to_vec()), "cut");
    assert_eq!(shown.errno(), OK);
    let times = std::fs::metadata(world.path("upper/f"))
        .expect("copied up")
        .modified()
        .expect("a time");
    assert_eq!(
        times,
        std::time::UNIX_EPOCH + std::time::Duration::from_secs(6)
    );
}

#[test]
fn opening_follows_the_flags() {
    let world = World::new()
        .file("f", "12345")
        .symlink("/f", "link")
        .symlink("loop", "loop");
    let mut guest = Guest::new();
    let [link, len] = guest.text("link");
    let guest = guest
        .call("path_open", &[3, 0, link, len, 0, READ, 0, 0, 256])
        .open(3, "link", 0, READ)
        .open(3, "loop", 0, READ)
        .open(3, "f", DIRECTORY, READ)
        .open(3, "f/x", 0, READ)
        .open(3, "f", CREAT | EXCL, WRITE)
        .open(3, "new", CREAT | EXCL, WRITE)
        .open(3, "none", 0, READ)
        .open(3, "f", TRUNC, WRITE)
        .open(3, "f", 16, READ);
    let mut shown = guest.run(&world);
    assert_eq!(shown.errnos(5), [LOOP, OK, LOOP, NOTDIR, NOTDIR]);
    assert_eq!(shown.errnos(5), [EXIST, OK, NOENT, OK, INVAL]);
    assert_eq!(
        std::fs::metadata(world.path("upper/f"))
            .expect("copied up")
            .len(),
        0
    );
}

/// The host has `/etc/passwd`; the guest has none, however it asks.
#[test]
fn no_path_leads_out() {
    assert!(
        std::fs::exists("/etc/passwd").expect("the host's"),
        "this test needs one on the host"
    );
    let temp = tempfile::NamedTempFile::new().expect("a host file");
    let host = temp.path().to_str().expect("a plain path").to_owned();
    let world = World::new()
        .dir("d")
        .symlink("/etc/passwd", "absolute")
        .symlink("../../../../../../../../etc/passwd", "relative")
        .symlink("/", "d/root")
        .symlink(&host, "host");
    let mut guest = Guest::new();
    let refused = [
        "../../etc/passwd",
        "/etc/passwd",
        "d/../../etc/passwd",
        "..",
        "/",
    ];
    let missing = [
        "etc/passwd",
        "absolute",
        "relative",
        "host",
        "d/root/etc/passwd",
    ];
    for path in refused.iter().chain(&missing) {
        guest = guest.open(3, path, 0, READ);
    }
    let kinds = [
        "path_unlink_file",
        "path_create_directory",
        "path_remove_directory",
    ];
    for kind in kinds {
        guest = guest.path(kind, 3, "../x").path(kind, 3, "/x");
    }
    for (name, from, to) in [
        ("path_rename", "d", "../d"),
        ("path_rename", "../etc", "d"),
        ("path_link", "../../../etc/passwd", "stolen"),
        ("path_link", "/etc/passwd", "stolen"),
        ("path_symlink", "x", "../x"),
    ] {
        guest = two_paths(guest, name, from, to);
    }
    // From a directory of its own, a guest can't climb either, not even to its root.
    guest = guest
        .open(3, "d", DIRECTORY, READ)
        .open(4, "../d", DIRECTORY, READ)
        .open(4, "root/d", DIRECTORY, READ);
    let mut shown = guest.run(&world);
    for path in refused {
        assert_eq!(shown.errno(), PERM, "{path}");
    }
    for path in missing {
        assert_eq!(shown.errno(), NOENT, "{path}");
    }
    assert_eq!(shown.errnos(kinds.len() * 2), [PERM; 6]);
    assert_eq!(shown.errnos(5), [PERM; 5]);
    assert_eq!(shown.errnos(3), [OK, PERM, OK]);
}
