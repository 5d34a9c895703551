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
mod numbers;

use std::collections::BTreeMap;

pub(crate) use compile::{CompileError, compile_all};
pub(super) use install::install;
pub(crate) use install::install_with_flags;
pub(crate) use numbers::{Column, FIRST_UNKNOWN, number};

/// An architecture as the kernel names it to filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arch {
    /// `AUDIT_ARCH_*` of `linux/audit.h`: the ELF machine, with bits for 64 bits and little endian.
    audit: u32,
    /// From this number on, calls belong to another ABI of the same architecture.
    numbers_end: Option<u32>,
}

/// Bit 30 of a system call's number on x86-64: the x32 ABI.
pub(crate) const X32_BIT: u32 = 0x4000_0000;

impl Arch {
    /// x86-64. The x32 ABI shares its audit value and sets bit 30 of the number: without a limit there, every rule could
    /// be passed by.
    pub(crate) const X86_64: Self = Self {
        audit: 0xc000_003e,
        numbers_end: Some(0x4000_0000),
    };
    /// x86-64 with x32: the numbers of that one have [`X32_BIT`] and rules of their own.
    pub(crate) const X86_64_AND_X32: Self = Self {
        audit: 0xc000_003e,
        numbers_end: None,
    };
    /// 32-bit x86.
    pub(crate) const X86: Self = Self {
        audit: 0x4000_0003,
        numbers_end: None,
    };
    /// 64-bit Arm.
    pub(crate) const AARCH64: Self = Self {
        audit: 0xc000_00b7,
        numbers_end: None,
    };
    /// 32-bit Arm.
    pub(crate) const ARM: Self = Self {
        audit: 0x4000_0028,
        numbers_end: None,
    };

    /// Returns the architecture that this program was compiled for, if filters for it are known.
    pub(crate) const fn native() -> Option<Self> {
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
pub(crate) enum Action {
    /// Carries it out.
    Allow,
    /// Carries it out, and has the kernel log it.
    Log,
    /// Refuses it with this error number, at most 4095.
    Errno(u16),
    /// Tells a tracer, with this number; without one it is refused with ENOSYS.
    Trace(u16),
    /// Sends the thread a SIGSYS that it can catch.
    Trap,
    /// Ends the thread, as if by an uncatchable SIGSYS.
    KillThread,
    /// Ends the process, as if by an uncatchable SIGSYS.
    KillProcess,
}

/// What a case asks of one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    /// See [`Match`].
    Masked(Match),
    /// Compares the whole argument as an unsigned 64-bit number.
    Compare {
        /// Which argument, 0 to 5.
        arg: u8,
        /// How it must stand to `value`.
        order: Order,
        /// What it is compared with.
        value: u64,
    },
}

/// How an argument must stand to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// Holds if the argument, masked, is `value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Match {
    /// Which argument, 0 to 5.
    pub(crate) arg: u8,
    /// The bits that count. For a C `int` only the lower 32: the kernel ignores the others, and so may a caller who
    /// wants to slip through.
    pub(crate) mask: u64,
    /// What they must be.
    pub(crate) value: u64,
}

/// An action for calls of which all tests hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) when: Vec<Test>,
    pub(crate) then: Action,
}

/// What happens with one system call: the first case that holds decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) cases: Vec<Case>,
    pub(crate) otherwise: Action,
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
pub(crate) struct Filter {
    /// For numbers without a rule.
    pub(crate) default: Action,
    /// For calls of another architecture, or of another ABI of this one.
    pub(crate) foreign: Action,
    /// By number. Those past the architecture's own numbers are not allowed.
    pub(crate) rules: BTreeMap<u32, Rule>,
}

impl Filter {
    /// Makes the program for `arch`.
    ///
    /// # Errors
    ///
    /// See [`CompileError`]: rules that cannot be expressed or can never hold.
    pub(crate) fn compile(&self, arch: Arch) -> Result<Vec<libc::sock_filter>, CompileError> {
        compile::compile(self, arch)
    }
}
