//! The working directory, as each kind of program sees it.

use coracle_runtime::sandbox::wasm::RunError;
use coracle_runtime::vfs::Errno;

use crate::guest::*;
use crate::world::World;

/// The directories that a guest finds open when its working directory is not the root.
const CWD: i64 = 3;
const ROOT: i64 = 4;
/// What wasi-libc starts all its paths from.
const EITHER: i64 = 5;
const FD: i64 = 6;

fn world() -> World {
    World::new()
        .file("app/data/in", "app")
        .file("app/main", "app")
        .file("app/both", "app")
        .file("both", "root")
        .file("data/mounted", "root")
        .file("etc/conf", "root")
        .file("only", "root")
}

/// Opens a path through the directory that wasi-libc takes, and shows what the file begins with.
fn read(guest: Guest, path: &str) -> Guest {
    guest
        .data(512, b"    ")
        .open(EITHER, path, 0, READ)
        .call("fd_read", &[FD, 600, 1, 700])
        .show(512, 4)
        .call("fd_close", &[FD])
        .code("(i32.store (i32.const 512) (i32.const 0x20202020))")
}

#[test]
fn three_directories_are_found_open() {
    let mut guest = Guest::new();
    for fd in [CWD, ROOT, EITHER] {
        guest = guest
            .call("fd_prestat_dir_name", &[fd, 640, 1])
            .show(640, 1);
    }
    guest = guest
        .call("fd_prestat_get", &[6, 640])
        .call("environ_get", &[700, 720])
        .show(720, 10);
    guest = guest
        .open(CWD, "main", 0, READ)
        .open(CWD, "etc/conf", 0, READ)
        .open(ROOT, "main", 0, READ)
        .open(ROOT, "etc/conf", 0, READ);
    let mut shown = guest.run_with(&world(), |spec| spec.cwd = "/app".into());
    for name in [b".", b"/", b"."] {
        assert_eq!((shown.errno(), shown.bytes()), (OK, name.to_vec()));
    }
    assert_eq!(shown.errno(), BADF);
    assert_eq!(
        (shown.errno(), shown.bytes()),
        (OK, b"PWD=/app\0\0".to_vec())
    );
    assert_eq!(shown.errnos(4), [OK, NOENT, NOENT, OK]);
}

#[test]
fn a_program_that_drops_the_slash_finds_both() {
    let mut guest = Guest::new().words(600, &[512, 4]);
    let cases = [
        ("main", "app "),
        ("./main", "app "),
        ("etc/conf", "root"),
        ("only", "root"),
        ("data/mounted", "root"),
        ("data/in", "app "),
        // What is in both places is the root's: mounts and system files are named in full.
        ("both", "root"),
        // Out of the working directory and back, as a shell user does.
        ("../etc/conf", "root"),
        ("data/../main", "app "),
    ];
    for (path, _) in cases {
        guest = read(guest, path);
    }
    guest = guest
        .open(EITHER, "nothing", 0, READ)
        .open(EITHER, "../../etc/conf", 0, READ)
        .open(EITHER, "/etc/conf", 0, READ);
    let mut shown = guest.run_with(&world(), |spec| spec.cwd = "/app".into());
    for (path, content) in cases {
        assert_eq!(shown.errnos(2), [OK, OK], "{path}");
        assert_eq!(shown.bytes(), content.as_bytes(), "{path}");
        assert_eq!(shown.errno(), OK);
    }
    assert_eq!(shown.errnos(3), [NOENT, PERM, PERM]);
}

#[test]
fn new_files_go_where_their_directory_is() {
    let world = world();
    let mut guest = Guest::new();
    for path in ["new", "etc/new", "data/new", "sub/new"] {
        guest = guest.open(EITHER, path, CREAT | EXCL, WRITE);
    }
    guest = guest
        .path("path_create_directory", EITHER, "sub")
        .open(EITHER, "sub/new", CREAT | EXCL, WRITE)
        .open(EITHER, "both", CREAT, WRITE)
        .open(EITHER, ".", DIRECTORY, READ);
    let mut shown = guest.run_with(&world, |spec| spec.cwd = "/app/".into());
    assert_eq!(shown.errnos(4), [OK, OK, OK, NOENT]);
    assert_eq!(shown.errnos(4), [OK, OK, OK, OK]);
    for made in ["app/new", "etc/new", "data/new", "app/sub/new", "both"] {
        assert!(world.path("upper").join(made).is_file(), "{made}");
    }
}

#[test]
fn dot_is_the_working_directory() {
    let guest = Guest::new()
        .open(EITHER, ".", DIRECTORY, READ)
        .open(FD, "main", 0, READ)
        .open(FD, "etc", 0, READ)
        .call("fd_readdir", &[EITHER, 1024, 512, 2, 700])
        .show(1024 + 24, 4);
    let mut shown = guest.run_with(&world(), |spec| spec.cwd = "/app".into());
    assert_eq!(shown.errnos(4), [OK, OK, NOENT, OK]);
    assert_eq!(
        shown.bytes(),
        b"both",
        "the first of the working directory's entries"
    );
}

#[test]
fn in_the_root_there_is_one_directory_and_no_guess() {
    let guest = Guest::new()
        .call("fd_prestat_get", &[4, 640])
        .open(3, "main", 0, READ)
        .call("environ_sizes_get", &[700, 704])
        .show(700, 4);
    let mut shown = guest.run(&world());
    assert_eq!(shown.errnos(3), [BADF, NOENT, OK]);
    assert_eq!(shown.word(), 0);
}

#[test]
fn the_program_may_be_named_from_there() {
    let world = world();
    let wasm = wat::parse_str("(module (func (export \"_start\")))").expect("valid");
    std::fs::write(world.path("image/app/tool.wasm"), wasm).expect("written");
    let program = Guest::new().wat();
    let ran = world.run(program, |spec| {
        spec.cwd = "/app".into();
        spec.program = "./tool.wasm".into();
    });
    assert_eq!(ran.code(), 0);
}

#[test]
fn a_working_directory_must_be_one() {
    let world = world();
    for (cwd, want) in [
        ("/none", Errno::NoEntry),
        ("/only", Errno::NotDir),
        ("app", Errno::Invalid),
        ("", Errno::Invalid),
        ("/a\0", Errno::Invalid),
    ] {
        let ran = world.run(Guest::new().wat(), |spec| spec.cwd = cwd.into());
        let got = match ran.result {
            Err(RunError::WorkingDirectory { path, source }) if path == cwd => source,
            other => panic!("{cwd:?}: {other:?}"),
        };
        assert_eq!(got, want, "{cwd:?}");
    }
}
