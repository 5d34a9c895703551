//! Open files and directories.

use crate::guest::*;
use crate::world::World;

/// The first descriptor that a guest opens, when its root is the only directory it found open.
const FD: i64 = 4;
/// An `iovec` at 600: 8 bytes at 512.
const IOV: i64 = 600;

fn guest() -> Guest {
    Guest::new().words(600, &[512, 8])
}

#[test]
fn the_root_is_found_by_name() {
    let guest = guest()
        .call("fd_prestat_get", &[3, 640])
        .show(640, 8)
        .call("fd_prestat_dir_name", &[3, 660, 0])
        .call("fd_prestat_dir_name", &[3, 660, 5])
        .show(660, 2)
        .call("fd_prestat_get", &[4, 640])
        .call("fd_prestat_get", &[0, 640])
        .call("fd_fdstat_get", &[3, 680])
        .show(680, 24);
    let mut shown = guest.run(&World::new());
    assert_eq!(
        (shown.errno(), shown.bytes()),
        (OK, vec![0, 0, 0, 0, 1, 0, 0, 0])
    );
    assert_eq!(shown.errno(), NAMETOOLONG);
    assert_eq!((shown.errno(), shown.bytes()), (OK, b"/\0".to_vec()));
    assert_eq!(shown.errnos(2), [BADF, BADF]);
    assert_eq!(shown.errno(), OK);
    let fdstat = shown.bytes();
    assert_eq!(fdstat[0], 3, "a directory");
    let rights =
        |at: usize| u64::from_le_bytes(fdstat[at..at + 8].try_into().expect("eight bytes"));
    assert_eq!(rights(8) & 1 << 13, 1 << 13, "paths can be opened");
    assert_eq!(
        rights(8) & 0b1000110,
        0,
        "a directory is not read, written or sought in"
    );
    assert_eq!(rights(16) & 0b1000110, 0b1000110, "files in it are");
}

#[test]
fn image_files_are_read_and_changed_privately() {
    let world = World::new().file("data", "0123456789");
    let guest = guest()
        .data(512, b"AB")
        .words(620, &[512, 2])
        .open(3, "data", 0, READ | WRITE)
        .show(256, 4)
        .call("fd_write", &[FD, 620, 1, 700])
        .show(700, 4)
        .call("fd_tell", &[FD, 704])
        .show(704, 8)
        .call("fd_read", &[FD, IOV, 1, 700])
        .show(700, 4)
        .show(512, 8)
        .call("fd_pread", &[FD, IOV, 1, 0, 700])
        .show(512, 8)
        .call("fd_pread", &[FD, IOV, 1, 10, 700])
        .show(700, 4);
    let mut shown = guest.run(&world);
    assert_eq!((shown.errno(), shown.word()), (OK, 4));
    assert_eq!((shown.errno(), shown.word()), (OK, 2));
    assert_eq!((shown.errno(), shown.long()), (OK, 2));
    assert_eq!(
        (shown.errno(), shown.word(), shown.bytes()),
        (OK, 8, b"23456789".to_vec())
    );
    assert_eq!((shown.errno(), shown.bytes()), (OK, b"AB234567".to_vec()));
    assert_eq!((shown.errno(), shown.word()), (OK, 0), "behind the end");
    assert_eq!(
        std::fs::read(world.path("image/data")).expect("the image's"),
        b"0123456789"
    );
    assert_eq!(
        std::fs::read(world.path("upper/data")).expect("the container's"),
        b"AB23456789"
    );
}

#[test]
fn positions_move_as_asked() {
    let world = World::new().file("data", "0123456789");
    let guest = guest()
        .open(3, "data", 0, READ)
        .call("fd_seek", &[FD, -3, 2, 704])
        .show(704, 8)
        .call("fd_seek", &[FD, -3, 1, 704])
        .show(704, 8)
        .call("fd_seek", &[FD, 100, 0, 704])
        .show(704, 8)
        .call("fd_seek", &[FD, -1, 0, 704])
        .call("fd_seek", &[FD, -101, 1, 704])
        .call("fd_seek", &[FD, i64::MAX, 1, 704])
        .call("fd_seek", &[FD, 0, 3, 704])
        .call("fd_seek", &[3, 0, 0, 704])
        .call("fd_read", &[FD, IOV, 1, 700])
        .show(700, 4);
    let mut shown = guest.run(&world);
    assert_eq!(shown.errno(), OK);
    for want in [7, 4, 100] {
        assert_eq!((shown.errno(), shown.long()), (OK, want));
    }
    assert_eq!(shown.errnos(5), [INVAL, INVAL, INVAL, INVAL, BADF]);
    assert_eq!((shown.errno(), shown.word()), (OK, 0));
}

#[test]
fn scattered_buffers_are_filled_in_turn() {
    let world = World::new().file("data", "0123456789");
    let guest = Guest::new()
        .words(600, &[512, 3, 0, 0, 520, 4, 530, 20])
        .open(3, "data", 0, READ | WRITE)
        .call("fd_read", &[FD, 600, 4, 700])
        .show(700, 4)
        .show(512, 3)
        .show(520, 4)
        .show(530, 4)
        .call("fd_pwrite", &[FD, 600, 3, 8, 700])
        .show(700, 4);
    let mut shown = guest.run(&world);
    assert_eq!(shown.errno(), OK);
    assert_eq!((shown.errno(), shown.word()), (OK, 10));
    assert_eq!(shown.bytes(), b"012");
    assert_eq!(shown.bytes(), b"3456");
    assert_eq!(shown.bytes(), b"789\0");
    assert_eq!((shown.errno(), shown.word()), (OK, 7));
    assert_eq!(
        std::fs::read(world.path("upper/data")).expect("the container's"),
        b"012345670123456"
    );
}

#[test]
fn appending_goes_to_the_end_and_can_be_switched() {
    let world = World::new().file("log", "one");
    let mut guest = Guest::new()
        .data(512, b"ABC")
        .words(600, &[512, 1, 513, 1, 514, 1]);
    let [at, len] = guest.text("log");
    let guest = guest
        .call("path_open", &[3, 0, at, len, 0, WRITE, 0, 1, 256])
        .call("fd_write", &[FD, 600, 1, 700])
        .call("fd_tell", &[FD, 704])
        .show(704, 8)
        .call("fd_seek", &[FD, 0, 0, 704])
        .call("fd_write", &[FD, 608, 1, 700])
        .call("fd_fdstat_set_flags", &[FD, 0])
        .call("fd_seek", &[FD, 0, 0, 704])
        .call("fd_write", &[FD, 616, 1, 700])
        .call("fd_fdstat_set_flags", &[FD, 32]);
    let mut shown = guest.run(&world);
    assert_eq!(shown.errnos(3), [OK, OK, OK]);
    assert_eq!(shown.long(), 4);
    assert_eq!(shown.errnos(6), [OK, OK, OK, OK, OK, INVAL]);
    assert_eq!(
        std::fs::read(world.path("upper/log")).expect("the container's"),
        b"CneAB"
    );
}

#[test]
fn a_file_does_only_what_it_was_opened_for() {
    let world = World::new().file("data", "0123456789");
    let guest = guest()
        .open(3, "data", 0, READ)
        .open(3, "data", 0, WRITE)
        .call("fd_write", &[4, IOV, 1, 700])
        .call("fd_pwrite", &[4, IOV, 1, 0, 700])
        .call("fd_filestat_set_size", &[4, 0])
        .call("fd_allocate", &[4, 0, 1])
        .call("fd_read", &[5, IOV, 1, 700])
        .call("fd_pread", &[5, IOV, 1, 0, 700])
        .call("fd_readdir", &[5, 512, 8, 0, 700])
        .path("path_create_directory", 5, "x")
        // Rights are taken back, never given.
        .call("fd_fdstat_set_rights", &[5, ALL_RIGHTS, 0])
        .call("fd_fdstat_set_rights", &[5, 1 << 5, 0])
        .call("fd_write", &[5, IOV, 1, 700])
        .call("fd_tell", &[5, 704])
        .call("fd_seek", &[5, 1, 0, 704])
        .call("fd_close", &[5])
        .call("fd_close", &[5]);
    let mut shown = guest.run(&world);
    assert_eq!(shown.errnos(6), [OK, OK, BADF, BADF, INVAL, BADF]);
    assert_eq!(shown.errnos(4), [BADF, BADF, NOTDIR, NOTDIR]);
    assert_eq!(
        shown.errnos(5),
        [NOTCAPABLE, OK, NOTCAPABLE, OK, NOTCAPABLE]
    );
    assert_eq!(shown.errnos(2), [OK, BADF]);
}

#[test]
fn sizes_times_and_space_are_set() {
    let world = World::new().file("data", "0123456789");
    let guest = guest()
        .open(3, "data", 0, READ | WRITE)
        .call("fd_filestat_set_size", &[FD, 4])
        .call("fd_allocate", &[FD, 0, 6])
        .call("fd_allocate", &[FD, 0, 0])
        .call(
            "fd_filestat_set_times",
            &[FD, 1_000_000_007, 2_000_000_009, 0b0101],
        )
        .call("fd_filestat_set_times", &[FD, 1, 1, 0b0011])
        .call("fd_advise", &[FD, 0, 0, 4])
        .call("fd_advise", &[FD, 0, 0, 6])
        .call("fd_sync", &[FD])
        .call("fd_datasync", &[FD])
        .call("fd_filestat_get", &[FD, 640])
        .show(656, 1)
        .show(672, 24);
    let mut shown = guest.run(&world);
    assert_eq!(shown.errnos(6), [OK, OK, OK, INVAL, OK, INVAL]);
    assert_eq!(shown.errnos(5), [OK, INVAL, OK, OK, OK]);
    assert_eq!(shown.bytes(), [4], "a regular file");
    let numbers: Vec<u64> = shown
        .bytes()
        .chunks(8)
        .map(|chunk| u64::from_le_bytes(chunk.try_into().expect("eight")))
        .collect();
    assert_eq!(numbers, [6, 1_000_000_007, 2_000_000_009]);
}

#[test]
fn directories_are_listed_piece_by_piece() {
    let world = World::new()
        .file("d/a", "")
        .file("d/bb", "")
        .dir("d/sub")
        .symlink("a", "d/link");
    // Too small for all: the listing is taken up by cookie.
    let guest = guest()
        .open(3, "d", DIRECTORY, READ)
        .call("fd_readdir", &[FD, 1024, 60, 0, 700])
        .show(700, 4)
        .show(1024, 60)
        .call("fd_readdir", &[FD, 1024, 1024, 2, 700])
        .show(700, 4)
        .show(1024, 200)
        .call("fd_readdir", &[FD, 1024, 1024, 99, 700])
        .show(700, 4)
        .call("fd_readdir", &[FD, 1024, 0, 0, 700])
        .show(700, 4)
        .call("fd_readdir", &[FD, 1024, 1024, -1, 700])
        .show(700, 4);
    let mut shown = guest.run(&world);
    assert_eq!(shown.errno(), OK);
    assert_eq!((shown.errno(), shown.word()), (OK, 60), "full");
    let entries = shown.bytes();
    assert_eq!(entries[0..8], 1_u64.to_le_bytes());
    assert_eq!(
        (entries[16], entries[20], &entries[24..25]),
        (1, 3, &b"."[..])
    );
    assert_eq!(shown.errno(), OK);
    let used = shown.word() as usize;
    let mut entries = &shown.bytes()[..used];
    let mut names = Vec::new();
    while let [next @ .., _] = entries
        && next.len() >= 23
    {
        let len = usize::from(entries[16]);
        names.push((
            String::from_utf8_lossy(&entries[24..24 + len]).into_owned(),
            entries[20],
            entries[0],
        ));
        entries = &entries[24 + len..];
    }
    let want = [("a", 4, 3), ("bb", 4, 4), ("link", 7, 5), ("sub", 3, 6)];
    assert_eq!(
        names,
        want.map(|(name, kind, next)| (name.to_owned(), kind, next))
    );
    for _ in 0..3 {
        assert_eq!((shown.errno(), shown.word()), (OK, 0));
    }
}

#[test]
fn descriptors_are_renumbered_between_open_ones_only() {
    let world = World::new().file("a", "A").file("b", "B");
    let guest = guest()
        .open(3, "a", 0, READ)
        .open(3, "b", 0, READ)
        .call("fd_renumber", &[5, 6])
        .call("fd_renumber", &[6, 5])
        .call("fd_renumber", &[-1, 5])
        .call("fd_renumber", &[5, 4])
        .call("fd_read", &[5, IOV, 1, 700])
        .call("fd_read", &[4, IOV, 1, 700])
        .show(512, 1)
        // Onto the root, and onto standard input: both are the guest's own affair.
        .call("fd_renumber", &[4, 3])
        .open(3, "a", 0, READ)
        .call("fd_renumber", &[3, 0])
        .call("fd_tell", &[0, 704]);
    let mut shown = guest.run(&world);
    assert_eq!(shown.errnos(5), [OK, OK, BADF, BADF, BADF]);
    assert_eq!(shown.errnos(3), [OK, BADF, OK]);
    assert_eq!(shown.bytes(), b"B");
    assert_eq!(shown.errnos(4), [OK, NOTDIR, OK, OK]);
}

#[test]
fn open_files_are_bounded() {
    let world = World::new().file("a", "A");
    let mut guest = guest();
    for _ in 0..4 {
        guest = guest.open(3, "a", 0, READ);
    }
    guest = guest
        .open(3, "new", CREAT, WRITE)
        .call("fd_close", &[4])
        .open(3, "a", 0, READ)
        .show(256, 4);
    let mut shown = guest.run_with(&world, |spec| spec.limits.open_files = 7);
    assert_eq!(shown.errnos(7), [OK, OK, OK, MFILE, MFILE, OK, OK]);
    assert_eq!(shown.word(), 4);
    assert!(
        !world.path("upper/new").exists(),
        "nothing is made that can't be handed out"
    );
}

#[test]
fn directories_are_no_files() {
    let world = World::new().dir("d");
    let guest = guest()
        .open(3, "d", DIRECTORY, READ | WRITE)
        .call("fd_read", &[FD, IOV, 1, 700])
        .call("fd_pread", &[FD, IOV, 1, 0, 700])
        .call("fd_write", &[FD, IOV, 1, 700])
        .call("fd_pwrite", &[FD, IOV, 1, 0, 700])
        .call("fd_allocate", &[FD, 0, 1])
        .call("fd_advise", &[FD, 0, 0, 0])
        .call("fd_filestat_set_size", &[FD, 0])
        .call("fd_tell", &[FD, 704])
        .call("fd_sync", &[FD])
        .call("fd_filestat_get", &[FD, 640])
        .show(656, 1)
        .open(3, "d", 0, READ | WRITE)
        .open(3, "d", CREAT | EXCL, WRITE)
        .open(3, "d", TRUNC, WRITE);
    let mut shown = guest.run(&world);
    assert_eq!(
        shown.errnos(9),
        [OK, BADF, BADF, BADF, BADF, BADF, BADF, BADF, BADF]
    );
    assert_eq!(shown.errnos(2), [OK, OK]);
    assert_eq!(shown.bytes(), [3]);
    assert_eq!(shown.errnos(3), [ISDIR, EXIST, ISDIR]);
}

#[test]
fn what_is_open_stays_open_without_a_name() {
    let world = World::new().file("data", "0123456789");
    let guest = guest()
        .open(3, "data", 0, READ)
        .path("path_unlink_file", 3, "data")
        .open(3, "data", 0, READ)
        .call("fd_read", &[FD, IOV, 1, 700])
        .show(512, 8);
    let mut shown = guest.run(&world);
    assert_eq!(shown.errnos(4), [OK, OK, NOENT, OK]);
    assert_eq!(shown.bytes(), b"01234567");
}
