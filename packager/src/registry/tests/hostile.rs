//! What a registry must not be able to do.

use super::super::fake::{Access, FakeRegistry, Fault};
use super::super::{Action, ManifestName, Repository};
use super::*;

fn bearer() -> Access {
    Access::Bearer {
        user: None,
        uses: 1000,
    }
}

fn repository(registry: &FakeRegistry) -> Repository {
    client()
        .repository(&reference(registry, ":1"), Action::Pull)
        .expect("a repository")
}

#[tokio::test]
async fn an_endless_manifest_is_hung_up_on() {
    let registry = FakeRegistry::start(Access::Open);
    registry.fault("GET", "/manifests/", Fault::Endless, usize::MAX);
    let name = ManifestName::Digest(Sample::new("wasi", "wasm", &[10]).put(&registry, "1"));
    let error = repository(&registry)
        .get_manifest(&name)
        .await
        .expect_err("endless");
    assert!(
        matches!(cause(&error), Cause::TooLarge { got, limit: 4_194_304, .. } if *got < 5_000_000),
        "{error:?}"
    );
    assert_eq!(gets(&registry, "/manifests/"), 1);
}

#[tokio::test]
async fn an_endless_token_is_hung_up_on() {
    let registry = FakeRegistry::start(bearer());
    registry.fault("GET", "/token", Fault::Endless, usize::MAX);
    let error = pull_error(&client(), &Home::new(), &reference(&registry, ":1")).await;
    assert!(
        matches!(cause(&error), Cause::TooLarge { got, limit: 65_536, .. } if *got < 500_000),
        "{error:?}"
    );
    assert_eq!(gets(&registry, "/token"), 1);
}

#[tokio::test]
async fn an_endless_error_is_cut_off() {
    let registry = FakeRegistry::start(Access::Open);
    registry.fault("GET", "/manifests/", Fault::EndlessStatus(403), usize::MAX);
    let name = ManifestName::Digest(Digest::sha256_of(b"x"));
    let error = repository(&registry)
        .get_manifest(&name)
        .await
        .expect_err("denied");
    assert!(matches!(cause(&error), Cause::Denied { .. }), "{error:?}");
    assert!(error.to_string().len() + cause(&error).to_string().len() < 1000);
}

#[tokio::test]
async fn endless_headers_are_hung_up_on() {
    let registry = FakeRegistry::start(Access::Open);
    registry.fault("GET", "/manifests/", Fault::EndlessHead, usize::MAX);
    let name = ManifestName::Digest(Digest::sha256_of(b"x"));
    let error = repository(&registry)
        .get_manifest(&name)
        .await
        .expect_err("endless");
    assert!(matches!(cause(&error), Cause::Broken { .. }), "{error:?}");
    assert_eq!(gets(&registry, "/manifests/"), 4);
}

#[tokio::test]
async fn redirects_without_end_end() {
    let registry = FakeRegistry::start(Access::Open);
    registry.fault(
        "GET",
        "/manifests/",
        Fault::Redirect(registry.host()),
        usize::MAX,
    );
    let name = ManifestName::Digest(Digest::sha256_of(b"x"));
    let error = repository(&registry)
        .get_manifest(&name)
        .await
        .expect_err("endless");
    assert!(
        cause(&error)
            .to_string()
            .contains("redirects more than 5 times"),
        "{error:?}"
    );
    assert_eq!(gets(&registry, "/manifests/"), 6);
}

#[tokio::test]
async fn nobody_is_led_to_addresses_that_the_registry_is_not_near() {
    let registry = FakeRegistry::start(Access::Open);
    for target in [
        "169.254.169.254",
        "[fe80::1]",
        "0.0.0.0",
        "[::ffff:169.254.169.254]",
        "2852039166",
    ] {
        registry.fault("GET", "/manifests/", Fault::Redirect(target.to_owned()), 1);
        let name = ManifestName::Digest(Digest::sha256_of(b"x"));
        let error = repository(&registry)
            .get_manifest(&name)
            .await
            .expect_err("refused");
        assert!(
            matches!(cause(&error), Cause::Misled { .. }),
            "{target}: {error:?}"
        );
    }
    // The token server is looked at in the same way.
    let registry = FakeRegistry::start(bearer());
    for (realm, word) in [
        (
            "https://169.254.169.254/latest/meta-data",
            "must not lead to",
        ),
        ("http://auth.example/token", "not encrypted"),
        ("file:///etc/passwd", "only HTTPS and HTTP"),
        ("https://me:secret@127.0.0.1/token", "has a user"),
        ("nonsense", "is no URL"),
    ] {
        registry.fault(
            "HEAD",
            "/manifests/",
            Fault::Challenge(format!("Bearer realm=\"{realm}\",service=\"x\"")),
            1,
        );
        let error = pull_error(
            &client_of(User("me", "hunter2")),
            &Home::new(),
            &reference(&registry, ":1"),
        )
        .await;
        assert!(
            cause(&error).to_string().contains(word),
            "{realm}: {error:?}"
        );
        assert!(!format!("{error:?}").contains("secret@"), "{error:?}");
    }
}

#[tokio::test]
async fn a_registry_says_how_long_to_wait_but_not_for_ever() {
    let registry = FakeRegistry::start(Access::Open);
    let digest = Sample::new("wasi", "wasm", &[10]).put(&registry, "1");
    let name = ManifestName::Digest(digest);
    for status in [429, 503] {
        registry.fault("GET", "/manifests/", Fault::Later(status, 1), 1);
        let start = std::time::Instant::now();
        repository(&registry)
            .get_manifest(&name)
            .await
            .expect("a manifest");
        assert!(start.elapsed() >= Duration::from_secs(1));
        registry.fault("GET", "/manifests/", Fault::Later(status, 3600), 1);
        let before = gets(&registry, "/manifests/");
        let error = repository(&registry)
            .get_manifest(&name)
            .await
            .expect_err("too long");
        assert_eq!(gets(&registry, "/manifests/"), before + 1);
        if status == 429 {
            assert!(
                cause(&error).to_string().contains("for 3600 seconds"),
                "{error:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_wider_token_is_got_where_one_is_too_narrow() {
    let registry = FakeRegistry::start(bearer());
    Sample::new("wasi", "wasm", &[10]).put(&registry, "1");
    let wanted = format!(
        "Basic realm=\"other\", Bearer realm=\"http://{}/token\",service=\"fake\",scope=\"repository:{REPOSITORY}:pull,metadata_read\",error=\"insufficient_scope\"",
        registry.host()
    );
    registry.fault("HEAD", "/manifests/", Fault::Challenge(wanted), 2);
    pull(&client(), &Home::new(), &reference(&registry, ":1"))
        .await
        .expect("pull");
    let asked = registry
        .requests()
        .into_iter()
        .rfind(|request| request.path.contains("/token"));
    assert!(asked.is_some_and(|request| request.path.contains("metadata_read")));
}

#[tokio::test]
async fn pages_of_tags_are_joined_and_stay_at_the_registry() {
    let registry = FakeRegistry::start(Access::Open);
    let page = |tags: &str| format!(r#"{{"name":"x","tags":[{tags}]}}"#).into_bytes();
    registry.fault("GET", "last=b", Fault::Body(page("\"c\"")), 1);
    registry.fault(
        "GET",
        "/tags/list",
        Fault::Linked(
            page("\"a\",\"b\""),
            format!("</v2/{REPOSITORY}/tags/list?last=b>; rel=\"next\""),
        ),
        1,
    );
    assert_eq!(
        repository(&registry).tags().await.expect("tags"),
        ["a", "b", "c"]
    );
    registry.fault(
        "GET",
        "/tags/list",
        Fault::Linked(
            page(""),
            "<http://169.254.169.254/>; rel=\"next\"".to_owned(),
        ),
        1,
    );
    let error = repository(&registry).tags().await.expect_err("elsewhere");
    assert!(
        cause(&error).to_string().contains("leads elsewhere"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_small_blob_and_a_manifest_travel_by_hand() {
    let registry = FakeRegistry::start(Access::Open);
    let repository = client()
        .repository(&reference(&registry, ":1"), Action::Push)
        .expect("a repository");
    let digest = repository
        .put_blob(bytes::Bytes::from_static(b"{}"))
        .await
        .expect("put");
    assert_eq!(
        repository
            .get_blob(&digest, 10)
            .await
            .expect("get")
            .as_ref(),
        b"{}"
    );
    let error = repository
        .get_blob(&digest, 1)
        .await
        .expect_err("too large");
    assert!(matches!(cause(&error), Cause::TooLarge { .. }), "{error:?}");
    let manifest = bytes::Bytes::from(Sample::new("wasi", "wasm", &[1]).manifest);
    let tag = ManifestName::Tag("x".to_owned());
    let stored = repository
        .put_manifest(&tag, OCI_MANIFEST, manifest.clone())
        .await
        .expect("put");
    assert_eq!(
        repository.head_manifest(&tag).await.expect("head"),
        stored.digest
    );
    let got = repository.get_manifest(&tag).await.expect("get");
    assert_eq!(
        (got.bytes, got.media_type.as_str()),
        (manifest, OCI_MANIFEST)
    );
    assert_eq!(
        repository
            .referrers(&stored.digest, None)
            .await
            .expect("an answer"),
        None
    );
}

#[tokio::test]
async fn a_download_that_stalls_is_taken_up_again() {
    let registry = FakeRegistry::start(Access::Open);
    let sample = Sample::new("wasi", "wasm", &[2_000_000]);
    sample.put(&registry, "1");
    registry.fault("GET", sample.layer().hex(), Fault::Stall(700_000), 1);
    let mut client = client();
    let transport = Arc::get_mut(&mut client.transport).expect("not yet shared");
    transport.stall = Duration::from_millis(300);
    let home = Home::new();
    pull(&client, &home, &reference(&registry, ":1"))
        .await
        .expect("pull");
    assert!(home.has(&sample.layer()));
    assert!(
        registry
            .requests()
            .iter()
            .any(|request| request.range.is_some())
    );
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_one_plain_sentence() {
    // RFC 2606 keeps this ending free. Without a network the other sentence is said.
    let name = Reference::parse("no-such-registry.invalid/x:1").expect("a reference");
    let error = pull_error(&client(), &Home::new(), &name).await;
    let text = super::super::redact::chain(cause(&error));
    assert!(
        matches!(cause(&error), Cause::Lookup { host, .. } if host == "no-such-registry.invalid"),
        "{error:?}"
    );
    assert!(!text.contains('{') && text.len() < 120, "{text}");
}

#[tokio::test]
async fn storage_cannot_ask_for_our_password() {
    let (registry, storage) = (
        FakeRegistry::start(Access::Open),
        FakeRegistry::start(Access::Open),
    );
    let sample = Sample::new("wasi", "wasm", &[10]);
    sample.put(&registry, "1");
    registry.fault(
        "GET",
        sample.layer().hex(),
        Fault::Redirect(storage.host()),
        usize::MAX,
    );
    for challenge in [
        "Basic realm=\"x\"".to_owned(),
        format!(
            "Bearer realm=\"http://{}/token\",service=\"x\"",
            storage.host()
        ),
    ] {
        storage.fault("GET", "/blobs/", Fault::Challenge(challenge), 1);
        let client = client_of(User("me", "hunter2"));
        pull_error(&client, &Home::new(), &reference(&registry, ":1")).await;
    }
    for request in storage.requests().iter().chain(&registry.requests()) {
        assert!(
            request.authorization.is_none() && !request.path.contains("/token"),
            "{request:?}"
        );
    }
}
