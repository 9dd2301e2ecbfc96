//! What became of things: notices of the check lists turned into events, log
//! records and the agent's state.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::agent::{BaseId, Core, Event, Happened, State, StateReason, StreamId};
use crate::candidate::{Candidate, ComponentId, Host, Kind};
use crate::check::{
    FailReason, ListState, Local, LocalId, Notice, Pair, PairId, PairState, Remote, RemoteId,
};
use crate::net::Protocol;
use crate::timer::Time;

/// A row of the pair table.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PairReport {
    /// The pair's number.
    pub id: PairId,
    /// Its component.
    pub component: ComponentId,
    /// Our candidate: of a valid pair the one that the peer sees, else the base.
    pub local: Candidate,
    /// The peer's candidate.
    pub remote: Candidate,
    /// RFC 8445 §6.1.2.3.
    pub priority: u64,
    /// Its state.
    pub state: PairState,
    /// It is nominated.
    pub nominated: bool,
    /// It is the selected pair of its component.
    pub selected: bool,
    /// Why it is of no use any more.
    pub reason: Option<FailReason>,
    /// The last error that the system reported for its path.
    pub error: Option<std::io::ErrorKind>,
    /// The last round-trip time.
    pub rtt: Option<Duration>,
    /// Checks sent, retransmissions and consent included.
    pub sent: u32,
    /// Answers received.
    pub answered: u32,
    /// Checks of the peer received.
    pub received: u32,
}

/// What has been reported so far.
#[derive(Debug)]
pub(super) struct Reported {
    state: State,
}

impl Default for Reported {
    fn default() -> Self {
        Reported { state: State::New }
    }
}

impl Reported {
    pub(super) fn state(&self) -> State {
        self.state
    }
}

impl Core {
    /// The pairs of a stream, those that lost included.
    pub fn pairs(&self, stream: StreamId) -> impl Iterator<Item = PairReport> {
        self.checks.pairs(stream.0).map(|(id, pair)| self.pair_report(id, pair))
    }

    fn pair_report(&self, id: PairId, pair: &Pair) -> PairReport {
        let component = self.checks.components(pair.stream).iter().find(|c| c.id == pair.component);
        PairReport {
            id,
            component: pair.component,
            local: self.local_candidate(pair.stream, pair.valid.unwrap_or(pair.local)),
            remote: self.remote_candidate(pair.stream, pair.remote),
            priority: pair.priority,
            state: pair.state,
            nominated: pair.nominated,
            selected: component.is_some_and(|c| c.selected == Some(id)),
            reason: pair.reason,
            error: pair.error,
            rtt: pair.rtt,
            sent: pair.sent,
            answered: pair.answered,
            received: pair.received,
        }
    }

    /// Tells what the check lists have to tell, and sends what they start.
    pub(super) fn report(&mut self, now: Time) {
        while let Some(start) = self.checks.poll_start() {
            self.send_start(&start);
            let crate::check::Start { pair, kind, again, use_candidate, .. } = start;
            self.log.add(now, || Happened::CheckSent { pair, kind, again, use_candidate });
        }
        // The state follows from what there was notice of, once it began.
        let mut changed = self.reported.state() == State::New;
        while let Some(notice) = self.checks.poll_notice() {
            self.tell(notice, now);
            changed = true;
        }
        if changed {
            self.report_state(now);
        }
    }

    fn tell(&mut self, notice: Notice, now: Time) {
        match notice {
            Notice::Opened(pair) => {
                let p = self.checks.pair(pair);
                let (base, from) = self.ends(pair);
                let (stream, component) = (StreamId(p.stream), p.component);
                self.events.push_back(Event::PathOpened { stream, component, base, from });
            }
            Notice::ConsentExpired(pair) => {
                let (base, from) = self.ends(pair);
                self.events.push_back(Event::PathClosed { base, from });
            }
            Notice::SendPath { stream, component, pair } => {
                let path = pair.map(|pair| self.ends(pair));
                let stream = StreamId(stream);
                self.events.push_back(Event::SendPath { stream, component, path });
                self.log.add(now, || Happened::SendPath { stream, component, pair });
            }
            Notice::Selected(pair) => {
                let p = self.checks.pair(pair).clone();
                self.events.push_back(Event::Selected {
                    stream: StreamId(p.stream),
                    component: p.component,
                    local: self.local_candidate(p.stream, p.valid.unwrap_or(p.local)).into(),
                    remote: self.remote_candidate(p.stream, p.remote).into(),
                });
                self.log.add(now, || Happened::Selected { pair });
            }
            _ => {}
        }
        if self.log.is_enabled() {
            self.record(notice, now);
        }
    }

    /// The records that have no event beside them.
    fn record(&mut self, notice: Notice, now: Time) {
        let happened = match notice {
            Notice::Formed(pair) => {
                let p = self.checks.pair(pair);
                Happened::PairFormed {
                    pair,
                    stream: StreamId(p.stream),
                    component: p.component,
                    local: self.checks.local(p.stream, p.local).address,
                    remote: self.checks.remote(p.stream, p.remote).address,
                    priority: p.priority,
                }
            }
            Notice::Lost(pair, reason) => Happened::PairLost { pair, reason },
            Notice::LocalFound { stream, local } => Happened::LocalCandidate {
                stream: StreamId(stream),
                candidate: self.local_candidate(stream, local),
            },
            Notice::RemoteFound { stream, remote } => Happened::RemoteCandidate {
                stream: StreamId(stream),
                candidate: self.remote_candidate(stream, remote),
            },
            Notice::Succeeded(pair) => {
                Happened::CheckSucceeded { pair, rtt: self.checks.pair(pair).rtt }
            }
            Notice::ConsentGiven(pair) => Happened::ConsentGiven { pair },
            Notice::ConsentMissed(pair) => Happened::ConsentMissed { pair },
            Notice::ConsentExpired(pair) => Happened::ConsentExpired { pair },
            Notice::RoleSwitched(role) => Happened::RoleSwitched { role },
            Notice::Opened(_)
            | Notice::SendPath { .. }
            | Notice::Selected(_)
            | Notice::List { .. } => return,
        };
        self.log.add(now, || happened);
    }

    fn ends(&self, pair: PairId) -> (BaseId, SocketAddr) {
        let pair = self.checks.pair(pair);
        let base = BaseId(self.checks.local(pair.stream, pair.local).base);
        let remote = self.checks.remote(pair.stream, pair.remote).address;
        (base, self.in_scope_of(base, remote))
    }

    fn report_state(&mut self, now: Time) {
        let old = self.reported.state;
        if matches!(old, State::Closed | State::Failed) {
            return;
        }
        let (state, reason) = self.current_state();
        if state == old {
            return;
        }
        let regained = old == State::Disconnected && state != State::Failed;
        let reason = if regained { StateReason::ConsentRegained } else { reason };
        if old < State::Connected && state == State::Completed {
            // The last component became valid and was selected at once.
            self.enter(State::Connected, StateReason::ValidPairs, now);
        }
        self.enter(state, reason, now);
    }

    fn current_state(&self) -> (State, StateReason) {
        let streams = || self.streams().map(|s| s.0);
        let components = || streams().flat_map(|s| self.checks.components(s));
        let lists = || streams().filter_map(|s| self.checks.list_state(s));
        if components().any(|c| c.lost) {
            return (State::Failed, StateReason::ConsentExpired);
        }
        if lists().any(|l| l == ListState::Failed) {
            let none = streams().any(|s| self.checks.pairs(s).next().is_none());
            let why = if none { StateReason::NoPairs } else { StateReason::AllPairsFailed };
            return (State::Failed, why);
        }
        if components().any(|c| c.missed() >= 2) {
            return (State::Disconnected, StateReason::ConsentMissed);
        }
        let any = components().next().is_some();
        if any && lists().all(|l| l == ListState::Completed) {
            return (State::Completed, StateReason::Selected);
        }
        if any && components().all(|c| c.send.is_some()) {
            return (State::Connected, StateReason::ValidPairs);
        }
        if self.streams.iter().any(|s| s.remote.is_some()) {
            return (State::Checking, StateReason::ChecksStarted);
        }
        (State::New, StateReason::ChecksStarted)
    }

    pub(super) fn enter(&mut self, state: State, reason: StateReason, now: Time) {
        self.reported.state = state;
        tracing::info!(?state, ?reason, "ICE state");
        self.events.push_back(Event::State { state, reason });
        self.log.add(now, || Happened::State { state, reason });
    }

    /// Our candidate as it is, or would be, signalled.
    pub(super) fn local_candidate(&self, stream: u16, id: LocalId) -> Candidate {
        let Local { component, address, kind, priority, foundation, related, .. } =
            *self.checks.local(stream, id);
        Candidate {
            foundation,
            component,
            protocol: Protocol::Udp,
            priority,
            host: Host::Ip(address.ip()),
            port: address.port(),
            kind,
            related: match kind {
                Kind::Host => None,
                _ if self.config.gather_host => related,
                _ => related.map(hidden),
            },
            tcp_type: None,
            extensions: Vec::new(),
        }
    }

    /// The peer's candidate as it was signalled, or as it was found.
    pub(super) fn remote_candidate(&self, stream: u16, id: RemoteId) -> Candidate {
        let Remote { component, address, kind, priority, foundation, signalled } =
            self.checks.remote(stream, id);
        match signalled {
            Some(candidate) => Candidate::clone(candidate),
            None => Candidate {
                foundation: *foundation,
                component: *component,
                protocol: Protocol::Udp,
                priority: *priority,
                host: Host::Ip(address.ip()),
                port: address.port(),
                kind: *kind,
                related: None,
                tcp_type: None,
                extensions: Vec::new(),
            },
        }
    }
}

/// What stands for a related address that is kept secret (RFC 8839 §9.1).
fn hidden(related: SocketAddr) -> SocketAddr {
    /// The discard port.
    const PORT: u16 = 9;
    match related {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, PORT).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, PORT).into(),
    }
}
