//! A container's whole life: created, started in the background, looked into, stopped, started again.

use std::process::Stdio;

use crate::fixtures::only;
use crate::world::{Running, World, finish, wait_until};

/// An image with two programs.
fn image(world: &World) {
    world.build(
        "life",
        "FROM scratch\nCOPY *.wasm /\nENTRYPOINT [\"/tick.wasm\"]\n",
        &["tick", "show", "exit7", "cat", "sleep"],
        &[],
    );
}

fn status(world: &World, name: &str) -> String {
    world.json(&["inspect", name])[0]["State"]["Status"]
        .as_str()
        .expect("a status")
        .to_owned()
}

fn logs(world: &World, arguments: &[&str]) -> (String, String) {
    let arguments = [&["logs"], arguments].concat();
    let output = world.run(&arguments).expect_code(0, &arguments);
    (output.text(), output.errors())
}

#[test]
fn a_container_lives_on_without_its_command() {
    let world = World::new();
    image(&world);
    let id = world.ok(&["run", "-d", "--name", "bg", "life"]);
    assert_eq!(id.trim_end().len(), 64, "{id}");
    assert_eq!(status(&world, "bg"), "running");
    wait_until("it says something", || {
        logs(&world, &["bg"]) == ("start 1\n".to_owned(), "counted\n".to_owned())
    });
    let json = world.json(&["inspect", "bg"]);
    let pid = json[0]["State"]["Pid"].as_u64().expect("a pid");
    let session = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("its process");
    let fields: Vec<&str> = session
        .rsplit_once(") ")
        .expect("a name in parentheses")
        .1
        .split(' ')
        .collect();
    assert_eq!(fields[3], pid.to_string(), "it leads a session of its own");
    // Nothing of the caller's environment is in it.
    let environment = std::fs::read(format!("/proc/{pid}/environ")).expect("its environment");
    assert_eq!(String::from_utf8_lossy(&environment), "");

    assert_eq!(world.ok(&["stop", "bg"]), "bg\n");
    assert_eq!(status(&world, "bg"), "exited");
    let json = world.json(&["inspect", "bg"]);
    assert_eq!(json[0]["State"]["ExitCode"], 143);
    // A stopped one is stopped.
    assert_eq!(world.ok(&["stop", "bg"]), "bg\n");

    // Its files and its log outlive it.
    assert_eq!(world.ok(&["start", "bg"]), "bg\n");
    wait_until("it says something again", || {
        logs(&world, &["bg"]).0 == "start 1\nstart 2\n"
    });
    assert_eq!(world.ok(&["restart", "-t", "5", "bg"]), "bg\n");
    wait_until("and again", || {
        logs(&world, &["--tail", "2", "bg"]).0 == "start 3\n"
    });
    assert_eq!(world.ok(&["kill", "bg"]), "bg\n");
    assert_eq!(world.ok(&["wait", "bg"]), "137\n");
    assert_eq!(world.ok(&["rm", "bg"]), "bg\n");
}

#[test]
fn what_cannot_start_says_why() {
    let world = World::new();
    image(&world);
    let arguments = ["run", "-d", "--entrypoint", "/nothing", "life"];
    let output = world.run(&arguments).expect_code(127, &arguments);
    assert!(output.errors().contains("/nothing"), "{}", output.errors());
    assert_eq!(world.ok(&["ps", "-aq"]), "");

    // What is gone when it is to start is said as well, by the process that was to host it.
    let folder = world.write("gone/file", "x");
    let folder = folder.parent().expect("a folder");
    let volume = format!("{}:/data", folder.display());
    world.ok(&["create", "--name", "late", "-v", &volume, "life"]);
    assert_eq!(status(&world, "late"), "created");
    std::fs::remove_dir_all(folder).expect("remove");
    let output = world.run(&["start", "late"]).expect_code(1, &["start"]);
    assert!(output.errors().contains("gone"), "{}", output.errors());
    assert_eq!(status(&world, "late"), "exited");
}

#[test]
fn create_and_start_in_the_foreground() {
    let world = World::new();
    image(&world);
    let file = world.path("id");
    let cidfile = file.to_str().expect("text");
    let id = world.ok(&[
        "create",
        "--name",
        "fg",
        "--cidfile",
        cidfile,
        "-i",
        "--entrypoint",
        "/cat.wasm",
        "life",
    ]);
    assert_eq!(
        std::fs::read_to_string(&file).expect("the file"),
        id.trim_end()
    );
    let arguments = ["create", "--cidfile", cidfile, "life"];
    assert!(
        world
            .refused(&arguments)
            .contains("container ID file found")
    );
    let output = world.run_with(&["start", "-ai", "fg"], b"to and fro\n");
    assert_eq!(output.expect_code(0, &["start"]).text(), "to and fro\n");
    assert_eq!(logs(&world, &["fg"]).0, "to and fro\n");
    let output = world.run_with(&["start", "-a", "fg"], b"not asked for\n");
    assert_eq!(output.expect_code(0, &["start"]).text(), "");

    world.ok(&[
        "create",
        "--name",
        "seven",
        "--entrypoint",
        "/exit7.wasm",
        "life",
    ]);
    world
        .run(&["start", "-a", "seven"])
        .expect_code(7, &["start"]);
    assert_eq!(world.ok(&["start", "seven"]), "seven\n");
    assert_eq!(world.ok(&["wait", "seven"]), "7\n");
}

#[test]
fn the_first_run_of_an_image_writes_its_id() {
    let world = World::new();
    let context = world.context("fresh", &only("exit7"), &["exit7"], &[]);
    let file = world.path("id");
    let arguments = [
        "run",
        "--cidfile",
        file.to_str().expect("text"),
        "--entrypoint",
        "/exit7.wasm",
        &context,
    ];
    // The image is built first, in a process that gives its place to another.
    world.run(&arguments).expect_code(7, &arguments);
    let id = std::fs::read_to_string(&file).expect("the file");
    assert_eq!(world.ok(&["ps", "-aq", "--no-trunc"]).trim_end(), id);
}

#[test]
fn what_is_removed_at_its_end_is_not_restarted() {
    let world = World::new();
    image(&world);
    world.ok(&["run", "-d", "--rm", "--name", "once", "life"]);
    let output = world.run(&["restart", "once"]).expect_code(1, &["restart"]);
    assert!(output.errors().contains("--rm"), "{}", output.errors());
    assert_eq!(status(&world, "once"), "running");
    // Longer than any clock counts is for ever, and it ends at once.
    world.ok(&["stop", "-t", "9223372036854775807", "once"]);
    world.ok(&["rm", "-f", "once"]);
}

#[test]
fn another_program_runs_beside_the_first() {
    let world = World::new();
    image(&world);
    world.ok(&[
        "run", "-d", "--name", "two", "-e", "A=1", "-w", "/tmp", "life",
    ]);
    wait_until("the first has written", || {
        logs(&world, &["two"]).0.starts_with("start")
    });
    // It takes standard input only if asked, and writes to the same files: a second `tick` counts on.
    let mut second = Running::start(&mut world.command(&["exec", "two", "/tick.wasm"]));
    let mut line = [0; 8];
    std::io::Read::read_exact(second.0.stdout.as_mut().expect("a pipe"), &mut line)
        .expect("a line");
    assert_eq!(&line, b"start 2\n");
    second.kill();
    let output = world.run_with(&["exec", "-i", "two", "/cat.wasm"], b"hello\n");
    assert_eq!(output.expect_code(0, &["exec"]).text(), "hello\n");
    let output = world.run_with(&["exec", "two", "/cat.wasm"], b"hello\n");
    assert_eq!(output.expect_code(0, &["exec"]).text(), "");
    let shown = world.ok(&["exec", "-e", "B=2", "two", "/show.wasm", "-x", "y"]);
    for line in ["arg 1 <-x>", "arg 2 <y>", "env <A=1>", "env <B=2>"] {
        assert!(shown.contains(line), "{shown}");
    }
    world
        .run(&["exec", "two", "/exit7.wasm"])
        .expect_code(7, &["exec"]);
    let output = world
        .run(&["exec", "two", "/none"])
        .expect_code(127, &["exec"]);
    assert!(output.errors().contains("/none"));
    world
        .run(&["exec", "nobody", "/x"])
        .expect_code(1, &["exec"]);

    // It ends with its container.
    let mut command = world.command(&["exec", "two", "/sleep.wasm"]);
    let mut child = Running::start(command.stdout(Stdio::piped()));
    let mut line = [0; 9];
    std::io::Read::read_exact(child.0.stdout.as_mut().expect("a pipe"), &mut line).expect("a line");
    world.ok(&["stop", "two"]);
    wait_until("the second program's end", || {
        child.0.try_wait().expect("its state").is_some()
    });
    assert_eq!(
        child
            .0
            .try_wait()
            .expect("its state")
            .and_then(|end| end.code()),
        Some(137)
    );
    let output = world
        .run(&["exec", "two", "/exit7.wasm"])
        .expect_code(1, &["exec"]);
    assert!(
        output.errors().contains("is not running"),
        "{}",
        output.errors()
    );
}

#[test]
fn a_follower_sees_it_to_the_end() {
    let world = World::new();
    image(&world);
    world.ok(&["run", "-d", "--rm", "--name", "said", "life"]);
    let mut command = world.command(&["logs", "-ft", "said"]);
    let child = command.spawn().expect("a follower");
    wait_until("it says something", || {
        !logs(&world, &["said"]).0.is_empty()
    });
    world.ok(&["stop", "said"]);
    let output = child.wait_with_output().expect("its end");
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).expect("text");
    let (time, rest) = text.split_once(' ').expect("a time");
    assert!(time.starts_with("20") && time.ends_with('Z'), "{text}");
    assert_eq!(rest, "start 1\n");
    assert_eq!(world.ok(&["ps", "-aq"]), "");
    let arguments = ["logs", "said"];
    world.run(&arguments).expect_code(1, &arguments);
}

#[test]
fn a_paused_container_does_nothing() {
    let world = World::new();
    image(&world);
    world.ok(&["run", "-d", "--name", "ice", "life"]);
    assert_eq!(world.ok(&["pause", "ice"]), "ice\n");
    wait_until("it stands still", || status(&world, "ice") == "paused");
    assert!(world.ok(&["ps"]).contains("(Paused)"));
    world.run(&["pause", "ice"]).expect_code(1, &["pause"]);
    let output = world.run(&["start", "ice"]).expect_code(1, &["start"]);
    assert!(output.errors().contains("unpause"), "{}", output.errors());
    world
        .run(&["exec", "ice", "/exit7.wasm"])
        .expect_code(1, &["exec"]);
    assert_eq!(world.ok(&["unpause", "ice"]), "ice\n");
    wait_until("it goes on", || status(&world, "ice") == "running");
    world.run(&["unpause", "ice"]).expect_code(1, &["unpause"]);
    world.ok(&["pause", "ice"]);
    // It ends even so.
    world.ok(&["stop", "ice"]);
    assert_eq!(status(&world, "ice"), "exited");
}

#[test]
fn a_container_is_given_another_name() {
    let world = World::new();
    image(&world);
    world.ok(&["run", "-d", "--name", "old", "life"]);
    world.ok(&["rename", "old", "new"]);
    assert_eq!(status(&world, "new"), "running");
    world.run(&["inspect", "old"]).expect_code(1, &["inspect"]);
    world.ok(&["rm", "-f", "new"]);
    world.ok(&["run", "-d", "--rm", "--name", "old", "life"]);
    world.ok(&["rm", "-f", "old"]);
}

#[test]
fn who_floods_its_log_keeps_the_newest() {
    let world = World::new();
    world.guest_image("spew");
    world.ok(&[
        "run",
        "-d",
        "--name",
        "flood",
        "--log-opt",
        "max-size=1m",
        "--log-opt",
        "max-file=2",
        "spew",
    ]);
    let path = world.json(&["inspect", "flood"])[0]["LogPath"]
        .as_str()
        .expect("a path")
        .to_owned();
    let folder = std::path::Path::new(&path).parent().expect("a folder");
    wait_until("both files are full", || {
        std::fs::read_dir(folder).expect("the log's folder").count() == 2
    });
    world.ok(&["kill", "flood"]);
    let sizes: Vec<u64> = std::fs::read_dir(folder)
        .expect("the log's folder")
        .map(|entry| entry.expect("an entry").metadata().expect("its size").len())
        .collect();
    // One, if it was killed after the full file became the older one and before the next was made.
    assert!(matches!(sizes.len(), 1 | 2), "{sizes:?}");
    // One object may go over: a write of the guest is not cut.
    assert!(
        sizes.iter().all(|size| *size <= (1 << 20) + 16384),
        "{sizes:?}"
    );
    let output = finish(world.command(&["logs", "--tail", "5", "flood"]), b"");
    assert_eq!(output.code, Some(0));
}
