//! How runs end: exit codes, traps, refusals, interrupts, limits.

use std::cell::Cell;
use std::convert::Infallible;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coracle_runtime::policy::quantity::Size;
use coracle_runtime::sandbox::wasm::run::run_then;
use coracle_runtime::sandbox::wasm::{Outcome, RunError, run};
use coracle_runtime::spec::{ContainerSpec, Stdin};
use coracle_runtime::vfs::Errno;

use crate::guest::*;
use crate::world::{PROGRAM, World};

fn body(instructions: &str) -> String {
    format!(
        "(module (memory (export \"memory\") 1) (func $start (export \"_start\") {instructions}))"
    )
}

#[test]
fn exit_codes_are_the_guests() {
    let world = World::new();
    assert_eq!(world.run(body(""), |_| {}).code(), 0);
    for (code, want) in [(0, 0), (7, 7), (125, 125), (255, 255), (256, 0), (-1, 255)] {
        let wat = format!(
            "(module (import \"{PREVIEW1}\" \"proc_exit\" (func $exit (param i32))) (memory (export \"memory\") 1)
             (func (export \"_start\") (call $exit (i32.const {code})) unreachable))"
        );
        assert_eq!(world.run(wat, |_| {}).code(), want, "{code}");
    }
}

#[test]
fn traps_say_what_the_guest_did() {
    let world = World::new();
    for (wat, message) in [
        (
            body("unreachable"),
            "wasm `unreachable` instruction executed",
        ),
        (
            body("(drop (i32.load (i32.const 65533)))"),
            "out of bounds memory access",
        ),
        (
            body("(drop (i32.div_u (i32.const 1) (i32.const 0)))"),
            "integer divide by zero",
        ),
        (body("(call $start)"), "call stack exhausted"),
        (
            "(module (table 1 funcref) (func (export \"_start\") (call_indirect (i32.const 0))))"
                .to_owned(),
            "uninitialized element",
        ),
    ] {
        let ran = world.run(wat, |_| {});
        assert_eq!(ran.trap(), message);
        assert_eq!(ran.result.expect("it ran").code(), 134);
    }
}

#[test]
fn a_start_function_can_end_the_guest_too() {
    let wat = format!(
        "(module (import \"{PREVIEW1}\" \"proc_exit\" (func $exit (param i32))) (memory (export \"memory\") 1)
         (func $first (call $exit (i32.const 3))) (start $first) (func (export \"_start\")))"
    );
    assert_eq!(World::new().run(wat, |_| {}).code(), 3);
    let trap = "(module (func $first unreachable) (start $first) (func (export \"_start\")))";
    assert_eq!(
        World::new().run(trap, |_| {}).trap(),
        "wasm `unreachable` instruction executed"
    );
}

#[test]
fn what_can_not_be_run_is_refused_by_name() {
    let world = World::new();
    let refusal = |program: &str| world.run(program, |_| {}).refusal();
    assert_eq!(
        refusal(
            "(module (import \"env\" \"memory\" (memory 1)) (import \"env\" \"abort\" (func)) (func (export \"_start\")))"
        ),
        "program \"/program.wasm\" imports what no WASI host has: \"env.memory\", \"env.abort\""
    );
    assert_eq!(
        refusal(
            "(module (import \"wasi_snapshot_preview1\" \"fd_sing\" (func)) (func (export \"_start\")))"
        ),
        "program \"/program.wasm\" imports what no WASI host has: \"wasi_snapshot_preview1.fd_sing\""
    );
    assert_eq!(
        refusal("(module (func (export \"_initialize\")) (func (export \"add\")))"),
        "program \"/program.wasm\" is not a command: it has no \"_start\" to start it by; \
         it is a library with add"
    );
    assert_eq!(
        refusal("(module (func (export \"_start\") (param i32)))"),
        "program \"/program.wasm\" is not a command: it has no \"_start\" to start it by; it is a library with _start"
    );
    let many: String = (0..20)
        .map(|n| format!("(import \"env\" \"f{n}\" (func))"))
        .collect();
    assert!(
        refusal(&format!("(module {many} (func (export \"_start\")))"))
            .ends_with("\"env.f7\", and 12 more")
    );
    let wrong = refusal(
        "(module (import \"wasi_snapshot_preview1\" \"fd_close\" (func)) (func (export \"_start\")))",
    );
    assert!(
        wrong.starts_with("starting program \"/program.wasm\": ") && wrong.contains("fd_close"),
        "{wrong}"
    );
}

#[test]
fn files_that_are_no_programs_are_refused() {
    let world = World::new()
        .file("script", "#!/bin/sh\n")
        .file("empty", "")
        .file("cut", b"\0asm\x01\0\0\0\x01")
        .dir("d");
    let engine = world.engine();
    let run_program = |program: &str| {
        let spec = ContainerSpec::new(program);
        run(&engine, world.fs(), &spec, &mut || Ok::<_, Infallible>(())).expect_err("no program")
    };
    for program in [
        "/script",
        "/empty",
        "/cut",
        "/none",
        "/d",
        "/script/x",
        "/../../etc/passwd",
        "",
    ] {
        let error = run_program(program);
        match (program, &error) {
            ("/script" | "/empty" | "/cut", RunError::Load { path, .. }) => {
                assert_eq!(path, program)
            }
            (
                "/none" | "/../../etc/passwd" | "",
                RunError::Program {
                    source: Errno::NoEntry,
                    ..
                },
            ) => {}
            (
                "/d",
                RunError::Program {
                    source: Errno::IsDir,
                    ..
                },
            ) => {}
            (
                "/script/x",
                RunError::Program {
                    source: Errno::NotDir,
                    ..
                },
            ) => {}
            _ => panic!("{program}: {error:?}"),
        }
    }
}

#[test]
fn the_wall_stands_before_the_guest_runs() {
    let world = World::new();
    let program = Guest::new()
        .data(512, b"hello")
        .words(600, &[512, 5])
        .call("fd_write", &[2, 600, 1, 700])
        .wat();
    assert_eq!(world.run(&program, |_| {}).code(), 0);
    let engine = world.engine();
    let err = world.path("err");
    let mut spec = ContainerSpec::new(PROGRAM);
    spec.stderr =
        coracle_runtime::spec::Output::File(Arc::new(File::create(&err).expect("a file")));
    spec.stdout = spec.stderr.clone();
    let calls = Cell::new(0);
    let result = run(&engine, world.fs(), &spec, &mut || {
        calls.set(calls.get() + 1);
        Err("the kernel is too old")
    });
    assert!(
        matches!(&result, Err(RunError::Wall(cause)) if cause.to_string() == "the kernel is too old"),
        "{result:?}"
    );
    assert_eq!(calls.get(), 1);
    assert_eq!(std::fs::read(&err).expect("the output"), b"", "nothing ran");

    // A program that will be refused needs no wall.
    std::fs::write(
        world.path("image/program.wasm"),
        wat::parse_str("(module)").expect("valid"),
    )
    .expect("written");
    let result = run(
        &engine,
        world.fs(),
        &spec,
        &mut || -> Result<(), Infallible> { panic!("too early") },
    );
    assert!(matches!(result, Err(RunError::NotACommand { .. })));
}

#[test]
fn the_end_is_told_before_memory_is_given_back() {
    let world = World::new();
    world.run(body("unreachable"), |_| {});
    let told = Cell::new(None);
    let outcome = run_then(
        &world.engine(),
        world.fs(),
        &ContainerSpec::new(PROGRAM),
        &mut || Ok::<_, Infallible>(()),
        &mut |outcome| told.set(Some(outcome.clone())),
    );
    assert_eq!(outcome.ok(), told.take());
}

/// Interrupts a guest after a moment; it must end soon.
fn interrupted(wat: &str, edit: impl FnOnce(&mut ContainerSpec)) {
    let world = World::new();
    let engine = world.engine();
    let interrupt = engine.interrupt().expect("descriptors");
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        interrupt.raise();
        interrupt.raise();
    });
    let start = Instant::now();
    let ran = world.run_on(&engine, wat, edit);
    assert_eq!(ran.result.expect("it ran"), Outcome::Interrupted);
    assert!(
        start.elapsed() >= Duration::from_millis(40) && start.elapsed() < Duration::from_secs(20)
    );
    thread.join().expect("the interrupter");
    assert_eq!(
        world.run_on(&engine, wat, |_| {}).result.expect("no error"),
        Outcome::Interrupted,
        "it stays so"
    );
}

#[test]
fn a_loop_is_interrupted() {
    interrupted(&body("(loop $l (br $l))"), |_| {});
}

#[test]
fn a_wait_for_input_is_interrupted() {
    let (pipe, writer) = std::io::pipe().expect("a pipe");
    let pipe = Arc::new(File::from(OwnedFd::from(pipe)));
    let guest = Guest::new()
        .words(600, &[512, 8])
        .call("fd_read", &[0, 600, 1, 700]);
    interrupted(&guest.wat(), |spec| spec.stdin = Stdin::File(pipe));
    drop(writer);
}

#[test]
fn a_sleep_is_interrupted() {
    let mut clock = [0; 48];
    clock[16] = 1;
    clock[24..32].copy_from_slice(&u64::MAX.to_le_bytes());
    let guest = Guest::new()
        .data(512, &clock)
        .call("poll_oneoff", &[512, 1024, 1, 700]);
    interrupted(&guest.wat(), |_| {});
}

#[test]
fn memory_is_limited() {
    let world = World::new();
    // Grows from one page to four, and exits with what the last growth answered.
    let wat = format!(
        "(module (import \"{PREVIEW1}\" \"proc_exit\" (func $exit (param i32))) (memory (export \"memory\") 1)
         (func (export \"_start\")
            (drop (memory.grow (i32.const 2)))
            (call $exit (memory.grow (i32.const 1)))))"
    );
    let limited = |bytes: Option<u64>| {
        world.run(&wat, |spec| {
            spec.limits.memory = bytes.map(Size::from_bytes)
        })
    };
    assert_eq!(limited(None).code(), 3);
    assert_eq!(limited(Some(4 << 16)).code(), 3);
    assert!(
        matches!(
            limited(Some((4 << 16) - 1)).result,
            Ok(Outcome::OutOfMemory { code: 255 })
        ),
        "the guest sees -1"
    );
    assert_eq!(
        limited(Some(1000)).refusal(),
        "program \"/program.wasm\" needs more memory to start than its limit of 1000b"
    );
}
