//! Docker's `config.json`.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::credentials::{Credential, CredentialError, CredentialSource, HUB};
use super::helper::Helper;
use super::secret::Secret;

/// Docker's key for Docker Hub in `auths`, kept from the first version of its API.
pub(super) const HUB_KEY: &str = "https://index.docker.io/v1/";
/// Other names under which Docker Hub's registry is known.
const HUB_ALIASES: [&str; 2] = ["index.docker.io", "registry-1.docker.io"];

/// Docker's `config.json`, or Podman's `auth.json`, as far as it is about credentials.
///
/// Keys of `auths` are hosts, hosts with a path (Podman), or URLs (`https://index.docker.io/v1/`, old Docker). The most
/// specific key that fits wins; between equal ones a plain host wins over a URL. As with Docker, a helper for the registry
/// (`credHelpers`) is asked first, then the one for all (`credsStore`), and what they do not have is looked for in `auths`.
/// The default is the file of someone who never logged in.
#[derive(Clone, Default)]
pub struct DockerConfig {
    config: File,
}

#[derive(Clone, Default, Deserialize)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Option<Entry>>,
    #[serde(default, rename = "credsStore")]
    creds_store: Option<String>,
    #[serde(default, rename = "credHelpers")]
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Clone, Default, Deserialize)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

impl DockerConfig {
    /// Parses the file's bytes.
    ///
    /// # Errors
    ///
    /// [`CredentialError::Malformed`] when it is not JSON, or not of this shape.
    pub fn parse(bytes: &[u8]) -> Result<Self, CredentialError> {
        // Docker treats an empty file as an empty object.
        let config = if bytes.trim_ascii().is_empty() {
            File::default()
        } else {
            serde_json::from_slice(bytes).map_err(|error| CredentialError::Malformed {
                problem: match error.classify() {
                    serde_json::error::Category::Data => "a value of an unexpected type",
                    serde_json::error::Category::Eof => "the JSON text ends too early",
                    _ => "not valid JSON",
                },
                line: error.line(),
                column: error.column(),
            })?
        };
        Ok(Self { config })
    }

    /// Returns the entry that fits best, with its key.
    fn entry(&self, registry: &str, repository: &str) -> Option<(&str, &Entry)> {
        self.config
            .auths
            .iter()
            .filter_map(|(key, entry)| {
                let rank = rank(key, registry, repository)?;
                Some((rank, key.as_str(), entry.as_ref()?))
            })
            .max_by_key(|(rank, ..)| *rank)
            .map(|(_, key, entry)| (key, entry))
    }

    fn credential(
        &self,
        registry: &str,
        repository: &str,
    ) -> Result<Option<Credential>, CredentialError> {
        let mut unusable = None;
        if let Some(name) = self.helper(registry, repository) {
            let found = Helper::new(name).and_then(|helper| helper.get(&server(registry)));
            match found {
                Ok(Some(credential)) => return Ok(Some(credential)),
                Ok(None) => {}
                Err(source) => {
                    unusable = Some(CredentialError::Helper {
                        registry: registry.to_owned(),
                        source,
                    });
                }
            }
        }
        if let Some((key, entry)) = self.entry(registry, repository)
            && let Some(credential) = Self::of_entry(key, entry)?
        {
            return Ok(Some(credential));
        }
        unusable.map_or(Ok(None), Err)
    }

    /// Returns the name of the helper that keeps a registry's credential.
    pub(super) fn helper(&self, registry: &str, repository: &str) -> Option<&str> {
        let named = self.config.cred_helpers.iter();
        let named = named
            .filter_map(|(key, helper)| Some((rank(key, registry, repository)?, helper)))
            .max_by_key(|(rank, _)| *rank)
            .map(|(_, helper)| helper);
        named
            .or(self.config.creds_store.as_ref())
            .map(String::as_str)
            .filter(|helper| !helper.is_empty())
    }

    fn of_entry(key: &str, entry: &Entry) -> Result<Option<Credential>, CredentialError> {
        let filled = |text: &Option<String>| text.as_ref().filter(|text| !text.is_empty()).cloned();
        if let Some(token) = filled(&entry.identitytoken) {
            return Ok(Some(Credential::Identity(Secret::new(token))));
        }
        if let Some(token) = filled(&entry.registrytoken) {
            return Ok(Some(Credential::Bearer(Secret::new(token))));
        }
        if let Some(auth) = filled(&entry.auth) {
            let (username, password) = decode(&auth).map_err(|problem| CredentialError::Entry {
                key: super::redact::foreign(key),
                problem,
            })?;
            return Ok(Some(Credential::Basic { username, password }));
        }
        Ok(filled(&entry.username).map(|username| Credential::Basic {
            username,
            password: Secret::new(entry.password.clone().unwrap_or_default()),
        }))
    }
}

impl CredentialSource for DockerConfig {
    fn get(&self, registry: &str) -> Result<Option<Credential>, CredentialError> {
        self.credential(registry, "")
    }

    fn get_for_repository(
        &self,
        registry: &str,
        repository: &str,
    ) -> Result<Option<Credential>, CredentialError> {
        self.credential(registry, repository)
    }
}

impl fmt::Debug for DockerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DockerConfig")
            .field("auths", &self.config.auths.keys())
            .finish_non_exhaustive()
    }
}

/// Decodes `auth`: base64 of `user:password`. Docker pads the password with NULs.
fn decode(auth: &str) -> Result<(String, Secret), &'static str> {
    let bytes = STANDARD
        .decode(auth.trim())
        .map_err(|_| "\"auth\" is not base64")?;
    let text = String::from_utf8(bytes).map_err(|_| "\"auth\" is not base64 of UTF-8 text")?;
    let (username, password) = text
        .split_once(':')
        .ok_or("\"auth\" is not base64 of \"user:password\"")?;
    if username.is_empty() {
        return Err("\"auth\" has no user");
    }
    Ok((
        username.to_owned(),
        Secret::new(password.trim_end_matches('\0')),
    ))
}

/// Returns how well a key fits a repository: the length of its path, then whether it is a plain host. `None`: not at all.
fn rank(key: &str, registry: &str, repository: &str) -> Option<(usize, bool)> {
    if key == HUB_KEY {
        return (canonical(registry) == HUB).then_some((0, false));
    }
    let (url, rest) = match key.split_once("://") {
        Some((_, rest)) => (true, rest),
        None => (false, key),
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if canonical(host) != canonical(registry) {
        return None;
    }
    // The path of a URL (`/v1/`, `/v2/`) is the API's, not a repository's.
    if url || path.is_empty() {
        return Some((0, !url));
    }
    let path = path.trim_end_matches('/');
    let fits = repository
        .strip_prefix(path)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    fits.then_some((path.len(), true))
}

/// Returns what a registry is called among helpers.
pub(super) fn server(registry: &str) -> String {
    if canonical(registry) == HUB {
        HUB_KEY.to_owned()
    } else {
        registry.to_owned()
    }
}

/// Does a key of `auths` stand for this registry as a whole?
pub(super) fn is_key_of(key: &str, registry: &str) -> bool {
    rank(key, registry, "").is_some()
}

/// Returns the one name of a host, in lower case.
fn canonical(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    if HUB_ALIASES.contains(&host.as_str()) {
        HUB.to_owned()
    } else {
        host
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> DockerConfig {
        DockerConfig::parse(text.as_bytes()).expect("valid config")
    }

    fn basic(username: &str, password: &str) -> Option<Credential> {
        Some(Credential::Basic {
            username: username.to_owned(),
            password: Secret::new(password),
        })
    }

    #[test]
    fn auth_is_base64_of_user_and_password() {
        // "me:pa:ss" and "me:pass\0\0"
        let config = config(
            r#"{"auths":{"r.example":{"auth":"bWU6cGE6c3M="},"127.0.0.1:5000":{"auth":"bWU6cGFzcwAA"},
                "[::1]:5000":{"username":"u","password":"p"}},"HttpHeaders":{"X":"y"}}"#,
        );
        assert_eq!(config.get("r.example"), Ok(basic("me", "pa:ss")));
        assert_eq!(config.get("R.Example"), Ok(basic("me", "pa:ss")));
        assert_eq!(config.get("127.0.0.1:5000"), Ok(basic("me", "pass")));
        assert_eq!(config.get("[::1]:5000"), Ok(basic("u", "p")));
        assert_eq!(
            config.get("127.0.0.1:5001"),
            Ok(None),
            "another port is another registry"
        );
        assert_eq!(config.get("127.0.0.1"), Ok(None));
        assert_eq!(config.get("sub.r.example"), Ok(None));
    }

    #[test]
    fn hub_has_its_old_key() {
        for key in [
            HUB_KEY,
            "docker.io",
            "index.docker.io",
            "https://registry-1.docker.io",
        ] {
            let config = config(&format!(
                r#"{{"auths":{{"{key}":{{"username":"u","password":"p"}}}}}}"#
            ));
            assert_eq!(config.get("docker.io"), Ok(basic("u", "p")), "{key}");
            assert_eq!(config.get("quay.io"), Ok(None), "{key}");
        }
    }

    #[test]
    fn the_most_specific_key_wins() {
        let config = config(
            r#"{"auths":{
                "https://quay.io/v1/":{"username":"url","password":""},
                "quay.io":{"username":"host","password":""},
                "quay.io/me":{"username":"me","password":""},
                "quay.io/me/app":{"username":"app","password":""}}}"#,
        );
        for (repository, user) in [
            ("other/x", "host"),
            ("me/x", "me"),
            ("me/app", "app"),
            ("me/app/y", "app"),
            ("me/application", "me"),
            ("men/x", "host"),
        ] {
            assert_eq!(
                config.get_for_repository("quay.io", repository),
                Ok(basic(user, "")),
                "{repository}"
            );
        }
        assert_eq!(config.get("quay.io"), Ok(basic("host", "")));
    }

    #[test]
    fn url_keys_are_compared_by_host() {
        let config =
            config(r#"{"auths":{"http://r.example:80/v2/":{"username":"u","password":"p"}}}"#);
        assert_eq!(config.get("r.example:80"), Ok(basic("u", "p")));
        assert_eq!(config.get("r.example"), Ok(None));
    }

    #[test]
    fn identity_tokens_come_before_the_user_beside_them() {
        // As Azure's `az acr login` writes it: a user of zeros without a password.
        let config =
            config(r#"{"auths":{"acr.example":{"auth":"MDA6","identitytoken":"tok-secret"}}}"#);
        let found = config.get("acr.example");
        assert_eq!(
            found,
            Ok(Some(Credential::Identity(Secret::new("tok-secret"))))
        );
        assert!(!format!("{found:?}").contains("tok-secret"));
    }

    #[test]
    fn a_helper_that_is_not_there_is_named_and_can_wait() {
        let config = config(
            r#"{"auths":{"both.example":{"username":"u","password":"p"}},
                "credsStore":"coracle-test-none","credHelpers":{"ecr.example":"coracle-test-ecr","bad.example":"../x"}}"#,
        );
        for (registry, word) in [
            ("docker.io", "docker-credential-coracle-test-none"),
            ("ecr.example", "docker-credential-coracle-test-ecr"),
            ("bad.example", "../x"),
        ] {
            let error = config.get(registry).expect_err("not there");
            assert!(error.can_wait());
            let text = crate::registry::redact::chain(&error);
            assert!(text.contains(word) && text.contains(registry), "{text}");
        }
        assert_eq!(config.get("both.example"), Ok(basic("u", "p")));
    }

    #[test]
    fn registry_tokens_are_bearers() {
        let config = config(r#"{"auths":{"r.example":{"registrytoken":"t"}}}"#);
        assert_eq!(
            config.get("r.example"),
            Ok(Some(Credential::Bearer(Secret::new("t"))))
        );
    }

    #[test]
    fn malformed_files_are_named_and_keep_their_secrets() {
        for (text, word) in [
            ("{\"auths\":{\"r\":{\"auth\":\"hunter2\"", "ends too early"),
            (
                "{\"auths\":{\"r\":{\"auth\":{\"hunter2\":1}}}}",
                "unexpected type",
            ),
            ("{\"auths\":{\"r\":{\"auth\":hunter2}}}", "not valid JSON"),
            ("{\"auths\":{\"r\":\"hunter2\"}}", "unexpected type"),
        ] {
            let error = DockerConfig::parse(text.as_bytes()).expect_err(text);
            let message = error.to_string();
            assert!(
                message.contains("line 1") && message.contains(word),
                "{message}"
            );
            assert!(
                !format!("{message}{error:?}").contains("hunter2"),
                "{message}"
            );
            assert!(!error.can_wait());
        }
    }

    #[test]
    fn malformed_entries_are_named_and_keep_their_secrets() {
        // "hunter2" without a colon, ":hunter2", bytes that are not UTF-8, not base64.
        for auth in ["aHVudGVyMg==", "Omh1bnRlcjI=", "/////w==", "hunter2!"] {
            let config = config(&format!(
                r#"{{"auths":{{"r.example":{{"auth":"{auth}"}}}}}}"#
            ));
            let error = config.get("r.example").expect_err(auth);
            let message = format!("{error}{error:?}");
            assert!(
                message.contains("r.example") && message.contains("config.json"),
                "{message}"
            );
            assert!(
                !message.contains("hunter2") && !message.contains(auth),
                "{message}"
            );
            assert_eq!(
                config.get("other.example"),
                Ok(None),
                "other registries are not concerned"
            );
        }
    }

    #[test]
    fn an_empty_file_is_an_empty_object() {
        for text in ["", " \n", "{}", r#"{"auths":{"r":null}}"#] {
            assert_eq!(config(text).get("r"), Ok(None), "{text:?}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let config =
            config(r#"{"auths":{"r.example":{"auth":"bWU6aHVudGVyMg==","password":"hunter2"}}}"#);
        let text = format!("{config:?} {:?}", config.get("r.example"));
        assert!(text.contains("r.example") && text.contains("me"), "{text}");
        assert!(
            !text.contains("hunter2") && !text.contains("bWU6"),
            "{text}"
        );
    }
}
