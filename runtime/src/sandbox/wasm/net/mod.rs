//! The network of one guest: every use of it is decided here, whichever version of WASI it came through.
//!
//! | module | subject |
//! |---|---|
//! | `resolver` | names to addresses, by what the system was set up with before the second wall |
//! | `known` | which addresses were told to the guest for which names |
//!
//! A guest that was granted no network has one all the same, which refuses everything: so a refusal can name what was
//! asked for. It costs nothing: no socket, file or task is made before something is allowed.

mod known;
mod resolver;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ClientConfig;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::known::Known;
pub(super) use self::resolver::ResolveError;
use self::resolver::Resolver;
use crate::policy::net::{Mode, NetPolicy, Protocol, Refusal, Scheme, Verdict, host_name};
use crate::policy::{Capability, Observer};
use crate::sandbox::wasm::http::outgoing;
use crate::spec::{ContainerSpec, Listener};

/// The network of one guest.
pub(super) struct Network {
    policy: NetPolicy,
    resolver: Resolver,
    known: Mutex<Known>,
    listeners: Mutex<Vec<Listener>>,
    observer: Option<Arc<dyn Observer>>,
    /// How HTTPS requests are made, if any may be.
    tls: Option<Arc<ClientConfig>>,
    requests: Arc<Semaphore>,
}

/// Most HTTP requests of a guest that are under way at once: each is a connection.
const MOST_REQUESTS: usize = 256;

impl Network {
    /// Collects what the policy needs of the host, before the second wall. `requests` says whether the guest sends HTTP
    /// requests.
    pub(super) fn new(spec: &ContainerSpec, requests: bool) -> Arc<Self> {
        let https = requests && spec.net.has(Scheme::Https);
        Arc::new(Self {
            policy: spec.net.clone(),
            resolver: Resolver::new(&spec.net),
            known: Mutex::default(),
            listeners: Mutex::new(spec.listeners.clone()),
            observer: spec.observer.clone(),
            tls: https.then(outgoing::tls).flatten(),
            requests: Arc::new(Semaphore::new(MOST_REQUESTS)),
        })
    }

    /// Is nothing kept from the guest?
    pub(super) fn is_host(&self) -> bool {
        self.policy.mode == Mode::Host
    }

    /// May the guest do this with anyone?
    pub(super) fn has(&self, scheme: Scheme) -> bool {
        self.policy.has(scheme)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        // It is whole after every statement that changes it.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn verdict(&self, scheme: Scheme, to: SocketAddr) -> (Verdict, Option<String>) {
        let known = self.known();
        let names = known.names(to.ip());
        let verdict = self.policy.connects(scheme, to, names.iter().copied());
        (verdict, names.last().map(|name| (*name).to_owned()))
    }

    /// Decides whether the guest may connect, or send a datagram, there; and tells it.
    pub(super) fn may_connect(&self, scheme: Scheme, to: SocketAddr) -> bool {
        let (verdict, name) = self.verdict(scheme, to);
        let host = match (verdict, name) {
            // What has to be granted then is the address itself.
            (Verdict::Refused(Refusal::Special(_) | Refusal::Private), _) | (_, None) => {
                to.ip().to_string()
            }
            (_, Some(name)) => name,
        };
        self.tell(
            verdict.allows(),
            &Capability::Connect {
                protocol: scheme,
                host,
                port: to.port(),
            },
        );
        verdict.allows()
    }

    /// Would a datagram from there be an answer to one that the guest may send?
    pub(super) fn may_answer(&self, from: SocketAddr) -> bool {
        self.verdict(Scheme::Udp, from).0.allows()
    }

    /// Looks a name up for the guest, and keeps what it is told.
    pub(super) async fn resolve(&self, text: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let name = self.may_resolve(text)?;
        let addresses = self.resolver.resolve(&name).await?;
        let mut known = self.known();
        for address in &addresses {
            known.add(*address, &name);
        }
        Ok(addresses)
    }

    /// Looks a name up that the guest sends a request to, and keeps what it is told. What has to be granted, if it may
    /// not, is the request.
    pub(super) async fn resolve_for(
        &self,
        scheme: Scheme,
        text: &str,
        port: u16,
    ) -> Result<Vec<IpAddr>, ResolveError> {
        let name = host_name(text).map_err(|_| ResolveError::Invalid)?;
        if !self.policy.resolves(&name) {
            let capability = Capability::Connect {
                protocol: scheme,
                host: name,
                port,
            };
            self.tell(false, &capability);
            return Err(ResolveError::Refused);
        }
        self.resolve(&name).await
    }

    /// Returns the right to one more request, as long as it is kept.
    pub(super) fn request(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.requests).try_acquire_owned().ok()
    }

    /// Returns how HTTPS requests are made.
    pub(super) fn tls(&self) -> Option<Arc<ClientConfig>> {
        self.tls.clone()
    }

    /// Decides whether the guest may look the name up; returns it as it is compared.
    pub(super) fn may_resolve(&self, text: &str) -> Result<String, ResolveError> {
        let name = host_name(text).map_err(|_| ResolveError::Invalid)?;
        let allowed = self.policy.resolves(&name);
        self.tell(allowed, &Capability::Dns { name: name.clone() });
        if allowed {
            Ok(name)
        } else {
            Err(ResolveError::Refused)
        }
    }

    /// Decides whether the guest may listen on a port. Returns the open socket behind it, which is then the guest's
    /// alone; `None` if it has to be opened, as only [`Mode::Host`] allows, or if the guest has it already.
    pub(super) fn listen(&self, protocol: Protocol, port: u16) -> Listen {
        let allowed = self.policy.listens(protocol, port).allows();
        self.tell(
            allowed,
            &Capability::Listen {
                protocol: match protocol {
                    Protocol::Tcp => Scheme::Tcp,
                    Protocol::Udp => Scheme::Udp,
                },
                port,
            },
        );
        if !allowed {
            return Listen::Refused;
        }
        if self.is_host() {
            return Listen::Open;
        }
        let mut listeners = self
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let found = listeners
            .iter()
            .position(|listener| listener.guest_port == port && listener.protocol() == protocol);
        match found {
            Some(index) => Listen::Take(listeners.remove(index)),
            None => Listen::InUse,
        }
    }

    /// Gives a port back that the guest has closed.
    pub(super) fn give_back(&self, listener: Listener) {
        let mut listeners = self
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        listeners.push(listener);
    }

    fn tell(&self, allowed: bool, capability: &Capability) {
        if let Some(observer) = &self.observer {
            if allowed {
                observer.used(capability);
            } else {
                observer.refused(capability);
            }
        }
    }
}

/// What becomes of a wish to listen.
pub(super) enum Listen {
    /// The policy says no.
    Refused,
    /// The guest listens there already.
    InUse,
    /// On this socket, which is open.
    Take(Listener),
    /// On a socket that has to be opened.
    Open,
}

#[cfg(test)]
mod tests;
