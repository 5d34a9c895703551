//! The maps of a user namespace: which users of the host those of the container are.

use std::fs;
use std::io;
use std::process::{Command, Stdio};

use oci_spec::runtime::LinuxIdMapping;

use super::error::NativeError;

/// Writes the maps of a process's new user namespace, with the help of newuidmap and newgidmap where this process may not.
pub(super) fn write(
    pid: i32,
    users: &[LinuxIdMapping],
    groups: &[LinuxIdMapping],
) -> Result<(), NativeError> {
    let step = || NativeError::step("mapping users into the container");
    let is_root = rustix::process::geteuid().is_root();
    let is_single = |maps: &[LinuxIdMapping], own: u32| matches!(maps, [one] if one.size() == 1 && one.host_id() == own);
    let (own_user, own_group) = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    if is_root || (is_single(users, own_user) && is_single(groups, own_group)) {
        if !is_root {
            // Without privileges groups may be mapped only where none can be dropped.
            fs::write(format!("/proc/{pid}/setgroups"), "deny").map_err(step())?;
        }
        fs::write(format!("/proc/{pid}/gid_map"), text(groups)).map_err(step())?;
        return fs::write(format!("/proc/{pid}/uid_map"), text(users)).map_err(step());
    }
    let helpers = [("newgidmap", groups), ("newuidmap", users)].map(|(name, maps)| {
        let mut command = Command::new(name);
        command.arg(pid.to_string());
        for map in maps {
            command
                .args([map.container_id(), map.host_id(), map.size()].map(|one| one.to_string()));
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        (name, child)
    });
    for (name, child) in helpers {
        let output = child
            .and_then(std::process::Child::wait_with_output)
            .map_err(NativeError::step(format!("running {name}")))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(NativeError::Step {
                doing: format!("running {name}"),
                source: io::Error::other(said),
            });
        }
    }
    Ok(())
}

fn text(maps: &[LinuxIdMapping]) -> String {
    maps.iter()
        .map(|map| format!("{} {} {}\n", map.container_id(), map.host_id(), map.size()))
        .collect()
}
