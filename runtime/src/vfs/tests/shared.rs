//! Several file systems on one upper, and handles across changes by others.

use std::fs;

use super::*;

fn image() -> World {
    World::new(|lower| {
        let root = lower.root();
        lower.add_file(root, b"f", 0o644, b"image").expect("a file");
        let d = lower.add_dir(root, b"d", 0o755).expect("a directory");
        lower.add_file(d, b"x", 0o644, b"deep").expect("a file");
        let sub = lower.add_dir(d, b"sub", 0o755).expect("a directory");
        lower.add_file(sub, b"y", 0o644, b"deeper").expect("a file");
    })
}

#[test]
fn each_sees_what_the_other_does() {
    let world = image();
    let (one, other) = (world.guest(), world.guest());
    write(&one, "f", "by one").expect("write");
    assert_eq!(read(&other, "f").as_deref(), Ok("by one"));
    other.remove_file(b"d/x").expect("unlink");
    assert_eq!(names(&one, "d").expect("list"), ["sub"]);
    one.rename(b"d", &one, b"e").expect("rename");
    assert_eq!(names(&other, ".").expect("list"), ["e", "f"]);
    write(&other, "d", "a file").expect("write");
    assert_eq!(read(&one, "d").as_deref(), Ok("a file"));
    assert_eq!(read(&one, "e/sub/y").as_deref(), Ok("deeper"));
    assert_eq!(snapshot(&one), snapshot(&other));
}

#[test]
fn a_handle_in_the_lower_follows_copy_up() {
    let world = image();
    let (one, other) = (world.guest(), world.guest());
    let d = directory(&one, "d").expect("open");
    let sub = directory(&one, "d/sub").expect("open");
    write(&other, "d/new", "new").expect("write");
    assert_eq!(names(&d, ".").expect("list"), ["new", "sub", "x"]);
    write(&sub, "z", "z").expect("write");
    assert_eq!(names(&other, "d/sub").expect("list"), ["y", "z"]);
    // Both were seen in the upper, so the descriptor is held and renames do not matter.
    other.rename(b"d", &other, b"moved").expect("rename");
    write(&sub, "after", "after").expect("write");
    assert_eq!(read(&other, "moved/sub/after").as_deref(), Ok("after"));
    assert_eq!(names(&d, ".").expect("list"), ["new", "sub", "x"]);
    d.remove_file(b"x").expect("unlink");
    assert_eq!(names(&other, "moved").expect("list"), ["new", "sub"]);
    other
        .create_dir(b"d")
        .expect("another directory of the old name");
    assert_eq!(names(&d, ".").expect("list"), ["new", "sub"]);
    d.rename(b"new", &one, b"d/new")
        .expect("out of the moved directory, into the new one of its old name");
    assert_eq!(
        (
            names(&d, ".").expect("list"),
            names(&other, "d").expect("list")
        ),
        (vec!["sub".to_owned()], vec!["new".to_owned()])
    );
}

/// The handle saw the directory in the image only; all that it knows is a path that is gone.
#[test]
fn a_handle_in_the_lower_follows_what_another_process_moved() {
    let world = image();
    let (one, other) = (world.guest(), world.guest());
    let (d, sub) = (
        directory(&one, "d").expect("open"),
        directory(&one, "d/sub").expect("open"),
    );
    let numbers = [d.stat(), sub.stat()].map(|stat| stat.expect("stat").ino);
    other.create_dir(b"deep").expect("mkdir");
    other.rename(b"d", &other, b"deep/moved").expect("rename");
    other.create_dir(b"d").expect("another of the old name");
    assert_eq!(names(&d, ".").expect("list"), ["sub", "x"]);
    write(&sub, "new", "new").expect("write");
    assert_eq!(read(&other, "deep/moved/sub/new").as_deref(), Ok("new"));
    sub.symlink(b"../x", b"up").expect("symlink");
    assert_eq!(read(&sub, "up").as_deref(), Ok("deep"));
    assert_eq!(
        [d.stat(), sub.stat()].map(|stat| stat.expect("stat").ino),
        numbers
    );
}

#[test]
fn a_handle_on_a_renamed_upper_directory_stays() {
    let world = image();
    let (one, other) = (world.guest(), world.guest());
    one.create_dir(b"up")
        .and_then(|()| one.create_dir(b"up/in"))
        .expect("mkdir");
    let up = directory(&one, "up").expect("open");
    let inner = directory(&up, "in").expect("open");
    other.rename(b"up", &other, b"elsewhere").expect("rename");
    write(&inner, "x", "x").expect("write");
    assert_eq!(read(&other, "elsewhere/in/x").as_deref(), Ok("x"));
    // `..` of a link leads to where the directory is now.
    inner.symlink(b"../in/x", b"l").expect("symlink");
    assert_eq!(read(&inner, "l").as_deref(), Ok("x"));
    assert_eq!(read(&other, "elsewhere/in/l").as_deref(), Ok("x"));
    assert_eq!(
        up.rename(b"in", &inner, b"below"),
        Err(Errno::Invalid),
        "into itself, noticed without a path"
    );
}

#[test]
fn a_handle_on_a_removed_directory_is_dead() {
    for (case, prepare) in [
        ("lower", ""),
        ("merged", "d/sub/new"),
        ("upper", "d/up/new"),
    ] {
        let world = image();
        let (one, other) = (world.guest(), world.guest());
        let path = if case == "upper" { "d/up" } else { "d/sub" };
        if case == "upper" {
            one.create_dir(b"d/up").expect("mkdir");
        }
        if !prepare.is_empty() {
            write(&one, prepare, "new").expect("write");
        }
        let handle = directory(&one, path).expect("open");
        if case == "lower" {
            other.remove_file(b"d/sub/y").expect("unlink");
        } else {
            for name in names(&other, path).expect("list") {
                other
                    .remove_file(format!("{path}/{name}").as_bytes())
                    .expect("unlink");
            }
        }
        other.remove_dir(path.as_bytes()).expect("rmdir");
        // Also when another one has its name now.
        for again in [false, true] {
            if again {
                other.create_dir(path.as_bytes()).expect("mkdir");
            }
            let dead = Err(Errno::NoEntry);
            assert_eq!(handle.stat().map(drop), dead, "{case} {again}");
            assert_eq!(handle.stat_at(b"y", true).map(drop), dead, "{case} {again}");
            assert_eq!(handle.read_dir().map(drop), dead, "{case} {again}");
            assert_eq!(
                file(&handle, "n", &CREATE).map(drop),
                dead,
                "{case} {again}"
            );
            assert_eq!(handle.create_dir(b"n"), dead, "{case} {again}");
            assert!(!handle.is_same(&handle), "{case} {again}");
        }
    }
}

#[test]
fn the_killed_ones_leftovers_are_removed_only_when_nobody_works() {
    let world = image();
    fs::write(world.path("work/new-0123456789abcdef"), "half").expect("a leftover");
    fs::create_dir_all(world.path("work/new-dir/in")).expect("a leftover");
    let one = world.guest();
    write(&one, "f", "x").expect("write");
    assert!(
        !world.path("work/new-0123456789abcdef").exists() && !world.path("work/new-dir").exists()
    );
    fs::write(world.path("work/new-0123456789abcdef"), "half").expect("someone's unfinished file");
    let other = world.guest();
    write(&other, "g", "x").expect("write");
    assert!(
        world.path("work/new-0123456789abcdef").exists(),
        "one is still there"
    );
}

#[test]
fn threads_that_fight_over_names_leave_a_sound_tree() {
    let world = image();
    let guests: Vec<_> = (0..4).map(|_| world.guest()).collect();
    std::thread::scope(|scope| {
        for (number, guest) in guests.iter().enumerate() {
            scope.spawn(move || {
                for round in 0..100 {
                    let name = format!("{number}-{round}");
                    // Losing is allowed, in any way that the rules know.
                    for result in [
                        write(guest, "d/x", &name),
                        guest.rename(b"d", guest, b"e"),
                        guest.rename(b"e", guest, b"d"),
                        guest.remove_file(b"d/x"),
                        guest.create_dir(b"d/sub"),
                        guest.remove_file(b"d/sub/y"),
                        guest.remove_dir(b"d/sub"),
                        write(guest, &name, &name),
                    ] {
                        let expected = [
                            Errno::NoEntry,
                            Errno::Exist,
                            Errno::NotEmpty,
                            Errno::NotDir,
                            Errno::IsDir,
                        ];
                        assert!(
                            result.is_ok() || result.is_err_and(|error| expected.contains(&error)),
                            "{result:?}"
                        );
                    }
                }
            });
        }
    });
    let tree = snapshot(&guests[0]);
    for number in 0..4 {
        for round in 0..100 {
            let name = format!("{number}-{round}");
            assert_eq!(tree.get(&name), Some(&format!("file {name}")));
        }
    }
    assert!(
        tree.contains_key("d") != tree.contains_key("e"),
        "one directory, under one name: {tree:?}"
    );
}
