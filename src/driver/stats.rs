use std::time::{Duration, SystemTime};

use super::traffic::TrafficStats;
use crate::agent::{
    CandidatePairStats, CandidateStats, DropCounts, PairReport, State, StreamId, TransportStats,
};
use crate::check::Role;

/// What an agent knows of its session, at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// When this was.
    pub timestamp: SystemTime,
    /// The state.
    pub state: State,
    /// The role; a conflict may have changed it.
    pub role: Role,
    /// Ta: what we offer, or the larger of both sides' once theirs is known.
    pub pacing: Duration,
    /// The candidate pairs of each stream, those that lost included.
    pub pairs: Vec<(StreamId, Vec<PairReport>)>,
    /// The components of all streams, each with the data that it carried:
    /// `RTCTransportStats`.
    pub transports: Vec<(TransportStats, TrafficStats)>,
    /// Our candidates: `RTCIceCandidateStats`.
    pub local_candidates: Vec<CandidateStats>,
    /// The peer's candidates: `RTCIceCandidateStats`.
    pub remote_candidates: Vec<CandidateStats>,
    /// The pairs of all streams, each with the data that went over its path:
    /// `RTCIceCandidatePairStats`.
    pub candidate_pairs: Vec<(CandidatePairStats, TrafficStats)>,
    /// What was received and dropped by the core.
    pub drops: DropCounts,
    /// Datagrams that were dropped because they belong to no path.
    pub unrouted: u64,
    /// TCP connections that were closed unread, because too many of those that
    /// others opened had passed no check.
    pub refused_connections: u64,
    /// Datagrams that were dropped because nobody received them in time.
    pub overflowed: u64,
}
