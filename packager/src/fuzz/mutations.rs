//! A short round of fuzzing with a fixed start, for every build: thousands of changes to valid inputs. `tests/fuzz.sh` does it
//! properly, with libFuzzer.

use super::{TARGETS, seeds};

/// Changed inputs of each target.
const ROUNDS: u64 = 4000;

/// The numbers of SplitMix64: the same in each run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ (number >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).expect("below a length")
    }
}

/// Changes some bytes, as damage and malice do.
fn mutate(data: &mut Vec<u8>, other: &[u8], numbers: &mut Numbers) {
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(data.len());
        let len = numbers.below(64).min(data.len() - at);
        match numbers.below(8) {
            0 if !data.is_empty() => data[at] ^= 1 << numbers.below(8),
            1 if !data.is_empty() => data[at] = numbers.next() as u8,
            2 => data.truncate(at),
            3 => drop(data.drain(at..at + len)),
            4 => {
                let piece = data[at..at + len].to_vec();
                data.splice(at..at, piece);
            }
            5 => {
                data[at..at + len].fill(*b"\0\xff09\x80{\"/".get(numbers.below(8)).expect("eight"))
            }
            6 => {
                let from = numbers.below(other.len());
                let piece = &other[from..(from + len).min(other.len())];
                data.splice(at..at, piece.iter().copied());
            }
            _ => {
                let numbers_of_note: [u64; 6] = [0, 1, 0x7f, 0x7fff_ffff, u64::MAX >> 1, u64::MAX];
                let bytes = numbers_of_note[numbers.below(6)].to_le_bytes();
                let len = (data.len() - at).min(1 << numbers.below(4));
                data[at..at + len].copy_from_slice(&bytes[..len]);
            }
        }
    }
}

#[test]
fn changed_inputs_break_no_promise() {
    for (name, target) in TARGETS {
        let seeds = seeds(name);
        assert!(!seeds.is_empty(), "{name}");
        let mut numbers = Numbers(7);
        target(b"");
        for seed in &seeds {
            target(seed);
        }
        for _ in 0..ROUNDS {
            let mut data = seeds[numbers.below(seeds.len())].clone();
            let other = &seeds[numbers.below(seeds.len())];
            mutate(&mut data, other, &mut numbers);
            let caught = std::panic::catch_unwind(|| target(&data));
            assert!(
                caught.is_ok(),
                "{name}: {:?}",
                data.escape_ascii().to_string()
            );
        }
    }
}
