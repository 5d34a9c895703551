//! Components that are linked with others from the image's `/usr/lib/wasm`.

use std::collections::BTreeMap;
use std::fs;
use std::time::SystemTime;

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::fixtures::guest;
use crate::world::World;

/// Makes a component of a guest, of the world that is named like it in words.wit.
fn component(name: &str) -> Vec<u8> {
    let mut module = fs::read(guest(name)).expect("the guest");
    let mut resolve = Resolve::default();
    let package = resolve
        .push_str("words.wit", include_str!("../guests/bare/words.wit"))
        .expect("valid WIT");
    let world = resolve
        .select_world(&[package], Some(name))
        .expect("the world");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .expect("a module that fits its world");
    let encoder = ComponentEncoder::default()
        .module(&module)
        .expect("a module");
    // The libraries know nothing of WASI.
    let encoder = if name == "linked" {
        encoder.adapter(
            WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
            WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
        )
    } else {
        Ok(encoder)
    };
    encoder
        .and_then(|mut encoder| encoder.encode())
        .expect("a component")
}

/// Builds an image of the program, with a layer for each of these libraries.
fn image(world: &World, tag: &str, libraries: &[&str]) {
    let mut dockerfile = "FROM scratch\n".to_owned();
    for name in libraries {
        dockerfile.push_str(&format!("COPY {name}.wasm /usr/lib/wasm/\n"));
    }
    dockerfile.push_str("COPY app.wasm /\nENTRYPOINT [\"/app.wasm\"]\n");
    let files: Vec<(String, Vec<u8>)> = libraries
        .iter()
        .map(|name| (format!("{name}.wasm"), component(name)))
        .chain([("app.wasm".to_owned(), component("linked"))])
        .collect();
    let files: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(name, bytes)| (name.as_str(), &**bytes))
        .collect();
    world.build(tag, &dockerfile, &[], &files);
}

/// All compiled code, and when it was made.
fn compiled(world: &World) -> BTreeMap<String, SystemTime> {
    let mut found = BTreeMap::new();
    for folder in fs::read_dir(world.root().join("compiled")).expect("the cache") {
        for file in fs::read_dir(folder.expect("a folder").path()).expect("a folder") {
            let file = file.expect("a file");
            let name = file.file_name().to_string_lossy().into_owned();
            if name.ends_with(".cwasm") {
                let made = file.metadata().and_then(|metadata| metadata.modified());
                found.insert(name, made.expect("a time"));
            }
        }
    }
    found
}

#[test]
fn a_dependency_is_a_layer() {
    let world = World::new();
    image(&world, "app", &["words", "base"]);
    // The build has linked and compiled it.
    let made = compiled(&world);
    assert_eq!(made.len(), 1, "{made:?}");
    assert_eq!(
        world.ok(&["run", "--rm", "app", "you"]),
        "hello hello you\n"
    );
    assert_eq!(world.ok(&["run", "--rm", "app"]), "hello hello nobody\n");
    assert_eq!(compiled(&world), made);
    // What an image needs outlives a prune.
    world.ok(&["system", "prune", "-f"]);
    assert_eq!(compiled(&world), made);
    assert_eq!(
        world.ok(&["run", "--rm", "app", "you"]),
        "hello hello you\n"
    );

    let explained = world.ok(&["run", "--explain", "app"]);
    for line in [
        "linked    acme:words/greeting@1.0.0 of /app.wasm to /usr/lib/wasm/words.wasm, which has acme:words/greeting@1.2.0\n",
        "linked    acme:base/count@0.3.0 of /usr/lib/wasm/words.wasm to /usr/lib/wasm/base.wasm, which has acme:base/count@0.3.1\n",
    ] {
        assert!(explained.contains(line), "{explained}");
    }
    // What is left is the host's.
    assert!(!explained.contains("REFUSED"), "{explained}");
    assert!(explained.contains("wasi:cli/environment"), "{explained}");
}

#[test]
fn a_container_that_is_started_again_finds_its_libraries() {
    let world = World::new();
    image(&world, "app", &["words", "base"]);
    world.ok(&["create", "--name", "again", "app", "you"]);
    for _ in 0..2 {
        world.ok(&["start", "again"]);
        assert_eq!(world.ok(&["wait", "again"]), "0\n");
    }
    assert_eq!(
        world.ok(&["logs", "again"]),
        "hello hello you\nhello hello you\n"
    );
}

#[test]
fn a_missing_dependency_is_named_and_can_be_mounted() {
    let world = World::new();
    image(&world, "none", &[]);
    image(&world, "half", &["words"]);
    let refusal = world
        .run(&["run", "--rm", "none"])
        .expect_code(126, &["none"])
        .errors();
    assert!(
        refusal.contains("\"acme:words/greeting@1.0.0\"") && refusal.contains("/usr/lib/wasm"),
        "{refusal}"
    );
    let refusal = world
        .run(&["run", "--rm", "half"])
        .expect_code(126, &["half"])
        .errors();
    assert!(
        refusal.contains("\"/usr/lib/wasm/words.wasm\" imports \"acme:base/count@0.3.0\", which no component in \"/usr/lib/wasm\" exports"),
        "{refusal}"
    );
    // Where there are others, they are used.
    world.write("libraries/words.wasm", component("words"));
    world.write("libraries/base.wasm", component("base"));
    let mount = format!("{}:/usr/lib/wasm:ro", world.path("libraries").display());
    assert_eq!(
        world.ok(&["run", "--rm", "-v", &mount, "none", "you"]),
        "hello hello you\n"
    );
    // Two that have it: nobody guesses.
    let twice = [component("base"), b"\0\x05\x01x000".to_vec()].concat();
    world.write("libraries/other.wasm", twice);
    let refusal = world
        .run(&["run", "--rm", "-v", &mount, "none"])
        .expect_code(126, &["ambiguous"])
        .errors();
    assert!(
        refusal.contains("\"/usr/lib/wasm/base.wasm\" exports as \"acme:base/count@0.3.1\" and \"/usr/lib/wasm/other.wasm\""),
        "{refusal}"
    );
}
