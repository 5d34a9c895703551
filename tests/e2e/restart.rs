//! Containers that are started again: by a policy, after a crash, after a boot.

use serde_json::Value;

use crate::world::{World, wait_until};

fn image(world: &World) {
    world.build(
        "again",
        "FROM scratch\nCOPY *.wasm /\nENTRYPOINT [\"/tick.wasm\"]\n",
        &["tick", "exit7", "hello", "sleep"],
        &[],
    );
}

fn inspect(world: &World, name: &str) -> Value {
    world.json(&["inspect", name])[0].clone()
}

fn kill_process(world: &World, name: &str) {
    let pid = inspect(world, name)["State"]["Pid"].to_string();
    world.tool_ok("kill", &["-KILL", &pid]);
}

#[test]
fn a_policy_says_who_is_started_again() {
    let world = World::new();
    image(&world);
    // It fails twice more, and then it is given up.
    let fails = ["--entrypoint", "/exit7.wasm", "again"];
    let start = |name: &str, policy: &str, rest: &[&str]| {
        let all = [&["run", "-d", "--name", name, "--restart", policy], rest].concat();
        world.ok(&all);
    };
    start("twice", "on-failure:2", &fails);
    assert_eq!(world.ok(&["wait", "twice"]), "7\n");
    let twice = inspect(&world, "twice");
    assert_eq!(twice["RestartCount"], 2);
    assert_eq!(twice["State"]["Status"], "exited");
    assert_eq!(twice["HostConfig"]["RestartPolicy"]["MaximumRetryCount"], 2);
    // Who ends well has not failed.
    start(
        "well",
        "on-failure",
        &["--entrypoint", "/hello.wasm", "again"],
    );
    assert_eq!(world.ok(&["wait", "well"]), "0\n");
    assert_eq!(inspect(&world, "well")["RestartCount"], 0);

    // Between two tries there is nothing to signal, and yet it is ended.
    start("short", "always", &["--entrypoint", "/hello.wasm", "again"]);
    wait_until("it waits for its next try", || {
        let now = inspect(&world, "short");
        now["RestartCount"].as_u64() >= Some(4) && now["State"]["Status"] == "restarting"
    });
    world.ok(&["kill", "short"]);
    wait_until("it is not tried again", || {
        inspect(&world, "short")["State"]["Status"] == "exited"
    });

    // Who always runs comes back when it is killed, and is stopped by a person.
    start("always", "always", &["again"]);
    kill_process(&world, "always");
    wait_until("it is back", || {
        let now = inspect(&world, "always");
        now["RestartCount"] == 1 && now["State"]["Status"] == "running"
    });
    assert_eq!(
        world.ok(&["logs", "always"]).lines().next(),
        Some("start 1")
    );
    world.ok(&["stop", "always"]);
    assert_eq!(inspect(&world, "always")["State"]["Status"], "exited");
    assert_eq!(inspect(&world, "always")["RestartCount"], 1);

    // One that waits for its next start is stopped, and removed, at once.
    start("waits", "always", &fails);
    wait_until("it waits", || {
        inspect(&world, "waits")["State"]["Status"] == "restarting"
    });
    assert!(world.ok(&["ps"]).contains("Restarting (7)"));
    world.ok(&["stop", "waits"]);
    assert_eq!(inspect(&world, "waits")["State"]["Status"], "exited");
    world.ok(&["start", "waits"]);
    world.ok(&["rm", "-f", "waits"]);
    let conflict = ["run", "--rm", "--restart", "always", "again"];
    assert!(world.refused(&conflict).contains("--restart and --rm"));

    // In the foreground as well: this command shows the first life.
    let arguments = [
        "run",
        "--restart",
        "on-failure:1",
        "--entrypoint",
        "/exit7.wasm",
        "again",
    ];
    world.run(&arguments).expect_code(7, &arguments);
}

#[test]
fn what_ran_before_the_power_went_comes_back() {
    let world = World::new();
    image(&world);
    for (name, policy) in [
        ("never", "no"),
        ("failed", "on-failure"),
        ("always", "always"),
        ("unless", "unless-stopped"),
        ("stopped", "unless-stopped"),
    ] {
        world.ok(&["run", "-d", "--name", name, "--restart", policy, "again"]);
    }
    world.ok(&["stop", "stopped", "always"]);
    // As when the machine goes down: who watches is killed, and the program's process with it.
    for name in ["never", "failed", "unless"] {
        let folder = inspect(&world, name)["Coracle"]["Upper"]
            .as_str()
            .expect("a path")
            .to_owned();
        let monitor = std::path::Path::new(&folder).with_file_name("monitor");
        let pid = std::fs::read_to_string(monitor).expect("who watches");
        world.tool_ok("kill", &["-KILL", &pid]);
        wait_until("its program is gone", || {
            inspect(&world, name)["State"]["Status"] == "exited"
        });
        let state = inspect(&world, name)["State"].clone();
        assert_eq!(state["ExitCode"], 137);
        assert!(
            state["Error"]
                .as_str()
                .is_some_and(|why| why.contains("killed")),
            "{state}"
        );
    }
    let mut started: Vec<String> = world
        .ok(&["start", "--all-policies"])
        .lines()
        .map(str::to_owned)
        .collect();
    started.sort();
    assert_eq!(started, ["always", "failed", "unless"]);
    assert_eq!(world.ok(&["start", "--all-policies"]), "");
    world.ok(&["rm", "-f", "never", "failed", "always", "unless", "stopped"]);
}

#[test]
fn a_signal_that_no_handler_hears_is_on_record() {
    let world = World::new();
    image(&world);
    world.ok(&["run", "-d", "--name", "hit", "again"]);
    world.ok(&["kill", "-s", "XCPU", "hit"]);
    assert_eq!(world.ok(&["wait", "hit"]), "152\n");
    let state = inspect(&world, "hit")["State"].clone();
    assert_eq!(state["Error"], "ended by signal 24");
}

#[test]
fn a_policy_and_limits_are_changed() {
    let world = World::new();
    image(&world);
    world.ok(&["run", "-d", "--name", "one", "again"]);
    let change = [
        "update",
        "--restart",
        "always",
        "--memory",
        "32m",
        "--cpus",
        "0.5",
        "one",
    ];
    let output = world.run(&change).expect_code(0, &change);
    assert_eq!(output.text(), "one\n");
    assert!(
        output.errors().contains("next start"),
        "{}",
        output.errors()
    );
    let host = inspect(&world, "one")["HostConfig"].clone();
    assert_eq!(host["RestartPolicy"]["Name"], "always");
    assert_eq!(
        (&host["Memory"], &host["NanoCpus"]),
        (&(32 << 20).into(), &500_000_000.into())
    );
    // It is watched over already: the policy counts for this life.
    kill_process(&world, "one");
    wait_until("it is back", || inspect(&world, "one")["RestartCount"] == 1);
    world.ok(&["update", "--restart", "no", "one"]);
    kill_process(&world, "one");
    assert_eq!(world.ok(&["wait", "one"]), "137\n");

    world.ok(&["create", "--rm", "--name", "gone", "again"]);
    let refused = ["update", "--restart", "always", "gone"];
    let output = world.run(&refused).expect_code(1, &refused);
    assert!(output.errors().contains("--rm"), "{}", output.errors());
    world.refused(&["update", "one"]);
    assert!(
        world
            .refused(&["update", "--cpu-shares", "5", "one"])
            .contains("--cpus")
    );
}

#[test]
fn a_unit_for_systemd_is_written() {
    let world = World::new();
    let folder = world.path("units");
    let arguments = [
        "system",
        "install-unit",
        "--dir",
        folder.to_str().expect("text"),
    ];
    let output = world.run(&arguments).expect_code(0, &arguments);
    let unit = folder.join("coracle.service");
    assert_eq!(output.text(), format!("{}\n", unit.display()));
    assert!(
        output.errors().contains("enable coracle.service"),
        "{}",
        output.errors()
    );
    let text = std::fs::read_to_string(unit).expect("the unit");
    let start = format!(
        "--root \"{}\" start --all-policies\n",
        world.root().display()
    );
    assert!(text.contains(&start), "{text}");
}

#[test]
fn what_docker_answers_with_one_is_answered_with_one() {
    let world = World::new();
    image(&world);
    world.ok(&["create", "--name", "taken", "again"]);
    for arguments in [
        &["create", "--name", "taken", "again"][..],
        &["kill", "-s", "FOO", "taken"],
        &["stop", "-s", "FOO", "taken"],
        &["logs", "--since", "foo", "taken"],
        &["kill", "taken"],
    ] {
        world.run(arguments).expect_code(1, arguments);
    }
    assert_eq!(
        world.json(&["info", "--format", "json"])["ContainersStopped"],
        1
    );
    assert!(world.ok(&["info"]).contains("\nImages: 1\n"));
}
