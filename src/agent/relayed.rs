//! Relayed candidates (RFC 8445 §5.1.1.2): what a server relays becomes a
//! base, and what is sent from it or arrives on it is wrapped for the server.

use std::net::{IpAddr, SocketAddr};

use crate::agent::base::{Base, BasePhase, Purpose, Seat};
use crate::agent::core::DECISION;
use crate::agent::gathering::{foundation, priority_of, session_mut};
use crate::agent::relay::{Phase, Relay};
use crate::agent::relayed_tcp::ACTIVE_PORT;
use crate::agent::{BaseId, CommandError, Core, Event, Happened, Input, StreamId, Transmit};
use crate::candidate::{Kind, PairingClass, TcpType, priority};
use crate::check::{Local, Path};
use crate::gather::{Cause, NOT_REACHED};
use crate::net::{self, Family};
use crate::stun::TransactionId;
use crate::timer::Time;
use crate::turn;

impl Core {
    /// What a client of a server has to tell.
    pub(super) fn relay_event(&mut self, at: usize, event: turn::Event, now: Time) {
        match event {
            turn::Event::Allocated { relayed, mapped, .. } => {
                self.allocated(at, relayed, mapped, now);
            }
            turn::Event::Permitted(peer) => self.permitted(at, peer, now),
            turn::Event::PeerRefused { peer, .. } => self.peer_refused(at, peer, now),
            turn::Event::ChannelBound { peer, number } => {
                let peer = net::canonical(peer);
                if let Some(base) = self.relayed_base(at, peer.ip()) {
                    self.events.push_back(Event::Channel { base, peer, number });
                }
            }
            turn::Event::ChannelRefused { peer, .. } => self.channel_ended(at, peer),
            turn::Event::Connected { peer, connection } => {
                self.open_data_leg(at, TcpType::Active, (peer, connection));
            }
            turn::Event::ConnectRefused { peer, failure } => {
                self.connect_refused(at, peer, failure.cause, now);
            }
            turn::Event::Accepted { peer, connection } => {
                self.open_data_leg(at, TcpType::Passive, (peer, connection));
            }
            turn::Event::Failed(failure)
                if failure.cause == turn::Cause::Family && self.asks_for_less(at, now) => {}
            turn::Event::Failed(failure) | turn::Event::Lost(failure) => {
                let cause = match (failure.cause, failure.code) {
                    (turn::Cause::Secrets, _) => Cause::Credentials,
                    (turn::Cause::NoAnswer, _) => Cause::NotReached,
                    _ => Cause::Answered,
                };
                let code = failure.code.unwrap_or(NOT_REACHED);
                self.end_relay(at, cause, code, failure.text, now);
            }
            turn::Event::NeedSecrets { realm } => {
                let server = self.relays.all.get(at).map_or(0, |relay| relay.server);
                if let Some(entry) = self.config.turn_servers.get(server) {
                    let uri = entry.uri.clone();
                    self.events.push_back(Event::SecretsExpired { uri, realm });
                }
            }
            turn::Event::Redirected { to, domain } => self.redirected(at, to, domain, now),
            // A server that refuses a family says so (RFC 8656 §7.2).
            turn::Event::FamilyRefused { family, failure } if failure.code.is_none() => {
                self.ask_apart(at, family, now);
            }
            _ => {}
        }
    }

    /// A server relays this address for us.
    fn allocated(&mut self, at: usize, relayed: SocketAddr, mapped: SocketAddr, now: Time) {
        let relay = &mut self.relays.all[at];
        let (leg, server, address) = (relay.leg, relay.server, relay.address);
        let was_open = std::mem::replace(&mut relay.phase, Phase::Open) == Phase::Open;
        let Some(under) = self.base(leg) else { return };
        let (stream, component) = (under.stream, under.component);
        let is_candidate = under.purpose == Purpose::Candidates;
        let lists: Vec<u16> = under.seats.iter().map(|s| s.list).collect();
        let over_udp = !self.config.turn_servers[server].transport.is_reliable();
        let relayed = net::canonical(relayed);
        for tcp_type in self.relayed_types(at) {
            // An active candidate has no port of its own (RFC 6544 §4.5).
            let local = match tcp_type {
                Some(TcpType::Active) => SocketAddr::new(relayed.ip(), ACTIVE_PORT),
                _ => relayed,
            };
            let base = self.next_base();
            self.bases.push(Base {
                id: base,
                purpose: Purpose::Relayed,
                stream,
                component,
                tcp_type,
                ip: relayed.ip(),
                prefix: None,
                scope: 0,
                phase: BasePhase::Open(local),
                seats: Vec::new(),
            });
            self.relays.all[at].bases.push(base);
            if tcp_type.is_none() {
                self.events.push_back(Event::Relayed {
                    base,
                    address: local,
                    leg,
                    server: address,
                });
            }
            self.log.add(now, || Happened::SocketOpened { base, local });
        }
        for list in &lists {
            self.seat_relayed(leg, *list, now);
        }
        if over_udp && !was_open {
            let server = self.config.stun_servers.len() + server;
            for list in lists {
                if self.config.gather_server_reflexive && is_candidate {
                    self.add_reflexive(list, leg, (server, address), mapped, now);
                }
            }
            self.keep_alive(leg, address, now);
        }
    }

    /// What is relayed over a leg takes part in a session of the leg.
    pub(super) fn seat_relayed(&mut self, leg: BaseId, list: u16, now: Time) {
        let over = self.relays.all.iter().filter(|relay| relay.leg == leg);
        let bases: Vec<(usize, BaseId, Option<SocketAddr>)> = over
            .flat_map(|relay| {
                relay.bases.iter().map(|base| (relay.server, *base, relay.client.mapped()))
            })
            .collect();
        for (server, base, mapped) in bases {
            if self.base(base).is_some_and(|base| base.seat(list).is_none()) {
                self.take_relayed_seat(base, list, server, mapped, now);
            }
        }
    }

    fn take_relayed_seat(
        &mut self,
        id: BaseId,
        list: u16,
        server: usize,
        mapped: Option<SocketAddr>,
        now: Time,
    ) {
        let Some(base) = self.base(id) else { return };
        let (Some(address), component, tcp_type) = (base.address(), base.component, base.tcp_type)
        else {
            return;
        };
        let Some(entry) = self.config.turn_servers.get(server) else { return };
        // RFC 8445 §5.1.1.2: one that equals a host candidate is none.
        let class = PairingClass::of(tcp_type);
        let is_it = |local: &Local| {
            (local.kind, local.address, local.path.class) == (Kind::Host, address, class)
        };
        if self.checks.locals(list).any(|(_, local)| is_it(local)) {
            return;
        }
        // Of servers with the same kind of leg, the first one first.
        let nth = u16::try_from(server).unwrap_or(u16::MAX);
        let preference = u16::MAX - nth.min(u16::MAX - 1);
        let priority = match tcp_type {
            None => priority(entry.transport.type_preference(), preference, component),
            Some(_) => priority_of(Kind::Relayed, tcp_type, preference, component),
        };
        let server_address = self.relay_under(id).map(|relay| relay.address);
        let local = Local {
            component,
            base: id.0,
            address,
            kind: Kind::Relayed,
            priority,
            // What a check from here makes the peer find is this candidate.
            reflexive_priority: priority,
            foundation: foundation(
                &mut self.foundations,
                Kind::Relayed,
                address,
                tcp_type,
                server_address,
            ),
            path: Path {
                reliable: tcp_type.is_some(),
                dials: tcp_type == Some(TcpType::Active),
                class,
                indirect: true,
            },
            related: mapped.map(net::canonical),
        };
        let local = self.checks.add_base(list, local);
        self.checks.decide_by(list, now + DECISION);
        let mut seat = Seat::new(list, preference);
        seat.local = Some(local);
        if let Some(base) = self.base_mut(id) {
            base.seats.push(seat);
        }
        if let Some(session) = session_mut(&mut self.streams, list) {
            let server = self.config.stun_servers.len() + server;
            session.gathering.servers.push((local, u16::try_from(server).unwrap_or(u16::MAX)));
        }
        self.announce(list, local, now);
    }

    /// What a relay relays to addresses of this one's family.
    pub(super) fn relayed_base(&self, at: usize, peer: IpAddr) -> Option<BaseId> {
        self.relayed_bases(at, peer).next()
    }

    /// The same, where there may be several: of TCP, one that opens
    /// connections and one that takes them in.
    pub(super) fn relayed_bases(
        &self,
        at: usize,
        peer: IpAddr,
    ) -> impl Iterator<Item = BaseId> + '_ {
        let bases = self.relays.all.get(at).into_iter().flat_map(|relay| &relay.bases);
        bases.copied().filter(move |id| {
            self.base(*id).is_some_and(|base| Family::of(base.ip) == Family::of(peer))
        })
    }

    /// Nothing goes by the channel of a peer any more.
    pub(super) fn channel_ended(&mut self, at: usize, peer: SocketAddr) {
        let peer = net::canonical(peer);
        if let Some(base) = self.relayed_base(at, peer.ip()) {
            self.events.push_back(Event::ChannelEnded { base, peer });
        }
    }

    /// Gathering that has only waited for relays has ended.
    pub(super) fn end_waiting_gathering(&mut self) {
        let waiting = self.streams.iter().filter(|stream| stream.current.gathering.awaits_relays());
        let lists: Vec<u16> = waiting.map(|stream| stream.current.list).collect();
        lists.into_iter().for_each(|list| self.end_gathering(list));
    }

    /// Uses another user and password towards a server from now on.
    pub(super) fn do_renew_secrets(
        &mut self,
        uri: &str,
        secrets: turn::Secrets,
        now: Time,
    ) -> Result<(), CommandError> {
        self.must_be_open()?;
        let servers = (0..).zip(&mut self.config.turn_servers);
        let meant: Vec<usize> = servers
            .filter(|(_, server)| &*server.uri == uri)
            .map(|(at, server)| {
                server.secrets = secrets.clone();
                at
            })
            .collect();
        if meant.is_empty() {
            return Err(CommandError::UnknownServer(uri.into()));
        }
        for relay in self.relays.all.iter_mut().filter(|relay| meant.contains(&relay.server)) {
            relay.client.renew(secrets.clone());
            relay.client.handle_timeout(now, &mut self.rng);
        }
        self.advance(now);
        Ok(())
    }

    /// What carried data is gone: ICE is restarted, and the server asked anew.
    pub(super) fn recover_from_lost_relay(&mut self, stream: StreamId, now: Time) {
        if self.config.follow_network {
            self.recover(stream, now);
        }
    }

    /// Gives relays back, and returns the bases that stood on them.
    pub(super) fn release_relays(
        &mut self,
        is_meant: impl Fn(&Relay) -> bool,
        now: Time,
    ) -> Vec<BaseId> {
        let (mut bases, mut bytes) = (Vec::new(), Vec::new());
        let released = self.relays.all.extract_if(.., |relay| is_meant(relay));
        for mut relay in released.collect::<Vec<_>>() {
            if relay.phase == Phase::Open || relay.phase == Phase::Allocating {
                relay.client.release(now, &mut self.rng);
                let (base, to) = (relay.leg, relay.address);
                while let Some(method) = relay.client.poll_request(&mut bytes) {
                    self.send_to_relay(base, to, method, &bytes);
                }
            }
            bases.extend(relay.bases);
            bases.extend(relay.data.iter().map(|data| data.leg));
        }
        bases
    }

    /// What arrived on a base from a server for one of its relays: the base
    /// that it is for, who sent it to the relay, and what. `None` where it is
    /// nothing that is relayed.
    pub fn unwrap<'a>(
        &self,
        base: BaseId,
        from: SocketAddr,
        bytes: &'a [u8],
    ) -> Option<(BaseId, SocketAddr, &'a [u8])> {
        if self.relays.all.is_empty() {
            return None;
        }
        let at = self.relay_at(base, net::canonical(from))?;
        let turn::Unwrapped::Data { peer, payload } = self.relays.all[at].client.unwrap(bytes)?
        else {
            return None;
        };
        let peer = net::canonical(peer);
        Some((self.relayed_base(at, peer.ip())?, peer, payload))
    }

    /// Wraps what is sent from a relayed base to a peer into what is sent to
    /// its server, in `out`, which is cleared first. `None` where the base is
    /// none of a relay, or the server does not relay to the peer.
    pub fn wrap(
        &self,
        base: BaseId,
        to: SocketAddr,
        payload: &[u8],
        id: TransactionId,
        out: &mut Vec<u8>,
    ) -> Option<Transmit> {
        let relay = self.relay_under(base)?;
        out.clear();
        relay
            .client
            .wrap(net::canonical(to), payload, id, out)
            .then_some(Transmit { base: relay.leg, to: self.in_scope_of(relay.leg, relay.address) })
    }

    /// Wraps a message of ours in `out` that leaves from a relayed base; `None`
    /// where its relay has come to an end, or does not relay to the peer.
    pub(super) fn wrapped(
        &self,
        base: BaseId,
        to: SocketAddr,
        id: TransactionId,
        out: &mut Vec<u8>,
    ) -> Option<Transmit> {
        let message = std::mem::take(out);
        self.wrap(base, to, &message, id, out)
    }

    /// Whether what is sent from a base is wrapped for a server: datagrams are,
    /// relayed TCP has streams of its own.
    pub(super) fn is_wrapped(&self, base: BaseId) -> bool {
        let wraps = |base: &Base| base.purpose == Purpose::Relayed && base.tcp_type.is_none();
        self.base(base).is_some_and(wraps)
    }

    /// An input with what it has for a relayed base taken out of its wrapping.
    pub(super) fn unwrapped<'a>(&self, input: Input<'a>) -> Input<'a> {
        match input {
            Input::Datagram { base, from, bytes } => match self.unwrap(base, from, bytes) {
                Some((base, from, bytes)) => Input::Datagram { base, from, bytes },
                None => Input::Datagram { base, from, bytes },
            },
            input => input,
        }
    }
}
