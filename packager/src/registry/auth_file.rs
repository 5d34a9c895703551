//! Keeping and forgetting credentials, in Docker's `config.json` or through the helper that it names.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::credentials::{Credential, CredentialError};
use super::docker_config::{DockerConfig, is_key_of, server};
use super::helper::{Helper, HelperError};

/// Bytes of a credentials file.
const FILE_LIMIT: u64 = 8 << 20;

/// A file of credentials that is written to.
#[derive(Clone, Debug)]
pub struct AuthFile {
    path: PathBuf,
}

/// Where a credential went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// To this helper, by its name.
    Helper(String),
    /// Into the file, where everybody who may read it can read it.
    File,
}

/// Why a credential was not kept or forgotten.
#[derive(Debug, thiserror::Error)]
pub enum AuthFileError {
    /// The file system says no.
    #[error("{doing} {path}")]
    Io {
        /// Such as "writing".
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is none of this kind; it stays as it is.
    #[error("reading {path}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: CredentialError,
    },
    /// The helper says no.
    #[error(transparent)]
    Helper(#[from] HelperError),
}

impl AuthFile {
    /// Names a file, which need not be there yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Returns the file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps a credential for a registry, named as in references, in place of the one before.
    ///
    /// # Errors
    ///
    /// [`AuthFileError`]; the file is then as it was.
    pub fn store(
        &self,
        registry: &str,
        username: &str,
        credential: &Credential,
    ) -> Result<Keeper, AuthFileError> {
        let _lock = self.lock()?;
        let (mut content, config) = self.read()?;
        let key = server(registry);
        let (keeper, entry) = match config.helper(registry, "") {
            Some(name) => {
                Helper::new(name)?.store(&key, credential)?;
                // Docker leaves this trace as well.
                (Keeper::Helper(name.to_owned()), json!({}))
            }
            None => (Keeper::File, entry(username, credential)),
        };
        let auths = auths(&mut content);
        auths.retain(|other, _| !is_key_of(other, registry));
        auths.insert(key, entry);
        self.write(&content)?;
        Ok(keeper)
    }

    /// Forgets the credential for a registry. Returns whether there was one.
    ///
    /// # Errors
    ///
    /// [`AuthFileError`]; the file is then as it was.
    pub fn erase(&self, registry: &str) -> Result<bool, AuthFileError> {
        if !self.path.exists() {
            return Ok(false);
        }
        let _lock = self.lock()?;
        let (mut content, config) = self.read()?;
        let mut was_there = false;
        let auths = auths(&mut content);
        let before = auths.len();
        auths.retain(|key, _| !is_key_of(key, registry));
        let is_changed = auths.len() < before;
        was_there |= is_changed;
        if let Some(name) = config.helper(registry, "") {
            let helper = Helper::new(name)?;
            // Some helpers forget what they never knew without a word.
            let is_known = helper.get(&server(registry))?.is_some();
            was_there |= is_known;
            if is_known {
                helper.erase(&server(registry))?;
            }
        }
        if is_changed {
            self.write(&content)?;
        }
        Ok(was_there)
    }

    /// Keeps others from changing the file until it is dropped.
    fn lock(&self) -> Result<Option<File>, AuthFileError> {
        let folder = self.folder();
        make_private_folder(folder).map_err(|source| self.io("creating the folder of", source))?;
        // Some systems do not open folders; there the last one who writes wins, as with Docker.
        let Ok(file) = File::open(folder) else {
            return Ok(None);
        };
        file.lock()
            .map_err(|source| self.io("locking the folder of", source))?;
        Ok(Some(file))
    }

    fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    }

    fn read(&self) -> Result<(Map<String, Value>, DockerConfig), AuthFileError> {
        let mut bytes = Vec::new();
        match File::open(&self.path) {
            Ok(file) => {
                file.take(FILE_LIMIT)
                    .read_to_end(&mut bytes)
                    .map_err(|source| self.io("reading", source))?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(self.io("reading", source)),
        }
        let config = DockerConfig::parse(&bytes).map_err(|source| AuthFileError::Malformed {
            path: self.path.clone(),
            source,
        })?;
        if bytes.trim_ascii().is_empty() {
            return Ok((Map::new(), config));
        }
        match serde_json::from_slice(&bytes) {
            Ok(content) => Ok((content, config)),
            Err(error) => Err(AuthFileError::Malformed {
                path: self.path.clone(),
                source: CredentialError::Malformed {
                    problem: "it is no object",
                    line: error.line(),
                    column: error.column(),
                },
            }),
        }
    }

    fn write(&self, content: &Map<String, Value>) -> Result<(), AuthFileError> {
        let fail = |source| self.io("writing", source);
        // A link stays a link: people keep their settings elsewhere.
        let target = match fs::canonicalize(&self.path) {
            Ok(target) => target,
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.path.clone(),
            Err(source) => return Err(fail(source)),
        };
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let temporary = target.with_file_name(name);
        let mut bytes = serde_json::to_vec_pretty(content)
            .map_err(io::Error::from)
            .map_err(fail)?;
        bytes.push(b'\n');
        let written = private_file(&temporary)
            .and_then(|mut file| {
                file.write_all(&bytes)?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&temporary, &target));
        if written.is_err() {
            // The first error counts.
            let _gone = fs::remove_file(&temporary);
        }
        written.map_err(fail)
    }

    fn io(&self, doing: &'static str, source: io::Error) -> AuthFileError {
        AuthFileError::Io {
            doing,
            path: self.path.clone(),
            source,
        }
    }
}

fn auths(content: &mut Map<String, Value>) -> &mut Map<String, Value> {
    let auths = content.entry("auths").or_insert_with(|| json!({}));
    if !auths.is_object() {
        // It was null: anything else has been refused.
        *auths = json!({});
    }
    auths.as_object_mut().expect("it has just been made one")
}

fn entry(username: &str, credential: &Credential) -> Value {
    let pair = |password: &str| STANDARD.encode(format!("{username}:{password}"));
    match credential {
        Credential::Basic { password, .. } => json!({"auth": pair(password.reveal())}),
        Credential::Identity(token) => json!({"auth": pair(""), "identitytoken": token.reveal()}),
        Credential::Bearer(token) => json!({"registrytoken": token.reveal()}),
    }
}

#[cfg(unix)]
fn private_file(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    // One that a killed process left is nobody's any more: the lock is held.
    let _old = fs::remove_file(path);
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

#[cfg(not(unix))]
fn private_file(path: &Path) -> io::Result<File> {
    let _old = fs::remove_file(path);
    OpenOptions::new().write(true).create_new(true).open(path)
}

#[cfg(unix)]
fn make_private_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

#[cfg(not(unix))]
fn make_private_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::registry::{CredentialSource as _, Secret};
    use std::os::unix::fs::PermissionsExt as _;

    fn basic(username: &str, password: &str) -> Credential {
        Credential::Basic {
            username: username.to_owned(),
            password: Secret::new(password),
        }
    }

    fn parsed(path: &Path) -> DockerConfig {
        DockerConfig::parse(&fs::read(path).expect("a file")).expect("a config")
    }

    #[test]
    fn a_credential_is_kept_beside_what_was_there() {
        let home = tempfile::TempDir::new().expect("a folder");
        let path = home.path().join("new/config.json");
        let file = AuthFile::new(path.clone());
        assert!(!file.erase("r.example").expect("nothing to do"));
        assert!(!path.exists());
        for (registry, user) in [("r.example:5000", "me"), ("docker.io", "hub")] {
            let kept = file
                .store(registry, user, &basic(user, "pa:ss"))
                .expect("store");
            assert_eq!(kept, Keeper::File);
            assert_eq!(parsed(&path).get(registry), Ok(Some(basic(user, "pa:ss"))));
        }
        let mode = |path: &Path| {
            fs::metadata(path)
                .expect("it is there")
                .permissions()
                .mode()
                & 0o777
        };
        assert_eq!(
            (mode(&path), mode(&home.path().join("new"))),
            (0o600, 0o700)
        );

        let mut text: Value =
            serde_json::from_slice(&fs::read(&path).expect("a file")).expect("JSON");
        assert!(
            text["auths"]["https://index.docker.io/v1/"]["auth"].is_string(),
            "{text}"
        );
        text["HttpHeaders"] = json!({"X": "y"});
        text["auths"]["https://docker.io"] = json!({"auth": "b2xk"});
        fs::write(&path, text.to_string()).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("a mode");

        let token = Credential::Identity(Secret::new("t"));
        file.store("docker.io", "hub", &token).expect("store");
        assert_eq!(parsed(&path).get("docker.io"), Ok(Some(token)));
        let text: Value = serde_json::from_slice(&fs::read(&path).expect("a file")).expect("JSON");
        assert_eq!(text["HttpHeaders"], json!({"X": "y"}));
        assert_eq!(
            text["auths"].as_object().expect("entries").len(),
            2,
            "{text}"
        );
        assert_eq!(mode(&path), 0o600);

        assert!(file.erase("index.docker.io").expect("erase"));
        assert!(!file.erase("docker.io").expect("erase again"));
        assert_eq!(parsed(&path).get("docker.io"), Ok(None));
        assert_eq!(
            parsed(&path).get("r.example:5000"),
            Ok(Some(basic("me", "pa:ss")))
        );
        assert_eq!(
            fs::read_dir(home.path().join("new"))
                .expect("a folder")
                .count(),
            1,
            "nothing is left"
        );
    }

    #[test]
    fn a_file_that_is_none_stays_as_it_is() {
        let home = tempfile::TempDir::new().expect("a folder");
        let path = home.path().join("config.json");
        for text in ["{\"auths\":", "[]", "{\"auths\": 1}"] {
            fs::write(&path, text).expect("a file");
            let file = AuthFile::new(path.clone());
            let error = file
                .store("r.example", "me", &basic("me", "hunter2"))
                .expect_err(text);
            let message = format!("{error}{error:?}");
            assert!(
                message.contains("config.json") && !message.contains("hunter2"),
                "{message}"
            );
            assert_eq!(fs::read_to_string(&path).expect("a file"), text);
        }
    }

    #[test]
    fn a_link_stays_a_link() {
        let home = tempfile::TempDir::new().expect("a folder");
        let (link, target) = (
            home.path().join("config.json"),
            home.path().join("dotfiles.json"),
        );
        fs::write(&target, "").expect("a file");
        std::os::unix::fs::symlink(&target, &link).expect("a link");
        AuthFile::new(link.clone())
            .store("r.example", "me", &basic("me", "p"))
            .expect("store");
        assert!(
            fs::symlink_metadata(&link)
                .expect("it is there")
                .is_symlink()
        );
        assert_eq!(parsed(&target).get("r.example"), Ok(Some(basic("me", "p"))));
    }
}
