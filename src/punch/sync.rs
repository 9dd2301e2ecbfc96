//! Agreement on T0 by four timestamps.

use std::collections::VecDeque;
use std::time::Duration;

use crate::punch::message::MAX_MICROS;
use crate::punch::schedule::{MAX_AHEAD, MAX_ROUND, Schedule, distance, is_ahead};
use crate::punch::{Offer, Rank, Sample, Start, SyncBody, SyncMessage};
use crate::timer::Time;

/// How often an exchange asks for the time; each answer is a sample.
const ASKS: usize = 5;
/// Questions leave this far apart, whether or not one was answered.
const ASK_SPACING: Duration = Duration::from_millis(20);
/// An answer that takes longer than this does not hold up a proposal.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long after the first answer the others are waited for.
const SETTLE: Duration = Duration::from_millis(100);
/// A proposal's T0 is the longest round trip seen ahead, twice and four times
/// that after one that was lost, and this: the agreement is there before it.
const MARGIN: Duration = Duration::from_millis(20);
/// Where the peer says that it has begun so much later than an exchange, and
/// has answered nothing, the exchange begins again: its questions are old.
const TOO_EARLY: Duration = Duration::from_millis(500);
/// How often an exchange proposes a T0 that nobody agrees to.
const PROPOSALS: usize = 3;
/// How many exchanges an agent begins.
const EXCHANGES: u32 = 3;
/// How many questions and proposals of the peer are answered.
const ANSWERS: u32 = 64;
/// What waits to be carried; more is not sent.
const WAITING: usize = 16;

/// How far a [`Sync`] has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SyncState {
    /// Not started: it answers, and asks nothing.
    Idle,
    /// It leads, and collects samples.
    Asking,
    /// It leads, and has proposed a T0.
    Proposed,
    /// The peer leads; nothing is agreed.
    Following,
    /// A T0 is agreed.
    Agreed,
    /// It leads, but the peer did not answer, or did not agree: no more is
    /// sent unless the peer is heard of.
    Silent,
}

/// A question that was sent.
#[derive(Clone, Copy, Debug)]
struct Asked {
    id: u32,
    at: Time,
    /// When the peer read it, in microseconds of its clock.
    read: Option<u64>,
}

/// A T0 that was proposed.
#[derive(Clone, Copy, Debug)]
struct Proposal {
    id: u32,
    /// T0 on the peer's clock, in microseconds.
    theirs: u64,
    schedule: Schedule,
}

/// Agrees with a peer on the times of rounds: the agent that leads
/// ([`Rank`]) asks for the time up to 5 times (RFC 5905's four timestamps),
/// keeps the sample with the shortest round trip and proposes a T0 in the
/// peer's clock; the peer agrees. From T0 on there is a round every 2.5 round
/// trips, at least 250 ms and at most 2 s apart, for 40 s. The one that led
/// goes first in even rounds, the other in odd ones.
///
/// The two starts are as far apart as half the difference between the delays
/// there and back in the best sample, plus at most 1 µs.
///
/// A peer that never answers is sent 5 messages in all, or one by an agent
/// that follows: it says that it has begun, so that the other asks again if
/// it did so too early. Messages may be lost,
/// doubled or reordered, or be hostile: the worst is that nothing is agreed,
/// or a time at which nobody else starts.
#[derive(Clone, Debug)]
pub struct Sync {
    /// Where our clock begins for the peer.
    base: Time,
    rank: Rank,
    peer: Option<Rank>,
    state: SyncState,
    next_id: u32,
    exchanges: u32,
    /// When the last one began.
    begun: Time,
    asked: Vec<Asked>,
    next_ask: Option<Time>,
    /// When no more samples are waited for.
    close_at: Time,
    best: Option<Sample>,
    /// The longest round trip of the exchange.
    slowest: Duration,
    proposals: Vec<Proposal>,
    /// When a proposal counts as lost.
    lost_at: Time,
    /// The id of what is agreed.
    agreed: Option<u32>,
    schedule: Option<Schedule>,
    answers: u32,
    /// The peer, which follows, has begun; or we follow and have said so.
    greeted: bool,
    out: VecDeque<SyncMessage>,
}

impl Sync {
    /// For an agent of this rank; its clock begins at `now` for the peer.
    pub fn new(rank: Rank, now: Time) -> Self {
        Sync {
            base: now,
            rank,
            peer: None,
            state: SyncState::Idle,
            next_id: 1,
            exchanges: 0,
            begun: now,
            asked: Vec::new(),
            next_ask: None,
            close_at: now,
            best: None,
            slowest: Duration::ZERO,
            proposals: Vec::new(),
            lost_at: now,
            agreed: None,
            schedule: None,
            answers: 0,
            greeted: false,
            out: VecDeque::new(),
        }
    }

    /// Begins, if it has not: the agent that leads asks for the time.
    pub fn start(&mut self, now: Time) {
        if self.state == SyncState::Idle {
            self.state = SyncState::Following;
            self.take_sides(now);
            // The peer may have begun long ago: what it asked then is old.
            if self.state == SyncState::Following && !std::mem::replace(&mut self.greeted, true) {
                self.greet(now);
            }
        }
    }

    /// How far it has come.
    pub fn state(&self) -> SyncState {
        self.state
    }

    /// The best sample of the peer's clock, where this agent asked for one.
    pub fn sample(&self) -> Option<Sample> {
        self.best
    }

    /// The agent's role changed. What is agreed stays.
    pub fn set_role(&mut self, controls: bool, now: Time) {
        self.rank.controls = controls;
        self.take_sides(now);
    }

    /// An attempt was refused: a T0 is wanted now. What samples there are will
    /// do; an agreement that has run out is made again, three exchanges in all.
    pub fn refused(&mut self, now: Time) {
        match self.state {
            SyncState::Asking if self.best.is_some() => self.propose(now),
            SyncState::Silent if self.peer.is_some() => self.ask_again(now),
            SyncState::Agreed if self.next_start(now).is_none() => {
                self.state = SyncState::Following;
                self.take_sides(now);
            }
            _ => {}
        }
    }

    /// When the next round starts, if any is agreed.
    pub fn next_start(&self, now: Time) -> Option<Start> {
        self.schedule.filter(|_| self.state == SyncState::Agreed)?.next(now)
    }

    /// When this round starts, if it is one of those that are agreed.
    pub(super) fn start_of(&self, round: u32) -> Option<Time> {
        self.schedule.filter(|_| self.state == SyncState::Agreed)?.start_of(round)
    }

    /// The time between two rounds, where any are agreed.
    pub(super) fn distance(&self) -> Option<Duration> {
        self.schedule.filter(|_| self.state == SyncState::Agreed).map(|schedule| schedule.every)
    }

    /// Tells the peer of a fresh port.
    pub(super) fn offer(&mut self, offer: Offer) {
        let id = self.take_id();
        self.send(id, SyncBody::Fresh(offer));
    }

    /// Whether this agent's SYN is the first in the round, to leave at its
    /// start. Exactly one of two agents goes first in each round.
    pub fn goes_first(&self, round: u32) -> bool {
        let led = self.schedule.map_or_else(|| self.leads(), |schedule| schedule.led);
        led == round.is_multiple_of(2)
    }

    /// The next message to carry to the peer.
    pub fn poll_message(&mut self) -> Option<SyncMessage> {
        self.out.pop_front()
    }

    /// When [`Sync::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Option<Time> {
        match self.state {
            SyncState::Asking => Some(self.next_ask.unwrap_or(self.close_at).min(self.close_at)),
            SyncState::Proposed => Some(self.lost_at),
            _ => None,
        }
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Time) {
        match self.state {
            SyncState::Asking if self.close_at <= now => self.conclude(now),
            SyncState::Asking if self.next_ask.is_some_and(|at| at <= now) => self.ask(now),
            SyncState::Proposed if self.lost_at <= now => self.propose(now),
            _ => {}
        }
    }

    /// A message came from the peer, or from whoever can send in its name.
    pub fn handle_message(&mut self, now: Time, message: &SyncMessage) {
        if message.from.tie_breaker == self.rank.tie_breaker || !message.body.is_in_range() {
            // One of our own that came back, or nonsense.
            return;
        }
        if self.peer.replace(message.from) != Some(message.from) {
            self.take_sides(now);
        }
        let id = message.id;
        match message.body {
            SyncBody::Ask { t1 } => {
                self.asked_for_time(id, t1, now);
                self.meet(now);
            }
            SyncBody::Answer { t1, t2, t3 } => self.answered(id, [t1, t2, t3], now),
            SyncBody::Start { t0, every, round } => {
                self.proposed(id, t0, Duration::from_micros(every), round, now);
            }
            SyncBody::Agree { t0 } => self.agreed_to(id, t0, now),
            SyncBody::Connect | SyncBody::Sync | SyncBody::Fresh(_) => {}
        }
    }

    /// Whether this agent leads; by its role, as long as the peer's is unknown.
    fn leads(&self) -> bool {
        self.peer.map_or(self.rank.controls, |peer| self.rank > peer)
    }

    /// Changes between leading and following where the ranks ask for it.
    fn take_sides(&mut self, now: Time) {
        match (self.state, self.leads()) {
            (SyncState::Following, true) => self.begin(now),
            (SyncState::Asking | SyncState::Proposed | SyncState::Silent, false) => {
                self.state = SyncState::Following;
            }
            _ => {}
        }
    }

    /// Says by a question that this agent has begun.
    fn greet(&mut self, now: Time) {
        if let Some(t1) = self.micros(now) {
            let id = self.take_id();
            self.send(id, SyncBody::Ask { t1 });
        }
    }

    /// The peer, which follows, has begun: only now its answers are quick.
    fn meet(&mut self, now: Time) {
        let asks = !matches!(self.state, SyncState::Idle | SyncState::Following);
        let is_old = self.best.is_none() && self.begun + TOO_EARLY <= now;
        let first = !std::mem::replace(&mut self.greeted, true);
        if self.leads() && asks && is_old && first {
            self.exchanges = self.exchanges.saturating_sub(1);
            self.begin(now);
        }
    }

    fn ask_again(&mut self, now: Time) {
        if self.exchanges < EXCHANGES {
            self.begin(now);
        }
    }

    /// Begins an exchange, unless there were enough.
    fn begin(&mut self, now: Time) {
        self.asked.clear();
        self.proposals.clear();
        (self.best, self.slowest) = (None, Duration::ZERO);
        if self.exchanges == EXCHANGES {
            self.state = SyncState::Silent;
            return;
        }
        self.exchanges += 1;
        self.begun = now;
        self.state = SyncState::Asking;
        self.close_at = now + ASK_SPACING * (ASKS as u32 - 1) + PATIENCE;
        self.ask(now);
    }

    fn ask(&mut self, now: Time) {
        let more = self.asked.len() + 1 < ASKS;
        self.next_ask = more.then(|| now + ASK_SPACING);
        let Some(t1) = self.micros(now) else { return };
        let id = self.take_id();
        self.asked.push(Asked { id, at: now, read: None });
        self.send(id, SyncBody::Ask { t1 });
    }

    fn conclude(&mut self, now: Time) {
        self.next_ask = None;
        match self.best {
            Some(_) => self.propose(now),
            None => self.state = SyncState::Silent,
        }
    }

    /// Whether the questions have waited for the peer: they left at a distance,
    /// and were read together. Then it had not begun, and its answers say how
    /// long they waited, not how long they were under way.
    fn has_waited(&self) -> bool {
        let read = self.asked.iter().filter_map(|asked| Some((asked.at, asked.read?)));
        let first = read.clone().min();
        let Some(((left, read), (left_last, read_last))) = first.zip(read.max()) else {
            return false;
        };
        let apart = Duration::from_micros(read_last.saturating_sub(read));
        apart * 2 < left_last - left
    }

    /// A common start came to nothing: the clocks are compared anew, where there
    /// were not enough exchanges. Meanwhile nothing is agreed.
    pub fn missed(&mut self, now: Time) {
        if self.state == SyncState::Agreed && self.leads() {
            self.ask_again(now);
        }
    }

    /// Proposes a T0 by the best sample; gives up after three.
    fn propose(&mut self, now: Time) {
        if self.has_waited() && self.exchanges < EXCHANGES {
            return self.begin(now);
        }
        let proposal = self.best.and_then(|sample| self.proposal(sample, now));
        match proposal.filter(|_| self.proposals.len() < PROPOSALS) {
            Some(proposal) => {
                self.next_ask = None;
                self.proposals.push(proposal);
                self.state = SyncState::Proposed;
                self.lost_at = proposal.schedule.first.at.max(now + MARGIN);
                let Schedule { first: Start { round, .. }, every, .. } = proposal.schedule;
                let every = u64::try_from(every.as_micros()).unwrap_or(u64::MAX);
                self.send(proposal.id, SyncBody::Start { t0: proposal.theirs, every, round });
            }
            None => self.state = SyncState::Silent,
        }
    }

    /// A T0 in both clocks: whole microseconds in the peer's.
    fn proposal(&mut self, sample: Sample, now: Time) -> Option<Proposal> {
        let slower = 1 << self.proposals.len();
        let lead = (self.slowest * slower + MARGIN).min(MAX_AHEAD);
        let theirs = self.nanos(now + lead)?.checked_add(sample.offset)?;
        let theirs = u64::try_from(theirs).ok()? / 1_000;
        if theirs > MAX_MICROS {
            return None;
        }
        let ours = i64::try_from(theirs * 1_000).ok()?.checked_sub(sample.offset)?;
        let at = self.base + Duration::from_nanos(u64::try_from(ours).ok()?);
        // Rounds go on where the last agreement ended.
        let round = self.schedule.map_or(0, |schedule| {
            schedule.next(now).map_or(schedule.first.round + 2, |next| next.round + 2)
        });
        let first = Start { round: round.min(MAX_ROUND), at };
        let schedule = Schedule { first, every: distance(sample.rtt), led: true };
        Some(Proposal { id: self.take_id(), theirs, schedule })
    }

    fn asked_for_time(&mut self, id: u32, t1: u64, now: Time) {
        if let Some(t2) = self.micros(now) {
            self.answer(id, SyncBody::Answer { t1, t2, t3: t2 });
        }
    }

    fn answered(&mut self, id: u32, [t1, t2, t3]: [u64; 3], now: Time) {
        let leading = [SyncState::Asking, SyncState::Proposed, SyncState::Silent];
        let open = self.asked.iter().position(|asked| asked.id == id && asked.read.is_none());
        let Some(open) = open.filter(|_| leading.contains(&self.state)) else { return };
        let sent = self.asked[open].at;
        if self.micros(sent) != Some(t1) {
            return;
        }
        self.asked[open].read = Some(t2);
        let peer = |micros: u64| i64::try_from(micros.saturating_mul(1_000)).ok();
        let times = || Some([self.nanos(sent)?, peer(t2)?, peer(t3)?, self.nanos(now)?]);
        let Some(sample) = times().and_then(Sample::new) else { return };
        if self.best.is_none() {
            self.close_at = self.close_at.min(now + SETTLE);
        }
        self.slowest = self.slowest.max(sample.rtt);
        self.best = Some(sample.better(self.best));
        let all = self.asked.len() == ASKS && self.asked.iter().all(|asked| asked.read.is_some());
        if self.state == SyncState::Silent || (self.state == SyncState::Asking && all) {
            self.propose(now);
        }
    }

    fn proposed(&mut self, id: u32, t0: u64, every: Duration, round: u32, now: Time) {
        let at = self.base + Duration::from_micros(t0);
        let is_new = self.schedule.is_none_or(|s| s.led) || self.agreed.is_none_or(|a| id > a);
        if self.leads() || !is_new || !is_ahead(at, now) {
            return;
        }
        self.agreed = Some(id);
        self.schedule = Some(Schedule { first: Start { round, at }, every, led: false });
        self.state = SyncState::Agreed;
        self.answer(id, SyncBody::Agree { t0 });
    }

    fn agreed_to(&mut self, id: u32, t0: u64, now: Time) {
        let proposal = self.proposals.iter().find(|p| p.id == id && p.theirs == t0);
        let Some(proposal) = proposal.filter(|p| p.schedule.next(now).is_some()) else { return };
        let is_newer = self.schedule.is_none_or(|s| !s.led) || self.agreed.is_none_or(|a| id > a);
        if !self.leads() || !is_newer {
            return;
        }
        self.agreed = Some(id);
        self.schedule = Some(proposal.schedule);
        self.state = SyncState::Agreed;
    }

    /// Sends what answers the peer, so many times.
    fn answer(&mut self, id: u32, body: SyncBody) {
        if self.answers < ANSWERS {
            self.answers += 1;
            self.send(id, body);
        }
    }

    fn send(&mut self, id: u32, body: SyncBody) {
        if self.out.len() < WAITING {
            self.out.push_back(SyncMessage { id, from: self.rank, body });
        }
    }

    fn take_id(&mut self) -> u32 {
        let id = self.next_id;
        self.next_id = id.saturating_add(1);
        id
    }

    /// `at` on the clock that the peer sees, in nanoseconds.
    fn nanos(&self, at: Time) -> Option<i64> {
        i64::try_from((at - self.base).as_nanos()).ok()
    }

    /// `at` as a message says it, in microseconds.
    fn micros(&self, at: Time) -> Option<u64> {
        let micros = u64::try_from((at - self.base).as_micros()).ok()?;
        (micros <= MAX_MICROS).then_some(micros)
    }
}
