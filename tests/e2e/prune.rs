//! `image`, `history`, `system df` and the prunes.

use std::fs;

use serde_json::Value;

use crate::layout;
use crate::table;
use crate::world::World;

#[test]
fn an_image_tells_its_history() {
    let world = World::new();
    let id = world.build(
        "app:1",
        "FROM scratch\nCOPY exit7.wasm /\nENV A=\"a rather long value that does not fit into the column\"\nENTRYPOINT [\"/exit7.wasm\"]\n",
        &["exit7"],
        &[],
    );
    let text = world.ok(&["history", "app:1"]);
    let rows = table::read(
        &text,
        &["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"],
    );
    assert_eq!(rows.len(), 3, "{text}");
    assert_eq!(rows[0]["IMAGE"], id[7..19]);
    assert_eq!(rows[1]["IMAGE"], "<missing>");
    assert!(rows[1]["CREATED BY"].ends_with('…'), "{text}");
    assert_eq!(rows[1]["SIZE"], "0B");
    assert!(
        rows[2]["CREATED BY"].starts_with("COPY exit7.wasm"),
        "{text}"
    );
    let whole = world.ok(&[
        "image",
        "history",
        "--no-trunc",
        "--format",
        "json",
        "app:1",
    ]);
    let rows: Vec<Value> = whole
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(rows[0]["ID"], id);
    assert!(
        layout::text(&rows[1]["CreatedBy"]).contains("the column"),
        "{whole}"
    );
    assert_eq!(
        world.ok(&["history", "-q", "app:1"]),
        format!("{}\n<missing>\n<missing>\n", &id[7..19])
    );
    let bytes = world.ok(&["history", "--human=false", "app:1"]);
    assert!(!bytes.contains("kB"), "{bytes}");
}

#[test]
fn the_group_is_the_same_commands() {
    let world = World::new();
    let context = world.context("context", &crate::fixtures::only("exit7"), &["exit7"], &[]);
    world.ok(&["image", "build", "-q", "-t", "exit7", &context]);
    assert_eq!(
        world.ok(&["image", "ls", "-q"]),
        world.ok(&["images", "-q"])
    );
    assert_eq!(
        world.ok(&["image", "inspect", "exit7"]),
        world.ok(&["inspect", "--type", "image", "exit7"])
    );
    let choice = world.ok(&["image", "inspect", "--explain", "exit7"]);
    assert!(choice.contains("* wasi/wasm"), "{choice}");
    assert!(choice.contains("Wasm comes first"), "{choice}");
    let choice = world.ok(&[
        "image",
        "inspect",
        "--explain",
        "--platform",
        "linux/s390x",
        "exit7",
    ]);
    assert!(choice.contains("no image for linux/s390x"), "{choice}");
    world.ok(&["image", "tag", "exit7", "other"]);
    world.ok(&["image", "rm", "exit7", "other"]);
    assert_eq!(world.ok(&["image", "ls", "-q"]), "");
    world.refused(&["tag", "other", "sha256:x"]);
}

#[test]
fn what_has_no_name_is_pruned() {
    let world = World::new();
    let context = world.context("context", &crate::fixtures::only("cat"), &["cat"], &[]);
    let id = world.ok(&["build", "-q", &context]);
    let id = id.trim_end();
    world.guest_image("exit7");
    // It stays, can be run, and is listed until it is pruned.
    world.ok(&["rmi", "exit7"]);
    world.ok(&["run", "--rm", id]);
    world.guest_image("exit7");
    world
        .run(&["run", "--name", "user", id])
        .expect_code(0, &["run"]);
    assert_eq!(
        world.ok(&["image", "prune", "-f"]),
        "Total reclaimed space: 0B\n",
        "a container needs it"
    );
    world.ok(&["rm", "user"]);
    // Whoever does not say yes is not asked again.
    for answer in ["", "n\n", "no\n"] {
        let output = world
            .run_with(&["image", "prune"], answer.as_bytes())
            .expect_code(0, &["image", "prune"]);
        assert!(output.errors().contains("[y/N]"), "{}", output.errors());
        assert_eq!(output.text(), "");
    }
    assert_eq!(world.ok(&["images", "-q"]).lines().count(), 2);
    let filtered = world.ok(&["image", "prune", "-f", "--filter", "until=24h"]);
    assert_eq!(filtered, "Total reclaimed space: 0B\n");
    let pruned = world
        .run_with(&["image", "prune"], b"y\n")
        .expect_code(0, &["image", "prune"])
        .text();
    assert!(
        pruned.starts_with("Deleted Images:\ndeleted: sha256:"),
        "{pruned}"
    );
    assert!(!pruned.contains("space: 0B"), "{pruned}");
    let text = world.ok(&["image", "prune", "-a", "-f", "--filter", "label=none"]);
    assert_eq!(text, "Total reclaimed space: 0B\n");
    let text = world.ok(&["image", "prune", "-a", "-f", "--filter", "label!=none"]);
    assert!(text.contains("untagged: exit7:latest"), "{text}");
    assert_eq!(layout::blobs(&world.images()).len(), 0);
    world.refused(&["image", "prune", "-f", "--filter", "dangling=true"]);
}

#[test]
fn the_disk_is_measured_and_cleared() {
    let world = World::new();
    world.guest_image("cat");
    world.guest_image("files");
    world.ok(&["tag", "cat", "cat:2"]);
    world.run(&["run", "--name", "writer", "files", "write,/a,hello"]);
    let rows = |world: &World| -> Vec<Value> {
        let text = world.ok(&["system", "df", "--format", "json"]);
        text.lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    };
    let found = rows(&world);
    assert_eq!(found[0]["Type"], "Images");
    assert_eq!(found[0]["TotalCount"], "2");
    assert_eq!(found[0]["Active"], "1");
    assert_eq!(found[1]["TotalCount"], "1");
    assert_eq!(found[1]["Active"], "0");
    assert_ne!(found[3]["Size"], "0B");
    let verbose = world.ok(&["system", "df", "-v"]);
    assert!(verbose.contains("writer"), "{verbose}");
    let text = world.ok(&["system", "prune", "-a", "-f"]);
    assert!(text.starts_with("Deleted Containers:\n"), "{text}");
    assert!(text.contains("untagged: cat:2\n"), "{text}");
    for row in rows(&world) {
        assert_eq!(row["TotalCount"], "0", "{row}");
        assert_eq!(row["Size"], "0B", "{row}");
    }
}

#[test]
fn code_that_another_version_compiled_goes_with_a_prune() {
    let world = World::new();
    world.guest_image("exit7");
    let compiled = world.root().join("compiled");
    let folders = || {
        let entries = fs::read_dir(&compiled).expect("compiled code");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<String> = names
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    };
    let before = folders();
    fs::create_dir(compiled.join("0123456789abcdef")).expect("another version's folder");
    fs::write(compiled.join("0123456789abcdef/a.cwasm"), [0; 3000]).expect("its code");
    fs::create_dir(compiled.join("somebody's")).expect("somebody's folder");
    let freed = world.ok(&["system", "prune", "-f"]);
    assert!(freed.contains("3"), "{freed}");
    fs::remove_dir(compiled.join("somebody's")).expect("it is left alone");
    assert_eq!(folders(), before);
    world
        .run(&["run", "--rm", "exit7"])
        .expect_code(7, &["run"]);
}
