//! Options of a socket: kept until it is made, and set from then on.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use wasmtime_wasi::p2::bindings::sockets::network::IpAddressFamily;

/// Bounds of the time between two probes: not zero, and no longer than Linux takes.
const KEEP_ALIVE: (u64, u64) = (1_000_000_000, 32_767 * 1_000_000_000);
/// Bound of the number of probes, as Linux has it.
const PROBES: u32 = 127;
/// What a system may be asked for, in bytes; it takes what it likes of it.
const LARGEST_BUFFER: u64 = 1 << 30;

/// Options as the guest set them.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) keep_alive: bool,
    /// In nanoseconds.
    pub(super) idle: u64,
    /// In nanoseconds.
    pub(super) interval: u64,
    pub(super) probes: u32,
    pub(super) hop_limit: u8,
    /// In bytes.
    pub(super) receive_buffer: u64,
    /// In bytes.
    pub(super) send_buffer: u64,
    /// Which of them the guest has set: only those are told to the system.
    set: u8,
}

/// Which option was set.
#[derive(Clone, Copy)]
pub(super) enum Which {
    KeepAlive = 1 << 0,
    HopLimit = 1 << 1,
    Receive = 1 << 2,
    Send = 1 << 3,
}

impl Default for Options {
    /// As Linux has them.
    fn default() -> Self {
        Self {
            keep_alive: false,
            idle: 7_200_000_000_000,
            interval: 75_000_000_000,
            probes: 9,
            hop_limit: 64,
            receive_buffer: 128 << 10,
            send_buffer: 128 << 10,
            set: 0,
        }
    }
}

/// Brings a time to what systems take.
pub(super) fn keep_alive_time(nanoseconds: u64) -> u64 {
    nanoseconds.clamp(KEEP_ALIVE.0, KEEP_ALIVE.1)
}

/// Brings a number of probes to what systems take.
pub(super) fn probes(count: u32) -> u32 {
    count.clamp(1, PROBES)
}

impl Options {
    /// Notes that an option was set, and sets it on the socket if there is one.
    pub(super) fn changed(
        &mut self,
        which: Which,
        family: IpAddressFamily,
        socket: Option<SockRef<'_>>,
    ) -> io::Result<()> {
        self.set |= which as u8;
        match socket {
            Some(socket) => self.apply_one(which, family, &socket),
            None => Ok(()),
        }
    }

    /// Sets what the guest has set on a new socket. What the system does not take is left as it is.
    pub(super) fn apply(&self, family: IpAddressFamily, socket: &SockRef<'_>) {
        for which in [
            Which::KeepAlive,
            Which::HopLimit,
            Which::Receive,
            Which::Send,
        ] {
            if self.set & which as u8 != 0
                && let Err(error) = self.apply_one(which, family, socket)
            {
                tracing::debug!(%error, "setting an option of a socket");
            }
        }
    }

    fn apply_one(
        &self,
        which: Which,
        family: IpAddressFamily,
        socket: &SockRef<'_>,
    ) -> io::Result<()> {
        let size =
            |bytes: u64| usize::try_from(bytes.clamp(1, LARGEST_BUFFER)).unwrap_or(usize::MAX);
        match which {
            Which::KeepAlive if self.keep_alive => socket.set_tcp_keepalive(
                &TcpKeepalive::new()
                    .with_time(Duration::from_nanos(self.idle))
                    .with_interval(Duration::from_nanos(self.interval))
                    .with_retries(self.probes),
            ),
            Which::KeepAlive => socket.set_keepalive(false),
            Which::HopLimit => match family {
                IpAddressFamily::Ipv4 => socket.set_ttl_v4(self.hop_limit.into()),
                IpAddressFamily::Ipv6 => socket.set_unicast_hops_v6(self.hop_limit.into()),
            },
            Which::Receive => socket.set_recv_buffer_size(size(self.receive_buffer)),
            Which::Send => socket.set_send_buffer_size(size(self.send_buffer)),
        }
    }
}
