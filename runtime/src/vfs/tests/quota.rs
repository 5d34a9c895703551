//! A bounded upper: what counts, and that the count stays right.

use std::os::unix::fs::FileExt;

use super::*;

const KIB: u64 = 1 << 10;

fn image() -> World {
    World::new(|lower| {
        let root = lower.root();
        let big = vec![b'b'; 50_000];
        lower.add_file(root, b"big", 0o644, &big).expect("a file");
        lower.add_dir(root, b"d", 0o755).expect("a directory");
    })
}

fn guest(world: &World, limit: u64) -> Directory {
    let builder = world.builder().upper_limit(Some(limit));
    builder.build().expect("a file system").root()
}

fn used(world: &World) -> u64 {
    let mut number = [0; 8];
    fs::File::open(world.path("work/usage"))
        .and_then(|file| file.read_exact_at(&mut number, 0))
        .expect("the count");
    u64::from_le_bytes(number)
}

/// What a first process would count.
fn counted(world: &World) -> u64 {
    super::super::quota::count(&open_dir(&world.path("upper")).into()).expect("counted")
}

#[test]
fn bytes_and_names_are_bounded() {
    let world = image();
    let root = guest(&world, 100 * KIB);
    let f = file(&root, "f", &CREATE).expect("create");
    assert_eq!(f.write_at(&[1; 200_000], 0), Ok(96 * 1024), "what fits");
    assert_eq!(f.write_at(b"x", 96 * KIB), Err(Errno::NoSpace));
    assert_eq!(f.append(b"x"), Err(Errno::NoSpace));
    assert_eq!(f.write_at(b"over", 5), Ok(4), "no growth");
    assert_eq!(f.set_len(100 * KIB), Err(Errno::NoSpace));
    assert_eq!(f.allocate(0, 100 * KIB), Err(Errno::NoSpace));
    assert_eq!(root.create_dir(b"dir"), Err(Errno::NoSpace));
    assert_eq!(root.symlink(b"f", b"l"), Err(Errno::NoSpace));
    assert_eq!(
        root.hard_link(b"f", false, &root, b"g"),
        Err(Errno::NoSpace)
    );
    assert_eq!(file(&root, "new", &CREATE).map(drop), Err(Errno::NoSpace));
    // What is of the image can still be removed, and what is removed is free.
    root.remove_file(b"big").expect("unlink");
    assert_eq!(used(&world), 100 * KIB);
    f.set_len(10).expect("cut");
    assert_eq!(used(&world), 4096 + 10);
    let mut names = 0;
    while root.create_dir(format!("n{names}").as_bytes()).is_ok() {
        names += 1;
    }
    assert_eq!(names, 23, "the names that fit in 100 KiB beside `f`");
    assert_eq!(used(&world), counted(&world));
}

#[test]
fn holes_count() {
    let world = image();
    let root = guest(&world, 100 * KIB);
    let f = file(&root, "f", &CREATE).expect("create");
    assert_eq!(f.write_at(b"x", 1 << 40), Err(Errno::NoSpace));
    assert_eq!(f.write_at(b"x", u64::MAX), Err(Errno::NoSpace));
    assert_eq!(f.set_len(1 << 40), Err(Errno::NoSpace));
    assert_eq!(f.write_at(b"x", 50 * KIB), Ok(1));
    assert_eq!(used(&world), 4 * KIB + 50 * KIB + 1);
}

#[test]
fn a_copy_counts_and_one_that_does_not_fit_is_not_made() {
    let world = image();
    let root = guest(&world, 40 * KIB);
    assert_eq!(file(&root, "big", &APPEND).map(drop), Err(Errno::NoSpace));
    assert_eq!(root.rename(b"big", &root, b"moved"), Err(Errno::NoSpace));
    assert_eq!((used(&world), world.upper_paths()), (0, Vec::new()));
    write(&root, "big", "small").expect("its old bytes are not needed");
    assert_eq!(used(&world), 4096 + 5);
    root.rename(b"d", &root, b"e").expect("rename");
    assert_eq!(used(&world), 2 * 4096 + 5);
    assert_eq!(used(&world), counted(&world));
}

#[test]
fn what_is_open_counts_until_it_is_closed() {
    let world = image();
    let (root, other) = (guest(&world, 100 * KIB), guest(&world, 100 * KIB));
    write(&root, "f", "").expect("create");
    let one = file(&root, "f", &WRITE).expect("open");
    let two = file(&other, "f", &READ).expect("open by another process");
    one.write_at(&[1; 50_000], 0).expect("write");
    root.remove_file(b"f").expect("unlink");
    assert_eq!(used(&world), 50_000, "only the name is gone");
    drop(one);
    assert_eq!(used(&world), 50_000, "the other still has it");
    drop(two);
    assert_eq!(used(&world), 0);
    // The same when it is replaced.
    for name in ["f", "g"] {
        write(&root, name, "12345").expect("write");
    }
    let open = file(&root, "g", &READ).expect("open");
    other.rename(b"f", &other, b"g").expect("replace");
    assert_eq!(used(&world), 4096 + 10);
    drop(open);
    assert_eq!(used(&world), 4096 + 5);
}

#[test]
fn the_first_process_counts_anew() {
    let world = image();
    let root = guest(&world, 1024 * KIB);
    write(&root, "f", "12345").expect("write");
    root.hard_link(b"f", false, &root, b"g").expect("link");
    root.create_dir(b"n").expect("mkdir");
    write(&root, "n/x", "1").expect("write");
    let right = used(&world);
    assert_eq!(right, 4 * 4096 + 6);
    // As if killed between the count and the change.
    fs::write(world.path("work/usage"), 999_999_u64.to_le_bytes()).expect("the count");
    let second = guest(&world, 1024 * KIB);
    write(&second, "h", "").expect("write");
    assert_eq!(used(&world), 999_999 + 4096, "one is still there");
    drop((root, second));
    let third = guest(&world, 1024 * KIB);
    third.remove_file(b"h").expect("unlink");
    assert_eq!(used(&world), right);
}

/// Several processes at once, in random order: in the end the count is what is there.
#[test]
fn many_hands_keep_the_count_right() {
    let world = image();
    let guests: Vec<_> = (0..4).map(|_| guest(&world, 300 * KIB)).collect();
    std::thread::scope(|scope| {
        for (number, guest) in guests.iter().enumerate() {
            scope.spawn(move || {
                let mut state = number as u64 + 1;
                for _ in 0..300 {
                    // A plain generator: what matters is that the four do different things.
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    let name = format!("{}", (state >> 40) % 5);
                    let other = format!("{}", (state >> 45) % 5);
                    let size = (state >> 50) % 9000;
                    // Any of it may fail: for want of room, or because another was first.
                    let _any = match (state >> 33) % 7 {
                        0 => guest.remove_file(name.as_bytes()),
                        1 => guest.rename(name.as_bytes(), guest, other.as_bytes()),
                        2 => guest.hard_link(name.as_bytes(), false, guest, other.as_bytes()),
                        3 => file(guest, &name, &CREATE).and_then(|file| file.set_len(size)),
                        4 => file(guest, &name, &CREATE)
                            .and_then(|file| file.append(&vec![1; 3000]).map(drop)),
                        5 => file(guest, &name, &TRUNCATE).map(drop),
                        _ => {
                            file(guest, "big", &APPEND).and_then(|file| file.append(b"x").map(drop))
                        }
                    };
                }
            });
        }
    });
    assert!(used(&world) <= 300 * KIB);
    assert_eq!(used(&world), counted(&world));
}
