//! Processes that pack the same layer from different blobs at once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::super::LayerStore;
use super::{Blob, Tar, World};
use crate::store::Store;

/// Tells a child where to work, and which blobs are its own.
const DIR_VARIABLE: &str = "CORACLE_TEST_RACING_LAYERS";
const KIND_VARIABLE: &str = "CORACLE_TEST_RACING_KIND";

const KINDS: [&str; 3] = ["gzip", "zstd", "plain"];
/// Layers that are raced for.
const ROUNDS: usize = 12;

fn is_there(dir: &Path, word: &str, round: usize) -> bool {
    let marks = KINDS.map(|kind| dir.join(format!("{word}-{round}-{kind}")));
    marks.iter().all(|mark| mark.exists())
}

#[test]
#[ignore = "a child of `a_complete_layer_is_never_taken_away`, which starts it"]
fn packs_beside_others() {
    let Some(dir) = std::env::var_os(DIR_VARIABLE).map(PathBuf::from) else {
        return;
    };
    let kind = std::env::var(KIND_VARIABLE).expect("a kind");
    let world = World {
        store: Store::open(&dir.join("store")).expect("opened"),
        layers: LayerStore::open(&dir.join("layers")).expect("opened"),
        dir: tempfile::TempDir::new().expect("temporary directory"),
    };
    let deadline = Instant::now() + Duration::from_secs(100);
    let say = |word: &str, round: usize| {
        fs::write(dir.join(format!("{word}-{round}-{kind}")), b"").expect("a mark");
    };
    for round in 0..ROUNDS {
        let content: Vec<u8> = (0..300_000usize)
            .map(|at| (at.wrapping_mul(at) >> 3).wrapping_add(round * 31) as u8)
            .collect();
        let tar = Tar::default().file("raced", &content).end();
        let blob = match kind.as_str() {
            "gzip" => Blob::gzip(&tar),
            "zstd" => Blob::zstd(&tar),
            _ => Blob::plain(&tar),
        };
        let image = world.image(&[blob]);
        // Half of a layer, such as another version leaves, invites to take it away.
        if round % 2 == 1 {
            let half = world.layers.layer_dir(&image.config.rootfs.diff_ids[0]);
            super::super::temp::create_directories(&half).expect("a folder");
            fs::write(half.join("index.v0"), b"").expect("a file");
        }
        say("ready", round);
        while !is_there(&dir, "ready", round) {
            assert!(Instant::now() < deadline, "the others are late");
        }
        world.layers.prepare(&world.store, &image).expect("packed");
        say("done", round);
        loop {
            let last = is_there(&dir, "done", round);
            let rootfs = world.layers.prepared(&image).expect("searched");
            assert!(rootfs.is_some(), "round {round}: the layer was taken away");
            if last {
                break;
            }
            assert!(Instant::now() < deadline, "the others are late");
        }
    }
}

#[test]
fn a_complete_layer_is_never_taken_away() {
    let world = World::new();
    let program = std::env::current_exe().expect("this program");
    let start = |kind: &str| {
        Command::new(&program)
            .args(["--exact", "layer::tests::racing::packs_beside_others"])
            .args(["--ignored", "--nocapture"])
            .env(DIR_VARIABLE, world.dir.path())
            .env(KIND_VARIABLE, kind)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started")
    };
    let children: Vec<Child> = KINDS.into_iter().map(start).collect();
    for child in children {
        let output = child.wait_with_output().expect("ended");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{errors}");
    }
    let layers = fs::read_dir(world.layers.root().join("sha256")).expect("layers");
    assert_eq!(layers.count(), ROUNDS);
    let verified = world.layers.verify().expect("a check");
    assert!(verified.damages.is_empty(), "{verified:?}");
    assert!(verified.leftovers.is_empty(), "{verified:?}");
}
