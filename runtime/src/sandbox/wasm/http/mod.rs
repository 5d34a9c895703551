//! Components that answer HTTP requests: `wasi:http/incoming-handler` 0.2, served on sockets that are open already.
//!
//! | module | subject |
//! |---|---|
//! | [`bounds`] | what a client and a guest may use up |
//! | [`server`] | threads, accepting, ending |
//! | [`connection`] | one connection: which protocol, how slow it may be |
//! | [`pace`] | how long an HTTP/2 client may take nothing and ask nothing |
//! | [`request`] | one request: an instance of its own, and its answer |
//! | [`body`] | bodies both ways, chunk by chunk |
//! | [`outgoing`] | requests of a guest to others |
//! | [`drain`] | the wish to finish what was begun and end |
//! | [`ticker`] | the clock by which guests take turns |
//!
//! Each request gets a fresh instance: `wasi:http` 0.2 promises a guest no more, and what one client's request left in
//! memory is no business of the next client's. An instance costs some tens of microseconds.

mod body;
mod bounds;
mod connection;
pub mod drain;
pub(super) mod outgoing;
mod pace;
mod request;
mod server;
mod ticker;

use wasmtime::Engine;
use wasmtime::component::types::Component;

pub use drain::Drain;
pub(super) use server::{Pool, Service, listeners, open_files};

/// What a component exports that answers requests.
const HANDLER: &str = "wasi:http/incoming-handler@0.2";

/// Does the component answer HTTP requests?
pub(super) fn is_service(component: &Component, engine: &Engine) -> bool {
    component
        .exports(engine)
        .any(|(name, _)| name.starts_with(HANDLER))
}
