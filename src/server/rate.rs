use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Requests a second that one source may send. Behind one address there may
/// be many agents, each at 200 a second for a moment (Ta of 5 ms).
const PER_SOURCE: u32 = 1_000;

/// Sources that are counted apart. Beyond them, which only forged addresses
/// reach, new ones are not served until the second ends.
const SOURCES: usize = 4_096;

/// Longer answers a second to one source: a client asks for ten at most
/// (RFC 5780 §5), and there may be a few behind one address.
const LONG_PER_SOURCE: u32 = 50;

const WINDOW: Duration = Duration::from_secs(1);

/// Counts requests a source and second, or another time.
#[derive(Debug)]
pub(super) struct RateLimit {
    per_source: u32,
    length: Duration,
    window: Instant,
    counts: HashMap<IpAddr, u32>,
}

impl RateLimit {
    pub(super) fn new(now: Instant) -> Self {
        Self::with(PER_SOURCE, WINDOW, now)
    }

    /// Each source has `per_source` requests in a window of `length`.
    pub(super) fn with(per_source: u32, length: Duration, now: Instant) -> Self {
        RateLimit { per_source, length, window: now, counts: HashMap::new() }
    }

    /// One for answers that are much longer than what they answer.
    pub(super) fn of_long_answers(now: Instant) -> Self {
        Self::with(LONG_PER_SOURCE, WINDOW, now)
    }

    /// Whether a request of this source is answered.
    pub(super) fn admits(&mut self, source: IpAddr, now: Instant) -> bool {
        if now.saturating_duration_since(self.window) >= self.length {
            self.window = now;
            self.counts.clear();
        }
        let source = network(source);
        if self.counts.len() >= SOURCES && !self.counts.contains_key(&source) {
            return false;
        }
        let count = self.counts.entry(source).or_default();
        *count = count.saturating_add(1);
        *count <= self.per_source
    }
}

#[cfg(test)]
impl RateLimit {
    /// How many sources are counted, and how many bytes that takes.
    pub(super) fn kept(&self) -> (usize, usize) {
        let entry = size_of::<(IpAddr, u32)>() + 1;
        (self.counts.len(), self.counts.capacity() * 8 / 7 * entry)
    }
}

/// What one source can change at will does not count: of an IPv6 address the
/// second half.
pub(super) fn network(source: IpAddr) -> IpAddr {
    match source {
        IpAddr::V4(_) => source,
        IpAddr::V6(v6) => std::net::Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_held_to_its_share() {
        let start = Instant::now();
        let mut rate = RateLimit::new(start);
        let (one, other) = ("2001:db8::1".parse().unwrap(), "2001:db8:0:1::1".parse().unwrap());
        assert!((0..PER_SOURCE).all(|_| rate.admits(one, start)));
        assert!(!rate.admits(one, start));
        assert!(!rate.admits("2001:db8::2".parse().unwrap(), start));
        assert!(rate.admits(other, start));
        assert!(rate.admits(one, start + WINDOW));
    }

    #[test]
    fn forged_sources_cost_bounded_memory() {
        let start = Instant::now();
        let mut rate = RateLimit::new(start);
        let admitted = (0..10_000_u32)
            .filter(|&n| rate.admits(std::net::Ipv4Addr::from_bits(n).into(), start));
        assert_eq!(admitted.count(), SOURCES);
        assert_eq!(rate.counts.len(), SOURCES);
    }
}
