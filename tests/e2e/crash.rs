//! `kill -9` in the middle of things: nothing half-written is ever taken for whole, and the next command goes on.

use std::time::Duration;

use crate::fixtures::noise;
use crate::layout;
use crate::registry::Registry;
use crate::stall::{StallingProxy, Then};
use crate::world::{Running, World};

const DOCKERFILE: &str = "FROM scratch\n\
     COPY exit7.wasm /\n\
     COPY one /one\n\
     COPY two /two\n\
     ENTRYPOINT [\"/exit7.wasm\"]\n";

#[test]
fn a_pull_can_be_killed_anywhere() {
    let registry = Registry::open();
    let sender = World::new();
    let name = registry.image("big:1");
    sender.build(
        &name,
        DOCKERFILE,
        &["exit7"],
        &[("one", &noise(1 << 20, 3)), ("two", &noise(1 << 20, 4))],
    );
    sender.ok(&["push", "-q", &name]);

    let world = World::new();
    // In the first answer, in the manifests, at the start of the layers, in each of the big ones.
    for bytes in [50, 900, 1800, 8_000, 500_000, 1_600_000] {
        let proxy = StallingProxy::new(registry.port(), bytes, Then::Stall);
        let pull = Running::start(&mut world.command(&["pull", &proxy.image("big:1")]));
        proxy.wait_until_used_up();
        let status = pull.kill();
        assert_eq!(status.code(), None, "killed, not ended");
        layout::assert_sound(&world.images());
        assert_eq!(world.ok(&["images", "-q"]), "");
    }
    world.ok(&["pull", &name]);
    world.run(&["run", "--rm", &name]).expect_code(7, &["run"]);
    layout::assert_tidy(&world.images());
    assert_eq!(
        layout::blobs(&world.images()),
        layout::blobs(&sender.images())
    );
    assert_no_rubbish(&world, &name);
}

#[test]
fn a_build_can_be_killed_anywhere() {
    let files = [("one", noise(12 << 20, 5)), ("two", noise(12 << 20, 6))];
    let files: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(name, bytes)| (*name, &bytes[..]))
        .collect();
    let quiet = World::new();
    let id = quiet.build("app", DOCKERFILE, &["exit7"], &files);

    let world = World::new();
    let context = world.context("context", DOCKERFILE, &["exit7"], &files);
    let mut killed = 0;
    for delay in [2, 10, 40, 100, 180, 280, 400] {
        let build = Running::start(&mut world.command(&["build", "-t", "app", &context]));
        std::thread::sleep(Duration::from_millis(delay));
        if build.kill().code().is_none() {
            killed += 1;
        }
        layout::assert_sound(&world.images());
    }
    assert!(killed >= 3, "too quick to be killed: {killed}");
    assert_eq!(
        world.ok(&["build", "-q", "-t", "app", &context]).trim_end(),
        id
    );
    world.run(&["run", "--rm", "app"]).expect_code(7, &["run"]);
    layout::assert_tidy(&world.images());
    assert_eq!(
        layout::blobs(&world.images()),
        layout::blobs(&quiet.images())
    );
    assert_no_rubbish(&world, "app");
}

/// Removes the last image, and checks that no file is left that has the size of one of its parts.
fn assert_no_rubbish(world: &World, name: &str) {
    world.ok(&["rmi", name]);
    for file in layout::files(&world.root()) {
        let size = std::fs::metadata(&file).expect("a file of the store").len();
        assert!(size < 200_000, "{file:?} has {size} bytes");
    }
}
