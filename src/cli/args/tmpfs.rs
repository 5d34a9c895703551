//! `--tmpfs GUEST[:OPTIONS]`.

use coracle_runtime::container::MountConfig;
use coracle_runtime::vfs::TmpfsOptions;

use super::super::error::Failure;
use super::mount::check_guest;
use super::storage::bytes;

/// Returns the mount that the text means. Options are those of Docker, that is of Linux' tmpfs.
pub(in super::super) fn parse(text: &str) -> Result<MountConfig, Failure> {
    let wrong = |problem: &str| {
        Failure::usage(format!("parsing --tmpfs {text:?}: {problem}"))
            .with_hint("write it as GUEST or GUEST:OPTIONS, such as --tmpfs /run:size=64m,mode=755")
    };
    let (guest, options) = text.split_once(':').unwrap_or((text, ""));
    check_guest(guest).map_err(|problem| wrong(&problem))?;
    let mut mount = MountConfig {
        source: String::new(),
        target: guest.to_owned(),
        read_only: false,
        ..MountConfig::default()
    };
    let mut tmpfs = TmpfsOptions::default();
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => mount.read_only = true,
            "rw" => mount.read_only = false,
            // A WebAssembly program starts no others, and nothing in memory is a device or changes rights.
            "exec" | "noexec" | "nosuid" | "nodev" | "sync" | "async" | "noatime" => {}
            _ => set(&mut tmpfs, option).map_err(|problem| wrong(&problem))?,
        }
    }
    mount.tmpfs = Some(tmpfs);
    Ok(mount)
}

/// Takes an option with a value, such as `size=64m`. What is wrong with it otherwise.
pub(super) fn set(tmpfs: &mut TmpfsOptions, option: &str) -> Result<(), String> {
    let (key, value) = option.split_once('=').unwrap_or((option, ""));
    let number = || {
        value
            .parse()
            .map_err(|_| format!("the {key} `{value}` is not a number"))
    };
    match key {
        "size" => tmpfs.size = bytes(value)?,
        "mode" => {
            tmpfs.mode = u32::from_str_radix(value, 8)
                .ok()
                .filter(|mode| *mode <= 0o7777)
                .ok_or_else(|| format!("the mode `{value}` is not an octal number up to 7777"))?;
        }
        "uid" => tmpfs.uid = number()?,
        "gid" => tmpfs.gid = number()?,
        "nr_inodes" | "nr_blocks" => {
            return Err(format!(
                "`{key}` is not supported; size bounds the names as well"
            ));
        }
        _ => return Err(format!("unknown option `{option}`")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_means_memory() {
        let mount = |text: &str| parse(text).ok();
        let plain = mount("/tmp").expect("a path is enough");
        assert_eq!(
            (plain.target.as_str(), plain.read_only, plain.tmpfs),
            ("/tmp", false, Some(TmpfsOptions::default()))
        );
        let all = mount("/run/x:rw,noexec,nosuid,size=65536k,mode=0755,uid=1,gid=2,ro")
            .expect("all options");
        let want = TmpfsOptions {
            size: 64 << 20,
            mode: 0o755,
            uid: 1,
            gid: 2,
        };
        assert_eq!((all.read_only, all.tmpfs), (true, Some(want)));
        for bad in [
            "",
            "tmp",
            "/",
            "/./",
            "/a/../b",
            "/a:size=",
            "/a:size=0",
            "/a:size=50%",
            "/a:mode=9",
            "/a:mode=17777",
            "/a:uid=-1",
            "/a:nr_inodes=5",
            "/a:huge",
        ] {
            assert!(mount(bad).is_none(), "{bad}");
        }
    }
}
