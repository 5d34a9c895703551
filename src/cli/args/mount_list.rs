//! `--mount type=volume|bind|tmpfs,source=…,target=…,readonly`, Docker's long form.

use std::path::Path;

use coracle_runtime::container::{MountConfig, VolumeConfig};
use coracle_runtime::vfs::TmpfsOptions;

use super::super::error::Failure;
use super::mount::{check_guest, volume};
use super::tmpfs;

/// Returns the mount that the text means. A relative source counts from `here`.
pub(in super::super) fn parse(text: &str, here: &Path) -> Result<MountConfig, Failure> {
    let wrong = |problem: &str| {
        Failure::usage(format!("parsing --mount {text:?}: {problem}")).with_hint(
            "write it as type=volume,source=NAME,target=GUEST, type=bind,source=HOST,target=GUEST[,readonly] or type=tmpfs,target=GUEST",
        )
    };
    let mut kind = None;
    let mut source = None;
    let mut target = None;
    let mut read_only = false;
    let mut memory = TmpfsOptions::default();
    let mut memory_only = None;
    let mut no_copy = None;
    for field in fields(text).map_err(wrong)? {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_ascii_lowercase(), Some(value)),
            None => (field.to_ascii_lowercase(), None),
        };
        let value = |what: &str| {
            value
                .filter(|value| !value.is_empty())
                .ok_or_else(|| wrong(&format!("`{what}` needs a value")))
        };
        match key.as_str() {
            "type" => kind = Some(value("type")?.to_ascii_lowercase()),
            "source" | "src" => source = Some(value("source")?.to_owned()),
            "target" | "dst" | "destination" => target = Some(value("target")?.to_owned()),
            "readonly" | "ro" | "volume-nocopy" => {
                let switch = match value(&key).unwrap_or("true") {
                    "true" | "1" => true,
                    "false" | "0" => false,
                    other => {
                        let problem = format!("`{key}` is true or false, got `{other}`");
                        return Err(wrong(&problem));
                    }
                };
                if key == "volume-nocopy" {
                    no_copy = Some(switch);
                } else {
                    read_only = switch;
                }
            }
            "tmpfs-size" | "tmpfs-mode" => {
                let option = key.trim_start_matches("tmpfs-");
                let option = format!("{option}={}", value(&key)?);
                tmpfs::set(&mut memory, &option).map_err(|problem| wrong(&problem))?;
                memory_only = Some(key);
            }
            // How far mounts made later are seen: nobody makes mounts in a guest.
            "bind-propagation" if matches!(value(&key)?, "rprivate" | "private") => {}
            // A hint to Docker Desktop.
            "consistency" => {}
            _ => return Err(wrong(&format!("unexpected key `{key}`"))),
        }
    }
    let target = target.ok_or_else(|| wrong("there is no target"))?;
    check_guest(&target).map_err(|problem| wrong(&problem))?;
    let mut mount = MountConfig {
        target,
        read_only,
        ..MountConfig::default()
    };
    let kind = kind.as_deref().unwrap_or("volume");
    if no_copy.is_some() && kind != "volume" {
        return Err(wrong("`volume-nocopy` is for type=volume"));
    }
    if let Some(key) = memory_only.filter(|_| kind != "tmpfs") {
        return Err(wrong(&format!("`{key}` is for type=tmpfs")));
    }
    match kind {
        "bind" => {
            let source = source.ok_or_else(|| wrong("there is no source"))?;
            let path = here.join(source).into_os_string();
            mount.source = path
                .into_string()
                .map_err(|_| wrong("the source is not UTF-8"))?;
        }
        "tmpfs" if source.is_some() => return Err(wrong("type=tmpfs has no source")),
        "tmpfs" => mount.tmpfs = Some(memory),
        "volume" => {
            let no_copy = no_copy.unwrap_or_default();
            mount.volume = Some(match source {
                Some(name) => volume(&name, no_copy).map_err(|failure| {
                    failure.with_hint("to mount a folder of this machine write type=bind")
                })?,
                None => VolumeConfig {
                    no_copy,
                    ..VolumeConfig::default()
                },
            });
        }
        other => {
            return Err(wrong(&format!(
                "unknown type `{other}`, want volume, bind or tmpfs"
            )));
        }
    }
    Ok(mount)
}

/// Splits one line of comma-separated values, where a field with a comma in it is quoted.
fn fields(text: &str) -> Result<Vec<String>, &'static str> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let field = fields.last_mut().ok_or("a field is missing")?;
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if field.is_empty() => quoted = true,
            '"' => return Err("a quote stands inside a field"),
            ',' if !quoted => fields.push(String::new()),
            letter => field.push(letter),
        }
    }
    if quoted {
        return Err("a quote is not closed");
    }
    Ok(fields)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn mount(text: &str) -> Option<MountConfig> {
        parse(text, Path::new("/here")).ok()
    }

    fn bind(source: &str, target: &str, read_only: bool) -> Option<MountConfig> {
        Some(MountConfig {
            source: source.to_owned(),
            target: target.to_owned(),
            read_only,
            ..MountConfig::default()
        })
    }

    #[test]
    fn a_bind_mount() {
        for (text, want) in [
            ("type=bind,source=/a,target=/b", bind("/a", "/b", false)),
            ("type=bind,src=/a,dst=/b,readonly", bind("/a", "/b", true)),
            (
                "Type=bind,SRC=a,destination=/b,ro=1",
                bind("/here/a", "/b", true),
            ),
            (
                "type=bind,src=/a,dst=/b,readonly=false",
                bind("/a", "/b", false),
            ),
            (
                "type=bind,\"src=/a,b\",\"dst=/c\"\"d\",bind-propagation=rprivate",
                bind("/a,b", "/c\"d", false),
            ),
        ] {
            assert_eq!(mount(text), want, "{text}");
        }
    }

    #[test]
    fn volumes() {
        let named = mount("source=db,target=/d,volume-nocopy,readonly").expect("a volume");
        assert_eq!((named.source.as_str(), named.read_only), ("", true));
        let volume = named.volume.expect("a volume");
        assert_eq!((volume.name.as_str(), volume.no_copy), ("db", true));
        let anonymous = mount("type=volume,target=/d").expect("a volume");
        assert_eq!(anonymous.volume, Some(VolumeConfig::default()));
    }

    #[test]
    fn memory() {
        let options = TmpfsOptions {
            size: 1 << 20,
            mode: 0o700,
            ..TmpfsOptions::default()
        };
        let got = mount("type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=0700").expect("memory");
        assert_eq!((got.target.as_str(), got.tmpfs), ("/t", Some(options)));
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for bad in [
            "",
            "type=bind",
            "type=bind,source=/a",
            "type=bind,target=/b",
            "type=bind,source=,target=/b",
            "type=bind,source=/a,target=b",
            "type=bind,source=/a,target=/",
            "type=bind,source=/a,target=/b,readonly=maybe",
            "type=bind,source=/a,target=/b,tmpfs-size=1m",
            "type=bind,source=/a,target=/b,bind-propagation=shared",
            "type=tmpfs,source=/a,target=/b",
            "type=tmpfs,target=/b,tmpfs-size=0",
            "type=npipe,source=/a,target=/b",
            "type=volume,source=v,target=/b",
            "source=/a,target=/b",
            "source=vol,target=/b,tmpfs-size=1m",
            "type=volume,source=vol,target=/b,volume-nocopy=maybe",
            "type=bind,source=/a,target=/b,volume-nocopy",
            "type=bind,source=/a,target=/b,nonsense=1",
            "type=bind,source=/a,target=/b,",
            "type=bind,source=/a,\"target=/b",
            "type=bind,sou\"rce=/a\",target=/b",
        ] {
            assert_eq!(mount(bad), None, "{bad}");
        }
    }
}
