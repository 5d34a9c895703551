//! Which of root's powers a container has.

use std::str::FromStr;

use coracle_runtime::sandbox::native::CAPABILITIES;
use oci_spec::runtime::Capability;

use super::SpecError;

/// What a container has unless it is said otherwise: Docker's list
/// (<https://docs.docker.com/engine/containers/run/#runtime-privilege-and-linux-capabilities>).
const USUAL: [Capability; 14] = [
    Capability::AuditWrite,
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Mknod,
    Capability::NetBindService,
    Capability::NetRaw,
    Capability::Setfcap,
    Capability::Setgid,
    Capability::Setpcap,
    Capability::Setuid,
    Capability::SysChroot,
];

/// Returns the bit that stands for a capability in `/proc/self/status`.
pub(super) fn bit(capability: Capability) -> u64 {
    let number = CAPABILITIES.iter().position(|known| *known == capability);
    number.map_or(0, |number| 1 << number)
}

/// Reads from the text of `/proc/self/status` which capabilities a process may have at most. All, if it does not say.
pub(super) fn held(status: &str) -> u64 {
    let bounding = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    bounding
        .and_then(|text| u64::from_str_radix(text.trim(), 16).ok())
        .unwrap_or(u64::MAX)
}

/// What a container begins with, before anything is added or dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// Docker's usual ones.
    Usual,
    /// None: what is not granted by name it has not.
    None,
    /// All of them.
    All,
}

/// Returns the capabilities of a container, as Docker works them out: `ALL` may be added or dropped, a name may have `CAP_` before
/// it, in any case.
///
/// # Errors
///
/// A name is none.
pub(super) fn chosen(
    base: Base,
    add: &[String],
    drop: &[String],
) -> Result<Vec<Capability>, SpecError> {
    let add = Change::read(add)?;
    let drop = Change::read(drop)?;
    // All of them stay all of them, whatever is said besides: that is what `privileged` means in Docker.
    if base == Base::All {
        return Ok(CAPABILITIES.to_vec());
    }
    let begin: &[Capability] = match base {
        _ if add.all => &CAPABILITIES,
        _ if drop.all => &[],
        Base::Usual => &USUAL,
        _ => &[],
    };
    let mut chosen = begin.to_vec();
    chosen.retain(|capability| !drop.named.contains(capability));
    for capability in add.named {
        if !chosen.contains(&capability) {
            chosen.push(capability);
        }
    }
    Ok(chosen)
}

struct Change {
    all: bool,
    named: Vec<Capability>,
}

impl Change {
    fn read(names: &[String]) -> Result<Self, SpecError> {
        let mut change = Self {
            all: false,
            named: Vec::new(),
        };
        for name in names {
            let upper = name.to_ascii_uppercase();
            let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
            if short == "ALL" {
                change.all = true;
                continue;
            }
            let capability = Capability::from_str(short)
                .map_err(|_| SpecError::Capability { name: name.clone() })?;
            change.named.push(capability);
        }
        Ok(change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(base: Base, add: &str, drop: &str) -> usize {
        let list = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        chosen(base, &list(add), &list(drop)).expect(add).len()
    }

    #[test]
    fn they_combine_as_in_docker() {
        for (base, add, drop, want) in [
            (Base::Usual, "", "", 14),
            (Base::Usual, "net_admin", "", 15),
            (Base::Usual, "CAP_NET_ADMIN", "CHOWN cap_kill", 13),
            (Base::Usual, "CHOWN", "", 14),
            // What is both is had.
            (Base::Usual, "CHOWN", "CHOWN", 14),
            (Base::Usual, "", "ALL", 0),
            (Base::Usual, "NET_RAW", "all", 1),
            (Base::Usual, "ALL", "", 41),
            (Base::Usual, "ALL", "SYS_ADMIN MKNOD", 39),
            (Base::None, "", "", 0),
            (Base::None, "CHOWN", "", 1),
            (Base::All, "", "ALL", 41),
        ] {
            assert_eq!(count(base, add, drop), want, "{base:?} +{add} -{drop}");
        }
    }

    #[test]
    fn a_name_that_is_none_is_refused() {
        for name in ["CAP_SYS_NOTHING", "", "CAP_"] {
            let error = chosen(Base::Usual, &[name.to_owned()], &[]).expect_err(name);
            assert_eq!(error.to_string(), format!("invalid capability: {name:?}"));
        }
    }

    #[test]
    fn dockers_set_has_the_bits_that_are_seen_in_proc() {
        // CapEff of a container of Docker's: a80425fb.
        let bits: u64 = USUAL.iter().map(|one| bit(*one)).sum();
        assert_eq!(bits, 0xa804_25fb);
        assert_eq!(
            CAPABILITIES.iter().map(|one| bit(*one)).sum::<u64>(),
            (1 << 41) - 1
        );
    }

    #[test]
    fn what_this_process_may_have_is_read() {
        assert_eq!(
            held("Name:\tx\nCapBnd:\t00000000a80425fb\nSeccomp:\t0\n"),
            0xa804_25fb
        );
        assert_eq!(held(""), u64::MAX);
    }
}
