//! Gathering (RFC 8445 §5.1): from addresses to sockets to candidates.

use std::io;
use std::net::SocketAddr;

use crate::agent::base::{Base, BasePhase, Purpose, Seat};
use crate::agent::core::DECISION;
use crate::agent::network::place;
use crate::agent::stream::{Session, Stream};
use crate::agent::{BaseId, Config, Core, Event, Happened, SocketOp, Sockets, StreamId};
use crate::candidate::{
    AddressRules, ComponentId, Foundations, Kind, LocalAddress, MAX_OTHER_PREFERENCE, Origin,
    PairingClass, Ranked, TcpType, priority, qualify, tcp_local_preference, type_preference,
};
use crate::check::{Local, LocalId, Path};
use crate::gather::Gatherer;
use crate::net::{Family, Protocol};
use crate::timer::Time;

/// How far gathering has come for one session.
#[derive(Debug)]
pub(super) struct Gathering {
    /// Server-reflexive gathering; none without servers.
    pub(super) gatherer: Option<Box<Gatherer>>,
    /// The machine's addresses are not known yet.
    awaits_addresses: bool,
    /// What becomes of the sockets that the stream has.
    pub(super) sockets: Sockets,
    /// Sockets that the driver has not answered for yet.
    binding: usize,
    /// Only relays are waited for.
    awaits_relays: bool,
    /// End-of-candidates was said.
    done: bool,
    /// The server of each server-reflexive candidate.
    pub(super) servers: Vec<(LocalId, u16)>,
}

/// When new gathering transactions start: one a Ta over all sessions.
#[derive(Debug, Default)]
pub(super) struct GatherPace {
    /// When the next transaction is looked at: the end of Ta, or, once
    /// `reserved`, the slot that the pacer gave.
    pub(super) slot: Option<Time>,
    pub(super) reserved: bool,
    /// Ta: no new transaction before this.
    pub(super) next_start: Time,
}

impl Gathering {
    pub(super) fn new(config: &Config) -> Self {
        let servers = if config.gather_server_reflexive && !config.lite {
            config.stun_servers.len()
        } else {
            0
        };
        let gatherer = (servers > 0).then(|| {
            let protocols = config.stun_servers.iter().map(|server| server.protocol);
            Box::new(Gatherer::new(protocols, config.gather_timeout, config.pacing))
        });
        Gathering {
            gatherer,
            awaits_addresses: true,
            sockets: Sockets::Keep,
            binding: 0,
            awaits_relays: false,
            done: false,
            servers: Vec::new(),
        }
    }

    /// The machine's addresses are not known yet.
    pub(super) fn awaits_addresses(&self) -> bool {
        self.awaits_addresses
    }

    /// Which of them we have candidates on is known.
    pub(super) fn has_bound(&self) -> bool {
        !self.awaits_addresses && self.binding == 0
    }

    /// End-of-candidates was said.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// Nothing but relays is waited for.
    pub(super) fn awaits_relays(&self) -> bool {
        self.awaits_relays && !self.done
    }

    /// The index of the server that gave the candidate; TURN servers are
    /// numbered behind the STUN servers.
    pub(super) fn server_of(&self, candidate: LocalId) -> Option<usize> {
        let entry = self.servers.iter().find(|(id, _)| *id == candidate);
        entry.map(|(_, server)| usize::from(*server))
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.gatherer.as_ref().and_then(|g| g.poll_timeout())
    }

    pub(super) fn close(&mut self) {
        self.gatherer = None;
        self.awaits_addresses = false;
        self.done = true;
    }
}

impl Core {
    /// The machine's addresses are known: a socket for each that qualifies
    /// and each component, in every session that has waited for them.
    pub(super) fn addresses_known(&mut self, addresses: &[LocalAddress], now: Time) {
        self.has_begun = true;
        let waits = |session: &Session| session.gathering.awaits_addresses;
        let lists: Vec<(StreamId, u16)> = self
            .streams
            .iter()
            .filter(|stream| waits(&stream.current))
            .map(|stream| (stream.id, stream.current.list))
            .collect();
        let rules = AddressRules {
            include_loopback: self.config.include_loopback,
            ipv4: self.config.ipv4,
            ipv6: self.config.ipv6,
        };
        let mut addresses = qualify(addresses, &rules);
        if self.config.lite {
            // RFC 8445 §5.2: no check could tell which of several works.
            let mut families = Vec::new();
            addresses.retain(|ranked| {
                let family = Family::of(ranked.address.ip);
                let first = !families.contains(&family);
                families.push(family);
                first
            });
        }
        self.addresses_changed(&addresses, now);
        let waiting = self.socket_ops.len();
        for (_, list) in &lists {
            self.ask_resolver(*list, waiting);
            self.ask_resolver_for_relays(waiting);
            self.ask_for_names(*list, waiting);
            let transports = self.config.transports.list(self.config.lite).count();
            let bases = addresses.len() * self.checks.components(*list).len() * transports;
            self.bases.reserve_exact(bases);
            self.checks.expect_bases(*list, bases);
        }
        for ranked in &addresses {
            for &(stream, list) in &lists {
                for at in 0..self.checks.components(list).len() {
                    let component = self.checks.components(list)[at].id;
                    self.use_address(stream, list, component, ranked, now);
                }
            }
        }
        self.seek_relays(now);
        for (_, list) in lists {
            self.finish_binding(list);
        }
    }

    /// Gives the servers that are known by address to the session's gatherer,
    /// and has the names of the others resolved, those excepted that are asked
    /// for behind the first `waiting` of the operations.
    fn ask_resolver(&mut self, list: u16, waiting: usize) {
        let Some(session) = session_mut(&mut self.streams, list) else { return };
        session.gathering.awaits_addresses = false;
        let Some(gatherer) = &mut session.gathering.gatherer else { return };
        for (server, entry) in self.config.stun_servers.iter().enumerate() {
            let resolve = SocketOp::Resolve { server };
            match entry.address {
                Some(address) => gatherer.resolved(server, &[address]),
                None if self.socket_ops.iter().skip(waiting).any(|op| *op == resolve) => {}
                None => self.socket_ops.push_back(resolve),
            }
        }
    }

    /// The bases of the session on an address, one for each transport (RFC 6544
    /// §5.1: passive and simultaneous-open candidates have ports of their own).
    pub(super) fn use_address(
        &mut self,
        stream: StreamId,
        list: u16,
        component: ComponentId,
        ranked: &Ranked,
        now: Time,
    ) {
        let relay_only = self.is_relay_only();
        let transports = self.config.transports.list(self.config.lite);
        for tcp_type in transports.filter(|tcp_type| tcp_type.is_none() || !relay_only) {
            self.use_place(stream, list, component, (ranked, tcp_type), now);
        }
    }

    /// A base of the session on an address: one that the stream has, or a new
    /// one.
    fn use_place(
        &mut self,
        stream: StreamId,
        list: u16,
        component: ComponentId,
        (ranked, tcp_type): (&Ranked, Option<TcpType>),
        now: Time,
    ) {
        let (ip, scope) = place(ranked);
        let Some(session) = session_mut(&mut self.streams, list) else { return };
        let gathering = &mut session.gathering;
        gathering.binding += 1;
        // There is no socket to keep under an active candidate, and a peer that
        // tells its sessions apart by a connection's first message, as a
        // server on one port does, has to see the new one there.
        let keep = gathering.sockets == Sockets::Keep && tcp_type != Some(TcpType::Active);
        let seat = Seat::new(list, ranked.local_preference);
        let serves = |base: &&mut Base| {
            (base.stream, base.component, base.ip, base.scope) == (stream, component, ip, scope)
                && base.purpose == Purpose::Candidates
                && base.tcp_type == tcp_type
                && base.phase != BasePhase::Abandoned
        };
        // The newest, where a restart has bound it twice.
        match self.bases.iter_mut().rev().find(|base| keep && serves(base)) {
            Some(base) => {
                base.seats.push(seat);
                let id = base.id;
                self.socket_ops.push_back(SocketOp::Keep { base: id });
                if self.base(id).is_some_and(Base::is_open) {
                    self.take_seat(id, list, now);
                }
            }
            None => {
                let id = self.next_base();
                let phase = BasePhase::Binding;
                let prefix = ranked.address.prefix;
                let seats = vec![seat];
                self.bind(Base {
                    id,
                    purpose: Purpose::Candidates,
                    stream,
                    component,
                    tcp_type,
                    ip,
                    prefix,
                    scope,
                    phase,
                    seats,
                });
            }
        }
    }

    pub(super) fn bound(&mut self, id: BaseId, address: SocketAddr, now: Time) {
        let Some(base) = self.base_mut(id) else { return };
        let phase = base.phase;
        if let BasePhase::Open(_) = phase {
            return;
        }
        base.phase = BasePhase::Open(address);
        let lists: Vec<u16> = base.seats.iter().map(|seat| seat.list).collect();
        self.log.add(now, || Happened::SocketOpened { base: id, local: address });
        if phase == BasePhase::Abandoned {
            return self.close_base(id, now);
        }
        if self.is_fresh(id) {
            return self.fresh_bound(id, address, now);
        }
        if self.is_leg(id) {
            return self.leg_open(id, now);
        }
        for list in &lists {
            self.take_seat(id, *list, now);
        }
        self.seek_relays(now);
        for list in lists {
            self.finish_binding(list);
        }
    }

    /// An open base becomes a host candidate of a session, or only leads to
    /// servers.
    fn take_seat(&mut self, id: BaseId, list: u16, now: Time) {
        match self.is_relay_only() {
            true => {
                self.checks.decide_by(list, now + DECISION);
                if let Some(session) = session_mut(&mut self.streams, list) {
                    session.gathering.binding -= 1;
                }
            }
            false => self.take_host_seat(id, list, now),
        }
        self.seat_relayed(id, list, now);
    }

    fn take_host_seat(&mut self, id: BaseId, list: u16, now: Time) {
        let Some(local) = self.host_of(id, list) else { return };
        let (address, tcp_type) = (local.address, local.path.class.tcp_type());
        let local = self.checks.add_base(list, local);
        self.checks.decide_by(list, now + DECISION);
        let seats = self.base_mut(id).map(|base| &mut base.seats);
        if let Some(seat) = seats.into_iter().flatten().find(|seat| seat.list == list) {
            seat.local = Some(local);
        }
        self.announce_host(id, list, now);
        if let Some(session) = session_mut(&mut self.streams, list) {
            session.gathering.binding -= 1;
            if let Some(gatherer) = &mut session.gathering.gatherer {
                // Nobody connects to an active candidate: what is reflexive of it
                // follows from the others.
                if tcp_type != Some(TcpType::Active) {
                    gatherer.add_base(id.0, address, Protocol::of(tcp_type.is_some()), now);
                }
            }
        }
    }

    /// The host candidate that an open base is in a session.
    pub(super) fn host_of(&mut self, id: BaseId, list: u16) -> Option<Local> {
        let base = self.base(id)?;
        let (address, seat) = (base.address()?, base.seat(list)?);
        let (component, preference) = (base.component, seat.local_preference);
        let tcp_type = base.tcp_type;
        let of_kind = |kind| priority_of(kind, tcp_type, preference, component);
        let scoped = self.in_scope_of(id, address);
        Some(Local {
            component,
            base: id.0,
            address,
            kind: Kind::Host,
            priority: of_kind(Kind::Host),
            reflexive_priority: of_kind(Kind::PeerReflexive),
            foundation: foundation(&mut self.foundations, Kind::Host, scoped, tcp_type, None),
            path: Path {
                reliable: tcp_type.is_some(),
                dials: tcp_type.is_some_and(|tcp_type| tcp_type != TcpType::Passive),
                class: PairingClass::of(tcp_type),
                indirect: false,
            },
            related: None,
        })
    }

    pub(super) fn bind_failed(&mut self, id: BaseId, error: &io::Error, now: Time) {
        let Some(at) = self.bases.iter().position(|base| base.id == id) else { return };
        if self.bases[at].is_open() {
            return;
        }
        let base = self.bases.remove(at);
        let text = Box::from(error.to_string());
        self.log.add(now, || Happened::SocketRefused { base: id, error: error.to_string().into() });
        // Without a fresh port all goes on as it was.
        if base.phase == BasePhase::Abandoned || base.purpose == Purpose::Fresh {
            return self.fresh_refused(id);
        }
        if base.purpose == Purpose::Leg {
            return self.leg_refused(id);
        }
        self.events.push_back(Event::AddressRefused { ip: base.ip, text });
        tracing::warn!(base = id.0, %error, "an address could not be bound");
        for seat in base.seats {
            if let Some(session) = session_mut(&mut self.streams, seat.list) {
                session.gathering.binding -= 1;
                self.finish_binding(seat.list);
            }
        }
    }

    /// Once every socket is bound or refused, only servers are waited for.
    fn finish_binding(&mut self, list: u16) {
        let Some(session) = session_mut(&mut self.streams, list) else { return };
        if session.gathering.binding > 0 {
            return;
        }
        match &mut session.gathering.gatherer {
            Some(gatherer) => gatherer.bases_complete(),
            None => self.end_gathering(list),
        }
    }

    pub(super) fn end_gathering(&mut self, list: u16) {
        let awaits_relays = self.awaits_relays(list);
        let Some(stream) = self.streams.iter_mut().find(|s| s.current.list == list) else { return };
        stream.current.gathering.awaits_relays = awaits_relays;
        if awaits_relays {
            return;
        }
        if std::mem::replace(&mut stream.current.gathering.done, true) {
            return;
        }
        let stream = stream.id;
        self.checks.local_candidates_done(list);
        self.events.push_back(Event::EndOfCandidates { stream });
    }

    /// Tells the application of a candidate to signal; none after the
    /// nomination (RFC 8838 §13).
    pub(super) fn announce(&mut self, list: u16, local: LocalId, now: Time) {
        let Some(stream) = self.streams.iter().find(|s| s.current.list == list) else { return };
        let stream = stream.id;
        let candidate = self.local_candidate(list, local);
        let components = self.checks.components(list).iter();
        let concluded = !self.checks.is_continual(list)
            && components.filter(|c| c.id == candidate.component).any(|c| c.selected.is_some());
        self.log.add(now, || Happened::LocalCandidate { stream, candidate: candidate.clone() });
        if self.signals(candidate.kind) && !concluded {
            self.events.push_back(Event::Candidate { stream, candidate });
        }
    }

    /// When gathering is to be looked at.
    pub(super) fn next_gathering(&self) -> Option<Time> {
        let sessions = self.streams.iter().map(|stream| &stream.current);
        let timers = sessions.filter_map(|session| session.gathering.poll_timeout());
        timers.chain(self.gather_pace.slot).min()
    }
}

pub(super) fn session_mut(streams: &mut [Stream], list: u16) -> Option<&mut Session> {
    streams.iter_mut().find_map(|stream| stream.session_mut(list))
}

pub(super) fn foundation(
    foundations: &mut Foundations,
    kind: Kind,
    base: SocketAddr,
    tcp_type: Option<TcpType>,
    server: Option<SocketAddr>,
) -> crate::candidate::Foundation {
    let (server, protocol) = (server.map(|s| s.ip()), Protocol::of(tcp_type.is_some()));
    foundations.of(&Origin { kind, base, protocol, tcp_type, server })
}

/// The priority of a candidate on an address of this local preference: of TCP
/// the direction comes first in it (RFC 6544 §4.2).
pub(super) fn priority_of(
    kind: Kind,
    tcp_type: Option<TcpType>,
    preference: u16,
    component: ComponentId,
) -> u32 {
    let protocol = Protocol::of(tcp_type.is_some());
    let preference = match tcp_type {
        None => preference,
        Some(tcp_type) => {
            // As many addresses as differ in it, and the reflexive ones of each.
            let other = MAX_OTHER_PREFERENCE - (u16::MAX - preference).min(MAX_OTHER_PREFERENCE);
            tcp_local_preference(kind, tcp_type, other)
        }
    };
    priority(type_preference(kind, protocol), preference, component)
}
