//! Statistics of every candidate, pair and transport, under the names that
//! the W3C gives them in "Identifiers for WebRTC's Statistics API". What only
//! the driver can count, the application's data, is not in here.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::agent::stream::{Session, Stream};
use crate::agent::{BaseId, Core, State, StreamId};
use crate::candidate::{Candidate, ComponentId, Kind};
use crate::check::{FailReason, LocalId, Pair, PairId, PairState, RemoteId, Role};

/// Statistics of all streams.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct IceStats {
    /// One for each component of each stream.
    pub transports: Vec<TransportStats>,
    /// Our candidates; after a restart also those of the session before,
    /// while it is in use.
    pub local_candidates: Vec<CandidateStats>,
    /// The peer's candidates.
    pub remote_candidates: Vec<CandidateStats>,
    /// The pairs, those that lost included.
    pub candidate_pairs: Vec<CandidatePairStats>,
}

/// Names an entry of [`IceStats`] in this agent. Where sessions and pairs come
/// and go, the name of one that is gone may be given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum StatsId {
    /// A component of a stream.
    Transport(StreamId, ComponentId),
    /// A candidate of ours, by the number of its check list and its own.
    LocalCandidate(u16, LocalId),
    /// A candidate of the peer's, by the number of its check list and its own.
    RemoteCandidate(u16, RemoteId),
    /// A pair.
    CandidatePair(PairId),
}

/// `T0-1`, `L0-2`, `R0-2`, `P5`.
impl fmt::Display for StatsId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StatsId::Transport(stream, component) => write!(f, "T{}-{component}", stream.0),
            StatsId::LocalCandidate(session, id) => write!(f, "L{session}-{}", id.0),
            StatsId::RemoteCandidate(session, id) => write!(f, "R{session}-{}", id.0),
            StatsId::CandidatePair(id) => write!(f, "P{}", id.0),
        }
    }
}

/// A component of a stream: `RTCTransportStats` without what is DTLS's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransportStats {
    /// Its name.
    pub id: StatsId,
    /// The stream.
    pub stream: StreamId,
    /// The component.
    pub component: ComponentId,
    /// The role.
    pub ice_role: Role,
    /// The state of its stream.
    pub ice_state: State,
    /// Our username fragment of the session that negotiates or has concluded.
    pub ice_local_username_fragment: Box<str>,
    /// The selected pair.
    pub selected_candidate_pair_id: Option<StatsId>,
    /// How often the selected pair changed, the first selection counted.
    pub selected_candidate_pair_changes: u32,
}

/// A candidate: `RTCIceCandidateStats`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CandidateStats {
    /// Its name.
    pub id: StatsId,
    /// The transport.
    pub transport_id: StatsId,
    /// Address, port, protocol, type, priority, foundation, related address
    /// and port, and TCP type.
    pub candidate: Candidate,
    /// The URI of the server that a server-reflexive or relayed candidate of
    /// ours comes from.
    pub url: Option<Box<str>>,
    /// Its side's username fragment.
    pub username_fragment: Option<Box<str>>,
}

/// A pair: `RTCIceCandidatePairStats`, and why it was lost.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CandidatePairStats {
    /// Its name.
    pub id: StatsId,
    /// The transport.
    pub transport_id: StatsId,
    /// Our candidate: of a valid pair the one that the peer sees, else the base.
    pub local_candidate_id: StatsId,
    /// The peer's candidate.
    pub remote_candidate_id: StatsId,
    /// The state.
    pub state: PairState,
    /// It is nominated.
    pub nominated: bool,
    /// RFC 8445 §6.1.2.3.
    pub priority: u64,
    /// The last round-trip time.
    pub current_round_trip_time: Option<Duration>,
    /// The sum of all that were measured: of a check that was sent again, from
    /// the last time it was sent.
    pub total_round_trip_time: Duration,
    /// Checks sent, without retransmissions and without consent.
    pub requests_sent: u32,
    /// Checks of the peer received, retransmissions and consent included.
    pub requests_received: u32,
    /// Answers sent: every check that came on the pair is answered.
    pub responses_sent: u32,
    /// Answers received, those to consent included.
    pub responses_received: u32,
    /// Checks sent for consent.
    pub consent_requests_sent: u32,
    /// Why the pair is of no use any more.
    pub fail_reason: Option<FailReason>,
    /// The last error that the system reported for its path.
    pub error: Option<io::ErrorKind>,
    /// The socket and the address between which its datagrams go. A session
    /// after a restart may have a pair on the same path.
    pub path: (BaseId, SocketAddr),
}

/// How often the selected pair of each component changed.
#[derive(Debug, Default)]
pub(super) struct Selections(Vec<(StreamId, ComponentId, u32)>);

impl Selections {
    pub(super) fn add(&mut self, stream: StreamId, component: ComponentId) {
        match self.0.iter_mut().find(|entry| (entry.0, entry.1) == (stream, component)) {
            Some((_, _, count)) => *count += 1,
            None => {
                // Most agents have one component.
                self.0.reserve_exact(1);
                self.0.push((stream, component, 1));
            }
        }
    }

    pub(super) fn remove(&mut self, stream: StreamId) {
        self.0.retain(|entry| entry.0 != stream);
    }

    fn of(&self, stream: StreamId, component: ComponentId) -> u32 {
        let entry = self.0.iter().find(|entry| (entry.0, entry.1) == (stream, component));
        entry.map_or(0, |entry| entry.2)
    }
}

impl Core {
    /// Statistics of all streams.
    pub fn stats(&self) -> IceStats {
        let mut stats = IceStats::default();
        for stream in &self.streams {
            self.add_transports(stream, &mut stats.transports);
            for session in stream.sessions() {
                self.add_candidates(stream, session, &mut stats);
                let pairs = self.checks.pairs(session.list);
                let pairs = pairs.map(|(id, pair)| self.pair_stats(stream.id, id, pair));
                stats.candidate_pairs.extend(pairs);
            }
        }
        stats
    }

    fn add_transports(&self, stream: &Stream, transports: &mut Vec<TransportStats>) {
        let session = &stream.current;
        for component in self.checks.components(session.list) {
            transports.push(TransportStats {
                id: StatsId::Transport(stream.id, component.id),
                stream: stream.id,
                component: component.id,
                ice_role: self.role(),
                ice_state: self.state_of(stream),
                ice_local_username_fragment: session.local.ufrag.clone(),
                selected_candidate_pair_id: component.selected.map(StatsId::CandidatePair),
                selected_candidate_pair_changes: self.selections.of(stream.id, component.id),
            });
        }
    }

    fn add_candidates(&self, stream: &Stream, session: &Session, stats: &mut IceStats) {
        let list = session.list;
        for (id, local) in self.checks.locals(list) {
            let server = session.gathering.server_of(id);
            let server = server.and_then(|server| self.config.stun_servers.get(server));
            let is_theirs = matches!(local.kind, Kind::ServerReflexive);
            stats.local_candidates.push(CandidateStats {
                id: StatsId::LocalCandidate(list, id),
                transport_id: StatsId::Transport(stream.id, local.component),
                candidate: self.local_candidate(list, id),
                url: server.filter(|_| is_theirs).map(|server| server.uri.clone()),
                username_fragment: Some(session.local.ufrag.clone()),
            });
        }
        let remote = session.remote.as_ref();
        for (id, candidate) in self.checks.remotes(list) {
            stats.remote_candidates.push(CandidateStats {
                id: StatsId::RemoteCandidate(list, id),
                transport_id: StatsId::Transport(stream.id, candidate.component),
                candidate: self.remote_candidate(list, id),
                url: None,
                username_fragment: remote.map(|remote| remote.credentials.ufrag.clone()),
            });
        }
    }

    fn pair_stats(&self, stream: StreamId, id: PairId, pair: &Pair) -> CandidatePairStats {
        let list = pair.stream;
        CandidatePairStats {
            id: StatsId::CandidatePair(id),
            transport_id: StatsId::Transport(stream, pair.component),
            local_candidate_id: StatsId::LocalCandidate(list, pair.valid.unwrap_or(pair.local)),
            remote_candidate_id: StatsId::RemoteCandidate(list, pair.remote),
            state: pair.state,
            nominated: pair.nominated,
            priority: pair.priority,
            current_round_trip_time: pair.rtt,
            total_round_trip_time: pair.tally.total_round_trip_time,
            requests_sent: pair.tally.requests_sent,
            requests_received: pair.received,
            responses_sent: pair.received,
            responses_received: pair.answered,
            consent_requests_sent: pair.tally.consent_requests_sent,
            fail_reason: pair.reason,
            error: pair.error,
            path: self.ends(id),
        }
    }
}
