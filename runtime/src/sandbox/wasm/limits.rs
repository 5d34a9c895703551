//! Bounds on what a guest makes the host allocate.
//!
//! | what | bound |
//! |---|---|
//! | memories, tables, garbage-collected heaps | [`Limiter`], all from one account when there is a limit on memory |
//! | their number, and that of instances | constants below |
//! | what one call hands to the host | [`host_buffer`] for components; modules' buffers are used in place |
//! | what the host keeps for a guest | [`resources`] for components; open files, [`LISTED`] for both |

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wasmtime::ResourceLimiter;

use crate::policy::Limits;
use crate::policy::quantity::Size;
use crate::vfs::DirEntry;

/// Tables of a guest together, in elements of a pointer's size: 10 million function references are 80 MB of the host.
const TABLE_ELEMENTS: usize = 10_000_000;
/// What an element takes of the host, in bytes.
const ELEMENT: usize = size_of::<usize>();
/// Core instances of a guest. The largest components that we met have a few dozen.
const INSTANCES: usize = 1_000;
/// Tables of a guest. A compiled program has one, a component some for each of its instances.
const TABLES: usize = 10_000;
/// Linear memories of a guest; each one may reserve 4 GiB of addresses.
const MEMORIES: usize = 100;

/// What a component may hand to the host in one call, in bytes: wasmtime's own bound.
const HOST_BUFFER: usize = 128 << 20;
/// The same where memory is limited: a quarter of what the host may need beside the guest's memory. Programs write in
/// pieces of 64 KiB at most, because `check-write` tells them to.
const SMALL_HOST_BUFFER: usize = 4 << 20;
/// Streams, pollables, errors and other small things that a component may hold besides open files. They cost the host some
/// hundred bytes each.
const RESOURCES: usize = 100_000;
/// The same where memory is limited, in bytes of that memory for each: a host's hundred bytes must not be a guest's way
/// around its limit.
const MEMORY_PER_RESOURCE: u64 = 16 << 10;
/// And yet so many: the poll loop of a busy server.
const LEAST_RESOURCES: usize = 4_096;

/// Directories that a guest is listing are kept by the host until it is done. Several at once may take so much, in bytes; a
/// single one may be of any size.
pub(super) const LISTED: usize = 4 << 20;

/// Returns what a listing takes of the host, in bytes.
pub(super) fn listed(entries: &[DirEntry]) -> usize {
    entries.iter().fold(0_usize, |sum, entry| {
        sum.saturating_add(size_of::<DirEntry>())
            .saturating_add(entry.name.len())
    })
}

/// What a component may hand to the host in one call, in bytes.
pub(super) fn host_buffer(limits: &Limits) -> usize {
    if limits.memory.is_some() {
        SMALL_HOST_BUFFER
    } else {
        HOST_BUFFER
    }
}

/// How many things a component may hold in the host besides open files.
pub(super) fn resources(limits: &Limits) -> usize {
    limits.memory.map_or(RESOURCES, |memory| {
        usize::try_from(memory.bytes() / MEMORY_PER_RESOURCE)
            .unwrap_or(usize::MAX)
            .clamp(LEAST_RESOURCES, RESOURCES)
    })
}

/// What is left of a container's memory, in bytes. All that run in it share one.
#[derive(Clone, Debug)]
pub(super) struct Account(Arc<AtomicUsize>);

impl Account {
    /// Opens an account, if there is a limit.
    pub(super) fn new(memory: Option<Size>) -> Option<Self> {
        let bytes = usize::try_from(memory?.bytes()).unwrap_or(usize::MAX);
        Some(Self(Arc::new(AtomicUsize::new(bytes))))
    }

    fn take(&self, bytes: usize) -> bool {
        let rest = |left: usize| left.checked_sub(bytes);
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest)
            .is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Counts memories and tables of a whole store, and says no at the limit: the guest's `memory.grow` then fails.
#[derive(Debug)]
pub(super) struct Limiter {
    /// `None` is no limit.
    account: Option<Account>,
    /// Bytes that this store has taken from it.
    taken: usize,
    elements_left: usize,
    refused: bool,
}

impl Limiter {
    /// Makes a limiter; without a size, memory ends where WebAssembly or the host ends it.
    pub(super) fn new(memory: Option<Size>) -> Self {
        Self::sharing(Account::new(memory))
    }

    /// Makes a limiter on an account that others may use as well.
    pub(super) fn sharing(account: Option<Account>) -> Self {
        Self {
            account,
            taken: 0,
            elements_left: TABLE_ELEMENTS,
            refused: false,
        }
    }

    /// Was the guest refused memory, because it would have gone beyond its limit?
    pub(super) fn has_refused(&self) -> bool {
        self.refused
    }

    /// Takes bytes from the account, if there is one.
    fn charge(&mut self, bytes: usize) -> bool {
        let Some(account) = &self.account else {
            return true;
        };
        if account.take(bytes) {
            self.taken = self.taken.saturating_add(bytes);
            true
        } else {
            self.refused = true;
            false
        }
    }
}

impl Drop for Limiter {
    fn drop(&mut self) {
        if let Some(account) = &self.account {
            account.give_back(self.taken);
        }
    }
}

/// Is it within the guest's own maximum? A growth beyond it fails anyway, and must not be counted.
fn within(desired: usize, maximum: Option<usize>) -> bool {
    maximum.is_none_or(|maximum| desired <= maximum)
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(within(desired, maximum) && self.charge(desired.saturating_sub(current)))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let elements = desired.saturating_sub(current);
        let Some(rest) = self.elements_left.checked_sub(elements) else {
            return Ok(false);
        };
        let allowed = within(desired, maximum) && self.charge(elements.saturating_mul(ELEMENT));
        if allowed {
            self.elements_left = rest;
        }
        Ok(allowed)
    }

    fn instances(&self) -> usize {
        INSTANCES
    }

    fn tables(&self) -> usize {
        TABLES
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
        let mut limiter = Limiter::new(Some(Size::from_bytes(3 << 16)));
        let mut grow = |current: usize, desired: usize, maximum| {
            limiter
                .memory_growing(current << 16, desired << 16, maximum)
                .expect("the limiter does not fail")
        };
        assert!(grow(0, 2, None));
        assert!(!grow(2, 3, Some(2 << 16)), "beyond its own maximum");
        assert!(grow(2, 3, None), "the refused one is not counted");
        assert!(!limiter.has_refused(), "a module's own maximum is no limit");
        assert!(
            !limiter
                .memory_growing(0, 1 << 16, None)
                .expect("the limiter does not fail"),
            "the second memory goes beyond"
        );
        assert!(limiter.has_refused());
    }

    #[test]
    fn what_one_store_took_another_gets_after_its_end() {
        let account = Account::new(Some(Size::from_bytes(3 << 16)));
        let grow = |limiter: &mut Limiter| {
            limiter
                .memory_growing(0, 2 << 16, None)
                .expect("the limiter does not fail")
        };
        let mut first = Limiter::sharing(account.clone());
        assert!(grow(&mut first));
        let mut second = Limiter::sharing(account);
        assert!(!grow(&mut second));
        drop(first);
        assert!(grow(&mut second));
    }

    #[test]
    fn tables_take_from_the_same_account() {
        let grow = |limiter: &mut Limiter, current, desired| {
            limiter
                .table_growing(current, desired, None)
                .expect("the limiter does not fail")
        };
        let mut limiter = Limiter::new(Some(Size::from_bytes(1 << 16)));
        let most = (1 << 16) / ELEMENT;
        assert!(!grow(&mut limiter, 0, most + 1));
        assert!(grow(&mut limiter, 0, most));
        assert!(!limiter.memory_growing(0, 1, None).expect("it answers"));
        let mut unlimited = Limiter::new(None);
        assert!(!grow(&mut unlimited, 0, TABLE_ELEMENTS + 1));
        assert!(grow(&mut unlimited, 0, TABLE_ELEMENTS));
        assert!(!unlimited.has_refused());
    }

    #[test]
    fn what_the_host_keeps_shrinks_with_the_limit() {
        let with = |memory: &str| Limits {
            memory: Some(memory.parse().expect("a size")),
            ..Limits::default()
        };
        assert_eq!(resources(&Limits::default()), RESOURCES);
        assert_eq!(resources(&with("16m")), LEAST_RESOURCES);
        assert_eq!(resources(&with("256m")), 16_384);
        assert_eq!(resources(&with("64g")), RESOURCES);
        assert!(host_buffer(&with("64g")) < host_buffer(&Limits::default()));
    }
}
