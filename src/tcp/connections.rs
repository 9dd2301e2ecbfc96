//! All connections of an agent and the attempts at them: those that connect()
//! brought and those that a listener took in, in one table.

mod entry;
mod slots;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::net::{self, NotConnected};
use crate::rng::Rng;
use crate::tcp::connections::entry::Entry;
use crate::tcp::ladder::{Event, FAST, Phase, Step};
use crate::tcp::{Framing, Handshake};
use crate::timer::Time;

/// How often the system is asked how far an attempt is.
const LOOK: Duration = Duration::from_millis(500);
/// Errors of the system's own that end an attempt.
const MAX_FAILURES: u32 = 3;
/// Entries of the table.
const MAX_ENTRIES: usize = 1_024;

/// What names a connection: the base that it belongs to, by the agent's number
/// for it, and the peer's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The base.
    pub base: u32,
    /// The peer's address, canonical.
    pub remote: SocketAddr,
}

/// A connection that is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Between what.
    pub key: Key,
    /// How messages stand on it.
    pub framing: Framing,
    /// The round-trip time to the peer, where it is known.
    pub rtt: Option<Duration>,
    /// How refusals are answered.
    pub retry: Retry,
}

/// How an attempt that is refused is answered by new ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Not at all: towards a server.
    Never,
    /// Once a second: where a server connects for us, at whom each attempt costs
    /// a request and a stream.
    Seldom,
    /// At once for some seconds, and then once a second: towards a peer, who has
    /// to be met.
    Often,
}

/// Something for the driver to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Connect with a fresh socket.
    Connect(Key, Framing),
    /// Say how far the attempt is.
    Inspect(Key),
    /// Give it up.
    Disconnect {
        /// Which one.
        key: Key,
        /// By a reset.
        abort: bool,
    },
}

/// What became of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is open.
    Opened(Key),
    /// It was open and is lost.
    Lost(Key),
    /// It cannot be opened.
    Failed(Key, NotConnected),
}

/// The table.
#[derive(Debug, Default)]
pub struct Connections {
    entries: Vec<Entry>,
    /// When attempts were begun, within the last second.
    begun: VecDeque<Time>,
    /// The next place in the queue for slots.
    places: u64,
    ops: VecDeque<Op>,
    outcomes: VecDeque<Outcome>,
}

impl Connections {
    /// Nothing is there and nothing is wanted.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether there is a connection.
    pub fn is_open(&self, key: Key) -> bool {
        self.find(key).is_some_and(|entry| entry.phase.is_open())
    }

    /// How messages stand on a connection, if it is open.
    pub fn framing(&self, key: Key) -> Option<Framing> {
        self.find(key).filter(|entry| entry.phase.is_open()).map(|entry| entry.framing)
    }

    /// Whether we wanted it, and not only the peer.
    pub fn is_ours(&self, key: Key) -> bool {
        self.find(key).is_some_and(|entry| entry.dials)
    }

    /// Whether there is something to poll.
    pub fn has_news(&self) -> bool {
        !self.ops.is_empty() || !self.outcomes.is_empty()
    }

    /// A connection is wanted: where none is there or under way, an attempt
    /// begins. The first does not wait for anything but its slot.
    pub fn want(&mut self, wanted: &Wanted, now: Time) {
        let Wanted { key, framing, rtt, retry } = *wanted;
        if let Some(entry) = self.find_mut(key) {
            entry.dials = true;
            entry.rtt = rtt.or(entry.rtt);
            return;
        }
        if self.entries.len() >= MAX_ENTRIES {
            return self.outcomes.push_back(Outcome::Failed(key, NotConnected::Limit));
        }
        self.places += 1;
        let entry = Entry::new(key, Phase::Queued, self.places, now);
        self.entries.push(Entry { framing, dials: true, retry, rtt, ..entry });
    }

    /// The peer showed that it is there: refusals are answered fast again.
    pub fn sign(&mut self, now: Time) {
        for entry in &mut self.entries {
            entry.fast_until = now + FAST;
            let soon = now + entry.times().adoption() / 4;
            if let Phase::Pausing { until } = &mut entry.phase {
                *until = (*until).min(soon);
            }
        }
    }

    /// Both sides agreed to begin an attempt at this time. It takes the place
    /// of one that would begin later, or less than half a round trip earlier:
    /// any other is worth its while. Who goes second begins a little later, so
    /// that the order is sure.
    pub fn start_at(&mut self, key: Key, at: Time, goes_first: bool) {
        let Some(entry) = self.find_mut(key) else { return };
        let rtt = entry.times().rtt();
        let at = if goes_first { at } else { at + rtt / 4 };
        if let Phase::Pausing { until } = &mut entry.phase
            && *until + rtt / 2 > at
        {
            *until = at;
        }
    }

    /// The peer passed a check on it.
    pub fn prove(&mut self, key: Key) {
        if let Some(entry) = self.find_mut(key) {
            entry.proven = true;
        }
    }

    /// The driver's answer to [`Op::Connect`].
    pub fn connected(&mut self, key: Key, now: Time, rng: &mut Rng) {
        self.happened(key, Event::Connected, now, rng);
    }

    /// The driver's other answer to [`Op::Connect`].
    pub fn connect_failed(&mut self, key: Key, kind: io::ErrorKind, now: Time, rng: &mut Rng) {
        let event = Event::of_error(kind);
        let Some(entry) = self.find_mut(key) else { return };
        if let Phase::Connecting { since, .. } = entry.phase {
            let history = &mut entry.history;
            history.error = Some(kind);
            if event == Event::Refused {
                let took = now - since;
                history.refusals += 1;
                history.quickest = Some(history.quickest.map_or(took, |q| q.min(took)));
            } else if event != Event::Exists {
                history.failures += 1;
            }
        }
        let gives_up = entry.retry == Retry::Never
            || event == Event::Failed && entry.history.failures >= MAX_FAILURES;
        if gives_up && entry.phase.has_socket() {
            let reason = entry.reason();
            self.forget(key);
            self.outcomes.push_back(Outcome::Failed(key, reason));
        } else {
            self.happened(key, event, now, rng);
        }
    }

    /// The driver's answer to [`Op::Inspect`].
    pub fn inspected(&mut self, key: Key, handshake: Handshake, now: Time, rng: &mut Rng) {
        let Some(entry) = self.find_mut(key) else { return };
        let times = entry.times();
        let Phase::Connecting { half_open, look, .. } = &mut entry.phase else { return };
        *look = now + LOOK;
        if handshake != Handshake::SynReceived {
            *half_open = None;
            return;
        }
        let since = *half_open.get_or_insert(now);
        entry.history.half_open = true;
        if now - since >= times.half_open() {
            self.happened(key, Event::Stuck, now, rng);
        }
    }

    /// A listener took a connection in.
    pub fn accepted(&mut self, key: Key, now: Time, rng: &mut Rng) {
        if self.find(key).is_some() {
            return self.happened(key, Event::Accepted, now, rng);
        }
        self.make_room(key.remote.ip());
        self.places += 1;
        self.entries.push(Entry::new(key, Phase::Open { since: now }, self.places, now));
        self.outcomes.push_back(Outcome::Opened(key));
    }

    /// A connection ended. It is told of as lost, and forgotten unless it is
    /// wanted again.
    pub fn disconnected(&mut self, key: Key) {
        if self.is_open(key) {
            self.forget(key);
            self.outcomes.push_back(Outcome::Lost(key));
        }
    }

    /// A connection that was lost before anything came of it is tried again,
    /// like one that was refused.
    pub fn retry(&mut self, wanted: &Wanted, now: Time, rng: &mut Rng) {
        self.want(wanted, now);
        let Some(entry) = self.find_mut(wanted.key) else { return };
        if entry.phase == Phase::Queued {
            let fast = entry.retry == Retry::Often;
            let until = now + entry.times().pause(fast, rng);
            entry.phase = Phase::Pausing { until };
        }
    }

    /// What came on it was not from the peer.
    pub fn reject(&mut self, key: Key) {
        self.drop_entry(key, true);
    }

    /// Nobody wants it any more.
    pub fn drop_entry(&mut self, key: Key, abort: bool) {
        let Some(entry) = self.find(key) else { return };
        if entry.phase.is_open() || entry.phase.has_socket() {
            self.ops.push_back(Op::Disconnect { key, abort });
        }
        self.forget(key);
    }

    /// The base is closed, and with it all that the driver has of it.
    pub fn close_base(&mut self, base: u32) {
        self.entries.retain(|entry| entry.key.base != base);
        self.ops.retain(|op| op.key().base != base);
    }

    /// Those of a base.
    pub fn of_base(&self, base: u32) -> impl Iterator<Item = Key> {
        self.entries.iter().map(|entry| entry.key).filter(move |key| key.base == base)
    }

    /// Everything ends; the driver closes the bases.
    pub fn close(&mut self) {
        *self = Connections::default();
    }

    /// The next thing for the driver.
    pub fn poll_op(&mut self) -> Option<Op> {
        self.ops.pop_front()
    }

    /// What became of a connection.
    pub fn poll_outcome(&mut self) -> Option<Outcome> {
        self.outcomes.pop_front()
    }

    /// Does what is due.
    pub fn advance(&mut self, now: Time, rng: &mut Rng) {
        let due: Vec<(Key, Event)> =
            self.entries.iter().filter_map(|entry| Some((entry.key, entry.due(now)?))).collect();
        for (key, event) in due {
            if event == Event::Stuck {
                // The system has to say so first.
                if let Some(Entry { phase: Phase::Connecting { look, .. }, .. }) =
                    self.find_mut(key)
                {
                    *look = now + LOOK;
                }
                self.ops.push_back(Op::Inspect(key));
            } else {
                self.happened(key, event, now, rng);
            }
        }
        self.end_unproven(now);
        self.grant_slots(now, rng);
    }

    /// When [`Connections::advance`] is to be called.
    pub fn poll_timeout(&self) -> Option<Time> {
        let entries = self.entries.iter().filter_map(Entry::deadline).min();
        entries.into_iter().chain(self.next_slot()).min()
    }

    /// One row of the table: what is done after an event.
    fn happened(&mut self, key: Key, event: Event, now: Time, rng: &mut Rng) {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.key == key) else { return };
        let step = entry.phase.step(event);
        let times = entry.times();
        if entry.phase.has_socket()
            && matches!(event, Event::Stuck | Event::Preempted | Event::Deadline)
        {
            // Half open, an orderly end would keep the addresses busy for
            // minutes, and the next attempt with them.
            let abort = event == Event::Stuck;
            self.ops.push_back(Op::Disconnect { key, abort });
        }
        match step {
            Step::Stay => {}
            Step::Connect => {
                entry.phase = Phase::Connecting { since: now, half_open: None, look: now + LOOK };
                self.ops.push_back(Op::Connect(key, entry.framing));
            }
            Step::Queue => {
                (entry.phase, entry.place) = (Phase::Queued, self.places);
                self.places += 1;
                if event == Event::Preempted {
                    entry.preempts = now + times.slot();
                }
            }
            Step::Pause | Step::PauseLong => {
                let first = entry.history.failures <= 1;
                let fast = now < entry.fast_until && (step == Step::Pause || first);
                let fast = fast && entry.retry == Retry::Often;
                entry.phase = Phase::Pausing { until: now + times.pause(fast, rng) };
            }
            Step::Adopt => entry.phase = Phase::Adopting { until: now + times.adoption() },
            Step::Open | Step::Replace => {
                if step == Step::Replace {
                    entry.proven = false;
                    self.outcomes.push_back(Outcome::Lost(key));
                }
                entry.phase = Phase::Open { since: now };
                self.outcomes.push_back(Outcome::Opened(key));
            }
            Step::End => {
                let reason = entry.reason();
                self.forget(key);
                self.outcomes.push_back(Outcome::Failed(key, reason));
            }
        }
    }

    fn forget(&mut self, key: Key) {
        self.entries.retain(|entry| entry.key != key);
    }

    fn find(&self, key: Key) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    fn find_mut(&mut self, key: Key) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.key == key)
    }
}

impl Op {
    /// Which connection it is about.
    pub fn key(&self) -> Key {
        match *self {
            Op::Connect(key, _) | Op::Inspect(key) | Op::Disconnect { key, .. } => key,
        }
    }
}

impl Key {
    /// The key of a base and a peer's address, in whatever form it is.
    pub fn new(base: u32, remote: SocketAddr) -> Self {
        Key { base, remote: net::canonical(remote) }
    }
}
