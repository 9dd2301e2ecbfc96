//! The clock: what the core's [`Time`] means in this process.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::timer::{Pacer, Time};

/// One epoch for all agents, since they share a pacer.
fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

/// Now.
pub(crate) fn now() -> Time {
    Time::ZERO + epoch().elapsed()
}

/// The moment as the runtime's timers want it.
pub(crate) fn instant(time: Time) -> tokio::time::Instant {
    (epoch() + time.since_epoch()).into()
}

/// Nanoseconds of a clock that costs almost nothing to read and is some
/// milliseconds late; never 0.
#[cfg(target_os = "linux")]
pub(crate) fn coarse() -> u64 {
    use rustix::time::{ClockId, clock_gettime};
    let now = Duration::try_from(clock_gettime(ClockId::MonotonicCoarse)).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX).max(1)
}

/// Nanoseconds of a clock; never 0.
#[cfg(not(target_os = "linux"))]
pub(crate) fn coarse() -> u64 {
    now().as_nanos().max(1)
}

/// The pacer of this process (RFC 8445 §14.2).
pub(crate) fn pacer() -> Pacer {
    static PACER: OnceLock<Pacer> = OnceLock::new();
    PACER.get_or_init(Pacer::new).clone()
}

/// Notices that the machine slept: [`Instant`] stands still meanwhile, and
/// some other clock does not.
#[derive(Debug)]
pub(crate) struct SleepDetector {
    /// How far the other clock is ahead.
    ahead: Duration,
}

/// The least sleep that is one: below it no NAT forgot anything, and the two
/// clocks are read one after the other. Where the other clock is the wall's,
/// it may be set, by little all the time and by much now and then.
const LEAST_SLEEP: Duration =
    if cfg!(target_os = "linux") { Duration::from_secs(1) } else { Duration::from_secs(10) };

impl SleepDetector {
    /// One that has not seen any sleep yet, with what [`ahead`] says now.
    pub(crate) fn new(ahead: Duration) -> Self {
        SleepDetector { ahead }
    }

    /// How long the machine slept since the last call, by what [`ahead`] says
    /// now; `None` if it did not.
    pub(crate) fn slept(&mut self, ahead: Duration) -> Option<Duration> {
        let before = std::mem::replace(&mut self.ahead, ahead);
        Some(ahead.saturating_sub(before)).filter(|slept| *slept >= LEAST_SLEEP)
    }
}

/// How far the clock that goes on during sleep is ahead of the one that does not.
#[cfg(target_os = "linux")]
pub(crate) fn ahead() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let read = |clock| Duration::try_from(clock_gettime(clock)).unwrap_or_default();
    let awake = read(ClockId::Monotonic);
    read(ClockId::Boottime).saturating_sub(awake)
}

/// How far the clock that goes on during sleep is ahead of the one that does not.
#[cfg(not(target_os = "linux"))]
pub(crate) fn ahead() -> Duration {
    let awake = epoch().elapsed();
    let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    wall.unwrap_or_default().saturating_sub(awake)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleep_is_what_one_clock_did_not_see() {
        let ms = Duration::from_millis;
        let mut detector = SleepDetector::new(ms(500));
        let least = LEAST_SLEEP.as_millis() as u64;
        for (ahead, slept) in [
            (500, None),
            (500 + least - 1, None),
            (500 + 2 * least - 1, Some(least)),
            (500 + 2 * least - 1, None),
            // A wall clock that was set back.
            (0, None),
            (least + 5, Some(least + 5)),
        ] {
            assert_eq!(detector.slept(ms(ahead)), slept.map(ms), "{ahead}");
        }
    }

    #[test]
    fn without_sleep_the_clocks_go_alike() {
        let mut detector = SleepDetector::new(ahead());
        assert_eq!(detector.slept(ahead()), None);
    }
}
