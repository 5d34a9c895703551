//! Bounds on what a guest makes the host allocate.

use wasmtime::ResourceLimiter;

/// Tables of a guest together, in elements of a pointer's size: 10 million function references are 80 MB of the host.
const TABLE_ELEMENTS: usize = 10_000_000;
/// Core instances of a guest. The largest components that we met have a few dozen.
const INSTANCES: usize = 1_000;
/// Linear memories of a guest; each one may reserve 4 GiB of addresses.
const MEMORIES: usize = 100;

/// Counts memories and tables of a whole store, and says no at the limit: the guest's `memory.grow` then fails.
#[derive(Debug)]
pub(super) struct Limiter {
    memory_left: usize,
    elements_left: usize,
}

impl Limiter {
    /// Makes a limiter; without `memory_bytes`, memory ends where WebAssembly or the host ends it.
    pub(super) fn new(memory_bytes: Option<u64>) -> Self {
        let memory_left = memory_bytes.map_or(usize::MAX, |bytes| {
            usize::try_from(bytes).unwrap_or(usize::MAX)
        });
        Self {
            memory_left,
            elements_left: TABLE_ELEMENTS,
        }
    }
}

fn take(left: &mut usize, current: usize, desired: usize, maximum: Option<usize>) -> bool {
    // A growth beyond the guest's own maximum fails anyway, and must not be counted.
    let allowed = maximum.is_none_or(|maximum| desired <= maximum);
    match left.checked_sub(desired.saturating_sub(current)) {
        Some(rest) if allowed => {
            *left = rest;
            true
        }
        _ => false,
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(take(&mut self.memory_left, current, desired, maximum))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(take(&mut self.elements_left, current, desired, maximum))
    }

    fn instances(&self) -> usize {
        INSTANCES
    }

    fn memories(&self) -> usize {
        MEMORIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_share_one_limit() {
        let mut limiter = Limiter::new(Some(3 << 16));
        let mut grow = |current: usize, desired: usize, maximum| {
            limiter
                .memory_growing(current << 16, desired << 16, maximum)
                .expect("the limiter does not fail")
        };
        assert!(grow(0, 2, None));
        assert!(!grow(0, 2, None), "the second memory would go beyond");
        assert!(!grow(2, 3, Some(2 << 16)), "beyond its own maximum");
        assert!(grow(2, 3, None), "the refused ones are not counted");
        assert!(!grow(3, 4, None));
    }
}
