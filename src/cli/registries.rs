//! How this user speaks to registries: the files and variables that Docker and Podman have for it.

mod places;

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use coracle_packager::registry::{
    AuthFile, CredentialSource, DockerConfig, FirstOf, Proxies, RegistriesConf,
};

use self::places::Places;
use super::error::Failure;
use super::ui;
use crate::engine::Registries;

/// The variable with the text of a `config.json`, as Docker reads it.
const CONFIG_VARIABLE: &str = "DOCKER_AUTH_CONFIG";

/// Reads the user's credentials and settings. What is not there says nothing.
pub(super) fn of_user() -> Result<Registries, Failure> {
    let places = Places::of_user();
    Ok(Registries {
        credentials: Arc::new(credentials(&places)?),
        conf: conf(&places)?,
        verify_tls: true,
        certificate_dirs: places.certificates.clone(),
        proxies: proxies(),
    })
}

/// Returns the file that `login` writes to.
pub(super) fn auth_file() -> Result<AuthFile, Failure> {
    let places = Places::of_user();
    let path = places.credentials.into_iter().next();
    let path = path.ok_or_else(|| {
        Failure::usage("finding Docker's config.json: the environment names no home")
            .with_hint("set HOME or DOCKER_CONFIG")
    })?;
    Ok(AuthFile::new(path))
}

/// Returns the files that may say which images are trusted; the first there counts.
pub(super) fn trust_policies() -> Vec<std::path::PathBuf> {
    places::trust_of_user()
}

/// Returns the registry that a person means: Docker Hub if none is named; a URL stands for its host.
pub(super) fn named(server: Option<&str>) -> String {
    let Some(server) = server else {
        return "docker.io".to_owned();
    };
    let rest = server.split_once("://").map_or(server, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or_default();
    match host.to_ascii_lowercase().as_str() {
        "" | "docker.io" | "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        host => host.to_owned(),
    }
}

fn credentials(places: &Places) -> Result<FirstOf, Failure> {
    let mut sources: Vec<Box<dyn CredentialSource>> = Vec::new();
    let variable = std::env::var_os(CONFIG_VARIABLE).filter(|text| !text.is_empty());
    if let Some(text) = variable {
        let config = DockerConfig::parse(text.as_encoded_bytes());
        sources.push(Box::new(config.map_err(|problem| {
            Failure::usage(format!(
                "reading credentials from {CONFIG_VARIABLE}: {problem}"
            ))
        })?));
    }
    for path in &places.credentials {
        let Some(text) = read("credentials", path)? else {
            continue;
        };
        let config = DockerConfig::parse(&text).map_err(|problem| {
            Failure::usage(format!(
                "reading credentials from {}: {problem}",
                path.display()
            ))
            .with_hint("mend the file, or move it away to go without credentials")
        })?;
        sources.push(Box::new(config));
    }
    Ok(FirstOf(sources))
}

fn conf(places: &Places) -> Result<RegistriesConf, Failure> {
    let mut conf = RegistriesConf::default();
    let mut files: Vec<std::path::PathBuf> = Vec::new();
    // The first file there is counts alone; parts come on top of it.
    files.extend(places.registries.iter().find(|path| path.exists()).cloned());
    for dir in &places.registries_parts {
        let mut parts: Vec<_> = dir
            .read_dir()
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "conf")
            })
            .collect();
        parts.sort();
        files.append(&mut parts);
    }
    for path in files {
        let Some(text) = read("registries", &path)? else {
            continue;
        };
        conf.add(&String::from_utf8_lossy(&text)).map_err(|problem| {
            Failure::usage(format!("reading registries from {}: {problem}", path.display()))
                .with_hint("CONTAINERS_REGISTRIES_CONF names another file; docs/registries.md says what is read")
        })?;
    }
    Ok(conf)
}

/// Reads a file; `None` if it is not there, or not for us.
fn read(what: &str, path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    let file = path.display();
    match std::fs::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        // Another user's, such as root's under `sudo`: many images need none.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            ui::warning(&format!("going on without {what}: reading {file}: {error}"));
            Ok(None)
        }
        Err(source) => Err(Failure::Io {
            doing: format!("reading {what} from {file}"),
            source,
        }),
    }
}

/// Reads the variables that name proxies, in lower case or upper case, as curl and Docker do.
fn proxies() -> Proxies {
    let variable = |name: &str| {
        let value = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        value(&name.to_ascii_lowercase()).or_else(|| value(name))
    };
    Proxies {
        http: variable("HTTP_PROXY"),
        https: variable("HTTPS_PROXY"),
        none_for: variable("NO_PROXY"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_may_be_a_url() {
        for (typed, want) in [
            (None, "docker.io"),
            (Some("https://index.docker.io/v1/"), "docker.io"),
            (Some("Docker.io"), "docker.io"),
            (Some("r.example:5000"), "r.example:5000"),
            (Some("https://R.example/v2/"), "r.example"),
            (Some("[::1]:5000"), "[::1]:5000"),
        ] {
            assert_eq!(named(typed), want, "{typed:?}");
        }
    }
}
