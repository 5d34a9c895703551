//! `kill -9` at random points, many times in one data folder: after each kill everything that was there is whole.
//!
//! `CORACLE_KILLS` says how many times, `CORACLE_KILLS_SEED` where the random numbers begin.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::fixtures::noise;
use crate::layout;
use crate::registry::Registry;
use crate::world::{Running, World};

/// Kills in a usual run of the tests; two hundred take two minutes.
const KILLS: u32 = 40;

const DOCKERFILE: &str = "FROM scratch\n\
     COPY exit7.wasm /\n\
     COPY one /one\n\
     COPY two /two\n\
     ENTRYPOINT [\"/exit7.wasm\"]\n";

/// A command that is killed, and what it may do to names when it is not.
struct Victim {
    arguments: Vec<String>,
    /// Names that may be there afterwards and were not before, or the other way round.
    touches: Vec<String>,
    /// How long it takes when nobody kills it.
    takes: Duration,
}

struct Random(u64);

impl Random {
    /// A number below `limit`.
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }
}

fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().expect("a number in the environment"),
        Err(_) => default,
    }
}

fn names(world: &World) -> BTreeSet<String> {
    let list = world.ok(&["images", "--format", "json"]);
    list.lines()
        .map(|line| {
            let image: serde_json::Value = serde_json::from_str(line).expect("one object a line");
            format!(
                "{}:{}",
                layout::text(&image["Repository"]),
                layout::text(&image["Tag"])
            )
        })
        .collect()
}

#[test]
fn whatever_is_killed_nothing_is_half_there() {
    let kills = u32::try_from(number("CORACLE_KILLS", KILLS.into())).expect("a number of kills");
    let seed = number("CORACLE_KILLS_SEED", 0x5eed_c0ac);
    eprintln!("{kills} kills, CORACLE_KILLS_SEED={seed}");
    let mut random = Random(seed | 1);

    let registry = Registry::open();
    let sender = World::new();
    let shared = noise(2 << 20, 7);
    let remote: Vec<String> = (0..2)
        .map(|number| {
            let name = registry.image(&format!("app:{number}"));
            let own = noise(1 << 20, 20 + number);
            let files = [("one", &shared[..]), ("two", &own[..])];
            sender.build(&name, DOCKERFILE, &["exit7"], &files);
            sender.ok(&["push", "-q", &name]);
            name
        })
        .collect();

    let world = World::new();
    let local = noise(1 << 20, 30);
    let context = world.context(
        "context",
        DOCKERFILE,
        &["exit7"],
        &[("one", &shared), ("two", &local)],
    );
    let own = noise(1 << 20, 40);
    let files = [("one", &shared[..]), ("two", &own[..])];
    sender.build("saved:1", DOCKERFILE, &["exit7"], &files);
    let archive = sender.path("saved.tar").display().to_string();
    sender.ok(&["save", "-o", &archive, "saved:1"]);
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let mut victims = vec![
        (words(&["pull", "-q", &remote[0]]), vec![remote[0].clone()]),
        (words(&["pull", "-q", &remote[1]]), vec![remote[1].clone()]),
        (
            words(&["build", "-q", "-t", "local:1", &context]),
            vec!["local:1".to_owned()],
        ),
        (
            words(&["load", "-q", "-i", &archive]),
            vec!["saved:1".to_owned()],
        ),
        (words(&["rmi", "saved:1"]), vec!["saved:1".to_owned()]),
        (words(&["run", "--rm", "--name", "one", "local:1"]), vec![]),
        (
            words(&["tag", "local:1", "other:2"]),
            vec!["other:2".to_owned()],
        ),
        (
            words(&["rmi", &remote[0], "local:1"]),
            vec![remote[0].clone(), "local:1".to_owned()],
        ),
        (words(&["rmi", "-f", &remote[1]]), vec![remote[1].clone()]),
        (words(&["image", "prune", "-f"]), vec![]),
        // With every name: who has one that nothing uses loses it, or keeps it.
        (
            words(&["system", "prune", "-a", "-f"]),
            vec![
                remote[0].clone(),
                remote[1].clone(),
                "local:1".to_owned(),
                "saved:1".to_owned(),
                "other:2".to_owned(),
            ],
        ),
    ]
    .into_iter()
    .map(|(arguments, touches)| Victim {
        arguments,
        touches,
        takes: Duration::ZERO,
    })
    .collect::<Vec<_>>();
    for victim in &mut victims {
        let start = Instant::now();
        drop(world.run(&victim.arguments));
        victim.takes = start.elapsed();
    }

    let mut killed = 0;
    let mut round = 0;
    while killed < kills {
        round += 1;
        assert!(
            round < kills * 20,
            "too quick to be killed: {killed} of {round}"
        );
        let victim = &victims[random.below(victims.len() as u64) as usize];
        let before = names(&world);
        let limit = u64::try_from(victim.takes.as_micros()).expect("short") + 1;
        let command = Running::start(&mut world.command(&victim.arguments));
        std::thread::sleep(Duration::from_micros(random.below(limit)));
        let was_killed = command.kill().code().is_none();
        killed += u32::from(was_killed);

        let what = format!("round {round}, {:?}", victim.arguments);
        layout::assert_sound(&world.images());
        let check = world.run(&["system", "check"]);
        assert_eq!(
            check.code,
            Some(0),
            "{what}\n{}{}",
            check.text(),
            check.errors()
        );
        let after = names(&world);
        let changed: Vec<&String> = before.symmetric_difference(&after).collect();
        assert!(
            changed.iter().all(|name| victim.touches.contains(name)),
            "{what}: {changed:?}"
        );
        // What has a name runs, also from what a killed command has left.
        if let Some(name) = after.iter().nth(random.below(8) as usize) {
            world
                .run(&["run", "--rm", name])
                .expect_code(7, &["run", name]);
        }
    }

    for name in &remote {
        world.ok(&["pull", "-q", name]);
    }
    world.ok(&["build", "-q", "-t", "local:1", &context]);
    layout::assert_tidy(&world.images());
    for name in names(&world) {
        world.run(&["run", "--rm", &name]).expect_code(7, &["run"]);
        world.ok(&["rmi", &name]);
    }
    world.ok(&["system", "check", "--repair"]);
    let check = world.run(&["system", "check"]);
    assert_eq!(check.text(), "", "{}", check.errors());
    for file in layout::files(&world.root()) {
        let size = std::fs::metadata(&file).expect("a file of the store").len();
        assert!(size < 100_000, "{file:?} has {size} bytes");
    }
}
