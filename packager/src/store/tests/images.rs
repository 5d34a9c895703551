use super::*;
use crate::image::{ImageError, Limits, Shape};

#[test]
fn an_index_leads_to_the_image_for_the_platform() {
    let (_folder, store) = store();
    let wasm = put_image(&store, "wasi/wasm", "wasm");
    let native = put_image(&store, "linux/amd64", "native");
    let index = put_index(&store, &[native.clone(), wasm.clone()]);
    let outer = put_index(&store, &[index]);
    let image = store.image(&outer, None, &host()).expect("an image");
    assert_eq!(image.descriptor, wasm);
    assert_eq!(image.platform(), Platform::wasm());
    assert_eq!(image.tar_layers().expect("layers").len(), 1);
    let image = store
        .image(&outer, Some(&host()), &host())
        .expect("an image");
    assert_eq!(image.descriptor, native);
    let arm = Platform::parse("linux/arm64").expect("a platform");
    let error = store
        .image(&outer, Some(&arm), &host())
        .expect_err("no such platform");
    assert!(matches!(error, StoreError::Select { .. }), "{error}");
    // A manifest that a name leads to directly is checked as well.
    let error = store
        .image(&native, Some(&arm), &host())
        .expect_err("another platform");
    assert!(matches!(error, StoreError::Platform { .. }), "{error}");
    assert!(
        store.image(&native, None, &arm).is_ok(),
        "looking at it is allowed anywhere"
    );
}

#[test]
fn what_is_wrong_is_refused_by_name() {
    let (_folder, store) = store();
    let image = put_image(&store, "wasi/wasm", "x");
    let refused = |descriptor: &Descriptor| {
        store
            .image(descriptor, None, &host())
            .expect_err("a wrong image")
    };
    let mut wrong_size = image.clone();
    wrong_size.set_size(image.size() + 1);
    assert!(matches!(refused(&wrong_size), StoreError::WrongSize { .. }));
    let schema1 = put(&store, mt::DOCKER_SCHEMA1_SIGNED, b"{\"schemaVersion\":1}");
    assert!(matches!(
        refused(&schema1),
        StoreError::Image {
            source: ImageError::Schema1,
            ..
        }
    ));
    let layer = put(&store, mt::OCI_LAYER, b"x");
    assert!(matches!(
        refused(&layer),
        StoreError::Image {
            source: ImageError::NotAnImage { .. },
            ..
        }
    ));
    let huge = put(&store, mt::OCI_MANIFEST, &vec![b' '; (4 << 20) + 1]);
    assert!(matches!(refused(&huge), StoreError::TooLarge { .. }));
    let absent = descriptor(mt::OCI_MANIFEST, &Digest::sha256_of(b"absent"), 6);
    assert!(matches!(refused(&absent), StoreError::Missing { .. }));

    let mut nested = image;
    for _ in 0..=Limits::NESTING {
        nested = put_index(&store, &[nested]);
    }
    assert!(matches!(refused(&nested), StoreError::Nesting { .. }));
    assert!(matches!(
        store.manifests(&nested),
        Err(StoreError::Nesting { .. })
    ));
}

#[test]
fn a_wasm_artifact_is_read_and_named() {
    let (_folder, store) = store();
    let layer = put(&store, mt::WASM, b"\0asm");
    let config = put(
        &store,
        mt::WASM_CONFIG_V0,
        br#"{"architecture":"wasm","os":"wasip2","layerDigests":[],"component":{"exports":[],"imports":[]}}"#,
    );
    let manifest = json!({
        "schemaVersion": 2, "mediaType": mt::OCI_MANIFEST, "config": config, "layers": [layer],
    });
    let manifest = put(&store, mt::OCI_MANIFEST, &canonical_json(&manifest));
    let image = store
        .image(&manifest, Some(&Platform::wasm()), &host())
        .expect("an artifact");
    assert_eq!(image.shape(), Shape::WasmArtifact);
    let error = image.tar_layers().expect_err("no tar layers").to_string();
    assert!(error.contains("CNCF Wasm artifact"), "{error}");
}

#[test]
fn everything_reachable_in_the_order_of_a_push() {
    let (_folder, store) = store();
    let wasm = put_image(&store, "wasi/wasm", "same layer");
    let native = put_image(&store, "linux/amd64", "same layer");
    let absent = descriptor(mt::OCI_MANIFEST, &Digest::sha256_of(b"absent"), 6);
    let index = put_index(
        &store,
        &[wasm.clone(), native.clone(), absent.clone(), wasm.clone()],
    );
    let reachable = store.manifests(&index).expect("a list");
    assert_eq!(reachable.manifests, [wasm, native, index]);
    assert_eq!(reachable.configs.len(), 2);
    assert_eq!(reachable.layers.len(), 1, "a shared layer is listed once");
    assert_eq!(reachable.absent, std::slice::from_ref(&absent));
    assert!(matches!(
        store.manifests(&absent),
        Err(StoreError::Missing { .. })
    ));
}
