use super::super::fake::{Access, FakeRegistry, Fault};
use super::*;

/// A registry with one image, whose only layer has a fault.
struct Faulty {
    registry: FakeRegistry,
    sample: Sample,
    home: Home,
}

impl Faulty {
    fn new(fault: Fault, times: usize) -> Self {
        let registry = FakeRegistry::start(Access::Open);
        let sample = Sample::new("wasi", "wasm", &[2_000_000]);
        sample.put(&registry, "1");
        registry.fault("GET", sample.layer().hex(), fault, times);
        Self {
            registry,
            sample,
            home: Home::new(),
        }
    }

    async fn error(&self) -> RegistryError {
        let error = pull_error(&client(), &self.home, &reference(&self.registry, ":1")).await;
        assert!(
            error.to_string().contains(&self.sample.layer().to_string()),
            "{error}"
        );
        assert!(!self.home.has(&self.sample.layer()));
        assert!(
            !self.home.has(&Digest::sha256_of(&self.sample.manifest)),
            "a manifest comes last"
        );
        error
    }

    async fn success(&self) -> Events {
        let events = Events::default();
        let client = client();
        client
            .pull(
                &reference(&self.registry, ":1"),
                &self.home.store,
                None,
                &Platform::host(),
                None,
                &|event| {
                    events.add(event);
                },
            )
            .await
            .expect("the pull gets over it");
        let layer = self.sample.layer();
        assert!(self.home.has(&layer));
        assert_eq!(events.bytes(&layer), 2_000_000, "no byte is told twice");
        events
    }

    /// Returns the ranges that were asked of the layer.
    fn ranges(&self) -> Vec<Option<String>> {
        let hex = self.sample.layer().hex().to_owned();
        let requests = self.registry.requests().into_iter();
        requests
            .filter(|request| request.path.contains(&hex))
            .map(|request| request.range)
            .collect()
    }
}

#[tokio::test]
async fn a_cut_connection_is_taken_up_where_it_broke() {
    let faulty = Faulty::new(Fault::Cut(700_000), 1);
    let events = faulty.success().await;
    assert_eq!(faulty.ranges(), [None, Some("bytes=700000-".to_owned())]);
    let retried = |event: &TransferEvent| matches!(event, TransferEvent::Retrying { .. });
    assert_eq!(
        events
            .of(&faulty.sample.layer())
            .iter()
            .filter(|event| retried(event))
            .count(),
        1
    );
}

#[tokio::test]
async fn a_cut_connection_without_ranges_starts_again() {
    let faulty = Faulty::new(Fault::Cut(700_000), 1);
    faulty
        .registry
        .fault("GET", faulty.sample.layer().hex(), Fault::NoRange, 1);
    faulty.success().await;
    assert_eq!(faulty.ranges().len(), 2);
}

#[tokio::test]
async fn a_connection_that_always_breaks_is_given_up() {
    let faulty = Faulty::new(Fault::Cut(0), usize::MAX);
    let error = faulty.error().await;
    assert!(matches!(cause(&error), Cause::Broken { .. }), "{error:?}");
    assert!(error.is_temporary());
    assert_eq!(faulty.ranges().len(), 4);
}

#[tokio::test]
async fn a_wrong_digest_is_refused_at_once() {
    let faulty = Faulty::new(Fault::Body(noise(2_000_000, 99)), usize::MAX);
    let error = faulty.error().await;
    let layer = faulty.sample.layer().to_string();
    assert!(
        matches!(cause(&error), Cause::WrongDigest { want, .. } if *want == layer),
        "{error:?}"
    );
    assert!(!error.is_temporary());
    assert_eq!(faulty.ranges().len(), 1);
}

#[tokio::test]
async fn a_short_body_is_refused() {
    let faulty = Faulty::new(Fault::Body(noise(1_000, 0)), usize::MAX);
    let error = faulty.error().await;
    assert!(
        matches!(cause(&error), Cause::WrongSize { got, want: 2_000_000, .. } if *got < 2_000_000),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_body_that_announces_too_much_is_not_read() {
    let faulty = Faulty::new(Fault::Body(noise(2_000_001, 0)), usize::MAX);
    let error = faulty.error().await;
    assert!(
        matches!(
            cause(&error),
            Cause::WrongSize {
                got: 2_000_001,
                more: false,
                want: 2_000_000
            }
        ),
        "{error:?}"
    );
    assert_eq!(faulty.ranges().len(), 1);
}

#[tokio::test]
async fn an_endless_body_is_hung_up_on() {
    let faulty = Faulty::new(Fault::Endless, usize::MAX);
    let error = faulty.error().await;
    assert!(
        matches!(cause(&error), Cause::WrongSize { got, more: true, .. } if *got < 3_000_000),
        "{error:?}"
    );
    assert_eq!(faulty.ranges().len(), 1);
}

#[tokio::test]
async fn one_limit_or_server_error_is_waited_out() {
    for status in [429, 500, 503] {
        let faulty = Faulty::new(Fault::Status(status, "busy"), 1);
        faulty.success().await;
        assert_eq!(faulty.ranges().len(), 2);
    }
}

#[tokio::test]
async fn limits_and_server_errors_without_end_are_given_up() {
    for (status, word) in [(429, "limits requests: busy"), (500, "status 500: busy")] {
        let faulty = Faulty::new(Fault::Status(status, "busy"), usize::MAX);
        let error = faulty.error().await;
        assert!(cause(&error).to_string().contains(word), "{error:?}");
        assert!(error.is_temporary());
        assert_eq!(faulty.ranges().len(), 4);
    }
}

#[tokio::test]
async fn a_manifest_is_fetched_again_after_a_server_error() {
    let faulty = Faulty::new(Fault::NoRange, 0);
    faulty
        .registry
        .fault("GET", "/manifests/", Fault::Status(502, ""), 2);
    faulty
        .registry
        .fault("HEAD", "/manifests/", Fault::Status(429, ""), 1);
    faulty.success().await;
    assert_eq!(
        gets(&faulty.registry, "/manifests/"),
        3,
        "two that failed, and one"
    );
}

#[tokio::test]
async fn another_manifest_than_the_digest_names_is_refused() {
    let registry = FakeRegistry::start(Access::Open);
    let digest = Sample::new("wasi", "wasm", &[10]).put(&registry, "1");
    let other = Sample::new("wasi", "wasm", &[20]);
    registry.fault(
        "GET",
        "/manifests/",
        Fault::Body(other.manifest),
        usize::MAX,
    );
    let home = Home::new();
    for rest in [":1".to_owned(), format!("@{digest}")] {
        let error = pull_error(&client(), &home, &reference(&registry, &rest)).await;
        assert!(
            matches!(cause(&error), Cause::WrongDigest { .. }),
            "{error:?}"
        );
    }
    assert_eq!(home.blobs(), Vec::<String>::new());
}

#[tokio::test]
async fn an_entry_of_another_size_than_the_index_says_is_refused() {
    let registry = FakeRegistry::start(Access::Open);
    let sample = Sample::new("wasi", "wasm", &[10]);
    sample.put(&registry, "image");
    let mut index: Value =
        serde_json::from_slice(&index_of(&[("wasi", "wasm", &sample)])).expect("an index");
    index["manifests"][0]["size"] = json!(sample.manifest.len() + 1);
    registry.put_manifest(REPOSITORY, "1", OCI_INDEX, index.to_string().as_bytes());
    let home = Home::new();
    let error = pull_error(&client(), &home, &reference(&registry, ":1")).await;
    assert!(
        matches!(cause(&error), Cause::WrongSize { .. }),
        "{error:?}"
    );
    assert_eq!(home.blobs(), Vec::<String>::new());
}

#[tokio::test]
async fn a_web_server_is_no_registry() {
    let registry = FakeRegistry::start(Access::Open);
    let page = b"<html><body>Welcome</body></html>".to_vec();
    for method in ["GET", "HEAD"] {
        registry.fault(method, "/", Fault::Body(page.clone()), usize::MAX);
    }
    let home = Home::new();
    let error = pull_error(&client(), &home, &reference(&registry, ":1")).await;
    assert!(matches!(cause(&error), Cause::Protocol { .. }), "{error:?}");
    assert!(cause(&error).to_string().contains("web page"), "{error:?}");
}

#[tokio::test]
async fn an_index_within_itself_ends() {
    let registry = FakeRegistry::start(Access::Open);
    let mut inner = index_of(&[("wasi", "wasm", &Sample::new("wasi", "wasm", &[]))]);
    for _ in 0..10 {
        registry.put_manifest(REPOSITORY, "1", OCI_INDEX, &inner);
        inner = json!({
            "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor(OCI_INDEX, &inner)],
        })
        .to_string()
        .into_bytes();
    }
    let error = pull_error(&client(), &Home::new(), &reference(&registry, ":1")).await;
    assert!(matches!(cause(&error), Cause::Nesting { .. }), "{error:?}");
}

#[tokio::test]
async fn a_pull_that_is_dropped_leaves_nothing_half_written() {
    let faulty = Faulty::new(Fault::Endless, usize::MAX);
    let name = reference(&faulty.registry, ":1");
    let client = client();
    let (seen, first) = tokio::sync::oneshot::channel();
    let seen = Mutex::new(Some(seen));
    let host = Platform::host();
    let progress = |event: TransferEvent| {
        if matches!(&event, TransferEvent::Bytes { digest, .. } if *digest == faulty.sample.layer())
            && let Some(seen) = seen.lock().expect("no panic").take()
        {
            seen.send(()).expect("the test waits");
        }
    };
    tokio::select! {
        biased;
        _ = first => {}
        result = client.pull(&name, &faulty.home.store, None, &host, None, &progress) => {
            // An endless body can be over before the other branch is looked at.
            result.map(drop).expect_err("an endless body");
        }
    }
    // The writing thread ends by itself when nothing comes any more.
    for _ in 0..200 {
        let ingest = faulty.home.store.root().join(".ingest");
        if fs::read_dir(ingest).map_or(0, Iterator::count) == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!faulty.home.has(&faulty.sample.layer()));
}
