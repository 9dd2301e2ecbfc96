//! How many connections there are.

use std::collections::HashMap;
use std::net::IpAddr;

use parking_lot::Mutex;

/// Connections at a time, and of them those of one source.
const CONNECTIONS: usize = 1_024;
const PER_SOURCE: usize = 64;

/// How many connections each source has.
#[derive(Debug, Default)]
pub(super) struct Sources(Mutex<HashMap<IpAddr, usize>>);

impl Sources {
    /// Whether one more of this source is served.
    pub(super) fn admit(&self, source: IpAddr) -> bool {
        let counts = &mut *self.0.lock();
        let all: usize = counts.values().sum();
        let count = counts.entry(source).or_default();
        let admitted = all < CONNECTIONS && *count < PER_SOURCE;
        *count += usize::from(admitted);
        counts.retain(|_, count| *count > 0);
        admitted
    }

    /// One of this source has ended.
    pub(super) fn leave(&self, source: IpAddr) {
        let counts = &mut *self.0.lock();
        if let Some(count) = counts.get_mut(&source) {
            *count -= 1;
        }
        counts.retain(|_, count| *count > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_its_share_of_connections() {
        let sources = Sources::default();
        let ip = |n: u8| IpAddr::from([192, 0, 2, n]);
        let admitted = (0..1_000).filter(|_| sources.admit(ip(1))).count();
        assert_eq!(admitted, PER_SOURCE);
        let others = (2..=255).flat_map(|n| [ip(n); PER_SOURCE]).filter(|ip| sources.admit(*ip));
        assert_eq!(admitted + others.count(), CONNECTIONS);
        assert!(!sources.admit(ip(1)));
        sources.leave(ip(1));
        assert!(sources.admit(ip(1)));
        assert!(sources.0.lock().len() <= CONNECTIONS);
    }
}
