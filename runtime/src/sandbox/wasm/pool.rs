//! Memory for the instances of a service, reserved at once.
//!
//! An instance for each request means memory, a table and a stack for each. Mapped anew they cost a dozen system calls and as many
//! page faults, which take longer than a short answer, and longer still when several threads change one address space. A
//! pool keeps the places of instances that have ended, puts their contents back to what a new instance finds, and gives them
//! to the next. It takes hundreds of gigabytes of addresses, so only services have one, and only where there are enough; and it
//! keeps what it has put back in memory, so it has few places. Who finds none free has its instance mapped anew.

use wasmtime::component::Component;
use wasmtime::{Config, Enabled, Engine, PoolingAllocationConfig};

use crate::sys;

/// How large a pool may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PoolSize {
    /// Instances at once.
    pub(super) places: u32,
    /// What of a memory is put back by writing over it, in bytes, and so stays. Beyond, it is given back to the system: that is
    /// dearer for little and cheaper for much.
    written_over: usize,
}

impl PoolSize {
    /// More instances at once than are at work at once: the others wait for something, and time matters less to them. What
    /// stays when all have ended is 32 MiB at most, and their stacks.
    pub(super) const AMPLE: Self = Self {
        places: 128,
        written_over: 256 << 10,
    };
    /// Where memory is limited, what stays must fit into what a process may have beside its guests' memory: it is 2 MiB.
    pub(super) const SMALL: Self = Self {
        places: 32,
        written_over: 64 << 10,
    };
}

/// Memories that an instance may have to get a pool. Each place reserves 4 GiB for each.
const MEMORIES: u32 = 8;
/// The same for tables, which reserve 8 MiB each.
const TABLES: u32 = 64;
/// Elements that a table of the pool may grow to.
const TABLE_ELEMENTS: usize = 1 << 20;
/// What of a table is put back by writing over it, in bytes.
const TABLE_WRITTEN_OVER: usize = 16 << 10;

/// Makes an engine with a pool for instances of this component. `None` if it needs too much, or there are too few addresses.
pub(super) fn engine(mut config: Config, component: &Component, size: PoolSize) -> Option<Engine> {
    let needed = component.resources_required()?;
    if needed.num_memories > MEMORIES || needed.num_tables > TABLES {
        return None;
    }
    // The heap of a program with garbage collection is a memory as well.
    let memories = needed.num_memories.checked_add(1)?;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_memories(size.places.checked_mul(memories)?)
        .total_tables(size.places.checked_mul(needed.num_tables)?)
        .table_elements(TABLE_ELEMENTS)
        .total_stacks(size.places)
        .total_gc_heaps(size.places)
        // These are only counted, and a limiter counts as well.
        .total_component_instances(u32::MAX)
        .total_core_instances(u32::MAX)
        .linear_memory_keep_resident(size.written_over)
        .table_keep_resident(TABLE_WRITTEN_OVER)
        .pagemap_scan(Enabled::Auto);
    config.allocation_strategy(pool);
    // It opens /proc/self/pagemap, by which the kernel says what a guest has written. An administrator's handle would say at
    // which physical address as well, also to a guest that has broken out of the first wall.
    sys::without_administration(|| Engine::new(&config).ok()).ok()?
}
