//! What is attached to an image, in a registry that keeps no list of it.

use super::super::{Action, NewReferrer, Repository};
use super::*;
use crate::registry::fake::{Access, Fault};

fn repository(registry: &FakeRegistry) -> Repository {
    client()
        .repository(&reference(registry, ":1"), Action::Write("attaching to"))
        .expect("a repository")
}

fn new(artifact_type: &str) -> NewReferrer {
    NewReferrer {
        artifact_type: artifact_type.to_owned(),
        layers: Vec::new(),
        annotations: [("by".to_owned(), "me".to_owned())].into(),
    }
}

#[tokio::test]
async fn the_list_under_the_tag_grows() {
    let registry = FakeRegistry::start(Access::Open);
    let subject = Sample::new("wasi", "wasm", &[100]).put(&registry, "1");
    let repository = repository(&registry);
    let list = |kind| repository.all_referrers(&subject, kind);
    assert_eq!(list(None).await.expect("none yet"), []);

    let first = repository
        .attach(&subject, &new("a/b"))
        .await
        .expect("attached");
    let second = repository
        .attach(&subject, &new("c/d"))
        .await
        .expect("attached");
    let again = repository
        .attach(&subject, &new("a/b"))
        .await
        .expect("attached");
    assert_eq!(first, again, "the same thing is attached once");
    let digests = |entries: &[crate::image::Descriptor]| -> Vec<String> {
        entries
            .iter()
            .map(|entry| entry.digest().to_string())
            .collect()
    };
    let all = list(None).await.expect("a list");
    assert_eq!(digests(&all), [first.to_string(), second.to_string()]);
    let some = list(Some("c/d")).await.expect("a list");
    assert_eq!(digests(&some), [second.to_string()]);

    let (_, bytes) = registry
        .manifest(REPOSITORY, &first.to_string())
        .expect("it");
    let manifest: Value = serde_json::from_slice(&bytes).expect("JSON");
    assert_eq!(manifest["subject"]["digest"], subject.to_string());
    assert_eq!(manifest["artifactType"], "a/b");
    assert_eq!(manifest["layers"].as_array().map(Vec::len), Some(1));

    // Where there is a list of the registry's own, it counts alone.
    let own = json!({"schemaVersion": 2, "manifests": []}).to_string();
    registry.fault("GET", "/referrers/", Fault::Body(own.into_bytes()), 1);
    assert_eq!(list(None).await.expect("the registry's"), []);
}

#[tokio::test]
async fn a_list_that_is_none_is_not_overwritten() {
    let registry = FakeRegistry::start(Access::Open);
    let subject = Sample::new("wasi", "wasm", &[100]).put(&registry, "1");
    let repository = repository(&registry);
    let tag = format!("sha256-{}", subject.hex());
    Sample::new("wasi", "wasm", &[200]).put(&registry, &tag);
    let theirs = registry.manifest(REPOSITORY, &tag);
    let error = repository
        .attach(&subject, &new("a/b"))
        .await
        .expect_err("an image");
    assert!(matches!(*error.cause, Cause::Beside { .. }), "{error}");
    assert_eq!(registry.manifest(REPOSITORY, &tag), theirs);
    registry.put_manifest(REPOSITORY, &tag, OCI_INDEX, b"{}");
    let error = repository
        .all_referrers(&subject, None)
        .await
        .expect_err("nothing");
    assert!(matches!(*error.cause, Cause::Beside { .. }), "{error}");

    // What is not there cannot be referred to.
    let nothing = Digest::sha256_of(b"nothing");
    let error = repository
        .attach(&nothing, &new("a/b"))
        .await
        .expect_err("no subject");
    assert!(matches!(*error.cause, Cause::NotFound), "{error}");
}
