//! What a log tells of one agent: the candidates, pairs, checks, connections
//! and states, each with its moments.

mod attempts;
mod tell;
#[cfg(test)]
mod tests;
pub(crate) mod verdict;
pub(crate) mod words;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use floe::agent::{RecordedConfig, State, StateReason};
use floe::candidate::{AddressRefusal, Candidate, Kind, PairingClass};
use floe::check::{FailReason, Role, StartKind};
use floe::gather::Cause;
use floe::timer::Time;

pub(crate) use attempts::{Attempt, Step};
pub(crate) use tell::tell;

/// What happened to an agent. All text of others in it is harmless.
#[derive(Default)]
pub(crate) struct Story {
    /// Its name, where the log is of several.
    pub(crate) agent: Option<String>,
    /// Its role, the last that it had.
    pub(crate) role: Option<Role>,
    /// Its settings, where the log begins with it.
    pub(crate) config: Option<Box<RecordedConfig>>,
    /// The first and the last moment.
    pub(crate) span: Option<(Time, Time)>,
    pub(crate) ours: Vec<Found>,
    pub(crate) theirs: Vec<Found>,
    pub(crate) pairs: Vec<Pair>,
    pub(crate) attempts: Vec<Attempt>,
    /// Which pair carries data, by component.
    pub(crate) paths: Vec<PathChange>,
    pub(crate) states: Vec<(Time, State, StateReason)>,
    pub(crate) servers: Servers,
    /// Addresses of the peer to which nothing may be sent.
    pub(crate) refused: Vec<(SocketAddr, AddressRefusal)>,
    /// Addresses of this machine that could not be used.
    pub(crate) unusable: Vec<String>,
    /// What was received and not used, by the word of the reason.
    pub(crate) drops: BTreeMap<String, usize>,
    /// Restarts of ICE.
    pub(crate) restarts: Vec<Time>,
    /// The peer's parameters, and the end of its candidates, are known.
    pub(crate) knows_peer: bool,
    pub(crate) peer_ended: bool,
    /// Checks of the peer that were answered.
    pub(crate) checks_received: usize,
    /// Records that were never written.
    pub(crate) lost_records: u64,
    /// Things of which there were too many to tell.
    pub(crate) left_out: usize,
}

/// A candidate, and when it was found or learnt.
pub(crate) struct Found {
    pub(crate) at: Time,
    pub(crate) candidate: Candidate,
}

/// When it was told of again says nothing new.
impl PartialEq for Found {
    fn eq(&self, other: &Self) -> bool {
        self.candidate == other.candidate
    }
}

/// What became of the servers.
#[derive(Default)]
pub(crate) struct Servers {
    /// How many were asked.
    pub(crate) asked: usize,
    /// How often one said how it sees us.
    pub(crate) answered: usize,
    /// Errors: of which server, how, and in which words.
    pub(crate) errors: Vec<ServerError>,
}

/// A server that gave nothing.
#[derive(PartialEq)]
pub(crate) struct ServerError {
    pub(crate) uri: String,
    pub(crate) cause: Cause,
    pub(crate) code: u16,
    pub(crate) text: String,
}

/// A pair, and what happened on it.
pub(crate) struct Pair {
    pub(crate) id: u32,
    pub(crate) component: u16,
    pub(crate) class: PairingClass,
    pub(crate) local: End,
    pub(crate) remote: End,
    pub(crate) priority: u64,
    pub(crate) formed: Time,
    pub(crate) marks: Vec<(Time, Mark)>,
    /// The last round-trip time, in milliseconds.
    pub(crate) rtt: Option<f64>,
    /// Why and when it lost.
    pub(crate) lost: Option<(Time, FailReason)>,
    /// When it was selected last, unless another was after it.
    pub(crate) selected: Option<Time>,
}

/// An end of a pair.
#[derive(Clone, Copy)]
pub(crate) struct End {
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
}

/// Something that happened on a pair.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mark {
    /// A check was sent.
    Sent { kind: StartKind, again: bool, nominates: bool },
    /// A check of the peer was received and answered.
    Received { nominates: bool },
    /// A check was answered.
    Answered,
    /// An error answered a check.
    Refused(u16),
    /// It was selected.
    Selected,
    /// It was given up.
    Lost,
    /// A consent check was answered, or was not.
    Consent { given: bool },
    /// Consent expired.
    Expired,
}

/// From now on a component's data goes over this pair, or over none.
pub(crate) struct PathChange {
    pub(crate) at: Time,
    pub(crate) component: u16,
    pub(crate) pair: Option<u32>,
}

impl Mark {
    /// It belongs to consent, which goes on for as long as a connection.
    pub(crate) fn is_consent(self) -> bool {
        match self {
            Mark::Sent { kind, .. } => kind == StartKind::Consent,
            Mark::Consent { .. } => true,
            _ => false,
        }
    }
}

impl Pair {
    /// Whether it leads through a relay.
    pub(crate) fn is_relayed(&self) -> bool {
        [self.local, self.remote].iter().any(|end| end.kind == Kind::Relayed)
    }

    /// Whether a check on it was ever answered.
    pub(crate) fn has_worked(&self) -> bool {
        self.marks.iter().any(|(_, mark)| *mark == Mark::Answered)
    }

    /// How many checks were sent on it, and how many of the peer came.
    pub(crate) fn checks(&self) -> (usize, usize) {
        let count = |is: fn(&Mark) -> bool| self.marks.iter().filter(|(_, m)| is(m)).count();
        let sent = count(|mark| matches!(mark, Mark::Sent { .. }) && !mark.is_consent());
        (sent, count(|mark| matches!(mark, Mark::Received { .. })))
    }

    /// `host 192.0.2.1:5000 to srflx 198.51.100.1:6000, tcp so`.
    pub(crate) fn title(&self) -> String {
        let End { kind, address } = self.local;
        let remote = self.remote;
        let over = match self.class.tcp_type() {
            Some(tcp_type) => format!("tcp {tcp_type}"),
            None => "udp".into(),
        };
        format!("{kind} {address} to {} {}, {over}", remote.kind, remote.address)
    }
}

impl Story {
    /// Its name and role, as a heading.
    pub(crate) fn heading(&self) -> String {
        let name = self.agent.as_deref().unwrap_or("The agent");
        self.role.map_or(name.to_owned(), |role| format!("{name} ({role})"))
    }

    /// The pairs that were selected last, one for each component.
    pub(crate) fn selected(&self) -> impl Iterator<Item = &Pair> {
        self.pairs.iter().filter(|pair| pair.selected.is_some())
    }

    /// The moment of its first record.
    pub(crate) fn began(&self) -> Time {
        self.span.map_or(Time::ZERO, |(began, _)| began)
    }

    /// Milliseconds from its first record to a moment.
    pub(crate) fn since(&self, at: Time) -> f64 {
        (at - self.began()).as_secs_f64() * 1e3
    }

    /// The part of its time in which pairs were looked for: up to the last
    /// thing on a pair or a connection that is not of consent.
    pub(crate) fn window(&self) -> (Time, Time) {
        let began = self.began();
        let marks = self.pairs.iter().flat_map(|pair| &pair.marks);
        let marks = marks.filter(|(_, mark)| !mark.is_consent()).map(|(at, _)| *at);
        let steps = self.attempts.iter().flat_map(|attempt| &attempt.steps);
        let steps = steps.filter(|(_, step)| !step.is_look()).map(|(at, _)| *at);
        let paths = self.paths.iter().map(|path| path.at);
        let end = marks.chain(steps).chain(paths).max().unwrap_or(began);
        (began, end.max(began))
    }

    /// The attempts at the connection that a pair goes over.
    pub(crate) fn attempt(&self, pair: &Pair) -> Option<&Attempt> {
        let is_tcp = pair.class != PairingClass::Datagram;
        let is_its = |attempt: &&Attempt| {
            is_tcp
                && attempt.base == Some(pair.local.address)
                && attempt.remote == pair.remote.address
        };
        self.attempts.iter().find(is_its)
    }

    /// How a pair stands that has neither worked nor lost, in two words.
    pub(crate) fn stands(&self, pair: &Pair) -> String {
        match (self.attempt(pair), pair.checks()) {
            (Some(attempt), _) if !attempt.has_opened() => match attempt.outcome() {
                "waiting" => "no answer to SYN".into(),
                outcome => outcome.into(),
            },
            (None, (0, _)) => "not tried".into(),
            _ => "no answer".into(),
        }
    }

    /// States, restarts and changes of the path, in words.
    pub(crate) fn course(&self) -> Vec<(Time, String)> {
        let state = |(at, state, reason): &(Time, State, StateReason)| {
            (*at, format!("{state}: {}", words::state(*reason)))
        };
        let path = |path: &PathChange| {
            let pair = path.pair.map_or("no pair".into(), |pair| format!("pair {pair}"));
            (path.at, format!("data of component {} goes over {pair}", path.component))
        };
        let mut moments: Vec<(Time, String)> = self.states.iter().map(state).collect();
        moments.extend(self.paths.iter().map(path));
        moments.extend(self.restarts.iter().map(|at| (*at, "ICE was restarted".into())));
        moments.sort_by_key(|(at, _)| *at);
        moments
    }

    /// When it was connected first.
    pub(crate) fn connected(&self) -> Option<Time> {
        let is = |state: State| matches!(state, State::Connected | State::Completed);
        self.states.iter().find(|(_, state, _)| is(*state)).map(|(at, ..)| *at)
    }
}
