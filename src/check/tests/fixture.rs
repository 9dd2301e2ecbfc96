//! A check-list set, a clock that the test sets, and short words for what
//! the tests do to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::candidate::{Candidate, ComponentId, Foundation, Host, Kind};
use crate::check::{
    Checks, Fast, Limits, Local, LocalId, NominationPolicy, Notice, Pair, PairId, Path,
    PeerRequest, Refused, Role, Start,
};
use crate::net::Protocol;
use crate::rng::{Rng, Seed};
use crate::timer::{Pacer, Time};

pub(super) const TA: Duration = Duration::from_millis(5);

pub(super) fn ms(millis: u64) -> Time {
    Time::from_millis(millis)
}

pub(super) fn ours(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 1, 0, n], 5000))
}

pub(super) fn theirs(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 2, 0, n], 6000))
}

pub(super) struct Set {
    pub(super) checks: Checks,
    pub(super) now: Time,
    pacer: Pacer,
    rng: Rng,
    notices: Vec<Notice>,
}

impl Set {
    pub(super) fn new(role: Role) -> Self {
        Self::with(role, &[1], 100, Arc::new(Fast::default()))
    }

    pub(super) fn with(
        role: Role,
        streams: &[u16],
        pairs: usize,
        policy: Arc<dyn NominationPolicy>,
    ) -> Self {
        let limits = Limits { pairs, remotes: 256, found: 128 };
        let mut checks = Checks::new(role, 7, TA, limits, policy);
        for components in streams {
            checks.add_stream(*components);
        }
        for stream in 0..streams.len() {
            checks.local_candidates_done(stream as u16);
        }
        // Far away, unless a test is about it.
        checks.start_patience(ms(1_000_000));
        let (pacer, rng) = (Pacer::new(), Rng::new(&Seed::from_number(1)));
        Set { checks, now: Time::ZERO, pacer, rng, notices: Vec::new() }
    }

    /// One stream, one component, one base, `remotes` remote candidates;
    /// started.
    pub(super) fn started(role: Role, remotes: u8) -> Self {
        let mut set = Self::new(role);
        set.base(0, 1, 1);
        set.checks.start(0);
        for n in 1..=remotes {
            set.remote(0, 1, n).unwrap();
        }
        set
    }

    /// Base `n`; lower numbers have higher priorities. Its foundation is its
    /// address.
    pub(super) fn base(&mut self, stream: u16, component: u16, n: u8) -> LocalId {
        self.checks.add_base(stream, local(component, n))
    }

    pub(super) fn remote(&mut self, stream: u16, component: u16, n: u8) -> Result<(), Refused> {
        let candidate = remote(component, n, Kind::Host);
        let address = candidate.address().unwrap();
        self.checks.add_remote(stream, &candidate, address).map(|_| ())
    }

    /// Lets time pass until `millis` and returns what was sent, with its time.
    pub(super) fn run_to(&mut self, millis: u64) -> Vec<(u64, Start)> {
        let mut sent = self.act();
        while let Some((next, _)) = self.checks.poll_timeout().filter(|(t, _)| *t <= ms(millis)) {
            assert!(next > self.now, "the timeout does not advance: {next:?}");
            self.now = next;
            sent.extend(self.act());
        }
        self.now = ms(millis);
        sent
    }

    /// Does what is due now.
    pub(super) fn act(&mut self) -> Vec<(u64, Start)> {
        self.checks.advance(self.now, &self.pacer, &mut self.rng);
        let at = self.now.as_nanos() / 1_000_000;
        let sent = std::iter::from_fn(|| self.checks.poll_start()).map(|s| (at, s)).collect();
        self.notices.extend(std::iter::from_fn(|| self.checks.poll_notice()));
        sent
    }

    /// The peer answers a check.
    pub(super) fn answer(&mut self, start: &Start) {
        let (base, from, mapped) = self.ends(start.pair);
        self.checks.succeeded(&start.id, base, from, mapped, self.now);
    }

    pub(super) fn refuse(&mut self, start: &Start, code: u16) {
        let (base, from, _) = self.ends(start.pair);
        self.checks.refused(&start.id, base, from, code, self.now);
    }

    /// The peer checks the path of a pair.
    pub(super) fn peer_checks(&mut self, pair: PairId, use_candidate: bool) {
        let p = self.pair(pair);
        let (stream, local) = (p.stream, p.local);
        let from = self.checks.remote(stream, p.remote).address;
        let request = PeerRequest { local, from, priority: 1000, use_candidate, nomination: None };
        self.checks.peer_checked(stream, &request, self.now).unwrap();
    }

    pub(super) fn ends(&self, pair: PairId) -> (u32, SocketAddr, SocketAddr) {
        let p = self.pair(pair);
        let local = self.checks.local(p.stream, p.local);
        (local.base, self.checks.remote(p.stream, p.remote).address, local.address)
    }

    pub(super) fn pair(&self, id: PairId) -> &Pair {
        self.checks.pair(id)
    }

    /// The pairs on the list of a stream, by priority.
    pub(super) fn listed(&self, stream: u16) -> Vec<PairId> {
        let mut pairs = self.checks.lists[usize::from(stream)].pairs.clone();
        pairs.sort_by_key(|id| std::cmp::Reverse(self.pair(*id).priority));
        pairs
    }

    /// Base number and remote number of a pair.
    pub(super) fn names(&self, id: PairId) -> (u8, u8) {
        let last = |a: SocketAddr| match a {
            SocketAddr::V4(a) => a.ip().octets()[3],
            SocketAddr::V6(a) => a.ip().octets()[15],
        };
        let (_, remote, local) = self.ends(id);
        (last(local), last(remote))
    }

    pub(super) fn selected(&self) -> Option<PairId> {
        self.checks.components(0)[0].selected
    }

    pub(super) fn notices(&mut self) -> Vec<Notice> {
        self.notices.extend(std::iter::from_fn(|| self.checks.poll_notice()));
        std::mem::take(&mut self.notices)
    }
}

pub(super) fn local(component: u16, n: u8) -> Local {
    Local {
        component: ComponentId::new(component).unwrap(),
        base: u32::from(component) * 1000 + u32::from(n),
        address: SocketAddr::new(ours(n).ip(), 5000 + component),
        kind: Kind::Host,
        priority: 10_000 - 10 * u32::from(n) - u32::from(component),
        reflexive_priority: 5_000 - u32::from(n),
        foundation: Foundation::from_number(n.into()),
        path: Path::default(),
        related: None,
    }
}

pub(super) fn remote(component: u16, n: u8, kind: Kind) -> Candidate {
    Candidate {
        foundation: Foundation::from_number(n.into()),
        component: ComponentId::new(component).unwrap(),
        protocol: Protocol::Udp,
        priority: 20_000 - 10 * u32::from(n) - u32::from(component),
        host: Host::Ip(theirs(n).ip()),
        port: 6000 + component,
        kind,
        related: None,
        tcp_type: None,
        extensions: Vec::new(),
    }
}
