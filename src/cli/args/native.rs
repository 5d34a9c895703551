//! The flags that only a Linux program has a use for: users, capabilities, namespaces, devices.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

use coracle_runtime::container::{DeviceConfig, Namespace, NativeConfig, SeccompChoice, Security};
use coracle_runtime::policy::quantity::Size;

use super::super::error::Failure;

/// Bytes of a seccomp profile that are read: Docker's own has 14 KiB.
const MAX_PROFILE_BYTES: u64 = 1 << 20;

/// What was typed.
#[derive(clap::Args)]
#[command(next_help_heading = "Linux programs")]
pub(in super::super) struct Flags {
    /// Run as this user of the image
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Add a group of the image
    #[arg(long, value_name = "GROUP")]
    group_add: Vec<String>,
    /// Give the container this host name
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// Give the container this domain name
    #[arg(long, value_name = "NAME")]
    domainname: Option<String>,
    /// Add a capability to the usual ones, or ALL
    #[arg(long, value_name = "CAPABILITY")]
    cap_add: Vec<String>,
    /// Take one of the usual capabilities away, or ALL
    #[arg(long, value_name = "CAPABILITY")]
    cap_drop: Vec<String>,
    /// Give it all capabilities and devices, and take masks and filters away: it can do to this machine what you can
    #[arg(long)]
    privileged: bool,
    /// no-new-privileges, seccomp=FILE, seccomp=unconfined, apparmor=PROFILE, systempaths=unconfined
    #[arg(long, value_name = "OPTION")]
    security_opt: Vec<String>,
    /// Let it use a device of this machine
    #[arg(long, value_name = "HOST[:CONTAINER][:rwm]")]
    device: Vec<String>,
    /// Set a kernel parameter of the container's own namespaces
    #[arg(long, value_name = "NAME=VALUE")]
    sysctl: Vec<String>,
    /// Size of /dev/shm [default: 64m]
    #[arg(long, value_name = "SIZE")]
    shm_size: Option<String>,
    /// Whose shared memory and queues it sees: private or host
    #[arg(long, value_name = "MODE")]
    ipc: Option<String>,
    /// Whose processes it sees: private, host or container:NAME
    #[arg(long, value_name = "MODE")]
    pid: Option<String>,
    /// Whose host name it has: private or host
    #[arg(long, value_name = "MODE")]
    uts: Option<String>,
    /// Whose users it has: host, which is what root's containers have anyway
    #[arg(long, value_name = "MODE")]
    userns: Option<String>,
    /// Whose control groups it sees: private or host
    #[arg(long, value_name = "MODE")]
    cgroupns: Option<String>,
}

impl Flags {
    /// Checks all that was typed.
    pub(in super::super) fn resolve(&self) -> Result<NativeConfig, Failure> {
        let shm_size = self.shm_size.as_deref().map(|text| {
            let size = text.parse::<Size>().map(Size::bytes);
            size.map_err(|error| Failure::usage(format!("parsing --shm-size: {error}")))
        });
        let devices = self.device.iter().map(|text| device(text));
        let host_users = match self.userns.as_deref() {
            None | Some("") => false,
            Some("host") => true,
            Some(other) => return Err(unknown_mode("userns", other)),
        };
        Ok(NativeConfig {
            user: self.user.clone().filter(|user| !user.is_empty()),
            groups: self.group_add.clone(),
            hostname: self.hostname.as_deref().map(host_name).transpose()?,
            domainname: self.domainname.clone(),
            cap_add: self.cap_add.clone(),
            cap_drop: self.cap_drop.clone(),
            privileged: self.privileged,
            security: security(&self.security_opt)?,
            devices: devices.collect::<Result<_, _>>()?,
            sysctls: sysctls(&self.sysctl)?,
            shm_size: shm_size.transpose()?,
            ipc: namespace("ipc", self.ipc.as_deref(), Joins::Nobody)?,
            pid: namespace("pid", self.pid.as_deref(), Joins::Containers)?,
            uts: namespace("uts", self.uts.as_deref(), Joins::Nobody)?,
            cgroup: namespace("cgroupns", self.cgroupns.as_deref(), Joins::Nobody)?,
            host_users,
            ..NativeConfig::default()
        })
    }
}

/// May a namespace be another container's?
#[derive(Clone, Copy, PartialEq, Eq)]
enum Joins {
    Containers,
    Nobody,
}

fn namespace(flag: &str, typed: Option<&str>, joins: Joins) -> Result<Namespace, Failure> {
    match typed {
        None | Some("" | "private") => Ok(Namespace::Private),
        Some("shareable") if flag == "ipc" => Ok(Namespace::Private),
        Some("host") => Ok(Namespace::Host),
        Some(text) => match text.strip_prefix("container:") {
            Some(name) if joins == Joins::Containers && !name.is_empty() => {
                Ok(Namespace::Container(name.to_owned()))
            }
            _ => Err(unknown_mode(flag, text)),
        },
    }
}

fn unknown_mode(flag: &str, text: &str) -> Failure {
    Failure::usage(format!("--{flag}: invalid mode: {text}"))
}

/// hostname(7): what the kernel takes, and no more than names are made of.
fn host_name(text: &str) -> Result<String, Failure> {
    let good = (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    match good {
        true => Ok(text.to_owned()),
        false => Err(Failure::usage(format!("invalid hostname: {text:?}"))
            .with_hint("letters, digits, '-' and '.', 64 at most")),
    }
}

fn security(options: &[String]) -> Result<Security, Failure> {
    let mut security = Security::default();
    for option in options {
        let (name, value) = option
            .split_once('=')
            .or_else(|| option.split_once(':'))
            .unwrap_or((option, ""));
        let wrong = || Failure::usage(format!("invalid --security-opt: {option:?}"));
        match (name, value) {
            ("no-new-privileges", "" | "true") => security.no_new_privileges = true,
            ("no-new-privileges", "false") => security.no_new_privileges = false,
            ("seccomp", "unconfined") => security.seccomp = SeccompChoice::Unconfined,
            ("seccomp", "builtin") => security.seccomp = SeccompChoice::Default,
            ("seccomp", path) if !path.is_empty() => {
                security.seccomp = SeccompChoice::Profile(profile(path)?);
            }
            ("apparmor", profile) if !profile.is_empty() => {
                security.apparmor = Some(profile.to_owned());
            }
            ("systempaths", "unconfined") => security.system_paths_unconfined = true,
            // There is no SELinux label to leave out.
            ("label", "disable") => {}
            ("label", _) => {
                return Err(wrong().with_hint("SELinux labels are not set; label=disable is taken"));
            }
            _ => return Err(wrong()),
        }
    }
    Ok(security)
}

fn profile(path: &str) -> Result<String, Failure> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_PROFILE_BYTES).read_to_string(&mut text))
        .map_err(|source| Failure::Io {
            doing: format!("opening seccomp profile ({path})"),
            source,
        })?;
    Ok(text)
}

/// Reads `HOST[:CONTAINER][:rwm]`.
fn device(text: &str) -> Result<DeviceConfig, Failure> {
    let wrong = |problem: &str| Failure::usage(format!("--device {text:?}: {problem}"));
    let is_access = |part: &str| {
        !part.is_empty() && part.len() <= 3 && part.bytes().all(|byte| b"rwm".contains(&byte))
    };
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, access) = match parts[..] {
        [source] => (source, source, "rwm"),
        [source, access] if is_access(access) => (source, source, access),
        [source, target] => (source, target, "rwm"),
        [source, target, access] if is_access(access) => (source, target, access),
        _ => return Err(wrong("HOST[:CONTAINER][:rwm] is wanted")),
    };
    if !source.starts_with('/') || !target.starts_with('/') {
        return Err(wrong("both paths must be absolute"));
    }
    Ok(DeviceConfig {
        source: source.to_owned(),
        target: target.to_owned(),
        access: access.to_owned(),
    })
}

fn sysctls(typed: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let mut all = BTreeMap::new();
    for text in typed {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("--sysctl {text:?}: NAME=VALUE is wanted")))?;
        all.insert(name.to_owned(), value.to_owned());
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: Flags,
    }

    fn typed(line: &str) -> Result<NativeConfig, String> {
        let words = std::iter::once("run").chain(line.split_whitespace());
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        line.flags.resolve().map_err(|failure| match failure {
            Failure::Usage { message, .. } => message,
            other => format!("{other:?}"),
        })
    }

    #[test]
    fn nothing_typed_is_nothing_asked_for() {
        assert_eq!(typed("").expect("valid"), NativeConfig::default());
        for line in [
            "--ipc private",
            "--ipc shareable",
            "--pid=",
            "--uts private",
        ] {
            assert_eq!(typed(line).expect(line), NativeConfig::default(), "{line}");
        }
    }

    #[test]
    fn flags_mean_what_docker_means() {
        let native = typed(
            "-u 1:2 --group-add audio --cap-add SYS_PTRACE --cap-drop ALL --ipc host --pid container:db --uts host \
             --security-opt no-new-privileges --security-opt seccomp=unconfined --security-opt apparmor:web \
             --device /dev/fuse --device /dev/sda:/dev/xvdc:r --device /dev/kvm:rw --shm-size 1g --sysctl net.core.somaxconn=9",
        )
        .expect("valid");
        assert_eq!(native.user.as_deref(), Some("1:2"));
        assert_eq!(native.pid, Namespace::Container("db".to_owned()));
        assert_eq!((native.ipc, native.uts), (Namespace::Host, Namespace::Host));
        assert!(native.security.no_new_privileges);
        assert_eq!(native.security.seccomp, SeccompChoice::Unconfined);
        assert_eq!(native.security.apparmor.as_deref(), Some("web"));
        assert_eq!(native.shm_size, Some(1 << 30));
        let devices: Vec<_> = native
            .devices
            .iter()
            .map(|one| format!("{} {} {}", one.source, one.target, one.access))
            .collect();
        assert_eq!(
            devices,
            [
                "/dev/fuse /dev/fuse rwm",
                "/dev/sda /dev/xvdc r",
                "/dev/kvm /dev/kvm rw"
            ]
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, want) in [
            ("--ipc web", "--ipc: invalid mode: web"),
            ("--ipc container:x", "--ipc: invalid mode: container:x"),
            ("--uts container:x", "--uts: invalid mode: container:x"),
            ("--pid container:", "--pid: invalid mode: container:"),
            ("--userns keep-id", "--userns: invalid mode: keep-id"),
            (
                "--security-opt seccomp",
                "invalid --security-opt: \"seccomp\"",
            ),
            (
                "--security-opt nonsense=1",
                "invalid --security-opt: \"nonsense=1\"",
            ),
            ("--hostname a/b", "invalid hostname: \"a/b\""),
            (
                "--device fuse",
                "--device \"fuse\": both paths must be absolute",
            ),
            (
                "--device /a:/b:x",
                "--device \"/a:/b:x\": HOST[:CONTAINER][:rwm] is wanted",
            ),
            ("--sysctl a", "--sysctl \"a\": NAME=VALUE is wanted"),
        ] {
            assert_eq!(typed(line).expect_err(line), want);
        }
    }
}
