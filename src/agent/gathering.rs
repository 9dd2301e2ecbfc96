//! Gathering (RFC 8445 §5.1): from addresses to sockets to candidates.

use std::io;
use std::net::SocketAddr;

use crate::agent::core::{Base, BasePhase, DECISION};
use crate::agent::outgoing::{Outgoing, What};
use crate::agent::{BaseId, Config, Core, DropReason, Event, Happened, SocketOp};
use crate::candidate::{
    AddressRules, Foundations, Kind, LocalAddress, Origin, Ranked, priority, qualify,
    type_preference,
};
use crate::check::{Local, LocalId, Path};
use crate::gather::{Gatherer, Handled, Outcome};
use crate::net::{self, Protocol};
use crate::stun::{Message, TransactionId};
use crate::timer::Time;

/// How far gathering has come.
#[derive(Debug)]
pub(super) struct Gathering {
    /// Server-reflexive gathering; none without servers.
    gatherer: Option<Box<Gatherer>>,
    begun: bool,
    /// Sockets that the driver has not answered for yet.
    binding: usize,
    /// End-of-candidates was said.
    done: bool,
    /// When the next transaction is looked at: the end of Ta, or, once
    /// `reserved`, the slot that the pacer gave.
    slot: Option<Time>,
    reserved: bool,
    /// Ta: no new transaction before this.
    next_start: Time,
}

impl Gathering {
    pub(super) fn new(config: &Config) -> Self {
        let servers = if config.gather_server_reflexive { config.stun_servers.len() } else { 0 };
        let gatherer = (servers > 0)
            .then(|| Box::new(Gatherer::new(servers, config.gather_timeout, config.pacing)));
        Gathering {
            gatherer,
            begun: false,
            binding: 0,
            done: false,
            slot: None,
            reserved: false,
            next_start: Time::ZERO,
        }
    }

    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        let timer = self.gatherer.as_ref().and_then(|g| g.poll_timeout());
        [timer, self.slot].into_iter().flatten().min()
    }

    pub(super) fn send_error(&mut self, base: BaseId, to: SocketAddr, kind: io::ErrorKind) {
        if let Some(gatherer) = &mut self.gatherer {
            gatherer.send_error(base.0, to, kind);
        }
    }

    pub(super) fn close(&mut self) {
        self.gatherer = None;
        self.slot = None;
        self.done = true;
    }
}

impl Core {
    /// The machine's addresses are known: a socket for each that qualifies,
    /// stream and component. Only the first call counts.
    pub(super) fn begin_gathering(&mut self, addresses: &[LocalAddress]) {
        if std::mem::replace(&mut self.gathering.begun, true) {
            return;
        }
        for (server, entry) in self.config.stun_servers.iter().enumerate() {
            match (&mut self.gathering.gatherer, entry.address) {
                (Some(gatherer), Some(address)) => gatherer.resolved(server, &[address]),
                (Some(_), None) => self.socket_ops.push_back(SocketOp::Resolve { server }),
                (None, _) => {}
            }
        }
        let rules = AddressRules {
            include_loopback: self.config.include_loopback,
            ipv4: self.config.ipv4,
            ipv6: self.config.ipv6,
        };
        let addresses = qualify(addresses, &rules);
        for stream in self.streams() {
            let bases = addresses.len() * self.checks.components(stream.0).len();
            self.bases.reserve_exact(bases);
            self.checks.expect_bases(stream.0, bases);
        }
        for ranked in addresses {
            for stream in self.streams() {
                for at in 0..self.checks.components(stream.0).len() {
                    let component = self.checks.components(stream.0)[at].id;
                    let base = BaseId(u32::try_from(self.bases.len()).unwrap_or(u32::MAX));
                    let ip = ranked.address.ip;
                    let scope = if net::is_link_local_v6(ip) { ranked.address.index } else { 0 };
                    let found = type_preference(Kind::PeerReflexive, Protocol::Udp);
                    self.bases.push(Base {
                        stream,
                        component,
                        ip,
                        local: None,
                        phase: BasePhase::Binding,
                        scope,
                        local_preference: ranked.local_preference,
                        reflexive_priority: priority(found, ranked.local_preference, component),
                        template: None,
                    });
                    self.gathering.binding += 1;
                    self.socket_ops.push_back(SocketOp::BindUdp {
                        base,
                        ip,
                        scope,
                        stream,
                        component,
                    });
                }
            }
        }
        self.finish_binding();
    }

    pub(super) fn bound(&mut self, id: BaseId, address: SocketAddr, now: Time) {
        let Some(base) = self.bases.get_mut(id.0 as usize) else { return };
        if base.phase != BasePhase::Binding {
            return;
        }
        base.phase = BasePhase::Open;
        let Base { stream, component, local_preference, reflexive_priority, .. } = *base;
        self.log.add(now, || Happened::SocketOpened { base: id, local: address });
        let preference = type_preference(Kind::Host, Protocol::Udp);
        let scoped = self.in_scope_of(id, address);
        let local = Local {
            component,
            base: id.0,
            address,
            kind: Kind::Host,
            priority: priority(preference, local_preference, component),
            reflexive_priority,
            foundation: foundation(&mut self.foundations, Kind::Host, scoped, None),
            path: Path::default(),
            related: None,
        };
        let local = self.checks.add_base(stream.0, local);
        self.checks.decide_by(stream.0, now + DECISION);
        self.bases[id.0 as usize].local = Some(local);
        self.announce(stream.0, local, now);
        if let Some(gatherer) = &mut self.gathering.gatherer {
            gatherer.add_base(id.0, address, now);
        }
        self.gathering.binding -= 1;
        self.finish_binding();
    }

    pub(super) fn bind_failed(&mut self, id: BaseId, error: &io::Error, now: Time) {
        let Some(base) = self.bases.get_mut(id.0 as usize) else { return };
        if base.phase != BasePhase::Binding {
            return;
        }
        base.phase = BasePhase::Closed;
        let (ip, text) = (base.ip, Box::from(error.to_string()));
        self.events.push_back(Event::AddressRefused { ip, text });
        tracing::warn!(base = id.0, %error, "an address could not be bound");
        self.log.add(now, || Happened::SocketRefused { base: id, error: error.to_string().into() });
        self.gathering.binding -= 1;
        self.finish_binding();
    }

    pub(super) fn resolved(&mut self, server: usize, addresses: &[SocketAddr]) {
        if let Some(gatherer) = &mut self.gathering.gatherer {
            gatherer.resolved(server, addresses);
        }
    }

    /// Once every socket is bound or refused, only servers are waited for.
    fn finish_binding(&mut self) {
        if self.gathering.binding > 0 {
            return;
        }
        match &mut self.gathering.gatherer {
            Some(gatherer) => gatherer.bases_complete(),
            None => self.end_gathering(),
        }
    }

    fn end_gathering(&mut self) {
        if std::mem::replace(&mut self.gathering.done, true) {
            return;
        }
        for stream in self.streams() {
            self.checks.local_candidates_done(stream.0);
            self.events.push_back(Event::EndOfCandidates { stream });
        }
    }

    /// Tells the application of a candidate to signal; none after the
    /// nomination (RFC 8838 §13).
    fn announce(&mut self, stream: u16, local: LocalId, now: Time) {
        let candidate = self.local_candidate(stream, local);
        let components = self.checks.components(stream).iter();
        let concluded =
            components.filter(|c| c.id == candidate.component).any(|c| c.selected.is_some());
        let stream = crate::agent::StreamId(stream);
        self.log.add(now, || Happened::LocalCandidate { stream, candidate: candidate.clone() });
        if self.signals(candidate.kind) && !concluded {
            self.events.push_back(Event::Candidate { stream, candidate });
        }
    }

    /// Starts, repeats and ends what is due.
    pub(super) fn advance_gathering(&mut self, now: Time) {
        let Some(mut gatherer) = self.gathering.gatherer.take() else { return };
        gatherer.handle_timeout(now);
        self.start_gathering_transaction(&mut gatherer, now);
        while let Some(request) = gatherer.poll_send() {
            let base = BaseId(request.base);
            self.send(Outgoing { base, to: request.to, id: request.id, what: What::Server });
        }
        while let Some(outcome) = gatherer.poll_outcome() {
            self.gathered(outcome, now);
        }
        self.gathering.gatherer = Some(gatherer);
    }

    /// One new transaction a Ta (RFC 8445 §5.1.1.2), each in a slot of the
    /// pacer (§14.2).
    fn start_gathering_transaction(&mut self, gatherer: &mut Gatherer, now: Time) {
        for _ in 0..2 {
            if !gatherer.wants_slot() {
                (self.gathering.slot, self.gathering.reserved) = (None, false);
                return;
            }
            let state = &mut self.gathering;
            if state.next_start > now {
                (state.slot, state.reserved) = (Some(state.next_start), false);
                return;
            }
            if !std::mem::replace(&mut state.reserved, true) {
                state.slot = Some(self.pacer.reserve(now));
            }
            if state.slot.is_some_and(|slot| slot > now) {
                return;
            }
            (state.slot, state.reserved) = (None, false);
            state.next_start = now + self.config.pacing;
            let id = TransactionId(self.rng.bytes());
            if let Some(request) = gatherer.start_next(id, now) {
                let (base, server) = (BaseId(request.base), request.to);
                self.send(Outgoing { base, to: server, id, what: What::Server });
                self.log.add(now, || Happened::ServerAsked { base, server });
            }
        }
    }

    fn gathered(&mut self, outcome: Outcome, now: Time) {
        match outcome {
            Outcome::Mapped { base, server, server_address, mapped } => {
                let base = BaseId(base);
                self.log.add(now, || Happened::ServerAnswered { base, server, mapped });
                self.add_reflexive(base, (server, server_address), mapped, now);
                self.keep_alive(base, server_address, now);
            }
            Outcome::Failed { server, cause, code, text, .. } => {
                let Some(entry) = self.config.stun_servers.get(server) else { return };
                let uri = entry.uri.clone();
                self.log.add(now, || Happened::ServerFailed { server, code, text: text.clone() });
                self.events.push_back(Event::CandidateError { uri, cause, code, text });
            }
            Outcome::Done => self.end_gathering(),
        }
    }

    /// A server-reflexive candidate, if it is not redundant (§5.1.3).
    fn add_reflexive(
        &mut self,
        id: BaseId,
        (server, server_address): (usize, SocketAddr),
        mapped: SocketAddr,
        now: Time,
    ) {
        let Some(base) = self.bases.get(id.0 as usize).filter(|b| b.is_open()) else { return };
        let (Some(host), stream) = (base.local, base.stream.0) else { return };
        let host = self.checks.local(stream, host).clone();
        if self.checks.knows_local(stream, id.0, mapped) {
            return;
        }
        let kind = Kind::ServerReflexive;
        let preference = type_preference(kind, Protocol::Udp);
        let local_preference = Ranked::reflexive_preference(base.local_preference, server);
        let scoped = self.in_scope_of(id, host.address);
        let local = Local {
            address: mapped,
            kind,
            priority: priority(preference, local_preference, host.component),
            foundation: foundation(&mut self.foundations, kind, scoped, Some(server_address)),
            related: Some(host.address),
            ..host
        };
        if let Some(local) = self.checks.add_image(stream, local) {
            self.announce(stream, local, now);
        }
    }

    /// A response that answers no check: it may be a server's.
    pub(super) fn read_server_response(
        &mut self,
        message: &Message<'_>,
        base: BaseId,
        from: SocketAddr,
        now: Time,
    ) -> Result<(), DropReason> {
        let gatherer = self.gathering.gatherer.as_mut();
        let handled = gatherer.map(|g| g.handle_response(base.0, from, message, now));
        match handled {
            Some(Handled::Used) => Ok(()),
            Some(Handled::Late) => Err(DropReason::LateServerResponse),
            Some(Handled::Foreign) | None if self.keeps(base, from, message.transaction_id()) => {
                Ok(())
            }
            Some(Handled::Foreign) | None => Err(DropReason::UnknownTransaction),
        }
    }
}

fn foundation(
    foundations: &mut Foundations,
    kind: Kind,
    base: SocketAddr,
    server: Option<SocketAddr>,
) -> crate::candidate::Foundation {
    let server = server.map(|s| s.ip());
    foundations.of(&Origin { kind, base, protocol: Protocol::Udp, tcp_type: None, server })
}
