//! What the program is, and what it may do.

use std::collections::BTreeSet;

use coracle_runtime::sandbox::native::seccomp::Profile;
use serde_json::json;

use super::bundle::Bundle;
use crate::world::finish;

#[test]
fn user_groups_and_capabilities_are_exactly_those() {
    let Some(mut bundle) = Bundle::new() else {
        return;
    };
    bundle.spec["process"]["user"] =
        json!({"uid": 7, "gid": 8, "additionalGids": [9], "umask": 0o27});
    bundle.spec["process"]["capabilities"] = json!({
        "bounding": ["CAP_CHOWN", "CAP_KILL"], "permitted": ["CAP_KILL"], "effective": [],
        "inheritable": [], "ambient": ["CAP_KILL"],
    });
    let output = bundle.shell("grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Umask)' /proc/self/status");
    let lines: Vec<String> = output
        .text()
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        lines,
        [
            "Umask: 0027",
            "Uid: 7 7 7 7",
            "Gid: 8 8 8 8",
            "Groups: 8 9",
            // Not root, nothing ambient: execve leaves nothing but the bounding set.
            "CapInh: 0000000000000000",
            "CapPrm: 0000000000000000",
            "CapEff: 0000000000000000",
            "CapBnd: 0000000000000021",
            "CapAmb: 0000000000000000",
            "NoNewPrivs: 1",
        ],
        "{}",
        output.errors()
    );
}

#[test]
fn dockers_filter_stands() {
    let Some(mut bundle) = Bundle::new() else {
        return;
    };
    let profile = Profile::docker_default().resolve(&BTreeSet::new(), (6, 1));
    bundle.spec["linux"]["seccomp"] = serde_json::to_value(profile).expect("JSON");
    let script = "grep Seccomp: /proc/self/status; unshare -U true 2>/dev/null || echo refused; \
                  mkdir /dev/shm/x && echo made; (sleep 0; echo forked)";
    let output = bundle.shell(script);
    assert_eq!(
        output.text(),
        "Seccomp:\t2\nrefused\nmade\nforked\n",
        "{}",
        output.errors()
    );
    // Without no_new_privs it is loaded before the capabilities go.
    bundle.spec["process"]["noNewPrivileges"] = json!(false);
    let output = bundle.run();
    assert_eq!(
        output.text(),
        "Seccomp:\t2\nrefused\nmade\nforked\n",
        "{}",
        output.errors()
    );
    // Programs that are added get it too.
    bundle.program(&["sleep", "60"]);
    bundle.start();
    let output = bundle.exec("unshare -U true 2>/dev/null || echo refused");
    assert_eq!(output.text(), "refused\n");
}

#[test]
fn rules_on_arguments_hold() {
    let Some(mut bundle) = Bundle::new() else {
        return;
    };
    bundle.spec["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [
            // kill(2) with a signal above 10.
            {"names": ["kill"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1,
             "args": [{"index": 1, "value": 10, "op": "SCMP_CMP_GT"}]},
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS"},
        ],
    });
    let output = bundle.shell(
        "sleep 9 & kill -15 $! 2>/dev/null || echo refused; kill -1 $! && echo sent; mkdir /dev/shm/x; echo $?",
    );
    assert_eq!(output.text(), "refused\nsent\n159\n", "{}", output.errors());
}

#[test]
fn what_nobody_would_enforce_is_refused() {
    let Some(mut bundle) = Bundle::new() else {
        return;
    };
    let plain = bundle.spec.clone();
    for (pointer, value, said) in [
        (
            "/process/apparmorProfile",
            json!("docker-default"),
            "AppArmor",
        ),
        ("/process/selinuxLabel", json!("a:b:c:d"), "SELinux"),
        (
            "/linux/sysctl",
            json!({"kernel.core_pattern": "|/x"}),
            "belongs to the host",
        ),
        (
            "/linux/timeOffsets",
            json!({"boottime": {"secs": 1}}),
            "time offsets",
        ),
        (
            "/linux/intelRdt",
            json!({"closID": "x"}),
            "Resource Director",
        ),
        ("/ociVersion", json!("2.0.0"), "version 2.0.0"),
        ("/process/cwd", json!("relative"), "not absolute"),
        ("/process/args", json!([]), "names no program"),
        (
            "/linux/resources/unified",
            json!({"memory.max": "1"}),
            "cgroup v2",
        ),
    ] {
        bundle.spec = plain.clone();
        let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
        bundle.spec.pointer_mut(parent).expect("its parent")[name] = value;
        let output = bundle.run();
        assert_eq!(output.code, Some(1), "{pointer}");
        assert!(
            output.errors().contains(said),
            "{pointer}: {}",
            output.errors()
        );
    }
    assert_eq!(bundle.ok(&["list", "--quiet"]), "", "nothing is left");
}

#[test]
fn a_user_without_privileges_runs_one() {
    use std::os::unix::fs::{PermissionsExt, chown};
    let Some(mut bundle) = Bundle::new() else {
        return;
    };
    // Somebody who is nobody here, in a folder that is theirs.
    const USER: u32 = 4242;
    let home = bundle.world.path("theirs");
    std::fs::create_dir(&home).expect("a folder");
    let program = home.join("coracle");
    std::fs::copy(env!("CARGO_BIN_EXE_coracle"), &program).expect("a copy of the program");
    let moved = home.join("rootfs");
    std::fs::rename(bundle.world.path("rootfs"), &moved).expect("the root moves");
    for path in [&home, &moved] {
        chown(path, Some(USER), Some(USER)).expect("it is theirs");
    }
    let mut above = home.as_path();
    while let Some(parent) = above.parent().filter(|parent| {
        parent.starts_with(std::env::temp_dir()) && *parent != std::env::temp_dir()
    }) {
        std::fs::set_permissions(parent, std::fs::Permissions::from_mode(0o755))
            .expect("they may enter");
        above = parent;
    }
    let them = |arguments: &[&str]| {
        let (user, program) = (USER.to_string(), program.to_str().expect("UTF-8"));
        let whole = [
            &[
                "--reuid",
                &user,
                "--regid",
                &user,
                "--clear-groups",
                program,
                "oci",
                "--root",
                "state",
            ],
            arguments,
        ]
        .concat();
        let mut command = bundle.world.tool("setpriv", &whole);
        command.current_dir(&home);
        finish(command, b"")
    };
    let written = them(&["spec", "--rootless"]);
    assert_eq!(written.code, Some(0), "{}", written.errors());
    let config = home.join("config.json");
    let text = std::fs::read(&config).expect("its configuration");
    let mut spec: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    spec["process"]["terminal"] = json!(false);
    spec["process"]["args"] = json!([
        "sh",
        "-c",
        "id; cat /proc/self/uid_map | tr -s ' '; ls /proc/self/fd | wc -l; mount -t tmpfs x /bin || echo refused"
    ]);
    std::fs::write(&config, spec.to_string()).expect("its configuration");
    let output = them(&["run", "theirs"]);
    assert_eq!(output.code, Some(0), "{}", output.errors());
    assert_eq!(output.text(), "uid=0 gid=0\n 0 4242 1\n4\nrefused\n");
    // The other half of the test's own clean-up.
    std::fs::rename(&moved, bundle.world.path("rootfs")).expect("the root moves back");
    bundle.program(&["true"]);
}
