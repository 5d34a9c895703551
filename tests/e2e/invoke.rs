//! `run --invoke`: one function of a program that is a library.

use crate::world::World;

#[test]
fn a_function_is_called_with_the_arguments_and_what_it_returns_is_printed() {
    let world = World::new();
    world.guest_image("library");
    let call = |arguments: &[&str]| {
        let command = [&["run", "--rm", "--invoke"], arguments].concat();
        world.ok(&command)
    };
    assert_eq!(call(&["add", "library", "2", "40"]), "42\n");
    assert_eq!(call(&["half", "library", "5"]), "2.5\n");
    let command = ["run", "--rm", "--invoke", "add", "library", "2"];
    assert_eq!(
        world.refused(&command),
        "coracle: calling \"add\" of program \"/library.wasm\": got 1 arguments, want 2\n"
    );
    let command = ["run", "--rm", "--invoke", "sub", "library"];
    assert_eq!(
        world.refused(&command),
        "coracle: program \"/library.wasm\" has no function \"sub\"; it has add, half\n"
    );
    let started = world
        .run(&["run", "--rm", "library"])
        .expect_code(126, &["run"]);
    assert!(
        started.errors().contains("it is a library with add, half"),
        "{}",
        started.errors()
    );
}
