//! Threads, accepting, ending.
//!
//! This thread accepts; each of the others has an event loop of its own and serves the connections it is given, so that
//! nothing of a request is shared between processors. A connection goes to the thread with the fewest.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};
use wasmtime_wasi_http::p2::bindings::ProxyPre;

use super::bounds::{CONNECTIONS, GRACE, INSTANCES, REST};
use super::connection;
use super::drain::Drain;
use super::request::{Common, Handler};
use super::ticker::Ticker;
use crate::policy::quantity::Cpus;
use crate::sandbox::wasm::bind::p2;
use crate::sandbox::wasm::bind::preopen::Start;
use crate::sandbox::wasm::error::RunError;
use crate::sandbox::wasm::exit::Outcome;
use crate::sandbox::wasm::host;
use crate::sandbox::wasm::interrupt::Interrupt;
use crate::sandbox::wasm::limits::Account;
use crate::sandbox::wasm::net::Network;
use crate::sandbox::wasm::stdio::Output;
use crate::sandbox::wasm::throttle::Throttle;
use crate::spec::{ContainerSpec, Listener, OpenSocket};

/// The exit code when requests had to be cut short: as if SIGTERM had ended the process at once (128 + 15).
const CUT_SHORT: u8 = 143;
/// The part of the process's descriptors that connections may take; the others are for files and sockets of guests.
const SHARE: usize = 2;

/// A service, ready to be served.
pub(in super::super) struct Service {
    pub(in super::super) proxy: ProxyPre<p2::Guest>,
    pub(in super::super) pool: Option<Pool>,
    pub(in super::super) streams: p2::Streams,
    pub(in super::super) spec: ContainerSpec,
    pub(in super::super) preopens: Vec<(&'static str, Start)>,
    pub(in super::super) network: Arc<Network>,
    pub(in super::super) interrupt: Option<Interrupt>,
    pub(in super::super) drain: Drain,
    /// The account of all guests together, where they have less than a processor.
    pub(in super::super) throttle: Option<Throttle>,
    /// How many descriptors this process may have, from [`open_files`].
    pub(in super::super) open_files: usize,
}

/// The same program with a pool of memory for some of its instances.
pub(in super::super) struct Pool {
    pub(super) proxy: ProxyPre<p2::Guest>,
    pub(super) places: Arc<Semaphore>,
}

impl Pool {
    /// Says how many instances at once there is a place for.
    pub(in super::super) fn new(proxy: ProxyPre<p2::Guest>, places: u32) -> Self {
        let places = usize::try_from(places).unwrap_or(usize::MAX);
        Self {
            proxy,
            places: Arc::new(Semaphore::new(places)),
        }
    }
}

/// Allows this process as many descriptors as it may have, and says how many. Before the second wall: it is not allowed behind.
pub(in super::super) fn open_files() -> usize {
    host::most_open_files()
}

/// An accepted connection, on its way to the thread that serves it.
struct Accepted {
    stream: TcpStream,
    local: SocketAddr,
    place: OwnedSemaphorePermit,
}

/// A thread that serves.
#[derive(Clone)]
struct Worker {
    accepted: mpsc::UnboundedSender<Accepted>,
    connections: Arc<AtomicUsize>,
}

/// Returns the sockets that a service is reached by. Which port of the guest each stands for makes no difference: such a
/// guest has none of its own.
pub(in super::super) fn listeners(spec: &ContainerSpec) -> Vec<Arc<TcpListener>> {
    let tcp = |listener: &Listener| match &listener.socket {
        OpenSocket::Tcp(socket) => Some(Arc::clone(socket)),
        OpenSocket::Udp(_) => None,
    };
    spec.listeners.iter().filter_map(tcp).collect()
}

impl Service {
    /// Serves until it is asked to end or interrupted.
    pub(in super::super) fn serve(self) -> Result<Outcome, RunError> {
        let listeners = listeners(&self.spec);
        let (close, closing) = watch::channel(false);
        let pool = self.pool.as_ref().map(|pool| pool.proxy.engine());
        let engines = [Some(self.proxy.engine()), pool];
        let engines = engines.into_iter().flatten().cloned().collect();
        let ticker = Ticker::start(engines).map_err(doing("starting a thread"))?;
        if self.spec.drain_on_signals {
            self.drain.hear_signals()?;
        }
        let common = Arc::new(Common {
            memory: Account::new(self.spec.limits.memory),
            errors: Output::stderr(&self.spec.stderr, self.interrupt.clone()),
            proxy: self.proxy,
            pool: self.pool,
            streams: self.streams,
            spec: self.spec,
            preopens: self.preopens,
            network: self.network,
            interrupt: self.interrupt.clone(),
            turns: Arc::new(Semaphore::new(INSTANCES)),
            ticker,
            throttle: self.throttle.map(Mutex::new),
        });
        let (alive, mut all_gone) = mpsc::channel(1);
        let workers = workers(&common, &closing, &alive)?;
        drop(alive);
        let connections = CONNECTIONS.min(self.open_files / SHARE).max(1);
        let places = Arc::new(Semaphore::new(connections));
        let runtime = event_loop()?;
        let (interrupt, drain) = (self.interrupt, self.drain);
        let interrupted = async {
            match &interrupt {
                Some(interrupt) => interrupt.raised().await,
                None => std::future::pending().await,
            }
        };
        let outcome = runtime.block_on(async {
            let mut accepting = Vec::new();
            for listener in &listeners {
                let listener = listener
                    .try_clone()
                    .and_then(|listener| {
                        listener.set_nonblocking(true)?;
                        tokio::net::TcpListener::from_std(listener)
                    })
                    .map_err(doing("preparing to accept"))?;
                let (workers, places) = (workers.clone(), Arc::clone(&places));
                accepting.push(tokio::spawn(accept(listener, workers, places)));
            }
            drop(workers);
            let drained = async {
                drain.asked().await;
                for task in &accepting {
                    task.abort();
                }
                for listener in &listeners {
                    refuse(listener);
                }
                close.send_replace(true);
                match timeout(GRACE, all_gone.recv()).await {
                    Ok(_) => Outcome::Exited(0),
                    Err(_) => Outcome::Exited(CUT_SHORT),
                }
            };
            Ok(tokio::select! {
                biased;
                () = interrupted => Outcome::Interrupted,
                outcome = drained => outcome,
            })
        });
        // Accepting tasks hold the threads' channels: with them gone, the threads end.
        runtime.shutdown_background();
        outcome
    }
}

/// Starts a thread for each processor, or for each whole one that the limit leaves. Each holds `alive` until it ends.
fn workers(
    common: &Arc<Common>,
    closing: &watch::Receiver<bool>,
    alive: &mpsc::Sender<Infallible>,
) -> Result<Vec<Worker>, RunError> {
    let limit = common.spec.limits.cpus.map_or(u64::MAX, Cpus::whole);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX).max(1);
    let count = thread::available_parallelism().map_or(1, usize::from);
    (0..count.min(limit))
        .map(|_| {
            let (accepted, incoming) = mpsc::unbounded_channel();
            let connections = Arc::new(AtomicUsize::new(0));
            let runtime = event_loop()?;
            let thread = Thread {
                incoming,
                common: Arc::clone(common),
                closing: closing.clone(),
                connections: Arc::clone(&connections),
            };
            let alive = alive.clone();
            thread::Builder::new()
                .spawn(move || {
                    runtime.block_on(thread.work());
                    drop(alive);
                })
                .map_err(doing("starting a thread"))?;
            Ok(Worker {
                accepted,
                connections,
            })
        })
        .collect()
}

/// What a thread that serves has.
struct Thread {
    incoming: mpsc::UnboundedReceiver<Accepted>,
    common: Arc<Common>,
    closing: watch::Receiver<bool>,
    connections: Arc<AtomicUsize>,
}

impl Thread {
    /// Serves the connections that come, until no more can come and all guests have ended.
    async fn work(mut self) {
        let (alive, mut all_gone) = mpsc::channel(1);
        let handler = Arc::new(Handler::new(self.common, alive));
        while let Some(accepted) = self.incoming.recv().await {
            let Accepted {
                stream,
                local,
                place,
            } = accepted;
            let (handler, closing) = (Arc::clone(&handler), self.closing.clone());
            let connections = Arc::clone(&self.connections);
            tokio::spawn(async move {
                // It fails for a client that is gone already.
                if let Ok(stream) = tokio::net::TcpStream::from_std(stream) {
                    connection::serve(stream, local, handler, closing).await;
                }
                connections.fetch_sub(1, Ordering::Relaxed);
                drop(place);
            });
        }
        drop(handler);
        // Nothing is ever sent.
        all_gone.recv().await;
    }
}

/// Makes a socket refuse who comes now. Closing it would not: the description of the container holds it open. Where the
/// system cannot, they wait in vain until the process ends.
fn refuse(listener: &TcpListener) {
    #[cfg(unix)]
    if let Ok(socket) = listener.try_clone() {
        let socket = TcpStream::from(std::os::fd::OwnedFd::from(socket));
        socket.shutdown(std::net::Shutdown::Both).ok();
    }
    #[cfg(not(unix))]
    let _: &TcpListener = listener;
}

/// Accepts for as long as the task lives.
async fn accept(listener: tokio::net::TcpListener, workers: Vec<Worker>, places: Arc<Semaphore>) {
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let accepted = async {
            let (stream, _) = listener.accept().await?;
            let local = stream.local_addr()?;
            // An answer's last packet does not wait for more.
            stream.set_nodelay(true)?;
            Ok::<_, io::Error>((stream.into_std()?, local))
        };
        match accepted.await {
            Ok((stream, local)) => {
                let fewest = workers
                    .iter()
                    .min_by_key(|worker| worker.connections.load(Ordering::Relaxed));
                let Some(worker) = fewest else { return };
                worker.connections.fetch_add(1, Ordering::Relaxed);
                let accepted = Accepted {
                    stream,
                    local,
                    place,
                };
                // A thread ends only when nothing can be sent to it any more.
                if worker.accepted.send(accepted).is_err() {
                    return;
                }
            }
            // The client is gone already.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            // No descriptors or memory: somebody has to end first.
            Err(_) => sleep(REST).await,
        }
    }
}

fn event_loop() -> Result<Runtime, RunError> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(doing("making an event loop"))
}

fn doing(doing: &'static str) -> impl FnOnce(io::Error) -> RunError {
    move |source| RunError::Host { doing, source }
}
