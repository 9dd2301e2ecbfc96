//! One STUN server asked from one base, as a state machine.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::stun::{Retransmission, TransactionId};
use crate::timer::Time;

/// So many refused sends end a transaction: the first may be a network that
/// is still coming up, the second comes an RTO later.
const REFUSALS: u8 = 2;

/// What one base wants of one server.
#[derive(Debug)]
pub(super) struct Job {
    state: State,
    /// When the budget ends, whatever the state.
    deadline: Time,
    /// Where the request goes, once the server's name is resolved.
    to: Option<SocketAddr>,
    /// The transaction, kept when it has ended so that a late answer is known.
    id: Option<TransactionId>,
}

#[derive(Debug)]
enum State {
    /// The server's name is being resolved.
    Resolving,
    /// There is an address, and no slot yet to ask it.
    Waiting,
    /// The transaction is under way.
    Asking(Transaction),
    /// Over, one way or the other.
    Finished,
}

#[derive(Debug)]
struct Transaction {
    since: Time,
    schedule: Retransmission,
    next: Time,
    refusals: u8,
    refusal: Option<io::ErrorKind>,
}

/// Why a job ended without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The budget ended before the name was resolved.
    Unresolved,
    /// The budget ended before there was a slot to ask.
    NotAsked,
    /// No answer came.
    NoAnswer {
        /// How long it was waited for.
        after: Duration,
        /// What the system said, if it refused a send.
        refusal: Option<io::ErrorKind>,
    },
    /// The system refuses to send.
    Refused(io::ErrorKind),
}

/// What to do when time has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Resend,
    Failed(Failure),
}

impl Job {
    pub(super) fn new(deadline: Time) -> Self {
        Job { state: State::Resolving, deadline, to: None, id: None }
    }

    /// The server has this address for the base; `None`: none that the base
    /// reaches, so that there is nothing to ask.
    pub(super) fn resolve(&mut self, to: Option<SocketAddr>) {
        if let State::Resolving = self.state {
            self.state = if to.is_some() { State::Waiting } else { State::Finished };
            self.to = to;
        }
    }

    /// A slot has come: where to send the request, if there still is a wish.
    pub(super) fn start(
        &mut self,
        id: TransactionId,
        rto: Duration,
        now: Time,
    ) -> Option<SocketAddr> {
        let State::Waiting = self.state else { return None };
        let mut schedule = Retransmission::new(rto);
        let next = schedule.start(now);
        let transaction = Transaction { since: now, schedule, next, refusals: 0, refusal: None };
        self.state = State::Asking(transaction);
        self.id = Some(id);
        self.to
    }

    /// An answer came. False if it came too late.
    pub(super) fn answer(&mut self, now: Time) -> bool {
        let is_in_time = self.is_asking() && now < self.deadline;
        if is_in_time {
            self.state = State::Finished;
        }
        is_in_time
    }

    /// The system refused to send the request.
    pub(super) fn refuse(&mut self, kind: io::ErrorKind) -> Option<Failure> {
        let State::Asking(transaction) = &mut self.state else { return None };
        transaction.refusals = transaction.refusals.saturating_add(1);
        transaction.refusal = Some(kind);
        if transaction.refusals < REFUSALS {
            return None;
        }
        self.state = State::Finished;
        Some(Failure::Refused(kind))
    }

    /// It is `now`.
    pub(super) fn handle_timeout(&mut self, now: Time) -> Due {
        let is_over = now >= self.deadline;
        let failure = match &mut self.state {
            State::Resolving if is_over => Failure::Unresolved,
            State::Waiting if is_over => Failure::NotAsked,
            State::Asking(transaction) if is_over => transaction.failure(now),
            State::Asking(transaction) if now >= transaction.next => {
                match transaction.schedule.advance(now) {
                    Some(next) => {
                        transaction.next = next;
                        return Due::Resend;
                    }
                    None => transaction.failure(now),
                }
            }
            State::Resolving | State::Waiting | State::Asking(_) | State::Finished => {
                return Due::Nothing;
            }
        };
        self.state = State::Finished;
        Due::Failed(failure)
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        match &self.state {
            State::Resolving | State::Waiting => Some(self.deadline),
            State::Asking(transaction) => Some(transaction.next.min(self.deadline)),
            State::Finished => None,
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting)
    }

    pub(super) fn is_asking(&self) -> bool {
        matches!(self.state, State::Asking(_))
    }

    pub(super) fn is_finished(&self) -> bool {
        matches!(self.state, State::Finished)
    }

    pub(super) fn to(&self) -> Option<SocketAddr> {
        self.to
    }

    /// The transaction and where it asks, if it ever began.
    pub(super) fn asked(&self) -> Option<(TransactionId, SocketAddr)> {
        self.id.zip(self.to)
    }
}

impl Transaction {
    fn failure(&self, now: Time) -> Failure {
        Failure::NoAnswer { after: now - self.since, refusal: self.refusal }
    }
}

#[cfg(test)]
mod tests;
