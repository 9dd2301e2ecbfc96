//! Relays (RFC 8656): allocations on TURN servers, when they are asked for,
//! and what becomes of them.
//!
//! A relay stands on a leg: the socket of a UDP candidate, or a connection
//! made for it. What it relays is a base like others, one for each family.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::agent::base::{Base, BasePhase, Purpose, Seat};
use crate::agent::outgoing::{Outgoing, What};
use crate::agent::{BaseId, Core, DropReason, Event, Happened, SocketOp, StreamId};
use crate::candidate::ComponentId;
use crate::check::PairId;
use crate::gather::{Cause, NOT_REACHED};
use crate::net::{self, Family, Protocol};
use crate::stun::{Message, Method, TransactionId};
use crate::timer::Time;
use crate::turn::{Client, Families, Handled, Redirects, Settings};

/// Relays of an agent, those included that are only asked for.
const MAX_RELAYS: usize = 256;

/// Consent checks in a row without an answer after which a server that answers
/// nothing is given up.
const GIVEN_UP: usize = 3;

/// How long an allocation is to last without being refreshed (RFC 8656 §3.2).
const LIFETIME: Duration = Duration::from_secs(600);

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
    pub(super) client: Client,
    families: Families,
    redirects: Redirects,
    pub(super) phase: Phase,
    /// Gathering waits for it until then.
    deadline: Time,
    /// What it relays.
    pub(super) bases: Vec<BaseId>,
    /// Peers for which permission was asked, and those with a channel.
    pub(super) permits: Vec<IpAddr>,
    pub(super) channels: Vec<SocketAddr>,
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

    fn uses_relays(&self) -> bool {
        self.config.gather_relayed && !self.config.lite && !self.config.turn_servers.is_empty()
    }

    /// Has the names of TURN servers resolved, those excepted that are asked
    /// for behind the first `waiting` of the operations.
    pub(super) fn ask_resolver_for_relays(&mut self, waiting: usize) {
        if !self.uses_relays() {
            return;
        }
        let servers = &self.config.turn_servers;
        if self.relays.addresses.is_empty() {
            let known = |address: SocketAddr| Box::from([net::canonical(address)]);
            self.relays.addresses = servers.iter().map(|s| s.address.map(known)).collect();
        }
        let offset = self.config.stun_servers.len();
        for (at, addresses) in self.relays.addresses.iter().enumerate() {
            let resolve = SocketOp::Resolve { server: offset + at };
            if addresses.is_none() && !self.socket_ops.iter().skip(waiting).any(|op| *op == resolve)
            {
                self.socket_ops.push_back(resolve);
            }
        }
    }

    /// The name of a TURN server was resolved, or not where there is no address.
    pub(super) fn relay_resolved(&mut self, server: usize, addresses: &[SocketAddr], now: Time) {
        let Some(entry) = self.relays.addresses.get_mut(server).filter(|e| e.is_none()) else {
            return;
        };
        *entry = Some(addresses.iter().map(|address| net::canonical(*address)).collect());
        if addresses.is_empty() {
            let text = "the server's name did not resolve";
            self.report_relay(server, Cause::Unresolved, NOT_REACHED, text.into(), now);
        }
        self.seek_relays(now);
        self.end_waiting_gathering(now);
    }

    /// Begins what relays there should be and are not: from each UDP base
    /// through each server over UDP, and over one connection a component to
    /// each of the others.
    pub(super) fn seek_relays(&mut self, now: Time) {
        if !self.uses_relays() {
            return;
        }
        for server in 0..self.relays.addresses.len() {
            let Some(addresses) = self.relays.addresses[server].clone() else { continue };
            if self.config.turn_servers[server].transport.is_reliable() {
                self.seek_over_connections(server, &addresses, now);
            } else {
                self.seek_over_udp(server, &addresses, now);
            }
        }
    }

    fn seek_over_udp(&mut self, server: usize, addresses: &[SocketAddr], now: Time) {
        let is_leg = |base: &&Base| {
            base.purpose == Purpose::Candidates && base.tcp_type.is_none() && base.is_open()
        };
        let whole = |base: &Base| (base.id, base.stream, base.component, base.ip);
        let legs: Vec<_> = self.bases.iter().filter(is_leg).map(whole).collect();
        for (leg, stream, component, ip) in legs {
            let known = |relay: &Relay| (relay.leg, relay.server) == (leg, server);
            let to = addresses.iter().find(|to| reaches(ip, to.ip()));
            if let Some(to) = to.filter(|_| !self.relays.all.iter().any(known)) {
                let slot = Phase::Waiting(self.pacer.reserve(now));
                self.begin_relay((leg, stream, component), server, *to, slot, now);
            }
        }
    }

    fn seek_over_connections(&mut self, server: usize, addresses: &[SocketAddr], now: Time) {
        let sessions: Vec<(StreamId, u16)> = self
            .streams
            .iter()
            .filter(|stream| !stream.current.gathering.awaits_addresses())
            .map(|stream| (stream.id, stream.current.list))
            .collect();
        for (stream, list) in sessions {
            for at in 0..self.checks.components(list).len() {
                let component = self.checks.components(list)[at].id;
                let is_its = |relay: &&Relay| {
                    (relay.stream, relay.component, relay.server) == (stream, component, server)
                };
                match self.relays.all.iter().find(is_its).map(|relay| relay.leg) {
                    Some(leg) => self.seat_leg(leg, list, now),
                    None => self.open_leg((stream, component, list), server, addresses, now),
                }
            }
        }
    }

    /// A session takes part in a leg that is there already.
    fn seat_leg(&mut self, leg: BaseId, list: u16, now: Time) {
        let Some(base) = self.base_mut(leg) else { return };
        if base.seat(list).is_none() {
            base.seats.push(Seat::new(list, u16::MAX));
            self.seat_relayed(leg, list, now);
        }
    }

    fn open_leg(
        &mut self,
        (stream, component, list): (StreamId, ComponentId, u16),
        server: usize,
        addresses: &[SocketAddr],
        now: Time,
    ) {
        let wanted = |to: &&SocketAddr| match Family::of(to.ip()) {
            Family::V4 => self.config.ipv4,
            Family::V6 => self.config.ipv6,
        };
        let to: Box<[SocketAddr]> = addresses.iter().filter(wanted).copied().collect();
        let Some(first) = to.first().copied() else { return };
        let base = self.next_base();
        self.bases.push(Base {
            id: base,
            purpose: Purpose::Leg,
            stream,
            component,
            tcp_type: None,
            ip: net::unspecified(Family::of(first.ip())),
            prefix: None,
            scope: 0,
            phase: BasePhase::Binding,
            seats: vec![Seat::new(list, u16::MAX)],
        });
        self.socket_ops.push_back(SocketOp::ConnectServer { base, server, to });
        self.begin_relay((base, stream, component), server, first, Phase::Connecting, now);
    }

    fn begin_relay(
        &mut self,
        (leg, stream, component): (BaseId, StreamId, ComponentId),
        server: usize,
        address: SocketAddr,
        phase: Phase,
        now: Time,
    ) {
        if self.relays.all.len() >= MAX_RELAYS {
            return;
        }
        let families = self.relay_families();
        let client = self.relay_client(server, families);
        let deadline = now + self.config.gather_timeout;
        self.relays.all.push(Relay {
            leg,
            stream,
            component,
            server,
            address,
            client,
            families,
            redirects: Redirects::from(address, now),
            phase,
            deadline,
            bases: Vec::new(),
            permits: Vec::new(),
            channels: Vec::new(),
        });
    }

    fn relay_families(&self) -> Families {
        match (self.config.ipv4, self.config.ipv6) {
            (true, true) => Families::Both,
            (false, true) => Families::V6,
            (_, false) => Families::V4,
        }
    }

    fn relay_client(&self, server: usize, families: Families) -> Client {
        let entry = &self.config.turn_servers[server];
        Client::new(Settings {
            reliable: entry.transport.is_reliable(),
            families,
            // Where nothing is asked for, servers were seen to say more than they keep.
            lifetime: Some(LIFETIME),
            pacer: self.pacer.clone(),
            ..Settings::new(entry.secrets.clone())
        })
    }

    /// The server sends us to another one (RFC 8489 §10).
    pub(super) fn redirected(&mut self, at: usize, to: SocketAddr, now: Time) {
        let to = net::canonical(to);
        let relay = &mut self.relays.all[at];
        let (leg, server, from) = (relay.leg, relay.server, relay.address);
        let may = relay.redirects.follow(to, now) && Family::of(to.ip()) == Family::of(from.ip());
        if !may || self.judge(to, Protocol::Udp, now).is_err() {
            let text = format!("{from} sends us on to {to}, where we do not go");
            return self.end_relay(at, Cause::Answered, ALTERNATE, text.into(), now);
        }
        let client = self.relay_client(server, self.relay_families());
        let slot = self.pacer.reserve(now);
        let over_udp = self.base(leg).is_some_and(|base| base.purpose == Purpose::Candidates);
        let phase = if over_udp { Phase::Waiting(slot) } else { Phase::Connecting };
        let relay = &mut self.relays.all[at];
        (relay.client, relay.address, relay.phase) = (client, to, phase);
        if !over_udp {
            self.socket_ops.push_back(SocketOp::Disconnect { base: leg, to: from, abort: false });
            let to = Box::from([to]);
            self.socket_ops.push_back(SocketOp::ConnectServer { base: leg, server, to });
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
        let client = self.relay_client(relay.server, Families::V6);
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

    /// A connection to a server is open.
    pub(super) fn leg_connected(
        &mut self,
        leg: BaseId,
        to: SocketAddr,
        local: SocketAddr,
        now: Time,
    ) {
        let Some(base) = self.base_mut(leg) else { return };
        if base.phase == BasePhase::Abandoned {
            base.phase = BasePhase::Open(local);
            return self.close_base(leg, now);
        }
        base.phase = BasePhase::Open(local);
        self.log.add(now, || Happened::SocketOpened { base: leg, local });
        let slot = self.pacer.reserve(now);
        if let Some(relay) = self.relays.all.iter_mut().find(|relay| relay.leg == leg) {
            (relay.address, relay.phase) = (net::canonical(to), Phase::Waiting(slot));
        }
    }

    /// A connection to a server could not be opened, or is gone.
    pub(super) fn leg_failed(&mut self, leg: BaseId, kind: std::io::ErrorKind, now: Time) {
        let Some(at) = self.relays.all.iter().position(|relay| relay.leg == leg) else { return };
        let address = self.relays.all[at].address;
        let word = net::error_word(kind);
        let text = match self.relays.all[at].phase {
            Phase::Connecting => format!("there is no connection to {address}: {word}"),
            _ => format!("the connection to {address} ended: {word}"),
        };
        self.server_refused(leg, Cause::NotReached, text.into(), now);
    }

    /// There is no connection to a server, for this reason.
    pub(super) fn server_refused(&mut self, leg: BaseId, cause: Cause, text: Box<str>, now: Time) {
        let Some(at) = self.relays.all.iter().position(|relay| relay.leg == leg) else { return };
        // A socket that never was has nothing to close.
        self.bases.retain(|base| base.id != leg || base.is_open());
        if self.relays.all[at].phase != Phase::Over {
            self.end_relay(at, cause, NOT_REACHED, text, now);
        }
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
        if self.relays.all.is_empty() {
            return;
        }
        for at in 0..self.relays.all.len() {
            let Some(relay) = self.relays.all.get_mut(at) else { return };
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
            let relay = &mut self.relays.all[at];
            relay.client.handle_timeout(now, &mut self.rng);
            if relay.deadline <= now && !relay.is_settled() {
                let text = format!("{} did not answer in time", relay.address);
                self.end_relay(at, Cause::NotReached, NOT_REACHED, text.into(), now);
                continue;
            }
            while let Some(event) = self.relays.all.get_mut(at).and_then(|r| r.client.poll_event())
            {
                self.relay_event(at, event, now);
            }
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
            [slot, deadline, relay.client.poll_timeout()].into_iter().flatten().min()
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
        let bases = std::mem::take(&mut relay.bases);
        self.report_relay(server, cause, code, text, now);
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
        self.end_waiting_gathering(now);
        if was_open && carried {
            self.recover_from_lost_relay(stream, now);
        }
    }

    fn report_relay(&mut self, server: usize, cause: Cause, code: u16, text: Box<str>, now: Time) {
        let Some(entry) = self.config.turn_servers.get(server) else { return };
        let uri = entry.uri.clone();
        let server = self.config.stun_servers.len() + server;
        self.log.add(now, || Happened::ServerFailed { server, code, text: text.clone() });
        self.events.push_back(Event::CandidateError { uri, cause, code, text });
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

/// Whether what is sent from one address can arrive at the other.
fn reaches(from: IpAddr, to: IpAddr) -> bool {
    Family::of(from) == Family::of(to)
        && net::is_link_local_v6(from) == net::is_link_local_v6(to)
        && (!from.is_loopback() || to.is_loopback())
}
