//! Relays (RFC 8656): allocations on TURN servers, when they are asked for,
//! and what becomes of them.
//!
//! A relay stands on a leg: the socket of a UDP candidate, or a connection
//! made for it. What it relays is a base like others, one for each family.

use std::net::{IpAddr, SocketAddr};

use crate::agent::base::Purpose;
use crate::agent::outgoing::{Outgoing, What};
use crate::agent::relayed_tcp::DataLeg;
use crate::agent::{BaseId, Core, DropReason, Event, Happened, SocketOp, StreamId};
use crate::candidate::ComponentId;
use crate::check::PairId;
use crate::gather::{Cause, NOT_REACHED};
use crate::net::{self, Family, Protocol};
use crate::stun::{Message, Method, TransactionId};
use crate::timer::Time;
use crate::turn::{Client, Families, Handled, Redirects};

/// Consent checks in a row without an answer after which a server that answers
/// nothing is given up.
const GIVEN_UP: usize = 3;

/// Try Alternate (RFC 8489 §14.8).
const ALTERNATE: u16 = 300;

/// The relays of an agent.
#[derive(Debug, Default)]
pub(super) struct Relays {
    /// The addresses of each server; `None` until its name is resolved.
    pub(super) addresses: Box<[Option<Box<[SocketAddr]>>]>,
    pub(super) all: Vec<Relay>,
}

/// An allocation, or the wish for one.
#[derive(Debug)]
pub(super) struct Relay {
    /// The base that messages to the server leave from.
    pub(super) leg: BaseId,
    /// Whom it serves.
    pub(super) stream: StreamId,
    pub(super) component: ComponentId,
    /// Index in [`Config::turn_servers`](super::Config::turn_servers).
    pub(super) server: usize,
    /// Where the server is asked.
    pub(super) address: SocketAddr,
    /// The name in its certificate, where a redirection has changed it.
    pub(super) name: Option<Box<str>>,
    pub(super) client: Client,
    /// What is relayed; TCP as RFC 6062 has it.
    pub(super) protocol: Protocol,
    pub(super) families: Families,
    /// It is beside another, for the family that the server did not give there.
    /// Nobody is told where it comes to nothing.
    pub(super) is_apart: bool,
    pub(super) redirects: Redirects,
    pub(super) phase: Phase,
    /// Gathering waits for it until then.
    pub(super) deadline: Time,
    /// What it relays.
    pub(super) bases: Vec<BaseId>,
    /// Peers for which permission was asked, and those with a channel.
    pub(super) permits: Vec<IpAddr>,
    pub(super) channels: Vec<SocketAddr>,
    /// Streams that are becoming connections to peers.
    pub(super) data: Vec<DataLeg>,
}

/// How far an allocation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its connection is not open yet.
    Connecting,
    /// It is asked for in this slot of the pacer.
    Waiting(Time),
    /// It was asked for.
    Allocating,
    /// It is there.
    Open,
    /// It came to nothing, or is gone.
    Over,
}

impl Relay {
    /// Whether gathering need not wait for it.
    fn is_settled(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Over)
    }
}

impl Core {
    /// Nothing but relayed candidates is wanted.
    pub(super) fn is_relay_only(&self) -> bool {
        let config = &self.config;
        config.gather_relayed && !config.gather_host && !config.gather_server_reflexive
    }

    /// Whether servers are asked to relay anything.
    pub(super) fn uses_relays(&self) -> bool {
        let config = &self.config;
        let mut servers = config.turn_servers.iter();
        config.gather_relayed
            && !config.lite
            && servers.any(|server| self.relayed_protocols(server.transport).next().is_some())
    }

    /// The server sends us to another one (RFC 8489 §10), whose certificate may
    /// have another name.
    pub(super) fn redirected(
        &mut self,
        at: usize,
        to: SocketAddr,
        name: Option<Box<str>>,
        now: Time,
    ) {
        let to = net::canonical(to);
        let relay = &mut self.relays.all[at];
        let (leg, server, from) = (relay.leg, relay.server, relay.address);
        let protocol = relay.protocol;
        let may = relay.redirects.follow(to, now) && Family::of(to.ip()) == Family::of(from.ip());
        if !may || self.judge(to, Protocol::Udp, now).is_err() {
            let text = format!("{from} sends us on to {to}, where we do not go");
            return self.end_relay(at, Cause::Answered, ALTERNATE, text.into(), now);
        }
        let client = self.relay_client(server, protocol, self.relays.all[at].families);
        let slot = self.pacer.reserve(now);
        let over_udp = !self.config.turn_servers[server].transport.is_reliable();
        let phase = if over_udp { Phase::Waiting(slot) } else { Phase::Connecting };
        let relay = &mut self.relays.all[at];
        (relay.client, relay.address, relay.phase) = (client, to, phase);
        relay.name = name.or_else(|| relay.name.take());
        if !over_udp {
            let name = relay.name.clone();
            self.socket_ops.push_back(SocketOp::Disconnect { base: leg, to: from, abort: false });
            let to = Box::from([to]);
            self.socket_ops.push_back(SocketOp::ConnectServer { base: leg, server, to, name });
        }
    }

    /// A server that has no IPv4 was asked for both families: it is asked for IPv6
    /// alone (RFC 8656 §7.2: what is asked for first is IPv4). Whether that is
    /// so.
    pub(super) fn asks_for_less(&mut self, at: usize, now: Time) -> bool {
        let slot = self.pacer.reserve(now);
        let relay = &self.relays.all[at];
        if relay.families != Families::Both || relay.phase != Phase::Allocating {
            return false;
        }
        let client = self.relay_client(relay.server, relay.protocol, Families::V6);
        let relay = &mut self.relays.all[at];
        (relay.client, relay.families, relay.phase) = (client, Families::V6, Phase::Waiting(slot));
        true
    }

    /// The relay that a server at this address gives a base.
    pub(super) fn relay_at(&self, leg: BaseId, server: SocketAddr) -> Option<usize> {
        let is_it = |relay: &Relay| {
            (relay.leg, relay.address) == (leg, server) && relay.phase != Phase::Over
        };
        self.relays.all.iter().position(is_it)
    }

    /// The relay that a relayed base stands on.
    pub(super) fn relay_under(&self, base: BaseId) -> Option<&Relay> {
        self.relays.all.iter().find(|relay| relay.bases.contains(&base))
    }

    /// A message of a server that is no data.
    pub(super) fn read_relay_message(
        &mut self,
        at: usize,
        message: &Message<'_>,
        now: Time,
    ) -> Result<(), DropReason> {
        let relay = &mut self.relays.all[at];
        match relay.client.handle_message(message, now, &mut self.rng) {
            Handled::Used => Ok(()),
            Handled::Late => Err(DropReason::LateServerResponse),
            Handled::Foreign => Err(DropReason::UnknownTransaction),
        }
    }

    /// Does what is due.
    pub(super) fn advance_relays(&mut self, now: Time) {
        for at in 0..self.relays.all.len() {
            let Some(relay) = self.relays.all.get_mut(at) else { break };
            if relay.phase == Phase::Over {
                continue;
            }
            if let Phase::Waiting(slot) = relay.phase
                && slot <= now
            {
                relay.phase = Phase::Allocating;
                relay.client.start(now, &mut self.rng);
                let (base, server) = (relay.leg, relay.address);
                self.log.add(now, || Happened::ServerAsked { base, server });
            }
            self.advance_data_legs(at, now);
            let Some(relay) = self.relays.all.get_mut(at) else { return };
            relay.client.handle_timeout(now, &mut self.rng);
            if relay.deadline <= now && !relay.is_settled() {
                let text = format!("{} did not answer in time", relay.address);
                self.end_relay(at, Cause::NotReached, NOT_REACHED, text.into(), now);
                continue;
            }
            self.read_relay_events(at, now);
        }
        // What was waited for is there, or gone with its session or its address.
        self.end_waiting_gathering();
    }

    pub(super) fn read_relay_events(&mut self, at: usize, now: Time) {
        while let Some(event) = self.relays.all.get_mut(at).and_then(|r| r.client.poll_event()) {
            self.relay_event(at, event, now);
        }
    }

    /// Asks servers for what pairs and paths want of them now.
    pub(super) fn ask_relays(&mut self, now: Time) {
        if self.relays.all.is_empty() {
            return;
        }
        self.ask_permissions(now);
        for at in 0..self.relays.all.len() {
            self.send_requests(at);
        }
    }

    fn send_requests(&mut self, at: usize) {
        let mut bytes = Vec::new();
        let (base, to) = (self.relays.all[at].leg, self.relays.all[at].address);
        while let Some(method) = self.relays.all[at].client.poll_request(&mut bytes) {
            self.send_to_relay(base, to, method, &bytes);
        }
        for data in 0..self.relays.all[at].data.len() {
            let leg = self.relays.all[at].data[data].leg;
            while let Some(method) =
                self.relays.all[at].data[data].connection.poll_request(&mut bytes)
            {
                self.send_to_relay(leg, to, method, &bytes);
            }
        }
    }

    pub(super) fn send_to_relay(
        &mut self,
        base: BaseId,
        to: SocketAddr,
        method: Method,
        bytes: &[u8],
    ) {
        if let Some(id) = bytes.get(8..20).and_then(|id| id.try_into().ok()) {
            let what = What::Relay { method, bytes: bytes.into() };
            self.send(Outgoing { base, to, id: TransactionId(id), what });
        }
    }

    /// When something is due.
    pub(super) fn next_relay(&self) -> Option<Time> {
        let of_relay = |relay: &Relay| {
            let slot = match relay.phase {
                Phase::Waiting(slot) => Some(slot),
                _ => None,
            };
            let deadline = Some(relay.deadline).filter(|_| !relay.is_settled());
            let data = relay.data.iter().filter_map(|data| data.connection.poll_timeout()).min();
            [slot, deadline, data, relay.client.poll_timeout()].into_iter().flatten().min()
        };
        let all = self.relays.all.iter().filter(|relay| relay.phase != Phase::Over);
        all.filter_map(of_relay).min()
    }

    /// The peer did not answer over a relayed pair: it may be for the server,
    /// which is asked, and given up where it does not answer either.
    pub(super) fn doubt_relay(&mut self, pair: PairId, now: Time) {
        let (base, _) = self.ends(pair);
        let stands = |relay: &Relay| relay.bases.contains(&base);
        let Some(at) = self.relays.all.iter().position(stands) else { return };
        let pair = self.checks.pair(pair);
        let components = self.checks.components(pair.stream);
        let component = components.iter().find(|component| component.id == pair.component);
        let missed = component.map_or(0, |component| component.missed());
        let relay = &mut self.relays.all[at];
        if missed >= GIVEN_UP && relay.client.is_refreshing() {
            let text = format!("{} does not answer any more", relay.address);
            return self.end_relay(at, Cause::NotReached, NOT_REACHED, text.into(), now);
        }
        relay.client.probe(now, &mut self.rng);
    }

    /// An allocation came to nothing, or is gone.
    pub(super) fn end_relay(
        &mut self,
        at: usize,
        cause: Cause,
        code: u16,
        text: Box<str>,
        now: Time,
    ) {
        let relay = &mut self.relays.all[at];
        let was_open = relay.phase == Phase::Open;
        relay.phase = Phase::Over;
        let (server, leg, stream) = (relay.server, relay.leg, relay.stream);
        // Servers that do not know RFC 6062 are good for UDP all the same.
        let is_extra =
            relay.is_apart || relay.protocol == Protocol::Tcp && self.config.transports.udp;
        let bases = std::mem::take(&mut relay.bases);
        self.close_data_legs(at, |_| true, now);
        match is_extra && !was_open {
            true => self.log_relay_failure(server, code, text, now),
            false => self.report_relay(server, cause, code, text, now),
        }
        let carried = self.stream(stream).is_some_and(|stream| {
            stream.paths.iter().flatten().any(|(base, _)| bases.contains(base))
        });
        for base in bases {
            self.checks.base_lost(base.0, now);
            self.close_base(base, now);
        }
        if self.base(leg).is_some_and(|base| base.purpose == Purpose::Leg) {
            self.close_base(leg, now);
        }
        self.end_waiting_gathering();
        if was_open && carried {
            self.recover_from_lost_relay(stream, now);
        }
    }

    pub(super) fn report_relay(
        &mut self,
        server: usize,
        cause: Cause,
        code: u16,
        text: Box<str>,
        now: Time,
    ) {
        let Some(entry) = self.config.turn_servers.get(server) else { return };
        let uri = entry.uri.clone();
        self.log_relay_failure(server, code, text.clone(), now);
        self.events.push_back(Event::CandidateError { uri, cause, code, text });
    }

    fn log_relay_failure(&mut self, server: usize, code: u16, text: Box<str>, now: Time) {
        let server = self.config.stun_servers.len() + server;
        self.log.add(now, || Happened::ServerFailed { server, code, text });
    }

    /// Whether gathering of a session waits for a relay.
    pub(super) fn awaits_relays(&self, list: u16) -> bool {
        let is_its =
            |relay: &&Relay| self.base(relay.leg).is_some_and(|base| base.seat(list).is_some());
        self.uses_relays()
            && (self.relays.addresses.iter().any(Option::is_none)
                || self.relays.all.iter().filter(is_its).any(|relay| !relay.is_settled()))
    }
}
