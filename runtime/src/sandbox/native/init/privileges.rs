//! What the program may use and do.

use std::os::fd::AsFd;

use oci_spec::runtime::{PosixRlimitType, Process};

use super::super::capability::Wanted;
use super::super::error::Told;
use super::super::message::Message;
use super::super::plan::Plan;
use super::Files;
use crate::sys::linux::container as sys;

/// Sets the limits of the process.
pub(super) fn limits(plan: &Plan, process: &Process, files: &Files) -> Result<(), Told> {
    for limit in process.rlimits().iter().flatten() {
        let kind = resource(limit.typ());
        let (soft, hard) = (limit.soft(), limit.hard());
        let step = || {
            Told::step(format!(
                "setting the limit {} to {soft}:{hard}",
                limit.typ()
            ))
        };
        match sys::set_limit(kind, soft, hard) {
            Ok(()) => {}
            // The kernel lets nobody above the limits of this process without a capability that it lacks.
            Err(error) if plan.lenient && error.raw_os_error() == Some(libc::EPERM) => {
                let (_, most) = sys::limit(kind).map_err(step())?;
                let (soft, hard) = (soft.min(most), hard.min(most));
                sys::set_limit(kind, soft, hard).map_err(step())?;
                let text = format!(
                    "the limit {} is {soft}:{hard}: this system allows no higher one",
                    limit.typ()
                );
                Message::Report(text)
                    .send(files.socket.as_fd())
                    .map_err(step())?;
            }
            Err(error) => return Err(step()(error)),
        }
    }
    Ok(())
}

const fn resource(kind: PosixRlimitType) -> u32 {
    match kind {
        PosixRlimitType::RlimitCpu => 0,
        PosixRlimitType::RlimitFsize => 1,
        PosixRlimitType::RlimitData => 2,
        PosixRlimitType::RlimitStack => 3,
        PosixRlimitType::RlimitCore => 4,
        PosixRlimitType::RlimitRss => 5,
        PosixRlimitType::RlimitNproc => 6,
        PosixRlimitType::RlimitNofile => 7,
        PosixRlimitType::RlimitMemlock => 8,
        PosixRlimitType::RlimitAs => 9,
        PosixRlimitType::RlimitLocks => 10,
        PosixRlimitType::RlimitSigpending => 11,
        PosixRlimitType::RlimitMsgqueue => 12,
        PosixRlimitType::RlimitNice => 13,
        PosixRlimitType::RlimitRtprio => 14,
        PosixRlimitType::RlimitRttime => 15,
    }
}

/// Becomes the container's user, with the capabilities it is granted and no others, for good.
pub(super) fn give_up(plan: &Plan, process: &Process) -> Result<(), Told> {
    let wanted = process
        .capabilities()
        .as_ref()
        .map(Wanted::new)
        .unwrap_or_default();
    let last = sys::last_capability();
    let is_set = |bits: u64, number: u32| bits & (1 << number) != 0;
    for number in (0..=last).filter(|number| !is_set(wanted.bounding, *number)) {
        sys::drop_bounding(number).map_err(Told::step("dropping capabilities"))?;
    }
    sys::keep_capabilities(true).map_err(Told::step("keeping capabilities"))?;
    let user = process.user();
    // The primary group belongs to the list: a program could else drop it and with it a restriction that a file puts on that group.
    let mut groups = vec![user.gid()];
    groups.extend(user.additional_gids().iter().flatten());
    match sys::set_groups(&groups) {
        Ok(()) => {}
        // A user namespace made without privileges has no groups to set, unless some were asked for.
        Err(error)
            if plan.user_namespace
                && error.raw_os_error() == Some(libc::EPERM)
                && groups.len() == 1 => {}
        Err(error) => return Err(Told::step("setting the groups")(error)),
    }
    sys::set_ids(user.uid(), user.gid()).map_err(Told::step(format!(
        "becoming user {} of group {}",
        user.uid(),
        user.gid()
    )))?;
    sys::keep_capabilities(false).map_err(Told::step("keeping capabilities"))?;
    let known = if last >= 63 {
        u64::MAX
    } else {
        (1 << (last + 1)) - 1
    };
    sys::set_capabilities(sys::Sets {
        effective: wanted.effective & known,
        permitted: wanted.permitted & known,
        inheritable: wanted.inheritable & known,
    })
    .map_err(Told::step("setting the capabilities"))?;
    sys::clear_ambient().map_err(Told::step("clearing the ambient capabilities"))?;
    // The kernel takes only what is permitted and inheritable. Engines list more, and mean this.
    let ambient = wanted.ambient & wanted.permitted & wanted.inheritable;
    for number in (0..=last).filter(|number| is_set(ambient, *number)) {
        sys::raise_ambient(number).map_err(Told::step("setting the ambient capabilities"))?;
    }
    Ok(())
}
