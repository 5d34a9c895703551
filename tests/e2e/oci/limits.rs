//! What takes more than its share.

use serde_json::json;

use super::bundle::Bundle;

#[test]
fn a_fork_bomb_ends_at_its_limit() {
    let Some(mut bundle) = Bundle::new() else {
        return;
    };
    bundle.spec["linux"]["resources"]["pids"] = json!({"limit": 12});
    let output = bundle.shell("for i in $(seq 60); do sleep 9 & done; echo never");
    assert!(
        output.errors().contains("can't fork"),
        "{}",
        output.errors()
    );
    assert!(!output.text().contains("never"));
    assert_ne!(output.code, Some(0));
}

#[test]
fn a_memory_hog_is_ended() {
    let Some(mut bundle) = Bundle::new() else {
        return;
    };
    bundle.spec["linux"]["resources"]["memory"] = json!({"limit": 20_000_000});
    let output = bundle.shell("x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo survived");
    assert_eq!(output.code, Some(137), "{}", output.errors());
    assert_eq!(output.text(), "");
}

#[test]
fn a_descriptor_hog_gets_no_more() {
    let Some(mut bundle) = Bundle::new() else {
        return;
    };
    bundle.spec["process"]["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 8, "hard": 8}]);
    let output = bundle.shell("exec 9</dev/null && echo open");
    assert_eq!(output.text(), "", "the ninth descriptor is over the limit");
    assert_ne!(output.code, Some(0));
    // A limit that this system allows nobody is an error, never a lower one in silence.
    bundle.spec["process"]["rlimits"] =
        json!([{"type": "RLIMIT_NOFILE", "soft": 1_u64 << 40, "hard": 1_u64 << 40}]);
    let output = bundle.run();
    assert_eq!(output.code, Some(1));
    assert!(
        output.errors().contains("RLIMIT_NOFILE"),
        "{}",
        output.errors()
    );
}

#[test]
fn limits_are_seen_and_changed_while_it_runs() {
    let Some(mut bundle) = Bundle::new() else {
        return;
    };
    bundle.program(&["sleep", "60"]);
    bundle.start();
    bundle.ok(&[
        "update",
        "--memory",
        "67108864",
        "--pids-limit",
        "50",
        &bundle.id,
    ]);
    let events = bundle.ok(&["events", "--stats", &bundle.id]);
    let events: serde_json::Value = serde_json::from_str(&events).expect("JSON");
    assert_eq!(events["data"]["memory"]["usage"]["limit"], 67_108_864);
    assert_eq!(events["data"]["pids"]["limit"], 50);
    assert_eq!(events["data"]["pids"]["current"], 1);
    bundle.ok(&["pause", &bundle.id]);
    assert_eq!(bundle.status(), "paused");
    assert_eq!(
        bundle.exec("true").code,
        Some(1),
        "nothing starts in a paused one"
    );
    bundle.ok(&["resume", &bundle.id]);
    assert_eq!(bundle.status(), "running");
    bundle.ok(&["delete", "--force", &bundle.id]);
}
