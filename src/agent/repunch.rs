//! Poisoned UDP mappings: where no check comes through between addresses that
//! servers told of, both sides check from fresh ports at once
//! ([`crate::punch::Repunch`]).
//!
//! Whoever does not know the messages loses nothing: until the peer has agreed
//! on a common start, no socket is asked for and nothing is sent.

use std::cmp::Reverse;
use std::net::{IpAddr, SocketAddr};

use crate::agent::base::{Base, BasePhase, Purpose, Seat};
use crate::agent::gathering::session_mut;
use crate::agent::outgoing::{Outgoing, What};
use crate::agent::{BaseId, Core, DropReason, StreamId, Synchronisation};
use crate::candidate::{ComponentId, Kind};
use crate::check::{Local, PairId, Start, StartKind};
use crate::gather::{Gatherer, Handled, Outcome};
use crate::net::{Family, NotConnected, Protocol};
use crate::punch::{Offer, Repunch, RepunchState, Step};
use crate::stun::Message;
use crate::timer::Time;

/// A component whose signalled ports may be poisoned.
#[derive(Debug)]
pub(super) struct Punch {
    repunch: Repunch,
    /// The fresh base.
    base: Option<BaseId>,
    /// Asks a server how it is seen.
    gatherer: Option<Box<Gatherer>>,
    /// The server.
    server: Option<SocketAddr>,
    /// The pair between the fresh ports.
    pair: Option<PairId>,
}

impl Punch {
    fn new(repunch: Repunch) -> Self {
        Punch { repunch, base: None, gatherer: None, server: None, pair: None }
    }

    fn is_over(&self) -> bool {
        self.repunch.state() == RepunchState::Over
    }
}

impl Core {
    /// A check leaves. Between two server-reflexive addresses it may poison the
    /// mapping at the peer's NAT, or meet one that is.
    pub(super) fn watch_path(&mut self, start: &Start, now: Time) {
        let pair = self.checks.pair(start.pair);
        let (list, component) = (pair.stream, pair.component);
        let (first, pair) = (pair.first_sent.unwrap_or(now), start.pair);
        if start.kind == StartKind::Consent || !self.is_between_reflexive(pair) {
            return;
        }
        let number = component.number();
        if self.may_punch(list, component) && self.punch_of(list, number).is_none() {
            self.add_punch(list, Repunch::watch(number, first, now));
        }
    }

    /// Whether both ends of the pair are seen by servers at another address, and
    /// what connects them is UDP without anybody between.
    fn is_between_reflexive(&self, pair: PairId) -> bool {
        let pair = self.checks.pair(pair);
        let remote = self.checks.remote(pair.stream, pair.remote);
        remote.kind == Kind::ServerReflexive
            && self
                .reflexive_of(pair.stream, pair.component, None)
                .any(|local| local.base == self.checks.local(pair.stream, pair.local).base)
    }

    /// Our server-reflexive addresses of a component over UDP, of one family or
    /// of all.
    fn reflexive_of(
        &self,
        list: u16,
        component: ComponentId,
        family: Option<Family>,
    ) -> impl Iterator<Item = &Local> {
        let locals = self.checks.locals(list).map(|(_, local)| local);
        locals.filter(move |local| {
            local.kind == Kind::ServerReflexive
                && local.component == component
                && !local.path.reliable
                && !local.path.indirect
                && family.is_none_or(|family| Family::of(local.address.ip()) == family)
        })
    }

    /// Whether the component of a current session still looks for a path.
    fn may_punch(&self, list: u16, component: ComponentId) -> bool {
        let is_current = self.streams.iter().any(|stream| stream.current.list == list);
        let known = self.config.synchronisation == Synchronisation::T0
            && !self.config.lite
            && !self.is_relay_only();
        let takes = self.checks.takes_candidates(list, component);
        known && is_current && takes && self.direct_bases(list, component).is_empty()
    }

    /// The bases of the component's valid pairs over UDP with nobody between.
    fn direct_bases(&self, list: u16, component: ComponentId) -> Vec<u32> {
        let valid = self.checks.valid_pairs(list).iter().map(|id| self.checks.pair(*id));
        let locals = valid
            .filter(|pair| pair.component == component)
            .map(|pair| self.checks.local(list, pair.local));
        let direct = locals.filter(|local| !local.path.reliable && !local.path.indirect);
        direct.map(|local| local.base).collect()
    }

    fn punch_of(&mut self, list: u16, component: u16) -> Option<&mut Punch> {
        let punches = &mut session_mut(&mut self.streams, list)?.punches;
        punches.iter_mut().find(|punch| punch.repunch.component() == component)
    }

    fn add_punch(&mut self, list: u16, repunch: Repunch) {
        if let Some(session) = session_mut(&mut self.streams, list) {
            session.punches.push(Punch::new(repunch));
        }
    }

    /// The peer tells of a fresh port. It is held to what candidates are.
    pub(super) fn offered(&mut self, list: u16, offer: Offer, now: Time) {
        let address = crate::net::canonical(offer.address);
        if self.judge(address, Protocol::Udp, now).is_err() {
            return self.drop_now(DropReason::Address, Some(address), now);
        }
        let component = ComponentId::new(offer.component);
        if component.is_none_or(|component| !self.may_punch(list, component)) {
            return;
        }
        if self.punch_of(list, offer.component).is_none() {
            self.add_punch(list, Repunch::watch(offer.component, now, now));
        }
        if let Some(punch) = self.punch_of(list, offer.component) {
            punch.repunch.offered(Offer { address, ..offer });
        }
    }

    /// Does what is due. A check that leaves at a common start is the first.
    pub(super) fn advance_punches(&mut self, now: Time) {
        for at in 0..self.streams.len() {
            let list = self.streams[at].current.list;
            let mut punches = std::mem::take(&mut self.streams[at].current.punches);
            for punch in punches.iter_mut().filter(|punch| !punch.is_over()) {
                self.ask_punch_server(punch, now);
                self.advance_punch(list, punch, now);
            }
            self.streams[at].current.punches = punches;
        }
        let all = self.streams.iter().flat_map(|stream| &stream.current.punches);
        self.checks.keep_free(all.filter_map(|punch| punch.repunch.start()).min());
    }

    fn advance_punch(&mut self, list: u16, punch: &mut Punch, now: Time) {
        let Some(component) = ComponentId::new(punch.repunch.component()) else { return };
        if !self.may_punch(list, component) {
            return self.end_punch(list, punch, now);
        }
        if punch.repunch.is_patient(now) {
            return;
        }
        if self.is_heard_on(list, punch) {
            punch.repunch.heard();
        }
        if punch.base.is_some_and(|base| self.base(base).is_none()) {
            // Its address is gone.
            punch.repunch.failed();
        }
        let place = self.place_of(list, component, punch);
        loop {
            let Some(session) = session_mut(&mut self.streams, list) else { return };
            let timing = &mut session.timing;
            match punch.repunch.advance(now, timing, place.is_some()) {
                Some(Step::Agree) => {
                    self.wake_timing(list, now);
                    if let Some(session) = session_mut(&mut self.streams, list) {
                        session.timing.refused(now);
                    }
                }
                Some(Step::Prepare) => self.bind_fresh(list, punch, place),
                Some(Step::Punch(offer)) => self.punch(list, punch, offer.address, now),
                Some(Step::Drop) => self.drop_fresh(punch, now),
                None => return,
            }
        }
    }

    /// Where the next fresh port is to be, and the server that can see it: the
    /// places that have a server-reflexive address take turns, the best first,
    /// those behind the NAT that the peer is behind last.
    fn place_of(
        &self,
        list: u16,
        component: ComponentId,
        punch: &Punch,
    ) -> Option<(BaseId, SocketAddr)> {
        let theirs = self.checks.remotes(list).map(|(_, remote)| remote);
        let theirs: Vec<IpAddr> = theirs
            .filter(|remote| remote.kind == Kind::ServerReflexive && remote.component == component)
            .map(|remote| remote.address.ip())
            .collect();
        let meets = |ip: IpAddr| theirs.iter().any(|t| Family::of(*t) == Family::of(ip));
        let mut places: Vec<_> = self
            .reflexive_of(list, component, punch.repunch.family())
            .filter(|local| meets(local.address.ip()))
            .filter(|local| !self.maps_by_destination(list, local.base))
            .filter_map(|local| {
                let base = self.open_base(BaseId(local.base))?.id;
                let rank = (theirs.contains(&local.address.ip()), Reverse(local.priority), base);
                Some((rank, base, self.server_of(base)?))
            })
            .collect();
        places.sort_unstable_by_key(|(rank, ..)| *rank);
        places.dedup_by_key(|(_, base, _)| *base);
        let nth = usize::from(punch.repunch.attempt()).checked_rem(places.len())?;
        places.get(nth).map(|(_, base, server)| (*base, *server))
    }

    /// Whether servers have seen a base at several ports: the peer would aim at
    /// none that is open to it.
    fn maps_by_destination(&self, list: u16, base: u32) -> bool {
        let locals = self.checks.locals(list).map(|(_, local)| local);
        let mut seen = locals
            .filter(|local| local.base == base && local.kind == Kind::ServerReflexive)
            .map(|local| local.address);
        let first = seen.next();
        seen.any(|address| Some(address) != first)
    }

    /// Asks for a base beside one that there is.
    fn bind_fresh(&mut self, list: u16, punch: &mut Punch, place: Option<(BaseId, SocketAddr)>) {
        let beside = place.and_then(|(base, server)| Some((self.base(base)?, server)));
        let Some((base, server)) = beside else { return punch.repunch.failed() };
        let preference = base.seat(list).map_or(0, |seat| seat.local_preference);
        let Base { stream, component, tcp_type, ip, prefix, scope, .. } = *base;
        let (id, seats) = (self.next_base(), vec![Seat::new(list, preference)]);
        let attempt = punch.repunch.attempt();
        tracing::debug!(%component, attempt, "nothing comes through: a fresh port is wanted");
        let (purpose, phase) = (Purpose::Fresh, BasePhase::Binding);
        self.bind(Base {
            id,
            purpose,
            stream,
            component,
            tcp_type,
            ip,
            prefix,
            scope,
            phase,
            seats,
        });
        (punch.base, punch.server) = (Some(id), Some(server));
    }

    /// Whether it is a base of which nobody but a server has heard yet.
    pub(super) fn is_fresh(&self, id: BaseId) -> bool {
        self.base(id).is_some_and(|base| base.purpose == Purpose::Fresh)
    }

    fn fresh_mut(&mut self, id: BaseId) -> Option<&mut Punch> {
        let mut all = self.streams.iter_mut().flat_map(|stream| &mut stream.current.punches);
        all.find(|punch| punch.base == Some(id))
    }

    pub(super) fn fresh_bound(&mut self, id: BaseId, address: SocketAddr, now: Time) {
        let same = |base: &Base| base.id != id && base.address() == Some(address);
        let is_shared = self.bases.iter().any(same);
        let (budget, pacing) = (self.config.gather_timeout, self.config.pacing);
        let Some(punch) = self.fresh_mut(id) else { return };
        let Some(server) = punch.server.filter(|_| !is_shared) else {
            return punch.repunch.failed();
        };
        let mut gatherer = Gatherer::new(std::iter::once(Protocol::Udp), budget, pacing);
        gatherer.resolved(0, &[server]);
        gatherer.add_base(id.0, address, Protocol::Udp, now);
        gatherer.bases_complete();
        punch.gatherer = Some(Box::new(gatherer));
    }

    pub(super) fn fresh_refused(&mut self, id: BaseId) {
        if let Some(punch) = self.fresh_mut(id) {
            punch.base = None;
            punch.repunch.failed();
        }
    }

    pub(super) fn punches_want_slot(&self) -> bool {
        let all = self.streams.iter().flat_map(|stream| &stream.current.punches);
        all.filter_map(|punch| punch.gatherer.as_ref()).any(|gatherer| gatherer.wants_slot())
    }

    fn ask_punch_server(&mut self, punch: &mut Punch, now: Time) {
        let Some(gatherer) = &mut punch.gatherer else { return };
        gatherer.handle_timeout(now);
        self.start_gathering_transaction(gatherer, now);
        while let Some(request) = gatherer.poll_send() {
            let base = BaseId(request.base);
            self.send(Outgoing { base, to: request.to, id: request.id, what: What::Server });
        }
        while let Some(outcome) = gatherer.poll_outcome() {
            match outcome {
                Outcome::Mapped { mapped, .. } => punch.repunch.mapped(mapped),
                Outcome::Failed { .. } => punch.repunch.failed(),
                Outcome::Done => {}
            }
        }
    }

    /// Whether a response is a server's that sees a fresh base.
    pub(super) fn read_punch_response(
        &mut self,
        message: &Message<'_>,
        base: BaseId,
        from: SocketAddr,
        now: Time,
    ) -> bool {
        let punch = self.fresh_mut(base);
        let gatherer = punch.and_then(|punch| punch.gatherer.as_mut());
        gatherer.is_some_and(|g| g.handle_response(base.0, from, message, now) != Handled::Foreign)
    }

    /// The common start has come.
    fn punch(&mut self, list: u16, punch: &mut Punch, to: SocketAddr, now: Time) {
        punch.gatherer = None;
        let Some(base) = punch.base else { return };
        let Some(local) = self.host_of(base, list) else { return };
        match self.checks.punch(list, local, to) {
            Ok((local, pair)) => {
                punch.pair = Some(pair);
                tracing::debug!(%to, "a check from a fresh port to a fresh port");
                let seats = self.base_mut(base).into_iter().flat_map(|base| &mut base.seats);
                seats.filter(|seat| seat.list == list).for_each(|seat| seat.local = Some(local));
            }
            Err(refused) => {
                tracing::debug!(%to, %refused, "no check from a fresh port");
                self.drop_now(DropReason::Limit, Some(to), now);
            }
        }
    }

    /// Whether something came through to the fresh port, be it from another
    /// than the peer was told of.
    fn is_heard_on(&self, list: u16, punch: &Punch) -> bool {
        let Some(base) = punch.base.filter(|_| punch.pair.is_some()) else { return false };
        let mut pairs = self.checks.pairs(list).map(|(_, pair)| pair);
        pairs.any(|pair| {
            (pair.answered > 0 || pair.received > 0)
                && self.checks.local(list, pair.local).base == base.0
        })
    }

    /// The fresh port is given back.
    fn drop_fresh(&mut self, punch: &mut Punch, now: Time) {
        punch.gatherer = None;
        let Some(base) = punch.base.take() else { return };
        punch.pair = None;
        self.checks.give_up_base(base.0, NotConnected::Silent, now);
        self.close_base(base, now);
    }

    /// There is a path, or none is looked for any more. What the fresh ports
    /// have shown is the reason of those that they stand in for.
    fn end_punch(&mut self, list: u16, punch: &mut Punch, now: Time) {
        punch.repunch.end();
        punch.gatherer = None;
        if !self.is_heard_on(list, punch) {
            return self.drop_fresh(punch, now);
        }
        // It serves like any other from now on.
        if let Some(base) = punch.base.and_then(|base| self.base_mut(base)) {
            base.purpose = Purpose::Candidates;
        }
        let Some(fresh) = punch.pair else { return };
        let (component, rtt) = (self.checks.pair(fresh).component, self.checks.pair(fresh).rtt);
        let patience = rtt.unwrap_or_default() * 2;
        let silent: Vec<PairId> = self
            .checks
            .pairs(list)
            .filter(|(_, pair)| pair.component == component && pair.is_in_progress())
            .filter(|(_, pair)| pair.answered == 0 && pair.received == 0)
            .filter(|(_, pair)| pair.first_sent.is_some_and(|first| now - first > patience))
            .map(|(id, _)| id)
            .filter(|id| self.is_between_reflexive(*id))
            .collect();
        silent.into_iter().for_each(|pair| self.checks.poisoned(pair, now));
    }

    /// A session gives way to another.
    pub(super) fn end_punches(&mut self, stream: StreamId, now: Time) {
        let Ok(stream) = self.stream_mut(stream) else { return };
        let list = stream.current.list;
        for mut punch in std::mem::take(&mut stream.current.punches) {
            self.end_punch(list, &mut punch, now);
        }
    }

    pub(super) fn next_punch(&self) -> Option<Time> {
        let all = self.streams.iter().flat_map(|stream| &stream.current.punches);
        let times = all.flat_map(|punch| {
            let asks = punch.gatherer.as_ref().and_then(|gatherer| gatherer.poll_timeout());
            [punch.repunch.poll_timeout(), asks]
        });
        times.flatten().min()
    }
}
