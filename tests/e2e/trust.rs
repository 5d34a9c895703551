//! Policies about images: what is refused is neither pulled nor run, also if it was pulled before.

use std::fs;

use serde_json::json;

use crate::fixtures::only;
use crate::registry::Registry;
use crate::sign::{key_pair, pushed, sign};
use crate::world::World;

/// Writes the user's policy: `host` must be signed, all else is rejected.
fn policy(world: &World, host: &str, key: &str) {
    let signed = json!({
        "type": "sigstoreSigned", "keyPath": world.path(key),
        "signedIdentity": {"type": "matchRepository"},
    });
    let policy = json!({
        "default": [{"type": "reject"}], "transports": {"docker": {(host): [signed]}},
    });
    write(world, &policy.to_string());
}

fn write(world: &World, policy: &str) {
    world.write("../home/.config/containers/policy.json", policy);
}

#[test]
fn a_policy_is_obeyed_by_all_that_runs() {
    let registry = Registry::open();
    let (maker, world) = (World::new(), World::new());
    let name = registry.image("team/app:1");
    pushed(&maker, &name);
    key_pair(&maker, "cosign");
    fs::copy(maker.path("cosign.pub"), world.path("cosign.pub")).expect("the public key");

    // It comes here before there is a policy.
    world.ok(&["pull", "-q", &name]);
    let runs = |arguments: &[&str]| {
        world.run(arguments).expect_code(7, arguments);
    };
    runs(&["run", "--rm", &name]);
    let id = world.ok(&["images", "-q"]);
    let id = id.trim_end();
    policy(&world, &registry.host(), "cosign.pub");
    let dockerfile = format!("FROM {name}\nLABEL a=b\n");
    let context = world.context("derived", &dockerfile, &[], &[]);
    let refuses_all = |part: &str| {
        for arguments in [
            &["run", "--rm", &name][..],
            &["run", "--rm", id],
            &["run", "-d", &name],
            &["create", &name],
            &["build", "-q", "-t", "derived", &context],
            &["pull", "-q", &name],
            &["run", "--rm", "--pull", "always", &name],
        ] {
            let message = world.refused(arguments);
            assert!(message.contains(part), "{arguments:?}: {message}");
            assert!(message.contains("--insecure-policy"), "{message}");
        }
    };
    refuses_all("no signature");
    let message = world.refused(&["pull", "-q", "docker.io/library/busybox"]);
    assert!(message.contains("rejects everything"), "{message}");
    runs(&["--insecure-policy", "run", "--rm", &name]);
    runs(&["run", "--insecure-policy", "--rm", &name]);

    // Signed: a pull learns of it, and then all works, without the registry too.
    sign(&maker, "cosign.key", &[&name]).expect_code(0, &["sign"]);
    assert!(
        world
            .refused(&["run", "--rm", &name])
            .contains("pull it again")
    );
    world.ok(&["pull", "-q", &name]);
    runs(&["run", "--rm", &name]);
    runs(&["run", "--rm", id]);
    world.ok(&["build", "-q", "-t", "derived", &context]);
    // What was built here of what is trusted needs nobody's signature.
    runs(&["run", "--rm", "derived"]);
    // (Without the label it would be the same image as the one that was pulled, and then made here.)
    let own = format!("{}LABEL own=1\n", only("exit7"));
    world.build("own", &own, &["exit7"], &[]);
    runs(&["run", "--rm", "own"]);
    // The same image under a name of another scope is another matter, and so is another key.
    world.ok(&["tag", &name, "r.example/other:1"]);
    let message = world.refused(&["run", "--rm", "r.example/other:1"]);
    assert!(message.contains("rejects everything"), "{message}");
    world.ok(&["rmi", "r.example/other:1"]);
    key_pair(&world, "other");
    policy(&world, &registry.host(), "other.pub");
    refuses_all("not made with this key");

    // A policy that cannot be read lets nothing run, and what runs nothing does not mind.
    write(&world, "{");
    refuses_all("policy.json");
    world.ok(&["images"]);
    let open = world.write(
        "open.json",
        r#"{"default":[{"type":"insecureAcceptAnything"}]}"#,
    );
    let open = open.display().to_string();
    runs(&["run", "--signature-policy", &open, "--rm", &name]);
    let message = world.refused(&["run", "--signature-policy", "nowhere.json", "--rm", &name]);
    assert!(message.contains("nowhere.json"), "{message}");
}
