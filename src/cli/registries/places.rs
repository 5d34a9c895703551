//! Where Docker and Podman keep what is about registries.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::engine::dirs;

/// Files and folders, in the order in which they count. They need not be there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    /// Docker's `config.json` and Podman's `auth.json`.
    pub(super) credentials: Vec<PathBuf>,
    /// `registries.conf`: the first one there counts.
    pub(super) registries: Vec<PathBuf>,
    /// Folders with more of it, of which all count.
    pub(super) registries_parts: Vec<PathBuf>,
    /// Folders of certificates by host.
    pub(super) certificates: Vec<PathBuf>,
}

impl Places {
    /// Returns those of the user who runs this process.
    pub(super) fn of_user() -> Self {
        Self::of(
            |name| std::env::var_os(name),
            coracle_runtime::sys::is_root(),
        )
    }

    fn of(variable: impl Fn(&str) -> Option<OsString>, is_root: bool) -> Self {
        let path = |name: &str| path(&variable, name);
        let absolute = |name: &str| path(name).filter(|path| path.is_absolute());
        let settings = settings(&variable);
        let of_settings = |rest: &str| settings.as_ref().map(|settings| settings.join(rest));

        let mut places = Self::default();
        if let Some(file) = path("REGISTRY_AUTH_FILE") {
            // Podman's variable means this file and no other.
            places.credentials.push(file);
        } else {
            // Where this program writes comes first.
            places.credentials.extend(dirs::docker_config(&variable));
            let runtime = absolute("XDG_RUNTIME_DIR").map(|runtime| runtime.join("containers"));
            let runtime = runtime.or_else(|| is_root.then(|| PathBuf::from("/run/containers/0")));
            places
                .credentials
                .extend(runtime.map(|folder| folder.join("auth.json")));
            places
                .credentials
                .extend(of_settings("containers/auth.json"));
        }
        if let Some(file) = path("CONTAINERS_REGISTRIES_CONF") {
            places.registries.push(file);
        } else {
            places
                .registries
                .extend(of_settings("containers/registries.conf"));
            places
                .registries
                .push("/etc/containers/registries.conf".into());
            places
                .registries_parts
                .push("/etc/containers/registries.conf.d".into());
            places
                .registries_parts
                .extend(of_settings("containers/registries.conf.d"));
        }
        places
            .certificates
            .extend(of_settings("containers/certs.d"));
        places.certificates.extend(of_settings("docker/certs.d"));
        places.certificates.extend([
            "/etc/containers/certs.d".into(),
            "/etc/docker/certs.d".into(),
        ]);
        places
    }
}

/// Returns where policies about images lie; the first one there counts. A run asks for these alone.
pub(super) fn trust_of_user() -> Vec<PathBuf> {
    trust(|name| std::env::var_os(name))
}

fn trust(variable: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    // Podman looks under the home folder wherever the settings' folder is.
    let at_home = home(&variable).map(|home| home.join(".config"));
    let mut folders: Vec<PathBuf> = settings(&variable).into_iter().chain(at_home).collect();
    folders.push("/etc".into());
    folders.dedup();
    folders
        .iter()
        .map(|folder| folder.join("containers/policy.json"))
        .collect()
}

fn path(variable: impl Fn(&str) -> Option<OsString>, name: &str) -> Option<PathBuf> {
    variable(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

fn home(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    path(variable, if cfg!(windows) { "USERPROFILE" } else { "HOME" })
}

fn settings(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    path(&variable, "XDG_CONFIG_HOME")
        .filter(|path| path.is_absolute())
        .or_else(|| Some(home(variable)?.join(".config")))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn of(pairs: &'static [(&str, &str)], is_root: bool) -> Places {
        let variable = move |name: &str| {
            let found = pairs.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| OsString::from(value))
        };
        Places::of(variable, is_root)
    }

    fn paths(texts: &[&str]) -> Vec<PathBuf> {
        texts.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn a_user_has_dockers_and_podmans_places() {
        let places = of(&[("HOME", "/h"), ("XDG_RUNTIME_DIR", "/run/user/1")], false);
        assert_eq!(
            places.credentials,
            paths(&[
                "/h/.docker/config.json",
                "/run/user/1/containers/auth.json",
                "/h/.config/containers/auth.json"
            ])
        );
        assert_eq!(
            places.registries,
            paths(&[
                "/h/.config/containers/registries.conf",
                "/etc/containers/registries.conf"
            ])
        );
        assert_eq!(
            places.certificates,
            paths(&[
                "/h/.config/containers/certs.d",
                "/h/.config/docker/certs.d",
                "/etc/containers/certs.d",
                "/etc/docker/certs.d"
            ])
        );
    }

    #[test]
    fn variables_name_other_places() {
        let places = of(
            &[
                ("HOME", "/h"),
                ("DOCKER_CONFIG", "/d"),
                ("REGISTRY_AUTH_FILE", "/a.json"),
                ("CONTAINERS_REGISTRIES_CONF", "/r.conf"),
            ],
            true,
        );
        assert_eq!(places.credentials, paths(&["/a.json"]));
        assert_eq!(places.registries, paths(&["/r.conf"]));
        assert_eq!(places.registries_parts, paths(&[]));
        let places = of(&[("DOCKER_CONFIG", "/d"), ("XDG_CONFIG_HOME", "/x")], true);
        assert_eq!(
            places.credentials,
            paths(&[
                "/d/config.json",
                "/run/containers/0/auth.json",
                "/x/containers/auth.json"
            ])
        );
    }

    #[test]
    fn a_policy_about_images_is_looked_for_where_podman_does() {
        let of = |pairs: &'static [(&str, &str)]| {
            trust(move |name| {
                let found = pairs.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| OsString::from(value))
            })
        };
        let hosts = "/etc/containers/policy.json";
        assert_eq!(of(&[]), paths(&[hosts]));
        assert_eq!(
            of(&[("HOME", "/h")]),
            paths(&["/h/.config/containers/policy.json", hosts])
        );
        assert_eq!(
            of(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/x")]),
            paths(&[
                "/x/containers/policy.json",
                "/h/.config/containers/policy.json",
                hosts
            ])
        );
    }
}
