//! How much data goes over each path. Counting must not cost what sending
//! and receiving are measured in: one addition a datagram or batch.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::clock;
use crate::agent::{BaseId, StreamId};
use crate::candidate::ComponentId;
use crate::net;

/// The application's data on one way, in one direction or, of a transport, on
/// all its ways; under the names of the W3C's statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrafficStats {
    /// Datagrams that were sent.
    pub packets_sent: u64,
    /// Their payload.
    pub bytes_sent: u64,
    /// When the last was sent, to some milliseconds.
    pub last_packet_sent: Option<SystemTime>,
    /// Datagrams that were received, those counted that nobody took in time.
    pub packets_received: u64,
    /// Their payload.
    pub bytes_received: u64,
    /// When the last was received, to some milliseconds.
    pub last_packet_received: Option<SystemTime>,
}

/// Counts datagrams and bytes with one addition for both.
#[derive(Debug, Default)]
struct Counter {
    /// Datagrams in the upper 24 bits, bytes in the lower 40.
    recent: AtomicU64,
    /// What was taken out of `recent`: datagrams and bytes.
    past: Mutex<(u64, u64)>,
    /// By [`clock::coarse`]; 0 is never.
    last: AtomicU64,
}

const BYTE_BITS: u32 = 40;
const BYTES: u64 = (1 << BYTE_BITS) - 1;

/// `recent` is taken out when it has so many datagrams. As many of 64 KiB, and
/// as many calls that add a [`MAX_AT_ONCE`] each, are far from its bounds.
const MANY: u64 = 1 << 22;

/// The datagrams and bytes that are added to `recent` in one call.
const MAX_AT_ONCE: u64 = 1 << 20;

impl Counter {
    fn add(&self, packets: usize, bytes: usize) {
        self.last.store(clock::coarse(), Ordering::Relaxed);
        let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let (packets, bytes) = (number(packets), number(bytes));
        if packets > MAX_AT_ONCE || bytes > MAX_AT_ONCE {
            let past = &mut *self.past.lock();
            *past = (past.0.saturating_add(packets), past.1.saturating_add(bytes));
            return;
        }
        let before = self.recent.fetch_add((packets << BYTE_BITS) | bytes, Ordering::Relaxed);
        if before >> BYTE_BITS >= MANY || before & BYTES >= BYTES / 2 {
            self.take();
        }
    }

    /// Datagrams and bytes so far.
    fn take(&self) -> (u64, u64) {
        let past = &mut *self.past.lock();
        let recent = self.recent.swap(0, Ordering::Relaxed);
        *past = (past.0 + (recent >> BYTE_BITS), past.1 + (recent & BYTES));
        *past
    }

    fn last(&self) -> Option<SystemTime> {
        let last = self.last.load(Ordering::Relaxed);
        let ago = Duration::from_nanos(clock::coarse().saturating_sub(last));
        SystemTime::now().checked_sub(ago).filter(|_| last != 0)
    }
}

/// The traffic of one path.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    sent: Counter,
    received: Counter,
}

impl Traffic {
    pub(crate) fn sent(&self, packets: usize, bytes: usize) {
        self.sent.add(packets, bytes);
    }

    pub(crate) fn received(&self, packets: usize, bytes: usize) {
        self.received.add(packets, bytes);
    }

    pub(crate) fn stats(&self) -> TrafficStats {
        let (packets_sent, bytes_sent) = self.sent.take();
        let (packets_received, bytes_received) = self.received.take();
        TrafficStats {
            packets_sent,
            bytes_sent,
            last_packet_sent: self.sent.last(),
            packets_received,
            bytes_received,
            last_packet_received: self.received.last(),
        }
    }
}

impl TrafficStats {
    fn add(&mut self, more: &TrafficStats) {
        self.packets_sent += more.packets_sent;
        self.bytes_sent += more.bytes_sent;
        self.last_packet_sent = self.last_packet_sent.max(more.last_packet_sent);
        self.packets_received += more.packets_received;
        self.bytes_received += more.bytes_received;
        self.last_packet_received = self.last_packet_received.max(more.last_packet_received);
    }
}

/// The traffic of all paths of an agent.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    paths: Vec<Entry>,
    /// What went over paths that are gone.
    past: Vec<((StreamId, ComponentId), TrafficStats)>,
}

#[derive(Debug)]
struct Entry {
    owner: (StreamId, ComponentId),
    base: BaseId,
    remote: SocketAddr,
    traffic: Arc<Traffic>,
}

impl Ledger {
    /// Paths that are kept: those of one set of pairs (RFC 8445 §6.1.2.5
    /// proposes 100), and some of the session before it.
    const MAX_PATHS: usize = 256;

    /// The traffic of a path, from now on of this component.
    pub(super) fn path(
        &mut self,
        owner: (StreamId, ComponentId),
        (base, remote): (BaseId, SocketAddr),
    ) -> Arc<Traffic> {
        let remote = net::canonical(remote);
        let is_it = |entry: &Entry| (entry.base, entry.remote) == (base, remote);
        if let Some(at) = self.paths.iter().position(is_it) {
            if self.paths[at].owner == owner {
                return self.paths[at].traffic.clone();
            }
            self.forget(|entry| is_it(entry));
        }
        if self.paths.len() >= Self::MAX_PATHS {
            self.forget(|entry| Arc::strong_count(&entry.traffic) == 1);
        }
        let traffic = Arc::new(Traffic::default());
        self.paths.reserve_exact(1);
        self.paths.push(Entry { owner, base, remote, traffic: traffic.clone() });
        traffic
    }

    /// The socket is closed.
    pub(super) fn close(&mut self, base: BaseId) {
        self.forget(|entry| entry.base == base);
    }

    /// The stream is gone.
    pub(super) fn remove(&mut self, stream: StreamId) {
        self.paths.retain(|entry| entry.owner.0 != stream);
        self.past.retain(|((owner, _), _)| *owner != stream);
    }

    /// What went over a path.
    pub(super) fn of(&self, (base, remote): (BaseId, SocketAddr)) -> TrafficStats {
        let remote = net::canonical(remote);
        let entry = self.paths.iter().find(|e| (e.base, e.remote) == (base, remote));
        entry.map(|entry| entry.traffic.stats()).unwrap_or_default()
    }

    /// What went over all paths of a component, those that are gone included.
    pub(super) fn total(&self, owner: (StreamId, ComponentId)) -> TrafficStats {
        let past = self.past.iter().find(|(past, _)| *past == owner);
        let mut total = past.map(|(_, stats)| *stats).unwrap_or_default();
        let paths = self.paths.iter().filter(|entry| entry.owner == owner);
        paths.for_each(|entry| total.add(&entry.traffic.stats()));
        total
    }

    fn forget(&mut self, is_over: impl Fn(&Entry) -> bool) {
        let Ledger { paths, past } = self;
        paths.retain(|entry| {
            if !is_over(entry) {
                return true;
            }
            let stats = entry.traffic.stats();
            match past.iter_mut().find(|(owner, _)| *owner == entry.owner) {
                Some((_, total)) => total.add(&stats),
                None => past.push((entry.owner, stats)),
            }
            false
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: (StreamId, ComponentId) = (StreamId(0), ComponentId::ONE);

    fn path(base: u32, port: u16) -> (BaseId, SocketAddr) {
        (BaseId(base), SocketAddr::from(([192, 0, 2, 1], port)))
    }

    fn sent(stats: &TrafficStats) -> (u64, u64) {
        (stats.packets_sent, stats.bytes_sent)
    }

    #[test]
    fn datagrams_and_bytes_are_exact_whatever_they_add_up_to() {
        let counter = Counter::default();
        assert_eq!(counter.last(), None);
        let (mut packets, mut bytes) = (0, 0);
        for (times, packet, byte) in [
            (5, 1, 0),
            (100, 1, 1_200),
            (3, 50, 60_000),
            (10, 1 << 20, 1 << 20),
            (2, 1 << 30, 1 << 45),
            (600_000, 1 << 20, 1 << 20),
            (1, 1, 65_507),
        ] {
            for _ in 0..times {
                counter.add(packet, byte);
                (packets, bytes) = (packets + packet as u64, bytes + byte as u64);
            }
            if times != 3 {
                assert_eq!(counter.take(), (packets, bytes));
            }
        }
        assert!(counter.last().is_some());
    }

    #[test]
    fn threads_do_not_lose_a_datagram() {
        let counter = Counter::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100_000 {
                        // Soon more than is kept in one word.
                        counter.add(1_000, 1 << 20);
                    }
                });
            }
            let mut last = (0, 0);
            for _ in 0..1_000 {
                let now = counter.take();
                assert!(now >= last, "it never goes back");
                last = now;
            }
        });
        assert_eq!(counter.take(), (400_000_000, 400_000 << 20));
    }

    #[test]
    fn what_paths_carried_stays_with_their_component() {
        let mut ledger = Ledger::default();
        ledger.path(OWNER, path(0, 1)).sent(1, 10);
        ledger.path(OWNER, path(0, 1)).sent(1, 10);
        ledger.path(OWNER, path(1, 1)).sent(1, 100);
        assert_eq!(sent(&ledger.of(path(0, 1))), (2, 20));
        assert_eq!(sent(&ledger.total(OWNER)), (3, 120));
        ledger.close(BaseId(0));
        assert_eq!(sent(&ledger.of(path(0, 1))), (0, 0));
        assert_eq!(sent(&ledger.total(OWNER)), (3, 120));
        // Another component takes a path over.
        let other = (StreamId(1), ComponentId::ONE);
        ledger.path(other, path(1, 1)).sent(1, 1_000);
        assert_eq!(sent(&ledger.total(OWNER)), (3, 120));
        assert_eq!(sent(&ledger.total(other)), (1, 1_000));
        ledger.remove(other.0);
        assert_eq!(sent(&ledger.total(other)), (0, 0));
    }

    #[test]
    fn paths_that_nobody_uses_make_room() {
        let mut ledger = Ledger::default();
        let kept = ledger.path(OWNER, path(0, 0));
        for port in 1..1_000 {
            ledger.path(OWNER, path(0, port)).sent(1, 1);
        }
        assert!(ledger.paths.len() <= Ledger::MAX_PATHS, "{}", ledger.paths.len());
        kept.sent(1, 1);
        assert_eq!(sent(&ledger.of(path(0, 0))), (1, 1));
        assert_eq!(sent(&ledger.total(OWNER)), (1_000, 1_000));
    }
}
