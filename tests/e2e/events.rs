//! What happened, as `events` has it; and what runs, as `top`, `stats`, `port` and `info` have it.

use crate::world::{World, wait_until};

fn image(world: &World) {
    world.build(
        "app",
        "FROM scratch\nCOPY *.wasm /\nENTRYPOINT [\"/sleep.wasm\"]\nLABEL tier=front\n",
        &["sleep", "exit7"],
        &[],
    );
}

/// The actions so far, oldest first.
fn actions(world: &World, filters: &[&str]) -> Vec<String> {
    let mut arguments = vec![
        "events", "--since", "1h", "--until", "0s", "--format", "json",
    ];
    for filter in filters {
        arguments.extend(["--filter", filter]);
    }
    let text = world.ok(&arguments);
    let actions = text.lines().map(|line| {
        let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(event["scope"], "local");
        event["Action"].as_str().expect("a word").to_owned()
    });
    actions.collect()
}

#[test]
fn a_life_is_told_in_order() {
    let world = World::new();
    image(&world);
    world.ok(&["run", "-d", "--name", "one", "app"]);
    world.ok(&["pause", "one"]);
    world.ok(&["unpause", "one"]);
    world.ok(&["rename", "one", "two"]);
    world
        .run(&["exec", "two", "/exit7.wasm"])
        .expect_code(7, &["exec"]);
    world.ok(&["stop", "two"]);
    world.ok(&["rm", "two"]);
    world.ok(&[
        "run",
        "-d",
        "--rm",
        "--name",
        "gone",
        "--entrypoint",
        "/exit7.wasm",
        "app",
    ]);
    wait_until("it is gone", || {
        actions(&world, &["container=gone"]).len() == 4
    });
    let all = actions(&world, &["type=container"]);
    assert_eq!(
        all,
        [
            "create",
            "start",
            "pause",
            "unpause",
            "rename",
            "exec_create: /exit7.wasm",
            "exec_start: /exit7.wasm",
            "exec_die",
            "kill",
            "die",
            "stop",
            "destroy",
            "create",
            "start",
            "die",
            "destroy"
        ]
    );
    assert_eq!(
        actions(&world, &["event=die", "event=create", "container=gone"]),
        ["create", "die"]
    );
    assert_eq!(
        actions(&world, &["label=tier=front", "event=die"]),
        ["die", "die"]
    );
    assert!(actions(&world, &["image=other"]).is_empty());
    let text = world.ok(&[
        "events",
        "--since",
        "1h",
        "--until",
        "0s",
        "--filter",
        "event=die",
    ]);
    assert!(
        text.lines().any(|line| line.contains(" container die ")
            && line.contains("exitCode=7, image=app, name=gone")),
        "{text}"
    );

    // What happens to images is told as well.
    world.ok(&["tag", "app", "other"]);
    world.ok(&["rmi", "other"]);
    assert_eq!(actions(&world, &["type=image"]), ["tag", "untag"]);

    // Who waits for them sees them come.
    let mut command = world.command(&["events", "--until", "2100-01-01T00:00:00Z"]);
    let mut watcher = crate::world::Running::start(&mut command);
    let stdout = watcher.0.stdout.take().expect("a pipe");
    let (sender, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        use std::io::BufRead;
        for line in std::io::BufReader::new(stdout)
            .lines()
            .map_while(Result::ok)
        {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    // It looks from the moment on at which it starts, which nobody sees from outside: so until it is heard.
    let end = std::time::Instant::now() + crate::world::PATIENCE;
    loop {
        assert!(std::time::Instant::now() < end, "nothing was heard");
        let name = ["run", "-d", "--rm", "app"];
        let id = world.ok(&name);
        world.ok(&["rm", "-f", id.trim()]);
        if let Ok(line) = lines.recv_timeout(std::time::Duration::from_millis(500)) {
            assert!(line.contains(" container "), "{line}");
            return;
        }
    }
}

#[test]
fn what_runs_is_shown() {
    let world = World::new();
    image(&world);
    world.ok(&["run", "-d", "--name", "app", "--memory", "64m", "app"]);
    let pid = world.json(&["inspect", "app"])[0]["State"]["Pid"].to_string();
    let top = world.ok(&["top", "app"]);
    let row = top.lines().nth(1).expect("a row");
    assert!(
        row.starts_with(&pid) && row.ends_with("/sleep.wasm"),
        "{top}"
    );
    let stats = world.json(&["stats", "--no-stream", "--format", "json", "app"]);
    assert_eq!(
        (&stats["Name"], &stats["PIDs"]),
        (&"app".into(), &"1".into())
    );
    assert!(
        stats["MemUsage"]
            .as_str()
            .is_some_and(|used| used.ends_with("/ 64MiB")),
        "{stats}"
    );
    let table = world.ok(&["stats", "--no-stream"]);
    assert!(
        table.starts_with("CONTAINER ID   NAME") && table.lines().count() == 2,
        "{table}"
    );
    world.ok(&["stop", "app"]);
    assert_eq!(world.ok(&["stats", "--no-stream"]).lines().count(), 1);
    world.run(&["top", "app"]).expect_code(1, &["top"]);
    assert_eq!(world.ok(&["port", "app"]), "");
    world.run(&["port", "app", "80"]).expect_code(1, &["port"]);
    world.run(&["port", "app", "x"]).expect_code(1, &["port"]);
}
