//! TCP below the checks: a check that leaves from a TCP base has its
//! connection opened first, and what becomes of connections is told to the
//! checks (RFC 6544 §7, §11).

use std::io;
use std::net::SocketAddr;

use crate::agent::base::{Base, Purpose};
use crate::agent::outgoing::{Outgoing, What};
#[cfg(feature = "serde")]
use crate::agent::record::error_kind;
use crate::agent::stream::Stream;
use crate::agent::{BaseId, Core, DropReason, Happened, Input, SocketOp};
use crate::candidate::{Kind, PairingClass, TcpType};
use crate::check::{FailReason, Local, Start, StartKind};
use crate::gather::BindingRequest;
use crate::net::{self, NotConnected};
use crate::tcp::{Framing, Key, Op, Outcome, Retry, Wanted};
use crate::timer::Time;

/// What happened to a TCP connection or to an attempt at one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(tag = "change", rename_all = "kebab-case")
)]
pub enum ConnectionChange {
    /// An attempt failed; another may follow.
    Refused {
        /// What the system said.
        #[cfg_attr(feature = "serde", serde(with = "error_kind"))]
        error: io::ErrorKind,
    },
    /// A listener took it in.
    Accepted,
    /// It is open.
    Established,
    /// It ended.
    Lost,
    /// It cannot be opened, for the reason that its pairs have.
    GivenUp(FailReason),
}

/// What one change sets off settles within so many rounds; the rest waits for
/// the next.
const ROUNDS: usize = 8;

impl Core {
    /// Whether a check can be sent now. Where its path has to be opened first,
    /// that begins, and the check is sent once it is open.
    pub(super) fn opens_path(&mut self, start: &Start, now: Time) -> bool {
        let pair = self.checks.pair(start.pair);
        let list = pair.stream;
        let base = self.checks.local(list, pair.local).base;
        let to = self.checks.remote(list, pair.remote).address;
        let Some((tcp_type, local)) = self.tcp_base(BaseId(base)) else {
            return self.opens_relay(BaseId(base), to);
        };
        let key = Key::new(base, to);
        match self.tcp.framing(key) {
            Some(Framing::Stun | Framing::Turn) => {
                self.checks.path_failed(base, to, NotConnected::NotThePeer, now)
            }
            Some(Framing::Rfc4571) => return true,
            // Connecting to oneself succeeds, and answers with an echo.
            None if Some(to) == local => {
                self.checks.path_failed(base, to, NotConnected::NotThePeer, now);
            }
            None if tcp_type == TcpType::Passive => {
                // The peer opens it, also where it was lost (§11.1).
                if start.kind != StartKind::Consent {
                    self.checks.path_failed(base, to, NotConnected::Ended, now);
                }
            }
            None => {
                let rtt = self.checks.pairs(list).filter_map(|(_, pair)| pair.rtt).min();
                let framing = Framing::Rfc4571;
                let retry = self.retries(BaseId(base));
                self.tcp.want(&Wanted { key, framing, rtt, retry }, now);
            }
        }
        false
    }

    /// Whether a request to a server can be sent now; else its connection is
    /// opened first. It comes from the candidate's own port, and stays open
    /// until ICE has ended (RFC 6544 §4.1, §5.2).
    pub(super) fn opens_server(&mut self, request: &BindingRequest, now: Time) -> bool {
        if self.tcp_base(BaseId(request.base)).is_none() {
            return true;
        }
        let key = Key::new(request.base, request.to);
        match self.tcp.framing(key) {
            Some(Framing::Stun) => true,
            Some(Framing::Rfc4571 | Framing::Turn) => false,
            None => {
                let framing = Framing::Stun;
                let retry = Retry::Never;
                self.tcp.want(&Wanted { key, framing, rtt: None, retry }, now);
                false
            }
        }
    }

    fn tcp_base(&self, id: BaseId) -> Option<(TcpType, Option<SocketAddr>)> {
        let base = self.base(id)?;
        Some((base.tcp_type?, base.address()))
    }

    /// How the connections of a base are tried again.
    fn retries(&self, id: BaseId) -> Retry {
        let is_relayed = self.base(id).is_some_and(|base| base.purpose == Purpose::Relayed);
        if is_relayed { Retry::Seldom } else { Retry::Often }
    }

    /// Whether a base is nothing but the way to a TURN server.
    pub(super) fn is_leg(&self, id: BaseId) -> bool {
        self.base(id).is_some_and(|base| base.purpose == Purpose::Leg)
    }

    pub(super) fn is_tcp(&self, id: BaseId) -> bool {
        self.base(id).is_some_and(|base| base.tcp_type.is_some())
    }

    /// An authenticated message of the peer arrived on a base.
    pub(super) fn heard(&mut self, base: BaseId, from: SocketAddr, now: Time) {
        if !self.tcp.is_empty() {
            self.tcp.prove(Key::new(base.0, from));
            self.tcp.sign(now);
        }
    }

    /// What the driver tells of connections.
    pub(super) fn connection_input(&mut self, input: &Input<'_>, now: Time) {
        match *input {
            Input::Connected { base, to, local } if self.is_leg(base) => {
                return self.leg_connected(base, to, local, now);
            }
            Input::ConnectFailed { base, kind, .. } if self.is_leg(base) => {
                return self.leg_failed(base, kind, now);
            }
            Input::ServerRefused { base, cause, text } => {
                return self.server_refused(base, cause, text.into(), now);
            }
            Input::Disconnected { base, kind, .. } if self.is_leg(base) => {
                return self.leg_failed(base, kind.unwrap_or(io::ErrorKind::UnexpectedEof), now);
            }
            _ => {}
        }
        if let Input::Connected { base, to, .. } = *input
            && self.carried(base, to, now)
        {
            return;
        }
        let rng = &mut self.rng;
        match *input {
            Input::Connected { base, to, local } => {
                let key = Key::new(base.0, to);
                // A connection to oneself would answer our own checks.
                if net::canonical(local) == key.remote {
                    self.tcp.reject(key);
                    self.checks.path_failed(base.0, key.remote, NotConnected::NotThePeer, now);
                } else {
                    self.tcp.connected(key, now, rng);
                }
            }
            Input::ConnectFailed { base, to, kind } => {
                let (key, error) = (Key::new(base.0, to), net::error_with_word(kind));
                self.note_connection(key, ConnectionChange::Refused { error }, now);
                self.tcp.connect_failed(key, error, now, &mut self.rng);
                self.refused_at(base, key.remote, now);
            }
            Input::Accepted { base, from } => self.accepted(base, from, now),
            Input::Inspected { base, to, handshake } => {
                self.tcp.inspected(Key::new(base.0, to), handshake, now, rng);
            }
            Input::Disconnected { base, from, .. } => {
                self.tcp.disconnected(Key::new(base.0, from));
            }
            Input::NotStun { base, from } => self.not_stun(base, from, now),
            _ => {}
        }
    }

    fn accepted(&mut self, base: BaseId, from: SocketAddr, now: Time) {
        let key = Key::new(base.0, from);
        let listens = |base: &Base| base.tcp_type.is_some_and(|kind| kind != TcpType::Active);
        if !self.open_base(base).is_some_and(listens) {
            return self.drop_now(DropReason::UnknownBase, Some(from), now);
        }
        self.note_connection(key, ConnectionChange::Accepted, now);
        self.tcp.accepted(key, now, &mut self.rng);
    }

    /// RFC 6544 §7.1: what answers there is not the peer.
    fn not_stun(&mut self, base: BaseId, from: SocketAddr, now: Time) {
        let key = Key::new(base.0, from);
        if !self.tcp.is_open(key) {
            return;
        }
        if self.has_checked(base, from) {
            // The peer is ahead of its own signalling: it has the answer to
            // its check, and begins with its data.
            return self.drop_now(DropReason::NotStun, Some(from), now);
        }
        let ours = self.tcp.is_ours(key);
        self.tcp.reject(key);
        self.drop_now(DropReason::NotStun, Some(from), now);
        let why = NotConnected::NotThePeer;
        self.checks.path_failed(base.0, key.remote, why, now);
        self.fail_servers(key);
        let Some(entry) = self.base(base).filter(|_| ours) else { return };
        let class = PairingClass::of(entry.tcp_type).mate();
        let lists: Vec<u16> = entry.seats.iter().map(|seat| seat.list).collect();
        for list in lists {
            self.checks.remote_failed(list, key.remote, class, now);
        }
    }

    /// Whether a check came that waits for the peer's credentials.
    fn has_checked(&self, base: BaseId, from: SocketAddr) -> bool {
        let Some(base) = self.base(base) else { return false };
        self.streams.iter().flat_map(Stream::sessions).any(|session| {
            let local = base.local(session.list);
            session.early.iter().any(|check| check.from == from && Some(check.local) == local)
        })
    }

    /// Does what is due, until nothing comes of it any more.
    pub(super) fn advance_tcp(&mut self, now: Time) {
        for _ in 0..ROUNDS {
            if self.tcp.is_empty() && !self.tcp.has_news() {
                return;
            }
            if !self.settle_tcp(now) {
                return;
            }
            self.advance_gathering(now);
            self.checks.advance(now, &self.pacer, &mut self.rng);
            self.report(now);
        }
    }

    /// Does what is due; whether anything came of it. A check ends with its
    /// connection attempt, and for the reason of that: this comes first.
    pub(super) fn settle_tcp(&mut self, now: Time) -> bool {
        self.tcp.advance(now, &mut self.rng);
        while let Some(op) = self.tcp.poll_op() {
            if !self.do_by_relay(op, now) {
                self.do_op(op);
            }
        }
        let mut any = false;
        while let Some(outcome) = self.tcp.poll_outcome() {
            self.outcome(outcome, now);
            any = true;
        }
        any
    }

    fn do_op(&mut self, op: Op) {
        let Key { base, remote } = op.key();
        let base = BaseId(base);
        let to = self.in_scope_of(base, remote);
        self.socket_ops.push_back(match op {
            Op::Connect(_, framing) => SocketOp::Connect { base, to, framing },
            Op::Inspect(_) => SocketOp::Inspect { base, to },
            Op::Disconnect { abort, .. } => SocketOp::Disconnect { base, to, abort },
        });
    }

    fn outcome(&mut self, outcome: Outcome, now: Time) {
        match outcome {
            Outcome::Opened(key) => {
                self.note_connection(key, ConnectionChange::Established, now);
                self.checks.path_ready(key.base, key.remote, now);
                self.ask_servers(key, now);
            }
            Outcome::Lost(key) => {
                self.note_connection(key, ConnectionChange::Lost, now);
                self.fail_servers(key);
                let dials = self.tcp_base(BaseId(key.base));
                let dials = dials.is_some_and(|(kind, _)| kind != TcpType::Passive);
                if self.checks.path_broken(key.base, key.remote, now) && dials {
                    let framing = Framing::Rfc4571;
                    let retry = self.retries(BaseId(key.base));
                    let wanted = Wanted { key, framing, rtt: None, retry };
                    self.tcp.retry(&wanted, now, &mut self.rng);
                }
            }
            Outcome::Failed(key, why) => {
                let why = self.refined(key, why);
                let reason = FailReason::NotConnected(why);
                self.note_connection(key, ConnectionChange::GivenUp(reason), now);
                self.fail_servers(key);
                self.checks.path_failed(key.base, key.remote, why, now);
            }
        }
    }

    /// Why a connection could not be opened, with what else is known of its
    /// base.
    fn refined(&self, key: Key, why: NotConnected) -> NotConnected {
        let Some(base) = self.base(BaseId(key.base)) else { return why };
        if base.tcp_type != Some(TcpType::SimultaneousOpen) {
            return why;
        }
        let ours = base.seats.iter().flat_map(|seat| self.checks.locals(seat.list));
        let outside =
            |local: &&Local| local.base == key.base && local.kind == Kind::ServerReflexive;
        let mut ports: Vec<u16> =
            ours.map(|(_, local)| local).filter(outside).map(|l| l.address.port()).collect();
        ports.sort_unstable();
        ports.dedup();
        match why {
            // Two servers saw it at two ports: the peer aims at neither.
            _ if ports.len() > 1 => NotConnected::MappingDiffers,
            NotConnected::Silent if !self.config.simultaneous_open => {
                NotConnected::NoSimultaneousOpen
            }
            why => why,
        }
    }

    /// A connection is open: a server at its other end is asked.
    fn ask_servers(&mut self, key: Key, now: Time) {
        let gatherers = self.streams.iter().filter_map(|s| s.current.gathering.gatherer.as_ref());
        let asked = gatherers.filter_map(|gatherer| gatherer.asks(key.base, key.remote));
        for id in asked.collect::<Vec<_>>() {
            let (base, to) = (BaseId(key.base), key.remote);
            self.send(Outgoing { base, to, id, what: What::Server });
            self.log.add(now, || Happened::ServerAsked { base, server: to });
        }
    }

    fn fail_servers(&mut self, key: Key) {
        for stream in &mut self.streams {
            if let Some(gatherer) = &mut stream.current.gathering.gatherer {
                gatherer.not_connected(key.base, key.remote);
            }
        }
    }

    pub(super) fn note_connection(&mut self, key: Key, change: ConnectionChange, now: Time) {
        let (base, remote) = (BaseId(key.base), key.remote);
        self.log.add(now, || Happened::Connection { base, remote, change });
    }

    /// ICE has concluded: connections of a base that carry no valid pair are
    /// closed, those to servers too (RFC 6544 §8, §11.2). They have lost, so
    /// nothing on them matters.
    pub(super) fn close_connections(&mut self, base: BaseId) {
        let unused = |key: &Key| !self.checks.is_path_wanted(key.base, key.remote);
        let unused: Vec<Key> = self.tcp.of_base(base.0).filter(unused).collect();
        for key in unused {
            self.tcp.drop_entry(key, true);
        }
    }
}
