//! `examples/hello`, as a newcomer tries it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::world::World;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hello")
}

#[test]
fn the_committed_program_is_what_its_source_says() {
    let world = World::new();
    let rebuilt = world.path("hello.wasm");
    let output = Command::new(folder().join("build.sh"))
        .arg(&rebuilt)
        .output()
        .expect("build.sh runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let rebuilt = fs::read(&rebuilt).expect("what was rebuilt");
    let committed = fs::read(folder().join("hello.wasm")).expect("what is committed");
    assert!(
        rebuilt == committed,
        "hello.wasm is not what build.sh makes of hello.c"
    );
}

#[test]
fn the_folder_is_built_and_run() {
    let world = World::new();
    let motd = fs::read_to_string(folder().join("motd.txt")).expect("motd.txt");
    let hello = folder().display().to_string();
    assert_eq!(world.ok(&["run", &hello]), format!("Hello, world!\n{motd}"));
    world.ok(&["build", "-t", "hello", &hello]);
    assert_eq!(
        world.ok(&["run", "--rm", "hello"]),
        format!("Hello, world!\n{motd}")
    );
    assert_eq!(
        world.ok(&[
            "run",
            "--rm",
            "-e",
            "GREET=sailor",
            "hello",
            "ahoy",
            "two words"
        ]),
        format!("Hello, sailor!\nargument 1: ahoy\nargument 2: two words\n{motd}")
    );
}
