//! Numbers, modes and owners across copy-up and rename.

use std::collections::BTreeSet;

use super::*;

fn image() -> World {
    World::new(|lower| {
        let root = lower.root();
        let f = lower.add_file(root, b"f", 0o640, b"f").expect("a file");
        let d = lower.add_dir(root, b"d", 0o1770).expect("a directory");
        let x = lower.add_file(d, b"x", 0o6711, b"x").expect("a file");
        let one = lower.add_file(d, b"one", 0o644, b"x").expect("a file");
        lower.add_link(d, b"two", one).expect("a link");
        for (node, owner) in [(f, (1000, 1001)), (d, (7, 8)), (x, (9, 10))] {
            lower.set_owner(node, owner).expect("an owner");
        }
    })
}

fn attributes(root: &Directory, path: &str) -> (u64, u32, u32, u32) {
    let stat = root.stat_at(path.as_bytes(), false).expect(path);
    (stat.ino, stat.mode, stat.uid, stat.gid)
}

#[test]
fn copies_keep_number_mode_and_owner() {
    let world = image();
    let root = world.guest();
    let before = ["f", "d", "d/x"].map(|path| attributes(&root, path));
    assert_eq!(
        before.map(|(_, mode, uid, gid)| (mode, uid, gid)),
        [(0o640, 1000, 1001), (0o1770, 7, 8), (0o6711, 9, 10)]
    );
    let open = file(&root, "f", &READ).expect("open");
    for path in ["f", "d/x"] {
        file(&root, path, &APPEND)
            .and_then(|file| file.append(b"more"))
            .expect("append");
    }
    let same = |root: &Directory, paths: [&str; 3], when: &str| {
        assert_eq!(paths.map(|path| attributes(root, path)), before, "{when}");
        // Listing and stat agree.
        snapshot(root);
    };
    same(&root, ["f", "d", "d/x"], "copied up");
    assert_eq!(open.ino(), Ok(before[0].0), "a handle on the old bytes");
    let copy = file(&root, "f", &READ).expect("open");
    assert_eq!(copy.stat(), root.stat_at(b"f", false), "by handle");
    root.rename(b"f", &root, b"g").expect("rename");
    root.rename(b"d", &root, b"e").expect("rename");
    same(&root, ["g", "e", "e/x"], "renamed");
    same(&world.guest(), ["g", "e", "e/x"], "in another process");
    root.rename(b"e/x", &root, b"x").expect("rename");
    same(&root, ["g", "e", "x"], "out of the directory");

    // A new file in an old place is another one.
    write(&root, "f", "new").expect("write");
    let (ino, mode, uid, gid) = attributes(&root, "f");
    assert_eq!((mode, uid, gid), (0o644, 0, 0));
    let mut all = BTreeSet::from(before.map(|(ino, ..)| ino));
    assert!(all.insert(ino));
    // What was one file with two names are two files now, so not with one number.
    file(&root, "e/one", &WRITE).expect("copy-up");
    assert_ne!(attributes(&root, "e/one").0, attributes(&root, "e/two").0);
    assert_eq!(root.rename(b"e/one", &root, b"e/two"), Ok(()));
    assert_eq!(
        names(&root, "e").expect("list"),
        ["two"],
        "not taken for one file"
    );
}

/// An upper that came from elsewhere: the bits mean what they mean on the host, and nothing more.
#[test]
fn a_mark_without_a_record_is_a_mode() {
    use std::os::unix::fs::PermissionsExt;
    let world = image();
    let mode = fs::Permissions::from_mode;
    fs::write(world.path("upper/s"), "s").expect("a file");
    fs::set_permissions(world.path("upper/s"), mode(0o1644)).expect("its mode");
    fs::create_dir(world.path("upper/sd")).expect("a directory");
    fs::set_permissions(world.path("upper/sd"), mode(0o4755)).expect("its mode");
    let root = world.guest();
    assert_eq!(attributes(&root, "s").1, 0o1644);
    assert_eq!(attributes(&root, "sd").1, 0o4755);
    snapshot(&root);
}

#[test]
fn the_longest_names_can_be_removed_and_made_again() {
    let [long, longer] = [252, 255].map(|len| "n".repeat(len));
    let world = World::new(|lower| {
        let root = lower.root();
        lower
            .add_file(root, long.as_bytes(), 0o644, b"image")
            .expect("a file");
        let d = lower
            .add_dir(root, longer.as_bytes(), 0o755)
            .expect("a directory");
        lower.add_file(d, b"x", 0o644, b"deep").expect("a file");
    });
    let root = world.guest();
    root.remove_file(long.as_bytes()).expect("unlink");
    assert_eq!(read(&root, &long), Err(Errno::NoEntry));
    assert_eq!(names(&root, ".").expect("list"), [&longer[..]]);
    root.rename(longer.as_bytes(), &root, b"d").expect("rename");
    assert_eq!(names(&world.guest(), ".").expect("list"), ["d"]);
    root.create_dir(longer.as_bytes()).expect("mkdir");
    assert_eq!(names(&root, &longer).expect("list"), Vec::<String>::new());
    write(&root, &long, "new").expect("write");
    assert_eq!(names(&root, ".").expect("list"), ["d", &long, &longer]);
    root.remove_dir(longer.as_bytes()).expect("rmdir");
    root.remove_file(long.as_bytes()).expect("unlink");
    assert_eq!(names(&world.guest(), ".").expect("list"), ["d"]);
    assert_eq!(
        root.create_dir("n".repeat(256).as_bytes()),
        Err(Errno::NameTooLong)
    );
}
