//! What happened, in the order in which it happened: what an event log and a
//! timeline are made of. Secrets and payload never appear in it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use crate::agent::{BaseId, DropReason, State, StateReason, StreamId};
use crate::candidate::{AddressRefusal, Candidate, ComponentId};
use crate::check::{FailReason, PairId, Role, StartKind};
use crate::timer::Time;

/// Records that are kept until they are read. What does not fit is counted.
const MAX_RECORDS: usize = 4096;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct LogRecord {
    /// When.
    pub at: Time,
    /// What.
    pub what: Happened,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[allow(missing_docs)] // The fields say what they are.
pub enum Happened {
    /// A socket was opened.
    SocketOpened { base: BaseId, local: SocketAddr },
    /// An address could not be bound.
    SocketRefused { base: BaseId, error: Box<str> },
    /// A socket was given back.
    SocketClosed { base: BaseId },
    /// A candidate of ours was found.
    LocalCandidate { stream: StreamId, candidate: Candidate },
    /// A candidate of the peer was signalled or found.
    RemoteCandidate { stream: StreamId, candidate: Candidate },
    /// A server was asked.
    ServerAsked { base: BaseId, server: SocketAddr },
    /// A server said how it sees a base of ours.
    ServerAnswered { base: BaseId, server: usize, mapped: SocketAddr },
    /// A server gave nothing.
    ServerFailed { server: usize, code: u16, text: Box<str> },
    /// A pair was put on its check list.
    PairFormed {
        pair: PairId,
        stream: StreamId,
        component: ComponentId,
        local: SocketAddr,
        remote: SocketAddr,
        priority: u64,
    },
    /// A pair was taken off its list, or failed.
    PairLost { pair: PairId, reason: FailReason },
    /// A check was sent.
    CheckSent { pair: PairId, kind: StartKind, again: bool, use_candidate: bool },
    /// A check of the peer was received and answered.
    CheckReceived { base: BaseId, from: SocketAddr, use_candidate: bool },
    /// A check was answered.
    CheckSucceeded { pair: PairId, rtt: Option<Duration> },
    /// An error answered a check.
    CheckRefused { pair: PairId, code: u16 },
    /// A consent check was answered.
    ConsentGiven { pair: PairId },
    /// A consent check went unanswered.
    ConsentMissed { pair: PairId },
    /// Consent expired.
    ConsentExpired { pair: PairId },
    /// Data goes over this pair now, or over none.
    SendPath { stream: StreamId, component: ComponentId, pair: Option<PairId> },
    /// A pair was selected.
    Selected { pair: PairId },
    /// The role changed after a conflict.
    RoleSwitched { role: Role },
    /// The agent's state changed.
    State { state: State, reason: StateReason },
    /// The policy refused an address that the peer or a name gave.
    AddressRefused { address: SocketAddr, refusal: AddressRefusal },
    /// Something was received and not used.
    Dropped { reason: DropReason, from: Option<SocketAddr> },
}

/// The records not read yet.
#[derive(Debug, Default)]
pub(super) struct Log {
    enabled: bool,
    records: VecDeque<LogRecord>,
    lost: u64,
}

impl Log {
    pub(super) fn new(enabled: bool) -> Self {
        Log { enabled, records: VecDeque::new(), lost: 0 }
    }

    /// `what` is only made where somebody wants it.
    pub(super) fn add(&mut self, at: Time, what: impl FnOnce() -> Happened) {
        if !self.enabled {
            return;
        }
        if self.records.len() == MAX_RECORDS {
            self.lost += 1;
            return;
        }
        self.records.push_back(LogRecord { at, what: what() });
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.enabled
    }

    pub(super) fn poll(&mut self) -> Option<LogRecord> {
        self.records.pop_front()
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost
    }
}
