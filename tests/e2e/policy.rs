//! Policies: what is granted, what is refused and how that is said, and what an image asks for.

use std::fs;

use crate::fixtures::only;
use crate::world::World;

/// An image of a guest whose label asks for this.
fn asking(world: &World, tag: &str, guest: &str, request: &str) {
    let request = request.replace('"', "\\\"");
    let dockerfile = format!(
        "{}LABEL dev.coracle.request.v1=\"{request}\"\n",
        only(guest)
    );
    world.build(tag, &dockerfile, &[guest], &[]);
}

/// Writes the ceiling of this world's user.
fn set_ceiling(world: &World, toml: &str) {
    let folder = world.path("../home/.config/coracle");
    fs::create_dir_all(&folder).expect("the user's config folder");
    fs::write(folder.join("policy.toml"), toml).expect("the ceiling");
}

#[test]
fn a_policy_file_grants_what_flags_grant() {
    let world = World::new();
    world.guest_image("files");
    world.guest_image("show");
    world.write("data/a.txt", "from the host\n");
    world.write(
        "policy.toml",
        "fs = [\"./data:/data:ro\"]\nenv = [\"A=1\"]\nread-only = true\n",
    );
    let output = world.run(&[
        "run",
        "--rm",
        "--policy",
        "policy.toml",
        "files",
        "read,/data/a.txt",
        "write,/data/b,x",
        "write,/c,x",
    ]);
    assert_eq!(output.code, Some(1), "{}", output.errors());
    assert!(
        output.text().starts_with("from the host\n"),
        "{}",
        output.text()
    );
    let errors = output.errors();
    for (path, flag) in [("/data/b", "-v HOST:/data/b"), ("/c", "-v HOST:/c")] {
        assert!(
            errors.contains(&format!("the guest was refused fs {path}\n")),
            "{errors}"
        );
        assert!(
            errors.contains(&format!("Hint: grant it with {flag}\n")),
            "{errors}"
        );
    }
    let shown = world.ok(&[
        "run",
        "--rm",
        "--policy",
        "policy.toml",
        "-e",
        "B=2",
        "show",
    ]);
    assert!(shown.contains("env <A=1>\nenv <B=2>\n"), "{shown}");
    let shown = world.ok(&["run", "--rm", "show"]);
    assert!(!shown.contains("env <A=1>"), "{shown}");
}

#[test]
fn a_slip_in_a_policy_is_said_with_its_line() {
    let world = World::new();
    world.guest_image("show");
    world.write("policy.toml", "stdin = true\n\nevn = [\"A=1\"]\n");
    let message = world.refused(&["run", "--rm", "--policy", "policy.toml", "show"]);
    assert!(
        message.contains("policy.toml: line 3, column 1: unknown field `evn`; did you mean `env`?"),
        "{message}"
    );
    set_ceiling(&world, "dney.fs = [\"/\"]\n");
    let message = world.refused(&["run", "--rm", "show"]);
    assert!(message.contains("unknown field `dney`"), "{message}");
}

#[test]
fn nothing_goes_beyond_the_ceiling() {
    let world = World::new();
    world.guest_image("files");
    world.write("inside/a", "a\n");
    world.write("outside/a", "a\n");
    std::os::unix::fs::symlink("../outside", world.path("inside/link")).expect("a link");
    let inside = fs::canonicalize(world.path("inside")).expect("a path");
    set_ceiling(
        &world,
        &format!(
            "allow.fs = [\"{}:ro\"]\nallow.env = [\"LANG\"]\n",
            inside.display()
        ),
    );
    let run = |flags: &[&str]| {
        let mut line = vec!["run", "--rm"];
        line.extend(flags);
        line.extend(["files", "read,/d/a"]);
        world.run(&line)
    };
    assert_eq!(
        run(&["-v", "./inside:/d:ro"])
            .expect_code(0, &["run"])
            .text(),
        "a\n"
    );
    for (flags, what) in [
        (&["-v", "./inside:/d"][..], "fs "),
        (&["-v", "./outside:/d:ro"], "fs "),
        (&["-v", "./inside/link:/d:ro"], "fs "),
        (&["-v", "./inside:/d:ro", "-e", "TOKEN=1"], "env TOKEN "),
    ] {
        let output = run(flags).expect_code(125, flags);
        let errors = output.errors();
        assert!(errors.contains(&format!("coracle: {what}")), "{errors}");
        assert!(
            errors.contains("cannot be granted: it is not in `allow` of "),
            "{errors}"
        );
    }
    assert!(world.ok(&["ps", "-aq"]).is_empty(), "nothing was created");
}

#[test]
fn explain_says_what_would_be_and_starts_nothing() {
    let world = World::new();
    asking(
        &world,
        "app",
        "show",
        r#"{"env":["TOKEN"],"net":{"connect":["db.example:5432"]}}"#,
    );
    let text = world.ok(&[
        "run",
        "--explain",
        "-e",
        "TOKEN=geheim",
        "-v",
        ".:/here:ro",
        "app",
    ]);
    assert!(!text.contains("arg 0"), "it was started: {text}");
    assert!(!text.contains("geheim"), "{text}");
    for line in [
        "entry     wasi/wasm",
        "program   /show.wasm",
        "backend   WebAssembly module",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    let row = |words: &[&str]| {
        let found = text
            .lines()
            .any(|line| words.iter().all(|word| line.contains(word)));
        assert!(found, "{words:?} in {text}");
    };
    row(&["granted", "fs", ":/here:ro", "holds"]);
    row(&["requested", "env", "TOKEN", "granted by TOKEN"]);
    row(&[
        "requested",
        "net.connect",
        "not granted; grant it with --allow-connect tcp://db.example:5432",
    ]);
    row(&["imported", "every container has it"]);
    assert!(world.ok(&["ps", "-aq"]).is_empty());
    // What the ceiling refuses, a run would.
    set_ceiling(&world, "deny.env = [\"TOKEN\"]\n");
    let output = world.run(&["run", "--explain", "-e", "TOKEN=x", "app"]);
    let output = output.expect_code(125, &["--explain"]);
    assert!(
        output.text().contains("REFUSED: TOKEN is in `deny` in "),
        "{}",
        output.text()
    );
}

#[test]
fn an_interface_can_be_denied_and_one_that_nobody_has_is_refused() {
    let world = World::new();
    world.guest_image("files");
    world.write(
        "policy.toml",
        "deny.interfaces = [\"wasi_snapshot_preview1.path_*\"]\n",
    );
    let line = ["run", "--rm", "--policy", "policy.toml", "files", "list,/"];
    let output = world.run(&line).expect_code(126, &line);
    assert!(
        output.errors().contains("which is denied"),
        "{}",
        output.errors()
    );
    world.ok(&["run", "--rm", "files", "list,/"]);
    // A module that imports what no host has: (module (import "acme" "f" (func)) (func (export "_start")) (memory (export "memory") 1))
    let module = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02\x0a\x01\x04acme\x01f\0\0\x03\x02\x01\0\x05\x03\x01\0\x01\
        \x07\x13\x02\x06_start\0\x01\x06memory\x02\0\x0a\x04\x01\x02\0\x0b";
    world.build(
        "custom",
        "FROM scratch\nCOPY app.wasm /\nENTRYPOINT [\"/app.wasm\"]\n",
        &[],
        &[("app.wasm", module)],
    );
    let output = world
        .run(&["run", "--rm", "custom"])
        .expect_code(126, &["custom"]);
    assert!(
        output.errors().contains("\"acme.f\""),
        "{}",
        output.errors()
    );
    assert!(
        output.errors().contains("Hint: no flag grants it"),
        "{}",
        output.errors()
    );
    let output = world
        .run(&["run", "--explain", "custom"])
        .expect_code(125, &["custom"]);
    assert!(
        output
            .text()
            .contains("REFUSED: this host does not have it"),
        "{}",
        output.text()
    );
}

#[test]
fn strict_gives_nothing_but_what_is_named() {
    let world = World::new();
    world.guest_image("files");
    world.guest_image("show");
    assert_eq!(
        world.ok(&["run", "--rm", "--strict", "-e", "A=1", "show"]),
        "arg 0 </show.wasm>\nenv <A=1>\ncwd </>\n"
    );
    let output = world.run(&["run", "--rm", "--strict", "files", "write,/x,y"]);
    assert_eq!(output.code, Some(1));
    assert!(
        output.errors().contains("refused fs /x"),
        "{}",
        output.errors()
    );
}

#[test]
fn what_a_run_uses_and_is_refused_is_written_as_a_policy() {
    let world = World::new();
    world.guest_image("files");
    world.write("data/a.txt", "a\n");
    let line = [
        "run",
        "--name",
        "recorded",
        "--record",
        "out.toml",
        "--read-only",
        "-v",
        "./data:/data:ro",
        "-e",
        "TOKEN=geheim",
        "files",
        "read,/data/a.txt",
        "write,/x,y",
    ];
    assert_eq!(world.run(&line).code, Some(1));
    let text = fs::read_to_string(world.path("out.toml")).expect("the record");
    assert!(
        text.contains("/data:/data:ro\",\n    # \"HOST:/x\",\n"),
        "{text}"
    );
    assert!(
        text.contains("\"TOKEN\"") && !text.contains("geheim"),
        "{text}"
    );
    // It is a policy: the same run needs no flags any more.
    let output = world.ok(&[
        "run",
        "--rm",
        "--policy",
        "out.toml",
        "files",
        "read,/data/a.txt",
    ]);
    assert_eq!(output, "a\n");
    let inspected = world.json(&["inspect", "recorded"]);
    let ours = &inspected[0]["Coracle"];
    assert_eq!(
        ours["Refused"],
        serde_json::json!([{ "class": "fs", "refused": "/x" }])
    );
    assert_eq!(ours["Policy"]["env"], serde_json::json!(["TOKEN"]));
    let files = &ours["Enforcement"][0];
    assert_eq!(files["class"], "fs");
    assert_eq!(files["first_wall"]["verdict"], "enforced");
    assert!(files["second_wall"]["verdict"].is_string(), "{files}");
}

#[test]
fn a_request_grants_nothing_until_the_user_says_so() {
    let world = World::new();
    asking(&world, "app", "show", r#"{"env":["TOKEN"],"fs":["/data"]}"#);
    let plain = world.run(&["run", "--rm", "app"]).expect_code(0, &["run"]);
    assert!(!plain.text().contains("TOKEN"), "{}", plain.text());
    let mut command = world.command(&["run", "--rm", "--allow-requested", "app"]);
    command.env("TOKEN", "of the caller").env("OTHER", "stays");
    let output = crate::world::finish(command, b"").expect_code(0, &["--allow-requested"]);
    assert!(
        output.text().contains("env <TOKEN=of the caller>\n"),
        "{}",
        output.text()
    );
    assert!(!output.text().contains("OTHER"), "{}", output.text());
    let errors = output.errors();
    assert!(
        errors.contains("Granting what the image asks for: -e TOKEN\n"),
        "{errors}"
    );
    assert!(
        errors.contains("only you can name: -v HOST:/data\n"),
        "{errors}"
    );
    let shown = world.ok(&["policy", "show", "app"]);
    assert!(
        shown.contains("-v HOST:/data") && shown.contains("-e TOKEN"),
        "{shown}"
    );
    assert_eq!(
        world.ok(&["policy", "show", "--format", "json", "app"]),
        "{\"fs\":[\"/data\"],\"env\":[\"TOKEN\"]}\n"
    );
}

#[test]
fn an_upgrade_that_asks_for_more_has_to_be_accepted() {
    let world = World::new();
    asking(&world, "app:1", "show", r#"{"env":["A"]}"#);
    world.ok(&["run", "--rm", "app:1"]);
    asking(&world, "app:2", "show", r#"{"env":["A","B"]}"#);
    let message = world.refused(&["run", "--rm", "app:2"]);
    assert!(
        message.contains("this image asks for more than was accepted for app: env B\n"),
        "{message}"
    );
    assert!(message.contains("--accept"), "{message}");
    assert_eq!(
        world.ok(&["policy", "diff", "--format", "json", "app:1", "app:2"]),
        "{\"change\":\"added\",\"class\":\"env\",\"what\":\"B\"}\n"
    );
    world.ok(&["run", "--rm", "app:1"]);
    world.ok(&["run", "--rm", "--accept", "app:2"]);
    world.ok(&["run", "--rm", "app:2"]);
}

#[test]
fn an_image_that_exposes_asks_and_a_label_that_is_none_is_told() {
    let world = World::new();
    world.build(
        "old",
        &format!("{}EXPOSE 80\nVOLUME /data\n", only("show")),
        &["show"],
        &[],
    );
    let shown = world.ok(&["policy", "show", "old"]);
    assert!(
        shown.contains("-p 80:80/tcp") && shown.contains("-v HOST:/data"),
        "{shown}"
    );
    asking(&world, "odd", "show", r#"{"everything":true}"#);
    let output = world.run(&["run", "--rm", "odd"]).expect_code(0, &["run"]);
    assert!(
        output.errors().contains("unknown field `everything`"),
        "{}",
        output.errors()
    );
    let message = world.refused(&["run", "--rm", "--allow-requested", "odd"]);
    assert!(message.contains("unknown field `everything`"), "{message}");
}

#[test]
fn a_policy_is_checked_against_the_image_and_the_ceiling() {
    let world = World::new();
    asking(&world, "app", "show", r#"{"env":["A"]}"#);
    world.write("good.toml", "env = [\"A=1\"]\n");
    world.ok(&["policy", "check", "./good.toml"]);
    world.ok(&["policy", "check", "--policy", "good.toml", "app"]);
    let line = ["policy", "check", "app"];
    let output = world.run(&line).expect_code(1, &line);
    assert!(
        output.text().contains("grant it with -e A"),
        "{}",
        output.text()
    );
    set_ceiling(&world, "allow.env = []\n");
    let line = ["policy", "check", "./good.toml"];
    let output = world.run(&line).expect_code(1, &line);
    assert!(
        output.text().contains("REFUSED: it is not in `allow` of "),
        "{}",
        output.text()
    );
}
