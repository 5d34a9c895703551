//! HTTP: what a guest asks of others goes through here; what others ask of it comes from the service.

use std::future::Future;
use std::sync::Arc;

use http::{Request, Response};
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

use super::Guest;
use crate::sandbox::wasm::http::outgoing;
use crate::sandbox::wasm::net::Network;

/// A guest's HTTP.
pub(super) struct Http {
    ctx: WasiHttpCtx,
    outgoing: Outgoing,
}

impl Http {
    pub(super) fn new(network: Arc<Network>) -> Self {
        Self {
            ctx: WasiHttpCtx::new(),
            outgoing: Outgoing(network),
        }
    }
}

/// Requests of the guest.
struct Outgoing(Arc<Network>);

type Sending<T> = Box<dyn Future<Output = Result<T, Error>> + Send>;

impl WasiHttpHooks for Outgoing {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _answered: Sending<()>,
    ) -> Sending<(Response<WasiBody>, Sending<()>)> {
        Box::new(outgoing::send(Arc::clone(&self.0), request, options))
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.http.outgoing,
            table: &mut self.table,
            ctx: &mut self.http.ctx,
        }
    }
}
