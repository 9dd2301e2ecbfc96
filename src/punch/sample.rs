//! What four timestamps tell of another clock.

use std::time::Duration;

/// A sample that took longer says nothing of use, for a start is at most 2 s
/// ahead.
const MAX_RTT: i64 = 4_000_000_000;

/// One exchange of four timestamps (RFC 5905 §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The peer's clock less ours, in nanoseconds: off by at most half of the
    /// difference between the delays there and back, and so by at most half
    /// of `rtt`.
    pub offset: i64,
    /// The time on the way, there and back; at most 4 s.
    pub rtt: Duration,
}

impl Sample {
    /// From the times, in nanoseconds: `t1` sent and `t4` received on our
    /// clock, `t2` received and `t3` sent on the peer's. `None` where they
    /// contradict each other, or where it took more than 4 s.
    pub(super) fn new([t1, t2, t3, t4]: [i64; 4]) -> Option<Self> {
        let there = t2.checked_sub(t1)?;
        let back = t3.checked_sub(t4)?;
        let spent = t3.checked_sub(t2).filter(|spent| *spent >= 0)?;
        let rtt = t4.checked_sub(t1)?.checked_sub(spent)?;
        let rtt = u64::try_from(rtt).ok().filter(|_| rtt <= MAX_RTT)?;
        let offset = there.checked_add(back)? / 2;
        Some(Sample { offset, rtt: Duration::from_nanos(rtt) })
    }

    /// The better of two: the less time on the way, the less can be unequal.
    pub(super) fn better(self, other: Option<Sample>) -> Sample {
        other.filter(|other| other.rtt <= self.rtt).unwrap_or(self)
    }
}
