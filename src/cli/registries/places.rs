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
    /// Policies about images: the first one there counts.
    pub(super) trust: Vec<PathBuf>,
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
        let path = |name: &str| {
            variable(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let home = path(if cfg!(windows) { "USERPROFILE" } else { "HOME" });
        let absolute = |name: &str| path(name).filter(|path| path.is_absolute());
        let settings = absolute("XDG_CONFIG_HOME").or_else(|| Some(home.as_ref()?.join(".config")));
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
        places.trust.extend(of_settings("containers/policy.json"));
        // Podman looks here whatever the settings' folder is.
        let at_home = home
            .as_ref()
            .map(|home| home.join(".config/containers/policy.json"));
        places.trust.extend(at_home);
        places.trust.push("/etc/containers/policy.json".into());
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
}
