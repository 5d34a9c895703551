//! A file system in memory: what is its own, and what a guest can try against the host.

use super::*;

const MIB: u64 = 1 << 20;

fn mounted(size: u64, access: Access) -> (World, Directory) {
    let world = World::new(|_| ());
    let options = TmpfsOptions {
        size,
        ..TmpfsOptions::default()
    };
    let root = world
        .builder()
        .mount("/t", MountSource::Memory(Tmpfs::new(options)), access)
        .build()
        .expect("built")
        .root();
    let dir = directory(&root, "t").expect("the mount");
    (world, dir)
}

#[test]
fn it_has_the_attributes_that_were_asked_for() {
    let world = World::new(|_| ());
    let options = TmpfsOptions {
        mode: 0o1750,
        uid: 3,
        gid: 4,
        ..TmpfsOptions::default()
    };
    let memory = |options| MountSource::Memory(Tmpfs::new(options));
    let root = world
        .builder()
        .mount("/a/t", memory(options), Access::ReadWrite)
        .mount("/a/t/in/ro", memory(options), Access::ReadOnly)
        .build()
        .expect("built")
        .root();
    let stat = root.stat_at(b"a/t", true).expect("stat");
    assert_eq!((stat.mode, stat.uid, stat.gid), (0o1750, 3, 4));
    assert_eq!(names(&root, "a/t").expect("list"), ["in"]);
    assert_eq!(write(&root, "a/t/in/ro/x", "x"), Err(Errno::ReadOnly));
    write(&root, "a/t/x", "x").expect("write");
    for (from, to) in [("a/t/x", "x"), ("a/t/x", "a/t/in/ro/x")] {
        assert_eq!(
            root.rename(from.as_bytes(), &root, to.as_bytes()),
            Err(Errno::CrossDevice),
            "{to}"
        );
    }
    let inner = root.stat_at(b"a/t/in/ro", true).expect("stat");
    assert_ne!(stat.dev, inner.dev, "two file systems");
    snapshot(&root);
    assert_eq!(world.upper_paths(), Vec::<String>::new());
}

#[test]
fn data_is_bounded_and_given_back() {
    let (_world, dir) = mounted(MIB, Access::ReadWrite);
    let all = file(&dir, "all", &CREATE).expect("create");
    let block = vec![7; 300_000];
    let mut written = 0;
    let end = loop {
        match all.append(&block) {
            Ok(count) => written += count as u64,
            Err(error) => break error,
        }
    };
    assert_eq!(end, Errno::NoSpace);
    assert!(
        (MIB - 8192..MIB).contains(&written),
        "as much as fits is written: {written}"
    );
    assert_eq!(all.stat().expect("stat").size, written);
    let one = file(&dir, "one", &CREATE).expect("a name has room");
    assert_eq!(one.write_at(b"x", 0), Err(Errno::NoSpace));
    // A file without a name is there as long as a handle is.
    dir.remove_file(b"all").expect("unlink");
    assert_eq!(one.write_at(b"x", 0), Err(Errno::NoSpace));
    let reader = file(&dir, "one", &READ).expect("open");
    drop(all);
    assert_eq!(one.write_at(b"x", 0), Ok(1));
    assert_eq!(read_all(&reader).as_deref(), Ok(&b"x"[..]));
    // Cut and grown again, it holds nothing of before.
    one.write_at(&block, 0).expect("write");
    one.set_len(10_000).expect("cut");
    one.set_len(20_000).expect("grow");
    let content = read_all(&file(&dir, "one", &READ).expect("open")).expect("read");
    assert!(content[..10_000].iter().all(|&byte| byte == 7));
    assert!(content[10_000..].iter().all(|&byte| byte == 0));
    assert_eq!(content.len(), 20_000);
}

#[test]
fn holes_take_nothing_and_offsets_end() {
    let (_world, dir) = mounted(MIB, Access::ReadWrite);
    let sparse = file(
        &dir,
        "sparse",
        &OpenOptions {
            read: true,
            ..CREATE
        },
    )
    .expect("create");
    const FAR: u64 = 1 << 62;
    assert_eq!(sparse.write_at(b"end", FAR), Ok(3));
    assert_eq!(sparse.stat().expect("stat").size, FAR + 3);
    let mut buffer = [1; 9];
    assert_eq!(sparse.read_at(&mut buffer, FAR - 6), Ok(9));
    assert_eq!(&buffer, b"\0\0\0\0\0\0end");
    let last = i64::MAX as u64;
    assert_eq!(sparse.write_at(b"xyz", last - 1), Ok(1), "up to the end");
    for far in [last, last + 1, u64::MAX - 1, u64::MAX] {
        assert_eq!(sparse.write_at(b"xyz", far), Err(Errno::FileTooLarge));
        assert_eq!(sparse.read_at(&mut buffer, far), Ok(0));
    }
    assert_eq!(sparse.append(b"x"), Err(Errno::FileTooLarge));
    assert_eq!(sparse.set_len(u64::MAX), Err(Errno::FileTooLarge));
    assert_eq!(sparse.allocate(0, u64::MAX), Err(Errno::FileTooLarge));
    assert_eq!(sparse.allocate(0, FAR), Err(Errno::NoSpace));
    assert_eq!(sparse.allocate(FAR - 10_000, 5000), Ok(()));
    sparse.set_len(1).expect("cut");
    assert_eq!(sparse.append(b"x"), Ok(1));
}

#[test]
fn names_are_bounded_too() {
    let (_world, dir) = mounted(MIB, Access::ReadWrite);
    let mut made = 0;
    let end = (0..10_000)
        .map(|number| {
            made = number;
            dir.create_dir(format!("d{number}").as_bytes())
        })
        .find_map(std::result::Result::err);
    assert_eq!((end, made), (Some(Errno::NoSpace), 1024));
    assert_eq!(dir.read_dir().expect("list").len(), 1024);
    dir.remove_dir(b"d0").expect("rmdir");
    assert_eq!(
        dir.symlink(&[b'x'; 4000], b"long"),
        Err(Errno::NoSpace),
        "a target counts"
    );
    dir.symlink(b"", b"empty").expect_err("no target");
    let one = file(&dir, "f", &CREATE).expect("in the room of d0");
    drop(one);
    assert_eq!(
        dir.hard_link(b"f", false, &dir, b"g"),
        Err(Errno::NoSpace),
        "a second name counts"
    );
}

/// Deeper than any stack, by hanging one chain of directories below the other; then all of it is dropped at once.
#[test]
fn depth_and_circles_do_no_harm() {
    const CHAINS: usize = 60;
    let (_world, dir) = mounted(256 * MIB, Access::ReadWrite);
    let chain = || {
        let mut here = dir.clone();
        let mut levels = 0;
        loop {
            here.create_dir(b"d").expect("mkdir");
            here = match directory(&here, "d") {
                Ok(next) => next,
                Err(error) => {
                    assert_eq!(error, Errno::NameTooLong, "no handle has an endless path");
                    return (here, levels);
                }
            };
            levels += 1;
        }
    };
    let (mut bottom, levels) = chain();
    assert!(levels > 1000, "{levels}");
    dir.rename(b"d", &dir, b"top").expect("rename");
    for _ in 0..CHAINS {
        let (next, _) = chain();
        bottom.rename(b"d", &bottom, b"side").expect("rename");
        dir.rename(b"d", &bottom, b"d").expect("below the last one");
        bottom = next;
    }
    assert_eq!(
        dir.rename(b"top", &bottom, b"below"),
        Err(Errno::Invalid),
        "a directory into itself, however deep"
    );
    write(&bottom, "f", "deep").expect("write");
    bottom.rename(b"f", &dir, b"f").expect("up");
    assert_eq!(read(&dir, "f").as_deref(), Ok("deep"));
}

#[test]
fn a_removed_directory_is_dead_and_a_removed_file_is_not() {
    let (_world, dir) = mounted(MIB, Access::ReadWrite);
    dir.create_dir(b"d").expect("mkdir");
    let dead = directory(&dir, "d").expect("open");
    dir.remove_dir(b"d").expect("rmdir");
    assert_eq!(dead.create_dir(b"x"), Err(Errno::NoEntry));
    assert_eq!(dead.read_dir().map(drop), Err(Errno::NoEntry));
    assert_eq!(dead.stat().map(drop), Err(Errno::NoEntry));
    write(&dir, "f", "one").expect("write");
    dir.hard_link(b"f", false, &dir, b"g").expect("link");
    let handle = file(&dir, "f", &READ).expect("open");
    assert_eq!(handle.stat().expect("stat").nlink, 2);
    write(&dir, "h", "two").expect("write");
    dir.rename(b"h", &dir, b"f").expect("replace");
    assert_eq!(read(&dir, "f").as_deref(), Ok("two"));
    assert_eq!(read(&dir, "g").as_deref(), Ok("one"));
    dir.remove_file(b"g").expect("unlink");
    assert_eq!(read_all(&handle).as_deref(), Ok(&b"one"[..]));
    assert_eq!(handle.stat().expect("stat").nlink, 0);
}
