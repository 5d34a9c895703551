//! Linux programs: busybox in namespaces, by the same commands as WebAssembly.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::fixtures::native;
use crate::world::{Output, World, finish, wait_until};

/// A world with busybox as the image `box`.
fn world() -> World {
    let world = World::new();
    let tar = native("busybox.tar");
    let tar = tar.to_str().expect("a path of text");
    let import = [
        "import",
        "--platform",
        "linux/amd64",
        "-c",
        "CMD [\"sh\"]",
        tar,
        "box",
    ];
    world.ok(&import);
    world
}

fn said(world: &World, flags: &[&str], script: &str) -> String {
    let line = [&["run", "--rm"], flags, &["box", "sh", "-c", script]].concat();
    world.ok(&line)
}

#[test]
fn a_pipeline_in_a_container_of_its_own() {
    let world = world();
    let script =
        "seq 1 100 | grep 7 | wc -l; id -u; echo $$; hostname; pwd; cat /proc/1/comm; true";
    let text = said(&world, &["--hostname", "here", "-w", "/tmp"], script);
    assert_eq!(text, "19\n0\n1\nhere\n/tmp\nsh\n");
    // Its changes are its own, and go with it.
    said(&world, &[], "rm /bin/wc && echo x >/etc/new && ls /etc/new");
    let text = said(&world, &[], "ls /bin/wc /etc/new 2>&1; true");
    assert_eq!(
        text, "ls: /etc/new: No such file or directory\n/bin/wc\n",
        "{text}"
    );
}

#[test]
fn the_exit_code_is_the_programs() {
    let world = world();
    for (script, code) in [("exit 7", 7), ("kill -9 $$", 137), ("true", 0)] {
        // The first process of a namespace is not killed by its own signals: a child is.
        let script = match code {
            137 => "sh -c 'kill -9 $$'; exit $?",
            _ => script,
        };
        let line = ["run", "--rm", "box", "sh", "-c", script];
        world.run(&line).expect_code(code, &line);
    }
    let missing = ["run", "--rm", "box", "/no/such"];
    world.run(&missing).expect_code(127, &missing);
    let folder = ["run", "--rm", "box", "/etc"];
    world.run(&folder).expect_code(126, &folder);
}

#[test]
fn what_it_is_and_what_it_may() {
    let world = world();
    let status = |flags: &[&str]| {
        said(
            &world,
            flags,
            "grep -E 'Cap(Eff|Bnd|Inh)|Seccomp:|NoNewPrivs' /proc/self/status",
        )
    };
    let usual = status(&[]);
    assert!(usual.contains("CapEff:\t00000000a80425fb"), "{usual}");
    assert!(usual.contains("CapInh:\t0000000000000000"), "{usual}");
    assert!(usual.contains("Seccomp:\t2"), "{usual}");
    assert!(usual.contains("NoNewPrivs:\t0"), "{usual}");
    let strict = status(&["--strict"]);
    assert!(strict.contains("CapBnd:\t0000000000000000"), "{strict}");
    assert!(strict.contains("NoNewPrivs:\t1"), "{strict}");
    let dropped = status(&["--cap-drop", "ALL", "--cap-add", "CHOWN"]);
    assert!(dropped.contains("CapEff:\t0000000000000001"), "{dropped}");
    let user = said(
        &world,
        &["-u", "user", "--group-add", "10"],
        "id; cat /proc/self/status | grep CapEff; echo $HOME",
    );
    assert!(
        user.starts_with("uid=1000(user) gid=1000(user) groups=10(wheel)"),
        "{user}"
    );
    assert!(
        user.ends_with("CapEff:\t0000000000000000\n/home/user\n"),
        "{user}"
    );
    let nobody = ["run", "--rm", "-u", "nobody", "box", "true"];
    assert!(world.refused(&nobody).contains("no matching entries"));
}

#[test]
fn the_host_is_out_of_reach() {
    let world = world();
    for (what, script) in [
        ("the kernel's settings", "echo 1 >/proc/sys/kernel/panic"),
        ("sysrq", "echo h >/proc/sysrq-trigger"),
        (
            "control groups",
            "mkdir /sys/fs/cgroup/memory/x || mkdir /sys/fs/cgroup/x",
        ),
        ("devices", "mknod /tmp/sda b 8 0 && cat /tmp/sda"),
        ("mounts", "mount -t tmpfs x /mnt"),
        ("the network", "ip link add x type dummy"),
        (
            "masked files",
            "test -s /proc/kcore && head -c1 /proc/kcore | grep -q .",
        ),
    ] {
        let script = format!("({script}) 2>/dev/null && echo reached; true");
        assert_eq!(said(&world, &[], &script), "", "{what}");
    }
    let text = said(&world, &[], "ls /sys/class/net; ps | wc -l");
    assert_eq!(text.lines().next(), Some("lo"), "{text}");
}

#[test]
fn folders_volumes_and_memory() {
    let world = world();
    fs::create_dir(world.path("data")).expect("a folder");
    fs::write(world.path("data/in"), b"from the host\n").expect("a file");
    let data = world.path("data").display().to_string();
    let (writable, readable) = (format!("{data}:/data"), format!("{data}:/ro:ro"));
    let script = "cat /data/in; echo out >/data/out; echo x >/ro/x || echo read-only; touch /tmp/a; df /mem | grep -c tmpfs";
    let flags = ["-v", &writable, "-v", &readable, "--tmpfs", "/mem:size=1m"];
    let text = said(&world, &flags, &format!("{{ {script}; }} 2>/dev/null"));
    assert_eq!(text, "from the host\nread-only\n1\n");
    assert_eq!(fs::read(world.path("data/out")).expect("written"), b"out\n");
    let text = said(
        &world,
        &["--read-only"],
        "touch /x 2>/dev/null || echo read-only",
    );
    assert_eq!(text, "read-only\n");
    said(&world, &["-v", "kept:/v"], "echo kept >/v/file");
    assert_eq!(said(&world, &["-v", "kept:/v"], "cat /v/file"), "kept\n");
}

#[test]
fn limits_are_the_kernels() {
    let world = world();
    let script = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max; ulimit -n";
    let text = said(
        &world,
        &["--memory", "64m", "--ulimit", "nofile=100"],
        script,
    );
    assert_eq!(text, "67108864\n100\n");
    // More processes than it may have.
    let bomb = "i=0; while [ $i -lt 40 ]; do sleep 5 & i=$((i+1)); done 2>/dev/null; echo started";
    let line = ["run", "--rm", "--pids-limit", "10", "box", "sh", "-c", bomb];
    let output = world.run(&line);
    assert!(output.code != Some(125), "{}", output.errors());
    let hog = [
        "run",
        "--name",
        "hog",
        "--memory",
        "16m",
        "box",
        "sh",
        "-c",
        "x=a; while :; do x=$x$x; done",
    ];
    world.run(&hog).expect_code(137, &hog);
    assert_eq!(
        world.json(&["inspect", "hog"])[0]["State"]["OOMKilled"],
        true
    );
}

#[test]
fn in_the_background() {
    let world = world();
    let script =
        "trap 'echo bye; exit 3' TERM; echo up; echo oops >&2; while :; do sleep 0.1; done";
    world.ok(&["run", "-d", "--name", "bg", "box", "sh", "-c", script]);
    wait_until("it is up", || world.run(&["logs", "bg"]).text() == "up\n");
    assert_eq!(world.run(&["logs", "bg"]).errors(), "oops\n");
    // Another program, in the same namespaces.
    let text = world.ok(&[
        "exec",
        "-e",
        "A=1",
        "-w",
        "/etc",
        "bg",
        "sh",
        "-c",
        "cat /proc/1/comm; echo $A; pwd; hostname",
    ]);
    let id = world.json(&["inspect", "bg"])[0]["Id"]
        .as_str()
        .expect("an id")[..12]
        .to_owned();
    assert_eq!(text, format!("sh\n1\n/etc\n{id}\n"));
    let failing = ["exec", "bg", "sh", "-c", "exit 5"];
    world.run(&failing).expect_code(5, &failing);
    world.ok(&["exec", "bg", "touch", "/mark"]);
    // Halted and let go on: what it counts stands still meanwhile.
    world.ok(&["pause", "bg"]);
    assert_eq!(
        world.json(&["inspect", "bg"])[0]["State"]["Status"],
        "paused"
    );
    world.ok(&["unpause", "bg"]);
    world.ok(&["stop", "bg"]);
    let state = &world.json(&["inspect", "bg"])[0]["State"];
    assert_eq!(
        (&state["Status"], &state["ExitCode"]),
        (&"exited".into(), &3.into())
    );
    // Its changes are there when it is started again.
    world.ok(&["start", "bg"]);
    wait_until("it is up again", || {
        world.run(&["logs", "bg"]).text() == "up\nbye\nup\n"
    });
    world.ok(&["exec", "bg", "test", "-e", "/mark"]);
    world.ok(&["kill", "bg"]);
    assert_eq!(world.ok(&["wait", "bg"]), "137\n");
    world.ok(&["rm", "bg"]);
}

#[test]
fn a_killed_owner_takes_the_container_along() {
    let world = world();
    world.ok(&["run", "-d", "--name", "orphan", "box", "sleep", "1000"]);
    let pid = world.json(&["inspect", "orphan"])[0]["State"]["Pid"]
        .as_u64()
        .expect("a pid");
    let record = fs::read_to_string(record(&world, "orphan")).expect("its record");
    let record: serde_json::Value = serde_json::from_str(&record).expect("JSON");
    let inner = record["pid"].as_u64().expect("a pid");
    assert_ne!(pid, inner);
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(killed.expect("kill").success());
    wait_until("its first process is gone", || {
        !PathBuf::from(format!("/proc/{inner}")).exists()
    });
    wait_until("it has ended", || {
        world.json(&["inspect", "orphan"])[0]["State"]["Status"] == "exited"
    });
    world.ok(&["rm", "-f", "orphan"]);
}

fn record(world: &World, name: &str) -> PathBuf {
    let id = world.json(&["inspect", name])[0]["Id"]
        .as_str()
        .expect("an id")
        .to_owned();
    world.root().join("containers").join(id).join("native.json")
}

#[test]
fn namespaces_are_shared_when_asked() {
    let world = world();
    world.ok(&["run", "-d", "--name", "first", "box", "sleep", "1000"]);
    let flags = ["--pid", "container:first", "--network", "container:first"];
    let text = said(&world, &flags, "ps | grep -c 'sleep 1000'");
    assert_ne!(text, "0\n");
    let namespace = |flags: &[&str]| said(&world, flags, "readlink /proc/self/ns/net");
    let host = fs::read_link("/proc/self/ns/net")
        .expect("a link")
        .display()
        .to_string();
    assert_eq!(namespace(&["--network", "host"]).trim(), host);
    assert_ne!(namespace(&[]).trim(), host);
    world.ok(&["rm", "-f", "first"]);
    let gone = ["run", "--rm", "--pid", "container:first", "box", "true"];
    assert!(world.refused(&gone).contains("no such container"));
}

#[test]
fn what_a_linux_program_cannot_be_held_to_is_refused() {
    let world = world();
    for (flags, want) in [
        (&["-p", "8080:80"][..], "--publish cannot be held"),
        (
            &["--allow-connect", "db:1"],
            "--allow-connect cannot be held",
        ),
        (&["--fuel", "10"], "--fuel cannot be held"),
        (&["--cap-add", "NONSENSE"], "invalid capability"),
        (
            &["--sysctl", "kernel.panic=1"],
            "sysctl \"kernel.panic\" is not allowed",
        ),
        (&["--device", "/dev/nonsense"], "device \"/dev/nonsense\""),
    ] {
        let line = [&["run", "--rm"], flags, &["box", "true"]].concat();
        let message = world.refused(&line);
        assert!(message.contains(want), "{message}");
    }
    // And the other way round.
    world.build(
        "wasm",
        "FROM scratch\nCOPY show.wasm /\nENTRYPOINT [\"/show.wasm\"]\n",
        &["show"],
        &[],
    );
    let message = world.refused(&["run", "--rm", "--cap-drop", "ALL", "wasm"]);
    assert!(
        message.contains("--cap-drop has no meaning for a WebAssembly program"),
        "{message}"
    );
}

#[test]
fn an_unpacked_image_goes_with_its_image_and_is_checked() {
    let world = world();
    said(&world, &[], "true");
    let trees = world.root().join("layers/trees/root");
    let count = || fs::read_dir(&trees).map_or(0, Iterator::count);
    assert_eq!(count(), 1);
    let tree = fs::read_dir(&trees)
        .expect("trees")
        .next()
        .expect("one")
        .expect("one")
        .path();
    fs::write(tree.join("fs/etc/passwd"), b"changed").expect("damage");
    let check = ["system", "check", "--repair"];
    let report = world.run(&check);
    assert!(
        report.text().contains("unpacked layer"),
        "{}",
        report.text()
    );
    assert_eq!(count(), 0);
    assert_eq!(said(&world, &["-u", "user"], "whoami"), "user\n");
    world.ok(&["rmi", "box"]);
    assert_eq!(count(), 0);
}

/// Nobody's number: a user without any rights on this machine.
const ORDINARY: u32 = 65_534;

/// A command of an ordinary user's, with a data folder of its own.
fn ordinary(folder: &Path, line: &[&str]) -> Output {
    let mut command = Command::new(folder.join("coracle"));
    command
        .args(line)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", folder)
        .env("CORACLE_ROOT", folder.join("data"))
        .current_dir(folder)
        .uid(ORDINARY)
        .gid(ORDINARY)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    finish(command, b"")
}

#[test]
fn without_roots_rights() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can become an ordinary user");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    std::os::unix::fs::chown(folder, Some(ORDINARY), Some(ORDINARY)).expect("given away");
    fs::copy(env!("CARGO_BIN_EXE_coracle"), folder.join("coracle")).expect("the program");
    fs::copy(native("busybox.tar"), folder.join("box.tar")).expect("an archive");
    fs::set_permissions(folder.join("box.tar"), fs::Permissions::from_mode(0o644))
        .expect("readable");
    let ok = |line: &[&str]| ordinary(folder, line).expect_code(0, line).text();
    ok(&["import", "--platform", "linux/amd64", "box.tar", "box"]);
    let script = "id -u; cat /proc/self/uid_map; rm /bin/wc; mkdir -p /new/deep; chmod 0 /new/deep; ls /bin/wc 2>/dev/null || echo gone";
    let text = ok(&["run", "--rm", "box", "sh", "-c", script]);
    let words: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(words, ["0", "0", "65534", "1", "gone"], "{text}");
    // The host's files are still the host's.
    let text = ok(&[
        "run",
        "--rm",
        "-v",
        "/etc:/host",
        "box",
        "sh",
        "-c",
        "cat /host/shadow 2>/dev/null || echo denied",
    ]);
    assert_eq!(text, "denied\n");
    ok(&["run", "-d", "--name", "bg", "box", "sleep", "1000"]);
    assert!(ok(&["exec", "bg", "ps"]).contains("sleep 1000"));
    ok(&["stop", "-t", "0", "bg"]);
    ok(&["start", "bg"]);
    ok(&["rm", "-f", "bg"]);
    let refused = ordinary(folder, &["run", "--rm", "-u", "user", "box", "id"]);
    assert_eq!(refused.code, Some(125));
    assert!(
        refused
            .errors()
            .contains("is not in the container's user namespace")
    );
    // What is left behind, overlayfs' own folders as well, is swept by the next command.
    ok(&["ps", "-a"]);
    let left = fs::read_dir(folder.join("data/staging")).map_or(0, Iterator::count);
    assert_eq!(left, 0);
}
