//! Checks that are under way.

use std::time::Duration;

use crate::check::{PairId, Role, Start, StartKind};
use crate::stun::{Retransmission, TransactionId};
use crate::timer::Time;

/// One Binding transaction of a check.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) id: TransactionId,
    pub(super) pair: PairId,
    pub(super) kind: StartKind,
    /// What the request says; an answer of 487 is judged by it.
    pub(super) role: Role,
    pub(super) tie_breaker: u64,
    pub(super) use_candidate: bool,
    pub(super) nomination: Option<u32>,
    pub(super) first_sent: Time,
    pub(super) last_sent: Time,
    /// When it is sent again, or has timed out.
    pub(super) deadline: Time,
    pub(super) retransmission: Retransmission,
    /// It is sent once: the path delivers it, or breaks (RFC 6544 §7.1).
    pub(super) reliable: bool,
    /// Not sent again and no failure when it ends, but a late answer counts
    /// (RFC 8445 §7.3.1.4).
    pub(super) cancelled: bool,
}

impl Flight {
    /// Its request, to be sent, again or not.
    pub(super) fn request(&self, again: bool) -> Start {
        Start {
            pair: self.pair,
            id: self.id,
            kind: self.kind,
            again,
            role: self.role,
            tie_breaker: self.tie_breaker,
            use_candidate: self.use_candidate,
            nomination: self.nomination,
        }
    }

    /// It is sent for the first time at `now`, whatever went before.
    pub(super) fn begin(&mut self, now: Time) {
        (self.first_sent, self.last_sent) = (now, now);
        self.deadline = match self.reliable {
            true => self.end(),
            false => self.retransmission.start(now),
        };
    }

    /// When the transaction has timed out. RFC 8489 §6.2.1 gives it 79 RTO,
    /// which is 39.5 s for the smallest RTO and four minutes for the largest.
    /// With large ones we retransmit less often rather than longer: no pair
    /// keeps its list undecided for minutes.
    pub(super) fn end(&self) -> Time {
        self.first_sent + LIFETIME
    }
}

/// 79 times the smallest RTO.
const LIFETIME: Duration = Duration::from_millis(39_500);

/// RFC 8445 §14.3: the retransmission timeout is never below this.
pub(super) const MIN_RTO: Duration = Duration::from_millis(500);
/// The formula of §14.3 grows with the number of pairs, to minutes; we stop here.
pub(super) const MAX_RTO: Duration = Duration::from_secs(3);

/// The retransmission timeout of a new check: RFC 8445 §14.3, and twice the
/// round-trip time where it is known.
pub(super) fn rto(ta: Duration, unfinished: u32, rtt: Option<Duration>) -> Duration {
    match rtt {
        Some(rtt) => MIN_RTO.max(rtt * 2).min(MAX_RTO),
        None => MIN_RTO.max(ta * unfinished).min(MAX_RTO),
    }
}

/// The transactions under way. Their number is bounded by the number of
/// pairs: each has at most one live and two cancelled.
#[derive(Debug, Default)]
pub(super) struct Flights(Vec<Flight>);

impl Flights {
    pub(super) fn push(&mut self, flight: Flight) {
        self.0.push(flight);
    }

    /// Takes the flight that `id` belongs to.
    pub(super) fn take(&mut self, id: &TransactionId) -> Option<Flight> {
        let at = self.0.iter().position(|f| f.id == *id)?;
        Some(self.0.swap_remove(at))
    }

    /// The live flights of a pair.
    pub(super) fn of_pair(&mut self, pair: PairId) -> impl Iterator<Item = &mut Flight> {
        self.0.iter_mut().filter(move |f| f.pair == pair && !f.cancelled)
    }

    pub(super) fn find(&self, id: &TransactionId) -> Option<&Flight> {
        self.0.iter().find(|f| f.id == *id)
    }

    /// The flight whose deadline comes first. Transaction ids have no part in
    /// it: a replay has others.
    pub(super) fn next(&mut self) -> Option<&mut Flight> {
        self.0.iter_mut().min_by_key(|f| (f.deadline, f.first_sent))
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.0.iter().map(|f| f.deadline).min()
    }

    /// Cancels the live flights of a pair and forgets what was cancelled before.
    pub(super) fn cancel(&mut self, pair: PairId) {
        self.0.retain(|f| f.pair != pair || !f.cancelled);
        self.settle(pair);
    }

    /// Cancels the live flights of a pair.
    pub(super) fn settle(&mut self, pair: PairId) {
        for flight in self.0.iter_mut().filter(|f| f.pair == pair && !f.cancelled) {
            flight.cancelled = true;
            flight.deadline = flight.end();
        }
    }

    /// Whether the check of the pair that is under way is a triggered one.
    pub(super) fn is_triggered(&self, pair: PairId) -> bool {
        self.0.iter().any(|f| f.pair == pair && !f.cancelled && f.kind == StartKind::Triggered)
    }

    pub(super) fn remove_pair(&mut self, pair: PairId) {
        self.0.retain(|f| f.pair != pair);
    }

    pub(super) fn clear(&mut self) {
        self.0 = Vec::new();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
