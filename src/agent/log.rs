//! What happened, in the order in which it happened: what an event log and a
//! timeline are made of, and enough to do it all over again
//! ([`super::replay`]). Secrets and payload never appear in it.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::agent::record::{Given, Numbers, RecordedTransaction, SentMessage};
#[cfg(feature = "serde")]
use crate::agent::record::{maybe_millis, millis_of_time};
use crate::agent::tcp::ConnectionChange;
use crate::agent::{
    BaseId, Credentials, DropReason, Event, SocketOp, State, StateReason, StreamId,
};
use crate::candidate::{AddressRefusal, Candidate, ComponentId, Kind};
use crate::check::{FailReason, PairId, Role, StartKind};
use crate::timer::Time;

/// Records that are kept until they are read. What does not fit is counted.
const MAX_RECORDS: usize = 8192;

/// Passwords that are told apart; more than restarts will bring.
const MAX_PASSWORDS: usize = 1024;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct LogRecord {
    /// When. What comes before the first moment that the core is told of has
    /// that one.
    #[cfg_attr(feature = "serde", serde(rename = "t", with = "millis_of_time"))]
    pub at: Time,
    /// What.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub what: Happened,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(tag = "ev", rename_all = "kebab-case", rename_all_fields = "kebab-case")
)]
pub enum Happened {
    /// The core was given a command or an input: what follows came of it.
    Input(Given),
    /// The command was refused.
    CommandRefused {
        /// The words of the [`CommandError`](crate::agent::CommandError).
        error: Box<str>,
    },
    /// A message was sent.
    Sent {
        /// The socket that it was sent from.
        base: BaseId,
        /// Where it was sent to.
        to: SocketAddr,
        /// Its transaction.
        transaction: RecordedTransaction,
        /// What it says.
        #[cfg_attr(feature = "serde", serde(flatten))]
        message: SentMessage,
    },
    /// The driver was asked for something.
    SocketOp(SocketOp),
    /// The application was told something; not of a restart, since that event
    /// has credentials.
    Event(Event),
    /// ICE was restarted, and the application was told so.
    Restarted {
        /// The stream.
        stream: StreamId,
        /// The peer's fragment that the new credentials answer.
        answers: Option<Box<str>>,
    },
    /// So many records are missing here: nobody read them in time.
    RecordsLost {
        /// How many.
        count: u64,
    },
    /// A socket was opened.
    SocketOpened {
        /// The socket.
        base: BaseId,
        /// Its address.
        local: SocketAddr,
    },
    /// An address could not be bound.
    SocketRefused {
        /// The socket that there is not.
        base: BaseId,
        /// The system's words.
        error: Box<str>,
    },
    /// A socket was given back.
    SocketClosed {
        /// The socket.
        base: BaseId,
    },
    /// A TCP connection, or an attempt at one.
    Connection {
        /// The base that it belongs to.
        base: BaseId,
        /// The peer's address, or a server's.
        remote: SocketAddr,
        /// What happened to it.
        #[cfg_attr(feature = "serde", serde(flatten))]
        change: ConnectionChange,
    },
    /// A candidate of ours was found.
    LocalCandidate {
        /// Its stream.
        stream: StreamId,
        /// The candidate, as it is signalled.
        candidate: Candidate,
    },
    /// A candidate of the peer was signalled or found.
    RemoteCandidate {
        /// Its stream.
        stream: StreamId,
        /// The candidate, as it was signalled, or as it was found.
        candidate: Candidate,
    },
    /// A candidate of ours has the address of another one of its base, which
    /// stands for both (RFC 8445 §5.1.3).
    LocalRedundant {
        /// Its stream.
        stream: StreamId,
        /// Its component.
        component: ComponentId,
        /// Its type.
        kind: Kind,
        /// Its address.
        address: SocketAddr,
        /// The one that stands for it.
        by: Box<Candidate>,
    },
    /// A candidate of the peer has the address of one that is known, which
    /// stands for both.
    RemoteRedundant {
        /// Its stream.
        stream: StreamId,
        /// Its component.
        component: ComponentId,
        /// Its type.
        kind: Kind,
        /// Its address.
        address: SocketAddr,
        /// The one that stands for it.
        by: Box<Candidate>,
    },
    /// A server was asked.
    ServerAsked {
        /// The socket.
        base: BaseId,
        /// The server's address.
        #[cfg_attr(feature = "serde", serde(rename = "address"))]
        server: SocketAddr,
    },
    /// A server said how it sees a base of ours.
    ServerAnswered {
        /// The socket.
        base: BaseId,
        /// Index of the server in [`Config::stun_servers`](crate::agent::Config::stun_servers).
        server: usize,
        /// The address that it saw.
        mapped: SocketAddr,
    },
    /// A server gave nothing.
    ServerFailed {
        /// Index of the server in [`Config::stun_servers`](crate::agent::Config::stun_servers).
        server: usize,
        /// Its STUN error code, or 701 when it was not reached.
        code: u16,
        /// A sentence for people.
        text: Box<str>,
    },
    /// A pair was put on its check list.
    PairFormed {
        /// The pair.
        pair: PairId,
        /// Its stream.
        stream: StreamId,
        /// Its component.
        component: ComponentId,
        /// The address of our candidate.
        local: SocketAddr,
        /// The address of the peer's candidate.
        remote: SocketAddr,
        /// RFC 8445 §6.1.2.3.
        priority: u64,
    },
    /// There was no room for a pair: it is below the limit (RFC 8445 §6.1.2.5).
    PairNotFormed {
        /// Its stream.
        stream: StreamId,
        /// Its component.
        component: ComponentId,
        /// The address of our candidate.
        local: SocketAddr,
        /// The address of the peer's candidate.
        remote: SocketAddr,
        /// RFC 8445 §6.1.2.3.
        priority: u64,
    },
    /// A pair was taken off its list, or failed.
    PairLost {
        /// The pair.
        pair: PairId,
        /// Why.
        #[cfg_attr(feature = "serde", serde(flatten))]
        reason: FailReason,
    },
    /// A check was sent.
    CheckSent {
        /// The pair.
        pair: PairId,
        /// Why it was sent.
        kind: StartKind,
        /// It is a retransmission.
        #[cfg_attr(feature = "serde", serde(rename = "retransmission"))]
        again: bool,
        /// It nominates the pair.
        use_candidate: bool,
    },
    /// A check of the peer was received and answered.
    CheckReceived {
        /// The socket at which it arrived.
        base: BaseId,
        /// Who sent it.
        from: SocketAddr,
        /// It nominates the pair.
        use_candidate: bool,
    },
    /// A check was answered.
    #[cfg_attr(feature = "serde", serde(rename = "check-answered"))]
    CheckSucceeded {
        /// The pair.
        pair: PairId,
        /// The round-trip time, where it could be measured.
        #[cfg_attr(feature = "serde", serde(with = "maybe_millis"))]
        rtt: Option<Duration>,
    },
    /// An error answered a check.
    CheckRefused {
        /// The pair.
        pair: PairId,
        /// The error code.
        code: u16,
    },
    /// A consent check was answered.
    ConsentGiven {
        /// The pair.
        pair: PairId,
    },
    /// A consent check went unanswered.
    ConsentMissed {
        /// The pair.
        pair: PairId,
    },
    /// Consent expired.
    ConsentExpired {
        /// The pair.
        pair: PairId,
    },
    /// Data goes over this pair now, or over none.
    SendPath {
        /// The stream.
        stream: StreamId,
        /// The component.
        component: ComponentId,
        /// The pair, if there is one.
        pair: Option<PairId>,
    },
    /// A pair was selected.
    Selected {
        /// The pair.
        pair: PairId,
    },
    /// The role changed after a conflict.
    RoleSwitched {
        /// The new role.
        role: Role,
    },
    /// The agent's state changed.
    State {
        /// The new state.
        state: State,
        /// Why.
        reason: StateReason,
    },
    /// The policy refused an address that the peer or a name gave.
    AddressRefused {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[cfg_attr(feature = "serde", serde(rename = "reason"))]
        refusal: AddressRefusal,
    },
    /// Something was received and not used.
    Dropped {
        /// Why.
        reason: DropReason,
        /// Who sent it, if anybody.
        from: Option<SocketAddr>,
    },
}

/// The records not read yet, if there is a log.
#[derive(Debug)]
pub(super) struct Log(Option<Box<Kept>>);

#[derive(Default)]
struct Kept {
    records: VecDeque<LogRecord>,
    lost: u64,
    /// Lost since a record said so.
    unsaid: u64,
    /// The moment that the core was told of last.
    now: Option<Time>,
    /// Where the input stands that is worked on.
    open: Option<usize>,
    numbers: Numbers,
    /// The passwords that were given, in the order of their numbers.
    passwords: Vec<Box<str>>,
}

impl Log {
    pub(super) fn new(enabled: bool) -> Self {
        Log(enabled.then(Box::default))
    }

    /// `what` is only made where somebody wants it.
    pub(super) fn add(&mut self, at: Time, what: impl FnOnce() -> Happened) {
        if let Some(kept) = &mut self.0 {
            kept.date(at);
            kept.push(what());
        }
    }

    /// [`Log::add`] at the moment that the core was told of last.
    pub(super) fn add_now(&mut self, what: impl FnOnce() -> Happened) {
        if let Some(kept) = &mut self.0 {
            kept.push(what());
        }
    }

    /// An input begins to be worked on.
    pub(super) fn open(&mut self, at: Option<Time>, given: Given) {
        let Some(kept) = &mut self.0 else { return };
        if let Some(at) = at {
            kept.date(at);
        }
        let is_kept = kept.push(Happened::Input(given));
        kept.open = is_kept.then(|| kept.records.len() - 1);
    }

    /// The input that was begun last has been worked on; it took these slots
    /// and draws.
    pub(super) fn close(&mut self, slots: Vec<Time>, draws: Vec<u64>) {
        let Some(kept) = &mut self.0 else { return };
        let record = kept.open.take().and_then(|at| kept.records.get_mut(at));
        if let Some(LogRecord { at, what: Happened::Input(given) }) = record {
            given.slots = slots.into_iter().map(|slot| slot - *at).collect();
            given.draws = draws;
        }
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.0.is_some()
    }

    /// The next record; none before the core was told of a moment.
    pub(super) fn poll(&mut self) -> Option<LogRecord> {
        let kept = self.0.as_mut().filter(|kept| kept.now.is_some())?;
        if kept.records.is_empty() {
            kept.say_what_was_lost();
        }
        kept.records.pop_front()
    }

    pub(super) fn lost(&self) -> u64 {
        self.0.as_ref().map_or(0, |kept| kept.lost)
    }

    pub(super) fn numbers<R>(&self, look: impl FnOnce(&Numbers) -> R) -> Option<R> {
        self.0.as_ref().map(|kept| look(&kept.numbers))
    }

    pub(super) fn numbers_mut<R>(&mut self, look: impl FnOnce(&mut Numbers) -> R) -> Option<R> {
        self.0.as_mut().map(|kept| look(&mut kept.numbers))
    }

    /// The number of a password that was given; `None` where it is not one.
    pub(super) fn number_password(&mut self, pwd: &str) -> Option<u32> {
        let passwords = &mut self.0.as_mut()?.passwords;
        let credentials = Credentials { ufrag: "ufrag".into(), pwd: pwd.into() };
        credentials.check().ok()?;
        let known = passwords.iter().position(|known| **known == *pwd);
        let at = known.unwrap_or(passwords.len());
        if known.is_none() && passwords.len() < MAX_PASSWORDS {
            passwords.push(pwd.into());
        }
        u32::try_from(at).ok()
    }
}

impl Kept {
    fn date(&mut self, at: Time) {
        if self.now.is_none() {
            for record in &mut self.records {
                record.at = at;
            }
        }
        self.now = Some(at);
    }

    /// False where there is no room.
    fn push(&mut self, what: Happened) -> bool {
        if self.records.len() >= MAX_RECORDS {
            self.lost += 1;
            self.unsaid += 1;
            return false;
        }
        self.say_what_was_lost();
        self.records.push_back(LogRecord { at: self.now.unwrap_or_default(), what });
        true
    }

    fn say_what_was_lost(&mut self) {
        let count = std::mem::take(&mut self.unsaid);
        if count > 0 {
            let at = self.now.unwrap_or_default();
            self.records.push_back(LogRecord { at, what: Happened::RecordsLost { count } });
        }
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("lost", &self.lost).finish_non_exhaustive()
    }
}
