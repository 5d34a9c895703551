//! A sealed world for each test: a home, a data folder, and nothing of the caller's environment but `PATH`.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long anything may take that is waited for by looking again and again.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A user's machine, as far as Coracle sees it.
pub(crate) struct World {
    folder: TempDir,
}

/// What a command left behind.
pub(crate) struct Output {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("coracle-e2e-")
            .tempdir()
            .expect("a temporary folder");
        for name in ["home", "docker", "work"] {
            fs::create_dir(folder.path().join(name)).expect("a folder in the world");
        }
        Self { folder }
    }

    /// The data folder, `CORACLE_ROOT`. Nobody has created it yet.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The store of images, an OCI layout.
    pub(crate) fn images(&self) -> PathBuf {
        self.root().join("images")
    }

    /// A path in the folder in which the commands run.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("work").join(name)
    }

    /// Writes a file, and the folders above it, in the folder in which the commands run.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("the file's folder");
        fs::write(&path, bytes).expect("a file in the world");
        path
    }

    /// Writes Docker's `config.json` with these registries, users and passwords.
    pub(crate) fn log_in(&self, registry: &str, user: &str, password: &str) {
        let auth = base64(format!("{user}:{password}").as_bytes());
        let config = serde_json::json!({ "auths": { registry: { "auth": auth } } });
        fs::write(
            self.folder.path().join("docker/config.json"),
            config.to_string(),
        )
        .expect("Docker's config.json");
    }

    /// The command, ready to run, with an empty stdin.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        self.seal(env!("CARGO_BIN_EXE_coracle").as_ref(), arguments)
    }

    /// Another program in this world.
    pub(crate) fn tool<S: AsRef<OsStr>>(&self, program: &str, arguments: &[S]) -> Command {
        self.seal(find_program(program).as_ref(), arguments)
    }

    fn seal<S: AsRef<OsStr>>(&self, program: &OsStr, arguments: &[S]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", path_variable())
            .env("HOME", self.folder.path().join("home"))
            .env("DOCKER_CONFIG", self.folder.path().join("docker"))
            .env("CORACLE_ROOT", self.root())
            .current_dir(self.folder.path().join("work"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the command to its end.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Output {
        finish(self.command(arguments), b"")
    }

    /// Runs the command to its end, with these bytes on its stdin.
    pub(crate) fn run_with<S: AsRef<OsStr>>(&self, arguments: &[S], stdin: &[u8]) -> Output {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped());
        finish(command, stdin)
    }

    /// Runs a command that must succeed and returns its stdout.
    pub(crate) fn ok<S: AsRef<OsStr>>(&self, arguments: &[S]) -> String {
        self.run(arguments).expect_code(0, arguments).text()
    }

    /// Runs a command that must be refused with code 125 and one message, and returns the message.
    pub(crate) fn refused<S: AsRef<OsStr>>(&self, arguments: &[S]) -> String {
        let output = self.run(arguments).expect_code(125, arguments);
        let message = output.errors();
        assert!(!message.trim().is_empty(), "refused without a word");
        assert!(!message.contains("panicked"), "{message}");
        message
    }

    /// Runs a command that starts nothing and must fail with code 1 and one message, and returns the message.
    pub(crate) fn failed<S: AsRef<OsStr>>(&self, arguments: &[S]) -> String {
        let output = self.run(arguments).expect_code(1, arguments);
        let message = output.errors();
        assert!(!message.trim().is_empty(), "failed without a word");
        assert!(!message.contains("panicked"), "{message}");
        message
    }

    /// Runs a command whose stdout is JSON.
    pub(crate) fn json<S: AsRef<OsStr>>(&self, arguments: &[S]) -> serde_json::Value {
        let text = self.ok(arguments);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text:?}"))
    }

    /// Runs another program that must succeed and returns its stdout.
    pub(crate) fn tool_ok<S: AsRef<OsStr>>(&self, program: &str, arguments: &[S]) -> String {
        finish(self.tool(program, arguments), b"")
            .expect_code(0, arguments)
            .text()
    }
}

impl Drop for World {
    /// What was left running in the background by a test that failed must not outlive it.
    fn drop(&mut self) {
        if !self.root().join("containers").exists() {
            return;
        }
        let running = self.run(&["ps", "-q"]).text();
        let names: Vec<&str> = running.lines().collect();
        if !names.is_empty() {
            let _removed = self.run(&[&["rm", "-f"], &names[..]].concat());
        }
    }
}

impl Output {
    /// Both streams in the message when the code is another one.
    #[track_caller]
    pub(crate) fn expect_code<S: AsRef<OsStr>>(self, code: i32, arguments: &[S]) -> Self {
        let arguments: Vec<&OsStr> = arguments.iter().map(AsRef::as_ref).collect();
        assert_eq!(
            self.code,
            Some(code),
            "{arguments:?}\n--- stdout\n{}\n--- stderr\n{}",
            String::from_utf8_lossy(&self.stdout),
            self.errors(),
        );
        self
    }

    /// Stdout, which must be text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).expect("text on stdout")
    }

    pub(crate) fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

/// Feeds a command and waits for its end.
pub(crate) fn finish(mut command: Command, stdin: &[u8]) -> Output {
    let mut child = command
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let pipe = child.stdin.take();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if let Some(mut pipe) = pipe {
                // Who does not read its stdin may close it: that is the reader's matter.
                let _closed = pipe.write_all(stdin);
            }
        });
        let output = child.wait_with_output().expect("the command's output");
        Output {
            code: output.status.code(),
            stdout: output.stdout,
            stderr: output.stderr,
        }
    })
}

/// A running command that is killed when the test lets go of it.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(
            command
                .spawn()
                .unwrap_or_else(|error| panic!("{command:?}: {error}")),
        )
    }

    /// `kill -9`, and waits until it is gone. Says how it ended: perhaps it was quicker.
    pub(crate) fn kill(mut self) -> ExitStatus {
        self.0.kill().expect("the command can be killed");
        self.0.wait().expect("the command's end")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Looks until it is so.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "waited too long: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn path_variable() -> std::ffi::OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    // Debian puts servers where only root looks.
    path.push(":/usr/sbin:/sbin");
    path
}

fn find_program(name: &str) -> PathBuf {
    std::env::split_paths(&path_variable())
        .map(|folder| folder.join(name))
        .find(|path| is_file(path))
        .unwrap_or_else(|| panic!("`{name}` is not installed; ./tests/run.sh installs it"))
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|data| data.is_file())
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk
            .iter()
            .chain(&[0, 0])
            .take(3)
            .fold(0_usize, |word, &byte| word << 8 | usize::from(byte));
        for place in 0..4 {
            text.push(if place <= chunk.len() {
                char::from(LETTERS[word >> (18 - 6 * place) & 63])
            } else {
                '='
            });
        }
    }
    text
}
