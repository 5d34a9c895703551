//! What an image asks for.

use coracle_packager::image::Image;
use coracle_runtime::policy::{DocumentError, Request};

/// What an image asks for, and what keeps it from being read.
#[derive(Clone, Debug, Default)]
pub struct Requested {
    /// What is asked for.
    pub request: Request,
    /// Why its label is not part of that, if it cannot be read. It grants nothing, so that the image can be run all the same.
    pub unread: Option<DocumentError>,
}

/// Reads what an image asks for: its label, and the ports and volumes that it names as Docker's images do.
pub fn request(image: &Image) -> Requested {
    let config = &image.config.config;
    let mut requested = Requested::default();
    if let Some(text) = config.labels.get(Request::LABEL) {
        match Request::parse(text) {
            Ok(request) => requested.request = request,
            Err(error) => requested.unread = Some(error),
        }
    }
    for path in config.volumes.keys() {
        requested.request.add_volume(path);
    }
    for port in config.exposed_ports.keys() {
        requested.request.add_port(port);
    }
    requested
}
