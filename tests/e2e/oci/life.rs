//! From create to delete.

use std::fs;

use serde_json::json;

use super::bundle::Bundle;
use crate::world::wait_until;

#[test]
fn a_container_is_created_started_and_deleted() {
    let Some(mut bundle) = Bundle::new() else {
        return;
    };
    let id = bundle.id.clone();
    bundle.program(&["sleep", "60"]);
    let pid_file = bundle.world.path("pid");
    bundle.leave(&[
        "create",
        "--pid-file",
        pid_file.to_str().expect("UTF-8"),
        &id,
    ]);
    assert_eq!(bundle.status(), "created");
    let output = bundle.oci(&["create", &id]);
    assert!(output.errors().contains("exists"), "{}", output.errors());
    bundle.ok(&["start", &id]);
    assert_eq!(bundle.status(), "running");
    assert_eq!(bundle.oci(&["start", &id]).code, Some(1), "it has begun");
    let pid = fs::read_to_string(&pid_file).expect("its number");
    assert_eq!(
        bundle.ok(&["ps", "--format", "json", &id]),
        format!("[{pid}]\n")
    );

    let output = bundle.exec("echo $PATH; cat /proc/1/cmdline | tr '\\0' ' '; exit 9");
    assert_eq!(output.code, Some(9), "{}", output.errors());
    assert!(output.text().ends_with("sleep 60 "), "{}", output.text());
    let output = bundle.oci(&[
        "exec",
        "--user",
        "5:6",
        "--env",
        "A=b",
        "--cwd",
        "/bin",
        &id,
        "sh",
        "-c",
        "id; echo $A; pwd",
    ]);
    assert_eq!(output.text(), "uid=5 gid=6 groups=6\nb\n/bin\n");
    let output = bundle.oci(&["exec", &id, "nothing"]);
    assert!(
        output.errors().contains("No such file"),
        "{}",
        output.errors()
    );

    assert_eq!(bundle.oci(&["delete", &id]).code, Some(1), "it runs");
    bundle.ok(&["kill", &id, "SIGKILL"]);
    wait_until("it ends", || bundle.status() == "stopped");
    bundle.ok(&["delete", &id]);
    assert_eq!(bundle.oci(&["state", &id]).code, Some(1));
    bundle.ok(&["delete", "--force", &id]);
    let group = format!("/sys/fs/cgroup/memory/coracle-test-{id}/{id}");
    assert!(!std::path::Path::new(&group).exists());
}

#[test]
fn hooks_run_in_their_order() {
    let Some(mut bundle) = Bundle::new() else {
        return;
    };
    let log = bundle.world.path("log");
    let path = log.to_str().expect("UTF-8");
    let hook = |name: &str| {
        let script = format!("read state; echo \"{name} ${{state#*status}}\" >> {path}");
        json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}])
    };
    bundle.spec["hooks"] = json!({
        "prestart": hook("prestart"), "createRuntime": hook("createRuntime"),
        "createContainer": hook("createContainer"), "poststart": hook("poststart"),
        "poststop": hook("poststop"),
        "startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "echo started > /dev/shm/hook"]}],
    });
    let output = bundle.shell("cat /dev/shm/hook");
    assert_eq!(output.text(), "started\n", "{}", output.errors());
    let said = fs::read_to_string(&log).expect("what they said");
    let said: Vec<(&str, &str)> = said
        .lines()
        .map(|line| {
            let mut words = line
                .split(['"', ' '])
                .filter(|word| word.chars().any(char::is_alphabetic));
            (words.next().unwrap_or(""), words.next().unwrap_or(""))
        })
        .collect();
    assert_eq!(
        said,
        [
            ("prestart", "creating"),
            ("createRuntime", "creating"),
            ("createContainer", "creating"),
            ("poststart", "running"),
            ("poststop", "stopped"),
        ]
    );
    // One that fails ends it all.
    bundle.spec["hooks"] = json!({"createRuntime": [{"path": "/bin/false"}]});
    let output = bundle.run();
    assert_eq!(output.code, Some(1));
    assert!(
        output.errors().contains("createRuntime hook /bin/false"),
        "{}",
        output.errors()
    );
    assert_eq!(bundle.ok(&["list", "--quiet"]), "");
}

#[test]
fn a_program_that_is_not_there_is_named_and_nothing_is_left() {
    let Some(mut bundle) = Bundle::new() else {
        return;
    };
    bundle.program(&["/no/such"]);
    let log = bundle.world.path("log.json");
    let log = log.to_str().expect("UTF-8");
    let output = bundle.oci(&["--log", log, "--log-format", "json", "run", &bundle.id]);
    assert_eq!(output.code, Some(1));
    assert!(output.errors().contains("/no/such"), "{}", output.errors());
    let line: serde_json::Value =
        serde_json::from_slice(&fs::read(log).expect("the log")).expect("one object");
    assert_eq!(line["level"], "error");
    assert!(
        line["msg"]
            .as_str()
            .is_some_and(|text| text.contains("/no/such"))
    );
    assert_eq!(bundle.ok(&["list", "--quiet"]), "");
}
