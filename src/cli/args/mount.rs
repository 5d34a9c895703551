//! `--volume HOST:GUEST[:ro]`, `--volume NAME:GUEST` and `--volume GUEST`.

use std::path::{Path, PathBuf};

use coracle_runtime::container::{MountConfig, VolumeConfig};

use super::super::error::Failure;
use crate::engine::VolumeName;

/// Returns the mount that the text means. A relative host path must begin with `.`, as in Docker, and counts from `here`.
pub(in super::super) fn parse(text: &str, here: &Path) -> Result<MountConfig, Failure> {
    let wrong = |problem: &str| {
        Failure::usage(format!("parsing --volume {text:?}: {problem}"))
            .with_hint("write it as HOST:GUEST or HOST:GUEST:ro, such as --volume ./data:/data:ro")
    };
    let Some((host, rest)) = split_host(text) else {
        // Docker's anonymous volume.
        check_guest(text).map_err(|problem| wrong(&problem))?;
        return Ok(MountConfig {
            target: text.to_owned(),
            volume: Some(VolumeConfig::default()),
            ..MountConfig::default()
        });
    };
    let (guest, options) = rest.split_once(':').unwrap_or((rest, ""));
    let mut read_only = false;
    let mut no_copy = false;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => read_only = true,
            "rw" => read_only = false,
            "nocopy" => no_copy = true,
            _ => {
                return Err(wrong(&format!(
                    "unknown option `{option}`, want `ro`, `rw` or `nocopy`"
                )));
            }
        }
    }
    check_guest(guest).map_err(|problem| wrong(&problem))?;
    let mut mount = MountConfig {
        target: guest.to_owned(),
        read_only,
        ..MountConfig::default()
    };
    let path = PathBuf::from(host);
    let source = if path.is_absolute() {
        path
    } else if host.starts_with('.') {
        here.join(path)
    } else if host.is_empty() {
        return Err(wrong("the host path is empty"));
    } else {
        mount.volume = Some(volume(host, no_copy).map_err(|failure| {
            failure.with_hint(format!("to mount the folder `{host}` write ./{host}"))
        })?);
        return Ok(mount);
    };
    if no_copy {
        return Err(wrong("`nocopy` is for volumes"));
    }
    let source = source
        .into_os_string()
        .into_string()
        .map_err(|_| wrong("the host path is not UTF-8"))?;
    mount.source = source;
    Ok(mount)
}

/// Returns the volume of that name.
pub(super) fn volume(name: &str, no_copy: bool) -> Result<VolumeConfig, Failure> {
    let name: VolumeName = name
        .parse()
        .map_err(|error| Failure::usage(format!("{error}")))?;
    Ok(VolumeConfig {
        name: name.as_str().to_owned(),
        anonymous: false,
        no_copy,
    })
}

/// Says what is wrong with a path to mount at.
pub(super) fn check_guest(guest: &str) -> Result<(), String> {
    if !guest.starts_with('/') {
        return Err(format!("the guest path `{guest}` is not absolute"));
    }
    if guest.split('/').all(|part| part.is_empty() || part == ".") {
        return Err("the guest's root itself cannot be replaced".to_owned());
    }
    if guest.split('/').any(|part| part == "..") || guest.contains('\0') {
        return Err(format!("the guest path `{guest}` may not contain `..`"));
    }
    Ok(())
}

/// Splits at the colon that ends the host path; a drive letter's colon does not.
fn split_host(text: &str) -> Option<(&str, &str)> {
    let drive = cfg!(windows)
        && text.as_bytes().get(1) == Some(&b':')
        && text.as_bytes()[0].is_ascii_alphabetic();
    let start = if drive { 2 } else { 0 };
    let at = text[start..].find(':')? + start;
    Some((&text[..at], &text[at + 1..]))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_name_or_nothing_means_a_volume() {
        let mount = |text: &str| parse(text, Path::new("/here")).expect(text);
        let named = mount("db:/var/db:ro,nocopy");
        assert_eq!((named.target.as_str(), named.read_only), ("/var/db", true));
        assert_eq!(named.source, "");
        let volume = named.volume.expect("a volume");
        assert_eq!(
            (volume.name.as_str(), volume.anonymous, volume.no_copy),
            ("db", false, true)
        );
        let anonymous = mount("/data");
        assert_eq!(
            (anonymous.source.as_str(), anonymous.target.as_str()),
            ("", "/data")
        );
        assert_eq!(anonymous.volume, Some(VolumeConfig::default()));
    }

    #[test]
    fn what_was_typed_means_a_mount() {
        let mount = |text: &str| {
            parse(text, Path::new("/here"))
                .ok()
                .map(|mount| (mount.source, mount.target, mount.read_only))
        };
        let want = |source: &str, target: &str, read_only| {
            Some((source.to_owned(), target.to_owned(), read_only))
        };
        assert_eq!(mount("/a:/b"), want("/a", "/b", false));
        assert_eq!(mount("/a:/b:ro"), want("/a", "/b", true));
        assert_eq!(mount("/a:/b/c:rw"), want("/a", "/b/c", false));
        assert_eq!(mount("./x:/b"), want("/here/./x", "/b", false));
        assert_eq!(mount("..:/b"), want("/here/..", "/b", false));
        for bad in [
            "a",
            "n:/b",
            "a/b:/b",
            "/a:/b:nocopy",
            ":/b",
            "/a:b",
            "/a:",
            "/a:/",
            "/a:/./",
            "/a:/b/../c",
            "/a:/b:rx",
            "/a:/b:ro:rw",
            "",
        ] {
            assert_eq!(mount(bad), None, "{bad}");
        }
    }
}
