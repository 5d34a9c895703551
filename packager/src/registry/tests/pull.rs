use super::super::fake::{Access, FakeRegistry, Fault};
use super::*;
use crate::media_type::WASM;

#[tokio::test]
async fn an_image_arrives_whole() {
    let registry = FakeRegistry::start(Access::Open);
    let sample = Sample::new("wasi", "wasm", &[300_000, 10, 5_000_000, 10]);
    let digest = sample.put(&registry, "1");
    let home = Home::new();
    let events = Events::default();
    let host = Platform::host();
    let client = client();
    let name = reference(&registry, ":1");
    let pulled = client
        .pull(&name, &home.store, None, &host, None, &|event| {
            events.add(event)
        })
        .await
        .expect("pull");
    assert_eq!(pulled.digest, digest);
    assert!(!pulled.up_to_date);
    assert_eq!(pulled.image.config.architecture, "wasm");
    assert_eq!(pulled.descriptor.size(), sample.manifest.len() as u64);
    assert_eq!(home.blobs().len(), 6);
    for blob in &sample.layers {
        let digest = Digest::sha256_of(blob);
        assert_eq!(
            home.store.read_blob(&digest, 1 << 30).expect("a layer"),
            *blob
        );
        assert_eq!(events.bytes(&digest), blob.len() as u64);
        assert_eq!(
            events.of(&digest).last(),
            Some(&TransferEvent::Done { digest })
        );
    }
    home.store
        .image(&pulled.descriptor, None, &host)
        .expect("the image in the store");

    let before = registry.requests().len();
    let again = Events::default();
    let pulled = client
        .pull(&name, &home.store, None, &host, None, &|event| {
            again.add(event)
        })
        .await
        .expect("pull again");
    assert!(pulled.up_to_date);
    let skipped = TransferEvent::Skipped {
        digest: sample.layer(),
    };
    assert_eq!(again.of(&sample.layer()), [skipped]);
    let requests = registry.requests().split_off(before);
    assert!(
        requests
            .iter()
            .all(|request| request.path == "/v2/" || request.method == "HEAD"),
        "{requests:?}"
    );
}

#[tokio::test]
async fn an_index_is_chosen_from_and_kept() {
    let registry = FakeRegistry::start(Access::Open);
    let (wasm, native) = (
        Sample::new("wasi", "wasm", &[100]),
        Sample::new("linux", "amd64", &[200, 300]),
    );
    wasm.put(&registry, "wasm");
    let native_digest = native.put(&registry, "native");
    // As BuildKit adds it: never chosen, nor fetched.
    let attestation = Sample::new("unknown", "unknown", &[50]);
    let index = index_of(&[
        ("unknown", "unknown", &attestation),
        ("linux", "amd64", &native),
        ("wasi", "wasm", &wasm),
    ]);
    let digest = registry.put_manifest(REPOSITORY, "latest", OCI_INDEX, &index);
    let (client, home) = (client(), Home::new());

    let pulled = pull(&client, &home, &reference(&registry, ""))
        .await
        .expect("pull");
    assert_eq!(pulled.digest, digest);
    assert_eq!(pulled.image.config.os, "wasi");
    assert_eq!(
        home.blobs().len(),
        4,
        "index, manifest, config and layer of the chosen image only"
    );
    assert!(!home.has(&native_digest));

    let wanted = Platform::parse("linux/amd64").expect("a platform");
    let pulled = client
        .pull(
            &reference(&registry, ""),
            &home.store,
            Some(&wanted),
            &Platform::host(),
            None,
            &|_| {},
        )
        .await
        .expect("pull the other");
    assert_eq!(pulled.image.config.os, "linux");
    assert_eq!(pulled.digest, digest);
    assert_eq!(home.blobs().len(), 8);

    let wanted = Platform::parse("linux/s390x").expect("a platform");
    let error = client
        .pull(
            &reference(&registry, ""),
            &home.store,
            Some(&wanted),
            &Platform::host(),
            None,
            &|_| {},
        )
        .await
        .expect_err("no such platform");
    let text = cause(&error).to_string();
    assert!(
        text.contains("linux/s390x") && text.contains("wasi/wasm"),
        "{text}"
    );
}

#[tokio::test]
async fn a_digest_is_pulled_without_asking_for_tags() {
    let registry = FakeRegistry::start(Access::Open);
    let digest = Sample::new("wasi", "wasm", &[10]).put(&registry, "1");
    let (client, home) = (client(), Home::new());
    let pulled = pull(&client, &home, &reference(&registry, &format!("@{digest}")))
        .await
        .expect("pull");
    assert_eq!(pulled.digest, digest);
    assert!(
        registry
            .requests()
            .iter()
            .all(|request| request.method == "GET")
    );

    let absent = Digest::sha256_of(b"absent");
    let error = pull_error(&client, &home, &reference(&registry, &format!("@{absent}"))).await;
    assert!(matches!(cause(&error), Cause::NotFound), "{error:?}");
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let registry = FakeRegistry::start(Access::Open);
    let (client, home) = (client(), Home::new());
    let error = pull_error(&client, &home, &reference(&registry, ":none")).await;
    assert!(matches!(cause(&error), Cause::NotFound), "{error:?}");
    assert!(!error.is_temporary());

    let sample = Sample::new("wasi", "wasm", &[10]);
    registry.put_blob(REPOSITORY, &sample.config);
    registry.put_manifest(REPOSITORY, "no-layer", OCI_MANIFEST, &sample.manifest);
    let error = pull_error(&client, &home, &reference(&registry, ":no-layer")).await;
    assert!(
        error.to_string().contains(&sample.layer().to_string()),
        "{error}"
    );
    assert!(
        !home.has(&Digest::sha256_of(&sample.manifest)),
        "a manifest comes last"
    );
}

#[tokio::test]
async fn nobody_there_is_named() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let name = Reference::parse(&format!("{address}/x:1")).expect("a reference");
    let error = pull_error(&client(), &Home::new(), &name).await;
    assert!(matches!(cause(&error), Cause::Connect { .. }), "{error:?}");
    assert!(
        cause(&error).to_string().contains(&address.to_string()),
        "{error:?}"
    );
    assert!(error.is_temporary());
}

#[tokio::test]
async fn manifests_that_are_none_are_refused() {
    let registry = FakeRegistry::start(Access::Open);
    let (client, home) = (client(), Home::new());
    let schema1 = r#"{"schemaVersion":1,"name":"x","tag":"1","fsLayers":[]}"#;
    let huge = format!(r#"{{"schemaVersion":2,"x":"{}"}}"#, "y".repeat(5 << 20));
    let both = r#"{"schemaVersion":2,"manifests":[],"layers":[],"config":{}}"#;
    let too_large = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": Digest::sha256_of(b"x").to_string(), "size": 9_000_000},
        "layers": [],
    })
    .to_string();
    for (tag, bytes, word) in [
        ("page", "<!DOCTYPE html><html>hello</html>", "web page"),
        (
            "garbage",
            "\u{1}\u{2}",
            "can be read: parsing manifest: expected value at line 1",
        ),
        ("schema1", schema1, "schema 1"),
        ("huge", huge.as_str(), "want at most 4194304"),
        ("both", both, "both a manifest and an index"),
        (
            "too-large",
            too_large.as_str(),
            "the config has 9000000 bytes",
        ),
    ] {
        registry.put_manifest(REPOSITORY, tag, OCI_MANIFEST, bytes.as_bytes());
        let error = pull_error(&client, &home, &reference(&registry, &format!(":{tag}"))).await;
        let text = super::super::redact::chain(cause(&error));
        assert!(text.contains(word), "{tag}: {text}");
        assert!(!error.is_temporary());
    }
    assert_eq!(home.blobs(), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_no_program_is_refused_before_its_layers() {
    let registry = FakeRegistry::start(Access::Open);
    let (client, home) = (client(), Home::new());
    let chart = Sample::of(
        "application/vnd.cncf.helm.config.v1+json",
        &json!({}),
        "x/y",
        vec![noise(10, 1)],
    );
    let config = |exports: Value| {
        json!({
            "architecture": "wasm", "os": "wasip2", "layerDigests": [],
            "component": {"exports": exports, "imports": []},
        })
    };
    let wasm_config = crate::media_type::WASM_CONFIG_V0;
    let package = Sample::of(
        wasm_config,
        &config(json!(["wasi:http/types@0.2.0"])),
        WASM,
        vec![noise(10, 2)],
    );
    let command = Sample::of(
        wasm_config,
        &config(json!(["wasi:cli/run@0.2.0"])),
        WASM,
        vec![noise(10, 3)],
    );
    let encrypted = Sample::of(
        OCI_CONFIG,
        &json!({"architecture": "wasm", "os": "wasi", "rootfs": {"type": "layers", "diff_ids": []}}),
        "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
        vec![noise(10, 4)],
    );
    for (tag, sample, word) in [
        ("chart", &chart, "helm"),
        ("encrypted", &encrypted, "encrypted"),
        ("package", &package, "a WIT package or a library"),
    ] {
        sample.put(&registry, tag);
        let error = pull_error(&client, &home, &reference(&registry, &format!(":{tag}"))).await;
        assert!(cause(&error).to_string().contains(word), "{error:?}");
        assert!(!home.has(&sample.layer()), "{tag}");
    }
    command.put(&registry, "command");
    pull(&client, &home, &reference(&registry, ":command"))
        .await
        .expect("a component is pulled");
}

#[tokio::test]
async fn blobs_behind_a_redirect_are_fetched_without_the_credential() {
    let access = Access::Basic {
        user: "me".to_owned(),
        password: "hunter2".to_owned(),
    };
    let (registry, storage) = (
        FakeRegistry::start(access),
        FakeRegistry::start(Access::Open),
    );
    let sample = Sample::new("wasi", "wasm", &[100_000]);
    sample.put(&registry, "1");
    storage.put_blob(REPOSITORY, &sample.layers[0]);
    registry.fault(
        "GET",
        sample.layer().hex(),
        Fault::Redirect(storage.host()),
        1,
    );
    let home = Home::new();
    pull(
        &client_of(User("me", "hunter2")),
        &home,
        &reference(&registry, ":1"),
    )
    .await
    .expect("pull");
    assert!(home.has(&sample.layer()));
    let requests = storage.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].authorization, None);
}

#[tokio::test]
async fn a_layer_that_may_not_be_distributed_comes_from_the_registry_or_not_at_all() {
    let registry = FakeRegistry::start(Access::Open);
    let trap = FakeRegistry::start(Access::Open);
    for foreign in [
        crate::media_type::OCI_FOREIGN_LAYER_GZIP,
        crate::media_type::DOCKER_FOREIGN_LAYER_GZIP,
    ] {
        let mut sample = Sample::new("linux", "amd64", &[1000, 2000]);
        let url = format!("http://{}/layer", trap.host());
        let mut manifest: Value = serde_json::from_slice(&sample.manifest).expect("JSON");
        manifest["layers"][0]["mediaType"] = json!(foreign);
        manifest["layers"][0]["urls"] = json!([url]);
        sample.manifest = manifest.to_string().into_bytes();
        let home = Home::new();
        let name = reference(&registry, ":1");
        sample.put(&registry, "1");
        pull(&client(), &home, &name).await.expect("pull");
        assert!(home.has(&sample.layer()));

        // Without the first layer.
        let registry = FakeRegistry::start(Access::Open);
        for blob in [&sample.layers[1], &sample.config] {
            registry.put_blob(REPOSITORY, blob);
        }
        registry.put_manifest(REPOSITORY, "1", OCI_MANIFEST, &sample.manifest);
        let error = pull(&client(), &Home::new(), &reference(&registry, ":1"))
            .await
            .expect_err("not there");
        assert!(matches!(*error.cause, Cause::Elsewhere { .. }), "{error:?}");
        assert!(error.cause.to_string().contains(&url), "{error:?}");
        assert!(error.hint().is_some());
    }
    assert!(
        trap.requests().is_empty(),
        "an image does not say who is asked"
    );
}
