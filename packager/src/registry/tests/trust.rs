//! Pulls under a policy: what is refused is not fetched.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::*;
use crate::registry::Action;
use crate::registry::fake::Access;
use crate::sign::{KeyFile, KeyPair, Payload, Signature};
use crate::trust::TrustPolicy;

fn demand(name: &Reference, requirement: &Value) -> crate::trust::Demand {
    let policy = json!({"default": [requirement]}).to_string();
    let policy = TrustPolicy::parse(policy.as_bytes()).expect("a policy");
    policy.demand(name).expect("the keys")
}

#[tokio::test]
async fn only_what_is_signed_is_fetched() {
    let registry = FakeRegistry::start(Access::Open);
    let image = Sample::new("wasi", "wasm", &[1000]);
    let digest = image.put(&registry, "1");
    let name = reference(&registry, ":1");
    let password = Secret::new("");
    let pair = KeyPair::generate(&password).expect("a pair");
    let file = KeyFile::parse(pair.private.reveal().as_bytes()).expect("its own text");
    let key = file.open(&password).expect("opened");
    let signed = demand(
        &name,
        &json!({"type": "sigstoreSigned", "keyData": STANDARD.encode(&pair.public)}),
    );
    let host = Platform::host();
    let home = Home::new();
    let client = client();

    let reject = demand(&name, &json!({"type": "reject"}));
    let refused = client.pull(&name, &home.store, None, &host, Some(&reject), &|_| {});
    let error = refused.await.expect_err("rejected");
    assert!(matches!(*error.cause, Cause::Untrusted(_)), "{error}");
    assert_eq!(registry.requests(), [], "nobody was asked");

    let refused = client.pull(&name, &home.store, None, &host, Some(&signed), &|_| {});
    let error = refused.await.expect_err("not signed");
    assert!(matches!(*error.cause, Cause::Untrusted(_)), "{error}");
    let blobs = registry
        .requests()
        .into_iter()
        .filter(|request| request.path.contains("/blobs/"));
    assert_eq!(blobs.count(), 0, "neither config nor layer was asked for");
    assert_eq!(home.blobs(), [] as [String; 0]);

    let claim = Payload {
        digest: digest.clone(),
        identity: name.to_string(),
        optional: Map::new(),
    };
    let signature = Signature::make(&claim, &key).expect("signed");
    let repository = client
        .repository(&name, Action::Write("signing"))
        .expect("a repository");
    repository
        .add_signature(&digest, &signature, &key.public())
        .await
        .expect("added");
    let pulled = client.pull(&name, &home.store, None, &host, Some(&signed), &|_| {});
    let pulled = pulled.await.expect("signed");
    assert_eq!(pulled.digest, digest);
    assert_eq!(pulled.attached.signatures, [signature]);
    // The signature is not part of the image.
    assert_eq!(home.blobs().len(), 3);
}
