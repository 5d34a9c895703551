//! Several processes at once on one data folder: nobody fails, and nothing that has a name loses a blob.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::fixtures::noise;
use crate::layout;
use crate::registry::Registry;
use crate::world::World;

const DOCKERFILE: &str = "FROM scratch\n\
     COPY exit7.wasm /\n\
     COPY shared /shared\n\
     COPY some /some\n\
     COPY own /own\n\
     ENTRYPOINT [\"/exit7.wasm\"]\n";

#[test]
fn pulls_beside_runs_beside_removals() {
    let registry = Registry::open();
    let sender = World::new();
    let shared = noise(1 << 20, 1);
    let images: Vec<String> = (0..8)
        .map(|number| {
            let name = registry.image(&format!("app:{number}"));
            let some = noise(300_000, 100 + number / 2);
            let own = noise(100_000, 200 + number);
            let files = [("shared", &shared[..]), ("some", &some), ("own", &own)];
            sender.build(&name, DOCKERFILE, &["exit7"], &files);
            sender.ok(&["push", "-q", &name]);
            name
        })
        .collect();

    let world = World::new();
    world.guest_image("exit7");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let pulls: Vec<_> = images
            .iter()
            .map(|name| {
                let world = &world;
                scope.spawn(move || {
                    for _ in 0..3 {
                        world.ok(&["pull", "-q", name]);
                        world
                            .run(&["run", "--rm", name])
                            .expect_code(7, &["run", name]);
                        // The name goes, and comes back with the next round, while others need most of its blobs.
                        world.ok(&["rmi", name]);
                    }
                    world.ok(&["pull", "-q", name]);
                })
            })
            .collect();
        let (running, cleaning) = (&world, &world);
        let done = &done;
        scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                running
                    .run(&["run", "--rm", "exit7"])
                    .expect_code(7, &["run", "exit7"]);
            }
        });
        scope.spawn(move || {
            let mut number = 0;
            while !done.load(Ordering::Relaxed) {
                number += 1;
                let name = format!("gone:{number}");
                cleaning.ok(&["tag", "exit7", &name]);
                // Each removal collects garbage.
                cleaning.ok(&["rmi", &name]);
                cleaning.ok(&["image", "prune", "-f"]);
                cleaning.ok(&["system", "prune", "-f"]);
                cleaning.ok(&["system", "check"]);
            }
        });
        let ended: Vec<_> = pulls.into_iter().map(|pull| pull.join()).collect();
        done.store(true, Ordering::Relaxed);
        assert!(ended.iter().all(Result::is_ok), "a pull failed");
    });

    layout::assert_tidy(&world.images());
    assert_eq!(world.run(&["system", "check"]).text(), "");
    for name in &images {
        world
            .run(&["run", "--rm", name])
            .expect_code(7, &["run", name]);
        world.ok(&["rmi", name]);
    }
    world.ok(&["rmi", "exit7"]);
    assert_eq!(layout::blobs(&world.images()).len(), 0);
}
