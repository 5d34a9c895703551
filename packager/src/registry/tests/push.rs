use super::super::fake::{Access, FakeRegistry, Fault};
use super::*;
use crate::image::{self, Descriptor};

/// Puts a sample into a store.
pub(super) fn keep(home: &Home, sample: &Sample) -> Descriptor {
    for blob in sample.layers.iter().chain([&sample.config]) {
        home.store.put_blob(blob).expect("a blob");
    }
    let (digest, size) = home.store.put_blob(&sample.manifest).expect("a manifest");
    image::descriptor(OCI_MANIFEST, &digest, size)
}

fn keep_index(home: &Home, index: &[u8]) -> Descriptor {
    let (digest, size) = home.store.put_blob(index).expect("an index");
    image::descriptor(OCI_INDEX, &digest, size)
}

async fn push(
    registry: &FakeRegistry,
    home: &Home,
    descriptor: &Descriptor,
) -> Result<super::super::Pushed, RegistryError> {
    client()
        .push(&reference(registry, ":1"), descriptor, &home.store, &|_| {})
        .await
}

pub(super) fn count(registry: &FakeRegistry, method: &str, part: &str) -> usize {
    let matches = |request: &&super::super::fake::Request| {
        request.method == method && request.path.contains(part)
    };
    registry.requests().iter().filter(matches).count()
}

#[tokio::test]
async fn an_image_arrives_byte_for_byte() {
    let (registry, home) = (FakeRegistry::start(Access::Open), Home::new());
    let sample = Sample::new("wasi", "wasm", &[9_000_000, 8 << 20, 1, 0]);
    let descriptor = keep(&home, &sample);
    let events = Events::default();
    let pushed = client()
        .push(
            &reference(&registry, ""),
            &descriptor,
            &home.store,
            &|event| events.add(event),
        )
        .await
        .expect("push");
    assert_eq!(pushed.digest, Digest::sha256_of(&sample.manifest));
    assert_eq!(pushed.size, sample.manifest.len() as u64);
    for blob in sample.layers.iter().chain([&sample.config]) {
        let digest = Digest::sha256_of(blob);
        assert_eq!(
            registry.blob(REPOSITORY, &digest).as_ref(),
            Some(blob),
            "{}",
            blob.len()
        );
        assert_eq!(events.bytes(&digest), blob.len() as u64);
        assert_eq!(
            events.of(&digest).last(),
            Some(&TransferEvent::Done { digest })
        );
    }
    let stored = registry.manifest(REPOSITORY, "latest");
    assert_eq!(
        stored,
        Some((OCI_MANIFEST.to_owned(), sample.manifest.clone()))
    );
    assert_eq!(count(&registry, "PATCH", ""), 0, "blobs are sent whole");
    let last = registry.requests().pop().expect("a request");
    assert_eq!(
        (last.method.as_str(), last.path.as_str()),
        ("PUT", "/v2/team/app/manifests/latest")
    );
}

#[tokio::test]
async fn what_the_registry_has_is_not_sent() {
    let (registry, home) = (FakeRegistry::start(Access::Open), Home::new());
    let sample = Sample::new("wasi", "wasm", &[100, 200]);
    let descriptor = keep(&home, &sample);
    registry.put_blob(REPOSITORY, &sample.layers[1]);
    let events = Events::default();
    client()
        .push(
            &reference(&registry, ""),
            &descriptor,
            &home.store,
            &|event| events.add(event),
        )
        .await
        .expect("push");
    assert_eq!(count(&registry, "POST", ""), 2, "one layer and the config");
    let digest = Digest::sha256_of(&sample.layers[1]);
    assert_eq!(events.of(&digest), [TransferEvent::Skipped { digest }]);
}

#[tokio::test]
async fn an_index_goes_after_its_manifests() {
    let (registry, home) = (FakeRegistry::start(Access::Open), Home::new());
    let (wasm, native) = (
        Sample::new("wasi", "wasm", &[10]),
        Sample::new("linux", "arm64", &[20]),
    );
    let index = index_of(&[("wasi", "wasm", &wasm), ("linux", "arm64", &native)]);
    keep(&home, &wasm);
    keep(&home, &native);
    let descriptor = keep_index(&home, &index);
    // As Amazon's registry does.
    registry.fault("PUT", "/manifests/", Fault::NoLocation, usize::MAX);
    push(&registry, &home, &descriptor).await.expect("push");
    let puts: Vec<String> = registry
        .requests()
        .into_iter()
        .filter(|request| request.method == "PUT" && request.path.contains("/manifests/"))
        .map(|request| request.path)
        .collect();
    let by_digest = |sample: &Sample| {
        format!(
            "/v2/{REPOSITORY}/manifests/{}",
            Digest::sha256_of(&sample.manifest)
        )
    };
    assert_eq!(
        puts,
        [
            by_digest(&wasm),
            by_digest(&native),
            format!("/v2/{REPOSITORY}/manifests/1")
        ]
    );
    assert_eq!(
        registry.manifest(REPOSITORY, "1"),
        Some((OCI_INDEX.to_owned(), index))
    );
}

#[tokio::test]
async fn an_incomplete_image_is_refused_before_anything_is_sent() {
    let (registry, home) = (FakeRegistry::start(Access::Open), Home::new());
    let (wasm, native) = (
        Sample::new("wasi", "wasm", &[10]),
        Sample::new("linux", "arm64", &[20]),
    );
    keep(&home, &wasm);
    let index = keep_index(
        &home,
        &index_of(&[("wasi", "wasm", &wasm), ("linux", "arm64", &native)]),
    );
    let error = push(&registry, &home, &index)
        .await
        .expect_err("an entry is missing");
    let text = cause(&error).to_string();
    let digest = Digest::sha256_of(&native.manifest).to_string();
    assert!(
        text.contains(&digest) && text.contains("linux/arm64"),
        "{text}"
    );

    let (digest, size) = home.store.put_blob(&native.manifest).expect("a manifest");
    let error = push(
        &registry,
        &home,
        &image::descriptor(OCI_MANIFEST, &digest, size),
    )
    .await
    .expect_err("a layer is missing");
    assert!(
        cause(&error)
            .to_string()
            .contains(&native.layer().to_string()),
        "{error:?}"
    );
    assert!(registry.requests().is_empty(), "{:?}", registry.requests());
}

#[tokio::test]
async fn a_registry_that_takes_no_large_requests_gets_pieces() {
    // A proxy may just hang up: the second time that looks like one.
    for (fault, times) in [(Fault::Status(413, "too large"), 1), (Fault::HangUp, 2)] {
        let (registry, home) = (FakeRegistry::start(Access::Open), Home::new());
        let sample = Sample::new("wasi", "wasm", &[11_000_000]);
        let descriptor = keep(&home, &sample);
        registry.fault("PUT", sample.layer().hex(), fault, times);
        push(&registry, &home, &descriptor).await.expect("push");
        let layer = registry.blob(REPOSITORY, &sample.layer());
        assert_eq!(layer.as_ref(), sample.layers.first());
        assert_eq!(count(&registry, "PATCH", ""), 3);
    }
}

#[tokio::test]
async fn one_cut_connection_is_no_reason_for_pieces() {
    let (registry, home) = (FakeRegistry::start(Access::Open), Home::new());
    let sample = Sample::new("wasi", "wasm", &[11_000_000]);
    let descriptor = keep(&home, &sample);
    registry.fault("PUT", sample.layer().hex(), Fault::HangUp, 1);
    push(&registry, &home, &descriptor).await.expect("push");
    assert_eq!(count(&registry, "PATCH", ""), 0);
}

#[tokio::test]
async fn what_the_registry_has_costs_one_request_each() {
    let (registry, home) = (FakeRegistry::start(Access::Open), Home::new());
    let (wasm, native) = (
        Sample::new("wasi", "wasm", &[10, 20, 30, 40, 50]),
        Sample::new("linux", "arm64", &[60, 70]),
    );
    keep(&home, &wasm);
    keep(&home, &native);
    let descriptor = keep_index(
        &home,
        &index_of(&[("wasi", "wasm", &wasm), ("linux", "arm64", &native)]),
    );
    push(&registry, &home, &descriptor).await.expect("push");
    let before = registry.requests().len();
    push(&registry, &home, &descriptor)
        .await
        .expect("push again");
    let again = registry.requests().split_off(before);
    let mut made: Vec<(&str, String)> = again
        .iter()
        .map(|request| (request.method.as_str(), request.path.clone()))
        .collect();
    made.sort();
    let blobs = [&wasm, &native]
        .into_iter()
        .flat_map(|sample| sample.layers.iter().chain([&sample.config]));
    let heads = blobs.map(|blob| {
        (
            "HEAD",
            format!("/v2/{REPOSITORY}/blobs/{}", Digest::sha256_of(blob)),
        )
    });
    let names = [&wasm, &native].map(|sample| Digest::sha256_of(&sample.manifest).to_string());
    let puts = names
        .into_iter()
        .chain(["1".to_owned()])
        .map(|name| ("PUT", format!("/v2/{REPOSITORY}/manifests/{name}")));
    let mut want: Vec<(&str, String)> = heads.chain(puts).collect();
    want.sort();
    assert_eq!(made, want);
}

#[tokio::test]
async fn one_limit_or_server_error_is_waited_out() {
    for (method, part) in [
        ("HEAD", "/blobs/"),
        ("POST", "/uploads/"),
        ("PUT", "/uploads/"),
        ("PUT", "/manifests/"),
    ] {
        for status in [429, 500] {
            let (registry, home) = (FakeRegistry::start(Access::Open), Home::new());
            let sample = Sample::new("wasi", "wasm", &[5_000]);
            let descriptor = keep(&home, &sample);
            registry.fault(method, part, Fault::Status(status, "busy"), 1);
            push(&registry, &home, &descriptor).await.expect("push");
            assert_eq!(
                registry.blob(REPOSITORY, &sample.layer()),
                Some(sample.layers[0].clone())
            );
        }
    }
}

#[tokio::test]
async fn a_refused_push_is_one_clear_error() {
    for (status, body, word) in [
        (
            403,
            r#"{"errors":[{"code":"DENIED","message":"read only"}]}"#,
            "denied it: read only",
        ),
        (500, "oops", "status 500: oops"),
    ] {
        let (registry, home) = (FakeRegistry::start(Access::Open), Home::new());
        let descriptor = keep(&home, &Sample::new("wasi", "wasm", &[10]));
        registry.fault("POST", "", Fault::Status(status, body), usize::MAX);
        let error = push(&registry, &home, &descriptor)
            .await
            .expect_err("refused");
        assert!(cause(&error).to_string().contains(word), "{error:?}");
        assert_eq!(registry.manifest(REPOSITORY, "1"), None);
    }
}

#[tokio::test]
async fn a_damaged_blob_is_not_pushed() {
    let (registry, home) = (FakeRegistry::start(Access::Open), Home::new());
    // Whole pieces, so that the damage shows only at the very end.
    let sample = Sample::new("wasi", "wasm", &[8 << 20]);
    let descriptor = keep(&home, &sample);
    let mut bytes = sample.layers[0].clone();
    bytes[100] ^= 1;
    let path = home
        .store
        .root()
        .join("blobs/sha256")
        .join(sample.layer().hex());
    fs::write(path, bytes).expect("the disk changes the layer");
    let error = push(&registry, &home, &descriptor)
        .await
        .expect_err("damaged");
    assert!(matches!(cause(&error), Cause::Store(_)), "{error:?}");
    assert!(
        cause(&error).to_string().contains(sample.layer().hex()),
        "{error:?}"
    );
    assert_eq!(registry.blob(REPOSITORY, &sample.layer()), None);
    assert_eq!(registry.manifest(REPOSITORY, "1"), None);
}

#[tokio::test]
async fn a_digest_cannot_be_pushed_to() {
    let (registry, home) = (FakeRegistry::start(Access::Open), Home::new());
    let descriptor = keep(&home, &Sample::new("wasi", "wasm", &[10]));
    let name = reference(&registry, &format!("@{}", Digest::sha256_of(b"x")));
    let error = client()
        .push(&name, &descriptor, &home.store, &|_| {})
        .await
        .expect_err("a digest");
    assert!(matches!(cause(&error), Cause::DigestReference), "{error:?}");
    assert!(error.hint().is_some());
}
