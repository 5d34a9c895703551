//! A program for the kernel that decides on a cgroup's use of devices (`BPF_PROG_TYPE_CGROUP_DEVICE`).
//!
//! It reads the kind and the kind of use from one word and the numbers from two more, and asks the rules from the last to the first:
//! one that speaks about the device and about all of the use decides. Without any, it is refused.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Kinds of devices, and of use; `BPF_DEVCG_*` of `linux/bpf.h`.
pub(crate) const BLOCK: u32 = 1;
pub(crate) const CHARACTER: u32 = 2;
pub(crate) const MAKE: u32 = 1;
pub(crate) const READ: u32 = 2;
pub(crate) const WRITE: u32 = 4;

const PROG_LOAD: libc::c_long = 5;
const PROG_ATTACH: libc::c_long = 8;
const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
/// Groups inside may have a program of their own; all of them must agree.
const ALLOW_MULTI: u32 = 2;

/// One rule. `None` is any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) allow: bool,
    pub(crate) kind: Option<u32>,
    pub(crate) major: Option<u32>,
    pub(crate) minor: Option<u32>,
    /// [`MAKE`], [`READ`] and [`WRITE`].
    pub(crate) access: u32,
}

/// `struct bpf_insn`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instruction {
    code: u8,
    /// The source in the upper half, the destination in the lower.
    registers: u8,
    offset: i16,
    value: i32,
}

const fn instruction(
    code: u8,
    destination: u8,
    source: u8,
    offset: i16,
    value: i32,
) -> Instruction {
    Instruction {
        code,
        registers: source << 4 | destination,
        offset,
        value,
    }
}

/// Registers: what was asked for, the kind, the two numbers, and one to work with.
const ACCESS: u8 = 3;
const KIND: u8 = 2;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const SCRATCH: u8 = 6;

const LOAD_WORD: u8 = 0x61;
const MOVE_REGISTER: u8 = 0xbc;
const MOVE_VALUE: u8 = 0xb4;
const AND_VALUE: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const JUMP_UNEQUAL: u8 = 0x56;
const EXIT: u8 = 0x95;

fn program(rules: &[Rule]) -> Vec<Instruction> {
    // struct bpf_cgroup_dev_ctx: the use in the upper half of a word and the kind in the lower, then the numbers.
    let mut program = vec![
        instruction(LOAD_WORD, KIND, 1, 0, 0),
        instruction(AND_VALUE, KIND, 0, 0, 0xffff),
        instruction(LOAD_WORD, ACCESS, 1, 0, 0),
        instruction(SHIFT_RIGHT, ACCESS, 0, 0, 16),
        instruction(LOAD_WORD, MAJOR, 1, 4, 0),
        instruction(LOAD_WORD, MINOR, 1, 8, 0),
    ];
    for rule in rules.iter().rev() {
        let mut block = Vec::new();
        let all = MAKE | READ | WRITE;
        if rule.access & all != all {
            if rule.allow {
                // It allows what it names; a use beyond that is not its matter.
                block.push(instruction(MOVE_REGISTER, SCRATCH, ACCESS, 0, 0));
                block.push(instruction(
                    AND_VALUE,
                    SCRATCH,
                    0,
                    0,
                    (!rule.access & all) as i32,
                ));
                block.push(instruction(JUMP_UNEQUAL, SCRATCH, 0, 0, 0));
            } else {
                // It refuses each use that has a part it names: jumps over the refusal if there is none.
                block.push(instruction(MOVE_REGISTER, SCRATCH, ACCESS, 0, 0));
                block.push(instruction(
                    AND_VALUE,
                    SCRATCH,
                    0,
                    0,
                    (rule.access & all) as i32,
                ));
                block.push(instruction(JUMP_EQUAL, SCRATCH, 0, 0, 0));
            }
        }
        for (register, wanted) in [(KIND, rule.kind), (MAJOR, rule.major), (MINOR, rule.minor)] {
            if let Some(wanted) = wanted {
                block.push(instruction(JUMP_UNEQUAL, register, 0, 0, wanted as i32));
            }
        }
        block.push(instruction(MOVE_VALUE, 0, 0, 0, i32::from(rule.allow)));
        block.push(instruction(EXIT, 0, 0, 0, 0));
        let length = block.len();
        for (index, one) in block.iter_mut().enumerate() {
            if one.code == JUMP_UNEQUAL || one.code == JUMP_EQUAL {
                one.offset = i16::try_from(length - index - 1).unwrap_or(i16::MAX);
            }
        }
        program.extend(block);
    }
    program.push(instruction(MOVE_VALUE, 0, 0, 0, 0));
    program.push(instruction(EXIT, 0, 0, 0, 0));
    program
}

const JUMP_EQUAL: u8 = 0x16;

/// `union bpf_attr` for BPF_PROG_LOAD, as far as it is used.
#[repr(C)]
#[derive(Default)]
struct Load {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buffer: u64,
    kernel_version: u32,
    flags: u32,
}

/// The same for BPF_PROG_ATTACH.
#[repr(C)]
struct Attach {
    target: u32,
    program: u32,
    attach_type: u32,
    flags: u32,
}

/// Attaches the rules to a cgroup of version 2, as long as it exists.
pub(crate) fn attach(rules: &[Rule], directory: &OwnedFd) -> io::Result<()> {
    let program = program(rules);
    let load = Load {
        program_type: PROG_TYPE_CGROUP_DEVICE,
        instruction_count: u32::try_from(program.len()).map_err(io::Error::other)?,
        instructions: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        ..Load::default()
    };
    // SAFETY: BPF_PROG_LOAD reads as much of `load` as it is told, the instructions and the licence that it points to, and, without a
    // log, writes nothing.
    let loaded =
        unsafe { libc::syscall(libc::SYS_bpf, PROG_LOAD, &raw const load, size_of::<Load>()) };
    if loaded < 0 {
        return Err(io::Error::last_os_error());
    }
    let number = i32::try_from(loaded).map_err(io::Error::other)?;
    // SAFETY: it has just been made for us.
    let loaded = unsafe { OwnedFd::from_raw_fd(number) };
    let attach = Attach {
        target: directory.as_raw_fd() as u32,
        program: loaded.as_raw_fd() as u32,
        attach_type: ATTACH_CGROUP_DEVICE,
        flags: ALLOW_MULTI,
    };
    // SAFETY: BPF_PROG_ATTACH reads as much of `attach` as it is told.
    let attached = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            PROG_ATTACH,
            &raw const attach,
            size_of::<Attach>(),
        )
    };
    if attached < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a program as the kernel would.
    fn allows(program: &[Instruction], kind: u32, access: u32, major: u32, minor: u32) -> bool {
        let mut registers = [0_u32; 11];
        let mut at = 0;
        loop {
            let Instruction {
                code,
                registers: pair,
                offset,
                value,
            } = program[at];
            at += 1;
            let (to, from) = (usize::from(pair & 15), usize::from(pair >> 4));
            match code {
                LOAD_WORD => {
                    registers[to] = match offset {
                        0 => access << 16 | kind,
                        4 => major,
                        _ => minor,
                    }
                }
                MOVE_REGISTER => registers[to] = registers[from],
                MOVE_VALUE => registers[to] = value as u32,
                AND_VALUE => registers[to] &= value as u32,
                SHIFT_RIGHT => registers[to] >>= value,
                JUMP_UNEQUAL if registers[to] != value as u32 => at += offset as usize,
                JUMP_EQUAL if registers[to] == value as u32 => at += offset as usize,
                JUMP_UNEQUAL | JUMP_EQUAL => {}
                EXIT => return registers[0] != 0,
                code => panic!("{code:#x}"),
            }
        }
    }

    #[test]
    fn the_last_rule_that_fits_decides() {
        let rule = |allow, kind, major, minor, access| Rule {
            allow,
            kind,
            major,
            minor,
            access,
        };
        let program = program(&[
            rule(false, None, None, None, MAKE | READ | WRITE),
            rule(true, Some(CHARACTER), None, None, MAKE),
            rule(true, Some(CHARACTER), Some(1), Some(3), MAKE | READ | WRITE),
            rule(true, Some(BLOCK), Some(8), None, READ),
            rule(false, Some(BLOCK), Some(8), Some(1), READ),
        ]);
        assert!(allows(&program, CHARACTER, READ | WRITE, 1, 3));
        assert!(!allows(&program, CHARACTER, READ, 1, 4));
        assert!(allows(&program, CHARACTER, MAKE, 1, 4));
        assert!(!allows(&program, BLOCK, MAKE, 8, 0));
        assert!(allows(&program, BLOCK, READ, 8, 0));
        assert!(!allows(&program, BLOCK, READ | WRITE, 8, 0));
        assert!(!allows(&program, BLOCK, READ, 8, 1));
    }
}
