//! What a process uses up.

use std::time::Duration;

/// What a process uses up, or several do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The kernel's letter for what it does: `R` runs, `S` and `D` wait, `T` is halted, `Z` has ended.
    pub state: char,
    /// The process that started it.
    pub parent: u32,
    /// Processor time so far.
    pub cpu: Duration,
    /// How many threads it has.
    pub threads: u64,
    /// When it was started, since the machine was.
    pub started: Duration,
    /// Memory that it has in use now, what it shares with others included, in bytes.
    pub memory: u64,
    /// What it has read from disks so far, in bytes.
    pub read: u64,
    /// What it has written to disks so far, in bytes.
    pub written: u64,
}

impl Usage {
    /// Adds what another process uses up.
    pub fn add(&mut self, other: Self) {
        self.cpu = self.cpu.saturating_add(other.cpu);
        self.threads = self.threads.saturating_add(other.threads);
        self.memory = self.memory.saturating_add(other.memory);
        self.read = self.read.saturating_add(other.read);
        self.written = self.written.saturating_add(other.written);
    }
}
