//! Requests that wait for their turn or their answer.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::Change;
use super::machine::Transmit;
use super::message::write_request;
use crate::rng::Rng;
use crate::stun::TransactionId;
use crate::timer::Time;

/// New transactions are so far apart: ten a second (RFC 5780 §5).
const SPACING: Duration = Duration::from_millis(100);

/// From one transmission of a request to the next (the RTO of RFC 8489 §6.2.1).
/// It does not grow: what is lost is to be told from what is filtered, soon.
const GAP: Duration = Duration::from_millis(500);

/// How long after the last transmission an answer may come.
const LAST: Duration = Duration::from_secs(1);

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<P> {
    pub(super) purpose: P,
    pub(super) base: usize,
    pub(super) to: SocketAddr,
    pub(super) change: Change,
    /// How often it is sent at most.
    pub(super) tries: u8,
}

/// A question under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask<P> {
    pub(super) question: Question<P>,
    pub(super) since: Time,
    id: TransactionId,
    sent: u8,
    next: Time,
}

#[derive(Debug)]
pub(super) struct Asks<P> {
    queue: VecDeque<Question<P>>,
    live: Vec<Ask<P>>,
    slot: Time,
    out: VecDeque<Transmit>,
}

impl<P: Copy> Asks<P> {
    pub(super) fn new() -> Self {
        Asks { queue: VecDeque::new(), live: Vec::new(), slot: Time::ZERO, out: VecDeque::new() }
    }

    pub(super) fn plan(&mut self, question: Question<P>) {
        self.queue.push_back(question);
    }

    /// Whether one of these waits for its turn or its answer.
    pub(super) fn has(&self, is_it: impl Fn(P) -> bool) -> bool {
        self.waits(&is_it) || self.live.iter().any(|ask| is_it(ask.question.purpose))
    }

    /// Whether one of these waits for its turn.
    pub(super) fn waits(&self, is_it: impl Fn(P) -> bool) -> bool {
        self.queue.iter().any(|question| is_it(question.purpose))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.live.is_empty()
    }

    pub(super) fn cancel(&mut self, is_it: impl Fn(P) -> bool) {
        self.queue.retain(|question| !is_it(question.purpose));
        self.live.retain(|ask| !is_it(ask.question.purpose));
    }

    /// Sends what is due; gives what had no answer.
    pub(super) fn handle_timeout(&mut self, now: Time, rng: &mut Rng) -> Vec<Question<P>> {
        let mut silent = Vec::new();
        let out = &mut self.out;
        self.live.retain_mut(|ask| {
            if now < ask.next {
                return true;
            }
            if ask.sent >= ask.question.tries {
                silent.push(ask.question);
                return false;
            }
            ask.transmit(now, out);
            true
        });
        while now >= self.slot
            && let Some(question) = self.queue.pop_front()
        {
            self.slot = now + SPACING;
            let id = TransactionId(rng.bytes());
            let mut ask = Ask { question, since: now, id, sent: 0, next: now };
            ask.transmit(now, out);
            self.live.push(ask);
        }
        silent
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        let slot = (!self.queue.is_empty()).then_some(self.slot);
        self.live.iter().map(|ask| ask.next).chain(slot).min()
    }

    pub(super) fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.pop_front()
    }

    /// The question that has this id and was asked from this base.
    pub(super) fn find(&self, base: usize, id: TransactionId) -> Option<Ask<P>> {
        self.live.iter().find(|ask| ask.id == id && ask.question.base == base).copied()
    }

    /// The question with this id, whoever asked it.
    pub(super) fn of(&self, id: TransactionId) -> Option<Ask<P>> {
        self.live.iter().find(|ask| ask.id == id).copied()
    }

    pub(super) fn end(&mut self, ask: &Ask<P>) {
        self.live.retain(|live| live.id != ask.id);
    }
}

impl<P> Ask<P> {
    fn transmit(&mut self, now: Time, out: &mut VecDeque<Transmit>) {
        self.sent += 1;
        self.next = now + if self.sent < self.question.tries { GAP } else { LAST };
        let Question { base, to, change, .. } = self.question;
        let mut bytes = Vec::with_capacity(40);
        write_request(self.id, change, &mut bytes);
        out.push_back(Transmit { base, to, bytes });
    }

    /// The answer may be to a later transmission than the first.
    pub(super) fn was_repeated(&self) -> bool {
        self.sent > 1
    }
}
