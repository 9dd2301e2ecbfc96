//! All connections of an agent and the attempts at them: those that connect()
//! brought and those that a listener took in, in one table.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::net::{self, NotConnected};
use crate::rng::Rng;
use crate::tcp::ladder::{Event, FAST, LIFETIME, Phase, Step, Times};
use crate::tcp::{Framing, Handshake};
use crate::timer::Time;

/// Attempts under way to one address of a peer (RFC 6544 §12).
const PER_ADDRESS: usize = 5;
/// Attempts that an agent begins within a second.
const PER_SECOND: usize = 40;
/// Connections of an agent whose peer has not passed a check, and of them
/// those from one address.
const UNPROVEN: usize = 64;
const UNPROVEN_PER_ADDRESS: usize = 16;
/// How long a peer may take to pass a check on a connection that it opened.
const PROOF: Duration = Duration::from_secs(15);
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
    /// Refusals are answered by new attempts. Not so towards a server.
    pub persistent: bool,
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

#[derive(Debug)]
struct Entry {
    key: Key,
    phase: Phase,
    /// How messages stand on it.
    framing: Framing,
    /// We want it and open it; else the peer has opened it.
    dials: bool,
    persistent: bool,
    rtt: Option<Duration>,
    deadline: Time,
    fast_until: Time,
    /// The peer has passed a check on it, or it leads to a server.
    proven: bool,
    /// Its place in the queue for slots, from which it goes to the end when it
    /// has had its time.
    place: u64,
    /// From when on it may take a slot from a silent attempt: who has just given
    /// one up has had its time.
    preempts: Time,
    history: History,
}

/// What an attempt went through, for the reason of its end.
#[derive(Clone, Copy, Debug, Default)]
struct History {
    refusals: u32,
    /// How long the quickest refusal took.
    quickest: Option<Duration>,
    failures: u32,
    error: Option<io::ErrorKind>,
    /// The peer's SYN was here.
    half_open: bool,
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
        let Wanted { key, framing, rtt, persistent } = *wanted;
        if let Some(entry) = self.find_mut(key) {
            entry.dials = true;
            entry.rtt = rtt.or(entry.rtt);
            return;
        }
        if self.entries.len() >= MAX_ENTRIES {
            return self.outcomes.push_back(Outcome::Failed(key, NotConnected::Limit));
        }
        self.places += 1;
        self.entries.push(Entry {
            key,
            phase: Phase::Queued,
            framing,
            dials: true,
            persistent,
            rtt,
            deadline: now + LIFETIME,
            fast_until: now + FAST,
            proven: false,
            place: self.places,
            preempts: now,
            history: History::default(),
        });
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
        let gives_up =
            !entry.persistent || event == Event::Failed && entry.history.failures >= MAX_FAILURES;
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
        self.entries.push(Entry {
            key,
            phase: Phase::Open { since: now },
            framing: Framing::Rfc4571,
            dials: false,
            persistent: true,
            rtt: None,
            deadline: now + LIFETIME,
            fast_until: now + FAST,
            proven: false,
            place: self.places,
            preempts: now,
            history: History::default(),
        });
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
            let until = now + entry.times().pause(true, rng);
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

    /// Gives slots to those who wait longest, and takes them from silent
    /// attempts that have had their time.
    fn grant_slots(&mut self, now: Time, rng: &mut Rng) {
        while self.begun.front().is_some_and(|at| *at + Duration::from_secs(1) <= now) {
            self.begun.pop_front();
        }
        let mut waiting: Vec<(u64, Key)> = self.waiting().collect();
        waiting.sort_unstable();
        for (_, key) in waiting {
            if self.begun.len() >= PER_SECOND {
                return;
            }
            if self.is_full(key.remote.ip()) {
                let Some((_, oldest)) = self.yields_to(key).filter(|(at, _)| *at <= now) else {
                    continue;
                };
                self.happened(oldest, Event::Preempted, now, rng);
            }
            self.begun.push_back(now);
            self.happened(key, Event::Slot, now, rng);
        }
    }

    /// Who waits for a slot, and since when.
    fn waiting(&self) -> impl Iterator<Item = (u64, Key)> {
        let queued = self.entries.iter().filter(|entry| entry.phase == Phase::Queued);
        queued.map(|entry| (entry.place, entry.key))
    }

    fn under_way(&self, ip: IpAddr) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |e| e.phase.has_socket() && e.key.remote.ip() == ip)
    }

    fn is_full(&self, ip: IpAddr) -> bool {
        self.under_way(ip).count() >= PER_ADDRESS
    }

    /// The silent attempt to the same address that gives its slot up to one
    /// that waits, and when: the oldest.
    fn yields_to(&self, key: Key) -> Option<(Time, Key)> {
        let preempts = self.find(key)?.preempts;
        let silent = self.under_way(key.remote.ip());
        let silent = silent.filter_map(|entry| Some((entry.yields()?, entry.place, entry.key)));
        let (at, _, oldest) = silent.min()?;
        Some((at.max(preempts), oldest))
    }

    /// When somebody who waits may get a slot.
    fn next_slot(&self) -> Option<Time> {
        let is_spent = self.begun.len() >= PER_SECOND;
        let second = self.begun.front().filter(|_| is_spent).map(|at| *at + Duration::from_secs(1));
        let slots = self.waiting().filter_map(|(_, key)| {
            let free = match self.is_full(key.remote.ip()) {
                true => Some(self.yields_to(key)?.0),
                false => None,
            };
            second.max(free)
        });
        slots.min()
    }

    /// Connections on which no check came in time.
    fn end_unproven(&mut self, now: Time) {
        let late = |entry: &&Entry| entry.proof_by().is_some_and(|at| at <= now);
        let late: Vec<Key> = self.entries.iter().filter(late).map(|entry| entry.key).collect();
        late.into_iter().for_each(|key| self.drop_entry(key, true));
    }

    /// Makes room for a connection from an address: the oldest unproven one
    /// goes, of the same address where that has its share.
    fn make_room(&mut self, ip: IpAddr) {
        let unproven = || self.entries.iter().filter(|entry| entry.proof_by().is_some());
        let of_ip = || unproven().filter(|entry| entry.key.remote.ip() == ip);
        let oldest = if of_ip().count() >= UNPROVEN_PER_ADDRESS {
            of_ip().min_by_key(|entry| entry.proof_by())
        } else if unproven().count() >= UNPROVEN || self.entries.len() >= MAX_ENTRIES {
            unproven().min_by_key(|entry| entry.proof_by())
        } else {
            None
        };
        if let Some(key) = oldest.map(|entry| entry.key) {
            self.drop_entry(key, true);
        }
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

impl Entry {
    /// The times of its ladder, by the round trip that is known, or else by
    /// what a refusal took: it came from the far end, or from nearer.
    fn times(&self) -> Times {
        Times::of(self.rtt.or(self.history.quickest))
    }

    /// When something is due.
    fn deadline(&self) -> Option<Time> {
        match self.phase {
            Phase::Queued => Some(self.deadline),
            Phase::Connecting { look, .. } => Some(look.min(self.deadline)),
            Phase::Pausing { until } | Phase::Adopting { until } => Some(until.min(self.deadline)),
            Phase::Open { .. } => self.proof_by(),
        }
    }

    fn due(&self, now: Time) -> Option<Event> {
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
    fn yields(&self) -> Option<Time> {
        match self.phase {
            Phase::Connecting { since, half_open: None, .. } => Some(since + self.times().slot()),
            _ => None,
        }
    }

    /// Until when the peer has to have passed a check.
    fn proof_by(&self) -> Option<Time> {
        match self.phase {
            Phase::Open { since } if !self.proven && !self.dials => Some(since + PROOF),
            _ => None,
        }
    }

    /// Why it cannot be opened.
    fn reason(&self) -> NotConnected {
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

#[cfg(test)]
mod tests;
