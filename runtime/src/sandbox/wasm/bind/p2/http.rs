//! HTTP: what a guest asks of others goes through here; what others ask of it comes from the service.

use std::future::Future;

use http::{Request, Response};
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

use super::Guest;

/// A guest's HTTP.
#[derive(Default)]
pub(super) struct Http {
    ctx: WasiHttpCtx,
    outgoing: Outgoing,
}

/// Requests of the guest: there is no network that they could take.
#[derive(Default)]
struct Outgoing;

type Sending<T> = Box<dyn Future<Output = Result<T, Error>> + Send>;

impl WasiHttpHooks for Outgoing {
    fn send_request(
        &mut self,
        _request: Request<WasiBody>,
        _options: Option<RequestOptions>,
        _answered: Sending<()>,
    ) -> Sending<(Response<WasiBody>, Sending<()>)> {
        Box::new(async { Err(Error::HttpRequestDenied) })
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
