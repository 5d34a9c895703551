//! Joining a container in the background: its terminal, its standard input, and leaving it again.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::fixtures::application;
use crate::world::{World, finish, wait_until};

/// Has a person do these things at a terminal in which the command runs. Returns what was shown, and the exit code; the terminal
/// must be left as it was found.
#[track_caller]
fn at_terminal(world: &World, arguments: &[&str], steps: &[Value]) -> (String, i64) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/terminal.py");
    let coracle = env!("CARGO_BIN_EXE_coracle");
    let mut command = world.tool("python3", &[&[script, coracle], arguments].concat());
    command.stdin(Stdio::piped());
    let lines: String = steps.iter().map(|step| format!("{step}\n")).collect();
    let output = finish(command, lines.as_bytes()).expect_code(0, arguments);
    let ended: Value = serde_json::from_str(&output.text()).expect("JSON");
    assert_eq!(ended["restored"], true, "{ended}");
    (
        ended["shown"].as_str().expect("text").to_owned(),
        ended["code"].as_i64().expect("a code"),
    )
}

fn status(world: &World, name: &str) -> Value {
    world.json(&["inspect", name])[0]["State"]["Status"].clone()
}

#[test]
fn python_is_talked_to_left_and_found_again() {
    let world = World::new();
    let dockerfile = "FROM scratch\nCOPY python.wasm /\nENTRYPOINT [\"/python.wasm\"]\n";
    let context = world.context("python", dockerfile, &[], &[]);
    let program = Path::new(&context).join("python.wasm");
    std::fs::copy(application("python.wasm"), program).expect("the interpreter is copied");
    world.ok(&["build", "-q", "-t", "python", &context]);

    world.ok(&["run", "-d", "-it", "--name", "py", "python", "-i", "-q"]);
    let (shown, code) = at_terminal(
        &world,
        &["attach", "py"],
        &[
            json!(["send", "x = 6 * 7\n"]),
            json!(["expect", ">>> "]),
            // The line is edited before it is sent.
            json!(["send", "prinz\u{7f}t(x)\n"]),
            json!(["expect", "42"]),
            json!(["expect", ">>> "]),
            json!(["send", "\u{10}\u{11}"]),
            json!(["end"]),
        ],
    );
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("read escape sequence"), "{shown}");
    assert_eq!(status(&world, "py"), "running");

    // It knows what it knew. Ctrl-D ends it, and this command with its code.
    let keys = "ctrl-a,x";
    let (shown, code) = at_terminal(
        &world,
        &["attach", "--detach-keys", keys, "py"],
        &[
            json!(["size", 40, 100]),
            json!(["send", "print(x + 1)\n"]),
            json!(["expect", "43"]),
            json!(["send", "import sys; sys.exit(9)\n"]),
            json!(["end"]),
        ],
    );
    assert_eq!(code, 9, "{shown}");
    assert_eq!(status(&world, "py"), "exited");
    // Both are in its log.
    let logs = world.ok(&["logs", "py"]);
    assert!(logs.contains("42\r\n") && logs.contains("43\r\n"), "{logs}");

    // Ctrl-C reaches the program, which cannot handle it.
    world.ok(&["start", "py"]);
    let (shown, code) = at_terminal(
        &world,
        &["attach", "py"],
        &[
            json!(["send", "1 + 1\n"]),
            json!(["expect", "2"]),
            json!(["send", "\u{3}"]),
            json!(["end"]),
        ],
    );
    assert_eq!(code, 130, "{shown}");

    // The same in the foreground, with a terminal that can be left.
    let (shown, code) = at_terminal(
        &world,
        &[
            "run",
            "-it",
            "--name",
            "fg",
            "--detach-keys",
            "ctrl-q",
            "python",
            "-i",
            "-q",
        ],
        &[
            json!(["expect", ">>> "]),
            json!(["send", "\u{11}"]),
            json!(["end"]),
        ],
    );
    assert_eq!(code, 0, "{shown}");
    assert_eq!(status(&world, "fg"), "running");

    // Another program of its files, at this command's own terminal.
    let (shown, code) = at_terminal(
        &world,
        &["exec", "-it", "fg", "/python.wasm", "-i", "-q"],
        &[
            json!(["expect", ">>> "]),
            json!(["send", "print(7 * 8)\n"]),
            json!(["expect", "56"]),
            json!(["send", "\u{4}"]),
            json!(["end"]),
        ],
    );
    assert_eq!(code, 0, "{shown}");
    world.ok(&["rm", "-f", "fg", "py"]);
}

#[test]
fn standard_input_reaches_a_program_in_the_background() {
    let world = World::new();
    world.build(
        "cat",
        "FROM scratch\nCOPY *.wasm /\nENTRYPOINT [\"/cat.wasm\"]\n",
        &["cat", "tick"],
        &[],
    );
    // Whoever is attached can go: its input goes on.
    world.ok(&["run", "-d", "-i", "--name", "open", "cat"]);
    let mut first = world.command(&["attach", "open"]);
    let mut first = first.stdin(Stdio::piped()).spawn().expect("attached");
    let mut pipe = first.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut pipe, b"one\n").expect("typed");
    wait_until("it is said", || world.ok(&["logs", "open"]) == "one\n");
    first.kill().expect("killed");
    first.wait().expect("its end");
    assert_eq!(status(&world, "open"), "running");
    // Signals are passed on to a program without a terminal.
    let second = world.command(&["attach", "--no-stdin", "open"]).spawn();
    let second = second.expect("attached");
    let pid = second.id().to_string();
    wait_until("it has put its handler up", || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let caught = status
            .lines()
            .find_map(|line| line.strip_prefix("SigCgt:\t"));
        caught.is_some_and(|mask| {
            u64::from_str_radix(mask, 16).is_ok_and(|mask| mask & (1 << 14) != 0)
        })
    });
    world.tool_ok("kill", &["-TERM", &pid]);
    let output = second.wait_with_output().expect("its end");
    assert_eq!(output.status.code(), Some(143));
    assert_eq!(status(&world, "open"), "exited");

    // What `create -i` made ends with the first who was attached.
    world.ok(&["create", "-i", "--name", "once", "cat"]);
    world.ok(&["start", "once"]);
    let output = world.run_with(&["attach", "once"], b"two\n");
    assert_eq!(output.expect_code(0, &["attach"]).text(), "two\n");
    assert_eq!(world.ok(&["wait", "once"]), "0\n");

    // Who has ended cannot be joined, and a terminal wants a terminal.
    world.run(&["attach", "once"]).expect_code(1, &["attach"]);
    world.ok(&["run", "-d", "-it", "--name", "tty", "cat"]);
    let output = world.run(&["attach", "tty"]).expect_code(1, &["attach"]);
    assert!(output.errors().contains("not a TTY"), "{}", output.errors());
    world.ok(&["rm", "-f", "tty"]);
}

#[test]
fn a_program_is_run_in_the_background_of_a_container() {
    let world = World::new();
    world.build(
        "two",
        "FROM scratch\nCOPY *.wasm /\nENTRYPOINT [\"/sleep.wasm\"]\n",
        &["sleep", "tick", "exit7"],
        &[],
    );
    world.ok(&["run", "-d", "--name", "two", "-w", "/tmp", "two"]);
    assert_eq!(world.ok(&["exec", "-d", "two", "/sleep.wasm"]), "");
    let top = world.ok(&["top", "two"]);
    assert_eq!(top.lines().count(), 3, "{top}");
    // It is halted with its container, and goes on with it.
    world.ok(&["pause", "two"]);
    let all_stopped = || {
        let top = world.ok(&["top", "two"]);
        top.lines().skip(1).all(|line| line.contains(" T "))
    };
    wait_until("both stand still", all_stopped);
    world.ok(&["unpause", "two"]);
    wait_until("both go on", || !all_stopped());
    let output = world
        .run(&["exec", "-d", "two", "/nothing"])
        .expect_code(1, &["exec"]);
    assert!(output.errors().contains("/nothing"), "{}", output.errors());
    let output = world
        .run(&["exec", "-u", "root", "two", "/exit7.wasm"])
        .expect_code(1, &["exec"]);
    assert!(output.errors().contains("no user"), "{}", output.errors());
    // What is halted ends with its container nevertheless.
    world.ok(&["pause", "two"]);
    wait_until("both stand still", all_stopped);
    let top = world.ok(&["top", "two"]);
    let pids: Vec<&str> = top
        .lines()
        .skip(1)
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(pids.len(), 2, "{top}");
    world.ok(&["rm", "-f", "two"]);
    wait_until("all are gone", || {
        pids.iter()
            .all(|pid| !Path::new(&format!("/proc/{pid}")).exists())
    });
}
