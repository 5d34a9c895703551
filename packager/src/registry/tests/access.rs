use super::super::DockerConfig;
use super::super::fake::{Access, FakeRegistry, Fault};
use super::*;

fn basic() -> Access {
    Access::Basic {
        user: "me".to_owned(),
        password: "hunter2".to_owned(),
    }
}

fn bearer(uses: usize) -> Access {
    Access::Bearer {
        user: Some(("me".to_owned(), "hunter2".to_owned())),
        uses,
    }
}

/// Pulls a sample as a user, pushes it to another tag, and pulls that.
async fn round_trip(registry: &FakeRegistry, client: &Client) {
    Sample::new("wasi", "wasm", &[70_000, 10, 20, 30]).put(registry, "1");
    let home = Home::new();
    let pulled = pull(client, &home, &reference(registry, ":1"))
        .await
        .expect("pull");
    let to = Reference::parse(&format!("{}/other/app:2", registry.host())).expect("a reference");
    client
        .push(&to, &pulled.descriptor, &home.store, &|_| {})
        .await
        .expect("push");
    let other = Home::new();
    let again = pull(client, &other, &to)
        .await
        .expect("pull what was pushed");
    assert_eq!(again.digest, pulled.digest);
    assert_eq!(home.blobs(), other.blobs());
}

/// Pulls, and expects to be refused with no secret in the message.
async fn refused(registry: &FakeRegistry, client: &Client) -> RegistryError {
    Sample::new("wasi", "wasm", &[10]).put(registry, "1");
    let home = Home::new();
    let error = pull_error(client, &home, &reference(registry, ":1")).await;
    assert_eq!(home.blobs(), Vec::<String>::new());
    let text = format!(
        "{error:?} {} {:?}",
        super::super::redact::chain(&error),
        error.hint()
    );
    assert!(text.contains(&registry.host()), "{text}");
    assert!(!text.contains("hunter"), "{text}");
    error
}

#[tokio::test]
async fn anyone_may() {
    round_trip(&FakeRegistry::start(Access::Open), &client()).await;
}

#[tokio::test]
async fn basic_user() {
    round_trip(
        &FakeRegistry::start(basic()),
        &client_of(User("me", "hunter2")),
    )
    .await;
}

#[tokio::test]
async fn token_for_a_user() {
    let registry = FakeRegistry::start(bearer(1000));
    round_trip(&registry, &client_of(User("me", "hunter2"))).await;
    assert_eq!(
        gets(&registry, "/token"),
        3,
        "one token for each pull or push"
    );
    let push = registry.requests().into_iter().any(|request| {
        request
            .path
            .contains("scope=repository%3Aother%2Fapp%3Apull%2Cpush")
            && request.path.contains("service=fake")
    });
    assert!(push, "{:?}", registry.requests());
}

#[tokio::test]
async fn token_for_anyone() {
    let registry = FakeRegistry::start(Access::Bearer {
        user: None,
        uses: 1000,
    });
    round_trip(&registry, &client()).await;
}

#[tokio::test]
async fn a_token_that_runs_out_is_renewed() {
    for (uses, layers) in [(2, [].as_slice()), (3, &[]), (5, &[70_000, 10, 20, 30])] {
        let registry = FakeRegistry::start(bearer(uses));
        let client = client_of(User("me", "hunter2"));
        let sample = Sample::new("wasi", "wasm", layers);
        sample.put(&registry, "1");
        let home = Home::new();
        let name = reference(&registry, ":1");
        let pulled = pull(&client, &home, &name).await.expect("pull");
        if layers.is_empty() {
            let to = Reference::parse(&format!("{}/other:2", registry.host()));
            let to = to.expect("a reference");
            client
                .push(&to, &pulled.descriptor, &home.store, &|_| {})
                .await
                .expect("push");
        }
        assert!(gets(&registry, "/token") > 1, "{:?}", registry.requests());
    }
}

#[tokio::test]
async fn a_wrong_password_is_one_clear_error() {
    for access in [basic(), bearer(1000)] {
        let registry = FakeRegistry::start(access);
        let error = refused(&registry, &client_of(User("me", "hunter3"))).await;
        assert!(
            matches!(cause(&error), Cause::Unauthorized { sent: true, .. }),
            "{error:?}"
        );
        let hint = error.hint().expect("a hint");
        let want = format!("coracle login {}", registry.host());
        assert!(hint.contains(&want), "{hint}");
        assert!(!error.is_temporary());
    }
}

#[tokio::test]
async fn no_password_is_one_clear_error() {
    for access in [basic(), bearer(1000)] {
        let registry = FakeRegistry::start(access);
        let error = refused(&registry, &client()).await;
        assert!(
            matches!(cause(&error), Cause::Unauthorized { sent: false, .. }),
            "{error:?}"
        );
        assert!(
            error.hint().is_some_and(|hint| hint.contains("log in")),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_token_that_is_worth_nothing_ends() {
    let registry = FakeRegistry::start(bearer(0));
    let error = refused(&registry, &client_of(User("me", "hunter2"))).await;
    assert!(
        matches!(cause(&error), Cause::Unauthorized { .. }),
        "{error:?}"
    );
    assert!(registry.requests().len() < 12, "{:?}", registry.requests());
}

#[tokio::test]
async fn hostile_tokens_are_refused() {
    for answer in [
        r#"{"token":"a\r\nX-Evil: hunter"}"#,
        r#"{"token":""}"#,
        r#"{"token":"é"}"#,
        r#"{"tok":"a"}"#,
        "<html>log in</html>",
    ] {
        let registry = FakeRegistry::start(bearer(1000));
        registry.fault(
            "GET",
            "/token",
            Fault::Body(answer.as_bytes().to_vec()),
            usize::MAX,
        );
        let error = refused(&registry, &client_of(User("me", "hunter2"))).await;
        assert!(
            matches!(cause(&error), Cause::Protocol { .. }),
            "{answer}: {error:?}"
        );
    }
}

#[tokio::test]
async fn dockers_config_is_used() {
    let registry = FakeRegistry::start(basic());
    // me:hunter2
    let config = format!(
        r#"{{"auths":{{"http://{}/v2/":{{"auth":"bWU6aHVudGVyMg=="}}}}}}"#,
        registry.host()
    );
    let config = DockerConfig::parse(config.as_bytes()).expect("a config");
    round_trip(&registry, &client_of(config)).await;
}

#[tokio::test]
async fn a_helper_is_named_only_when_its_credential_is_needed() {
    for (access, is_needed) in [(Access::Open, false), (basic(), true), (bearer(1000), true)] {
        let registry = FakeRegistry::start(access);
        let config = format!(r#"{{"credHelpers":{{"{}":"vault"}}}}"#, registry.host());
        let client = client_of(DockerConfig::parse(config.as_bytes()).expect("a config"));
        if !is_needed {
            round_trip(&registry, &client).await;
            continue;
        }
        let error = refused(&registry, &client).await;
        let text = super::super::redact::chain(cause(&error));
        assert!(
            text.contains("docker-credential-vault") && text.contains("no such program"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_token_of_the_users_own_is_sent() {
    struct Token;
    impl CredentialSource for Token {
        fn get(&self, _registry: &str) -> Result<Option<Credential>, CredentialError> {
            Ok(Some(Credential::Bearer(Secret::new("my-token"))))
        }
    }
    let registry = FakeRegistry::start(bearer(1000));
    let error = refused(&registry, &client_of(Token)).await;
    assert!(
        matches!(cause(&error), Cause::Unauthorized { sent: true, .. }),
        "{error:?}"
    );
    let sent = Some("Bearer my-token".to_owned());
    assert!(
        registry
            .requests()
            .iter()
            .any(|request| request.authorization == sent)
    );
}
