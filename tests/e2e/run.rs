//! `run`: the program, its arguments and environment, and how it ended.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::fixtures::{PATH, guest, only};
use crate::world::{World, finish};

#[test]
fn the_guests_code_is_the_commands() {
    let world = World::new();
    world.guest_image("exit7");
    let output = world
        .run(&["run", "--rm", "exit7"])
        .expect_code(7, &["run"]);
    assert_eq!(output.stdout, b"to stdout\n");
    assert_eq!(output.stderr, b"to stderr\n");
}

#[test]
fn arguments_and_environment_are_what_was_given() {
    let world = World::new();
    world.build(
        "show",
        "FROM scratch\nCOPY show.wasm /\nENV FROM_IMAGE=1 BOTH=image\nENTRYPOINT [\"/show.wasm\"]\nCMD [\"default\"]\n",
        &["show"],
        &[],
    );
    assert_eq!(
        world.ok(&["run", "--rm", "show"]),
        format!(
            "arg 0 </show.wasm>\narg 1 <default>\nenv <{PATH}>\nenv <FROM_IMAGE=1>\nenv <BOTH=image>\ncwd </>\n"
        )
    );
    assert_eq!(
        world.ok(&[
            "run",
            "--rm",
            "-e",
            "BOTH=user",
            "--env",
            "C=x=y",
            "show",
            "a b",
            "",
            "--flag",
            "-e",
            "ünï\n",
        ]),
        format!(
            "arg 0 </show.wasm>\narg 1 <a b>\narg 2 <>\narg 3 <--flag>\narg 4 <-e>\narg 5 <ünï\n>\n\
         env <{PATH}>\nenv <FROM_IMAGE=1>\nenv <BOTH=user>\nenv <C=x=y>\ncwd </>\n"
        )
    );
}

#[test]
fn what_follows_the_image_belongs_to_the_guest() {
    let world = World::new();
    world.guest_image("show");
    for flag in [
        "-e",
        "-i",
        "--rm",
        "--name",
        "--help",
        "-h",
        "--root",
        "--version",
        "--",
        "-",
        "--env=x",
        "-vx",
    ] {
        assert_eq!(
            world.ok(&["run", "--rm", "show", flag, "A=1", "--rm", "-q"]),
            format!(
                "arg 0 </show.wasm>\narg 1 <{flag}>\narg 2 <A=1>\narg 3 <--rm>\narg 4 <-q>\nenv <{PATH}>\ncwd </>\n"
            ),
        );
    }
}

#[test]
fn a_variable_without_a_value_is_taken_from_the_caller() {
    let world = World::new();
    world.guest_image("show");
    let arguments = ["run", "--rm", "-e", "GIVEN", "-e", "UNSET", "show"];
    let mut command = world.command(&arguments);
    command
        .env("GIVEN", "from the caller")
        .env("HIDDEN", "not for the guest");
    let output = finish(command, b"").expect_code(0, &arguments);
    assert_eq!(
        output.text(),
        format!("arg 0 </show.wasm>\nenv <{PATH}>\nenv <GIVEN=from the caller>\ncwd </>\n")
    );
}

#[test]
fn the_working_directory_comes_from_the_image_or_the_flag() {
    let world = World::new();
    world.build(
        "files",
        "FROM scratch\nCOPY files.wasm /bin/\nCOPY note.txt /srv/app/\nCOPY note.txt /note.txt\nWORKDIR /srv/app\nENTRYPOINT [\"/bin/files.wasm\"]\n",
        &["files"],
        &[("note.txt", b"note\n")],
    );
    assert_eq!(
        world.ok(&["run", "--rm", "files", "read,note.txt"]),
        "note\n"
    );
    assert_eq!(
        world.ok(&[
            "run",
            "--rm",
            "-w",
            "/new/dir",
            "files",
            "write,here,x",
            "list,/new/dir"
        ]),
        "here\n"
    );
}

#[test]
fn the_entrypoint_can_be_replaced() {
    let world = World::new();
    world.build(
        "two",
        "FROM scratch\nCOPY exit7.wasm show.wasm /bin/\nENTRYPOINT [\"/bin/exit7.wasm\"]\nCMD [\"gone\"]\n",
        &["exit7", "show"],
        &[],
    );
    assert_eq!(
        world.ok(&["run", "--rm", "--entrypoint", "/bin/show.wasm", "two"]),
        format!("arg 0 </bin/show.wasm>\nenv <{PATH}>\ncwd </>\n")
    );
    assert_eq!(
        world.ok(&["run", "--rm", "--entrypoint", "show.wasm", "two", "a"]),
        format!("arg 0 <show.wasm>\narg 1 <a>\nenv <{PATH}>\ncwd </>\n")
    );
}

#[test]
fn what_cannot_be_found_is_127() {
    let world = World::new();
    world.guest_image("exit7");
    let arguments = ["run", "--rm", "--entrypoint", "/missing.wasm", "exit7"];
    let output = world.run(&arguments).expect_code(127, &arguments);
    assert!(
        output.errors().contains("/missing.wasm"),
        "{}",
        output.errors()
    );
    assert_eq!(output.stdout, b"");
}

#[test]
fn what_cannot_be_run_is_126() {
    let world = World::new();
    let mut broken = std::fs::read(guest("exit7")).expect("a guest");
    broken.truncate(broken.len() / 2);
    world.build(
        "broken",
        "FROM scratch\nCOPY text.txt broken.wasm /\nCOPY text.txt /folder/\n",
        &[],
        &[
            ("text.txt", b"#!/bin/sh\necho hello\n"),
            ("broken.wasm", &broken),
        ],
    );
    for program in ["/text.txt", "/broken.wasm", "/folder"] {
        let arguments = ["run", "--rm", "broken", program];
        let output = world.run(&arguments).expect_code(126, &arguments);
        assert!(output.errors().contains(program), "{}", output.errors());
        assert!(!output.errors().contains("panicked"), "{}", output.errors());
    }
    assert_eq!(world.ok(&["ps", "-a", "-q"]), "");
}

#[test]
fn what_is_ours_is_125() {
    let world = World::new();
    world.build("empty", "FROM scratch\nCOPY a /\n", &[], &[("a", b"")]);
    world.guest_image("exit7");
    for (arguments, wanted) in [
        (
            ["run", "--no-such-flag", "exit7"].as_slice(),
            "--no-such-flag",
        ),
        (&["run", "empty"], "empty"),
        (&["run", "-w", "relative", "exit7"], "relative"),
        (&["run", "-e", "=x", "exit7"], "=x"),
        (&["run", "--name", "not/a/name", "exit7"], "not/a/name"),
    ] {
        let message = world.refused(arguments);
        assert!(message.contains(wanted), "{arguments:?}: {message}");
    }
    // As in Docker: who names no image has not said what to run.
    assert!(world.failed(&["run"]).contains("IMAGE"));
}

#[test]
fn a_trap_is_told_and_has_the_code_of_an_abort() {
    let world = World::new();
    world.guest_image("trap");
    let arguments = ["run", "--name", "trapped", "trap"];
    let output = world.run(&arguments);
    assert_eq!(output.stdout, b"before\n");
    // 128 + SIGABRT, what a native program that aborts leaves behind.
    assert_eq!(output.code, Some(134), "{}", output.errors());
    assert!(
        output.errors().contains("unreachable"),
        "{}",
        output.errors()
    );
    let state = world.json(&["inspect", "trapped"])[0]["State"].clone();
    assert_eq!(state["ExitCode"], 134);
    assert_eq!(state["Status"], "exited");
}

#[test]
fn a_stack_without_end_is_a_trap() {
    let world = World::new();
    world.guest_image("recurse");
    let output = world.run(&["run", "--rm", "recurse"]);
    assert_eq!(output.code, Some(134), "{}", output.errors());
    // Which of its two stacks ends first depends on the compiler.
    assert!(
        output.errors().contains("the guest trapped"),
        "{}",
        output.errors()
    );
}

#[test]
fn a_guest_has_no_sockets_and_no_foreign_descriptors() {
    let world = World::new();
    world.guest_image("socket");
    world.guest_image("badfd");
    assert_eq!(world.ok(&["run", "--rm", "socket"]), "");
    assert_eq!(world.ok(&["run", "--rm", "badfd"]), "all refused\n");
    let output = world.run(&["run", "--rm", "badfd", "wild"]);
    assert!(
        matches!(output.code, Some(0 | 134)),
        "{:?} {}",
        output.code,
        output.errors()
    );
    assert!(!output.text().contains("accepted"), "{}", output.text());
}

#[test]
fn a_folder_with_a_dockerfile_is_built_and_run() {
    let world = World::new();
    world.context("app", &only("show"), &["show"], &[]);
    let output = world
        .run(&["run", "--rm", "./app", "x"])
        .expect_code(0, &["run ./app"]);
    assert_eq!(
        output.text(),
        format!("arg 0 </show.wasm>\narg 1 <x>\nenv <{PATH}>\ncwd </>\n")
    );
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let world = World::new();
    world.guest_image("spew");
    let mut command = world.command(&["run", "--rm", "spew"]);
    let mut child = command.spawn().expect("the command starts");
    // Nobody reads: the first write that finds the pipe closed ends the guest.
    drop(child.stdout.take());
    let start = Instant::now();
    let output = child.wait_with_output().expect("the command's end");
    assert!(start.elapsed() < Duration::from_secs(20));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!errors.contains("panicked"), "{errors}");
}

#[test]
fn two_runs_at_once_do_not_meet() {
    let world = World::new();
    world.guest_image("files");
    let runs: Vec<_> = (0..8)
        .map(|number| {
            world
                .command(&[
                    "run",
                    "--rm",
                    "files",
                    &format!("write,/f,{number}"),
                    "read,/f",
                ])
                .stdin(Stdio::null())
                .spawn()
                .expect("the command starts")
        })
        .collect();
    for (number, run) in runs.into_iter().enumerate() {
        let output = run.wait_with_output().expect("the command's end");
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            number.to_string(),
            "{output:?}"
        );
        assert_eq!(output.status.code(), Some(0));
    }
    assert_eq!(world.ok(&["ps", "-a", "-q"]), "");
}

#[test]
fn compiled_code_that_cannot_be_mapped_is_told_once() {
    let world = World::new();
    world.guest_image("hello");
    let script = format!(
        "mount -t tmpfs -o noexec,mode=0700 none {} && exec timeout 60 {} run --rm hello",
        world.root().join("compiled").display(),
        env!("CARGO_BIN_EXE_coracle"),
    );
    let arguments = ["-rm", "sh", "-c", &script];
    let output = finish(world.tool("unshare", &arguments), b"").expect_code(125, &arguments);
    assert!(
        output.errors().contains("cannot be mapped into memory"),
        "{}",
        output.errors()
    );
}
