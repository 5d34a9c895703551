//! `push` and `pull` through a real registry, and what a wrong one gets.

use std::fs;

use crate::fixtures::{PATH, noise, only};
use crate::layout::{self, text};
use crate::registry::Registry;
use crate::stall::{StallingProxy, Then};
use crate::world::World;

/// Builds a guest's image, pushes it, and returns its reference and its digest.
fn push(world: &World, registry: &Registry, guest: &str) -> (String, String) {
    let name = registry.image(&format!("team/{guest}:1"));
    world.build(&name, &only(guest), &[guest], &[]);
    let pushed = world.ok(&["push", &name]);
    let last = pushed.lines().last().expect("a line");
    let (digest, size) = last
        .strip_prefix("1: digest: ")
        .and_then(|rest| rest.split_once(" size: "))
        .unwrap_or_else(|| panic!("{last}"));
    let manifest = layout::blob(&world.images(), digest);
    let len = fs::metadata(&manifest).expect("what was pushed").len();
    assert_eq!(size, len.to_string());
    (name, digest.to_owned())
}

#[test]
fn an_image_travels_to_an_empty_store() {
    let registry = Registry::open();
    let sender = World::new();
    let (name, digest) = push(&sender, &registry, "exit7");

    let receiver = World::new();
    let output = receiver.run(&["pull", &name]).expect_code(0, &["pull"]);
    assert_eq!(output.text(), format!("{name}\n"));
    let errors = output.errors();
    assert!(errors.contains(&format!("Digest: {digest}\n")), "{errors}");
    assert!(
        errors.contains(&format!("Status: Downloaded newer image for {name}\n")),
        "{errors}"
    );
    layout::assert_tidy(&receiver.images());
    let inspected = receiver.json(&["inspect", &name]);
    assert_eq!(inspected, sender.json(&["inspect", &name]));
    assert_eq!(
        inspected[0]["RepoDigests"][0],
        format!("{}@{digest}", registry.image("team/exit7"))
    );
    receiver
        .run(&["run", "--rm", &name])
        .expect_code(7, &["run"]);

    let again = receiver.run(&["pull", &name]).expect_code(0, &["pull"]);
    assert!(
        again
            .errors()
            .contains(&format!("Status: Image is up to date for {name}\n")),
        "{}",
        again.errors()
    );
}

#[test]
fn what_the_registry_has_is_not_sent_again() {
    let registry = Registry::open();
    let world = World::new();
    push(&world, &registry, "exit7");
    let uploads = || registry.log().matches("http.request.method=POST").count();
    let before = uploads();
    assert!(before > 0, "the log tells uploads: {}", registry.log());
    push(&world, &registry, "exit7");
    assert_eq!(uploads(), before);
}

#[test]
fn run_pulls_what_is_not_here() {
    let registry = Registry::open();
    let (name, _) = push(&World::new(), &registry, "show");
    let world = World::new();
    let output = world
        .run(&["run", "--rm", &name, "a"])
        .expect_code(0, &["run"]);
    assert_eq!(
        output.text(),
        format!("arg 0 </show.wasm>\narg 1 <a>\nenv <{PATH}>\ncwd </>\n")
    );
    // The second time the registry is not asked.
    drop(registry);
    world.run(&["run", "--rm", &name]).expect_code(0, &["run"]);
}

#[test]
fn an_image_is_pulled_by_its_digest() {
    let registry = Registry::open();
    let (name, digest) = push(&World::new(), &registry, "exit7");
    let by_digest = registry.image(&format!("team/exit7@{digest}"));
    let world = World::new();
    assert_eq!(
        world.ok(&["pull", "-q", &by_digest]),
        format!("{by_digest}\n")
    );
    world
        .run(&["run", "--rm", &by_digest])
        .expect_code(7, &["run"]);

    // The tag has moved on; the digest has not.
    let other = World::new();
    other.build(&name, &only("cat"), &["cat"], &[]);
    other.ok(&["push", "-q", &name]);
    let third = World::new();
    third.ok(&["pull", "-q", &by_digest]);
    third
        .run(&["run", "--rm", &by_digest])
        .expect_code(7, &["run"]);

    let absent = registry.image(&format!("team/exit7@sha256:{}", "0".repeat(64)));
    let message = world.refused(&["pull", &absent]);
    assert!(message.contains(&absent), "{message}");
}

#[test]
fn a_base_image_comes_from_the_registry() {
    let registry = Registry::open();
    let (name, _) = push(&World::new(), &registry, "exit7");
    let world = World::new();
    world.build("child", &format!("FROM {name}\nLABEL a=b\n"), &[], &[]);
    world
        .run(&["run", "--rm", "child"])
        .expect_code(7, &["run"]);
}

#[test]
fn a_password_is_asked_for_and_taken_from_dockers_config() {
    let registry = Registry::with_password("alice", "right: one");
    let world = World::new();
    let name = registry.image("team/exit7:1");
    world.build(&name, &only("exit7"), &["exit7"], &[]);

    let message = world.refused(&["push", &name]);
    assert!(message.contains(&registry.host()), "{message}");
    assert!(message.contains("coracle login"), "{message}");

    world.log_in(&registry.host(), "alice", "wrong one");
    let message = world.refused(&["push", &name]);
    assert!(
        message.contains("refused the user or password"),
        "{message}"
    );
    assert!(!message.contains("wrong one"), "{message}");

    world.log_in(&registry.host(), "alice", "right: one");
    world.ok(&["push", &name]);

    let stranger = World::new();
    let message = stranger.refused(&["pull", &name]);
    assert!(message.contains(&name), "{message}");
    assert_eq!(stranger.ok(&["images", "-q"]), "");
    // What is known for another registry is not sent to this one.
    stranger.log_in("127.0.0.1:1", "alice", "right: one");
    stranger.refused(&["pull", &name]);
    stranger.log_in(&registry.host(), "alice", "right: one");
    stranger.ok(&["pull", &name]);
    stranger
        .run(&["run", "--rm", &name])
        .expect_code(7, &["run"]);
}

#[test]
fn a_wrong_docker_config_is_named() {
    let world = World::new();
    world.log_in("x", "y", "z");
    let file = world.path("../docker/config.json");
    fs::write(&file, "{\"auths\": [").expect("Docker's config.json");
    let message = world.refused(&["pull", "127.0.0.1:1/x"]);
    assert!(message.contains("config.json"), "{message}");
}

#[test]
fn what_is_not_in_the_registry_is_named() {
    let registry = Registry::open();
    let world = World::new();
    let name = registry.image("no/such:thing");
    let message = world.refused(&["pull", &name]);
    assert!(message.contains(&name), "{message}");
    let nobody = "127.0.0.1:1/no/such:thing";
    let message = world.refused(&["pull", nobody]);
    assert!(message.contains("127.0.0.1:1"), "{message}");
    assert_eq!(world.ok(&["images", "-q"]), "");
}

/// A change that the registry's disk does to a blob.
type Damage = fn(&mut Vec<u8>);

#[test]
fn a_blob_that_is_not_what_its_digest_says_never_enters() {
    let damages: [(&str, Damage); 3] = [
        ("another byte", |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }),
        ("cut short", |bytes| bytes.truncate(bytes.len() - 1)),
        ("longer", |bytes| bytes.extend_from_slice(b"more")),
    ];
    for (title, damage) in damages {
        let registry = Registry::open();
        let sender = World::new();
        let (name, digest) = push(&sender, &registry, "exit7");
        let manifest = layout::manifest(&sender.images(), &name);
        let layer = text(&manifest["layers"][0]["digest"]).to_owned();
        let config = text(&manifest["config"]["digest"]).to_owned();
        for victim in [&layer, &config, &digest] {
            let file = registry.blob_file(victim);
            let whole = fs::read(&file).expect("a blob in the registry");
            let mut bytes = whole.clone();
            damage(&mut bytes);
            fs::write(&file, &bytes).expect("the registry's disk changes a blob");

            let world = World::new();
            let message = world.refused(&["pull", &name]);
            assert!(message.contains(&name), "{title} {victim}: {message}");
            assert!(
                !layout::blob(&world.images(), victim).exists(),
                "{title} {victim}"
            );
            layout::assert_tidy(&world.images());
            assert_eq!(world.ok(&["images", "-q"]), "", "{title} {victim}");
            for stored in layout::files(&world.root()) {
                let stored_bytes = fs::read(&stored).expect("a file of the store");
                assert!(stored_bytes != bytes, "{title} {victim}: {stored:?}");
            }

            // A name that is there stays what it was.
            world.build(&name, &only("cat"), &["cat"], &[]);
            world.refused(&["pull", &name]);
            assert_eq!(
                world.run_with(&["run", "--rm", "-i", &name], b"x").stdout,
                b"x"
            );

            fs::write(&file, &whole).expect("the registry's disk is repaired");
            world.ok(&["pull", &name]);
            world.run(&["run", "--rm", &name]).expect_code(7, &["run"]);
        }
    }
}

#[test]
fn a_blob_that_is_gone_is_named() {
    let registry = Registry::open();
    let sender = World::new();
    let (name, _) = push(&sender, &registry, "exit7");
    let manifest = layout::manifest(&sender.images(), &name);
    let layer = text(&manifest["layers"][0]["digest"]);
    fs::remove_file(registry.blob_file(layer)).expect("the registry loses a blob");
    let world = World::new();
    let message = world.refused(&["pull", &name]);
    assert!(message.contains(layer), "{message}");
    assert_eq!(world.ok(&["images", "-q"]), "");
    layout::assert_tidy(&world.images());
}

#[test]
fn a_connection_that_breaks_leaves_nothing_half_written() {
    let registry = Registry::open();
    let sender = World::new();
    let name = registry.image("big:1");
    sender.build(
        &name,
        "FROM scratch\nCOPY exit7.wasm noise /\nENTRYPOINT [\"/exit7.wasm\"]\n",
        &["exit7"],
        &[("noise", &noise(2 << 20, 2))],
    );
    sender.ok(&["push", "-q", &name]);
    for bytes in [100, 1500, 300_000] {
        let proxy = StallingProxy::new(registry.port(), bytes, Then::HangUp);
        let world = World::new();
        let message = world.refused(&["pull", &proxy.image("big:1")]);
        assert!(message.contains("127.0.0.1"), "{message}");
        layout::assert_tidy(&world.images());
        assert_eq!(world.ok(&["images", "-q"]), "");
        proxy.release();
        world.ok(&["pull", &proxy.image("big:1")]);
        world
            .run(&["run", "--rm", &proxy.image("big:1")])
            .expect_code(7, &["run"]);
    }
}

#[test]
fn a_push_without_its_content_is_refused() {
    let registry = Registry::open();
    let world = World::new();
    let name = registry.image("exit7:1");
    world.build(&name, &only("exit7"), &["exit7"], &[]);
    let manifest = layout::manifest(&world.images(), &name);
    let layer = text(&manifest["layers"][0]["digest"]);
    let file = layout::blob(&world.images(), layer);
    let whole = fs::read(&file).expect("the layer");
    let mut bytes = whole.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).expect("the disk changes the layer");
    let message = world.refused(&["push", &name]);
    assert!(message.contains(&layer[7..]), "{message}");
    assert!(!registry.blob_file(layer).exists());
    World::new().refused(&["pull", &name]);
    fs::write(&file, whole).expect("the disk is repaired");
    world.ok(&["push", &name]);
}
