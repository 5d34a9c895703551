//! Signatures in a real registry.

use std::fs;

use serde_json::{Value, json};

use crate::fixtures::only;
use crate::registry::Registry;
use crate::world::{Output, World, finish};

/// The password of the tests' private keys.
const PASSWORD: &str = "correct horse";

/// Makes `NAME.key` and `NAME.pub` in the folder of the commands.
pub(crate) fn key_pair(world: &World, name: &str) {
    let arguments = ["generate-key-pair", "--output-key-prefix", name];
    let made = world
        .run_with(&arguments, format!("{PASSWORD}\n").as_bytes())
        .expect_code(0, &arguments);
    let told = format!("Private key written to {name}.key\nPublic key written to {name}.pub\n");
    assert_eq!(made.errors(), told);
}

pub(crate) fn sign(world: &World, key: &str, more: &[&str]) -> Output {
    let mut command = world.command(&[&["sign", "--key", key][..], more].concat());
    command.env("COSIGN_PASSWORD", PASSWORD);
    finish(command, b"")
}

/// Builds a guest's image and pushes it.
pub(crate) fn pushed(world: &World, name: &str) {
    world.build(name, &only("exit7"), &["exit7"], &[]);
    world.ok(&["push", "-q", name]);
}

#[test]
fn what_is_signed_is_verified_and_nothing_else() {
    let registry = Registry::open();
    let world = World::new();
    let name = registry.image("team/app:1");
    pushed(&world, &name);
    key_pair(&world, "cosign");
    key_pair(&world, "other");
    let mode = fs::metadata(world.path("cosign.key")).expect("the key");
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777,
        0o600
    );
    let message = world.refused(&["generate-key-pair"]);
    assert!(message.contains("is there already"), "{message}");

    let message = world.refused(&["verify", "--key", "cosign.pub", &name]);
    assert!(message.contains("has no signature"), "{message}");
    let wrong = world.run_with(&["sign", "--key", "cosign.key", &name], b"wrong\n");
    assert_eq!(wrong.code, Some(125));
    assert!(wrong.errors().contains("password"), "{}", wrong.errors());

    let signed = sign(&world, "cosign.key", &["-a", "by=me", &name]).expect_code(0, &["sign"]);
    let digest = signed.text();
    let digest = digest.trim_end();
    assert!(digest.contains("/team/app@sha256:"), "{digest}");
    let claims = world.json(&["verify", "--key", "cosign.pub", "-a", "by=me", &name]);
    let claim = &claims[0]["critical"];
    assert_eq!(
        claim["identity"]["docker-reference"],
        registry.image("team/app")
    );
    let manifest = claim["image"]["docker-manifest-digest"].as_str();
    assert!(manifest.is_some_and(|manifest| digest.ends_with(manifest)));
    assert_eq!(claims[0]["optional"], json!({"by": "me"}));
    world.ok(&["verify", "--key", "cosign.pub", digest]);
    world.refused(&["verify", "--key", "cosign.pub", "-a", "by=you", &name]);
    let message = world.refused(&["verify", "--key", "other.pub", &name]);
    assert!(message.contains("not made with this key"), "{message}");

    // The same image under another name, with the signature that was copied along.
    let copy = registry.image("mallory/app:1");
    for (from, to) in [
        (name.clone(), copy.clone()),
        (signature(&name, digest), signature(&copy, digest)),
    ] {
        let from = format!("docker://{from}");
        let to = format!("docker://{to}");
        let tls = ["--src-tls-verify=false", "--dest-tls-verify=false"];
        world.tool_ok(
            "skopeo",
            &[
                &["--insecure-policy", "copy", "--all"],
                &tls[..],
                &[&from, &to],
            ]
            .concat(),
        );
    }
    let message = world.refused(&["verify", "--key", "cosign.pub", &copy]);
    assert!(message.contains("for the name"), "{message}");
    let original = registry.image("team/app");
    world.ok(&[
        "verify",
        "--key",
        "cosign.pub",
        "--sign-container-identity",
        &original,
        &copy,
    ]);

    // What the name stands for here is another image now: who signs must say which is meant.
    let dockerfile = format!("{}LABEL a=b\n", only("exit7"));
    world.build(&name, &dockerfile, &["exit7"], &[]);
    let refused = sign(&world, "cosign.key", &[&name]);
    assert_eq!(refused.code, Some(125), "{}", refused.errors());
    assert!(refused.errors().contains("digest"), "{}", refused.errors());
}

/// The name of the image that holds the signatures of `digest`.
fn signature(name: &str, digest: &str) -> String {
    let (repository, _) = name.rsplit_once(':').expect("a tag");
    let (_, hex) = digest.rsplit_once(':').expect("a digest");
    format!("{repository}:sha256-{hex}.sig")
}

/// What anybody can do who has no cosign: fetch payload and signature, and ask OpenSSL. (Debian's skopeo and Podman are built without
/// these signatures.)
#[test]
fn openssl_finds_our_signature_right() {
    let registry = Registry::open();
    let world = World::new();
    let name = registry.image("team/app:1");
    pushed(&world, &name);
    key_pair(&world, "cosign");
    let digest = sign(&world, "cosign.key", &[&name]).expect_code(0, &["sign"]);
    let digest = digest.text();
    let (_, hex) = digest.trim_end().rsplit_once(':').expect("a digest");
    let api = format!("http://{}/v2/team/app", registry.host());
    let tag = format!("{api}/manifests/sha256-{hex}.sig");
    let accept = "Accept: application/vnd.oci.image.manifest.v1+json";
    let list = world.tool_ok("curl", &["-sSf", "-H", accept, &tag]);
    let list: Value = serde_json::from_str(&list).expect("JSON");
    let layer = &list["layers"][0];
    assert_eq!(
        layer["mediaType"],
        "application/vnd.dev.cosign.simplesigning.v1+json"
    );
    let blob = format!(
        "{api}/blobs/{}",
        layer["digest"].as_str().expect("a digest")
    );
    world.tool_ok("curl", &["-sSf", "-o", "payload", &blob]);
    let signature = &layer["annotations"]["dev.cosignproject.cosign/signature"];
    world.write("signature.txt", signature.as_str().expect("a signature"));
    world.tool_ok(
        "openssl",
        &[
            "base64",
            "-d",
            "-A",
            "-in",
            "signature.txt",
            "-out",
            "signature",
        ],
    );
    let dgst = [
        "dgst",
        "-sha256",
        "-verify",
        "cosign.pub",
        "-signature",
        "signature",
        "payload",
    ];
    assert_eq!(world.tool_ok("openssl", &dgst).trim_end(), "Verified OK");
    let payload = fs::read(world.path("payload")).expect("the payload");
    let payload: Value = serde_json::from_slice(&payload).expect("JSON");
    assert_eq!(
        payload["critical"]["image"]["docker-manifest-digest"],
        format!("sha256:{hex}")
    );
}

#[test]
fn openssls_keys_sign_as_well() {
    let registry = Registry::open();
    let world = World::new();
    let name = registry.image("team/app:1");
    pushed(&world, &name);
    for (kind, options) in [
        (
            "ec",
            &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"][..],
        ),
        ("ed", &["-algorithm", "ED25519"]),
    ] {
        let (private, public) = (format!("{kind}.pem"), format!("{kind}.pub"));
        world.tool_ok(
            "openssl",
            &[&["genpkey", "-out", &private], options].concat(),
        );
        world.tool_ok(
            "openssl",
            &["pkey", "-in", &private, "-pubout", "-out", &public],
        );
        // No password is asked for.
        world.ok(&["sign", "--key", &private, &name]);
        world.ok(&["verify", "--key", &public, &name]);
    }
    world.tool_ok("openssl", &["genrsa", "-out", "rsa.pem", "2048"]);
    let message = world.refused(&["sign", "--key", "rsa.pem", &name]);
    assert!(message.contains("P-256"), "{message}");
}
