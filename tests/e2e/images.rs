//! `images`, `tag` and `rmi`: names and what they stand for.

use serde_json::Value;

use crate::layout;
use crate::table;
use crate::world::World;

const HEADINGS: [&str; 5] = ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"];

#[test]
fn an_empty_store_is_a_line_of_headings() {
    let world = World::new();
    assert_eq!(
        world.ok(&["images"]),
        "REPOSITORY   TAG       IMAGE ID   CREATED   SIZE\n"
    );
    assert_eq!(world.ok(&["images", "-q"]), "");
    assert_eq!(world.ok(&["images", "--format", "json"]), "");
}

#[test]
fn an_image_is_a_row() {
    let world = World::new();
    let id = world.guest_image("exit7");
    let text = world.ok(&["images"]);
    let rows = table::read(&text, &HEADINGS);
    assert_eq!(rows.len(), 1, "{text}");
    assert_eq!(rows[0]["REPOSITORY"], "exit7");
    assert_eq!(rows[0]["TAG"], "latest");
    assert_eq!(rows[0]["IMAGE ID"], id["sha256:".len()..][..12]);
    assert!(rows[0]["SIZE"].ends_with("kB"), "{text}");
    // 10 letters and 3 spaces; as wide as the widest cell and 3 spaces.
    assert!(
        text.starts_with("REPOSITORY   TAG       IMAGE ID       CREATED"),
        "{text}"
    );

    assert_eq!(world.ok(&["images", "-q"]), format!("{}\n", &id[7..19]));
    assert_eq!(world.ok(&["images", "-q", "--no-trunc"]), format!("{id}\n"));
    let row = world.json(&["images", "--format", "json"]);
    assert_eq!(row["Repository"], "exit7");
    assert_eq!(row["Tag"], "latest");
    assert_eq!(row["ID"], id[7..19]);
    assert!(layout::text(&row["Size"]).ends_with("kB"), "{row}");
}

#[test]
fn images_can_be_asked_for_by_name() {
    let world = World::new();
    world.guest_image("exit7");
    world.guest_image("cat");
    world.ok(&["tag", "cat", "cat:2"]);
    let rows = |filter: &str| -> Vec<String> {
        let lines = world.ok(&["images", "--format", "json", filter]);
        let rows = lines.lines().map(|line| {
            let row: Value = serde_json::from_str(line).expect("a line of JSON");
            format!(
                "{}:{}",
                layout::text(&row["Repository"]),
                layout::text(&row["Tag"])
            )
        });
        let mut rows: Vec<String> = rows.collect();
        rows.sort();
        rows
    };
    assert_eq!(rows("cat"), ["cat:2", "cat:latest"]);
    assert_eq!(rows("cat:2"), ["cat:2"]);
    assert_eq!(rows("other"), [""; 0]);
}

#[test]
fn a_tag_is_a_second_name() {
    let world = World::new();
    let id = world.guest_image("exit7");
    assert_eq!(
        world.ok(&["tag", "exit7", "localhost:5000/team/app:v1"]),
        ""
    );
    assert_eq!(world.ok(&["tag", &id, "by-id:1"]), "");
    assert_eq!(world.ok(&["tag", &id[7..19], "by-short-id"]), "");
    let ids = world.ok(&["images", "-q", "--no-trunc"]);
    assert_eq!(ids, format!("{id}\n").repeat(4));
    let text = world.ok(&["images"]);
    let rows = table::read(&text, &HEADINGS);
    let names: Vec<String> = rows
        .iter()
        .map(|row| format!("{}:{}", row["REPOSITORY"], row["TAG"]))
        .collect();
    for name in [
        "by-id:1",
        "by-short-id:latest",
        "exit7:latest",
        "localhost:5000/team/app:v1",
    ] {
        assert!(names.iter().any(|known| known == name), "{names:?}");
    }
    for name in ["localhost:5000/team/app:v1", "by-id:1", &id, &id[7..19]] {
        world.run(&["run", "--rm", name]).expect_code(7, &[name]);
    }
}

#[test]
fn a_tag_moves_to_the_newer_image() {
    let world = World::new();
    world.guest_image("exit7");
    let cat = world.guest_image("cat");
    world.ok(&["tag", "cat", "exit7"]);
    let image = world.json(&["inspect", "exit7"]);
    assert_eq!(image[0]["Id"], cat);
}

#[test]
fn the_last_name_takes_the_content_with_it() {
    let world = World::new();
    world.guest_image("cat");
    let other = layout::blobs(&world.images());
    world.guest_image("exit7");
    world.ok(&["tag", "exit7", "second"]);
    let all = layout::blobs(&world.images());

    assert_eq!(world.ok(&["rmi", "exit7"]), "Untagged: exit7:latest\n");
    assert_eq!(layout::blobs(&world.images()), all, "still named");
    world
        .run(&["run", "--rm", "second"])
        .expect_code(7, &["second"]);

    let removed = world.ok(&["rmi", "second:latest"]);
    assert!(
        removed.starts_with("Untagged: second:latest\n"),
        "{removed}"
    );
    assert!(removed.contains("Deleted: sha256:"), "{removed}");
    assert_eq!(layout::blobs(&world.images()), other);
    layout::assert_tidy(&world.images());
    assert_eq!(world.ok(&["images", "-q", "second"]), "");
    assert_eq!(
        world.run_with(&["run", "-i", "--rm", "cat"], b"x").stdout,
        b"x"
    );
}

#[test]
fn an_id_with_two_names_needs_force() {
    let world = World::new();
    let id = world.guest_image("exit7");
    world.ok(&["tag", "exit7", "second"]);
    let arguments = ["rmi", &id[7..19]];
    let output = world.run(&arguments).expect_code(1, &arguments);
    assert!(output.errors().contains("--force"), "{}", output.errors());
    let removed = world.ok(&["rmi", "--force", &id[7..19]]);
    for line in ["Untagged: exit7:latest\n", "Untagged: second:latest\n"] {
        assert!(removed.contains(line), "{removed}");
    }
    assert_eq!(layout::blobs(&world.images()).len(), 0);
}

#[test]
fn an_image_in_use_stays() {
    let world = World::new();
    world.guest_image("exit7");
    world
        .run(&["run", "--name", "user", "exit7"])
        .expect_code(7, &["run"]);
    let output = world.run(&["rmi", "exit7"]).expect_code(1, &["rmi"]);
    assert!(output.errors().contains("user"), "{}", output.errors());
    world.ok(&["rm", "user"]);
    world.ok(&["rmi", "exit7"]);
}

#[test]
fn what_is_not_there_is_named() {
    let world = World::new();
    world.guest_image("exit7");
    for arguments in [
        ["tag", "missing", "x"].as_slice(),
        &["push", "missing"],
        &["run", "127.0.0.1:1/missing"],
    ] {
        let message = world.refused(arguments);
        assert!(message.contains("missing"), "{arguments:?}: {message}");
    }
    // Docker's code for these two, which take several names. What is there is removed although another is not.
    let arguments = ["inspect", "missing"];
    let output = world.run(&arguments).expect_code(1, &arguments);
    assert_eq!(output.stdout, b"[]\n");
    assert!(output.errors().contains("missing"), "{}", output.errors());
    let arguments = ["rmi", "missing", "exit7"];
    let output = world.run(&arguments).expect_code(1, &arguments);
    assert!(output.errors().contains("missing"), "{}", output.errors());
    assert_eq!(world.ok(&["images", "-q"]), "");
}

#[test]
fn two_names_of_one_id_are_one_image() {
    let world = World::new();
    world.guest_image("exit7");
    world.ok(&["tag", "exit7", "other:1"]);
    world.guest_image("cat");
    world.ok(&["tag", "exit7", "third"]);
    let id = world.ok(&["images", "-q", "exit7"]);
    let id = id.trim_end();
    world.ok(&["inspect", id]);
    world.run(&["run", "--rm", id]).expect_code(7, &["run"]);
    let digest = world.json(&["inspect", "exit7"])[0]["Descriptor"]["digest"]
        .as_str()
        .expect("a digest")
        .to_owned();
    for name in ["app@", "app:1@"] {
        let name = format!("{name}{digest}");
        world.refused(&["tag", "exit7", &name]);
        let context = world.context("context", &crate::fixtures::only("exit7"), &["exit7"], &[]);
        world.refused(&["build", "-q", "-t", &name, &context]);
    }
}
