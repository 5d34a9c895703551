//! One test per known registry.

use super::super::fake::{Access, FakeRegistry, Fault, Kind};
use super::super::{Action, ManifestName};
use super::push::{count, keep};
use super::*;
use crate::media_type::{WASM, WASM_CONFIG_V0};

fn user(name: &str, password: &str) -> Access {
    Access::Bearer {
        user: Some((name.to_owned(), password.to_owned())),
        uses: 1000,
    }
}

struct Given(Credential);

impl CredentialSource for Given {
    fn get(&self, _registry: &str) -> Result<Option<Credential>, CredentialError> {
        Ok(Some(self.0.clone()))
    }
}

/// Pushes a sample as somebody, and pulls it into another store.
async fn there_and_back(registry: &FakeRegistry, sender: &Client, receiver: &Client) {
    let sample = Sample::new("wasi", "wasm", &[70_000, 10]);
    let home = Home::new();
    let descriptor = keep(&home, &sample);
    let name = reference(registry, ":1");
    sender
        .push(&name, &descriptor, &home.store, &|_| {})
        .await
        .expect("push");
    let other = Home::new();
    pull(receiver, &other, &name).await.expect("pull");
    assert_eq!(home.blobs(), other.blobs());
}

#[tokio::test]
async fn docker_hub_keeps_blobs_elsewhere_and_lets_anyone_pull() {
    let storage = FakeRegistry::start(Access::Open);
    let registry = FakeRegistry::start_as(Kind::DockerHub, user("me", "dckr_pat_x"));
    registry.keep_blobs_at(&storage);
    there_and_back(&registry, &client_of(User("me", "dckr_pat_x")), &client()).await;
    assert!(!storage.requests().is_empty());
    assert!(
        storage
            .requests()
            .iter()
            .all(|request| request.authorization.is_none())
    );
    // Its limits count a GET of a manifest, and not a HEAD.
    let before = gets(&registry, "/manifests/");
    let digest = client()
        .repository(&reference(&registry, ":1"), Action::Pull)
        .expect("a repository")
        .head_manifest(&ManifestName::Tag("1".to_owned()))
        .await
        .expect("a digest");
    assert!(registry.manifest(REPOSITORY, &digest.to_string()).is_some());
    assert_eq!(gets(&registry, "/manifests/"), before);
}

#[tokio::test]
async fn ghcr_wants_a_token_from_anyone_small_pieces_and_has_no_referrers() {
    let registry = FakeRegistry::start_as(Kind::Ghcr, user("me", "ghp_x"));
    there_and_back(&registry, &client_of(User("me", "ghp_x")), &client()).await;
    assert!(gets(&registry, "/token") >= 2);
    registry.fault(
        "GET",
        "/limited",
        Fault::Status(429, "slow down"),
        usize::MAX,
    );
    let repository = client()
        .repository(&reference(&registry, ":1"), Action::Pull)
        .expect("a repository");
    let digest = Digest::sha256_of(b"x");
    assert_eq!(
        repository
            .referrers(&digest, None)
            .await
            .expect("an answer"),
        None
    );
}

#[tokio::test]
async fn quay_takes_images_and_says_what_it_does_not_take() {
    let registry = FakeRegistry::start_as(Kind::Quay, user("org+robot", "x"));
    let client = client_of(User("org+robot", "x"));
    there_and_back(&registry, &client, &client).await;
    let artifact = Sample::of(
        WASM_CONFIG_V0,
        &json!({"architecture": "wasm", "os": "wasip2", "layerDigests": []}),
        WASM,
        vec![noise(10, 1)],
    );
    let home = Home::new();
    let descriptor = keep(&home, &artifact);
    let error = client
        .push(
            &reference(&registry, ":artifact"),
            &descriptor,
            &home.store,
            &|_| {},
        )
        .await
        .expect_err("not taken");
    assert!(
        cause(&error)
            .to_string()
            .contains("unsupported artifact type"),
        "{error:?}"
    );
    assert!(
        error
            .hint()
            .is_some_and(|hint| hint.contains("ordinary images")),
        "{error:?}"
    );
}

#[tokio::test]
async fn ecr_wants_basic_a_repository_and_large_pieces() {
    let basic = Access::Basic {
        user: "AWS".to_owned(),
        password: "token".to_owned(),
    };
    let mut registry = FakeRegistry::start_as(Kind::Ecr, basic);
    let client = client_of(User("AWS", "token"));
    let home = Home::new();
    let sample = Sample::new("wasi", "wasm", &[11_000_000]);
    let descriptor = keep(&home, &sample);
    let name = reference(&registry, ":1");
    let error = client
        .push(&name, &descriptor, &home.store, &|_| {})
        .await
        .expect_err("no repository");
    assert!(
        error
            .hint()
            .is_some_and(|hint| hint.contains("created first")),
        "{error:?}"
    );

    registry = FakeRegistry::start_as(
        Kind::Ecr,
        Access::Basic {
            user: "AWS".to_owned(),
            password: "token".to_owned(),
        },
    );
    registry.create_repository(REPOSITORY);
    there_and_back(&registry, &client, &client).await;
    // A tag stays what it is, and pushing the same again is no error.
    let name = reference(&registry, ":1");
    let error = client
        .push(&name, &descriptor, &home.store, &|_| {})
        .await
        .expect_err("the tag is taken");
    assert!(cause(&error).to_string().contains("immutable"), "{error:?}");
    // Its pieces have to be large; ours are.
    let name = reference(&registry, ":2");
    registry.forget_blob(REPOSITORY, &sample.layer());
    registry.fault(
        "PUT",
        sample.layer().hex(),
        Fault::Status(413, "a proxy's limit"),
        1,
    );
    client
        .push(&name, &descriptor, &home.store, &|_| {})
        .await
        .expect("push");
    assert!(count(&registry, "PATCH", "") >= 2);
}

#[tokio::test]
async fn acr_gives_tokens_for_an_identity_token() {
    let registry = FakeRegistry::start_as(
        Kind::Acr,
        user("00000000-0000-0000-0000-000000000000", "acr-refresh"),
    );
    let config = format!(
        // "00000000-0000-0000-0000-000000000000:"
        r#"{{"auths":{{"{}":{{"auth":"MDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAwOg==","identitytoken":"acr-refresh"}}}}}}"#,
        registry.host()
    );
    let config = || super::super::DockerConfig::parse(config.as_bytes()).expect("a config");
    there_and_back(&registry, &client_of(config()), &client_of(config())).await;
    assert!(count(&registry, "POST", "/oauth2/token") > 0);
    assert_eq!(gets(&registry, "/oauth2/token"), 0);
    let wrong = client_of(Given(Credential::Identity(Secret::new("hunter2"))));
    let error = pull_error(&wrong, &Home::new(), &reference(&registry, ":none")).await;
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    // A user and password go by GET, where it answers with `access_token` alone.
    let client = client_of(User("00000000-0000-0000-0000-000000000000", "acr-refresh"));
    pull(&client, &Home::new(), &reference(&registry, ":1"))
        .await
        .expect("pull");
}

#[tokio::test]
async fn google_takes_blobs_whole_only() {
    let registry = FakeRegistry::start_as(Kind::GoogleAr, user("oauth2accesstoken", "ya29"));
    let client = client_of(User("oauth2accesstoken", "ya29"));
    there_and_back(&registry, &client, &client).await;
    assert_eq!(count(&registry, "PATCH", ""), 0);
    let home = Home::new();
    let sample = Sample::new("wasi", "wasm", &[11_000_000]);
    let descriptor = keep(&home, &sample);
    registry.fault("PUT", sample.layer().hex(), Fault::HangUp, 1);
    client
        .push(
            &reference(&registry, ":2"),
            &descriptor,
            &home.store,
            &|_| {},
        )
        .await
        .expect("push");
    assert_eq!(
        count(&registry, "PATCH", ""),
        0,
        "one cut is no reason for pieces"
    );
}

#[tokio::test]
async fn a_blob_of_a_neighbour_is_mounted() {
    for access in [Access::Open, user("me", "x")] {
        let kind = if matches!(access, Access::Open) {
            Kind::Plain
        } else {
            Kind::Ghcr
        };
        let registry = FakeRegistry::start_as(kind, access);
        let client = client_of(User("me", "x"));
        let home = Home::new();
        let descriptor = keep(&home, &Sample::new("wasi", "wasm", &[100_000]));
        let first = reference(&registry, ":1");
        client
            .push(&first, &descriptor, &home.store, &|_| {})
            .await
            .expect("push");
        home.store.set_name(&first, &descriptor, 0).expect("a name");
        let puts = count(&registry, "PUT", "/uploads/");
        let second =
            Reference::parse(&format!("{}/other/app:1", registry.host())).expect("a reference");
        client
            .push(&second, &descriptor, &home.store, &|_| {})
            .await
            .expect("push");
        assert_eq!(
            count(&registry, "POST", "mount=sha256"),
            2,
            "{:?}",
            registry.requests()
        );
        assert_eq!(
            count(&registry, "PUT", "/uploads/"),
            puts,
            "nothing is sent"
        );
        let other = Home::new();
        pull(&client, &other, &second).await.expect("pull");
        // One that does not mount gets the blob.
        let third =
            Reference::parse(&format!("{}/third/app:1", registry.host())).expect("a reference");
        registry.fault("POST", "mount=", Fault::Status(403, "no"), usize::MAX);
        client
            .push(&third, &descriptor, &home.store, &|_| {})
            .await
            .expect("push");
        assert_eq!(count(&registry, "PUT", "/uploads/"), puts + 2);
    }
}

#[tokio::test]
async fn an_identity_token_goes_to_no_other_server() {
    let registry = FakeRegistry::start_as(
        Kind::Acr,
        user("00000000-0000-0000-0000-000000000000", "acr-refresh"),
    );
    let other = FakeRegistry::start(Access::Open);
    // It keeps method and body: whoever follows hands the token over.
    registry.fault(
        "POST",
        "/oauth2/token",
        Fault::Redirect(other.host().to_owned()),
        usize::MAX,
    );
    let client = client_of(Given(Credential::Identity(Secret::new("acr-refresh"))));
    let error = pull_error(&client, &Home::new(), &reference(&registry, ":1")).await;
    assert!(
        error
            .cause
            .to_string()
            .contains("a credential would go to another server"),
        "{error:?}"
    );
    assert!(other.requests().is_empty());
}
