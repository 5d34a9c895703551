//! Components of WASI 0.2.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use coracle_runtime::sandbox::wasm::Outcome;
use coracle_runtime::spec::{ContainerSpec, Stdin};

use crate::guest::*;
use crate::world::World;

/// A component with a core module in it, whose memory and functions it uses.
///
/// `imports` declares what comes from the host, `lower` makes core functions of it, `body` is `run`'s.
fn component(imports: &str, lower: &str, core_imports: &str, exports: &str, body: &str) -> String {
    format!(
        "(component
            {imports}
            (core module $libc (memory (export \"memory\") 1)
                (global $next (mut i32) (i32.const 4096))
                (func (export \"realloc\") (param i32 i32 i32 i32) (result i32)
                    (local $at i32)
                    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
                    (global.set $next (i32.add (local.get $at) (local.get 3)))
                    (local.get $at)))
            (core instance $libc (instantiate $libc))
            {lower}
            (core module $main
                (import \"libc\" \"memory\" (memory 1))
                {core_imports}
                (func (export \"run\") (result i32) {body}))
            (core instance $main (instantiate $main (with \"libc\" (instance $libc)) {exports}))
            (func $run (result (result)) (canon lift (core func $main \"run\")))
            (component $wrap
                (import \"run\" (func $run (result (result))))
                (export \"run\" (func $run)))
            (instance $wrapped (instantiate $wrap (with \"run\" (func $run))))
            (export \"wasi:cli/run@0.2.0\" (instance $wrapped)))"
    )
}

fn plain(body: &str) -> String {
    component("", "", "", "", body)
}

#[test]
fn run_answers_with_success_or_failure() {
    let world = World::new();
    assert_eq!(world.run(plain("(i32.const 0)"), |_| {}).code(), 0);
    assert_eq!(world.run(plain("(i32.const 1)"), |_| {}).code(), 1);
    assert_eq!(
        world.run(plain("unreachable"), |_| {}).trap(),
        "wasm `unreachable` instruction executed"
    );
}

#[test]
fn exit_with_a_code_is_passed_on() {
    let wat = component(
        "(import \"wasi:cli/exit@0.2.12\" (instance $exit (export \"exit-with-code\" (func (param \"status-code\" u8)))))",
        "(core func $exit (canon lower (func $exit \"exit-with-code\")))",
        "(import \"host\" \"exit\" (func $exit (param i32)))",
        "(with \"host\" (instance (export \"exit\" (func $exit))))",
        "(call $exit (i32.const 7)) unreachable",
    );
    assert_eq!(World::new().run(wat, |_| {}).code(), 7);
}

#[test]
fn imports_that_nobody_has_are_named() {
    let world = World::new();
    for (name, found) in [
        ("wasi:http/outgoing-handler@0.2.0", true),
        ("wasi:keyvalue/store@0.2.0", false),
        ("wasi:cli/environment@0.3.0", false),
        ("wasi:cli/environment", false),
        ("acme:db/store@1.0.0", false),
        ("wasi:cli/environment@0.2.3", true),
        ("wasi:cli/environment@0.2.99", true),
    ] {
        let ran = world.run(
            component(
                &format!("(import \"{name}\" (instance))"),
                "",
                "",
                "",
                "(i32.const 0)",
            ),
            |_| {},
        );
        if found {
            assert_eq!(ran.code(), 0, "{name}");
        } else {
            assert_eq!(
                ran.refusal(),
                format!("program \"/program.wasm\" imports what no WASI host has: \"{name}\"")
            );
        }
    }
}

#[test]
fn a_library_is_not_run() {
    let ran = World::new().run(
        "(component (instance $i) (export \"acme:lib/api@1.0.0\" (instance $i)))",
        |_| {},
    );
    assert_eq!(
        ran.refusal(),
        "program \"/program.wasm\" is not a command: it has no \"wasi:cli/run@0.2\" to start it by; it has no function that could be called"
    );
}

#[test]
fn wrong_types_are_refused_before_the_start() {
    let wat = component(
        "(import \"wasi:cli/exit@0.2.0\" (instance (export \"exit\" (func (param \"status\" string)))))",
        "",
        "",
        "",
        "(i32.const 0)",
    );
    let refusal = World::new().run(wat, |_| {}).refusal();
    assert!(
        refusal.starts_with("starting program \"/program.wasm\": ")
            && refusal.contains("wasi:cli/exit"),
        "{refusal}"
    );
}

/// Makes a component of a module of preview 1, so that its files go through WASI 0.2.
fn adapted(guest: &Guest) -> Vec<u8> {
    let module = wat::parse_str(guest.wat()).expect("valid text");
    wit_component::ComponentEncoder::default()
        .module(&module)
        .expect("a module")
        .adapter(
            PREVIEW1,
            wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
        )
        .expect("the adapter")
        .encode()
        .expect("a component")
}

fn run(world: &World, guest: Guest, edit: impl FnOnce(&mut ContainerSpec)) -> Shown {
    let ran = world.run(adapted(&guest), edit);
    assert_eq!(ran.code(), 0, "{:?}", String::from_utf8_lossy(&ran.stderr));
    guest.shown(&ran)
}

#[test]
fn files_are_read_written_and_listed() {
    let world = World::new()
        .file("data", "0123456789")
        .file("d/a", "")
        .symlink("/data", "link");
    let mut guest = Guest::new()
        .words(600, &[512, 8])
        .data(512, b"AB")
        .words(620, &[512, 2]);
    let [link, len] = guest.text("link");
    let guest = guest
        .open(3, "link", 0, READ | WRITE)
        .call("fd_write", &[4, 620, 1, 700])
        .show(700, 4)
        .call("fd_read", &[4, 600, 1, 700])
        .show(512, 8)
        .call("fd_pread", &[4, 600, 1, 0, 700])
        .show(512, 8)
        .call("fd_seek", &[4, 0, 2, 704])
        .show(704, 8)
        .call("fd_filestat_set_size", &[4, 4])
        .call(
            "fd_filestat_set_times",
            &[4, 1_000_000_007, 2_000_000_009, 0b0101],
        )
        .call("fd_sync", &[4])
        .call("fd_datasync", &[4])
        .call("fd_advise", &[4, 0, 0, 0])
        .call("fd_filestat_get", &[4, 640])
        .show(672, 24)
        .call("path_filestat_get", &[3, 0, link, len, 640])
        .show(656, 1)
        .call("path_readlink", &[3, link, len, 800, 100, 700])
        .show(800, 6)
        .open(3, "d", DIRECTORY, READ)
        .call("fd_readdir", &[5, 1024, 1024, 2, 700])
        .show(1024 + 24, 1)
        .path("path_create_directory", 5, "sub")
        .path("path_remove_directory", 5, "sub")
        .path("path_unlink_file", 5, "a")
        .path("path_unlink_file", 5, "a")
        .call("random_get", &[1024, 8])
        .call("clock_time_get", &[0, 0, 1024]);
    let mut shown = run(&world, guest, |_| {});
    assert_eq!(shown.errno(), OK);
    assert_eq!((shown.errno(), shown.word()), (OK, 2));
    assert_eq!((shown.errno(), shown.bytes()), (OK, b"23456789".to_vec()));
    assert_eq!((shown.errno(), shown.bytes()), (OK, b"AB234567".to_vec()));
    assert_eq!((shown.errno(), shown.long()), (OK, 10));
    assert_eq!(shown.errnos(6), [OK; 6]);
    let numbers: Vec<u64> = shown
        .bytes()
        .chunks(8)
        .map(|chunk| u64::from_le_bytes(chunk.try_into().expect("eight")))
        .collect();
    assert_eq!(numbers, [4, 1_000_000_007, 2_000_000_009]);
    assert_eq!(
        (shown.errno(), shown.bytes()),
        (OK, vec![7]),
        "the link itself"
    );
    assert_eq!((shown.errno(), shown.bytes()), (OK, b"/data\0".to_vec()));
    assert_eq!(shown.errnos(2), [OK, OK]);
    assert_eq!(shown.bytes(), b"a");
    assert_eq!(shown.errnos(6), [OK, OK, OK, NOENT, OK, OK]);
    assert_eq!(
        std::fs::read(world.path("image/data")).expect("the image's"),
        b"0123456789"
    );
    assert_eq!(
        std::fs::read(world.path("upper/data")).expect("the container's"),
        b"AB23"
    );
}

#[test]
fn no_path_leads_out() {
    let world = World::new()
        .dir("d")
        .symlink("/etc/passwd", "absolute")
        .symlink("../../../../../../../../etc/passwd", "relative");
    let mut guest = Guest::new();
    for path in [
        "../../etc/passwd",
        "/etc/passwd",
        "d/../../etc/passwd",
        "..",
    ] {
        guest = guest.open(3, path, 0, READ);
    }
    for path in ["etc/passwd", "absolute", "relative"] {
        guest = guest.open(3, path, 0, READ);
    }
    guest = guest
        .path("path_create_directory", 3, "../x")
        .path("path_unlink_file", 3, "/x");
    let mut shown = run(&world, guest, |_| {});
    assert_eq!(shown.errnos(4), [PERM; 4]);
    assert_eq!(shown.errnos(3), [NOENT; 3]);
    assert_eq!(shown.errnos(2), [PERM; 2]);
}

#[test]
fn streams_arguments_and_environment_arrive() {
    let (pipe, mut writer) = std::io::pipe().expect("a pipe");
    let pipe = Arc::new(File::from(OwnedFd::from(pipe)));
    let thread = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(30));
        writer.write_all(b"late\xff").expect("the guest reads");
    });
    let guest = Guest::new()
        .words(600, &[512, 8])
        .call("args_get", &[800, 820])
        .show(820, 4)
        .call("environ_get", &[840, 860])
        .show(860, 4)
        .call("fd_read", &[0, 600, 1, 700])
        .show(700, 4)
        .show(512, 8)
        .call("fd_read", &[0, 600, 1, 700])
        .show(700, 4);
    let mut shown = run(&World::new(), guest, |spec| {
        spec.stdin = Stdin::File(pipe);
        spec.args = vec!["a".into(), "b".into()];
        spec.env = vec![("N".into(), "1".into())];
    });
    assert_eq!((shown.errno(), shown.bytes()), (OK, b"a\0b\0".to_vec()));
    assert_eq!((shown.errno(), shown.bytes()), (OK, b"N=1\0".to_vec()));
    assert_eq!(
        (shown.errno(), shown.word(), shown.bytes()),
        (OK, 5, b"late\xff\0\0\0".to_vec())
    );
    assert_eq!((shown.errno(), shown.word()), (OK, 0));
    thread.join().expect("the writer");
}

#[test]
fn open_files_are_bounded() {
    let mut guest = Guest::new();
    for _ in 0..4 {
        guest = guest.open(3, "a", 0, READ);
    }
    guest = guest
        .open(3, "new", CREAT, WRITE)
        .call("fd_close", &[4])
        .open(3, "a", 0, READ);
    let world = World::new().file("a", "A");
    let mut shown = run(&world, guest, |spec| spec.limits.open_files = 7);
    assert_eq!(shown.errnos(7), [OK, OK, OK, NOMEM, NOMEM, OK, OK]);
    assert!(!world.path("upper/new").exists());
}

#[test]
fn the_working_directory_is_guessed_as_for_modules() {
    let world = World::new()
        .file("app/main", "app")
        .file("etc/conf", "root");
    let guest = Guest::new()
        .open(5, "main", 0, READ)
        .open(5, "etc/conf", 0, READ)
        .open(4, "main", 0, READ);
    let mut shown = run(&world, guest, |spec| spec.cwd = "/app".into());
    assert_eq!(shown.errnos(3), [OK, OK, NOENT]);
}

#[test]
fn a_component_is_interrupted() {
    let world = World::new();
    let engine = world.engine();
    let interrupt = engine.interrupt().expect("descriptors");
    let thread = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(50));
        interrupt.raise();
    });
    let ran = world.run_on(&engine, plain("(loop $l (br $l)) unreachable"), |_| {});
    assert_eq!(ran.result.expect("it ran"), Outcome::Interrupted);
    thread.join().expect("the interrupter");
}
