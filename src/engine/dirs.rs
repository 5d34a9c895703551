//! Where data lives: read once at the door, passed down from there.

use std::ffi::OsString;
use std::path::PathBuf;

/// Returns the usual place for data on this system, or `None` if the environment names no home.
///
/// | system | place |
/// |---|---|
/// | any, with `CORACLE_ROOT` | that folder |
/// | Linux, as root | `/var/lib/coracle` |
/// | Linux | `$XDG_DATA_HOME/coracle`, or `~/.local/share/coracle` |
/// | macOS | `~/Library/Application Support/coracle` |
/// | Windows | `%LOCALAPPDATA%\coracle` |
pub fn default_root(
    variable: impl Fn(&str) -> Option<OsString>,
    is_root: impl FnOnce() -> bool,
) -> Option<PathBuf> {
    let path = |name: &str| {
        variable(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(root) = path("CORACLE_ROOT") {
        return Some(root);
    }
    let base = if cfg!(windows) {
        path("LOCALAPPDATA")?
    } else if cfg!(target_os = "macos") {
        path("HOME")?.join("Library/Application Support")
    } else if is_root() {
        PathBuf::from("/var/lib")
    } else {
        // The XDG base directory specification: a relative value must be ignored.
        let xdg = path("XDG_DATA_HOME").filter(|path| path.is_absolute());
        xdg.or_else(|| Some(path("HOME")?.join(".local/share")))?
    };
    Some(base.join("coracle"))
}

/// Returns where a host's and a user's ceilings are looked for: what may be granted at most.
///
/// | system | the host's | the user's |
/// |---|---|---|
/// | Linux | `/etc/coracle/policy.toml` | `$XDG_CONFIG_HOME/coracle/policy.toml`, or `~/.config/coracle/policy.toml` |
/// | macOS | `/etc/coracle/policy.toml` | `~/Library/Application Support/coracle/policy.toml` |
/// | Windows | `%PROGRAMDATA%\coracle\policy.toml` | `%APPDATA%\coracle\policy.toml` |
pub fn ceilings(variable: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let path = |name: &str| {
        variable(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let (host, user) = if cfg!(windows) {
        (path("PROGRAMDATA"), path("APPDATA"))
    } else {
        let user = if cfg!(target_os = "macos") {
            path("HOME").map(|home| home.join("Library/Application Support"))
        } else {
            let xdg = path("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
            xdg.or_else(|| Some(path("HOME")?.join(".config")))
        };
        (Some(PathBuf::from("/etc")), user)
    };
    let folders = [host, user].into_iter().flatten();
    folders
        .map(|folder| folder.join("coracle").join("policy.toml"))
        .collect()
}

/// Returns where Docker keeps its `config.json`: `$DOCKER_CONFIG`, or `.docker` in the home directory.
pub fn docker_config(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let path = |name: &str| {
        variable(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let home = || path(if cfg!(windows) { "USERPROFILE" } else { "HOME" });
    let dir = path("DOCKER_CONFIG").or_else(|| Some(home()?.join(".docker")))?;
    Some(dir.join("config.json"))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn with(pairs: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<OsString> {
        move |name| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| OsString::from(value))
        }
    }

    #[test]
    fn each_user_has_the_usual_place() {
        let place = |pairs, is_root| {
            default_root(with(pairs), || is_root).map(|path| path.to_string_lossy().into_owned())
        };
        assert_eq!(
            place(&[("HOME", "/home/a")], true).as_deref(),
            Some("/var/lib/coracle")
        );
        assert_eq!(
            place(&[("HOME", "/home/a")], false).as_deref(),
            Some("/home/a/.local/share/coracle")
        );
        assert_eq!(
            place(&[("HOME", "/h"), ("XDG_DATA_HOME", "/d")], false).as_deref(),
            Some("/d/coracle")
        );
        assert_eq!(
            place(&[("HOME", "/h"), ("XDG_DATA_HOME", "rel")], false).as_deref(),
            Some("/h/.local/share/coracle")
        );
        assert_eq!(
            place(&[("HOME", "/h"), ("CORACLE_ROOT", "/r")], true).as_deref(),
            Some("/r")
        );
        assert_eq!(place(&[], false), None);
    }
}
