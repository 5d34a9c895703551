//! A small interpreter runs the program; a plain reading of the rules says what must come out.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::super::{Case, X32_BIT};
use super::*;

/// One call, as the kernel shows it to a filter.
#[derive(Clone, Copy, Debug)]
struct Call {
    number: u32,
    audit: u32,
    args: [u64; 6],
}

/// Runs a program; returns what it says and how many instructions that took.
fn run(program: &[sock_filter], call: &Call) -> (u32, usize) {
    let mut data = [0; 64];
    data[0..4].copy_from_slice(&call.number.to_le_bytes());
    data[4..8].copy_from_slice(&call.audit.to_le_bytes());
    for (place, arg) in data[16..].chunks_exact_mut(8).zip(call.args) {
        place.copy_from_slice(&arg.to_le_bytes());
    }
    let (mut accumulator, mut at) = (0_u32, 0_usize);
    for step in 1.. {
        let sock_filter { code, jt, jf, k } = program[at];
        at += 1;
        let decide = |holds: bool| usize::from(if holds { jt } else { jf });
        match u32::from(code) {
            code if code == BPF_LD | BPF_W | BPF_ABS => {
                let offset = k as usize;
                accumulator =
                    u32::from_le_bytes(data[offset..offset + 4].try_into().expect("four bytes"));
            }
            code if code == BPF_ALU | BPF_AND | BPF_K => accumulator &= k,
            code if code == BPF_JMP | BPF_JA => at += k as usize,
            code if code == BPF_JMP | BPF_JEQ | BPF_K => at += decide(accumulator == k),
            code if code == BPF_JMP | BPF_JGE | BPF_K => at += decide(accumulator >= k),
            code if code == BPF_JMP | BPF_JGT | BPF_K => at += decide(accumulator > k),
            code if code == BPF_RET | BPF_K => return (k, step),
            code => panic!("the kernel's list of seccomp instructions has no {code:#x}"),
        }
    }
    unreachable!("every program ends with a return");
}

/// What the rules say, read without any compiling.
fn meant(filter: &Filter, arch: Arch, call: &Call) -> Action {
    if call.audit != arch.audit || arch.numbers_end.is_some_and(|end| call.number >= end) {
        return filter.foreign;
    }
    let Some(rule) = filter.rules.get(&call.number) else {
        return filter.default;
    };
    let holds = |test: &Test| match *test {
        Test::Masked(m) => call.args[usize::from(m.arg)] & m.mask == m.value,
        Test::Compare { arg, order, value } => {
            let argument = call.args[usize::from(arg)];
            match order {
                Order::NotEqual => argument != value,
                Order::Less => argument < value,
                Order::LessOrEqual => argument <= value,
                Order::Greater => argument > value,
                Order::GreaterOrEqual => argument >= value,
            }
        }
    };
    let case = rule.cases.iter().find(|case| case.when.iter().all(holds));
    case.map_or(rule.otherwise, |case| case.then)
}

fn returned(action: Action) -> u32 {
    match action {
        Action::Allow => 0x7fff_0000,
        Action::Log => 0x7ffc_0000,
        Action::Trace(number) => 0x7ff0_0000 | u32::from(number),
        Action::Trap => 0x0003_0000,
        Action::KillThread => 0,
        Action::Errno(errno) => 0x0005_0000 | u32::from(errno),
        Action::KillProcess => 0x8000_0000,
    }
}

fn agrees(
    filter: &Filter,
    arch: Arch,
    program: &[sock_filter],
    call: &Call,
) -> Result<(), TestCaseError> {
    prop_assert_eq!(
        run(program, call).0,
        returned(meant(filter, arch, call)),
        "{:x?}",
        call
    );
    Ok(())
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        Just(Action::Allow),
        Just(Action::KillProcess),
        Just(Action::KillThread),
        Just(Action::Trap),
        Just(Action::Log),
        any::<u16>().prop_map(Action::Trace),
        (0..=4095_u16).prop_map(Action::Errno)
    ]
}

/// Few different words, so that masks, values and arguments meet.
fn word() -> impl Strategy<Value = u64> {
    const SPECIAL: [u64; 8] = [
        0,
        1,
        4,
        0xff,
        0xffff_ffff,
        0x1_0000_0000,
        0xffff_ffff_0000_0000,
        u64::MAX,
    ];
    prop_oneof![proptest::sample::select(SPECIAL.as_slice()), any::<u64>()]
}

fn rule() -> impl Strategy<Value = Rule> {
    let masked = (0..6_u8, word(), word()).prop_map(|(arg, mask, value)| {
        Test::Masked(Match {
            arg,
            mask,
            value: value & mask,
        })
    });
    let order = proptest::sample::select(
        [
            Order::NotEqual,
            Order::Less,
            Order::LessOrEqual,
            Order::Greater,
            Order::GreaterOrEqual,
        ]
        .as_slice(),
    );
    let compared = (0..6_u8, order, word()).prop_map(|(arg, order, value)| Test::Compare {
        arg,
        order,
        value,
    });
    let one = prop_oneof![masked, compared];
    let case = (vec(one, 0..4), action()).prop_map(|(when, then)| Case { when, then });
    (vec(case, 0..5), action()).prop_map(|(cases, otherwise)| Rule { cases, otherwise })
}

fn filter() -> impl Strategy<Value = Filter> {
    let constant = action().prop_map(Rule::from);
    let rules = btree_map(0..600_u32, prop_oneof![3 => constant, 1 => rule()], 0..200);
    (action(), action(), rules).prop_map(|(default, foreign, rules)| Filter {
        default,
        foreign,
        rules,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_program_says_what_the_rules_say(filter in filter(), args in vec(prop::array::uniform6(word()), 8)) {
        for arch in [Arch::X86_64, Arch::AARCH64] {
            let program = filter.compile(arch).expect("such rules compile");
            let edges = [0x3fff_ffff, 0x4000_0000, 0x4000_0001, 0x7fff_ffff, 0x8000_0000, u32::MAX];
            for number in (0..=600).chain(edges) {
                for args in &args {
                    agrees(&filter, arch, &program, &Call { number, audit: arch.audit, args: *args })?;
                }
            }
            // The same numbers by another architecture's entry: the rules must not count.
            for audit in [0x4000_0003, 0x4000_0028, 0, arch.audit ^ 1] {
                agrees(&filter, arch, &program, &Call { number: 0, audit, args: args[0] })?;
            }
        }
    }

    #[test]
    fn values_next_to_a_matching_one_are_told_apart(rule in rule(), call in 0..600_u32, bit in 0..64_u32) {
        let filter = Filter { default: Action::KillProcess, foreign: Action::KillProcess, rules: [(call, rule.clone())].into() };
        let program = filter.compile(Arch::X86_64).expect("such rules compile");
        for case in &rule.cases {
            let mut args = [0; 6];
            for one in &case.when {
                let (Test::Masked(Match { arg, value, .. }) | Test::Compare { arg, value, .. }) = *one;
                args[usize::from(arg)] = value;
            }
            let mut call = Call { number: call, audit: Arch::X86_64.audit, args };
            agrees(&filter, Arch::X86_64, &program, &call)?;
            for arg in 0..6 {
                call.args[arg] ^= 1 << bit;
                agrees(&filter, Arch::X86_64, &program, &call)?;
                call.args[arg] ^= 1 << bit;
            }
        }
    }
}

#[test]
fn a_tree_of_500_leaves_is_shallow() {
    let rules: BTreeMap<u32, Rule> = (0..500)
        .map(|call| (call, Action::Errno(call as u16).into()))
        .collect();
    let filter = Filter {
        default: Action::KillProcess,
        foreign: Action::KillProcess,
        rules,
    };
    let program = filter.compile(Arch::X86_64).expect("compiles");
    let steps = |number| {
        run(
            &program,
            &Call {
                number,
                audit: Arch::X86_64.audit,
                args: [0; 6],
            },
        )
        .1
    };
    let deepest = (0..600).map(steps).max().expect("some");
    // Three to check the architecture and load the number (the jump to the next one is jumped over), one to return, and for each of the 9 levels a comparison, on
    // the upper levels with a long jump behind it.
    assert!(deepest <= 3 + 1 + 9 + 4, "{deepest}");
    // A comparison and a return for each leaf, and the long jumps.
    assert!(program.len() <= 5 + 2 * 502 + 8, "{}", program.len());
}

#[test]
fn neighbours_with_the_same_answer_share_a_leaf() {
    let rules: BTreeMap<u32, Rule> = (10..200).map(|call| (call, Action::Allow.into())).collect();
    let filter = Filter {
        default: Action::Errno(1),
        foreign: Action::KillProcess,
        rules,
    };
    // Leaves: before, the rules, after, foreign: 4 returns, 3 comparisons, and 5 around them.
    assert_eq!(filter.compile(Arch::X86_64).expect("compiles").len(), 12);
    assert_eq!(
        filter.compile(Arch::AARCH64).expect("compiles").len(),
        5 + 5
    );
}

#[test]
fn each_architecture_has_rules_of_its_own() {
    let allows = |calls: &[u32]| Filter {
        default: Action::Errno(1),
        foreign: Action::KillProcess,
        rules: calls
            .iter()
            .map(|call| (*call, Action::Allow.into()))
            .collect(),
    };
    let many: Vec<u32> = (0..400).map(|number| number * 2).collect();
    let (first, second) = (allows(&many), allows(&[11, X32_BIT | 59]));
    let filters = [(Arch::X86_64_AND_X32, &second), (Arch::X86, &first)];
    let program = compile_all(&filters, Action::Trap).expect("compiles");
    let says = |audit, number| {
        let call = Call {
            number,
            audit,
            args: [0; 6],
        };
        run(&program, &call).0
    };
    assert_eq!(says(0xc000_003e, 11), returned(Action::Allow));
    assert_eq!(says(0xc000_003e, X32_BIT | 59), returned(Action::Allow));
    assert_eq!(says(0xc000_003e, 59), returned(Action::Errno(1)));
    assert_eq!(says(0x4000_0003, 12), returned(Action::Allow));
    assert_eq!(says(0x4000_0003, 11), returned(Action::Errno(1)));
    assert_eq!(says(0xc000_00b7, 11), returned(Action::Trap));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let compiled = |rule: Rule, call: u32| {
        let filter = Filter {
            default: Action::Allow,
            foreign: Action::Allow,
            rules: [(call, rule)].into(),
        };
        filter.compile(Arch::X86_64).expect_err("must be refused")
    };
    let when = |m: Match, times| Rule {
        cases: vec![Case {
            when: vec![Test::Masked(m); times],
            then: Action::Allow,
        }],
        otherwise: Action::Allow,
    };
    let wide = Match {
        arg: 5,
        mask: u64::MAX ^ (1 << 40 | 1 << 3),
        value: 0,
    };
    assert_eq!(
        compiled(
            when(
                Match {
                    arg: 6,
                    mask: 1,
                    value: 1
                },
                1
            ),
            7
        ),
        CompileError::Argument { call: 7, arg: 6 }
    );
    assert_eq!(
        compiled(
            when(
                Match {
                    arg: 0,
                    mask: 1,
                    value: 3
                },
                1
            ),
            7
        ),
        CompileError::NeverHolds {
            call: 7,
            mask: 1,
            value: 3
        }
    );
    assert_eq!(
        compiled(when(wide, 42), 7),
        CompileError::TooManyMatches {
            call: 7,
            matches: 42
        }
    );
    assert_eq!(
        compiled(Action::Errno(4096).into(), 7),
        CompileError::Errno {
            call: 7,
            errno: 4096
        }
    );
    assert_eq!(
        compiled(Action::Allow.into(), 0x4000_0000),
        CompileError::ForeignNumber { call: 0x4000_0000 }
    );

    let longest = when(wide, 41);
    let filter = Filter {
        default: Action::Allow,
        foreign: Action::Allow,
        rules: (0..100).map(|n| (2 * n, longest.clone())).collect(),
    };
    assert!(matches!(
        filter.compile(Arch::X86_64),
        Err(CompileError::TooLong {
            instructions: 24_000..
        })
    ));
}
