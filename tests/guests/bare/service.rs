//! Makes a component of service.c.

use std::path::Path;

/// The component that answers HTTP requests as `service.c` says.
pub(crate) fn component() -> Vec<u8> {
    let folder = std::env::var_os("CORACLE_TEST_GUESTS")
        .expect("CORACLE_TEST_GUESTS is not set: ./tests/run.sh compiles the guests");
    let path = Path::new(&folder).join("service.wasm");
    let mut module =
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve
        .push_str("service.wit", include_str!("service.wit"))
        .expect("valid WIT");
    let world = resolve
        .select_world(&[package], Some("service"))
        .expect("the world");
    wit_component::embed_component_metadata(
        &mut module,
        &resolve,
        world,
        wit_component::StringEncoding::UTF8,
    )
    .expect("a module that fits its world");
    wit_component::ComponentEncoder::default()
        .module(&module)
        .and_then(|mut encoder| encoder.encode())
        .expect("a component")
}
