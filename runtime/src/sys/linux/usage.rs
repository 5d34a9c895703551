//! What a process uses up, as `/proc` has it.

use std::fs;
use std::time::Duration;

use crate::sys::Usage;

/// In so many parts the kernel cuts a second for its accounts, on every kind of processor that this is built for.
const TICKS: u64 = 100;

/// Asks what a process uses up. `None`: there is none of this number.
pub fn usage(pid: u32) -> Option<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The state follows the program's name, which is in parentheses and may itself hold one; proc_pid_stat(5) counts from 1, and
    // the state is the third.
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |at: usize| fields.get(at - 3)?.parse::<u64>().ok();
    let time = |ticked: u64| Duration::from_millis(ticked.saturating_mul(1000 / TICKS));
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    // Others may not ask: then nothing is known of it.
    let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    Some(Usage {
        state: fields.first()?.chars().next()?,
        parent: u32::try_from(number(4)?).ok()?,
        cpu: time(number(14)?.saturating_add(number(15)?)),
        threads: number(20)?,
        started: time(number(22)?),
        memory: named(&status, "VmRSS:").saturating_mul(1024),
        read: named(&io, "read_bytes:"),
        written: named(&io, "write_bytes:"),
    })
}

/// Returns how much memory this machine has, in bytes.
pub fn memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    named(&text, "MemTotal:").saturating_mul(1024)
}

/// Returns the number in the line that begins so; 0 if there is none.
fn named(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    number.unwrap_or(0)
}

/// Returns for how long this machine has run.
pub fn uptime() -> Duration {
    let text = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds = text.split(' ').next().and_then(|text| text.parse().ok());
    Duration::try_from_secs_f64(seconds.unwrap_or(0.0)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something_up() {
        let used = usage(std::process::id()).expect("this process");
        assert!(used.memory > 100_000 && used.memory < memory());
        assert!(used.threads >= 1 && used.started <= uptime());
        assert!("RSD".contains(used.state), "{used:?}");
        assert!(usage(u32::MAX).is_none());
    }
}
