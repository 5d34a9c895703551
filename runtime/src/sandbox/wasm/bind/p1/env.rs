//! Arguments, environment, clocks, random numbers, the process; and sockets, of which there are none.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Guest;
use super::memory::Memory;
use super::types::{Errno, Failure, Result};
use crate::sandbox::wasm::exit::{Exit, Interrupted};
use crate::sandbox::wasm::host;
use crate::sandbox::wasm::interrupt::Interrupt;

/// Random bytes made between two looks at whether the guest is to end.
const RANDOM_CHUNK: usize = 1 << 20;

pub(super) fn args_get(memory: &mut Memory<'_>, guest: &mut Guest, list: u32, text: u32) -> Result {
    write_strings(memory, &guest.args, list, text)
}

pub(super) fn args_sizes_get(
    memory: &mut Memory<'_>,
    guest: &mut Guest,
    count: u32,
    size: u32,
) -> Result {
    write_sizes(memory, &guest.args, count, size)
}

pub(super) fn environ_get(
    memory: &mut Memory<'_>,
    guest: &mut Guest,
    list: u32,
    text: u32,
) -> Result {
    write_strings(memory, &guest.env, list, text)
}

pub(super) fn environ_sizes_get(
    memory: &mut Memory<'_>,
    guest: &mut Guest,
    count: u32,
    size: u32,
) -> Result {
    write_sizes(memory, &guest.env, count, size)
}

/// Writes strings with their NULs one after the other, and a list of pointers to them.
fn write_strings(
    memory: &mut Memory<'_>,
    strings: &[String],
    mut list: u32,
    mut text: u32,
) -> Result {
    for string in strings {
        memory.write_u32(list, text)?;
        memory.write(text, string.as_bytes())?;
        let len = u32::try_from(string.len()).map_err(|_| Errno::Overflow)?;
        let nul = text.checked_add(len).ok_or(Failure::Pointer)?;
        memory.write(nul, &[0])?;
        list = list.checked_add(4).ok_or(Failure::Pointer)?;
        text = nul.checked_add(1).ok_or(Failure::Pointer)?;
    }
    Ok(())
}

fn write_sizes(memory: &mut Memory<'_>, strings: &[String], count: u32, size: u32) -> Result {
    let bytes = strings.iter().fold(0_usize, |sum, string| {
        sum.saturating_add(string.len()).saturating_add(1)
    });
    memory.write_u32(
        count,
        u32::try_from(strings.len()).map_err(|_| Errno::Overflow)?,
    )?;
    memory.write_u32(size, u32::try_from(bytes).map_err(|_| Errno::Overflow)?)
}

/// `clockid`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clock {
    Realtime,
    Monotonic,
    /// Of the process or the thread: a guest has one thread only.
    CpuTime,
}

impl Clock {
    pub(super) fn new(id: u32) -> Result<Self> {
        match id {
            0 => Ok(Self::Realtime),
            1 => Ok(Self::Monotonic),
            2 | 3 => Ok(Self::CpuTime),
            _ => Err(Errno::Inval.into()),
        }
    }

    /// Returns the time of the clock. Monotonic time begins when the guest does.
    pub(super) fn now(self, guest: &Guest) -> Result<Duration> {
        match self {
            // A host clock before 1970 is set wrong; a guest has no way to say it.
            Self::Realtime => Ok(SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()),
            Self::Monotonic => Ok(guest.started.elapsed()),
            Self::CpuTime => host::cpu_time().ok_or(Errno::Inval.into()),
        }
    }
}

/// Nanoseconds, up to the largest that fit: the year 2554.
pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

pub(super) fn clock_res_get(
    memory: &mut Memory<'_>,
    guest: &mut Guest,
    id: u32,
    out: u32,
) -> Result {
    Clock::new(id)?.now(guest)?;
    // What the interfaces of the hosts are able to say; what the hardware keeps is not told by them.
    memory.write_u64(out, if cfg!(windows) { 100 } else { 1 })
}

pub(super) fn clock_time_get(
    memory: &mut Memory<'_>,
    guest: &mut Guest,
    id: u32,
    _precision: u64,
    out: u32,
) -> Result {
    let now = Clock::new(id)?.now(guest)?;
    memory.write_u64(out, nanoseconds(now))
}

pub(super) fn random_get(
    memory: &mut Memory<'_>,
    guest: &mut Guest,
    buffer: u32,
    len: u32,
) -> Result {
    let Guest {
        random, interrupt, ..
    } = guest;
    let Some(random) = random else {
        return Err(Errno::Notsup.into());
    };
    for chunk in memory.slice(buffer, len)?.chunks_mut(RANDOM_CHUNK) {
        random.fill_bytes(chunk);
        if interrupt.as_ref().is_some_and(Interrupt::is_raised) {
            return Err(Failure::End(Interrupted.into()));
        }
    }
    Ok(())
}

pub(super) fn proc_exit(code: u32) -> wasmtime::Error {
    Exit(code).into()
}

/// There are no signals here: wasi-libc ends a guest that raises one.
pub(super) fn proc_raise(_: &mut Memory<'_>, _: &mut Guest, _signal: u32) -> Result {
    Err(Errno::Notsup.into())
}

/// A guest has its thread for itself.
pub(super) fn sched_yield(_: &mut Memory<'_>, _: &mut Guest) -> Result {
    std::thread::yield_now();
    Ok(())
}
