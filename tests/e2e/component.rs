//! Components (WASI 0.2) run as modules do: the same guests, made into components with the standard's adapter.

use std::fs;

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
};
use wit_component::ComponentEncoder;

use crate::fixtures::{PATH, guest, noise};
use crate::world::World;

/// A guest as a component.
pub(crate) fn component(name: &str) -> Vec<u8> {
    let module = fs::read(guest(name)).expect("the guest");
    ComponentEncoder::default()
        .module(&module)
        .and_then(|encoder| {
            encoder.adapter(
                WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
                WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
            )
        })
        .and_then(|mut encoder| encoder.encode())
        .expect("the guest becomes a component")
}

/// Builds an image of a guest as a component, named like the guest.
fn component_image(world: &World, name: &str) {
    let component = component(name);
    world.build(
        name,
        "FROM scratch\nCOPY app.wasm a.txt /\nENV A=image\nENTRYPOINT [\"/app.wasm\"]\n",
        &[],
        &[("app.wasm", &component), ("a.txt", b"from the image\n")],
    );
}

#[test]
fn a_components_code_is_the_commands() {
    let world = World::new();
    component_image(&world, "exit7");
    // WASI 0.2 knows success and failure only, unless the guest calls the function with a code, which this adapter does
    // where the host offers it.
    let output = world.run(&["run", "--rm", "exit7"]);
    assert!(
        matches!(output.code, Some(1 | 7)),
        "{:?} {}",
        output.code,
        output.errors()
    );
    assert_eq!(output.stdout, b"to stdout\n");
    assert_eq!(output.stderr, b"to stderr\n");
}

#[test]
fn a_component_gets_arguments_environment_and_bytes() {
    let world = World::new();
    component_image(&world, "show");
    component_image(&world, "cat");
    assert_eq!(
        world.ok(&["run", "--rm", "-e", "B=b c", "show", "x y", ""]),
        format!(
            "arg 0 </app.wasm>\narg 1 <x y>\narg 2 <>\nenv <{PATH}>\nenv <A=image>\nenv <B=b c>\ncwd </>\n"
        )
    );
    let bytes = noise(200_000, 7);
    let output = world
        .run_with(&["run", "--rm", "-i", "cat"], &bytes)
        .expect_code(0, &["cat"]);
    assert!(
        output.stdout == bytes,
        "{} of {} bytes",
        output.stdout.len(),
        bytes.len()
    );
    let without = world
        .run_with(&["run", "--rm", "cat"], &bytes)
        .expect_code(0, &["cat"]);
    assert_eq!(without.stdout, b"");
}

#[test]
fn a_component_has_files_of_its_own_and_those_that_were_mounted() {
    let world = World::new();
    component_image(&world, "files");
    world.write("shared/in.txt", "from the host\n");
    let shared = world.path("shared");
    let mount = format!("{}:/data", shared.display());
    let output = world.ok(&[
        "run",
        "--rm",
        "-v",
        &mount,
        "files",
        "read,/a.txt",
        "write,/a.txt,own\n",
        "read,/a.txt",
        "list,/",
        "read,/data/in.txt",
        "write,/data/out.txt,x",
    ]);
    assert_eq!(
        output,
        "from the image\nown\na.txt\napp.wasm\ndata\nfrom the host\n"
    );
    assert_eq!(
        fs::read(shared.join("out.txt")).expect("the guest's file"),
        b"x"
    );

    std::os::unix::fs::symlink("/etc/passwd", shared.join("link")).expect("a link");
    let read_only = format!("{mount}:ro");
    for command in [
        "read,/etc/passwd",
        "read,../../etc/passwd",
        "read,/data/link",
        "read,/data/../../etc/passwd",
        "write,/data/new,x",
        "rm,/data/in.txt",
    ] {
        let arguments = ["run", "--rm", "-v", &read_only, "files", command];
        let output = world.run(&arguments).expect_code(1, &arguments);
        assert_eq!(output.text().lines().count(), 1, "{}", output.text());
        assert!(!output.text().contains("root:"), "{}", output.text());
    }
    assert!(shared.join("in.txt").exists() && !shared.join("new").exists());
}

#[test]
fn a_component_that_traps_is_told() {
    let world = World::new();
    component_image(&world, "trap");
    let output = world.run(&["run", "--rm", "trap"]);
    assert_eq!(output.code, Some(134), "{}", output.errors());
    assert_eq!(output.stdout, b"before\n");
}
