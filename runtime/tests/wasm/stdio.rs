//! Standard streams, arguments and environment.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use coracle_runtime::spec::{Output, Stdin};

use crate::guest::*;
use crate::world::World;

#[test]
fn arguments_and_environment_arrive_as_given() {
    let guest = Guest::new()
        .call("args_sizes_get", &[512, 516])
        .show(512, 8)
        .call("args_get", &[520, 600])
        .show(520, 12)
        .show(600, 19)
        .call("environ_sizes_get", &[512, 516])
        .show(512, 8)
        .call("environ_get", &[700, 720])
        .show(720, 12);
    let mut shown = guest.run_with(&World::new(), |spec| {
        spec.args = ["/bin/a b", "", "ünï"].map(str::to_owned).into();
        spec.env = vec![("A".into(), "=1".into()), ("LANG".into(), String::new())];
    });
    assert_eq!(shown.errno(), OK);
    assert_eq!(shown.bytes(), [3, 0, 0, 0, 16, 0, 0, 0]);
    assert_eq!(shown.errno(), OK);
    assert_eq!(
        shown.bytes(),
        [88, 2, 0, 0, 97, 2, 0, 0, 98, 2, 0, 0],
        "pointers 600, 609, 610"
    );
    assert_eq!(shown.bytes(), b"/bin/a b\0\0\xc3\xbcn\xc3\xaf\0\0\0\0");
    assert_eq!(shown.errno(), OK);
    assert_eq!(shown.bytes(), [2, 0, 0, 0, 11, 0, 0, 0]);
    assert_eq!(shown.errno(), OK);
    assert_eq!(shown.bytes(), b"A==1\0LANG=\0\0");
}

#[test]
fn text_that_no_program_could_take_is_refused() {
    let world = World::new();
    let program = Guest::new().wat();
    let ran = world.run(&program, |spec| spec.args.push("a\0b".into()));
    assert!(
        ran.refusal()
            .starts_with("argument \"a\\0b\" has a NUL byte inside"),
        "{}",
        ran.refusal()
    );
    for (name, value) in [("", "x"), ("A=B", "x"), ("A", "\0"), ("A\0", "")] {
        let ran = world.run(&program, |spec| spec.env.push((name.into(), value.into())));
        assert!(
            ran.refusal().starts_with("environment variable"),
            "{name:?}"
        );
    }
}

#[test]
fn output_is_exact_and_in_order() {
    // Both streams go to one file, in turns, with line ends in the middle and bytes that are no text.
    let world = World::new();
    let file = Arc::new(File::create(world.path("both")).expect("a file"));
    let guest = Guest::new()
        .data(512, b"one\ntw\xff\0o\r\n")
        .words(600, &[512, 4, 0, 0, 516, 7])
        .code(
            "(drop (call $fd_write (i32.const 1) (i32.const 600) (i32.const 1) (i32.const 700)))
             (drop (call $fd_write (i32.const 2) (i32.const 600) (i32.const 3) (i32.const 700)))",
        )
        .show(700, 4)
        .code(
            "(drop (call $fd_write (i32.const 2) (i32.const 616) (i32.const 1) (i32.const 700)))",
        );
    let ran = world.run(guest.wat(), |spec| {
        spec.stdout = Output::File(file.clone());
        spec.stderr = Output::File(file.clone());
    });
    assert_eq!(ran.code(), 0);
    let both = std::fs::read(world.path("both")).expect("the output");
    assert_eq!(both, b"one\none\ntw\xff\0o\r\n\x0b\0\0\0tw\xff\0o\r\n");
}

/// Reads at most 8 bytes of standard input twice.
fn reader() -> Guest {
    Guest::new()
        .words(600, &[0, 0, 512, 8])
        .call("fd_read", &[0, 600, 2, 700])
        .show(700, 4)
        .show(512, 8)
        .call("fd_read", &[0, 600, 2, 700])
        .show(700, 4)
}

#[test]
fn input_comes_from_where_it_is_said() {
    let world = World::new();
    let mut shown = reader().run(&world);
    assert_eq!((shown.errno(), shown.word()), (OK, 0), "empty");

    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(b"xabc\xff").expect("written");
    file.seek(std::io::SeekFrom::Start(1))
        .expect("at the second byte");
    let file = Arc::new(file);
    let mut shown = reader().run_with(&world, |spec| spec.stdin = Stdin::File(file));
    assert_eq!(
        (shown.errno(), shown.word(), shown.bytes()),
        (OK, 4, b"abc\xff\0\0\0\0".to_vec())
    );
    assert_eq!((shown.errno(), shown.word()), (OK, 0), "the end");
}

#[test]
fn a_guest_waits_for_a_pipe() {
    let (pipe, mut writer) = std::io::pipe().expect("a pipe");
    let pipe = Arc::new(File::from(OwnedFd::from(pipe)));
    let thread = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(30));
        writer.write_all(b"late").expect("the guest reads");
    });
    let mut shown = reader().run_with(&World::new(), |spec| spec.stdin = Stdin::File(pipe));
    assert_eq!(
        (shown.errno(), shown.word(), shown.bytes()),
        (OK, 4, b"late\0\0\0\0".to_vec())
    );
    assert_eq!((shown.errno(), shown.word()), (OK, 0), "the writer is gone");
    thread.join().expect("the writer");
}

#[test]
fn a_non_blocking_guest_does_not_wait() {
    let (pipe, writer) = std::io::pipe().expect("a pipe");
    let pipe = Arc::new(File::from(OwnedFd::from(pipe)));
    let guest = Guest::new()
        .words(600, &[512, 8])
        .call("fd_fdstat_set_flags", &[0, 4])
        .call("fd_read", &[0, 600, 1, 700]);
    let mut shown = guest.run_with(&World::new(), |spec| spec.stdin = Stdin::File(pipe));
    assert_eq!(shown.errnos(2), [OK, AGAIN]);
    drop(writer);
}

#[test]
fn a_closed_pipe_is_an_error_not_the_end() {
    let (reader, pipe) = std::io::pipe().expect("a pipe");
    drop(reader);
    let pipe = Arc::new(File::from(OwnedFd::from(pipe)));
    let guest = Guest::new()
        .words(600, &[512, 8])
        .call("fd_write", &[2, 600, 1, 700]);
    let mut shown = guest.run_with(&World::new(), |spec| spec.stderr = Output::File(pipe));
    assert_eq!(shown.errno(), PIPE);
}

#[test]
fn streams_are_no_files() {
    let guest = Guest::new()
        .words(600, &[512, 8])
        .call("fd_seek", &[0, 0, 1, 512])
        .call("fd_tell", &[1, 512])
        .call("fd_pread", &[0, 600, 1, 0, 512])
        .call("fd_pwrite", &[1, 600, 1, 0, 512])
        .call("fd_read", &[1, 600, 1, 512])
        .call("fd_write", &[0, 600, 1, 512])
        .call("fd_filestat_set_size", &[1, 0])
        .call("fd_allocate", &[1, 0, 1])
        .call("fd_readdir", &[0, 512, 8, 0, 520])
        .call("fd_sync", &[1])
        .call("fd_filestat_get", &[1, 512])
        .call("fd_fdstat_get", &[1, 640])
        .show(640, 1);
    let mut shown = guest.run(&World::new());
    assert_eq!(shown.errnos(6), [SPIPE, SPIPE, SPIPE, SPIPE, BADF, BADF]);
    assert_eq!(shown.errnos(4), [BADF, BADF, BADF, INVAL]);
    assert_eq!(shown.errnos(2), [OK, OK]);
    assert_eq!(shown.bytes(), [0], "a file is no terminal");
}

#[test]
fn sockets_and_signals_do_not_exist() {
    let guest = Guest::new()
        .call("sock_accept", &[0, 0, 512])
        .call("sock_recv", &[3, 512, 0, 0, 520, 524])
        .call("sock_send", &[1, 512, 0, 0, 520])
        .call("sock_shutdown", &[0, 3])
        .call("sock_shutdown", &[77, 3])
        .call("proc_raise", &[6])
        .call("sched_yield", &[]);
    let mut shown = guest.run(&World::new());
    assert_eq!(
        shown.errnos(7),
        [NOTSOCK, NOTSOCK, NOTSOCK, NOTSOCK, BADF, NOTSUP, OK]
    );
}

#[test]
fn output_can_be_a_pipe() {
    let (mut reader, pipe) = std::io::pipe().expect("a pipe");
    let pipe = Arc::new(File::from(OwnedFd::from(pipe)));
    let guest = Guest::new()
        .data(512, b"hello")
        .words(600, &[512, 5])
        .call("fd_write", &[2, 600, 1, 700]);
    let mut shown = guest.run_with(&World::new(), |spec| spec.stderr = Output::File(pipe));
    assert_eq!(shown.errno(), OK);
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("text");
    assert_eq!(text, "hello");
}
