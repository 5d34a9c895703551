//! A process that is killed while it packs and writes layers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::super::{Attributes, LayerStore, LayerWriter, TreeIndex};
use super::{Blob, Tar, World, walk};
use crate::digest::Digest;
use crate::store::Store;

/// Tells the child where to write.
const DIR_VARIABLE: &str = "CORACLE_TEST_KILLED_LAYERS";

/// Rounds of start and kill.
const ROUNDS: u64 = 8;

fn content(round: usize) -> Vec<u8> {
    (0..1_500_000usize)
        .map(|at| (at.wrapping_mul(at) >> 3).wrapping_add(round * 31) as u8)
        .collect()
}

#[test]
#[ignore = "the child of `a_killed_packer_leaves_only_whole_layers`, which starts and kills it"]
fn packs_until_it_is_killed() {
    let Some(dir) = std::env::var_os(DIR_VARIABLE).map(PathBuf::from) else {
        return;
    };
    let world = World {
        store: Store::open(&dir.join("store")).expect("opened"),
        layers: LayerStore::open(&dir.join("layers")).expect("opened"),
        dir: tempfile::TempDir::new().expect("temporary directory"),
    };
    // If nobody kills it, it ends.
    for round in 0..200 {
        let content = content(round);
        let blob = Blob::gzip(&Tar::default().file("pulled", &content).end());
        let image = world.image(&[blob]);
        world.layers.prepare(&world.store, &image).expect("packed");
        let mut writer = LayerWriter::new();
        let attributes = Attributes::default();
        writer
            .add_bytes(b"built", &attributes, &content)
            .expect("valid");
        writer.finish(&world.layers, &world.store).expect("written");
    }
}

fn subdirectories(path: &Path) -> Vec<PathBuf> {
    match fs::read_dir(path) {
        Ok(entries) => entries.map(|entry| entry.expect("entry").path()).collect(),
        Err(_) => Vec::new(),
    }
}

/// Checks all that can be seen, and returns how many layers there are.
fn check(layers: &Path) -> usize {
    let packed = subdirectories(&layers.join("sha256"));
    for layer in &packed {
        let tar = fs::read(layer.join("layer.tar")).expect("tar");
        let name = layer.file_name().expect("named").to_string_lossy();
        assert_eq!(Digest::sha256_of(&tar).hex(), name);
        let index = TreeIndex::open(fs::read(layer.join("index.v1")).expect("index"));
        assert_eq!(walk(&index.expect("sound")).expect("sound").len(), 2);
    }
    for chain in subdirectories(&layers.join("chains")) {
        // The directory may be there before the file is; the file appears whole.
        if let Ok(index) = fs::read(chain.join("index.v1")) {
            let index = TreeIndex::open(index).expect("sound");
            assert_eq!(walk(&index).expect("sound").len(), 2);
        }
    }
    packed.len()
}

#[test]
fn a_killed_packer_leaves_only_whole_layers() {
    let world = World::new();
    let program = std::env::current_exe().expect("this program");
    let child = "layer::tests::killed::packs_until_it_is_killed";
    let packed = world.layers.root().join("sha256");
    for round in 0..ROUNDS {
        let before = subdirectories(&packed).len();
        let mut child = Command::new(&program)
            .args(["--exact", child, "--ignored"])
            .env(DIR_VARIABLE, world.dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("started");
        // Wait until it has done something new, then strike at some instant of its work.
        let deadline = Instant::now() + Duration::from_secs(60);
        while subdirectories(&packed).len() == before && Instant::now() < deadline {
            sleep(Duration::from_millis(1));
        }
        sleep(Duration::from_millis(round * 11));
        child.kill().expect("killed");
        child.wait().expect("ended");
        check(world.layers.root());
    }
    assert!(
        check(world.layers.root()) > 0,
        "no round got as far as one layer"
    );
    world.layers.sweep().expect("swept");
    let left = subdirectories(&world.layers.root().join("tmp"));
    assert!(left.is_empty(), "{left:?}");
    let blob = Blob::gzip(&Tar::default().file("pulled", &content(0)).end());
    assert_eq!(world.prepared(&[blob]).len(), 2);
}
