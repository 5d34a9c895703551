//! `ps`, `rm` and names: what stays of a container, and while it runs.

use std::io::Read;

use crate::table;
use crate::world::{Running, World, wait_until};

const HEADINGS: [&str; 7] = [
    "CONTAINER ID",
    "IMAGE",
    "COMMAND",
    "CREATED",
    "STATUS",
    "PORTS",
    "NAMES",
];

#[test]
fn no_containers_are_a_line_of_headings() {
    let world = World::new();
    let headings = "CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES\n";
    assert_eq!(world.ok(&["ps"]), headings);
    assert_eq!(world.ok(&["ps", "-a"]), headings);
    assert_eq!(world.ok(&["ps", "-aq"]), "");
}

#[test]
fn an_ended_container_stays_until_it_is_removed() {
    let world = World::new();
    world.guest_image("exit7");
    world
        .run(&["run", "--name", "seven", "exit7", "a", "long argument"])
        .expect_code(7, &["run"]);
    assert_eq!(table::read(&world.ok(&["ps"]), &HEADINGS).len(), 0);
    let text = world.ok(&["ps", "-a"]);
    let rows = table::read(&text, &HEADINGS);
    assert_eq!(rows.len(), 1, "{text}");
    let row = &rows[0];
    assert_eq!(row["CONTAINER ID"].len(), 12);
    assert_eq!(row["IMAGE"], "exit7");
    assert_eq!(row["COMMAND"], "\"/exit7.wasm a 'long…\"");
    assert!(row["STATUS"].starts_with("Exited (7) "), "{text}");
    assert!(row["STATUS"].ends_with(" ago"), "{text}");
    assert_eq!(row["PORTS"], "");
    assert_eq!(row["NAMES"], "seven");

    let ids = world.ok(&["ps", "-aq"]);
    assert_eq!(ids, format!("{}\n", row["CONTAINER ID"]));
    let json = world.json(&["ps", "-a", "--format", "json"]);
    assert_eq!(json["Names"], "seven");
    assert_eq!(json["State"], "exited");
    assert_eq!(json["ID"], row["CONTAINER ID"]);

    assert_eq!(world.ok(&["rm", "seven"]), "seven\n");
    assert_eq!(world.ok(&["ps", "-aq"]), "");
    let output = world.run(&["rm", "seven"]).expect_code(1, &["rm"]);
    assert!(output.errors().contains("seven"), "{}", output.errors());
}

#[test]
fn a_container_with_rm_does_not_stay() {
    let world = World::new();
    world.guest_image("exit7");
    world.guest_image("trap");
    world
        .run(&["run", "--rm", "exit7"])
        .expect_code(7, &["run"]);
    world
        .run(&["run", "--rm", "trap"])
        .expect_code(134, &["run"]);
    assert_eq!(world.ok(&["ps", "-aq"]), "");
}

#[test]
fn a_name_belongs_to_one_container() {
    let world = World::new();
    world.guest_image("exit7");
    let arguments = ["run", "--name", "taken", "exit7"];
    world.run(&arguments).expect_code(7, &arguments);
    let message = world.refused(&arguments);
    assert!(message.contains("taken"), "{message}");
    assert!(message.contains("in use"), "{message}");
    world.ok(&["rm", "taken"]);
    world.run(&arguments).expect_code(7, &arguments);
}

#[test]
fn containers_without_a_name_get_one() {
    let world = World::new();
    world.guest_image("exit7");
    for _ in 0..3 {
        world.run(&["run", "exit7"]).expect_code(7, &["run"]);
    }
    let rows = table::read(&world.ok(&["ps", "-a"]), &HEADINGS);
    let mut names: Vec<&str> = rows.iter().map(|row| row["NAMES"].as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(names.iter().all(|name| !name.is_empty()));
    // By name, by ID, by a few digits of it.
    let id = &rows[0]["CONTAINER ID"];
    assert_eq!(world.ok(&["rm", &id[..6]]), format!("{}\n", &id[..6]));
    assert_eq!(
        world
            .ok(&["rm", &rows[1]["NAMES"], &rows[2]["CONTAINER ID"]])
            .lines()
            .count(),
        2
    );
    assert_eq!(world.ok(&["ps", "-aq"]), "");
}

#[test]
fn a_running_container_is_up_and_is_removed_only_by_force() {
    let world = World::new();
    for guest in ["loop", "sleep"] {
        world.guest_image(guest);
        let mut running = Running::start(&mut world.command(&["run", "--name", "busy", guest]));
        let mut first = [0; 1];
        let mut output = running.0.stdout.take().expect("a pipe");
        output
            .read_exact(&mut first)
            .expect("the guest has started");

        let text = world.ok(&["ps"]);
        let rows = table::read(&text, &HEADINGS);
        assert_eq!(rows.len(), 1, "{text}");
        assert!(rows[0]["STATUS"].starts_with("Up "), "{text}");
        assert_eq!(
            world.json(&["inspect", "busy"])[0]["State"]["Status"],
            "running"
        );
        let output = world.run(&["rm", "busy"]).expect_code(1, &["rm"]);
        assert!(output.errors().contains("--force"), "{}", output.errors());

        assert_eq!(world.ok(&["rm", "--force", "busy"]), "busy\n");
        assert_eq!(world.ok(&["ps", "-aq"]), "");
        wait_until("the process ends", || {
            running.0.try_wait().expect("its state").is_some()
        });
    }
}

#[test]
fn a_killed_container_is_seen_as_ended() {
    let world = World::new();
    world.guest_image("sleep");
    let mut running = Running::start(&mut world.command(&["run", "--name", "gone", "sleep"]));
    let mut first = [0; 1];
    let mut output = running.0.stdout.take().expect("a pipe");
    output
        .read_exact(&mut first)
        .expect("the guest has started");
    running.kill();
    assert_eq!(world.ok(&["ps", "-q"]), "");
    let text = world.ok(&["ps", "-a"]);
    let rows = table::read(&text, &HEADINGS);
    assert!(rows[0]["STATUS"].starts_with("Exited ("), "{text}");
    assert_eq!(world.ok(&["rm", "gone"]), "gone\n");
}

#[test]
fn a_killed_container_with_rm_leaves_nothing_that_lasts() {
    let world = World::new();
    world.guest_image("sleep");
    let mut running = Running::start(&mut world.command(&["run", "--rm", "sleep"]));
    let mut first = [0; 1];
    let mut output = running.0.stdout.take().expect("a pipe");
    output
        .read_exact(&mut first)
        .expect("the guest has started");
    running.kill();
    world.guest_image("exit7");
    world
        .run(&["run", "--rm", "exit7"])
        .expect_code(7, &["run"]);
    assert_eq!(world.ok(&["ps", "-aq"]), "");
    // Its image is no longer in use.
    world.ok(&["rmi", "sleep"]);
}
