//! The ways to TURN servers: which servers are asked from where, and the
//! connections that are made for it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::agent::base::{Base, BasePhase, Purpose, Seat};
use crate::agent::relay::{Phase, Relay};
use crate::agent::{BaseId, Core, Happened, SocketOp, StreamId, TurnTransport};
use crate::candidate::ComponentId;
use crate::gather::{Cause, NOT_REACHED};
use crate::net::{self, Family, Protocol};
use crate::timer::Time;
use crate::turn::{Client, Families, Redirects, Settings};

/// Relays of an agent, those included that are only asked for.
const MAX_RELAYS: usize = 256;

/// How long an allocation is to last without being refreshed (RFC 8656 §3.2).
const LIFETIME: Duration = Duration::from_secs(600);

impl Core {
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
        self.end_waiting_gathering();
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
            let transport = self.config.turn_servers[server].transport;
            for protocol in self.relayed_protocols(transport).collect::<Vec<_>>() {
                match transport.is_reliable() {
                    true => self.seek_over_connections((server, protocol), &addresses, now),
                    false => self.seek_over_udp(server, &addresses, now),
                }
            }
        }
        self.seat_legs_apart(now);
    }

    fn seek_over_udp(&mut self, server: usize, addresses: &[SocketAddr], now: Time) {
        let is_leg = |base: &&Base| {
            base.purpose == Purpose::Candidates && base.tcp_type.is_none() && base.is_open()
        };
        let whole = |base: &Base| (base.id, base.stream, base.component, base.ip);
        let legs: Vec<_> = self.bases.iter().filter(is_leg).map(whole).collect();
        for (leg, stream, component, ip) in legs {
            let known =
                |relay: &Relay| (relay.leg, relay.server) == (leg, server) && !relay.is_apart;
            let to = addresses.iter().find(|to| reaches(ip, to.ip()));
            if let Some(to) = to.filter(|_| !self.relays.all.iter().any(known)) {
                let slot = Phase::Waiting(self.pacer.reserve(now));
                let what = (server, Protocol::Udp);
                self.begin_relay((leg, stream, component), what, *to, slot, now);
            }
        }
    }

    fn seek_over_connections(
        &mut self,
        what: (usize, Protocol),
        addresses: &[SocketAddr],
        now: Time,
    ) {
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
                    (relay.stream, relay.component) == (stream, component)
                        && (relay.server, relay.protocol) == what
                        && !relay.is_apart
                };
                match self.relays.all.iter().find(is_its).map(|relay| relay.leg) {
                    Some(leg) => self.seat_leg(leg, list, now),
                    None => self.open_leg((stream, component, list), what, addresses, now),
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
        what: (usize, Protocol),
        addresses: &[SocketAddr],
        now: Time,
    ) {
        let wanted = |to: &&SocketAddr| match Family::of(to.ip()) {
            Family::V4 => self.config.ipv4,
            Family::V6 => self.config.ipv6,
        };
        let to: Box<[SocketAddr]> = addresses.iter().filter(wanted).copied().collect();
        let Some(first) = to.first().copied() else { return };
        let base = self.connect_server((stream, component), (what.0, None), to, vec![list]);
        self.begin_relay((base, stream, component), what, first, Phase::Connecting, now);
    }

    /// Asks for a connection to a server, which is a base of these sessions.
    pub(super) fn connect_server(
        &mut self,
        (stream, component): (StreamId, ComponentId),
        (server, name): (usize, Option<Box<str>>),
        to: Box<[SocketAddr]>,
        lists: Vec<u16>,
    ) -> BaseId {
        let base = self.next_base();
        let family = to.first().map_or(Family::V4, |to| Family::of(to.ip()));
        self.bases.push(Base {
            id: base,
            purpose: Purpose::Leg,
            stream,
            component,
            tcp_type: None,
            ip: net::unspecified(family),
            prefix: None,
            scope: 0,
            phase: BasePhase::Binding,
            seats: lists.into_iter().map(|list| Seat::new(list, u16::MAX)).collect(),
        });
        self.socket_ops.push_back(SocketOp::ConnectServer { base, server, to, name });
        base
    }

    fn begin_relay(
        &mut self,
        (leg, stream, component): (BaseId, StreamId, ComponentId),
        (server, protocol): (usize, Protocol),
        address: SocketAddr,
        phase: Phase,
        now: Time,
    ) {
        if self.relays.all.len() >= MAX_RELAYS {
            return;
        }
        let families = self.relay_families();
        self.relays.all.push(Relay {
            leg,
            stream,
            component,
            server,
            address,
            name: None,
            client: self.relay_client(server, protocol, families),
            protocol,
            families,
            is_apart: false,
            redirects: Redirects::from(address, now),
            phase,
            deadline: now + self.config.gather_timeout,
            bases: Vec::new(),
            permits: Vec::new(),
            channels: Vec::new(),
            data: Vec::new(),
        });
    }

    /// What servers that are reached so are to relay: TCP only where that is a
    /// stream (RFC 6062 §4.1).
    pub(super) fn relayed_protocols(
        &self,
        transport: TurnTransport,
    ) -> impl Iterator<Item = Protocol> + use<> {
        let wanted = self.config.transports;
        let tcp = transport.is_reliable() && (wanted.tcp_active || wanted.tcp_passive);
        let udp = wanted.udp.then_some(Protocol::Udp);
        udp.into_iter().chain(tcp.then_some(Protocol::Tcp))
    }

    /// A server that was asked for both families gave one and no word of the
    /// other: it knows only REQUESTED-ADDRESS-FAMILY, of which a request has one
    /// (RFC 8656 §7.1). The other is asked for from a port of its own, since an
    /// allocation has its own, within the same budget.
    pub(super) fn ask_apart(&mut self, at: usize, family: Family, now: Time) {
        let relay = &self.relays.all[at];
        let (stream, component) = (relay.stream, relay.component);
        let (what, name) = ((relay.server, relay.protocol), relay.name.clone());
        let (address, deadline) = (relay.address, relay.deadline);
        let Some(under) = self.base(relay.leg) else { return };
        let (ip, prefix, scope) = (under.ip, under.prefix, under.scope);
        let lists: Vec<u16> = under.seats.iter().map(|seat| seat.list).collect();
        let is_asked = self.relays.all.iter().any(|relay| {
            (relay.stream, relay.component) == (stream, component)
                && (relay.server, relay.protocol) == what
                && relay.is_apart
                && self.base(relay.leg).is_some_and(|base| (base.ip, base.scope) == (ip, scope))
        });
        if is_asked || self.relays.all.len() >= MAX_RELAYS {
            return;
        }
        let base = if self.config.turn_servers[what.0].transport.is_reliable() {
            let server = (what.0, name.clone());
            self.connect_server((stream, component), server, Box::from([address]), lists)
        } else {
            let base = self.next_base();
            self.bind(Base {
                id: base,
                purpose: Purpose::Leg,
                stream,
                component,
                tcp_type: None,
                ip,
                prefix,
                scope,
                phase: BasePhase::Binding,
                seats: lists.into_iter().map(|list| Seat::new(list, u16::MAX)).collect(),
            });
            base
        };
        self.begin_relay((base, stream, component), what, address, Phase::Connecting, now);
        let families = Families::of(family);
        let client = self.relay_client(what.0, what.1, families);
        if let Some(relay) = self.relays.all.last_mut() {
            (relay.client, relay.families) = (client, families);
            (relay.is_apart, relay.deadline, relay.name) = (true, deadline, name);
        }
    }

    /// Later sessions take part in what was asked for apart, too.
    fn seat_legs_apart(&mut self, now: Time) {
        let apart = self.relays.all.iter().filter(|relay| relay.is_apart);
        let legs: Vec<_> = apart.map(|relay| (relay.leg, relay.stream)).collect();
        for (leg, stream) in legs {
            let Some(session) = self.stream(stream).map(|stream| &stream.current) else { continue };
            if !session.gathering.awaits_addresses() {
                self.seat_leg(leg, session.list, now);
            }
        }
    }

    pub(super) fn relay_families(&self) -> Families {
        match (self.config.ipv4, self.config.ipv6) {
            (true, true) => Families::Both,
            (false, true) => Families::V6,
            (_, false) => Families::V4,
        }
    }

    pub(super) fn relay_client(
        &self,
        server: usize,
        relays: Protocol,
        families: Families,
    ) -> Client {
        let entry = &self.config.turn_servers[server];
        Client::new(Settings {
            reliable: entry.transport.is_reliable(),
            relays,
            families,
            // Where nothing is asked for, servers were seen to say more than they keep.
            lifetime: Some(LIFETIME),
            permission_lifetime: self.config.permission_lifetime,
            pacer: self.pacer.clone(),
            ..Settings::new(entry.secrets.clone())
        })
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
        if self.data_leg_connected(leg, now) {
            return;
        }
        if let Some(relay) = self.relays.all.iter_mut().find(|relay| relay.leg == leg) {
            relay.address = net::canonical(to);
        }
        self.leg_open(leg, now);
    }

    /// The server can be asked.
    pub(super) fn leg_open(&mut self, leg: BaseId, now: Time) {
        let slot = self.pacer.reserve(now);
        if let Some(relay) = self.relays.all.iter_mut().find(|relay| relay.leg == leg) {
            relay.phase = Phase::Waiting(slot);
        }
    }

    /// There is no port for what was to be asked for apart: it goes without.
    pub(super) fn leg_refused(&mut self, leg: BaseId) {
        self.relays.all.retain(|relay| relay.leg != leg);
        self.end_waiting_gathering();
    }

    /// A connection to a server could not be opened, or is gone.
    pub(super) fn leg_failed(&mut self, leg: BaseId, kind: std::io::ErrorKind, now: Time) {
        if self.data_leg_failed(leg, kind, now) {
            return;
        }
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
        if self.data_leg_failed(leg, std::io::ErrorKind::ConnectionRefused, now) {
            return;
        }
        let Some(at) = self.relays.all.iter().position(|relay| relay.leg == leg) else { return };
        // A socket that never was has nothing to close.
        self.bases.retain(|base| base.id != leg || base.is_open());
        if self.relays.all[at].phase != Phase::Over {
            self.end_relay(at, cause, NOT_REACHED, text, now);
        }
        self.relays.all.retain(|relay| relay.leg != leg || !relay.is_apart);
    }
}

/// Whether what is sent from one address can arrive at the other.
fn reaches(from: IpAddr, to: IpAddr) -> bool {
    Family::of(from) == Family::of(to)
        && net::is_link_local_v6(from) == net::is_link_local_v6(to)
        && (!from.is_loopback() || to.is_loopback())
}
