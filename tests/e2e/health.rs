//! Asking containers whether they are well.

use serde_json::Value;

use crate::world::{World, wait_until};

fn health(world: &World, name: &str) -> Value {
    world.json(&["inspect", name])[0]["State"]["Health"].clone()
}

#[test]
fn a_program_of_the_container_says_how_it_is() {
    let world = World::new();
    world.build(
        "well",
        "FROM scratch\nCOPY *.wasm /\nENTRYPOINT [\"/sleep.wasm\"]\n",
        &["sleep", "hello", "exit7"],
        &[],
    );
    let fast = ["--health-interval", "50ms", "--health-retries", "2"];
    let good = ["--health-cmd", "'/hello.wasm' --well"];
    world.ok(&[
        &["run", "-d", "--name", "good"],
        &fast[..],
        &good[..],
        &["well"],
    ]
    .concat());
    assert!(
        world.ok(&["ps"]).contains("(health: starting)")
            || health(&world, "good")["Log"][0].is_object()
    );
    wait_until("it is well", || {
        health(&world, "good")["Status"] == "healthy"
    });
    assert!(world.ok(&["ps"]).contains("(healthy)"));
    wait_until("five are kept", || {
        health(&world, "good")["Log"]
            .as_array()
            .is_some_and(|log| log.len() == 5)
    });
    let last = health(&world, "good")["Log"][4].clone();
    assert_eq!(
        (&last["ExitCode"], &last["Output"]),
        (&0.into(), &"hello\n".into())
    );

    let bad = ["--health-cmd", "/exit7.wasm"];
    world.ok(&[
        &["run", "-d", "--name", "bad"],
        &fast[..],
        &bad[..],
        &["well"],
    ]
    .concat());
    wait_until("it is unwell", || {
        health(&world, "bad")["Status"] == "unhealthy"
    });
    assert!(world.ok(&["ps"]).contains("(unhealthy)"));
    // It runs on, and whoever wants to know can hear of it.
    let events = world.ok(&[
        "events",
        "--since",
        "10m",
        "--until",
        "0s",
        "--filter",
        "container=bad",
    ]);
    assert!(events.contains("health_status: unhealthy"), "{events}");

    world.ok(&["run", "-d", "--name", "unasked", "--no-healthcheck", "well"]);
    assert_eq!(health(&world, "unasked"), Value::Null);
    // Who does not answer in time is not well.
    let slow = [
        "--health-timeout",
        "100ms",
        "--health-cmd",
        "/sleep.wasm",
        "well",
    ];
    world.ok(&[&["run", "-d", "--name", "slow"], &fast[..], &slow[..]].concat());
    wait_until("it is unwell", || {
        health(&world, "slow")["Status"] == "unhealthy"
    });
    assert_eq!(health(&world, "slow")["Log"][0]["ExitCode"], -1);
    world.ok(&["rm", "-f", "good", "bad", "unasked", "slow"]);
}

#[test]
fn a_port_is_asked() {
    let world = World::new();
    let context = world.context(
        "service",
        "FROM scratch\nCOPY service.wasm /\nENTRYPOINT [\"/service.wasm\"]\n",
        &[],
        &[("service.wasm", &crate::service::component())],
    );
    world.ok(&["build", "-q", "-t", "service", &context]);
    for (name, flag, value) in [
        ("http", "--health-http", "80/"),
        ("tcp", "--health-tcp", "80"),
    ] {
        world.ok(&[
            "run",
            "-d",
            "--name",
            name,
            "-p",
            "127.0.0.1:0:80",
            flag,
            value,
            "--health-interval",
            "50ms",
            "service",
        ]);
        wait_until("it is well", || health(&world, name)["Status"] == "healthy");
    }
    // What is not published cannot be asked.
    world.ok(&[
        "run",
        "-d",
        "--name",
        "no",
        "-p",
        "127.0.0.1:0:80",
        "--health-tcp",
        "81",
        "--health-interval",
        "50ms",
        "service",
    ]);
    wait_until("it is unwell", || {
        health(&world, "no")["Status"] == "unhealthy"
    });
    let output = health(&world, "no")["Log"][0]["Output"].to_string();
    assert!(output.contains("not published"), "{output}");
    world.ok(&["rm", "-f", "http", "tcp", "no"]);
}
