//! A check-list set on the bench: it is fed by hand, and what it sends is
//! written down with its time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use floe::candidate::{Candidate, ComponentId, Foundation, Kind};
use floe::check::{
    Checks, Fast, Limits, Local, LocalId, Notice, Pair, PairId, PairState, Path, PeerRequest,
    Refused, RemoteId, Role, Start, StartKind,
};
use floe::rng::{Rng, Seed};
use floe::stun::TransactionId;
use floe::timer::{Pacer, Time};

/// Ta of the bench.
pub(crate) const TA: Duration = Duration::from_millis(50);
/// The tie-breaker of the bench.
pub(crate) const TIE_BREAKER: u64 = 1000;

pub(crate) const LIMITS: Limits = Limits { pairs: 100, remotes: 256, found: 128 };

/// One check-list set, its clock and its record.
pub(crate) struct Bench {
    pub(crate) checks: Checks,
    pub(crate) now: Time,
    /// Everything that was sent, and when.
    pub(crate) sent: Vec<(Time, Start)>,
    pub(crate) notices: Vec<Notice>,
    pacer: Pacer,
    rng: Rng,
}

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

pub(crate) fn component(number: u16) -> ComponentId {
    ComponentId::new(number).expect("a component")
}

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) const fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

/// A host candidate of ours: base number, component, address, local preference.
pub(crate) fn host(base: u32, number: u16, text: &str, preference: u16) -> Local {
    let component = component(number);
    let ip = address(text).ip();
    Local {
        component,
        base,
        address: address(text),
        kind: Kind::Host,
        priority: floe::candidate::priority(126, preference, component),
        reflexive_priority: floe::candidate::priority(110, preference, component),
        foundation: foundation(&format!("{ip}")),
        path: Path::default(),
        related: None,
    }
}

fn foundation(text: &str) -> Foundation {
    let chars: String = text.chars().map(|c| if c.is_alphanumeric() { c } else { '+' }).collect();
    Foundation::new(&chars).expect("a foundation")
}

/// A host candidate of the peer: foundation, component, address, local preference.
pub(crate) fn theirs(group: &str, number: u16, text: &str, preference: u16) -> Candidate {
    let address = address(text);
    let priority = floe::candidate::priority(126, preference, component(number));
    format!(
        "candidate:{group} {number} UDP {priority} {} {} typ host",
        address.ip(),
        address.port()
    )
    .parse()
    .expect("a candidate")
}

impl Bench {
    /// A set with streams of so many components.
    pub(crate) fn new(role: Role, streams: &[u16]) -> Self {
        Self::with_limits(role, streams, LIMITS)
    }

    pub(crate) fn with_limits(role: Role, streams: &[u16], limits: Limits) -> Self {
        let mut bench = Self::gathering_with_limits(role, streams, limits);
        for stream in 0..streams.len() {
            bench.checks.local_candidates_done(stream as u16);
        }
        bench
    }

    /// A set whose agent still gathers candidates.
    pub(crate) fn gathering(role: Role, streams: &[u16]) -> Self {
        Self::gathering_with_limits(role, streams, LIMITS)
    }

    fn gathering_with_limits(role: Role, streams: &[u16], limits: Limits) -> Self {
        let mut checks = Checks::new(role, TIE_BREAKER, TA, limits, Arc::new(Fast::default()));
        for components in streams {
            checks.add_stream(*components);
        }
        Bench {
            checks,
            now: Time::ZERO,
            sent: Vec::new(),
            notices: Vec::new(),
            pacer: Pacer::new(),
            rng: Rng::new(&Seed::from_number(1)),
        }
    }

    /// A started set of one stream and one component, with one base,
    /// 10.0.0.1:1, and remote candidates 10.0.1.1:1, 10.0.1.2:1, … with
    /// foundations of their own and falling priority.
    pub(crate) fn simple(role: Role, remotes: u16) -> Self {
        let mut bench = Bench::new(role, &[1]);
        bench.checks.add_base(0, host(0, 1, "10.0.0.1:1", 65535));
        for i in 1..=remotes {
            bench.add_remote(0, &format!("f{i}"), 1, &format!("10.0.1.{i}:1"), 1000 - i);
        }
        bench.checks.start(0);
        bench
    }

    /// Starts the patience timer, so that nothing fails before it ends.
    pub(crate) fn with_patience(mut self) -> Self {
        self.checks.start_patience(at(39_500));
        self
    }

    pub(crate) fn add_remote(
        &mut self,
        stream: u16,
        group: &str,
        number: u16,
        text: &str,
        preference: u16,
    ) -> RemoteId {
        let candidate = theirs(group, number, text, preference);
        self.checks.add_remote(stream, &candidate, address(text)).expect("room for a candidate")
    }

    /// Lets `duration` pass and does everything that is due meanwhile.
    pub(crate) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        self.advance();
        while let Some((next, reason)) = self.checks.poll_timeout().filter(|(next, _)| *next <= end)
        {
            assert!(next > self.now, "{reason:?} at {next} does not come after {}", self.now);
            self.now = next;
            self.advance();
        }
        self.now = end;
        self.advance();
    }

    fn advance(&mut self) {
        self.checks.advance(self.now, &self.pacer, &mut self.rng);
        while let Some(start) = self.checks.poll_start() {
            self.sent.push((self.now, start));
        }
        while let Some(notice) = self.checks.poll_notice() {
            self.notices.push(notice);
        }
    }

    /// The new checks sent so far: when, and to which address.
    pub(crate) fn started(&self) -> Vec<(u64, String)> {
        self.starts().map(|(time, start)| (millis(*time), self.to(start.pair))).collect()
    }

    fn starts(&self) -> impl Iterator<Item = &(Time, Start)> {
        self.sent.iter().filter(|(_, s)| !s.again && s.kind != StartKind::Consent)
    }

    /// The times of all transmissions to an address.
    pub(crate) fn transmissions(&self, to: &str) -> Vec<u64> {
        self.sent.iter().filter(|(_, s)| self.to(s.pair) == to).map(|(t, _)| millis(*t)).collect()
    }

    /// The remote address of a pair.
    pub(crate) fn to(&self, pair: PairId) -> String {
        let pair = self.checks.pair(pair);
        self.checks.remote(pair.stream, pair.remote).address.to_string()
    }

    /// The last request to an address.
    pub(crate) fn last(&self, to: &str) -> Start {
        let start = self.sent.iter().rev().find(|(_, s)| self.to(s.pair) == to);
        start.unwrap_or_else(|| panic!("nothing was sent to {to}")).1
    }

    /// Answers the last request to an address, as seen from its base's address.
    pub(crate) fn answer(&mut self, to: &str) {
        let start = self.last(to);
        let local = self.local_of(start.pair).address;
        self.answer_mapped(start.id, start.pair, local);
    }

    pub(crate) fn answer_mapped(&mut self, id: TransactionId, pair: PairId, mapped: SocketAddr) {
        let base = self.local_of(pair).base;
        let from = address(&self.to(pair));
        self.checks.succeeded(&id, base, from, mapped, self.now);
        self.advance();
    }

    /// Answers the last request to an address with an error.
    pub(crate) fn refuse(&mut self, to: &str, code: u16) {
        let start = self.last(to);
        let base = self.local_of(start.pair).base;
        self.checks.refused(&start.id, base, address(to), code, self.now);
        self.advance();
    }

    pub(crate) fn local_of(&self, pair: PairId) -> Local {
        let pair = self.checks.pair(pair);
        self.checks.local(pair.stream, pair.local).clone()
    }

    /// The peer checks us: on our first base, from an address.
    pub(crate) fn peer_checks(&mut self, from: &str, use_candidate: bool) -> Result<(), Refused> {
        let request = PeerRequest {
            local: LocalId(0),
            from: address(from),
            priority: floe::candidate::priority(110, 500, component(1)),
            use_candidate,
            nomination: None,
        };
        let result = self.checks.peer_checked(0, &request, self.now);
        self.advance();
        result
    }

    /// The pair to an address, of the first stream, that is on its list.
    pub(crate) fn pair(&self, to: &str) -> (PairId, &Pair) {
        let mut pairs = self.checks.pairs(0).filter(|(id, p)| {
            self.to(*id) == to && (p.state != PairState::Removed || p.reason.is_some())
        });
        pairs.next().unwrap_or_else(|| panic!("no pair to {to}"))
    }

    pub(crate) fn state(&self, to: &str) -> PairState {
        self.pair(to).1.state
    }

    /// `our address > their address` of each pair of a stream that is on its list.
    pub(crate) fn listed(&self, stream: u16) -> Vec<String> {
        let on_list = |p: &&(PairId, &Pair)| p.1.state != PairState::Removed;
        let pairs = self.checks.pairs(stream).collect::<Vec<_>>();
        pairs
            .iter()
            .filter(on_list)
            .map(|(id, _)| format!("{} > {}", self.local_of(*id).address, self.to(*id)))
            .collect()
    }
}

/// Whole milliseconds; the bench has no others.
pub(crate) fn millis(time: Time) -> u64 {
    time.as_nanos() / 1_000_000
}
