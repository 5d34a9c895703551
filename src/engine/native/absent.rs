//! What stands for Linux containers where there is no Linux kernel: nothing can be made of it.

use std::convert::Infallible;

use coracle_runtime::container::Container;

use super::{Engine, Error};

/// What a Linux container is started with.
pub(super) type Ready = Infallible;

/// What a Linux container's process leaves to others when it is killed.
pub(super) struct Left;

impl Left {
    /// There is nothing.
    pub(super) fn clear(self) {}
}

impl Engine {
    /// No container here has processes that could be halted one by one.
    pub(super) fn freeze(&self, _container: &Container, _frozen: bool) -> Result<(), Error> {
        Ok(())
    }

    /// Returns what is left when the container's process is killed.
    pub(super) fn left_by(&self, _container: &Container) -> Left {
        Left
    }
}
