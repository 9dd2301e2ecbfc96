//! One connection, or the attempts at it.

use std::io;
use std::time::Duration;

use crate::net::NotConnected;
use crate::tcp::Framing;
use crate::tcp::connections::{Key, Retry};
use crate::tcp::ladder::{Event, FAST, LIFETIME, Phase, Times};
use crate::timer::Time;

/// How long a peer may take to pass a check on a connection that it opened.
const PROOF: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) phase: Phase,
    /// How messages stand on it.
    pub(super) framing: Framing,
    /// We want it and open it; else the peer has opened it.
    pub(super) dials: bool,
    pub(super) retry: Retry,
    pub(super) rtt: Option<Duration>,
    pub(super) deadline: Time,
    pub(super) fast_until: Time,
    /// The peer has passed a check on it.
    pub(super) proven: bool,
    /// Its place in the queue for slots, from which it goes to the end when it
    /// has had its time.
    pub(super) place: u64,
    /// From when on it may take a slot from a silent attempt: who has just given
    /// one up has had its time.
    pub(super) preempts: Time,
    pub(super) history: History,
}

/// What an attempt went through, for the reason of its end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct History {
    pub(super) refusals: u32,
    /// How long the quickest refusal took.
    pub(super) quickest: Option<Duration>,
    pub(super) failures: u32,
    pub(super) error: Option<io::ErrorKind>,
    /// The peer's SYN was here.
    pub(super) half_open: bool,
}

impl Entry {
    /// One that the peer opens: it has frames, and nothing is known of it yet.
    pub(super) fn new(key: Key, phase: Phase, place: u64, now: Time) -> Self {
        Entry {
            key,
            phase,
            framing: Framing::Rfc4571,
            dials: false,
            retry: Retry::Often,
            rtt: None,
            deadline: now + LIFETIME,
            fast_until: now + FAST,
            proven: false,
            place,
            preempts: now,
            history: History::default(),
        }
    }

    /// The times of its ladder, by the round trip that is known, or else by
    /// what a refusal took: it came from the far end, or from nearer.
    pub(super) fn times(&self) -> Times {
        Times::of(self.rtt.or(self.history.quickest))
    }

    /// When something is due.
    pub(super) fn deadline(&self) -> Option<Time> {
        match self.phase {
            Phase::Queued => Some(self.deadline),
            Phase::Connecting { look, .. } => Some(look.min(self.deadline)),
            Phase::Pausing { until } | Phase::Adopting { until } => Some(until.min(self.deadline)),
            Phase::Open { .. } => self.proof_by(),
        }
    }

    pub(super) fn due(&self, now: Time) -> Option<Event> {
        match self.phase {
            Phase::Open { .. } => None,
            _ if self.deadline <= now => Some(Event::Deadline),
            Phase::Connecting { look, .. } => (look <= now).then_some(Event::Stuck),
            Phase::Pausing { until } | Phase::Adopting { until } => {
                (until <= now).then_some(Event::Due)
            }
            Phase::Queued => None,
        }
    }

    /// When an attempt gives its slot up to others: not once the peer's SYN is
    /// here.
    pub(super) fn yields(&self) -> Option<Time> {
        match self.phase {
            Phase::Connecting { since, half_open: None, .. } => Some(since + self.times().slot()),
            _ => None,
        }
    }

    /// Until when the peer has to have passed a check.
    pub(super) fn proof_by(&self) -> Option<Time> {
        match self.phase {
            Phase::Open { since } if !self.proven && !self.dials => Some(since + PROOF),
            _ => None,
        }
    }

    /// Why it cannot be opened.
    pub(super) fn reason(&self) -> NotConnected {
        let History { refusals, quickest, failures, error, half_open } = self.history;
        match (quickest, self.rtt) {
            _ if half_open => NotConnected::HalfOpen,
            _ if failures > refusals => error.map_or(NotConnected::Silent, NotConnected::System),
            // Nothing beyond half the way could have answered so soon.
            (Some(quickest), Some(rtt)) if quickest < rtt / 2 => NotConnected::RefusedNearby,
            (Some(_), Some(_)) => NotConnected::RefusedByPeer,
            (Some(_), None) => NotConnected::Refused,
            (None, _) => NotConnected::Silent,
        }
    }
}
