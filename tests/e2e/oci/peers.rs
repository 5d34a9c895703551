//! Podman and containerd run containers with us as their runtime.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Stdio;

use super::bundle::Bundle;
use crate::world::{finish, wait_until};

#[test]
fn podman_runs_ten_containers() {
    let Some(bundle) = Bundle::new() else {
        return;
    };
    let world = &bundle.world;
    let runtime = world.path("coracle-oci");
    symlink(env!("CARGO_BIN_EXE_coracle"), &runtime).expect("a link of that name");
    // The machine's own limits may be below Podman's.
    let config = world.write(
        "containers.conf",
        "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=8192:8192\"]\n[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n",
    );
    let folder = |name: &str| world.path(name).to_str().expect("UTF-8").to_owned();
    let (root, run, runtime) = (
        folder("podman"),
        folder("podman-run"),
        folder("coracle-oci"),
    );
    let group = bundle.group();
    let podman = |arguments: &[&str]| {
        let global = [
            "--root",
            &root,
            "--runroot",
            &run,
            "--storage-driver",
            "vfs",
            "--runtime",
            &runtime,
        ];
        let mut command = world.tool("podman", &[&global, arguments].concat());
        command.env("CONTAINERS_CONF", &config);
        finish(command, b"")
    };
    let started = |rest: &[&str]| {
        let start = ["run", "--network", "none", "--cgroup-parent", &group];
        podman(&[start.as_slice(), rest].concat())
    };
    // Podman reads the file that the world names.
    world.log_in("127.0.0.1:1", "user", "password");
    let archive = folder("root.tar");
    let packed = finish(
        world.tool("bsdtar", &["-c", "-C", "rootfs", "-f", &archive, "."]),
        b"",
    );
    assert_eq!(packed.code, Some(0), "{}", packed.errors());
    let imported = podman(&["import", "--quiet", &archive, "busy"]);
    assert_eq!(imported.code, Some(0), "{}", imported.errors());
    for number in 0..8 {
        let script = format!("id; echo {number}; exit {number}");
        let output = started(&["--rm", "busy", "sh", "-c", &script]);
        assert_eq!(output.code, Some(number), "{}", output.errors());
        assert!(
            output.text().ends_with(&format!("{number}\n")),
            "{}",
            output.text()
        );
    }
    let output = started(&["--rm", "--tty", "busy", "tty"]);
    assert_eq!(
        output.text().trim_end(),
        "/dev/pts/0",
        "{}",
        output.errors()
    );
    let output = started(&["--detach", "--name", "long", "busy", "sleep", "60"]);
    assert_eq!(output.code, Some(0), "{}", output.errors());
    let output = podman(&[
        "exec",
        "long",
        "sh",
        "-c",
        "grep Seccomp: /proc/self/status",
    ]);
    assert_eq!(output.text(), "Seccomp:\t2\n", "{}", output.errors());
    for arguments in [["pause", "long"], ["unpause", "long"], ["kill", "long"]] {
        let output = podman(&arguments);
        assert_eq!(output.code, Some(0), "{arguments:?}: {}", output.errors());
    }
    let output = started(&["--rm", "busy", "/nothing"]);
    assert_eq!(output.code, Some(127), "{}", output.errors());
    let output = podman(&["rm", "--all", "--force"]);
    assert_eq!(output.code, Some(0), "{}", output.errors());
}

#[test]
fn containerd_runs_containers() {
    let Some(bundle) = Bundle::new() else {
        return;
    };
    let world = &bundle.world;
    let runtime = world.path("coracle-oci");
    symlink(env!("CARGO_BIN_EXE_coracle"), &runtime).expect("a link of that name");
    let socket = world.path("s");
    let settings = format!(
        "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\", \
         \"io.containerd.internal.v1.opt\", \"io.containerd.snapshotter.v1.btrfs\", \"io.containerd.snapshotter.v1.zfs\", \
         \"io.containerd.snapshotter.v1.aufs\", \"io.containerd.snapshotter.v1.devmapper\"]\n[grpc]\naddress = {socket:?}\n",
        world.path("containerd"),
        world.path("containerd-state"),
    );
    let settings = world.write("containerd.toml", settings);
    let mut containerd = world
        .tool(
            "containerd",
            &["--config", settings.to_str().expect("UTF-8")],
        )
        .stdout(Stdio::null())
        .stderr(Stdio::from(
            fs::File::create(world.path("containerd.log")).expect("a log"),
        ))
        .spawn()
        .expect("containerd starts");
    wait_until("containerd listens", || socket.exists());
    let root = world.path("rootfs");
    let mut results = Vec::new();
    for number in 0..2 {
        let name = format!("{}-{number}", bundle.id);
        let cgroup = format!("{}/{name}", bundle.group());
        let arguments = [
            "--address",
            socket.to_str().expect("UTF-8"),
            "run",
            "--rm",
            "--rootfs",
            "--cgroup",
            &cgroup,
            "--runc-binary",
            runtime.to_str().expect("UTF-8"),
            "--runtime",
            "io.containerd.runc.v2",
            root.to_str().expect("UTF-8"),
            &name,
            "/bin/sh",
            "-c",
            "echo hello; exit 3",
        ];
        results.push(finish(world.tool("ctr", &arguments), b""));
    }
    containerd.kill().expect("containerd is killed");
    containerd.wait().expect("containerd ends");
    for output in results {
        assert_eq!(
            (output.code, output.text().as_str()),
            (Some(3), "hello\n"),
            "{}",
            output.errors()
        );
    }
}
