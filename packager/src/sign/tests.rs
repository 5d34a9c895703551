//! Signatures in the registry in memory: those of our own, and those of somebody who means us harm.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::*;
use crate::digest::Digest;
use crate::media_type::{OCI_CONFIG, OCI_INDEX, OCI_MANIFEST};
use crate::reference::Reference;
use crate::registry::fake::{Access, FakeRegistry, Fault};
use crate::registry::{
    Action, Anonymous, Client, ClientOptions, RegistryError, Repository, Secret,
};

const REPOSITORY: &str = "team/app";
const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";

struct World {
    registry: FakeRegistry,
    runtime: tokio::runtime::Runtime,
    repository: Repository,
    key: PrivateKey,
    /// The image.
    digest: Digest,
}

impl World {
    fn new() -> Self {
        // Another test of the process may have done it.
        drop(rustls::crypto::ring::default_provider().install_default());
        let registry = FakeRegistry::start(Access::Open);
        let client = Client::new(ClientOptions::new(Arc::new(Anonymous), "coracle-test/0"));
        let name = format!("{}/{REPOSITORY}:1", registry.host());
        let name = Reference::parse(&name).expect("a reference");
        Self {
            repository: client
                .repository(&name, Action::Write("signing"))
                .expect("a repository"),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime"),
            registry,
            key: key(),
            digest: Digest::sha256_of(b"the image's manifest"),
        }
    }

    fn claim(&self) -> Payload {
        Payload {
            digest: self.digest.clone(),
            identity: self.name().name(),
            optional: Map::new(),
        }
    }

    fn name(&self) -> Reference {
        Reference::parse(&format!("{}/{REPOSITORY}:1", self.registry.host())).expect("a reference")
    }

    fn fetch(&self) -> Result<Attached, RegistryError> {
        self.runtime
            .block_on(self.repository.signatures(&self.digest))
    }

    fn add(&self, payload: &Payload, key: &PrivateKey) -> bool {
        let signature = Signature::make(payload, key).expect("signed");
        let public = key.public();
        let added = self
            .repository
            .add_signature(&self.digest, &signature, &public);
        self.runtime.block_on(added).expect("added")
    }

    /// Puts a list of signatures, each a payload and its signature, past our own code.
    fn put(&self, signatures: &[(&[u8], &str)]) {
        let mut layers = Vec::new();
        for (payload, signature) in signatures {
            let digest = self.registry.put_blob(REPOSITORY, payload);
            layers.push(json!({
                "mediaType": PAYLOAD, "size": payload.len(), "digest": digest.to_string(),
                "annotations": {(SIGNATURE): signature},
            }));
        }
        self.put_layers(&layers);
    }

    fn put_layers(&self, layers: &[Value]) {
        let config = self.registry.put_blob(REPOSITORY, b"{}");
        let manifest = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": {"mediaType": OCI_CONFIG, "size": 2, "digest": config.to_string()},
            "layers": layers,
        });
        self.put_raw(OCI_MANIFEST, manifest.to_string().as_bytes());
    }

    fn put_raw(&self, media_type: &str, bytes: &[u8]) {
        let tag = signature_tag(&self.digest);
        self.registry
            .put_manifest(REPOSITORY, &tag, media_type, bytes);
    }

    fn flaw(&self) -> Flaw {
        let attached = self.fetch().expect("an answer");
        let [signature] = &attached.signatures[..] else {
            panic!("one signature: {attached:?}");
        };
        let manifests = std::slice::from_ref(&self.digest);
        signature
            .check_for(&self.key.public(), manifests)
            .and_then(|claim| claim.is_of_repository(&self.name()).map(|()| claim))
            .expect_err("a flaw")
    }
}

fn key() -> PrivateKey {
    let password = Secret::new("");
    let pair = KeyPair::generate(&password).expect("a pair");
    let file = KeyFile::parse(pair.private.reveal().as_bytes()).expect("its own text");
    file.open(&password).expect("opened")
}

#[test]
fn a_payload_is_cosigns_byte_for_byte() {
    let text = format!(
        r#"{{"critical":{{"identity":{{"docker-reference":"r.example/a"}},"image":{{"docker-manifest-digest":"sha256:{}"}},"type":"cosign container image signature"}},"optional":null}}"#,
        "0".repeat(64)
    );
    let payload = Payload::parse(text.as_bytes()).expect("cosign's");
    assert_eq!(payload.identity, "r.example/a");
    assert_eq!(String::from_utf8(payload.to_bytes()), Ok(text.clone()));
    for (from, to) in [
        (r#""critical":{"#, r#""critical":{"expires":1,"#),
        (r#"{"critical""#, r#"{"also":1,"critical""#),
        (r#""type":"cosign"#, r#""type":"atomic"#),
        ("sha256:00", "sha256:0"),
        ("sha256:00", "md5:00"),
        (r#""optional":null"#, r#""optional":[]"#),
        (
            r#""identity":{"#,
            r#""identity":{"docker-reference":"r.example/b","#,
        ),
    ] {
        let other = text.replacen(from, to, 1);
        assert_ne!(other, text);
        assert!(Payload::parse(other.as_bytes()).is_err(), "{other}");
    }
    assert!(Payload::parse(&b"[".repeat(60_000)).is_err());
    assert!(Payload::parse(&b" ".repeat(70_000)).is_err());
}

/// Made by cosign, and published with the tests of sigstore's library for Rust.
#[test]
fn cosigns_signature_is_right() {
    let public = "-----BEGIN PUBLIC KEY-----\n\
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAENptdY/l3nB0yqkXLBWkZWQwo6+cu\n\
        OSWS1X9vPavpiQOoTTGC0xX57OojUadxF1cdQmrsiReWg2Wn4FneJfa8xw==\n\
        -----END PUBLIC KEY-----\n";
    let text = "MEUCIQD6q/COgzOyW0YH1Dk+CCYSt4uAhm3FDHUwvPI55zwnlwIgE0ZK58ZOWpZw8YVmBapJhBqCfdPekIknimuO0xH8Jh8=";
    let public = PublicKey::from_pem(public.as_bytes()).expect("a key");
    let digest = "sha256:f3cfc9d0dbf931d3db4685ec659b7ac68e2a578219da4aae65427886e649b06b";
    let payload = Payload {
        digest: Digest::parse(digest).expect("a digest"),
        identity: "registry-testing.svc.lan/busybox".to_owned(),
        optional: Map::new(),
    };
    let signature = Signature::from_base64(&payload.to_bytes(), text).expect("Base64");
    assert_eq!(signature.check(&public), Ok(payload));
}

/// Made by cosign 2 with an empty password, and published likewise.
#[test]
fn cosigns_private_key_is_opened() {
    let private = "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n\
        eyJrZGYiOnsibmFtZSI6InNjcnlwdCIsInBhcmFtcyI6eyJOIjo2NTUzNiwiciI6\n\
        OCwicCI6MX0sInNhbHQiOiJFY3pJR3Z0bnpFcCsxaEpudERnbGI1UnoxN3gwQVMy\n\
        YklvWGRNcDQrU1NJPSJ9LCJjaXBoZXIiOnsibmFtZSI6Im5hY2wvc2VjcmV0Ym94\n\
        Iiwibm9uY2UiOiJtSVVKbG1OMzNINExvZ0dhaG5MamdmK3R4SmJwci93MCJ9LCJj\n\
        aXBoZXJ0ZXh0IjoiM3FtS2FidXRuYm1WT1IvTkZGM2NDaUErTXp1WWQ5L0VERDVI\n\
        MVlUSGhQVzZsSzAvdjVqdDZCQzlsME12NGV5am9qZkl0d3B6a2JJOXQrZGx5VXZ3\n\
        VUgvMWZjbkFZT2dEdXRLQzkvSkNiOE02SVY2VHpVaDF5c0ZFWDFzeG9xb1FzeUpL\n\
        bjM0UVlldFNlaVdDaGtmUHUyZXByQjFEV0pwekdzTGZIakxNVTkzOEdmNk1xM1A0\n\
        N0ZSd2syZzY1cFZnSGMwVWV1L1N1OUs0Zmc9PSJ9\n\
        -----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n";
    let file = KeyFile::parse(private.as_bytes()).expect("a key file");
    let key = file.open(&Secret::new("")).expect("the password is empty");
    let signature = key.sign(b"x").expect("signed");
    assert!(key.public().has_signed(b"x", &signature));
    let wrong = file.open(&Secret::new("x")).map(drop);
    assert_eq!(wrong, Err(KeyError::Password));
}

#[test]
fn two_keys_sign_one_image() {
    let world = World::new();
    assert_eq!(world.fetch().expect("an answer"), Attached::default());
    let other = key();
    assert!(world.add(&world.claim(), &other));
    assert!(world.add(&world.claim(), &world.key));
    assert!(!world.add(&world.claim(), &other), "it is there already");

    let attached = world.fetch().expect("an answer");
    assert_eq!(attached.signatures.len(), 2);
    assert_eq!(attached.unreadable, []);
    for key in [&other, &world.key] {
        let right = attached
            .signatures
            .iter()
            .filter(|signature| signature.check(&key.public()) == Ok(world.claim()));
        assert_eq!(right.count(), 1);
    }
    // As an image, so that registries and tools can handle it as one.
    let (media_type, bytes) = world
        .registry
        .manifest(REPOSITORY, &signature_tag(&world.digest))
        .expect("the list");
    assert_eq!(media_type, OCI_MANIFEST);
    let list: Value = serde_json::from_slice(&bytes).expect("JSON");
    let config = list["config"]["digest"].as_str().expect("a digest");
    let config = Digest::parse(config).expect("a digest");
    let config = world.registry.blob(REPOSITORY, &config).expect("a config");
    let config: Value = serde_json::from_slice(&config).expect("JSON");
    let layers = list["layers"].as_array().expect("layers");
    let digests: Vec<&Value> = layers.iter().map(|layer| &layer["digest"]).collect();
    let ids = config["rootfs"]["diff_ids"].as_array().expect("ids");
    assert_eq!(ids.iter().collect::<Vec<_>>(), digests);
}

#[test]
fn what_others_wrote_into_the_list_stays() {
    let world = World::new();
    let theirs = world.registry.put_blob(REPOSITORY, b"theirs");
    world.put_layers(&[json!({
        "mediaType": PAYLOAD, "size": 6, "digest": theirs.to_string(),
        "annotations": {(SIGNATURE): "AAAA", "dev.sigstore.cosign/bundle": "{}"}, "data": "eA==",
    })]);
    assert!(world.add(&world.claim(), &world.key));
    let (_, bytes) = world
        .registry
        .manifest(REPOSITORY, &signature_tag(&world.digest))
        .expect("the list");
    let list: Value = serde_json::from_slice(&bytes).expect("JSON");
    assert_eq!(
        list["layers"][0]["annotations"]["dev.sigstore.cosign/bundle"],
        "{}"
    );
    assert_eq!(list["layers"][0]["data"], "eA==");
    assert_eq!(list["layers"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_signature_of_something_else_is_none() {
    let world = World::new();
    let signed = |payload: &Payload, key: &PrivateKey| {
        let signature = Signature::make(payload, key).expect("signed");
        (signature.payload.clone(), signature.to_base64())
    };
    // By another key.
    let (payload, signature) = signed(&world.claim(), &key());
    world.put(&[(&payload, &signature)]);
    assert_eq!(world.flaw(), Flaw::Key);
    // Changed after it was signed.
    let (payload, signature) = signed(&world.claim(), &world.key);
    let mut tampered = payload.clone();
    tampered.push(b' ');
    world.put(&[(&tampered, &signature)]);
    assert_eq!(world.flaw(), Flaw::Key);
    // The signature itself changed: cut, empty, of zeros.
    for other in [
        "",
        "AAAA",
        "MAYCAQACAQA=",
        &signature[..signature.len() - 8],
    ] {
        world.put(&[(&payload, other)]);
        assert_eq!(world.flaw(), Flaw::Key, "{other}");
    }
    // Of another image, copied here.
    let mut other = world.claim();
    other.digest = Digest::sha256_of(b"another");
    let (payload, signature) = signed(&other, &world.key);
    world.put(&[(&payload, &signature)]);
    assert!(matches!(world.flaw(), Flaw::Digest { .. }));
    // Of this image under another name.
    for identity in ["r.example/other", "", "\u{1b}[2J", &"x".repeat(60_000)] {
        let mut other = world.claim();
        identity.clone_into(&mut other.identity);
        let (payload, signature) = signed(&other, &world.key);
        world.put(&[(&payload, &signature)]);
        let flaw = world.flaw();
        assert!(matches!(flaw, Flaw::Identity { .. }), "{flaw}");
        let text = flaw.to_string();
        assert!(text.len() < 1000 && !text.contains('\u{1b}'), "{text}");
    }
    // Signed, but more than we understand.
    let more = br#"{"critical":{"identity":{"docker-reference":"x"},"image":{"docker-manifest-digest":"x"},"type":"x","not":"x"},"optional":{}}"#;
    let made = world.key.sign(more).expect("signed");
    let made = Signature {
        payload: more.to_vec(),
        signature: made,
    };
    world.put(&[(more, &made.to_base64())]);
    assert!(matches!(world.flaw(), Flaw::Form { .. }));
}

#[test]
fn a_wrong_signature_does_not_hide_a_right_one() {
    let world = World::new();
    let right = Signature::make(&world.claim(), &world.key).expect("signed");
    let (payload, signature) = (right.payload.clone(), right.to_base64());
    let huge = vec![b' '; 70_000];
    world.put(&[(b"no JSON", "!"), (&huge, "AAAA"), (&payload, &signature)]);
    let attached = world.fetch().expect("an answer");
    assert_eq!(attached.signatures, std::slice::from_ref(&right));
    assert_eq!(attached.unreadable.len(), 2);

    // Blobs that are gone, of another content, or of another size than the list says.
    let digest = world.registry.put_blob(REPOSITORY, &payload);
    let layer = |digest: &str, size: usize| json!({"mediaType": PAYLOAD, "size": size, "digest": digest, "annotations": {(SIGNATURE): signature}});
    let gone = Digest::sha256_of(b"gone").to_string();
    world.put_layers(&[
        layer(&gone, 4),
        json!({"mediaType": PAYLOAD, "size": 1, "digest": digest.to_string()}),
        json!({"mediaType": "text/plain", "size": 1, "digest": gone}),
        layer(&digest.to_string(), 1),
    ]);
    let attached = world.fetch().expect("an answer");
    assert_eq!(attached.signatures, [right]);
    assert_eq!(attached.unreadable.len(), 2);
    let path = format!("/blobs/{digest}");
    world
        .registry
        .fault("GET", &path, Fault::Body(b"something else".to_vec()), 1);
    let attached = world.fetch().expect("an answer");
    assert_eq!(
        (attached.signatures.len(), attached.unreadable.len()),
        (0, 3)
    );
    world.registry.fault("GET", &path, Fault::Endless, 1);
    let attached = world.fetch().expect("an answer");
    assert_eq!(attached.signatures.len(), 0);
}

#[test]
fn a_list_that_is_none_is_refused() {
    let world = World::new();
    let refused = |what: &str, part: &str| {
        let error = world.fetch().expect_err(what);
        let text = format!("{error}: {}", error.cause);
        assert!(text.contains(part) && text.len() < 1000, "{text}");
    };
    let layer = json!({"mediaType": PAYLOAD, "size": 1, "digest": world.digest.to_string()});
    world.put_layers(&vec![layer; 101]);
    refused("too many", "101 signatures");
    world.put_raw(OCI_INDEX, br#"{"schemaVersion":2,"manifests":[]}"#);
    refused("an index", "an index");
    world.put_raw(OCI_MANIFEST, b"<html>");
    refused("no JSON", "cannot be read");
    world.put_raw(OCI_MANIFEST, br#"{"schemaVersion":2}"#);
    refused("no layers", "cannot be read");
    world.put_raw(OCI_MANIFEST, &b" ".repeat(5 << 20));
    refused("large", "want at most");
}

#[test]
fn a_list_that_others_overwrite_is_not_taken_for_ours() {
    let world = World::new();
    // Somebody puts their own list right after each of ours.
    world.put(&[(b"theirs", "AAAA")]);
    let (_, theirs) = world
        .registry
        .manifest(REPOSITORY, &signature_tag(&world.digest))
        .expect("the list");
    world
        .registry
        .fault("GET", ".sig", Fault::Body(theirs), usize::MAX);
    let signature = Signature::make(&world.claim(), &world.key).expect("signed");
    let public = world.key.public();
    let added = world
        .repository
        .add_signature(&world.digest, &signature, &public);
    let error = world.runtime.block_on(added).expect_err("never seen again");
    assert!(
        error.cause.to_string().contains("at the same time"),
        "{}",
        error.cause
    );
}
