//! One request: an instance of its own, and its answer.

use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use http::uri::Authority;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};
use wasmtime::{Store, UpdateDeadline};
use wasmtime_wasi_http::WasiHttpView as _;
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};

use super::body::{Answer, Guest, Sent, Written};
use super::bounds::{AFTERWORK, TURN_TIME};
use super::server::Pool;
use super::ticker::Ticker;
use crate::sandbox::wasm::bind::p2;
use crate::sandbox::wasm::bind::preopen::Start;
use crate::sandbox::wasm::exit::{Interrupted, Outcome, outcome};
use crate::sandbox::wasm::interrupt::Interrupt;
use crate::sandbox::wasm::limits::{Account, Limiter, host_buffer};
use crate::sandbox::wasm::net::Network;
use crate::sandbox::wasm::stdio::Output;
use crate::sandbox::wasm::throttle::Throttle;
use crate::spec::ContainerSpec;

/// All that it takes to answer a request, the same on all threads.
pub(super) struct Common {
    pub(super) proxy: ProxyPre<p2::Guest>,
    pub(super) pool: Option<Pool>,
    pub(super) streams: p2::Streams,
    pub(super) spec: ContainerSpec,
    pub(super) preopens: Vec<(&'static str, Start)>,
    pub(super) network: Arc<Network>,
    pub(super) interrupt: Option<Interrupt>,
    pub(super) turns: Arc<Semaphore>,
    pub(super) ticker: Ticker,
    /// The memory of all guests together, where it is limited.
    pub(super) memory: Option<Account>,
    /// The account of all guests together, where they have less than a processor.
    pub(super) throttle: Option<Mutex<Throttle>>,
    pub(super) errors: Output,
}

impl Common {
    /// Returns how long all must rest to stay within their share of a processor.
    fn owed(&self) -> Duration {
        let Some(throttle) = &self.throttle else {
            return Duration::ZERO;
        };
        throttle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .settle()
    }
}

/// Lets others have their turn.
async fn next_turn(owed: Duration) {
    if owed.is_zero() {
        // tokio's own way to wait: before this guest's next turn it looks for what has come from outside.
        yield_now().await;
    } else {
        sleep(owed).await;
    }
}

/// One thread's. Whoever answers a request holds it, so that the thread learns when nobody does any more.
pub(super) struct Handler {
    common: Arc<Common>,
    _alive: mpsc::Sender<Infallible>,
}

/// What the guest passed to `response-outparam.set`.
type Set = Result<Response<Written>, ErrorCode>;
type Run = Pin<Box<dyn Future<Output = wasmtime::Result<()>> + Send>>;

impl Handler {
    /// Makes one; the receiver of `alive` learns when it is gone.
    pub(super) fn new(common: Arc<Common>, alive: mpsc::Sender<Infallible>) -> Self {
        Self {
            common,
            _alive: alive,
        }
    }

    /// Answers a request. Dropping the future ends the guest.
    pub(super) async fn answer(
        self: Arc<Self>,
        mut request: Request<Incoming>,
        local: SocketAddr,
    ) -> Result<Response<Answer>, Infallible> {
        if let Err(message) = complete(&mut request, local) {
            return Ok(plain(StatusCode::BAD_REQUEST, message));
        }
        let Some(turn) = self.turn().await else {
            let mut refusal = plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many requests at once\n",
            );
            let later = HeaderValue::from(TURN_TIME.as_secs());
            refusal.headers_mut().insert(header::RETRY_AFTER, later);
            return Ok(refusal);
        };
        let head = request.method() == Method::HEAD;
        let what = What(request.method().clone(), request.uri().path().to_owned());
        let (sender, mut receiver) = oneshot::channel();
        let mut guest: Run = Box::pin(Arc::clone(&self).guest(request, sender, turn));
        // On this task as long as possible: most guests are done before anything has to wait, and their answer then leaves in
        // one piece.
        let (ended, set) = poll_fn(|context| {
            let ended = guest.as_mut().poll(context);
            match (ended, Pin::new(&mut receiver).poll(context)) {
                (Poll::Pending, Poll::Pending) => Poll::Pending,
                (Poll::Pending, Poll::Ready(set)) => Poll::Ready((None, set.ok())),
                (Poll::Ready(ended), Poll::Ready(Ok(set))) => Poll::Ready((Some(ended), Some(set))),
                (Poll::Ready(ended), _) => Poll::Ready((Some(ended), None)),
            }
        })
        .await;
        Ok(match (ended, set) {
            (Some(Err(error)), set) => {
                drop(set);
                self.tell(&what, &error);
                broken()
            }
            (_, Some(Err(code))) => {
                self.say(&what, &format!("the guest answered with the error {code}"));
                broken()
            }
            (Some(Ok(())), Some(Ok(response))) => response.map(Answer::of_ended),
            (Some(Ok(())), None) => {
                self.say(&what, &"the guest ended without an answer");
                broken()
            }
            (None, Some(Ok(response))) => self.running(what, guest, response, head),
            // Its future is not done, so the sender's drop means that the guest let go of it.
            (None, None) => {
                self.say(&what, &"the guest gave its answer away");
                broken()
            }
        })
    }

    /// Waits for the right to have an instance; not forever.
    async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        let owed = self.common.owed();
        if !owed.is_zero() {
            sleep(owed).await;
        }
        if let Ok(turn) = Arc::clone(&self.common.turns).try_acquire_owned() {
            return Some(turn);
        }
        let turn = timeout(TURN_TIME, Arc::clone(&self.common.turns).acquire_owned());
        turn.await.ok()?.ok()
    }

    /// Runs the guest's function in an instance of its own.
    async fn guest(
        self: Arc<Self>,
        request: Request<Incoming>,
        sender: oneshot::Sender<Set>,
        turn: OwnedSemaphorePermit,
    ) -> wasmtime::Result<()> {
        let _busy = self.common.ticker.busy();
        let _turn = turn;
        // A place is free again when the store is gone.
        let pool = self.common.pool.as_ref();
        let place = pool.and_then(|pool| Arc::clone(&pool.places).try_acquire_owned().ok());
        let proxy = match pool.filter(|_| place.is_some()) {
            Some(pool) => &pool.proxy,
            None => &self.common.proxy,
        };
        let mut store = self.store(proxy)?;
        let mut http = store.data_mut().http();
        let request = http.new_incoming_request(Scheme::Http, request.map(Sent::new))?;
        let answer = http.new_response_outparam(sender)?;
        let proxy = proxy.instantiate_async(&mut store).await?;
        let handler = proxy.wasi_http_incoming_handler();
        handler.call_handle(&mut store, request, answer).await
    }

    fn store(&self, proxy: &ProxyPre<p2::Guest>) -> wasmtime::Result<Store<p2::Guest>> {
        let common = &*self.common;
        let mut guest = p2::Guest::new(
            &common.spec,
            common.preopens.clone(),
            common.streams.clone(),
            Arc::clone(&common.network),
        );
        guest.limiter = Limiter::sharing(common.memory.clone());
        let mut store = Store::new(proxy.engine(), guest);
        store.limiter(|guest| &mut guest.limiter);
        store.set_hostcall_fuel(host_buffer(&common.spec.limits));
        if let Some(fuel) = common.spec.limits.fuel {
            store.set_fuel(fuel)?;
        }
        store.set_epoch_deadline(1);
        let common = Arc::clone(&self.common);
        store.epoch_deadline_callback(move |_| match &common.interrupt {
            Some(interrupt) if interrupt.is_raised() => Err(Interrupted.into()),
            _ => Ok(UpdateDeadline::YieldCustom(
                1,
                Box::pin(next_turn(common.owed())),
            )),
        });
        Ok(store)
    }

    /// Sends the answer of a guest that has not ended yet.
    fn running(
        self: Arc<Self>,
        what: What,
        guest: Run,
        response: Response<Written>,
        head: bool,
    ) -> Response<Answer> {
        let trapped = Arc::new(AtomicBool::new(false));
        let (handler, flag) = (self, Arc::clone(&trapped));
        let task = tokio::spawn(async move {
            if let Err(error) = guest.await {
                flag.store(true, Ordering::Release);
                handler.tell(&what, &error);
            }
        });
        let guest = Guest::new(task, trapped);
        if !head {
            return response.map(|body| Answer::of_running(body, guest));
        }
        // Nobody wants the body, and a guest that found that out in the middle of it would take it for a failure.
        let (parts, body) = response.into_parts();
        let mut body = Answer::of_running(body, guest);
        let rest = async move { while let Some(Ok(_)) = body.frame().await {} };
        // No client is there any more whose going would end it.
        tokio::spawn(timeout(AFTERWORK, rest));
        Response::from_parts(parts, Answer::of(""))
    }

    /// Tells how a guest ended that did not return.
    fn tell(&self, what: &What, error: &wasmtime::Error) {
        match outcome(error) {
            Outcome::Trapped { message } => {
                self.say(what, &format!("the guest trapped: {message}"))
            }
            Outcome::Exited(code) => self.say(what, &format!("the guest exited with code {code}")),
            // Everyone ends then.
            _ => {}
        }
    }

    /// Writes a line to the guest's standard error, as a server writes its log.
    fn say(&self, what: &What, message: &dyn fmt::Display) {
        let line = format!("{what}: {message}\n");
        // A log that nobody reads is no reason to end.
        self.common
            .errors
            .write(&[IoSlice::new(line.as_bytes())])
            .ok();
    }
}

/// A request as the log names it.
struct What(Method, String);

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.1.escape_default())
    }
}

/// Sees to it that the request says whom it is for: the guest's `authority` is never empty.
fn complete(request: &mut Request<Incoming>, local: SocketAddr) -> Result<(), &'static str> {
    if request.uri().authority().is_some() {
        return Ok(());
    }
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match hosts.next() {
        // RFC 9112, 3.2: one, and a valid one, or whoever stands before us may take the request for another host's.
        Some(host) if hosts.next().is_none() && Authority::try_from(host.as_bytes()).is_ok() => {
            Ok(())
        }
        Some(_) => Err("the Host header is invalid\n"),
        // RFC 9112, 3.2; older clients need not say it.
        None if request.version() >= Version::HTTP_11 => Err("the Host header is missing\n"),
        None => {
            let host = HeaderValue::try_from(local.to_string()).map_err(|_| "no address\n")?;
            request.headers_mut().insert(header::HOST, host);
            Ok(())
        }
    }
}

fn broken() -> Response<Answer> {
    plain(StatusCode::INTERNAL_SERVER_ERROR, "internal server error\n")
}

fn plain(status: StatusCode, text: &'static str) -> Response<Answer> {
    let mut response = Response::new(Answer::of(text));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
