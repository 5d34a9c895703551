//! Who is told what a guest used, and what it was refused.

use super::Capability;

/// Is told each time something that a policy decides about was decided.
///
/// Called from the guest's calls, behind the second wall: an implementation may write to what is open, and neither opens
/// files nor waits. It is told of the same use again and again, and how often is the guest's choice, so it has to bound what it
/// keeps.
pub trait Observer: Send + Sync {
    /// The guest used what it was granted.
    fn used(&self, capability: &Capability);

    /// The guest was refused what it was not granted.
    fn refused(&self, capability: &Capability);
}

impl std::fmt::Debug for dyn Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Observer")
    }
}
