use std::time::Duration;

use super::slots::{PER_ADDRESS, UNPROVEN, UNPROVEN_PER_ADDRESS};
use super::*;
use crate::rng::Seed;

fn key(remote: &str) -> Key {
    Key::new(0, remote.parse().unwrap())
}

fn ms(millis: u64) -> Time {
    Time::from_millis(millis)
}

/// A table and its clock, with all that it asked for and told.
struct Bench {
    table: Connections,
    rng: Rng,
    now: Time,
    ops: Vec<(u64, Op)>,
    outcomes: Vec<Outcome>,
}

impl Bench {
    fn new() -> Self {
        let rng = Rng::new(&Seed::from_number(1));
        let table = Connections::default();
        Bench { table, rng, now: Time::ZERO, ops: Vec::new(), outcomes: Vec::new() }
    }

    fn want(&mut self, remote: &str) {
        let rtt = Some(Duration::from_millis(40));
        let wanted =
            Wanted { key: key(remote), framing: Framing::Rfc4571, rtt, retry: Retry::Often };
        self.table.want(&wanted, self.now);
        self.drain();
    }

    fn drain(&mut self) {
        self.table.advance(self.now, &mut self.rng);
        let at = (self.now - Time::ZERO).as_millis() as u64;
        self.ops.extend(std::iter::from_fn(|| self.table.poll_op()).map(|op| (at, op)));
        self.outcomes.extend(std::iter::from_fn(|| self.table.poll_outcome()));
        assert!(self.table.poll_timeout().is_none_or(|next| next > self.now), "at {}", self.now);
    }

    /// Time passes; whatever is connected is answered by `answer` at once.
    fn run(&mut self, until: Time, mut answer: impl FnMut(&mut Self, Op)) {
        let mut done = 0;
        for _ in 0..100_000 {
            while let Some((_, op)) = self.ops.get(done).copied() {
                done += 1;
                answer(self, op);
                self.drain();
            }
            match self.table.poll_timeout().filter(|next| *next <= until) {
                Some(next) => self.now = next,
                None => {
                    self.now = until;
                    return self.drain();
                }
            }
            self.drain();
        }
        panic!("no end");
    }

    fn connects(&self) -> Vec<(u64, Key)> {
        let connect = |(at, op): &(u64, Op)| match op {
            Op::Connect(key, _) => Some((*at, *key)),
            _ => None,
        };
        self.ops.iter().filter_map(connect).collect()
    }
}

#[test]
fn the_first_attempt_is_at_once_and_silence_ends_after_a_lifetime() {
    let mut bench = Bench::new();
    bench.want("192.0.2.1:1");
    assert_eq!(bench.connects(), [(0, key("192.0.2.1:1"))]);
    bench.run(ms(60_000), |bench, op| {
        if let Op::Inspect(key) = op {
            bench.table.inspected(key, Handshake::SynSent, bench.now, &mut bench.rng);
        }
    });
    assert_eq!(bench.connects().len(), 1, "a silent SYN-SENT is left alone");
    assert_eq!(bench.outcomes, [Outcome::Failed(key("192.0.2.1:1"), NotConnected::Silent)]);
    let end = (39_500, Op::Disconnect { key: key("192.0.2.1:1"), abort: false });
    assert_eq!(bench.ops.last(), Some(&end));
    assert!(bench.table.is_empty());
}

/// Each refusal is answered by a fresh socket, fast at first and once a second
/// later, with a jitter.
#[test]
fn refusals_are_answered_by_fresh_sockets() {
    let mut bench = Bench::new();
    bench.want("192.0.2.1:1");
    bench.run(ms(60_000), |bench, op| {
        if let Op::Connect(key, _) = op {
            let kind = io::ErrorKind::ConnectionRefused;
            bench.table.connect_failed(key, kind, bench.now, &mut bench.rng);
        }
    });
    let times: Vec<u64> = bench.connects().iter().map(|(at, _)| *at).collect();
    let pauses: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let early = times.iter().filter(|at| **at < 1_000).count();
    assert!(early <= 41, "no more than 40 within a second: {early}");
    assert!(pauses[..20].iter().all(|pause| (0..=11).contains(pause)), "{pauses:?}");
    let late: Vec<u64> = times.into_iter().filter(|at| *at > 7_000).collect();
    assert!(late.windows(2).all(|p| (700..=1_301).contains(&(p[1] - p[0]))), "{late:?}");
    assert!(late.windows(3).any(|p| p[1] - p[0] != p[2] - p[1]));
    // Half of 40 ms had not passed: nothing far away said so.
    assert_eq!(bench.outcomes, [Outcome::Failed(key("192.0.2.1:1"), NotConnected::RefusedNearby)]);
}

#[test]
fn who_refuses_is_told_by_how_long_it_took() {
    for (took, why) in [(19, NotConnected::RefusedNearby), (21, NotConnected::RefusedByPeer)] {
        let mut bench = Bench::new();
        bench.want("192.0.2.1:1");
        let key = key("192.0.2.1:1");
        bench.now = ms(took);
        let kind = io::ErrorKind::ConnectionRefused;
        bench.table.connect_failed(key, kind, bench.now, &mut bench.rng);
        bench.run(ms(60_000), |_, _| {});
        assert_eq!(bench.outcomes, [Outcome::Failed(key, why)]);
    }
}

/// RFC 6544 §12: five to one address. The others wait for a retransmission of
/// the system, then take turns.
#[test]
fn attempts_to_one_address_take_turns() {
    let mut bench = Bench::new();
    let remotes: Vec<String> = (1..=12).map(|port| format!("192.0.2.1:{port}")).collect();
    remotes.iter().for_each(|remote| bench.want(remote));
    bench.want("192.0.2.2:1");
    assert_eq!(bench.connects().len(), 6, "five there, and one elsewhere");
    let mut open = std::collections::BTreeSet::new();
    let mut most = 0;
    bench.run(ms(20_000), |bench, op| match op {
        Op::Connect(key, _) => {
            open.insert(key);
            most = most.max(open.iter().filter(|k| k.remote.ip() == key.remote.ip()).count());
        }
        Op::Disconnect { key, abort } => assert!(open.remove(&key) && !abort),
        Op::Inspect(key) => {
            bench.table.inspected(key, Handshake::SynSent, bench.now, &mut bench.rng);
        }
    });
    assert_eq!(most, 5);
    let elsewhere = bench.connects().iter().filter(|(_, k)| *k == key("192.0.2.2:1")).count();
    assert_eq!(elsewhere, 1, "who is not in anybody's way is left alone");
    let counts: Vec<usize> = remotes
        .iter()
        .map(|remote| bench.connects().iter().filter(|(_, k)| *k == key(remote)).count())
        .collect();
    assert!(counts.iter().all(|count| (6..=8).contains(count)), "{counts:?}");
    for (_, connect) in bench.connects().windows(6).flatten().map(|(at, key)| (at, key)) {
        assert_eq!(connect.base, 0);
    }
}

/// One waits, and all others have had their time: one gives its slot up, and
/// waits in its turn for as long.
#[test]
fn a_single_attempt_that_waits_sets_off_no_round() {
    let mut bench = Bench::new();
    (1..=6).for_each(|port| bench.want(&format!("192.0.2.1:{port}")));
    bench.run(ms(10_000), |bench, op| {
        if let Op::Inspect(key) = op {
            bench.table.inspected(key, Handshake::SynSent, bench.now, &mut bench.rng);
        }
    });
    let later: Vec<u64> = bench.connects()[5..].iter().map(|(at, _)| *at).collect();
    assert_eq!(later, [1_200, 2_400, 3_600, 4_800, 6_000, 7_200, 8_400, 9_600]);
}

#[test]
fn what_has_the_peers_syn_is_not_touched_before_its_cap() {
    let mut bench = Bench::new();
    (1..=7).for_each(|port| bench.want(&format!("192.0.2.1:{port}")));
    let first = key("192.0.2.1:1");
    bench.run(ms(3_000), |bench, op| {
        if let Op::Inspect(key) = op {
            let half_open = key == first && bench.now < ms(1_500);
            let state = if half_open { Handshake::SynReceived } else { Handshake::SynSent };
            bench.table.inspected(key, state, bench.now, &mut bench.rng);
        }
    });
    let mut bench = Bench::new();
    bench.want("192.0.2.1:1");
    bench.run(ms(3_000), |bench, op| {
        if let Op::Inspect(key) = op {
            bench.table.inspected(key, Handshake::SynReceived, bench.now, &mut bench.rng);
        }
    });
    // Seen at 500 ms; 2 RTT and a second later it is given up at the next look.
    let given_up = bench.ops.iter().find(|(_, op)| matches!(op, Op::Disconnect { .. }));
    assert_eq!(given_up.map(|(at, _)| *at), Some(2_000));
    assert!(bench.connects()[1].0 < 2_100, "{:?}", bench.ops);
    bench.run(ms(60_000), |_, _| {});
    assert_eq!(bench.outcomes, [Outcome::Failed(first, NotConnected::HalfOpen)]);
}

#[test]
fn what_exists_already_is_adopted_from_the_listener() {
    let mut bench = Bench::new();
    bench.want("192.0.2.1:1");
    let key = key("192.0.2.1:1");
    let exists = io::ErrorKind::AddrNotAvailable;
    bench.table.connect_failed(key, exists, bench.now, &mut bench.rng);
    bench.now = ms(30);
    bench.drain();
    assert_eq!(bench.connects().len(), 1, "it waits a round trip for the listener");
    bench.table.accepted(key, bench.now, &mut bench.rng);
    bench.drain();
    assert_eq!(bench.outcomes, [Outcome::Opened(key)]);
    bench.run(ms(100_000), |_, _| {});
    assert!(bench.table.is_open(key), "it is ours, and nothing has to prove it");
}

#[test]
fn connections_that_prove_nothing_are_bounded_in_number_and_time() {
    let mut bench = Bench::new();
    let proven = key("192.0.2.1:9");
    bench.table.accepted(proven, bench.now, &mut bench.rng);
    bench.table.prove(proven);
    for port in 1_000..3_000 {
        let from = format!("192.0.2.{}:{port}", 1 + port % 100);
        bench.table.accepted(key(&from), bench.now, &mut bench.rng);
        bench.drain();
        assert!(bench.table.entries.len() <= 1 + UNPROVEN);
    }
    for port in 1_000..2_000 {
        bench.table.accepted(key(&format!("192.0.2.200:{port}")), bench.now, &mut bench.rng);
    }
    let of_ip = |e: &&Entry| e.key.remote.ip() == key("192.0.2.200:1").remote.ip();
    assert_eq!(bench.table.entries.iter().filter(of_ip).count(), UNPROVEN_PER_ADDRESS);
    bench.run(ms(15_000), |_, _| {});
    assert_eq!(bench.table.entries.len(), 1);
    assert!(bench.table.is_open(proven));
}

#[test]
fn a_server_is_tried_once() {
    let mut bench = Bench::new();
    let key = key("192.0.2.9:3478");
    let wanted = Wanted { key, framing: Framing::Stun, rtt: None, retry: Retry::Never };
    bench.table.want(&wanted, bench.now);
    bench.drain();
    let kind = io::ErrorKind::ConnectionRefused;
    bench.table.connect_failed(key, kind, bench.now, &mut bench.rng);
    bench.drain();
    assert_eq!(bench.outcomes, [Outcome::Failed(key, NotConnected::Refused)]);
    assert!(bench.table.is_empty());
}

proptest::proptest! {
    /// Whatever the driver and peers do, in whatever order.
    #[test]
    fn any_order_of_events_is_bounded(
        events in proptest::collection::vec((0u8..9, 0u8..12, 0u64..3_000), 1..300),
    ) {
        let mut bench = Bench::new();
        for (event, port, later) in events {
            let key = key(&format!("192.0.2.{}:{port}", 1 + port % 2));
            let (table, rng) = (&mut bench.table, &mut bench.rng);
            match event {
                0 | 1 => bench.want(&key.remote.to_string()),
                2 => table.connected(key, bench.now, rng),
                3 => table.connect_failed(key, io::ErrorKind::ConnectionRefused, bench.now, rng),
                4 => table.connect_failed(key, io::ErrorKind::AddrNotAvailable, bench.now, rng),
                5 => table.accepted(key, bench.now, rng),
                6 => table.disconnected(key),
                7 => table.inspected(key, Handshake::SynReceived, bench.now, rng),
                _ => table.connect_failed(key, io::ErrorKind::PermissionDenied, bench.now, rng),
            }
            bench.drain();
            let under_way = |ip| bench.table.under_way(ip).count();
            proptest::prop_assert!(under_way(key.remote.ip()) <= PER_ADDRESS);
            let until = bench.now + Duration::from_millis(later);
            bench.run(until, |_, _| {});
        }
        bench.run(bench.now + Duration::from_secs(60), |_, _| {});
        let left = bench.table.entries.iter().filter(|entry| !entry.phase.is_open()).count();
        proptest::prop_assert_eq!(left, 0, "every attempt ends");
    }
}
