//! The ladder: what an attempt to connect does after what happens to it, as a
//! table. RFC 6544 §7.1 has a check fail where "the TCP connection cannot be
//! established"; that is so once the ladder has ended, for behind NATs a
//! connection is refused again and again before both sides are there.

use std::io;
use std::time::Duration;

use crate::rng::Rng;
use crate::timer::Time;

/// The first refusals are answered fast for so long after the start, and after
/// each sign of the peer.
pub(super) const FAST: Duration = Duration::from_secs(5);
/// When an attempt is over, whatever happened: the lifetime of a check.
pub(super) const LIFETIME: Duration = Duration::from_millis(39_500);
/// Taken for the round-trip time where none is known.
const GUESS: Duration = Duration::from_millis(100);
/// The longest pause in the fast phase where a quarter of a round trip is less.
const MIN_PAUSE: Duration = Duration::from_millis(10);
/// The pause once the fast phase is over.
const SLOW_PAUSE: Duration = Duration::from_secs(1);

/// Where an attempt, or what came of it, stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It waits for a slot of the budget.
    Queued,
    /// A socket is in SYN-SENT or SYN-RECEIVED.
    Connecting {
        since: Time,
        /// When the system was first seen to have the peer's SYN.
        half_open: Option<Time>,
        /// When the system is asked next.
        look: Time,
    },
    /// It was refused, and pauses.
    Pausing { until: Time },
    /// The connection exists and is to come out of the listener.
    Adopting { until: Time },
    /// There is a connection.
    Open { since: Time },
}

/// What happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The budget has a slot for it.
    Slot,
    /// Its pause, or its wait for the listener, is over.
    Due,
    /// The system connected it.
    Connected,
    /// The listener of its base took the same connection in.
    Accepted,
    /// Something answered with a reset, or an ICMP error said that the port is
    /// closed.
    Refused,
    /// There is no way there.
    Unreachable,
    /// The connection exists already.
    Exists,
    /// The system refused for a reason of its own.
    Failed,
    /// The peer's SYN is here, and our answer to it has come to nothing.
    Stuck,
    /// Another attempt waits for its slot, and it has had its time.
    Preempted,
    /// Its lifetime is over.
    Deadline,
}

/// What is done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing: it comes too late, or does not concern it.
    Stay,
    /// Take a fresh socket and connect.
    Connect,
    /// Wait for a slot; an open socket is given up first.
    Queue,
    /// Pause as after a refusal; an open socket is given up first.
    Pause,
    /// Pause for as long as after the fast phase.
    PauseLong,
    /// Wait for the listener to give the connection out.
    Adopt,
    /// It is open.
    Open,
    /// Another connection has taken the place of the one that was open.
    Replace,
    /// It is over; an open socket is given up.
    End,
}

impl Phase {
    /// The table.
    pub(super) fn step(self, event: Event) -> Step {
        use Event::{
            Accepted, Connected, Deadline, Due, Exists, Failed, Preempted, Refused, Slot, Stuck,
            Unreachable,
        };
        match (self, event) {
            (Phase::Queued, Slot) => Step::Connect,
            (Phase::Pausing { .. } | Phase::Adopting { .. }, Due) => Step::Queue,
            (Phase::Connecting { .. }, Connected) => Step::Open,
            (Phase::Connecting { .. }, Refused | Stuck) => Step::Pause,
            (Phase::Connecting { .. }, Unreachable | Failed) => Step::PauseLong,
            (Phase::Connecting { .. }, Exists) => Step::Adopt,
            (Phase::Connecting { .. }, Preempted) => Step::Queue,
            (Phase::Open { .. }, Accepted) => Step::Replace,
            (Phase::Open { .. }, _) => Step::Stay,
            (_, Accepted) => Step::Open,
            (_, Deadline) => Step::End,
            _ => Step::Stay,
        }
    }

    pub(super) fn is_open(self) -> bool {
        matches!(self, Phase::Open { .. })
    }

    pub(super) fn has_socket(self) -> bool {
        matches!(self, Phase::Connecting { .. })
    }
}

impl Event {
    /// What the system's answer to connect() means.
    pub(super) fn of_error(kind: io::ErrorKind) -> Self {
        use io::ErrorKind::{
            AddrInUse, AddrNotAvailable, ConnectionAborted, ConnectionRefused, ConnectionReset,
            HostUnreachable, NetworkUnreachable, TimedOut,
        };
        match kind {
            ConnectionRefused | ConnectionReset | ConnectionAborted | TimedOut => Event::Refused,
            HostUnreachable | NetworkUnreachable => Event::Unreachable,
            AddrNotAvailable | AddrInUse => Event::Exists,
            _ => Event::Failed,
        }
    }
}

/// The times of the ladder for a round-trip time; a guess where none is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times(Duration);

impl Times {
    pub(super) fn of(rtt: Option<Duration>) -> Self {
        Times(rtt.unwrap_or(GUESS))
    }

    pub(super) fn rtt(self) -> Duration {
        self.0
    }

    /// How long to pause after a refusal. Between two NATs that refuse, two
    /// attempts meet if they begin within half a round trip of each other, and
    /// each lasts a whole one: only who pauses is missed. So pauses are short,
    /// and vary by more than their mean, for two sides that retry in step would
    /// miss each other again and again.
    pub(super) fn pause(self, fast: bool, rng: &mut Rng) -> Duration {
        let quarter = (self.0 / 4).max(MIN_PAUSE).min(SLOW_PAUSE);
        match fast {
            true => rng.between(quarter / 16, quarter),
            false => rng.between(SLOW_PAUSE * 7 / 10, SLOW_PAUSE * 13 / 10),
        }
    }

    /// How long the listener may take to give out what exists.
    pub(super) fn adoption(self) -> Duration {
        self.0.max(MIN_PAUSE)
    }

    /// How long an attempt may stay in SYN-RECEIVED.
    pub(super) fn half_open(self) -> Duration {
        self.0 * 2 + Duration::from_secs(1)
    }

    /// How long a silent attempt keeps its slot while others wait: one
    /// retransmission of the system at least.
    pub(super) fn slot(self) -> Duration {
        (self.0 * 2).max(Duration::from_millis(1_200))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Seed;

    const ALL: [Event; 11] = [
        Event::Slot,
        Event::Due,
        Event::Connected,
        Event::Accepted,
        Event::Refused,
        Event::Unreachable,
        Event::Exists,
        Event::Failed,
        Event::Stuck,
        Event::Preempted,
        Event::Deadline,
    ];

    /// Every state with every event.
    #[test]
    fn the_whole_table() {
        use Step::{Adopt, Connect, End, Open, Pause, PauseLong, Queue, Replace, Stay};
        let at = Time::ZERO;
        let connecting = Phase::Connecting { since: at, half_open: None, look: at };
        let half_open = Phase::Connecting { since: at, half_open: Some(at), look: at };
        let (pausing, adopting) = (Phase::Pausing { until: at }, Phase::Adopting { until: at });
        let in_flight =
            [Stay, Stay, Open, Open, Pause, PauseLong, Adopt, PauseLong, Pause, Queue, End];
        let idle = [Stay, Queue, Stay, Open, Stay, Stay, Stay, Stay, Stay, Stay, End];
        let table = [
            (Phase::Queued, [Connect, Stay, Stay, Open, Stay, Stay, Stay, Stay, Stay, Stay, End]),
            (connecting, in_flight),
            (half_open, in_flight),
            (pausing, idle),
            (adopting, idle),
            (
                Phase::Open { since: at },
                [Stay, Stay, Stay, Replace, Stay, Stay, Stay, Stay, Stay, Stay, Stay],
            ),
        ];
        for (phase, row) in table {
            for (event, expected) in ALL.into_iter().zip(row) {
                assert_eq!(phase.step(event), expected, "{phase:?} and {event:?}");
            }
        }
    }

    #[test]
    fn pauses_follow_the_round_trip_and_never_keep_step() {
        let mut rng = Rng::new(&Seed::from_number(1));
        for (rtt, fast, low, high) in
            [(200, true, 3, 50), (4, true, 0, 10), (200, false, 700, 1300), (9_000, true, 60, 1000)]
        {
            let times = Times::of(Some(Duration::from_millis(rtt)));
            let pauses: Vec<_> = (0..200).map(|_| times.pause(fast, &mut rng)).collect();
            let bounds = Duration::from_millis(low)..=Duration::from_millis(high);
            assert!(pauses.iter().all(|pause| bounds.contains(pause)), "{rtt} {pauses:?}");
            assert!(pauses.iter().any(|pause| *pause != pauses[0]));
        }
    }
}
