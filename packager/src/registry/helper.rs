//! Programs that keep credentials: `docker-credential-<name> get|store|erase`
//! (github.com/docker/docker-credential-helpers).
//!
//! What goes in and out is small JSON or a server's name. A helper may ask its user for a password, so it gets some time, but
//! not for ever.

use std::io::{Read, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::credentials::Credential;
use super::redact;
use super::secret::Secret;

/// Time for one call: somebody may have to unlock a keychain.
const CALL_LIMIT: Duration = Duration::from_secs(120);
/// Bytes of an answer. Tokens of cloud providers have some 10 KiB.
const ANSWER_LIMIT: u64 = 256 << 10;
/// The user name that says that the secret is an identity token.
const TOKEN_USER: &str = "<token>";
/// What helpers say about a server that they do not know.
const NOT_FOUND: &str = "credentials not found in native keychain";

/// One helper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Helper {
    program: String,
}

/// Why a helper did not do what it was asked for. No message repeats what may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HelperError {
    /// No program can have this name.
    #[error("{name:?} is no name of a helper")]
    Name {
        /// The name.
        name: String,
    },
    /// The program cannot be run.
    #[error("running {program:?}: {problem}")]
    Run {
        /// The program.
        program: String,
        /// What the system says.
        problem: String,
    },
    /// The program did not end in time.
    #[error("{program:?} did not answer within {seconds} seconds")]
    TimedOut {
        /// The program.
        program: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The program says that it failed.
    #[error("{program:?} says: {message}")]
    Failed {
        /// The program.
        program: String,
        /// Its own words.
        message: String,
    },
    /// The program answered something else than a credential.
    #[error("{program:?} does not answer as a helper does")]
    Answer {
        /// The program.
        program: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Kept {
    username: String,
    secret: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ToKeep<'a> {
    #[serde(rename = "ServerURL")]
    server: &'a str,
    username: &'a str,
    secret: &'a str,
}

struct Output {
    success: bool,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Helper {
    /// Finds a helper by the name that a config has for it, such as `secretservice`. It is not run yet.
    ///
    /// # Errors
    ///
    /// [`HelperError::Name`]: a name is part of a program's name, and never a path.
    pub fn new(name: &str) -> Result<Self, HelperError> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || !name.chars().all(is_part) {
            return Err(HelperError::Name {
                name: redact::foreign(name),
            });
        }
        Ok(Self {
            program: format!("docker-credential-{name}"),
        })
    }

    /// Returns the credential for a server, if the helper has one.
    ///
    /// # Errors
    ///
    /// [`HelperError`] says what went wrong.
    pub fn get(&self, server: &str) -> Result<Option<Credential>, HelperError> {
        let output = self.call("get", server.as_bytes())?;
        if !output.success {
            if output.stdout.trim_ascii() == NOT_FOUND.as_bytes() {
                return Ok(None);
            }
            return Err(self.failed(&output));
        }
        let kept: Kept =
            serde_json::from_slice(&output.stdout).map_err(|_| HelperError::Answer {
                program: self.program.clone(),
            })?;
        let secret = Secret::new(kept.secret);
        Ok(Some(match kept.username.as_str() {
            TOKEN_USER => Credential::Identity(secret),
            // Some answer so for what they do not know.
            "" if secret.reveal().is_empty() => return Ok(None),
            _ => Credential::Basic {
                username: kept.username,
                password: secret,
            },
        }))
    }

    /// Has a credential kept.
    ///
    /// # Errors
    ///
    /// [`HelperError`] says what went wrong.
    pub fn store(&self, server: &str, credential: &Credential) -> Result<(), HelperError> {
        let (username, secret) = match credential {
            Credential::Basic { username, password } => (username.as_str(), password),
            Credential::Identity(token) | Credential::Bearer(token) => (TOKEN_USER, token),
        };
        let input = serde_json::to_vec(&ToKeep {
            server,
            username,
            secret: secret.reveal(),
        })
        .expect("text is JSON");
        let output = self.call("store", &input)?;
        if output.success {
            Ok(())
        } else {
            Err(self.failed(&output))
        }
    }

    /// Has a server's credential forgotten. Returns whether there was one.
    ///
    /// # Errors
    ///
    /// [`HelperError`] says what went wrong.
    pub fn erase(&self, server: &str) -> Result<bool, HelperError> {
        let output = self.call("erase", server.as_bytes())?;
        if output.success {
            return Ok(true);
        }
        if output.stdout.trim_ascii() == NOT_FOUND.as_bytes() {
            return Ok(false);
        }
        Err(self.failed(&output))
    }

    fn failed(&self, output: &Output) -> HelperError {
        let said = if output.stdout.trim_ascii().is_empty() {
            &output.stderr
        } else {
            &output.stdout
        };
        let text = String::from_utf8_lossy(said);
        // A message, and not a credential with a bad end.
        let message = match text.trim() {
            "" => "nothing, and fails".to_owned(),
            text if text.starts_with('{') => "it failed".to_owned(),
            text => redact::foreign(text),
        };
        HelperError::Failed {
            program: self.program.clone(),
            message,
        }
    }

    fn call(&self, verb: &str, input: &[u8]) -> Result<Output, HelperError> {
        self.call_within(verb, input, CALL_LIMIT)
    }

    fn call_within(
        &self,
        verb: &str,
        input: &[u8],
        limit: Duration,
    ) -> Result<Output, HelperError> {
        let problem = |error: std::io::Error| HelperError::Run {
            program: self.program.clone(),
            problem: match error.kind() {
                std::io::ErrorKind::NotFound => "there is no such program in PATH".to_owned(),
                _ => error.to_string(),
            },
        };
        let mut child = Command::new(&self.program)
            .arg(verb)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(problem)?;
        let result = talk(&mut child, input, limit);
        if !matches!(result, Ok(Some(_))) {
            // It may be gone already.
            let _killed = child.kill();
            let _reaped = child.wait();
        }
        let output = result
            .map_err(problem)?
            .ok_or_else(|| HelperError::TimedOut {
                program: self.program.clone(),
                seconds: limit.as_secs(),
            })?;
        if output.stdout.len() as u64 >= ANSWER_LIMIT {
            return Err(HelperError::Answer {
                program: self.program.clone(),
            });
        }
        Ok(output)
    }
}

/// Writes to a program, and reads what it answers; `None` if it takes too long.
fn talk(child: &mut Child, input: &[u8], limit: Duration) -> std::io::Result<Option<Output>> {
    let until = Instant::now() + limit;
    let answers = [gather(child.stdout.take()), gather(child.stderr.take())];
    if let Some(mut stdin) = child.stdin.take() {
        // One that needs no input may be gone before it comes. It always fits into a pipe.
        let _written = stdin.write_all(input);
    }
    let mut texts =
        answers.map(|answer| answer.recv_timeout(until.saturating_duration_since(Instant::now())));
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() >= until {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let mut take = |index: usize| {
        texts
            .get_mut(index)
            .map(|text| std::mem::replace(text, Ok(Vec::new())))
    };
    match (take(0), take(1)) {
        (Some(Ok(stdout)), Some(stderr)) => Ok(Some(Output {
            success: status.success(),
            stdout,
            stderr: stderr.unwrap_or_default(),
        })),
        _ => Ok(None),
    }
}

/// Reads a stream to its end in a thread, or as far as an answer may be long.
fn gather(stream: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    let _thread = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(stream) = stream {
            let mut bounded = stream.take(ANSWER_LIMIT);
            // What came before an error is all there is.
            let _read = bounded.read_to_end(&mut bytes);
        }
        let _nobody_waits = sender.send(bytes);
    });
    receiver
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    /// A helper in a folder of its own, found by its path.
    fn helper(script: &str) -> (tempfile::TempDir, Helper) {
        let folder = tempfile::TempDir::new().expect("a folder");
        let path = folder.path().join("helper");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a script");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
            .expect("executable");
        let program = path.to_str().expect("UTF-8").to_owned();
        (folder, Helper { program })
    }

    #[test]
    fn a_credential_is_given() {
        let script = r#"[ "$1" = get ] || exit 9
            read -r server
            printf '{"ServerURL":"%s","Username":"me-%s","Secret":"hunter2"}' "$server" "$server""#;
        let (_folder, helper) = helper(script);
        assert_eq!(
            helper.get("r.example:5000\n"),
            Ok(Some(Credential::Basic {
                username: "me-r.example:5000".to_owned(),
                password: Secret::new("hunter2"),
            }))
        );
    }

    #[test]
    fn a_token_is_told_by_its_user() {
        let (_folder, helper) =
            helper(r#"echo '{"ServerURL":"x","Username":"<token>","Secret":"t"}'"#);
        assert_eq!(
            helper.get("x"),
            Ok(Some(Credential::Identity(Secret::new("t"))))
        );
    }

    #[test]
    fn what_is_not_there_is_none() {
        let (_folder, helper) = helper("echo credentials not found in native keychain; exit 1");
        assert_eq!(helper.get("x"), Ok(None));
        assert_eq!(helper.erase("x"), Ok(false));
    }

    #[test]
    fn a_credential_is_kept_and_forgotten() {
        let (folder, helper) = helper(r#"cat > "$(dirname "$0")/$1""#);
        let credential = Credential::Basic {
            username: "me".to_owned(),
            password: Secret::new("a\"b"),
        };
        helper.store("r.example", &credential).expect("store");
        let stored = std::fs::read_to_string(folder.path().join("store")).expect("what was kept");
        assert_eq!(
            stored,
            r#"{"ServerURL":"r.example","Username":"me","Secret":"a\"b"}"#
        );
        helper
            .store("r.example", &Credential::Identity(Secret::new("t")))
            .expect("store");
        let stored = std::fs::read_to_string(folder.path().join("store")).expect("what was kept");
        assert_eq!(
            stored,
            r#"{"ServerURL":"r.example","Username":"<token>","Secret":"t"}"#
        );
        assert_eq!(helper.erase("r.example"), Ok(true));
        let erased =
            std::fs::read_to_string(folder.path().join("erase")).expect("what was forgotten");
        assert_eq!(erased, "r.example");
    }

    #[test]
    fn a_helper_that_fails_is_quoted_and_keeps_its_secrets() {
        for (script, want) in [
            (
                "echo the keychain is locked; exit 1",
                "the keychain is locked",
            ),
            ("echo no display >&2; exit 1", "no display"),
            ("exit 1", "nothing"),
            (r#"echo '{"Secret":"hunter2"}'; exit 1"#, "it failed"),
            ("echo hunter2", "does not answer as a helper"),
            ("head -c 300000 /dev/zero", "does not answer as a helper"),
        ] {
            let (_folder, helper) = helper(script);
            let error = helper.get("x").expect_err(script);
            let text = format!("{error} {error:?}");
            assert!(
                text.contains(want) || error.to_string().contains(want),
                "{text}"
            );
            assert!(!text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn a_helper_that_hangs_is_ended() {
        let (_folder, helper) = helper("exec sleep 1000");
        let result = helper.call_within("get", b"x", Duration::from_millis(200));
        assert!(matches!(
            result.map(drop),
            Err(HelperError::TimedOut { .. })
        ));
    }

    #[test]
    fn a_name_is_no_path() {
        for name in ["", "../x", "a/b", "a b", "x\0"] {
            assert!(
                matches!(Helper::new(name), Err(HelperError::Name { .. })),
                "{name:?}"
            );
        }
        let helper = Helper::new("coracle-test-there-is-none").expect("a name");
        let error = helper.get("x").expect_err("no program").to_string();
        assert!(error.contains("no such program"), "{error}");
    }
}
