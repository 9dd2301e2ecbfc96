//! The core's time, deadlines that say what they are for, and the pacer that
//! agents share.

use std::collections::VecDeque;
use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A moment, as a duration since an epoch that the driver chose (in a process
/// the same one for all agents that share a [`Pacer`]). The core never reads
/// a clock: whoever drives it passes `Time` in. Resolution: one nanosecond;
/// range: 584 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The epoch itself.
    pub const ZERO: Time = Time(0);

    /// `nanos` nanoseconds after the epoch.
    pub const fn from_nanos(nanos: u64) -> Self {
        Time(nanos)
    }

    /// `micros` microseconds after the epoch.
    pub const fn from_micros(micros: u64) -> Self {
        Time(micros.saturating_mul(1_000))
    }

    /// `millis` milliseconds after the epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Time(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Milliseconds since the epoch, with the fraction.
    pub fn as_millis_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// The duration since the epoch.
    pub const fn since_epoch(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub const fn saturating_since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Add<Duration> for Time {
    type Output = Time;
    fn add(self, duration: Duration) -> Time {
        Time(self.0.saturating_add(nanos(duration)))
    }
}

impl AddAssign<Duration> for Time {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub for Time {
    type Output = Duration;
    /// The same as [`Time::saturating_since`].
    fn sub(self, earlier: Time) -> Duration {
        self.saturating_since(earlier)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} ms", self.as_millis_f64())
    }
}

/// What a deadline is for; [`crate::agent::Core::poll_timeout`] returns it
/// beside the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The next connectivity check may start (Ta, RFC 8445 §14.2).
    Check,
    /// A connectivity check is retransmitted or has timed out (RTO, §14.3).
    Retransmit,
    /// A gathering transaction starts, is retransmitted or has timed out.
    Gather,
    /// The next consent check (RFC 7675 §5.1), or consent expires.
    Consent,
    /// A keepalive is due (RFC 8445 §11).
    Keepalive,
    /// The nomination policy wants to look again.
    Nominate,
    /// The patience timer of RFC 8863 ends.
    Patience,
    /// An allocation is asked for, or what hangs on it is refreshed (RFC 8656 §7).
    Relay,
    /// An attempt to connect, or a connection that has to prove itself, has had
    /// its time (RFC 6544 §7).
    Connect,
    /// What a concluded session does not need is given back (RFC 8445 §8.3.1).
    Free,
}

/// The spacing of new transactions that all agents of a process share:
/// RFC 8445 §14.2 wants new gathering, TURN and check transactions at least
/// 5 ms apart, over everything that one machine sends.
///
/// An agent with one pair takes two slots: 10,000 that start together have
/// completed after 100 s. A server may give the agents of each of its addresses
/// a pacer of their own, which deviates from RFC 8445 §14.2; how long a stream
/// is given to get a valid pair does not count the time until its slots.
///
/// It is a number that only goes up, so a clone is a handle on the same
/// pacer. It reads no clock; a given order of calls gives a given result.
#[derive(Clone, Debug)]
pub struct Pacer {
    next: Arc<AtomicU64>,
    spacing: u64,
    slots: Option<Arc<Mutex<Slots>>>,
}

/// The slots that one agent was given.
#[derive(Debug, Default)]
struct Slots {
    /// What is given next, in a replay.
    expected: VecDeque<Time>,
    /// What was given and not taken note of yet.
    given: Vec<Time>,
}

impl Pacer {
    /// RFC 8445 §14.2: new transactions are at least this far apart.
    pub const MIN_SPACING: Duration = Duration::from_millis(5);

    /// A pacer with the spacing that RFC 8445 asks for.
    pub fn new() -> Self {
        Self::with_spacing(Self::MIN_SPACING)
    }

    /// A pacer with a spacing of the caller's. Below 5 ms it deviates from
    /// RFC 8445 §14.2; a server with many agents may want that.
    pub fn with_spacing(spacing: Duration) -> Self {
        Self { next: Arc::new(AtomicU64::new(0)), spacing: nanos(spacing), slots: None }
    }

    /// A handle on the same pacer that keeps the slots that it, and no other
    /// handle, gives, until [`Pacer::take_slots`]: which ones an agent gets
    /// depends on all others, and is an input of its core.
    pub fn keeping_slots(&self) -> Self {
        Self { slots: Some(Arc::default()), ..self.clone() }
    }

    /// The slots that were given since the last call.
    pub fn take_slots(&self) -> Vec<Time> {
        self.with_slots(|slots| std::mem::take(&mut slots.given)).unwrap_or_default()
    }

    /// The next slots are these, as [`Pacer::take_slots`] once returned them,
    /// and none that were expected before; for a handle that keeps slots.
    pub fn expect_slots(&self, expected: impl IntoIterator<Item = Time>) {
        self.with_slots(|slots| slots.expected = expected.into_iter().collect());
    }

    fn with_slots<R>(&self, look: impl FnOnce(&mut Slots) -> R) -> Option<R> {
        let slots = self.slots.as_ref()?;
        Some(look(&mut slots.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Takes the first free slot at or after `earliest`.
    pub fn reserve(&self, earliest: Time) -> Time {
        let expected = self.with_slots(|slots| slots.expected.pop_front()).flatten();
        let slot = expected.unwrap_or_else(|| self.first_free(earliest));
        self.with_slots(|slots| slots.given.push(slot));
        slot
    }

    fn first_free(&self, earliest: Time) -> Time {
        let mut next = self.next.load(Ordering::Relaxed);
        loop {
            let slot = next.max(earliest.0);
            let after = slot.saturating_add(self.spacing);
            match self.next.compare_exchange_weak(next, after, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return Time(slot),
                Err(current) => next = current,
            }
        }
    }
}

impl Default for Pacer {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_spaced_and_never_before_the_wish() {
        let pacer = Pacer::new();
        let other = pacer.clone();
        assert_eq!(pacer.reserve(Time::from_millis(10)), Time::from_millis(10));
        assert_eq!(other.reserve(Time::from_millis(10)), Time::from_millis(15));
        assert_eq!(pacer.reserve(Time::ZERO), Time::from_millis(20));
        assert_eq!(pacer.reserve(Time::from_millis(100)), Time::from_millis(100));
    }

    #[test]
    fn slots_that_were_kept_are_given_again() {
        let shared = Pacer::new();
        let kept = shared.keeping_slots();
        let ask = |pacer: &Pacer| [10, 20, 20].map(|at| pacer.reserve(Time::from_millis(at)));
        shared.reserve(Time::from_millis(8));
        let given = ask(&kept);
        assert_eq!(kept.take_slots(), given);
        assert_eq!((kept.take_slots(), shared.take_slots()), (vec![], vec![]));
        let replayed = Pacer::new().keeping_slots();
        replayed.expect_slots(given);
        assert_eq!(ask(&replayed), given);
        assert_eq!(given[0], Time::from_millis(13), "the other agent's slot comes first");
    }

    #[test]
    fn time_saturates() {
        let end = Time::from_nanos(u64::MAX);
        assert_eq!(end + Duration::from_secs(1), end);
        assert_eq!(Time::ZERO - end, Duration::ZERO);
    }
}
