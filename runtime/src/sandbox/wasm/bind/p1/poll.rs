//! `poll_oneoff`: waiting for clocks, for input, and for room to write.

use std::future::poll_fn;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use wasmtime::Caller;

use super::Guest;
use super::env::Clock;
use super::memory::Memory;
use super::sock::{self, Wish};
use super::table::{Object, Stream};
use super::types::{Abi, Errno, Failure, Result, rights};
use crate::sandbox::wasm::stdio::Input;

/// Most subscriptions of one call: more descriptors and clocks than a guest can have sensible use for at once.
const MOST_SUBSCRIPTIONS: u32 = 8192;
/// Size of an `event`.
const EVENT: u32 = 32;
/// The event loop's timer counts milliseconds; what is shorter is slept by the thread.
const TIMER_STEP: Duration = Duration::from_millis(2);
/// What stands for "never": the event loop's clock can't count further than some centuries.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// What one call waits for.
pub(super) struct Wait {
    subscriptions: Vec<Subscription>,
    /// When the first clock is due.
    deadline: Option<Instant>,
    /// Is something ready already?
    ready: bool,
    /// Standard input, if it is waited for and has nothing yet.
    input: Option<Input>,
    /// Is a socket waited for?
    sockets: bool,
}

struct Subscription {
    userdata: u64,
    kind: Kind,
}

enum Kind {
    /// A clock, due at an instant; never, if that is beyond all counting.
    Clock { due: Option<Instant> },
    /// A descriptor that was ready when the call came: number of bytes, and whether it is the last there will be.
    Ready {
        event: Event,
        bytes: u64,
        hangup: bool,
    },
    /// Standard input that wasn't.
    Input,
    /// A connection or an open port, which the event loop knows about.
    Socket { event: Event, fd: u32 },
    /// A subscription that makes no sense.
    Wrong { event: Event, errno: Errno },
}

/// `eventtype`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Event {
    Clock = 0,
    Read = 1,
    Write = 2,
}

impl Event {
    fn wish(self) -> Wish {
        match self {
            Self::Write => Wish::Write,
            Self::Read | Self::Clock => Wish::Read,
        }
    }
}

/// Reads the subscriptions and looks at what is ready.
pub(super) fn begin(
    memory: &Memory<'_>,
    guest: &mut Guest,
    at: u32,
    count: u32,
    abi: Abi,
) -> Result<Wait> {
    if count == 0 || count > MOST_SUBSCRIPTIONS {
        return Err(Errno::Inval.into());
    }
    // Preview 0 has one more number in a clock's subscription.
    let (size, clock_at) = match abi {
        Abi::Preview0 => (56, 24),
        Abi::Preview1 => (48, 16),
    };
    let records = memory.read(at, count.checked_mul(size).ok_or(Failure::Pointer)?)?;
    let mut wait = Wait {
        subscriptions: Vec::new(),
        deadline: None,
        ready: false,
        input: None,
        sockets: false,
    };
    for record in records.chunks_exact(size as usize) {
        let kind = match record[8] {
            0 => clock(guest, &record[clock_at..])?,
            1 => readable(guest, u32_of(&record[16..20])),
            2 => writable(guest, u32_of(&record[16..20])),
            _ => return Err(Errno::Inval.into()),
        };
        match &kind {
            Kind::Clock { due } => {
                wait.deadline = match (wait.deadline, *due) {
                    (Some(deadline), Some(due)) => Some(deadline.min(due)),
                    (deadline, due) => deadline.or(due),
                };
            }
            Kind::Input => wait.input = Some(guest.streams.stdin.clone()),
            Kind::Socket { .. } => wait.sockets = true,
            Kind::Ready { .. } | Kind::Wrong { .. } => wait.ready = true,
        }
        wait.subscriptions.push(Subscription {
            userdata: u64_of(&record[0..8]),
            kind,
        });
    }
    Ok(wait)
}

fn u32_of(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .rev()
        .fold(0, |value, byte| value << 8 | u32::from(*byte))
}

fn u64_of(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Reads a `subscription_clock`: id, timeout, precision, flags.
fn clock(guest: &Guest, record: &[u8]) -> Result<Kind> {
    let id = u32_of(&record[0..4]);
    let timeout = Duration::from_nanos(u64_of(&record[8..16]));
    let absolute = u32_of(&record[24..26]) & 1 != 0;
    let clock = match Clock::new(id) {
        // Nothing says when a processor will have worked for so long.
        Ok(Clock::CpuTime) | Err(_) => {
            return Ok(Kind::Wrong {
                event: Event::Clock,
                errno: Errno::Inval,
            });
        }
        Ok(clock) => clock,
    };
    let from_now = if absolute {
        timeout.saturating_sub(clock.now(guest)?)
    } else {
        timeout
    };
    Ok(Kind::Clock {
        due: Instant::now().checked_add(from_now),
    })
}

fn readable(guest: &mut Guest, fd: u32) -> Kind {
    let Guest { table, streams, .. } = guest;
    let event = Event::Read;
    let entry = match table.get(fd) {
        Ok(entry) => entry,
        Err(_) => {
            return Kind::Wrong {
                event,
                errno: Errno::Badf,
            };
        }
    };
    if entry.require(rights::POLL_FD_READWRITE).is_err()
        && !matches!(entry.object, Object::Directory(_))
    {
        return Kind::Wrong {
            event,
            errno: Errno::Notcapable,
        };
    }
    match &entry.object {
        Object::Stream(Stream::Stdin) => match streams.stdin.is_ready() {
            Ok(false) => Kind::Input,
            // How much there is, nobody tells; an error is told by the read.
            Ok(true) | Err(_) => Kind::Ready {
                event,
                bytes: 1,
                hangup: false,
            },
        },
        Object::Listener(_) | Object::Connection(_) => Kind::Socket { event, fd },
        Object::File(open) if open.file.readable() => match open.file.stat() {
            Ok(stat) => {
                let bytes = stat.size.saturating_sub(open.position);
                Kind::Ready {
                    event,
                    bytes,
                    hangup: bytes == 0,
                }
            }
            Err(error) => Kind::Wrong {
                event,
                errno: error.into(),
            },
        },
        _ => Kind::Wrong {
            event,
            errno: Errno::Badf,
        },
    }
}

fn writable(guest: &mut Guest, fd: u32) -> Kind {
    let event = Event::Write;
    let entry = match guest.table.get(fd) {
        Ok(entry) => entry,
        Err(_) => {
            return Kind::Wrong {
                event,
                errno: Errno::Badf,
            };
        }
    };
    match &entry.object {
        // A write blocks until there is room, so it can always be tried.
        Object::Stream(Stream::Stdout | Stream::Stderr) => Kind::Ready {
            event,
            bytes: 1,
            hangup: false,
        },
        Object::Connection(_) => Kind::Socket { event, fd },
        Object::File(open) if open.file.writable() => Kind::Ready {
            event,
            bytes: 1,
            hangup: false,
        },
        _ => Kind::Wrong {
            event,
            errno: Errno::Badf,
        },
    }
}

impl Wait {
    /// Waits until something is ready or due.
    pub(super) async fn happen(&self, caller: &mut Caller<'_, Guest>) {
        if self.sockets {
            // Lets the event loop look at them; it has not yet seen one that was only just opened.
            tokio::task::yield_now().await;
            if self.ready
                || self.any_socket(caller.data_mut(), &mut Context::from_waker(Waker::noop()))
            {
                return;
            }
            return tokio::select! {
                () = poll_fn(|context| {
                    if self.any_socket(caller.data_mut(), context) { Poll::Ready(()) } else { Poll::Pending }
                }) => {}
                () = self.input_or_deadline() => {}
            };
        }
        if !self.ready {
            self.input_or_deadline().await;
        }
    }

    /// Is one of the sockets ready? Those that are not wake the task when they are.
    fn any_socket(&self, guest: &mut Guest, context: &mut Context<'_>) -> bool {
        let mut any = false;
        for subscription in &self.subscriptions {
            if let Kind::Socket { event, fd } = subscription.kind {
                any |= sock::poll_ready(guest, fd, event.wish(), context).is_ready();
            }
        }
        any
    }

    async fn input_or_deadline(&self) {
        match &self.input {
            Some(input) => {
                tokio::select! {
                    // What goes wrong here, the read tells.
                    _ = input.ready() => {}
                    () = sleep(self.deadline) => {}
                }
            }
            None => sleep(self.deadline).await,
        }
    }

    /// Writes an event for each subscription that is ready or due.
    pub(super) fn report(
        &self,
        memory: &mut Memory<'_>,
        guest: &mut Guest,
        out: u32,
        count_out: u32,
    ) -> Result {
        let now = Instant::now();
        let mut count: u32 = 0;
        for subscription in &self.subscriptions {
            let (event, errno, bytes, hangup) = match &subscription.kind {
                Kind::Clock { due } if due.is_some_and(|due| due <= now) => {
                    (Event::Clock, 0, 0, false)
                }
                Kind::Clock { .. } => continue,
                Kind::Ready {
                    event,
                    bytes,
                    hangup,
                } => (*event, 0, *bytes, *hangup),
                Kind::Wrong { event, errno } => (*event, *errno as u16, 0, false),
                Kind::Input if guest.streams.stdin.is_ready().unwrap_or(true) => {
                    (Event::Read, 0, 1, false)
                }
                Kind::Input => continue,
                Kind::Socket { event, fd } => {
                    let mut context = Context::from_waker(Waker::noop());
                    if sock::poll_ready(guest, *fd, event.wish(), &mut context).is_pending() {
                        continue;
                    }
                    (*event, 0, 1, false)
                }
            };
            let mut record = [0; EVENT as usize];
            record[0..8].copy_from_slice(&subscription.userdata.to_le_bytes());
            record[8..10].copy_from_slice(&errno.to_le_bytes());
            record[10] = event as u8;
            record[16..24].copy_from_slice(&bytes.to_le_bytes());
            record[24] = u8::from(hangup);
            let at = count
                .checked_mul(EVENT)
                .and_then(|offset| out.checked_add(offset))
                .ok_or(Failure::Pointer)?;
            memory.write(at, &record)?;
            count = count.saturating_add(1);
        }
        memory.write_u32(count_out, count)
    }
}

/// Sleeps until a deadline, to the microsecond; for ever without one.
async fn sleep(deadline: Option<Instant>) {
    loop {
        let left = deadline.map_or(FOREVER, |deadline| {
            deadline.saturating_duration_since(Instant::now())
        });
        if left.is_zero() {
            return;
        }
        match left.checked_sub(TIMER_STEP) {
            Some(most) if !most.is_zero() => tokio::time::sleep(most.min(FOREVER)).await,
            _ => std::thread::sleep(left),
        }
    }
}
