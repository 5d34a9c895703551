//! From the specification's `linux.seccomp` to a program for the kernel.
//!
//! The semantics are runc's and libseccomp's, made explicit: entries are read in order and the first that holds decides;
//! two conditions on the same argument of an entry are alternatives; a name that an architecture does not have is left
//! out there; the native architecture is always covered, and one that the profile does not name ends the process.

mod docker;

use std::collections::BTreeMap;

use oci_spec::runtime::{
    Arch as SpecArch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag,
    LinuxSeccompOperator, LinuxSyscall,
};
use serde::{Deserialize, Serialize};

pub use docker::{Profile, ProfileError};

use crate::sys::linux::seccomp::{
    Action, Arch, Case, Column, CompileError, FIRST_UNKNOWN, Filter, Match, Order, Rule, Test,
    X32_BIT, compile_all, number,
};

/// How many numbers after the last known one answer "not implemented": what Linux will add in some years.
const UNKNOWN_NUMBERS: u32 = 130;
/// SECCOMP_FILTER_FLAG_LOG, _SPEC_ALLOW and _WAIT_KILLABLE_RECV of `linux/seccomp.h`; _TSYNC has no meaning for one thread.
const FLAG_LOG: u32 = 1 << 1;
const FLAG_SPEC_ALLOW: u32 = 1 << 2;

/// Why a profile cannot be enforced.
#[derive(Debug, thiserror::Error)]
pub enum SeccompError {
    /// It asks for something that is not there.
    #[error("compiling the seccomp profile: {0} is not supported")]
    Unsupported(String),
    /// The rules do not fit a program.
    #[error("compiling the seccomp profile: {0}")]
    Compile(String),
}

impl From<CompileError> for SeccompError {
    fn from(error: CompileError) -> Self {
        Self::Compile(error.to_string())
    }
}

/// A compiled filter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Program {
    /// Each is a `sock_filter`: code, jt, jf and k, from the upper bits down.
    instructions: Vec<u64>,
    /// For seccomp(2).
    pub(super) flags: u32,
}

impl Program {
    /// The instructions as the kernel reads them.
    pub(super) fn instructions(&self) -> Vec<libc::sock_filter> {
        let unpack = |packed: &u64| libc::sock_filter {
            code: (packed >> 48) as u16,
            jt: (packed >> 40) as u8,
            jf: (packed >> 32) as u8,
            k: *packed as u32,
        };
        self.instructions.iter().map(unpack).collect()
    }
}

/// Compiles a profile for this machine.
///
/// # Errors
///
/// See [`SeccompError`].
pub(super) fn compile(profile: &LinuxSeccomp) -> Result<Program, SeccompError> {
    let unsupported = |what: &str| SeccompError::Unsupported(what.to_owned());
    if profile.listener_path().is_some() {
        return Err(unsupported("a listener for notifications"));
    }
    let mut flags = 0;
    for flag in profile.flags().iter().flatten() {
        match flag {
            LinuxSeccompFilterFlag::SeccompFilterFlagLog => flags |= FLAG_LOG,
            LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => flags |= FLAG_SPEC_ALLOW,
            LinuxSeccompFilterFlag::SeccompFilterFlagTsync => {}
            LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => {
                return Err(unsupported("the flag for waiting listeners"));
            }
        }
    }
    let default = action(profile.default_action(), profile.default_errno_ret())?;
    let named = |arch| {
        profile
            .architectures()
            .as_ref()
            .is_some_and(|named| named.contains(&arch))
    };
    let mut filters = Vec::new();
    if cfg!(target_arch = "x86_64") {
        if named(SpecArch::ScmpArchX32) {
            let columns = [(Column::X86_64, 0), (Column::X32, X32_BIT)];
            filters.push((Arch::X86_64_AND_X32, filter(profile, default, &columns)?));
        } else {
            let columns = [(Column::X86_64, 0)];
            filters.push((Arch::X86_64, filter(profile, default, &columns)?));
        }
        if named(SpecArch::ScmpArchX86) {
            filters.push((Arch::X86, filter(profile, default, &[(Column::X86, 0)])?));
        }
    } else if cfg!(target_arch = "aarch64") {
        filters.push((
            Arch::AARCH64,
            filter(profile, default, &[(Column::Arm64, 0)])?,
        ));
        if named(SpecArch::ScmpArchArm) {
            filters.push((Arch::ARM, filter(profile, default, &[(Column::Arm, 0)])?));
        }
    } else {
        return Err(unsupported(std::env::consts::ARCH));
    }
    let borrowed: Vec<(Arch, &Filter)> = filters
        .iter()
        .map(|(arch, filter)| (*arch, filter))
        .collect();
    let pack = |one: &libc::sock_filter| {
        u64::from(one.code) << 48
            | u64::from(one.jt) << 40
            | u64::from(one.jf) << 32
            | u64::from(one.k)
    };
    let instructions = compile_all(&borrowed, Action::KillProcess)?;
    Ok(Program {
        instructions: instructions.iter().map(pack).collect(),
        flags,
    })
}

/// The rules of one architecture, whose columns may share it by a bit of the number.
fn filter(
    profile: &LinuxSeccomp,
    default: Action,
    columns: &[(Column, u32)],
) -> Result<Filter, SeccompError> {
    let mut rules: BTreeMap<u32, (Vec<Case>, Option<Action>)> = BTreeMap::new();
    for entry in profile.syscalls().iter().flatten() {
        let then = action(entry.action(), entry.errno_ret())?;
        let cases = cases(entry, then)?;
        for name in entry.names() {
            for (column, bit) in columns {
                let Some(number) = number(name, *column) else {
                    continue;
                };
                let (listed, otherwise) = rules.entry(number | bit).or_default();
                if otherwise.is_some() {
                    // An earlier entry has decided every case.
                } else if cases.is_empty() {
                    *otherwise = Some(then);
                } else {
                    listed.extend(cases.iter().cloned());
                }
            }
        }
    }
    // The C library takes "not permitted" for an answer, and "not implemented" for a reason to try the older call.
    if matches!(default, Action::Errno(errno) if i32::from(errno) != libc::ENOSYS) {
        for (_, bit) in columns {
            for number in FIRST_UNKNOWN..FIRST_UNKNOWN + UNKNOWN_NUMBERS {
                let rule = rules.entry(number | bit).or_default();
                rule.1.get_or_insert(Action::Errno(libc::ENOSYS as u16));
            }
        }
    }
    let rules = rules
        .into_iter()
        .map(|(number, (cases, otherwise))| {
            let otherwise = otherwise.unwrap_or(default);
            (number, Rule { cases, otherwise })
        })
        .collect();
    Ok(Filter {
        default,
        foreign: Action::KillProcess,
        rules,
    })
}

/// The cases of one entry; none means that it always holds.
fn cases(entry: &LinuxSyscall, then: Action) -> Result<Vec<Case>, SeccompError> {
    let args = entry.args().as_deref().unwrap_or_default();
    let mut indices: Vec<usize> = args.iter().map(LinuxSeccompArg::index).collect();
    indices.sort_unstable();
    let repeated = indices.windows(2).any(|pair| pair[0] == pair[1]);
    let tests = args.iter().map(test).collect::<Result<Vec<_>, _>>()?;
    Ok(match tests {
        tests if tests.is_empty() => Vec::new(),
        tests if repeated => tests
            .into_iter()
            .map(|test| Case {
                when: vec![test],
                then,
            })
            .collect(),
        when => vec![Case { when, then }],
    })
}

fn test(arg: &LinuxSeccompArg) -> Result<Test, SeccompError> {
    let index = u8::try_from(arg.index())
        .ok()
        .filter(|index| *index < 6)
        .ok_or_else(|| SeccompError::Compile(format!("a condition on argument {}", arg.index())))?;
    let value = arg.value();
    let compare = |order| Test::Compare {
        arg: index,
        order,
        value,
    };
    Ok(match arg.op() {
        LinuxSeccompOperator::ScmpCmpEq => Test::Masked(Match {
            arg: index,
            mask: u64::MAX,
            value,
        }),
        // `value` is the mask here, and `valueTwo` what must be left.
        LinuxSeccompOperator::ScmpCmpMaskedEq => Test::Masked(Match {
            arg: index,
            mask: value,
            value: arg.value_two().unwrap_or(0) & value,
        }),
        LinuxSeccompOperator::ScmpCmpNe => compare(Order::NotEqual),
        LinuxSeccompOperator::ScmpCmpLt => compare(Order::Less),
        LinuxSeccompOperator::ScmpCmpLe => compare(Order::LessOrEqual),
        LinuxSeccompOperator::ScmpCmpGt => compare(Order::Greater),
        LinuxSeccompOperator::ScmpCmpGe => compare(Order::GreaterOrEqual),
    })
}

fn action(action: LinuxSeccompAction, number: Option<u32>) -> Result<Action, SeccompError> {
    let number = number.unwrap_or(libc::EPERM as u32);
    let number = u16::try_from(number)
        .map_err(|_| SeccompError::Compile(format!("error number {number}")))?;
    Ok(match action {
        LinuxSeccompAction::ScmpActAllow => Action::Allow,
        LinuxSeccompAction::ScmpActLog => Action::Log,
        LinuxSeccompAction::ScmpActErrno => Action::Errno(number),
        LinuxSeccompAction::ScmpActTrace => Action::Trace(number),
        LinuxSeccompAction::ScmpActTrap => Action::Trap,
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => {
            Action::KillThread
        }
        LinuxSeccompAction::ScmpActKillProcess => Action::KillProcess,
        LinuxSeccompAction::ScmpActNotify => {
            return Err(SeccompError::Unsupported(
                "a listener for notifications".to_owned(),
            ));
        }
    })
}
