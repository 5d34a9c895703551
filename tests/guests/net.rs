//! Makes a component of net.c.

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
};

/// The component that uses the network as `net.c` says.
pub(crate) fn component() -> Vec<u8> {
    let mut module = std::fs::read(crate::fixtures::guest("net")).expect("the guest");
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve
        .push_str("net.wit", include_str!("net.wit"))
        .expect("valid WIT");
    let world = resolve
        .select_world(&[package], Some("net"))
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
        .and_then(|encoder| {
            encoder.adapter(
                WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
                WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
            )
        })
        .and_then(|mut encoder| encoder.encode())
        .expect("the guest becomes a component")
}
