//! A bundle with busybox, and the commands on it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::world::{Output, World, finish};

/// The programs that the containers of these tests use.
const APPLETS: [&str; 24] = [
    "sh", "true", "cat", "echo", "ls", "id", "ps", "sleep", "head", "tr", "mknod", "mkdir",
    "mount", "kill", "seq", "grep", "pwd", "unshare", "hostname", "wc", "ln", "rm", "env", "tty",
];

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A container's bundle.
pub(super) struct Bundle {
    pub(super) world: World,
    pub(super) spec: Value,
    pub(super) id: String,
    group: String,
}

impl Bundle {
    /// Makes one, or says that the test skips.
    pub(super) fn new() -> Option<Self> {
        if !coracle_runtime::sys::is_root() {
            eprintln!("SKIPPED: native containers of root need root");
            return None;
        }
        let world = World::new();
        let bin = world.path("rootfs/bin");
        fs::create_dir_all(&bin).expect("a root file system");
        fs::copy("/bin/busybox", bin.join("busybox")).expect("busybox, from busybox-static");
        for applet in APPLETS {
            symlink("busybox", bin.join(applet)).expect("an applet");
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let id = format!("t{}-{number}", std::process::id());
        let group = format!("coracle-test-{id}");
        let written = world.run(&["oci", "spec"]);
        assert_eq!(written.code, Some(0), "{}", written.errors());
        let text = fs::read(world.path("config.json")).expect("its configuration");
        let mut spec: Value = serde_json::from_slice(&text).expect("JSON");
        spec["process"]["terminal"] = json!(false);
        spec["linux"]["cgroupsPath"] = json!(format!("/{group}/{id}"));
        Some(Self {
            world,
            spec,
            id,
            group,
        })
    }

    /// A path in its root.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.world.path("rootfs").join(name)
    }

    /// Sets the program.
    pub(super) fn program(&mut self, args: &[&str]) {
        self.spec["process"]["args"] = json!(args);
    }

    /// Adds to a list of the specification.
    pub(super) fn push(&mut self, pointer: &str, value: Value) {
        let list = self.spec.pointer_mut(pointer).expect("a list");
        list.as_array_mut().expect("a list").push(value);
    }

    /// A command of `coracle oci`, with the configuration written.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        // In one step: another command of the same test may be reading it.
        let new = self.world.write("config.json.new", self.spec.to_string());
        fs::rename(new, self.world.path("config.json")).expect("the configuration");
        let state = self.world.path("state");
        let state = state.to_str().expect("UTF-8");
        let arguments = [&["oci", "--root", state], arguments].concat();
        self.world.command(&arguments)
    }

    /// Runs it to its end.
    pub(super) fn oci(&self, arguments: &[&str]) -> Output {
        finish(self.command(arguments), b"")
    }

    /// Runs it, which must succeed, and returns what it printed.
    pub(super) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.oci(arguments);
        assert_eq!(output.code, Some(0), "{arguments:?}: {}", output.errors());
        output.text()
    }

    /// Runs the container to its end.
    pub(super) fn run(&self) -> Output {
        self.oci(&["run", &self.id])
    }

    /// Runs a shell script as the container.
    pub(super) fn shell(&mut self, script: &str) -> Output {
        self.program(&["sh", "-c", script]);
        self.run()
    }

    /// Runs a command that leaves a container behind: it must succeed, and what stays gets none of our pipes, whose end we
    /// would wait for.
    pub(super) fn leave(&self, arguments: &[&str]) {
        let mut command = self.command(arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let status = command.status().expect("the command runs");
        assert!(status.success(), "{arguments:?}: {status}");
    }

    /// Starts the container in the background.
    pub(super) fn start(&self) {
        self.leave(&["run", "--detach", &self.id]);
    }

    /// Runs a shell script in the container that runs.
    pub(super) fn exec(&self, script: &str) -> Output {
        self.oci(&["exec", &self.id, "sh", "-c", script])
    }

    /// What `state` says.
    pub(super) fn status(&self) -> String {
        let state: Value = serde_json::from_str(&self.ok(&["state", &self.id])).expect("JSON");
        state["status"].as_str().expect("a status").to_owned()
    }
}

impl Bundle {
    /// The cgroup that all of this test's lie under.
    pub(super) fn group(&self) -> String {
        format!("/{}", self.group)
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        drop(self.oci(&["delete", "--force", &self.id]));
        let root = Path::new("/sys/fs/cgroup");
        // Only what this test has made: groups of its own name.
        remove(&root.join(&self.group));
        for hierarchy in fs::read_dir(root).into_iter().flatten().flatten() {
            remove(&hierarchy.path().join(&self.group));
        }
    }
}

/// Removes a group and those in it, unless there are processes.
fn remove(group: &Path) {
    for inner in fs::read_dir(group).into_iter().flatten().flatten() {
        if inner.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&inner.path());
        }
    }
    drop(fs::remove_dir(group));
}
