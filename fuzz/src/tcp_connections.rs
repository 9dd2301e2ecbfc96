//! What the system and peers may tell of connections, in any order: to the
//! table of them, and to two agents that have TCP alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use arbitrary::Unstructured;
use floe::rng::{Rng, Seed};
use floe::tcp::{Connections, Framing, Handshake, Key, Op, Outcome, Retry, Wanted};
use floe::timer::Time;

use crate::tcp_pair;

/// Things that happen in a run.
const MAX_STEPS: usize = 300;
const PER_ADDRESS: usize = 5;
const PER_SECOND: usize = 40;

pub(crate) const ERRORS: [ErrorKind; 8] = [
    ErrorKind::ConnectionRefused,
    ErrorKind::ConnectionReset,
    ErrorKind::TimedOut,
    ErrorKind::HostUnreachable,
    ErrorKind::AddrNotAvailable,
    ErrorKind::AddrInUse,
    ErrorKind::PermissionDenied,
    ErrorKind::Other,
];

/// Runs the table, or two agents, as `data` wants it.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    match byte(&mut input) & 1 {
        0 => table(&mut input),
        _ => tcp_pair::run(&mut input),
    }
}

pub(crate) fn byte(input: &mut Unstructured<'_>) -> u8 {
    input.arbitrary().unwrap_or_default()
}

pub(crate) fn handshake(choice: u8) -> Handshake {
    match choice & 3 {
        0 => Handshake::SynSent,
        1 => Handshake::SynReceived,
        2 => Handshake::Established,
        _ => Handshake::Unknown,
    }
}

/// The table with what it has asked for.
struct Bench {
    table: Connections,
    rng: Rng,
    now: Time,
    /// Sockets that a driver has now, and which of them are open.
    sockets: BTreeMap<Key, bool>,
    begun: VecDeque<Time>,
    open: BTreeSet<Key>,
}

fn table(input: &mut Unstructured<'_>) {
    let mut bench = Bench {
        table: Connections::default(),
        rng: Rng::new(&Seed::from_number(1)),
        now: Time::ZERO,
        sockets: BTreeMap::new(),
        begun: VecDeque::new(),
        open: BTreeSet::new(),
    };
    for _ in 0..MAX_STEPS {
        if input.is_empty() {
            break;
        }
        bench.step(input);
    }
    bench.pass(Duration::from_secs(60));
    // Every attempt has ended: what is left is open.
    assert!(bench.sockets.values().all(|open| *open), "{:?}", bench.sockets);
}

impl Bench {
    fn step(&mut self, input: &mut Unstructured<'_>) {
        let (what, which, detail) = (byte(input), byte(input), byte(input));
        let remote = SocketAddr::from(([192, 0, 2, which >> 6], 1 + u16::from(which & 15)));
        let key = Key::new(u32::from(which >> 4 & 3), remote);
        let (table, rng, now) = (&mut self.table, &mut self.rng, self.now);
        let rtt = (detail & 1 == 1).then(|| Duration::from_millis(u64::from(detail) * 4));
        let framing = if detail & 2 == 0 { Framing::Rfc4571 } else { Framing::Stun };
        let retry = match detail & 0b1100 {
            0b0100 => Retry::Never,
            0b1000 => Retry::Seldom,
            _ => Retry::Often,
        };
        let wanted = Wanted { key, framing, rtt, retry };
        match what % 14 {
            0..=2 => table.want(&wanted, now),
            3 => {
                self.sockets.entry(key).and_modify(|open| *open = true);
                table.connected(key, now, rng);
            }
            4 | 5 => {
                self.sockets.retain(|k, open| *k != key || *open);
                table.connect_failed(key, ERRORS[usize::from(detail & 7)], now, rng);
            }
            6 => {
                self.sockets.insert(key, true);
                table.accepted(key, now, rng);
            }
            7 => {
                self.sockets.retain(|k, open| *k != key || !*open);
                table.disconnected(key);
            }
            8 => table.inspected(key, handshake(detail), now, rng),
            9 => table.sign(now),
            10 => table.prove(key),
            11 => table.reject(key),
            12 if !self.sockets.contains_key(&key) => table.retry(&wanted, now, rng),
            13 if detail == 0 => {
                self.sockets.retain(|k, _| k.base != key.base);
                self.open.retain(|k| k.base != key.base);
                table.close_base(key.base);
            }
            _ => table.drop_entry(key, detail & 1 == 0),
        }
        self.drain();
        self.pass(Duration::from_millis(u64::from(byte(input)) * 8));
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..10_000 {
            match self.table.poll_timeout().filter(|next| *next <= end) {
                Some(next) => self.now = next,
                None => {
                    self.now = end;
                    return self.drain();
                }
            }
            self.drain();
        }
        panic!("no end");
    }

    fn drain(&mut self) {
        self.table.advance(self.now, &mut self.rng);
        while let Some(op) = self.table.poll_op() {
            match op {
                Op::Connect(key, _) => {
                    assert!(self.sockets.insert(key, false).is_none(), "one at a time: {key:?}");
                    self.begun.push_back(self.now);
                }
                Op::Disconnect { key, .. } => drop(self.sockets.remove(&key)),
                Op::Inspect(_) => {}
            }
        }
        while let Some(outcome) = self.table.poll_outcome() {
            match outcome {
                Outcome::Opened(key) => assert!(self.open.insert(key), "{key:?} is open"),
                Outcome::Lost(key) => assert!(self.open.remove(&key), "{key:?} was not open"),
                Outcome::Failed(key, _) => assert!(!self.open.contains(&key)),
            }
        }
        self.open.retain(|key| self.table.is_open(*key));
        let next = self.table.poll_timeout();
        assert!(next.is_none_or(|next| next > self.now), "at {} {next:?}", self.now);
        while self.begun.front().is_some_and(|at| *at + Duration::from_secs(1) <= self.now) {
            self.begun.pop_front();
        }
        assert!(self.begun.len() <= PER_SECOND);
        for ip in self.sockets.keys().map(|key| key.remote.ip()).collect::<BTreeSet<_>>() {
            let tries = self.sockets.iter().filter(|(key, open)| key.remote.ip() == ip && !**open);
            assert!(tries.count() <= PER_ADDRESS, "to {ip}");
        }
    }
}

/// Runs drawn at random, so that the test has some even without a corpus.
#[test]
fn events_in_any_order_come_to_an_end() {
    for seed in 0..600 {
        let mut rng = Rng::new(&Seed::from_number(seed));
        let data: Vec<u8> = (0..60).flat_map(|_| rng.bytes::<8>()).collect();
        run(&data);
    }
}
