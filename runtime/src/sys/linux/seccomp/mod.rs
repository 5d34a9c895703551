//! A compiler for seccomp filters: from rules for each system call to a classic BPF program.
//!
//! The program is a binary tree over system call numbers, in which neighbours with the same answer share a leaf. The kernel
//! runs a new filter once for every number while it loads it, so the depth decides what loading costs: for some
//! hundred rules a tree takes a tenth of a linear list's time, and less for each call whose arguments count.
//!
//! Semantics, from the kernel's `Documentation/userspace-api/seccomp_filter.rst`: the filter sees the number, the
//! architecture and the six arguments as values; what a pointer points to it cannot see.

mod compile;
#[expect(unsafe_code, reason = "seccomp(2) takes a pointer to the program")]
mod install;

use std::collections::BTreeMap;

pub(super) use compile::CompileError;
pub(super) use install::install;

/// An architecture as the kernel names it to filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arch {
    /// `AUDIT_ARCH_*` of `linux/audit.h`: the ELF machine, with bits for 64 bits and little endian.
    audit: u32,
    /// From this number on, calls belong to another ABI of the same architecture.
    numbers_end: Option<u32>,
}

impl Arch {
    /// x86-64. The x32 ABI shares its audit value and sets bit 30 of the number: without a limit there, every rule could
    /// be passed by.
    #[cfg(any(target_arch = "x86_64", test))]
    pub(super) const X86_64: Self = Self {
        audit: 0xc000_003e,
        numbers_end: Some(0x4000_0000),
    };
    /// 64-bit Arm.
    #[cfg(any(target_arch = "aarch64", test))]
    pub(super) const AARCH64: Self = Self {
        audit: 0xc000_00b7,
        numbers_end: None,
    };

    /// Returns the architecture that this program was compiled for, if filters for it are known.
    pub(super) const fn native() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        return Some(Self::X86_64);
        #[cfg(target_arch = "aarch64")]
        return Some(Self::AARCH64);
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        return None;
    }
}

/// What the kernel does with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Carries it out.
    Allow,
    /// Refuses it with this error number, at most 4095.
    Errno(u16),
    /// Ends the process, as if by an uncatchable SIGSYS.
    KillProcess,
}

/// Holds if the argument, masked, is `value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Match {
    /// Which argument, 0 to 5.
    pub(super) arg: u8,
    /// The bits that count. For a C `int` only the lower 32: the kernel ignores the others, and so may a caller who
    /// wants to slip through.
    pub(super) mask: u64,
    /// What they must be.
    pub(super) value: u64,
}

/// An action for calls of which all matches hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) when: Vec<Match>,
    pub(super) then: Action,
}

/// What happens with one system call: the first case that holds decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) cases: Vec<Case>,
    pub(super) otherwise: Action,
}

impl From<Action> for Rule {
    fn from(action: Action) -> Self {
        Self {
            cases: Vec::new(),
            otherwise: action,
        }
    }
}

/// Rules for system calls by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filter {
    /// For numbers without a rule.
    pub(super) default: Action,
    /// For calls of another architecture, or of another ABI of this one.
    pub(super) foreign: Action,
    /// By number. Those past the architecture's own numbers are not allowed.
    pub(super) rules: BTreeMap<u32, Rule>,
}

impl Filter {
    /// Makes the program for `arch`.
    ///
    /// # Errors
    ///
    /// See [`CompileError`]: rules that cannot be expressed or can never hold.
    pub(super) fn compile(&self, arch: Arch) -> Result<Vec<libc::sock_filter>, CompileError> {
        compile::compile(self, arch)
    }
}
