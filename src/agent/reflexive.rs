//! Server-reflexive candidates (RFC 8445 §5.1.1.2): what servers are asked,
//! when, and what comes of it.

use std::io;
use std::net::SocketAddr;

use crate::agent::gathering::{foundation, priority_of, session_mut};
use crate::agent::outgoing::{Outgoing, What};
use crate::agent::{BaseId, Core, DropReason, Event, Happened};
use crate::candidate::{Kind, Ranked, TcpType};
use crate::check::Local;
use crate::gather::{Gatherer, Handled, Outcome};
use crate::stun::{Message, TransactionId};
use crate::timer::Time;

/// The port of active candidates.
const DISCARD: u16 = 9;

impl Core {
    /// The name of a server was resolved; TURN servers are numbered behind the
    /// STUN servers.
    pub(super) fn resolved(&mut self, server: usize, addresses: &[SocketAddr], now: Time) {
        if let Some(server) = server.checked_sub(self.config.stun_servers.len()) {
            return self.relay_resolved(server, addresses, now);
        }
        for stream in &mut self.streams {
            if let Some(gatherer) = &mut stream.current.gathering.gatherer {
                gatherer.resolved(server, addresses);
            }
        }
    }

    /// The system reported an error for a request to a server.
    pub(super) fn server_error(&mut self, base: BaseId, to: SocketAddr, kind: io::ErrorKind) {
        for stream in &mut self.streams {
            if let Some(gatherer) = &mut stream.current.gathering.gatherer {
                gatherer.send_error(base.0, to, kind);
            }
        }
    }

    /// Starts, repeats and ends what is due.
    pub(super) fn advance_gathering(&mut self, now: Time) {
        for at in 0..self.streams.len() {
            let session = &mut self.streams[at].current;
            let list = session.list;
            let Some(mut gatherer) = session.gathering.gatherer.take() else { continue };
            gatherer.handle_timeout(now);
            self.start_gathering_transaction(&mut gatherer, now);
            while let Some(request) = gatherer.poll_send() {
                // TCP delivers it, or breaks.
                if self.is_tcp(BaseId(request.base)) {
                    continue;
                }
                let base = BaseId(request.base);
                self.send(Outgoing { base, to: request.to, id: request.id, what: What::Server });
            }
            while let Some(outcome) = gatherer.poll_outcome() {
                self.gathered(list, outcome, now);
            }
            self.streams[at].current.gathering.gatherer = Some(gatherer);
        }
        let mut gatherers =
            self.streams.iter().filter_map(|s| s.current.gathering.gatherer.as_ref());
        if !gatherers.any(|gatherer| gatherer.wants_slot()) && !self.punches_want_slot() {
            (self.gather_pace.slot, self.gather_pace.reserved) = (None, false);
        }
    }

    /// One new transaction a Ta (RFC 8445 §5.1.1.2), each in a slot of the
    /// pacer (§14.2).
    pub(super) fn start_gathering_transaction(&mut self, gatherer: &mut Gatherer, now: Time) {
        for _ in 0..2 {
            if !gatherer.wants_slot() {
                return;
            }
            let pace = &mut self.gather_pace;
            if pace.next_start > now {
                (pace.slot, pace.reserved) = (Some(pace.next_start), false);
                return;
            }
            if !std::mem::replace(&mut pace.reserved, true) {
                pace.slot = Some(self.pacer.reserve(now));
            }
            if pace.slot.is_some_and(|slot| slot > now) {
                return;
            }
            (pace.slot, pace.reserved) = (None, false);
            pace.next_start = now + self.config.pacing;
            let id = TransactionId(self.rng.bytes());
            if let Some(request) = gatherer.start_next(id, now) {
                let (base, server) = (BaseId(request.base), request.to);
                if !self.opens_server(&request, now) {
                    continue;
                }
                self.send(Outgoing { base, to: server, id, what: What::Server });
                self.log.add(now, || Happened::ServerAsked { base, server });
            }
        }
    }

    fn gathered(&mut self, list: u16, outcome: Outcome, now: Time) {
        match outcome {
            Outcome::Mapped { base, server, server_address, mapped } => {
                let base = BaseId(base);
                self.log.add(now, || Happened::ServerAnswered { base, server, mapped });
                self.add_reflexive(list, base, (server, server_address), mapped, now);
                // The connection to the server keeps a mapping of TCP.
                match self.is_tcp(base) {
                    true => {
                        self.add_active_reflexive(list, base, (server, server_address), mapped, now)
                    }
                    false => self.keep_alive(base, server_address, now),
                }
            }
            Outcome::Failed { server, cause, code, text, .. } => {
                let Some(entry) = self.config.stun_servers.get(server) else { return };
                let uri = entry.uri.clone();
                self.log.add(now, || Happened::ServerFailed { server, code, text: text.clone() });
                self.events.push_back(Event::CandidateError { uri, cause, code, text });
            }
            Outcome::Done => self.end_gathering(list),
        }
    }

    /// A server-reflexive candidate, if it is not redundant (§5.1.3).
    pub(super) fn add_reflexive(
        &mut self,
        list: u16,
        id: BaseId,
        (server, server_address): (usize, SocketAddr),
        mapped: SocketAddr,
        now: Time,
    ) {
        let Some(seat) = self.open_base(id).and_then(|base| base.seat(list)) else { return };
        let (Some(host), base_preference) = (seat.local, seat.local_preference) else { return };
        let host = self.checks.local(list, host).clone();
        // Beside a host candidate with a name, one with its address says more
        // (draft-ietf-rtcweb-mdns-ice-candidates §3.1.2.2).
        let is_hidden = mapped == host.address && self.name_of(mapped.ip()).is_some();
        let known = match is_hidden {
            true => self.checks.image_at(list, id.0, mapped),
            false => self.checks.local_at(list, id.0, mapped),
        };
        if let Some(known) = known {
            return self.record_redundant_local(list, &host, mapped, known, now);
        }
        let kind = Kind::ServerReflexive;
        let tcp_type = host.path.class.tcp_type();
        // Those of a rewrite come first: they need no answer.
        let nth = self.config.rewrites.len() + server;
        let local_preference = Ranked::reflexive_preference(base_preference, nth);
        let scoped = self.in_scope_of(id, host.address);
        let local = Local {
            address: mapped,
            kind,
            priority: priority_of(kind, tcp_type, local_preference, host.component),
            foundation: foundation(
                &mut self.foundations,
                kind,
                scoped,
                tcp_type,
                Some(server_address),
            ),
            related: Some(host.address),
            ..host
        };
        if let Some(local) = self.checks.add_image(list, local) {
            if let Some(session) = session_mut(&mut self.streams, list) {
                let server = u16::try_from(server).unwrap_or(u16::MAX);
                session.gathering.servers.push((local, server));
            }
            self.announce(list, local, now);
        }
    }

    /// The active candidate beside a passive or simultaneous-open one has the
    /// same address outside, and port 9 (RFC 6544 §4.5). Its own pairs would be
    /// pruned; whoever filters by address has to know it.
    fn add_active_reflexive(
        &mut self,
        list: u16,
        id: BaseId,
        server: (usize, SocketAddr),
        mapped: SocketAddr,
        now: Time,
    ) {
        let Some(base) = self.open_base(id) else { return };
        let place = (base.stream, base.component, base.ip, base.scope);
        let is_it = |base: &&crate::agent::base::Base| {
            base.tcp_type == Some(TcpType::Active)
                && (base.stream, base.component, base.ip, base.scope) == place
                && base.is_open()
        };
        if let Some(active) = self.bases.iter().find(is_it).map(|base| base.id) {
            let mapped = SocketAddr::new(mapped.ip(), DISCARD);
            self.add_reflexive(list, active, server, mapped, now);
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
        let gatherers =
            self.streams.iter_mut().filter_map(|s| s.current.gathering.gatherer.as_mut());
        for gatherer in gatherers {
            match gatherer.handle_response(base.0, from, message, now) {
                Handled::Used => return Ok(()),
                Handled::Late => return Err(DropReason::LateServerResponse),
                Handled::Foreign => {}
            }
        }
        if self.read_punch_response(message, base, from, now) {
            return Ok(());
        }
        match self.keeps(base, from, message.transaction_id()) {
            true => Ok(()),
            false => Err(DropReason::UnknownTransaction),
        }
    }
}
