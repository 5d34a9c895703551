//! Holding a guest to a share of a processor.
//!
//! The process is asked to account for itself each time it has used some milliseconds of processor time, be that in the
//! guest or in the host on the guest's behalf: [`sys::step_epochs`](crate::sys::step_epochs) counts them, so that a guest
//! that waits costs nothing. Whoever has used more than the share sleeps until it has not.

use std::time::{Duration, Instant};

use super::error::RunError;
use super::host;
use crate::policy::quantity::Cpus;

/// Processor time between two accounts. A guest with a tenth of a processor then sleeps 45 ms of each 50. The kernel rounds
/// up to its own tick, 1 to 10 ms.
pub(super) const STEP: Duration = Duration::from_millis(5);

/// The account of one guest.
#[derive(Debug)]
pub(super) struct Throttle {
    share: Cpus,
    /// Processor time at the last account.
    used: Duration,
    /// When that much had been earned.
    earned: Instant,
}

impl Throttle {
    /// Opens an account, if the share binds a guest of one thread.
    ///
    /// # Errors
    /// [`RunError::Host`] where processor time is not told: a limit is held or refused.
    pub(super) fn new(share: Option<Cpus>) -> Result<Option<Self>, RunError> {
        let Some(share) = share.filter(|share| share.is_partial()) else {
            return Ok(None);
        };
        let used = host::cpu_time().ok_or_else(|| RunError::Host {
            doing: "measuring the processor time that the guest is limited to",
            source: std::io::ErrorKind::Unsupported.into(),
        })?;
        Ok(Some(Self {
            share,
            used,
            earned: Instant::now(),
        }))
    }

    /// Returns how long the guest must sleep now.
    pub(super) fn settle(&mut self) -> Duration {
        let used = host::cpu_time().unwrap_or(self.used);
        self.settle_at(used, Instant::now())
    }

    fn settle_at(&mut self, used: Duration, now: Instant) -> Duration {
        let work = used.saturating_sub(self.used);
        self.used = used;
        let due = self.earned.checked_add(self.share.time_for(work));
        // Time that was slept away earns nothing for later, beyond this one step: there are no bursts.
        self.earned = due.map_or(now, |due| due.max(now));
        self.earned.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_paid_with_sleep_and_idling_earns_nothing() {
        let ms = Duration::from_millis;
        let start = Instant::now();
        let mut throttle = Throttle {
            share: "0.25".parse().expect("a share"),
            used: ms(0),
            earned: start,
        };
        assert_eq!(throttle.settle_at(ms(5), start + ms(5)), ms(15));
        // It slept a millisecond too long, which is paid back.
        assert_eq!(throttle.settle_at(ms(10), start + ms(26)), ms(14));
        // It waited for a second of its own will.
        assert_eq!(throttle.settle_at(ms(12), start + ms(1000)), ms(0));
        assert_eq!(throttle.settle_at(ms(17), start + ms(1005)), ms(15));
    }

    #[test]
    fn a_whole_processor_is_no_limit_for_one_thread() {
        let open = |share: &str| Throttle::new(Some(share.parse().expect("a share")));
        assert!(matches!(Throttle::new(None), Ok(None)));
        assert!(matches!(open("1"), Ok(None)));
        assert!(matches!(open("0.99"), Ok(Some(_))) || cfg!(not(unix)));
    }
}
