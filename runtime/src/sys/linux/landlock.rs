//! Landlock: what may be opened and connected to, by the kernel's own view of paths and ports.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, NetPort,
    PathBeneath, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, Scope,
    make_bitflags,
};
use rustix::fs::{FileType, Mode, OFlags};

use crate::sys::{Applied, Place, Ports, Reach, RestrictError};

/// The newest ABI whose every right this code was tried with. A newer kernel's further rights are not used, an older
/// kernel's missing ones are left out, and the report tells by the ABI version what that means.
const NEWEST: ABI = ABI::V7;

/// Rights on what may be read. Execute is in no list: what the guest's process can open, it cannot start.
const READ: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir});

/// Rights on what may be written. Left out beside Execute: device nodes, sockets and pipes (a path to other processes
/// and drivers, which no WASI function can make) and ioctl on devices.
const READ_WRITE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
    ReadFile | ReadDir | WriteFile | Truncate | MakeReg | MakeDir | MakeSym | RemoveFile | RemoveDir | Refer
});

/// Those of the rights that a rule on a single file may name.
const ON_A_FILE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | WriteFile | Truncate});

/// Limits this thread, and those it makes later, to `reach`. Yields the ABI version.
pub(super) fn restrict(reach: &Reach<'_>) -> Result<Applied<u32>, RestrictError> {
    let ports = [
        (&reach.sockets.connect, AccessNet::ConnectTcp),
        (&reach.sockets.bind, AccessNet::BindTcp),
    ];
    // What may be done with every port is not handled at all: there is no rule for it.
    let handled = ports
        .iter()
        .filter(|(ports, _)| **ports != Ports::Any)
        .fold(BitFlags::empty(), |all, (_, right)| all | *right);
    // Best effort: a right that the kernel does not know cannot be taken away; the others are.
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))
        .and_then(|ruleset| {
            if handled.is_empty() {
                Ok(ruleset)
            } else {
                ruleset.handle_access(handled)
            }
        })
        .and_then(|ruleset| ruleset.scope(Scope::from_all(NEWEST)))
        .and_then(Ruleset::create)
        .map_err(failed)?;
    for (places, rights) in [(reach.read, READ), (reach.read_write, READ_WRITE)] {
        for place in places {
            ruleset = grant(ruleset, place, rights)?;
        }
    }
    for (ports, right) in ports {
        if let Ports::Listed(ports) = ports {
            for port in ports {
                ruleset = ruleset
                    .add_rule(NetPort::new(*port, right))
                    .map_err(failed)?;
            }
        }
    }
    // The caller has set it; the crate would do so once more.
    let status = ruleset
        .no_new_privs(false)
        .restrict_self()
        .map_err(failed)?;
    Ok(match status.landlock {
        LandlockStatus::Available { effective_abi, .. } => Applied::Yes(effective_abi as u32),
        LandlockStatus::NotEnabled => {
            Applied::Unsupported("Landlock was not enabled when the kernel started".to_owned())
        }
        LandlockStatus::NotImplemented => {
            Applied::Unsupported("the kernel has no Landlock".to_owned())
        }
    })
}

fn grant(
    ruleset: RulesetCreated,
    place: &Place,
    rights: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RestrictError> {
    let unusable = |source: io::Error| RestrictError::Place {
        place: name(place),
        source,
    };
    let opened: OwnedFd;
    let handle: BorrowedFd<'_> = match place {
        Place::Handle(file) => file.as_fd(),
        Place::Path(path) => {
            opened = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
                .map_err(|errno| unusable(errno.into()))?;
            opened.as_fd()
        }
    };
    let mode = rustix::fs::fstat(handle)
        .map_err(|errno| unusable(errno.into()))?
        .st_mode;
    let rights = match FileType::from_raw_mode(mode) {
        FileType::Directory => rights,
        _ => rights & ON_A_FILE,
    };
    ruleset
        .add_rule(PathBeneath::new(handle, rights))
        .map_err(failed)
}

fn name(place: &Place) -> String {
    match place {
        Place::Path(path) => path.display().to_string(),
        Place::Handle(file) => format!("{file:?}"),
    }
}

fn failed(error: RulesetError) -> RestrictError {
    RestrictError::Landlock(Box::new(error))
}
