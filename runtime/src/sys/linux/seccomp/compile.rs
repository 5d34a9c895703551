//! From rules to instructions.

use std::mem::offset_of;

use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JGT, BPF_JMP, BPF_K, BPF_LD,
    BPF_MAXINSNS, BPF_RET, BPF_W, SECCOMP_RET_ALLOW, SECCOMP_RET_DATA, SECCOMP_RET_ERRNO,
    SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_LOG, SECCOMP_RET_TRACE,
    SECCOMP_RET_TRAP, seccomp_data, sock_filter,
};

use super::{Action, Arch, Filter, Match, Order, Rule, Test};

/// Longest program that the kernel takes, in instructions.
const LONGEST: usize = BPF_MAXINSNS as usize;
/// The kernel cuts larger error numbers down to this one.
const LARGEST_ERRNO: u16 = 4095;
/// A system call's arguments.
const ARGUMENTS: u8 = 6;

/// Why rules cannot become a program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CompileError {
    #[error(
        "compiling the rule for system call {call}: it has no argument {arg}, there are {ARGUMENTS} from 0 on"
    )]
    Argument { call: u32, arg: u8 },
    #[error(
        "compiling the rule for system call {call}: value {value:#x} has bits outside of mask {mask:#x}, so it never holds"
    )]
    NeverHolds { call: u32, mask: u64, value: u64 },
    #[error(
        "compiling the rule for system call {call}: a case with {matches} matches is too long to jump over"
    )]
    TooManyMatches { call: u32, matches: usize },
    #[error(
        "compiling the rule for system call {call}: error number {errno} is above {LARGEST_ERRNO}"
    )]
    Errno { call: u32, errno: u16 },
    #[error("compiling the rule for system call {call}: such numbers belong to another ABI")]
    ForeignNumber { call: u32 },
    #[error("compiling the filter: {instructions} instructions, the kernel takes {LONGEST}")]
    TooLong { instructions: usize },
}

pub(super) fn compile(filter: &Filter, arch: Arch) -> Result<Vec<sock_filter>, CompileError> {
    compile_all(&[(arch, filter)], filter.foreign)
}

/// Makes one program of filters for several architectures; calls of any other get `foreign`.
///
/// # Errors
///
/// See [`CompileError`].
pub(crate) fn compile_all(
    filters: &[(Arch, &Filter)],
    foreign: Action,
) -> Result<Vec<sock_filter>, CompileError> {
    // Written from the last instruction to the first: jumps go forward only, so their targets are there already.
    let mut reversed = Vec::new();
    write_return(foreign, &mut reversed);
    for (arch, filter) in filters.iter().rev() {
        check(filter, *arch)?;
        let default = Rule::from(filter.default);
        let other = Rule::from(filter.foreign);
        let leaves = leaves(filter, *arch, &default, &other);
        let next = reversed.len();
        write_tree(&leaves, &mut reversed);
        reversed.push(load(offset_of!(seccomp_data, nr)));
        // A tree is longer than a conditional jump reaches.
        let distance = u32::try_from(reversed.len() - next)
            .expect("a program that fits memory as u64s has fewer than 2^32");
        reversed.push(instruction(BPF_JMP | BPF_JA, distance));
        reversed.push(jump(BPF_JEQ, arch.audit, 1, 0));
    }
    reversed.push(load(offset_of!(seccomp_data, arch)));
    reversed.reverse();
    match reversed.len() {
        instructions if instructions > LONGEST => Err(CompileError::TooLong { instructions }),
        _ => Ok(reversed),
    }
}

fn check(filter: &Filter, arch: Arch) -> Result<(), CompileError> {
    let action = |call: u32, action: Action| match action {
        Action::Errno(errno) if errno > LARGEST_ERRNO => Err(CompileError::Errno { call, errno }),
        _ => Ok(()),
    };
    action(0, filter.default)?;
    action(0, filter.foreign)?;
    for (&call, rule) in &filter.rules {
        if arch.numbers_end.is_some_and(|end| call >= end) {
            return Err(CompileError::ForeignNumber { call });
        }
        action(call, rule.otherwise)?;
        for case in &rule.cases {
            action(call, case.then)?;
            for test in &case.when {
                let (Test::Masked(Match { arg, .. }) | Test::Compare { arg, .. }) = *test;
                if arg >= ARGUMENTS {
                    return Err(CompileError::Argument { call, arg });
                }
                if let Test::Masked(Match { mask, value, .. }) = *test
                    && value & !mask != 0
                {
                    return Err(CompileError::NeverHolds { call, mask, value });
                }
            }
            // A failed test jumps over the rest of its case, at most 255 instructions; a test has up to 6.
            let matches = case.when.len();
            if matches > 255 / 6 - 1 {
                return Err(CompileError::TooManyMatches { call, matches });
            }
        }
    }
    Ok(())
}

/// All numbers from `first` on, up to the next leaf.
struct Leaf<'a> {
    first: u32,
    rule: &'a Rule,
}

/// Cuts the whole range of numbers into leaves; neighbours differ.
fn leaves<'a>(
    filter: &'a Filter,
    arch: Arch,
    default: &'a Rule,
    foreign: &'a Rule,
) -> Vec<Leaf<'a>> {
    let mut leaves: Vec<Leaf<'a>> = Vec::with_capacity(filter.rules.len());
    let mut add = |first: u32, rule: &'a Rule| {
        if leaves.last().is_none_or(|last| last.rule != rule) {
            leaves.push(Leaf { first, rule });
        }
    };
    let mut next = Some(0);
    for (&call, rule) in &filter.rules {
        if let Some(gap) = next.filter(|next| *next < call) {
            add(gap, default);
        }
        add(call, rule);
        next = call.checked_add(1);
    }
    if let Some(rest) = next.filter(|next| arch.numbers_end != Some(*next)) {
        add(rest, default);
    }
    if let Some(end) = arch.numbers_end {
        add(end, foreign);
    }
    leaves
}

/// Writes, in reverse, the choice among `leaves`, the number being in the accumulator.
fn write_tree(leaves: &[Leaf<'_>], reversed: &mut Vec<sock_filter>) {
    let (low, high) = leaves.split_at(leaves.len() / 2);
    let Some(first_high) = high.first() else {
        return;
    };
    if low.is_empty() {
        return write_rule(first_high.rule, reversed);
    }
    write_tree(high, reversed);
    let high_start = reversed.len();
    write_tree(low, reversed);
    let distance = reversed.len() - high_start;
    match u8::try_from(distance) {
        Ok(distance) => reversed.push(jump(BPF_JGE, first_high.first, distance, 0)),
        Err(_) => {
            // A conditional jump reaches 255 instructions, the unconditional one all of them.
            let distance = u32::try_from(distance)
                .expect("a program that fits memory as u64s has fewer than 2^32");
            reversed.push(instruction(BPF_JMP | BPF_JA, distance));
            reversed.push(jump(BPF_JGE, first_high.first, 0, 1));
        }
    }
}

fn write_rule(rule: &Rule, reversed: &mut Vec<sock_filter>) {
    write_return(rule.otherwise, reversed);
    for case in rule.cases.iter().rev() {
        let next_case = reversed.len();
        write_return(case.then, reversed);
        for test in case.when.iter().rev() {
            match *test {
                Test::Masked(test) => write_match(test, next_case, reversed),
                Test::Compare { arg, order, value } => {
                    write_comparison(arg, order, value, next_case, reversed);
                }
            }
        }
    }
}

/// Where the halves of an argument lie. All architectures here are little endian: the lower half comes first.
fn halves(arg: u8) -> (usize, usize) {
    let low = offset_of!(seccomp_data, args) + 8 * usize::from(arg);
    (low, low + 4)
}

/// The distance from the instruction that is pushed next to the one that was last when `reversed` was so long.
fn distance(reversed: &[sock_filter], length: usize) -> u8 {
    u8::try_from(reversed.len() - length).expect("`check` bounds the tests of a case")
}

fn write_match(test: Match, next_case: usize, reversed: &mut Vec<sock_filter>) {
    let Match { arg, mask, value } = test;
    let (low, high) = halves(arg);
    for (offset, mask, value) in [(high, mask >> 32, value >> 32), (low, mask, value)] {
        let (mask, value) = (mask as u32, value as u32);
        if mask == 0 {
            continue;
        }
        let otherwise = distance(reversed, next_case);
        reversed.push(jump(BPF_JEQ, value, 0, otherwise));
        if mask != u32::MAX {
            reversed.push(instruction(BPF_ALU | BPF_AND | BPF_K, mask));
        }
        reversed.push(load(offset));
    }
}

/// Writes the comparison of a whole argument: the upper halves decide unless they are equal.
fn write_comparison(
    arg: u8,
    order: Order,
    value: u64,
    next_case: usize,
    reversed: &mut Vec<sock_filter>,
) {
    let (low, high) = halves(arg);
    let (value_high, value_low) = ((value >> 32) as u32, value as u32);
    let goes_on = reversed.len();
    // What decides on the lower halves, and whether its yes is ours: `<` is "not `>=`".
    let (comparison, straight) = match order {
        Order::NotEqual => (BPF_JEQ, false),
        Order::Less => (BPF_JGE, false),
        Order::LessOrEqual => (BPF_JGT, false),
        Order::Greater => (BPF_JGT, true),
        Order::GreaterOrEqual => (BPF_JGE, true),
    };
    let no = distance(reversed, next_case);
    let (holds, otherwise) = if straight { (0, no) } else { (no, 0) };
    reversed.push(jump(comparison, value_low, holds, otherwise));
    reversed.push(load(low));
    // Here the upper half is not greater (or is not known to be): equal goes to the lower halves, anything else is decided.
    let (yes, no) = (distance(reversed, goes_on), distance(reversed, next_case));
    let unequal = if straight { no } else { yes };
    reversed.push(jump(BPF_JEQ, value_high, 0, unequal));
    if order != Order::NotEqual {
        let (yes, no) = (distance(reversed, goes_on), distance(reversed, next_case));
        let greater = if straight { yes } else { no };
        reversed.push(jump(BPF_JGT, value_high, greater, 0));
    }
    reversed.push(load(high));
}

fn write_return(action: Action, reversed: &mut Vec<sock_filter>) {
    let value = match action {
        Action::Allow => SECCOMP_RET_ALLOW,
        Action::Log => SECCOMP_RET_LOG,
        Action::Trace(number) => SECCOMP_RET_TRACE | (u32::from(number) & SECCOMP_RET_DATA),
        Action::Trap => SECCOMP_RET_TRAP,
        Action::KillThread => SECCOMP_RET_KILL_THREAD,
        Action::Errno(errno) => SECCOMP_RET_ERRNO | (u32::from(errno) & SECCOMP_RET_DATA),
        Action::KillProcess => SECCOMP_RET_KILL_PROCESS,
    };
    reversed.push(instruction(BPF_RET | BPF_K, value));
}

/// Loads 32 bits of `seccomp_data`.
fn load(offset: usize) -> sock_filter {
    instruction(
        BPF_LD | BPF_W | BPF_ABS,
        u32::try_from(offset).expect("seccomp_data has 64 bytes"),
    )
}

fn instruction(code: u32, k: u32) -> sock_filter {
    sock_filter {
        code: short(code),
        jt: 0,
        jf: 0,
        k,
    }
}

/// Compares the accumulator with `k` and skips that many instructions.
fn jump(comparison: u32, k: u32, holds: u8, otherwise: u8) -> sock_filter {
    sock_filter {
        code: short(BPF_JMP | comparison | BPF_K),
        jt: holds,
        jf: otherwise,
        k,
    }
}

fn short(code: u32) -> u16 {
    u16::try_from(code).expect("BPF's codes have 8 bits")
}

#[cfg(test)]
mod tests;
