//! The network of a container: what is asked for, and the ports that are opened for it.

use coracle_packager::image::Image;
use coracle_runtime::container::PortConfig;
use coracle_runtime::policy::net::{Exposed, NetPolicy, PortRange, Publish};
use coracle_runtime::spec::Listener;

use super::Error;

/// What is granted of the network.
#[derive(Clone, Debug, Default)]
pub struct NetworkRequest {
    /// The grants.
    pub policy: NetPolicy,
    /// Ports that the guest listens on, besides those that the image says.
    pub exposed: Vec<Exposed>,
    /// Is each of them given a free port of the host?
    pub publish_all: bool,
    /// The container whose network it has, if another's.
    pub join: Option<String>,
}

/// The network of one container, with its ports open.
pub(super) struct Network {
    pub(super) policy: NetPolicy,
    pub(super) ports: Vec<PortConfig>,
    pub(super) listeners: Vec<Listener>,
}

/// Opens the ports that are granted, and says which they are.
pub(super) fn open(image: &Image, request: NetworkRequest) -> Result<Network, Error> {
    let NetworkRequest {
        mut policy,
        mut exposed,
        publish_all,
        join: _,
    } = request;
    // What an image says and is no port, only this image's user misses.
    let by_image = image
        .config
        .config
        .exposed_ports
        .keys()
        .filter_map(|text| text.parse::<Exposed>().ok());
    exposed.extend(by_image);
    if publish_all {
        let published: Vec<_> = policy.publish.clone();
        let new = exposed
            .iter()
            .filter(|exposed| !published.iter().any(|publish| covers(publish, exposed)));
        policy.publish.extend(new.copied().map(Publish::from));
        policy.settle();
    }
    let mut listeners = Vec::new();
    for publish in &policy.publish {
        listeners.extend(Listener::open(publish)?);
    }
    let mut ports: Vec<_> = listeners
        .iter()
        .map(|listener| PortConfig {
            guest: listener.guest_port,
            protocol: listener.protocol().to_string(),
            host: Some(listener.address),
        })
        .collect();
    let hidden = exposed.iter().filter(|exposed| {
        !policy
            .publish
            .iter()
            .any(|publish| covers(publish, exposed))
    });
    for exposed in hidden {
        // A range is listed as its ports, and no image has so many that it means them.
        ports.extend(
            exposed
                .ports
                .ports()
                .take(MOST_EXPOSED)
                .map(|guest| PortConfig {
                    guest,
                    protocol: exposed.protocol.to_string(),
                    host: None,
                }),
        );
    }
    ports.sort_by(|a, b| (a.guest, &a.protocol).cmp(&(b.guest, &b.protocol)));
    ports.dedup();
    Ok(Network {
        policy,
        ports,
        listeners,
    })
}

/// Opens the ports of a container that was created before, where it was said that they are.
pub(super) fn reopen(ports: &[PortConfig]) -> Result<Vec<Listener>, Error> {
    let mut listeners = Vec::new();
    for port in ports {
        let publish = || {
            let host = port.host?;
            let guest: Exposed = format!("{}/{}", port.guest, port.protocol).parse().ok()?;
            Some(Publish {
                ip: Some(host.ip()),
                host: Some(PortRange::one(host.port())?),
                guest: guest.ports,
                protocol: guest.protocol,
            })
        };
        // The others were only said, not opened.
        if let Some(publish) = publish() {
            listeners.extend(Listener::open(&publish)?);
        }
    }
    Ok(listeners)
}

/// Most ports of one range that are listed without being open.
const MOST_EXPOSED: usize = 64;

fn covers(publish: &Publish, exposed: &Exposed) -> bool {
    publish.protocol == exposed.protocol
        && publish.guest.contains(exposed.ports.first())
        && exposed
            .ports
            .ports()
            .all(|port| publish.guest.contains(port))
}
