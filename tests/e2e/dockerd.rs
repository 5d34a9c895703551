//! A real Docker daemon: what we save it loads, and what it saves we load, with the same image ID.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Stdio;

use crate::fixtures::only;
use crate::world::{Output, Running, World, finish, wait_until};

/// A daemon with a data folder, a socket and a containerd of its own, and no network.
struct Daemon<'a> {
    world: &'a World,
    server: Running,
    socket: String,
}

impl<'a> Daemon<'a> {
    fn start(world: &'a World) -> Self {
        let path = |name: &str| world.path(name).display().to_string();
        let socket = format!("unix://{}", path("docker.sock"));
        let log = File::create(world.path("dockerd.log")).expect("a log");
        let mut command = world.tool(
            "dockerd",
            &[
                "--data-root",
                &path("docker"),
                "--exec-root",
                &path("docker-run"),
                "--pidfile",
                &path("docker.pid"),
                "--host",
                &socket,
                "--bridge=none",
                "--iptables=false",
                "--ip6tables=false",
                "--ip-forward=false",
                "--storage-driver=vfs",
            ],
        );
        command
            .stdout(log.try_clone().expect("a second handle of the log"))
            .stderr(log)
            .stdin(Stdio::null());
        let mut server = Running::start(&mut command);
        let socket_file = PathBuf::from(path("docker.sock"));
        wait_until("the daemon answers", || {
            let ended = server.0.try_wait().expect("the daemon's state");
            assert!(ended.is_none(), "{}", log_of(world));
            let version = world.tool("docker", &["--host", &socket, "version"]);
            socket_file.exists() && finish(version, b"").code == Some(0)
        });
        Self {
            world,
            server,
            socket,
        }
    }

    fn docker(&self, arguments: &[&str]) -> Output {
        let all = [&["--host", &self.socket], arguments].concat();
        let mut command = self.world.tool("docker", &all);
        // Its newer builder is another program.
        command.env("DOCKER_BUILDKIT", "0");
        finish(command, b"")
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.docker(arguments);
        assert_eq!(
            output.code,
            Some(0),
            "{arguments:?}: {}{}",
            output.errors(),
            log_of(self.world)
        );
        output.text().trim_end().to_owned()
    }
}

impl Drop for Daemon<'_> {
    /// Lets it end its containerd.
    fn drop(&mut self) {
        let id = self.server.0.id().to_string();
        drop(finish(self.world.tool("kill", &[&id]), b""));
        let _ended = self.server.0.wait();
    }
}

fn log_of(world: &World) -> String {
    std::fs::read_to_string(world.path("dockerd.log")).unwrap_or_default()
}

#[test]
fn docker_loads_what_we_save_and_we_load_what_it_saves() {
    let owner = std::fs::metadata("/proc/self").expect("this process").uid();
    if owner != 0 {
        eprintln!("SKIPPED: a Docker daemon needs root");
        return;
    }
    let world = World::new();
    let daemon = Daemon::start(&world);

    // Ours. This daemon loads no other system's images, so it says Linux.
    let dockerfile = format!(
        "{}ENV A=1\nLABEL l=\"two words\"\nEXPOSE 80\n",
        only("exit7")
    );
    let context = world.context("ours", &dockerfile, &["exit7"], &[]);
    world.ok(&[
        "build",
        "-q",
        "--platform",
        "linux/amd64",
        "-t",
        "ours:1",
        &context,
    ]);
    world.ok(&["tag", "ours:1", "localhost:5000/team/ours:2"]);
    let archive = world.path("ours.tar").display().to_string();
    world.ok(&[
        "save",
        "-o",
        &archive,
        "ours:1",
        "localhost:5000/team/ours:2",
    ]);
    let loaded = daemon.ok(&["load", "-i", &archive]);
    assert!(
        loaded.contains("ours:1") && loaded.contains("localhost:5000/team/ours:2"),
        "{loaded}"
    );
    let id = world.json(&["inspect", "ours:1"])[0]["Id"].clone();
    let of_docker = |name: &str, what: &str| daemon.ok(&["inspect", "--format", what, name]);
    assert_eq!(of_docker("ours:1", "{{.Id}}"), id.as_str().expect("an ID"));
    assert_eq!(
        of_docker("ours:1", "{{.Config.Labels.l}} {{.Config.Entrypoint}}"),
        "two words [/exit7.wasm]"
    );
    world.ok(&["convert", "--to", "docker", "ours:1", "schema:2"]);
    world.ok(&[
        "save",
        "-o",
        &archive,
        "--format",
        "docker-archive",
        "schema:2",
    ]);
    daemon.ok(&["load", "-i", &archive]);
    assert_eq!(
        of_docker("schema:2", "{{.Id}}"),
        id.as_str().expect("an ID")
    );

    // Theirs: one that it has built, and ours again.
    let theirs = world.context(
        "theirs",
        "FROM ours:1\nCOPY cat.wasm /\nENV B=2\nENTRYPOINT [\"/exit7.wasm\"]\n",
        &["cat"],
        &[],
    );
    daemon.ok(&["build", "-q", "-t", "theirs:1", &theirs]);
    let archive = world.path("theirs.tar").display().to_string();
    daemon.ok(&["save", "-o", &archive, "theirs:1", "ours:1"]);
    let other = World::new();
    let loaded = other.ok(&["load", "-i", &archive]);
    assert!(
        loaded.contains("theirs:1") && loaded.contains("ours:1"),
        "{loaded}"
    );
    for name in ["theirs:1", "ours:1"] {
        let inspected = other.json(&["inspect", name]);
        assert_eq!(inspected[0]["Id"], of_docker(name, "{{.Id}}"), "{name}");
        other.run(&["run", "--rm", name]).expect_code(7, &[name]);
    }
}
