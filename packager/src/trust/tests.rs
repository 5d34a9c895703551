//! Policies, well written and badly, and images under them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::*;
use crate::digest::Digest;
use crate::reference::Reference;
use crate::registry::Secret;
use crate::sign::{Attached, Flaw, KeyFile, KeyPair, Payload, PrivateKey, Signature};

struct Signer {
    key: PrivateKey,
    /// The public key, as `keyData`.
    data: String,
}

fn signer() -> Signer {
    let password = Secret::new("");
    let pair = KeyPair::generate(&password).expect("a pair");
    let file = KeyFile::parse(pair.private.reveal().as_bytes()).expect("its own text");
    Signer {
        key: file.open(&password).expect("opened"),
        data: STANDARD.encode(&pair.public),
    }
}

impl Signer {
    fn sign(&self, digest: &Digest, identity: &str) -> Attached {
        let payload = Payload {
            digest: digest.clone(),
            identity: identity.to_owned(),
            optional: Map::new(),
        };
        Attached {
            signatures: vec![Signature::make(&payload, &self.key).expect("signed")],
            unreadable: Vec::new(),
        }
    }
}

fn policy(value: &Value) -> TrustPolicy {
    TrustPolicy::parse(value.to_string().as_bytes()).expect("a policy")
}

fn name(text: &str) -> Reference {
    Reference::parse(text).expect("a reference")
}

fn judge(
    policy: &TrustPolicy,
    image: &str,
    digest: &Digest,
    attached: &Attached,
) -> Result<(), Refused> {
    let image = name(image);
    let demand = policy.demand(&image).expect("the keys");
    demand.judge(&image, std::slice::from_ref(digest), attached)
}

#[test]
fn the_narrowest_scope_counts_alone() {
    let accept = json!([{"type": "insecureAcceptAnything"}]);
    let reject = json!([{"type": "reject"}]);
    let policy = policy(&json!({
        "default": reject,
        "transports": {
            "docker": {
                "docker.io/library/busybox": accept, "r.example/team": accept,
                "r.example/team/bad": reject, "r.example/team/bad:1": accept, "*.lan": accept,
            },
            "docker-daemon": {"": accept},
        },
    }));
    let none = Attached::default();
    let digest = Digest::sha256_of(b"x");
    for (image, accepted) in [
        ("busybox:1", true),
        ("alpine:1", false),
        ("r.example/team/a/b:1", true),
        ("r.example/teammate/a:1", false),
        ("r.example/team/bad:1", true),
        ("r.example/team/bad:2", false),
        ("a.b.lan:5000/x:1", true),
        ("lan:5000/x:1", false),
        ("evil.example/docker.io/library/busybox:1", false),
    ] {
        let verdict = judge(&policy, image, &digest, &none);
        assert_eq!(verdict.is_ok(), accepted, "{image}: {verdict:?}");
    }
}

#[test]
fn a_signature_must_be_for_the_image_and_its_name() {
    let signer = signer();
    let other = self::signer();
    let digest = Digest::sha256_of(b"manifest");
    let under = |identity: Value| {
        let mut one = json!({"type": "sigstoreSigned", "keyData": signer.data});
        if !identity.is_null() {
            one["signedIdentity"] = identity;
        }
        policy(&json!({"default": [one]}))
    };
    let by_default = under(Value::Null);
    let image = "r.example/team/app:1";
    let check = |policy: &TrustPolicy, image: &str, signed: &str| {
        judge(policy, image, &digest, &signer.sign(&digest, signed))
    };
    assert_eq!(check(&by_default, image, image), Ok(()));
    let unsigned = judge(&by_default, image, &digest, &Attached::default());
    assert!(matches!(unsigned, Err(Refused::Unsigned { .. })));
    let wrong_key = judge(&by_default, image, &digest, &other.sign(&digest, image));
    assert!(matches!(
        wrong_key,
        Err(Refused::WrongSignatures {
            flaw: Flaw::Key,
            count: 1,
            ..
        })
    ));
    let another = Digest::sha256_of(b"another");
    let wrong_image = judge(&by_default, image, &digest, &signer.sign(&another, image));
    assert!(matches!(
        wrong_image,
        Err(Refused::WrongSignatures {
            flaw: Flaw::Digest { .. },
            ..
        })
    ));
    // A right one among others is enough.
    let mut several = other.sign(&digest, image);
    several
        .signatures
        .extend(signer.sign(&another, image).signatures);
    several
        .signatures
        .extend(signer.sign(&digest, image).signatures);
    assert_eq!(judge(&by_default, image, &digest, &several), Ok(()));

    let by_digest = format!("r.example/team/app@{digest}");
    let repository = json!({"type": "matchRepository"});
    let exact = json!({"type": "matchExact"});
    let reference = json!({"type": "exactReference", "dockerReference": "o.example/a:1"});
    let original = json!({"type": "exactRepository", "dockerRepository": "o.example/a"});
    let remap =
        json!({"type": "remapIdentity", "prefix": "r.example/team", "signedPrefix": "o.example"});
    let host =
        json!({"type": "remapIdentity", "prefix": "r.example", "signedPrefix": "o.example:5000/m"});
    for (identity, image, signed, accepted) in [
        (Value::Null, image, "r.example/team/app", false),
        (Value::Null, image, "r.example/team/app:2", false),
        (Value::Null, &*by_digest, "r.example/team/app:2", true),
        (Value::Null, &*by_digest, "r.example/team/other", false),
        (exact.clone(), &*by_digest, "r.example/team/app:1", false),
        (exact.clone(), &*by_digest, &*by_digest, true),
        (exact, image, image, true),
        (repository.clone(), image, "r.example/team/app", true),
        (repository.clone(), image, "r.example/team/app:2", true),
        (repository.clone(), image, "r.example/team", false),
        (repository, image, "no name!", false),
        (reference.clone(), image, "o.example/a:1", true),
        (reference, image, "o.example/a:2", false),
        (original.clone(), image, "o.example/a:7", true),
        (original, image, image, false),
        (remap.clone(), image, "o.example/app:1", true),
        (remap.clone(), image, image, false),
        (
            remap,
            "r.example/teammate/a:1",
            "r.example/teammate/a:1",
            true,
        ),
        (host.clone(), image, "o.example:5000/m/team/app:1", true),
        (host, "r.example:5000/a:1", "r.example:5000/a:1", true),
    ] {
        let verdict = check(&under(identity.clone()), image, signed);
        assert_eq!(verdict.is_ok(), accepted, "{identity} {image} {signed}");
    }
}

#[test]
fn every_requirement_must_be_met() {
    let (first, second) = (signer(), signer());
    let digest = Digest::sha256_of(b"manifest");
    let signed = |signer: &Signer| json!({"type": "sigstoreSigned", "keyData": signer.data});
    let both = policy(&json!({"default": [signed(&first), signed(&second)]}));
    let image = "r.example/a:1";
    let mut attached = first.sign(&digest, image);
    assert!(judge(&both, image, &digest, &attached).is_err());
    attached
        .signatures
        .extend(second.sign(&digest, image).signatures);
    assert_eq!(judge(&both, image, &digest, &attached), Ok(()));
    let either = policy(
        &json!({"default": [{"type": "sigstoreSigned", "keyDatas": [first.data, second.data]}]}),
    );
    assert_eq!(
        judge(&either, image, &digest, &second.sign(&digest, image)),
        Ok(())
    );
    // An index vouches for its manifests, and a manifest for itself.
    let index = Digest::sha256_of(b"index");
    let demand = either.demand(&name(image)).expect("the keys");
    for signed in [&index, &digest] {
        let attached = first.sign(signed, image);
        assert_eq!(
            demand.judge(&name(image), &[index.clone(), digest.clone()], &attached),
            Ok(())
        );
    }
}

#[test]
fn what_cannot_be_checked_is_not_weaker() {
    for requirement in [
        json!({"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/key"}),
        json!({"type": "signedBaseLayer", "baseLayerIdentity": {}}),
        json!({"type": "sigstoreSigned", "keyData": "x", "rekorPublicKeyPath": "/rekor"}),
        json!({"type": "sigstoreSigned", "fulcio": {"caPath": "/ca", "oidcIssuer": "x", "subjectEmail": "y"}, "rekorPublicKeyData": "x"}),
        json!({"type": "sigstoreSigned", "pki": {}}),
    ] {
        let policy = policy(&json!({
            "default": [{"type": "insecureAcceptAnything"}],
            "transports": {"docker": {"r.example": [{"type": "insecureAcceptAnything"}, requirement]}},
        }));
        let digest = Digest::sha256_of(b"x");
        let none = Attached::default();
        let verdict = judge(&policy, "r.example/a:1", &digest, &none);
        assert!(
            matches!(verdict, Err(Refused::Unsupported { .. })),
            "{requirement}"
        );
        assert_eq!(judge(&policy, "other.example/a:1", &digest, &none), Ok(()));
    }
}

#[test]
fn a_policy_with_a_mistake_is_none() {
    let accept = r#"[{"type":"insecureAcceptAnything"}]"#;
    for text in [
        "",
        "{}",
        "[]",
        r#"{"default":[]}"#,
        r#"{"default":[{}]}"#,
        r#"{"default":[{"type":"acceptEverything"}]}"#,
        r#"{"default":[{"type":"reject","keyPath":"/k"}]}"#,
        r#"{"default":[{"type":"insecureAcceptAnything","signedIdentity":{"type":"matchExact"}}]}"#,
        r#"{"default":[{"type":"reject","also":1}]}"#,
        r#"{"default":[{"type":"reject","type":"insecureAcceptAnything"}]}"#,
        r#"{"default":[{"type":"sigstoreSigned"}]}"#,
        r#"{"default":[{"type":"sigstoreSigned","keyPath":"/a","keyData":"eA=="}]}"#,
        r#"{"default":[{"type":"sigstoreSigned","keyPaths":[]}]}"#,
        r#"{"default":[{"type":"sigstoreSigned","keyPath":"/a","signedIdentity":{"type":"matchAny"}}]}"#,
        r#"{"default":[{"type":"sigstoreSigned","keyPath":"/a","signedIdentity":{"type":"exactReference"}}]}"#,
        r#"{"default":[{"type":"sigstoreSigned","keyPath":"/a","signedIdentity":{"type":"exactReference","dockerReference":"a"}}]}"#,
        r#"{"default":[{"type":"sigstoreSigned","keyPath":"/a","signedIdentity":{"type":"exactRepository","dockerRepository":"a:1"}}]}"#,
        r#"{"default":[{"type":"sigstoreSigned","keyPath":"/a","signedIdentity":{"type":"remapIdentity","prefix":"","signedPrefix":"a"}}]}"#,
        &format!(r#"{{"default":{accept},"transport":{{}}}}"#),
        &format!(r#"{{"default":{accept},"default":{accept}}}"#),
        &format!(
            r#"{{"default":{accept},"transports":{{"docker":{{"a":{accept},"a":{accept}}}}}}}"#
        ),
        &format!(r#"{{"default":{accept},"transports":{{"docker":{{"a":[]}}}}}}"#),
        &format!(r#"{{"default":{accept},"transports":{{"dir":{{"":[]}}}}}}"#),
        &"[".repeat(100_000),
    ] {
        assert!(TrustPolicy::parse(text.as_bytes()).is_err(), "{text}");
    }
    assert!(TrustPolicy::parse(&b" ".repeat(5 << 20)).is_err());
}

#[test]
fn a_key_that_cannot_be_read_is_not_left_out() {
    let signer = signer();
    for keys in [
        json!({"keyPath": "/nowhere/cosign.pub"}),
        json!({"keyDatas": [signer.data, "!"]}),
        json!({"keyDatas": [signer.data, STANDARD.encode("no key")]}),
    ] {
        let mut one = json!({"type": "sigstoreSigned"});
        for (field, value) in keys.as_object().expect("an object") {
            one[field] = value.clone();
        }
        let policy = policy(&json!({"default": [one]}));
        let error = policy.demand(&name("a:1")).map(drop);
        assert!(error.is_err(), "{keys}");
    }
}
