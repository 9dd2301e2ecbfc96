//! What became of things: notices of the check lists turned into events and
//! log records.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::agent::{BaseId, Core, Event, Happened, StreamId};
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
    /// Answers whose integrity was wrong; they were dropped.
    pub unauthentic: u32,
}

impl Core {
    /// The pairs of a stream, those that lost included; after a restart those
    /// of the session before follow while it is in use.
    pub fn pairs(&self, stream: StreamId) -> impl Iterator<Item = PairReport> {
        let sessions = self.stream(stream).into_iter().flat_map(|stream| stream.sessions());
        let pairs = sessions.flat_map(|session| self.checks.pairs(session.list));
        pairs.map(|(id, pair)| self.pair_report(id, pair))
    }

    /// The best valid pair of a component, which data goes over; `None` while
    /// there is none.
    pub fn best_pair(&self, stream: StreamId, component: ComponentId) -> Option<PairId> {
        let list = self.stream(stream)?.current.list;
        self.checks.components(list).iter().find(|c| c.id == component)?.send
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
            unauthentic: pair.unauthentic,
        }
    }

    /// Tells what the check lists have to tell, and sends what they start.
    pub(super) fn report(&mut self, now: Time) {
        while let Some(start) = self.checks.poll_start() {
            if !self.opens_path(&start, now) {
                continue;
            }
            self.send_start(&start);
            self.watch_path(&start, now);
            let crate::check::Start { pair, kind, again, use_candidate, .. } = start;
            self.log.add(now, || Happened::CheckSent { pair, kind, again, use_candidate });
        }
        // The state follows from what there was notice of, once it began.
        let mut changed = self.reported.is_stale();
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
                let component = p.component;
                let Some(stream) = self.stream_of_list(p.stream) else { return };
                let (base, from) = self.ends(pair);
                self.events.push_back(Event::PathOpened { stream, component, base, from });
            }
            Notice::ConsentExpired(pair) => {
                let (base, from) = self.ends(pair);
                // Another session may have been told yes on the same way.
                if !self.checks.is_heard(base.0, crate::net::canonical(from)) {
                    self.events.push_back(Event::PathClosed { base, from });
                }
            }
            Notice::SendPath { stream: list, .. } => {
                if let Some(stream) = self.stream_of_list(list) {
                    self.update_paths(stream, now);
                }
            }
            Notice::Selected(pair) => self.tell_selected(pair, now),
            Notice::ConsentMissed(pair) => self.doubt_relay(pair, now),
            Notice::ConsentGiven(pair) => {
                // It may have been suspended.
                if let Some(stream) = self.stream_of_list(self.checks.pair(pair).stream) {
                    self.update_paths(stream, now);
                }
            }
            Notice::RoleSwitched(_) => self.switch_timing(now),
            Notice::List { stream: list, state: ListState::Completed } => self.concluded(list, now),
            _ => {}
        }
        if self.log.is_enabled() {
            self.record(notice, now);
        }
    }

    fn tell_selected(&mut self, pair: PairId, now: Time) {
        let p = self.checks.pair(pair);
        let (Some(stream), component) = (self.stream_of_list(p.stream), p.component) else {
            return;
        };
        self.selections.add(stream, component);
        self.name_selected(stream, pair);
        self.log.add(now, || Happened::Selected { pair });
        self.update_paths(stream, now);
    }

    fn name_selected(&mut self, stream: StreamId, pair: PairId) {
        let p = self.checks.pair(pair);
        self.events.push_back(Event::Selected {
            stream,
            component: p.component,
            local: self.local_candidate(p.stream, p.valid.unwrap_or(p.local)).into(),
            remote: self.remote_candidate(p.stream, p.remote).into(),
        });
    }

    /// The peer has signalled a candidate. Where it is that of a selected pair, a
    /// check came from it before, and it was told of as peer-reflexive.
    pub(super) fn tell_signalled(&mut self, list: u16, remote: RemoteId) {
        let Some(stream) = self.stream_of_list(list) else { return };
        let selected = self.checks.components(list).iter().filter_map(|c| c.selected);
        let is_its = |pair: &PairId| self.checks.pair(*pair).remote == remote;
        let pairs: Vec<PairId> = selected.filter(is_its).collect();
        pairs.into_iter().for_each(|pair| self.name_selected(stream, pair));
    }

    /// The stream whose current or former session has this check list.
    pub(super) fn stream_of_list(&self, list: u16) -> Option<StreamId> {
        self.streams.iter().find(|s| s.session(list).is_some()).map(|stream| stream.id)
    }

    /// The records that have no event beside them.
    fn record(&mut self, notice: Notice, now: Time) {
        let happened = match notice {
            Notice::Formed(pair) => {
                let p = self.checks.pair(pair);
                let Some(stream) = self.stream_of_list(p.stream) else { return };
                Happened::PairFormed {
                    pair,
                    stream,
                    component: p.component,
                    local: self.checks.local(p.stream, p.local).address,
                    remote: self.checks.remote(p.stream, p.remote).address,
                    priority: p.priority,
                }
            }
            Notice::NotFormed { stream: list, local, remote, priority } => {
                let Some(stream) = self.stream_of_list(list) else { return };
                let ours = self.checks.local(list, local);
                Happened::PairNotFormed {
                    stream,
                    component: ours.component,
                    local: ours.address,
                    remote: self.checks.remote(list, remote).address,
                    priority,
                }
            }
            Notice::Lost(pair, reason) => Happened::PairLost { pair, reason },
            Notice::LocalFound { stream: list, local } => {
                let Some(stream) = self.stream_of_list(list) else { return };
                let candidate = self.local_candidate(list, local);
                Happened::LocalCandidate { stream, candidate }
            }
            Notice::RemoteFound { stream: list, remote } => {
                let Some(stream) = self.stream_of_list(list) else { return };
                let candidate = self.remote_candidate(list, remote);
                Happened::RemoteCandidate { stream, candidate }
            }
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

    pub(super) fn ends(&self, pair: PairId) -> (BaseId, SocketAddr) {
        let pair = self.checks.pair(pair);
        let base = BaseId(self.checks.local(pair.stream, pair.local).base);
        let remote = self.checks.remote(pair.stream, pair.remote).address;
        (base, self.in_scope_of(base, remote))
    }

    /// Our candidate as it is, or would be, signalled.
    pub(super) fn local_candidate(&self, stream: u16, id: LocalId) -> Candidate {
        let Local { component, address, kind, priority, foundation, related, path, .. } =
            *self.checks.local(stream, id);
        let tcp_type = path.class.tcp_type();
        Candidate {
            foundation,
            component,
            protocol: Protocol::of(tcp_type.is_some()),
            priority,
            host: match self.name_of(address.ip()).filter(|_| kind == Kind::Host) {
                Some(name) => Host::Name(name.into()),
                None => Host::Ip(address.ip()),
            },
            port: address.port(),
            kind,
            related: match kind {
                Kind::Host => None,
                _ if self.config.gather_host && !self.config.publish_mdns => related,
                // It is the relay's, which everybody knows.
                Kind::PeerReflexive if path.indirect => related,
                _ => related.map(hidden),
            },
            tcp_type,
            extensions: Vec::new(),
        }
    }

    /// The peer's candidate as it was signalled, or as it was found.
    pub(super) fn remote_candidate(&self, stream: u16, id: RemoteId) -> Candidate {
        let Remote { component, address, kind, priority, class, foundation, signalled } =
            self.checks.remote(stream, id);
        match signalled {
            Some(candidate) => Candidate::clone(candidate),
            None => Candidate {
                foundation: *foundation,
                component: *component,
                protocol: Protocol::of(class.tcp_type().is_some()),
                priority: *priority,
                host: Host::Ip(address.ip()),
                port: address.port(),
                kind: *kind,
                related: None,
                tcp_type: class.tcp_type(),
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
