//! What happens to containers and images is written down for whoever wants to know.
//!
//! A run in the foreground writes nothing: it is over before most would look, and each system call would be a good part of it. What
//! it did is in its container's own record.

use std::collections::BTreeMap;
use std::io;

use coracle_runtime::container::Container;
use coracle_runtime::events::{Event, EventLog, EventWriter};
use jiff::Timestamp;

use super::{Engine, Error};

/// Makes an event of a container.
pub(super) fn of_container(container: &Container, action: &str, more: &[(&str, String)]) -> Event {
    let config = &container.config;
    let mut attributes: BTreeMap<String, String> = config.labels.clone();
    attributes.insert("image".to_owned(), config.image.clone());
    attributes.insert("name".to_owned(), config.name.to_string());
    for (name, value) in more {
        attributes.insert((*name).to_owned(), value.clone());
    }
    Event {
        time: Timestamp::now(),
        kind: "container".to_owned(),
        action: action.to_owned(),
        id: config.id.to_string(),
        attributes,
    }
}

impl Engine {
    fn event_log(&self) -> EventLog {
        EventLog::new(&self.root.join("events"))
    }

    /// Writes down what happened to a container. A disk that takes no more must not keep a container from being stopped: what
    /// cannot be written is left out.
    pub(super) fn tell(&self, container: &Container, action: &str, more: &[(&str, String)]) {
        self.tell_event(&of_container(container, action, more));
    }

    /// Writes down what happened to an image.
    pub(super) fn tell_image(&self, action: &str, name: &str) {
        self.tell_event(&Event {
            time: Timestamp::now(),
            kind: "image".to_owned(),
            action: action.to_owned(),
            id: name.to_owned(),
            attributes: BTreeMap::from([("name".to_owned(), name.to_owned())]),
        });
    }

    fn tell_event(&self, event: &Event) {
        if let Err(error) = self.event_log().add(event) {
            tracing::debug!(%error, action = event.action, "an event could not be written");
        }
    }

    /// Opens the events, for a process that will not be allowed to when it has something to tell.
    pub(super) fn event_writer(&self) -> Option<EventWriter> {
        self.event_log().writer().ok()
    }

    /// Shows what has happened, oldest first, and what happens from then on as long as `more` says so.
    ///
    /// # Errors
    ///
    /// What the file system or `show` says.
    pub fn events(
        &self,
        more: &mut dyn FnMut() -> bool,
        show: &mut dyn FnMut(Event) -> io::Result<()>,
    ) -> Result<(), Error> {
        self.event_log()
            .read(more, show)
            .map_err(|source| Error::File {
                doing: "reading the events in",
                path: self.root.join("events"),
                source,
            })
    }
}
