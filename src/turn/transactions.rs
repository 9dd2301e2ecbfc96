//! The requests of a client: when each is begun, sent again, and given up.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::stun::{Integrity, IntegrityKey, Message, Method, Retransmission, TransactionId};
use crate::timer::{Pacer, Time};
use crate::turn::login::Session;
use crate::turn::{Failure, Settings};

/// Ti: how long an answer is waited for on a stream (RFC 8489 §6.2.2).
pub(super) const TI: Duration = Duration::from_millis(39_500);

/// A shorter RTO would be a flood.
const MIN_RTO: Duration = Duration::from_millis(10);

/// How often a request is repeated with a new nonce, while no other gets
/// through, before the server is taken for one that lets none through.
const MAX_NONCES: u8 = 5;

/// How often a request is repeated after a failure of the server: "SHOULD be
/// limited to 4" (RFC 8489 §6.3.4).
const MAX_FAILURES: u8 = 4;

/// The pause after the first failure; it doubles with each.
const PAUSE: Duration = Duration::from_secs(1);

/// So many transactions that have ended are known when an answer comes late.
const MAX_ENDED: usize = 64;

/// What a request is for. There is one at a time for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The allocation is made.
    Allocate,
    /// It is refreshed.
    Refresh,
    /// It is given back.
    Return,
    /// A peer is permitted.
    Permission(IpAddr),
    /// A channel is bound to a peer.
    Channel(SocketAddr, u16),
    /// The server connects to a peer (RFC 6062 §4.3).
    Connect(SocketAddr),
    /// A stream becomes the data connection with this number.
    Bind(u32),
}

impl Purpose {
    pub(super) fn method(self) -> Method {
        match self {
            Purpose::Allocate => Method::ALLOCATE,
            Purpose::Refresh | Purpose::Return => Method::REFRESH,
            Purpose::Permission(_) => Method::CREATE_PERMISSION,
            Purpose::Channel(..) => Method::CHANNEL_BIND,
            Purpose::Connect(_) => Method::CONNECT,
            Purpose::Bind(_) => Method::CONNECTION_BIND,
        }
    }
}

/// The requests of a client, in the order in which they came up.
#[derive(Debug)]
pub(super) struct Transactions {
    all: Vec<Transaction>,
    outbox: VecDeque<TransactionId>,
    ended: VecDeque<TransactionId>,
    pacer: Pacer,
    /// When the next may begin, once one waits.
    slot: Option<Time>,
    /// Nothing but [`Purpose::Return`] begins before new secrets are there.
    is_locked: bool,
    /// The server has not answered a refresh from the new path yet.
    is_moving: bool,
    reliable: bool,
    rto: Duration,
}

#[derive(Debug)]
struct Transaction {
    purpose: Purpose,
    phase: Phase,
    nonces: u8,
    failures: u8,
}

#[derive(Debug)]
enum Phase {
    /// For a slot of the pacer.
    Waiting,
    /// After a failure of the server.
    Pausing { until: Time },
    /// Until there are new secrets.
    Held,
    /// It was sent.
    Asking(Asking),
}

/// A request that was sent.
#[derive(Debug)]
pub(crate) struct Asking {
    pub(super) id: TransactionId,
    bytes: Vec<u8>,
    /// What it was signed with.
    pub(super) session: Option<Arc<Session>>,
    /// When it was first sent: what it sets on the server's side counts from
    /// no earlier.
    pub(super) since: Time,
    /// `None` on a stream.
    schedule: Option<Retransmission>,
    next: Time,
    /// An answer came without integrity, with this code.
    unsigned: Option<Option<u16>>,
}

impl Transactions {
    pub(super) fn new(settings: &Settings) -> Self {
        Transactions {
            all: Vec::new(),
            outbox: VecDeque::new(),
            ended: VecDeque::new(),
            pacer: settings.pacer.clone(),
            slot: None,
            is_locked: false,
            is_moving: false,
            reliable: settings.reliable,
            rto: settings.rto.max(MIN_RTO),
        }
    }

    /// A request is wanted, if none is under way for the same.
    pub(super) fn add(&mut self, purpose: Purpose) {
        self.push(purpose, Phase::Waiting);
    }

    /// A request is wanted, and not before `until`.
    pub(super) fn add_later(&mut self, purpose: Purpose, until: Time) {
        self.push(purpose, Phase::Pausing { until });
    }

    fn push(&mut self, purpose: Purpose, phase: Phase) {
        if !self.has(|of| of == purpose) {
            self.all.push(Transaction { purpose, phase, nonces: 0, failures: 0 });
        }
    }

    /// How many are under way that are meant.
    pub(super) fn count(&self, is_meant: impl Fn(Purpose) -> bool) -> usize {
        self.all.iter().filter(|transaction| is_meant(transaction.purpose)).count()
    }

    pub(super) fn has(&self, is_meant: impl Fn(Purpose) -> bool) -> bool {
        self.all.iter().any(|transaction| is_meant(transaction.purpose))
    }

    /// Whether the request for this was sent and not answered.
    pub(super) fn is_asking(&self, purpose: Purpose) -> bool {
        let mut meant = self.all.iter().filter(|transaction| transaction.purpose == purpose);
        meant.any(|transaction| matches!(transaction.phase, Phase::Asking(_)))
    }

    /// Ends those that are meant; an answer to them is late.
    pub(super) fn cancel(&mut self, is_meant: impl Fn(Purpose) -> bool) {
        while let Some(at) = self.all.iter().position(|t| is_meant(t.purpose)) {
            self.end(at);
        }
    }

    /// Ends one.
    pub(super) fn end(&mut self, at: usize) {
        let transaction = self.all.remove(at);
        self.forget_request(transaction.phase);
    }

    fn forget_request(&mut self, phase: Phase) {
        let Phase::Asking(asking) = phase else { return };
        if self.ended.len() >= MAX_ENDED {
            self.ended.pop_front();
        }
        self.ended.push_back(asking.id);
        self.outbox.retain(|id| *id != asking.id);
    }

    /// The one that waits for an answer with this id.
    pub(super) fn find(&self, id: TransactionId) -> Option<(usize, Purpose, &Asking)> {
        self.all.iter().enumerate().find_map(|(at, transaction)| match &transaction.phase {
            Phase::Asking(asking) if asking.id == id => Some((at, transaction.purpose, asking)),
            _ => None,
        })
    }

    pub(super) fn has_ended(&self, id: TransactionId) -> bool {
        self.ended.contains(&id)
    }

    /// The next to begin at `now`, for [`ask`](Self::ask).
    pub(super) fn next_to_begin(&mut self, now: Time) -> Option<(usize, Purpose)> {
        let Some(at) = self.all.iter().position(|t| self.may_begin(t)) else {
            self.slot = None;
            return None;
        };
        let slot = *self.slot.get_or_insert_with(|| self.pacer.reserve(now));
        // Whoever gives back may be gone before its slot comes.
        let is_return = self.all.get(at).is_some_and(|t| t.purpose == Purpose::Return);
        if slot > now && !is_return {
            return None;
        }
        self.slot = None;
        self.all.get(at).map(|transaction| (at, transaction.purpose))
    }

    fn may_begin(&self, transaction: &Transaction) -> bool {
        let is_free = match transaction.purpose {
            Purpose::Return => true,
            Purpose::Allocate | Purpose::Refresh => !self.is_locked,
            Purpose::Permission(_)
            | Purpose::Channel(..)
            | Purpose::Connect(_)
            | Purpose::Bind(_) => !self.is_locked && !self.is_moving,
        };
        is_free && matches!(transaction.phase, Phase::Waiting)
    }

    /// The request is sent for the first time: with this id, as these bytes.
    pub(super) fn ask(
        &mut self,
        at: usize,
        id: TransactionId,
        bytes: Vec<u8>,
        session: Option<Arc<Session>>,
        now: Time,
    ) {
        let mut schedule = (!self.reliable).then(|| Retransmission::new(self.rto));
        let next = schedule.as_mut().map_or(now + TI, |schedule| schedule.start(now));
        let asking = Asking { id, bytes, session, since: now, schedule, next, unsigned: None };
        let Some(transaction) = self.all.get_mut(at) else { return };
        let before = std::mem::replace(&mut transaction.phase, Phase::Asking(asking));
        self.forget_request(before);
        self.outbox.push_back(id);
    }

    /// An answer came that counts for nothing, being unsigned.
    pub(super) fn discard(&mut self, at: usize, code: Option<u16>) {
        if let Some(Transaction { phase: Phase::Asking(asking), .. }) = self.all.get_mut(at) {
            asking.unsigned = Some(code);
        }
    }

    /// Whether it may be repeated with a new nonce once more.
    pub(super) fn may_take_nonce(&mut self, at: usize) -> bool {
        let Some(transaction) = self.all.get_mut(at) else { return false };
        transaction.nonces += 1;
        transaction.nonces <= MAX_NONCES
    }

    /// The server lets requests through: those that it did not so far are not
    /// the sign of a circle, for it may have none but nonces for one request.
    pub(super) fn forgive_nonces(&mut self) {
        self.all.iter_mut().for_each(|transaction| transaction.nonces = 0);
    }

    /// Repeats it after a pause; false if that was done as often as may be.
    pub(super) fn pause(&mut self, at: usize, now: Time) -> bool {
        let Some(transaction) = self.all.get_mut(at) else { return false };
        if transaction.failures >= MAX_FAILURES {
            return false;
        }
        let until = now + PAUSE * (1 << transaction.failures);
        transaction.failures += 1;
        self.change(at, Phase::Pausing { until });
        true
    }

    /// Begins it again when there is a slot.
    pub(super) fn again(&mut self, at: usize) {
        self.change(at, Phase::Waiting);
    }

    /// The path is another. The server knows nobody there before it has the
    /// ticket of a refresh: all else waits, and what was sent goes again.
    pub(super) fn depart(&mut self) {
        self.is_moving = true;
        for at in 0..self.all.len() {
            if let Some(Transaction { phase: Phase::Asking(_), .. }) = self.all.get(at) {
                self.again(at);
            }
        }
        self.cancel(|purpose| purpose == Purpose::Refresh);
        self.add(Purpose::Refresh);
    }

    /// The server has answered from the new path.
    pub(super) fn arrive(&mut self) {
        self.is_moving = false;
    }

    pub(super) fn is_moving(&self) -> bool {
        self.is_moving
    }

    /// Keeps it until [`unlock`](Self::unlock), and what comes after it.
    pub(super) fn hold(&mut self, at: usize) {
        self.is_locked = true;
        self.change(at, Phase::Held);
    }

    fn change(&mut self, at: usize, phase: Phase) {
        let Some(transaction) = self.all.get_mut(at) else { return };
        let before = std::mem::replace(&mut transaction.phase, phase);
        self.forget_request(before);
    }

    pub(super) fn is_locked(&self) -> bool {
        self.is_locked
    }

    /// There are new secrets: what was held waits for its slot.
    pub(super) fn unlock(&mut self) {
        self.is_locked = false;
        let held = self.all.iter_mut().filter(|t| matches!(t.phase, Phase::Held));
        held.for_each(|transaction| transaction.phase = Phase::Waiting);
    }

    /// Repeats what is due; ends and returns what has had its time.
    pub(super) fn handle_timeout(&mut self, now: Time) -> Vec<(Purpose, Failure)> {
        let mut failed = Vec::new();
        for transaction in &mut self.all {
            match &mut transaction.phase {
                Phase::Pausing { until } if *until <= now => transaction.phase = Phase::Waiting,
                Phase::Asking(asking) if asking.next <= now => {
                    match asking.schedule.as_mut().and_then(|schedule| schedule.advance(now)) {
                        Some(next) => {
                            asking.next = next;
                            self.outbox.push_back(asking.id);
                        }
                        None => failed.push((transaction.purpose, asking.failure())),
                    }
                }
                Phase::Pausing { .. } | Phase::Asking(_) | Phase::Waiting | Phase::Held => {}
            }
        }
        for (purpose, _) in &failed {
            self.cancel(|of| of == *purpose);
        }
        failed
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        let due = self.all.iter().filter_map(|transaction| match &transaction.phase {
            // At once, where no slot was taken yet.
            Phase::Waiting if self.may_begin(transaction) => Some(self.slot.unwrap_or(Time::ZERO)),
            Phase::Waiting | Phase::Held => None,
            Phase::Pausing { until } => Some(*until),
            Phase::Asking(asking) => Some(asking.next),
        });
        due.min()
    }

    /// The next request to send, as it was written when it was begun.
    pub(super) fn poll_request(&mut self, out: &mut Vec<u8>) -> Option<Method> {
        out.clear();
        while let Some(id) = self.outbox.pop_front() {
            if let Some((_, purpose, asking)) = self.find(id) {
                out.extend_from_slice(&asking.bytes);
                return Some(purpose.method());
            }
        }
        None
    }
}

impl Asking {
    /// What the answer is signed with.
    pub(crate) fn key(&self) -> Option<&IntegrityKey> {
        Some(self.session.as_ref()?.key())
    }

    /// What the integrity of an answer is like, in the light of the request.
    pub(crate) fn integrity(&self, answer: &Message<'_>) -> Integrity {
        match &self.session {
            Some(session) => session.verify(answer),
            None if answer.integrity_algorithm().is_some() => Integrity::Wrong,
            None => Integrity::Missing,
        }
    }

    fn failure(&self) -> Failure {
        match self.unsigned {
            Some(code) => Failure::unsigned(code),
            None => Failure::no_answer(),
        }
    }
}
