//! Guests that lie: pointers, counts, descriptors and paths that no honest program passes.

use crate::guest::*;
use crate::world::World;

/// Two pages: the first address that is not the guest's.
const END: i64 = 2 << 16;

/// Runs one call that must end the guest, and returns what is said about it.
fn trapped(guest: Guest) -> String {
    World::new()
        .file("f", "content")
        .dir("d")
        .run(guest.wat(), |_| {})
        .trap()
        .to_owned()
}

#[test]
fn pointers_outside_end_the_guest() {
    let mut text = Guest::new();
    let [f, len] = text.text("f");
    let bad: &[(&str, &[i64])] = &[
        ("args_get", &[END - 3, 512]),
        ("args_get", &[512, END - 1]),
        ("args_sizes_get", &[512, END - 3]),
        ("environ_sizes_get", &[-1, 512]),
        ("clock_time_get", &[0, 0, END - 7]),
        ("clock_res_get", &[1, -8]),
        ("fd_fdstat_get", &[0, END - 23]),
        ("fd_filestat_get", &[3, END - 63]),
        ("fd_prestat_get", &[3, END - 7]),
        ("fd_prestat_dir_name", &[3, END, 1]),
        ("fd_read", &[0, END - 4, 1, 512]),
        ("fd_read", &[0, -8, 2, 512]),
        ("fd_write", &[1, 512, 0, END]),
        ("fd_readdir", &[3, END - 10, 11, 0, 512]),
        ("fd_readdir", &[3, 512, -1, 0, 512]),
        ("path_filestat_get", &[3, 0, f, len, END - 63]),
        ("path_filestat_get", &[3, 0, END, 1, 512]),
        ("path_filestat_get", &[3, 0, -1, 1, 512]),
        ("path_open", &[3, 0, f, len, 0, READ, 0, 0, END - 3]),
        ("path_readlink", &[3, f, len, 512, 8, 512]),
        ("poll_oneoff", &[END - 47, 512, 1, 516]),
        ("poll_oneoff", &[512, END - 31, 1, 516]),
        ("poll_oneoff", &[0, 0, 8192, 516]),
        ("random_get", &[END - 1, 2]),
        ("random_get", &[512, -1]),
    ];
    for (name, args) in bad {
        // Where the pointer isn't looked at because the call fails first, that is an answer as well.
        if *name == "path_readlink" {
            continue;
        }
        let message = trapped(Guest::new().data(4096, b"f\0").call(name, args));
        assert_eq!(
            message,
            format!("{name}: a pointer outside the guest's memory"),
            "{args:?}"
        );
    }
}

#[test]
fn buffers_outside_end_the_guest_before_anything_moves() {
    let world = World::new().file("f", "content");
    for buffers in [
        [512, 4, END as u32 - 4, 5],
        [512, 4, u32::MAX, 1],
        [512, 4, 0, u32::MAX],
        [512, 4, u32::MAX, u32::MAX],
    ] {
        for (name, args) in [
            ("fd_read", &[4, 600, 2, 700][..]),
            ("fd_write", &[4, 600, 2, 700]),
            ("fd_pread", &[4, 600, 2, 0, 700]),
            ("fd_pwrite", &[4, 600, 2, 0, 700]),
        ] {
            let guest = Guest::new()
                .words(600, &buffers)
                .open(3, "f", 0, READ | WRITE)
                .call(name, args);
            let ran = world.run(guest.wat(), |_| {});
            assert!(
                ran.trap().contains("a pointer outside"),
                "{name} {buffers:?}"
            );
        }
        let guest = Guest::new()
            .words(600, &buffers)
            .call("fd_write", &[2, 600, 2, 700]);
        let ran = world.run(guest.wat(), |_| {});
        assert!(ran.trap().contains("a pointer outside"));
        assert_eq!(ran.stderr, b"");
    }
    let written = std::fs::read(world.path("upper/f")).expect("copied up when it was opened");
    assert_eq!(written, b"content");
}

#[test]
fn counts_are_bounded() {
    let world = World::new().file("f", "content");
    let guest = Guest::new()
        .open(3, "f", 0, READ | WRITE)
        .call("fd_read", &[4, 512, 1025, 700])
        .call("fd_read", &[4, 512, -1, 700])
        .call("fd_write", &[1, 512, i64::from(u32::MAX), 700])
        .call("fd_pread", &[4, 512, 1 << 29, 0, 700])
        .call("fd_pwrite", &[4, 512, 1 << 30, 0, 700])
        .call("fd_read", &[4, 8192, 1024, 700])
        .call("poll_oneoff", &[512, 512, 0, 700])
        .call("poll_oneoff", &[512, 512, 8193, 700])
        .call("poll_oneoff", &[512, 512, -1, 700]);
    let mut shown = guest.run(&world);
    assert_eq!(shown.errnos(6), [OK, INVAL, INVAL, INVAL, INVAL, INVAL]);
    assert_eq!(shown.errnos(4), [OK, INVAL, INVAL, INVAL]);
}

#[test]
fn overlapping_buffers_can_not_overflow_the_count() {
    // 1,024 buffers that are each the whole of a 4 MiB memory: together 4 GiB, which no count of 32 bits can say.
    let wat = "(module
        (import \"wasi_snapshot_preview1\" \"fd_write\" (func $write (param i32 i32 i32 i32) (result i32)))
        (import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32)))
        (memory (export \"memory\") 64)
        (func (export \"_start\") (local $at i32)
            (loop $fill
                (i32.store offset=4 (local.get $at) (i32.const 0x400000))
                (local.set $at (i32.add (local.get $at) (i32.const 8)))
                (br_if $fill (i32.lt_u (local.get $at) (i32.const 8192))))
            (call $exit (call $write (i32.const 2) (i32.const 0) (i32.const 1024) (i32.const 9000)))))";
    let ran = World::new().run(wat, |_| {});
    assert_eq!(ran.code(), INVAL as u8);
    assert_eq!(ran.stderr, b"");
}

#[test]
fn unknown_descriptors_are_told_everywhere() {
    for fd in [4, 1 << 20, -1, i64::from(i32::MIN)] {
        let mut guest = Guest::new().words(600, &[512, 8]);
        let [path, len] = guest.text("x");
        let calls: &[(&str, &[i64])] = &[
            ("fd_advise", &[fd, 0, 0, 0]),
            ("fd_allocate", &[fd, 0, 1]),
            ("fd_close", &[fd]),
            ("fd_datasync", &[fd]),
            ("fd_fdstat_get", &[fd, 640]),
            ("fd_fdstat_set_flags", &[fd, 0]),
            ("fd_fdstat_set_rights", &[fd, 0, 0]),
            ("fd_filestat_get", &[fd, 640]),
            ("fd_filestat_set_size", &[fd, 0]),
            ("fd_filestat_set_times", &[fd, 0, 0, 0]),
            ("fd_pread", &[fd, 600, 1, 0, 700]),
            ("fd_prestat_dir_name", &[fd, 640, 10]),
            ("fd_prestat_get", &[fd, 640]),
            ("fd_pwrite", &[fd, 600, 1, 0, 700]),
            ("fd_read", &[fd, 600, 1, 700]),
            ("fd_readdir", &[fd, 640, 10, 0, 700]),
            ("fd_renumber", &[fd, 0]),
            ("fd_renumber", &[0, fd]),
            ("fd_seek", &[fd, 0, 0, 700]),
            ("fd_sync", &[fd]),
            ("fd_tell", &[fd, 700]),
            ("fd_write", &[fd, 600, 1, 700]),
            ("path_create_directory", &[fd, path, len]),
            ("path_filestat_get", &[fd, 0, path, len, 640]),
            ("path_filestat_set_times", &[fd, 0, path, len, 0, 0, 0]),
            ("path_link", &[fd, 0, path, len, 3, path, len]),
            ("path_link", &[3, 0, path, len, fd, path, len]),
            ("path_open", &[fd, 0, path, len, 0, READ, 0, 0, 700]),
            ("path_readlink", &[fd, path, len, 640, 10, 700]),
            ("path_remove_directory", &[fd, path, len]),
            ("path_rename", &[fd, path, len, 3, path, len]),
            ("path_rename", &[3, path, len, fd, path, len]),
            ("path_symlink", &[path, len, fd, path, len]),
            ("path_unlink_file", &[fd, path, len]),
            ("sock_accept", &[fd, 0, 700]),
        ];
        for (name, args) in calls {
            guest = guest.call(name, args);
        }
        let mut shown = guest.run(&World::new());
        for (name, _) in calls {
            assert_eq!(shown.errno(), BADF, "{name} {fd}");
        }
    }
}

#[test]
fn paths_are_bounded_and_plain() {
    let long = "x".repeat(256);
    let deep = "d/".repeat(2047);
    let over = "d/".repeat(2048);
    let mut guest = Guest::new();
    for path in [&*long, &over, "", "a\0b", "d/./../d/../../x"] {
        guest = guest.open(3, path, CREAT, WRITE);
    }
    guest = guest.open(3, &deep, 0, READ);
    // A length that is far longer than memory: never looked at.
    guest = guest.call("path_unlink_file", &[3, 512, -1]);
    let world = World::new().dir("d");
    let mut shown = guest.run(&world);
    assert_eq!(
        shown.errnos(5),
        [NAMETOOLONG, NAMETOOLONG, NOENT, INVAL, PERM]
    );
    assert_eq!(shown.errnos(2), [NOENT, NAMETOOLONG]);
}

#[test]
fn numbers_that_mean_nothing_are_invalid() {
    let mut guest = Guest::new();
    let [path, len] = guest.text("f");
    let guest = guest
        .call("clock_time_get", &[4, 0, 512])
        .call("clock_res_get", &[-1, 512])
        .call("fd_fdstat_set_flags", &[3, 1 << 16])
        .call("fd_filestat_set_times", &[3, 0, 0, 16])
        .call("path_open", &[3, 2, path, len, 0, READ, 0, 0, 512])
        .call("path_open", &[3, 0, path, len, 1 << 16, READ, 0, 0, 512])
        .call("path_open", &[3, 0, path, len, 0, READ, 0, 1 << 5, 512])
        .call("path_link", &[3, -1, path, len, 3, path, len])
        .call("fd_readdir", &[3, 512, 8, i64::MIN, 520]);
    let mut shown = guest.run(&World::new().file("f", ""));
    assert_eq!(
        shown.errnos(9),
        [INVAL, INVAL, INVAL, INVAL, INVAL, INVAL, INVAL, INVAL, OK]
    );
}

#[test]
fn a_host_function_needs_a_memory() {
    let wat = "(module
        (import \"wasi_snapshot_preview1\" \"sched_yield\" (func $yield (result i32)))
        (func (export \"_start\") (drop (call $yield))))";
    let ran = World::new().run(wat, |_| {});
    assert_eq!(
        ran.trap(),
        "sched_yield: the module exports no memory named \"memory\""
    );
}
