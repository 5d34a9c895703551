//! What a client and a guest may use up. Clients are strangers.

use std::time::Duration;

/// Requests that are being answered at once, each with an instance of its own. As many as `wasmtime serve` allows; with three
/// to six mappings each they stay far below the 65,530 that Linux allows a process.
pub(super) const INSTANCES: usize = 1_000;
/// How long a request waits for its turn when so many are being answered, before it is refused.
pub(super) const TURN_TIME: Duration = Duration::from_secs(10);
/// Connections open at once. Further ones wait in the kernel's queue until one ends. With [`HEAD_BYTES`] each, strangers take
/// 64 MiB at most.
pub(super) const CONNECTIONS: usize = 2_000;
/// How long a request's head may take, from the end of the last answer or the connection's begin: nobody holds a
/// connection with a byte now and then. So it is also how long an idle connection is kept.
pub(super) const HEAD_TIME: Duration = Duration::from_secs(30);
/// How long a client may send nothing of a body that the guest waits for.
pub(super) const BODY_PAUSE: Duration = Duration::from_secs(60);
/// How long a client may take nothing of an answer, and with HTTP/2 the time after an idle connection has been told that it ends.
pub(super) const ANSWER_PAUSE: Duration = Duration::from_secs(60);
/// Bytes of a request's head, and what is read ahead of a body. Proxies send up to 32 KiB.
pub(super) const HEAD_BYTES: usize = 32 << 10;
/// Requests at once in one connection of HTTP/2.
pub(super) const STREAMS: u32 = 128;
/// How often a silent connection of HTTP/2 is asked whether anybody is there, and how long it may take to answer.
pub(super) const PING: Duration = Duration::from_secs(20);
/// How long a guest may go on after its answer has been sent.
pub(super) const AFTERWORK: Duration = Duration::from_secs(60);
/// How long requests may take to their end once the service is to end. Docker kills after ten seconds.
pub(super) const GRACE: Duration = Duration::from_secs(8);
/// How long a guest computes before another's turn on the same thread.
pub(super) const SLICE: Duration = Duration::from_millis(10);
/// How long accepting rests when the system has no descriptors left.
pub(super) const REST: Duration = Duration::from_millis(50);
