//! Systems without background containers.

use std::io;

use coracle_runtime::container::Container;

use super::{Commands, Watching};
use crate::engine::{Engine, Error};

impl Engine {
    /// Refuses: not supported on this system yet.
    ///
    /// # Errors
    ///
    /// Always.
    pub fn watch_over(
        &self,
        container: Container,
        _commands: Commands<'_>,
        _started: &mut dyn FnMut(),
    ) -> Result<Watching, Error> {
        Err(Error::File {
            doing: "watching over the container in",
            path: container.folder(),
            source: io::ErrorKind::Unsupported.into(),
        })
    }
}
