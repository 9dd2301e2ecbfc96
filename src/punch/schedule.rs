//! The rounds that two agents agreed on.

use std::time::Duration;

use crate::timer::Time;

/// The shortest and the longest time between two rounds. A silent SYN must
/// not be recycled sooner than after 200 ms.
pub(super) const MIN_EVERY: Duration = Duration::from_millis(250);
pub(super) const MAX_EVERY: Duration = Duration::from_secs(2);
/// A start further ahead than this is ignored, and so is one in the past.
pub(super) const MAX_AHEAD: Duration = Duration::from_secs(2);
/// The rounds of one agreement: as long as RFC 8445 §14.3 lets a connection
/// take, 39.5 s, in which two clocks drift apart by a few milliseconds.
const SPAN: Duration = Duration::from_secs(40);
/// No round has a higher number.
pub(super) const MAX_ROUND: u32 = 1_000_000;

/// The start of a round, on our own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The number of the round: the same for both agents.
    pub round: u32,
    /// When both make their attempt; never before it was asked for and at
    /// most 2 s after that.
    pub at: Time,
}

/// Rounds at equal distances, on our own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    /// T0, the start of the first round.
    pub(super) first: Start,
    /// The time between two rounds.
    pub(super) every: Duration,
    /// Whether we proposed it.
    pub(super) led: bool,
}

impl Schedule {
    /// The next round that does not start before `now`.
    pub(super) fn next(&self, now: Time) -> Option<Start> {
        let every = self.every.max(MIN_EVERY).as_nanos();
        let past = (now - self.first.at).as_nanos().div_ceil(every);
        let past = u32::try_from(past).ok()?;
        let at = self.first.at + self.every.max(MIN_EVERY).checked_mul(past)?;
        let round = self.first.round.checked_add(past)?;
        (at - self.first.at < SPAN).then_some(Start { round, at })
    }

    /// When a round starts; `None` of those that are not agreed. One of an
    /// agreement before this one starts with the first of this.
    pub(super) fn start_of(&self, round: u32) -> Option<Time> {
        let nth = round.saturating_sub(self.first.round);
        let at = self.first.at + self.every.max(MIN_EVERY).checked_mul(nth)?;
        (at - self.first.at < SPAN).then_some(at)
    }
}

/// How long from one round to the next on a path with this round-trip time.
pub(super) fn distance(rtt: Duration) -> Duration {
    let distance = (rtt * 5 / 2).clamp(MIN_EVERY, MAX_EVERY);
    // In a message it has no fraction of a microsecond.
    Duration::from_micros(u64::try_from(distance.as_micros()).unwrap_or(u64::MAX))
}

/// Whether a start at `at` is one to keep: ahead, and by no more than 2 s.
pub(super) fn is_ahead(at: Time, now: Time) -> bool {
    at > now && at - now <= MAX_AHEAD
}
