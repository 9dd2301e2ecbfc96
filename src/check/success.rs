//! What an answer to a check does (RFC 8445 §7.2.5).

use std::net::SocketAddr;

use crate::candidate::{Foundation, Kind, PairingClass};
use crate::check::candidates::LocalEntry;
use crate::check::flight::Flight;
use crate::check::pair::priority_in;
use crate::check::{
    Checks, FailReason, ListState, Local, LocalId, Notice, PairId, PairState, Role,
};
use crate::stun::TransactionId;
use crate::timer::Time;

/// STUN error 487, Role Conflict (RFC 8445 §16.2).
pub(super) const ROLE_CONFLICT: u16 = 487;

impl Checks {
    /// The pair that a check with this transaction id was sent on.
    pub fn pair_of(&self, id: &TransactionId) -> Option<PairId> {
        self.flights.find(id).map(|f| f.pair).or_else(|| self.consent_pair_of(id))
    }

    /// An authenticated success response arrived on `base` from `from`,
    /// saying that our check came from `mapped`.
    pub fn succeeded(
        &mut self,
        id: &TransactionId,
        base: u32,
        from: SocketAddr,
        mapped: SocketAddr,
        now: Time,
    ) {
        if self.consent_answered(id, base, from, now) {
            return;
        }
        let Some(flight) = self.flights.take(id) else { return };
        let pair = flight.pair;
        if !self.is_symmetric(pair, base, from) {
            return self.fail(pair, FailReason::NotSymmetric, now);
        }
        self.note_answer(&flight, now);
        if self.pair(pair).state == PairState::Removed {
            return;
        }
        let valid = self.valid_pair(pair, mapped);
        self.open(pair);
        self.open(valid.pair);
        self.set_succeeded(pair, valid.pair, valid.local, now);
        let flags = [self.pair(pair).flags, self.pair(valid.pair).flags];
        let nominates = flight.use_candidate && flags.iter().any(|f| f.nominating);
        let wanted = self.role == Role::Controlled && flags.iter().any(|f| f.wanted);
        if nominates || wanted {
            self.nominated(valid.pair, now);
        }
    }

    /// An authenticated error response arrived.
    pub fn refused(
        &mut self,
        id: &TransactionId,
        base: u32,
        from: SocketAddr,
        code: u16,
        now: Time,
    ) {
        if let Some(pair) = self.consent_pair_of(id) {
            return self.consent_refused(pair, base, from, code, now);
        }
        let Some(flight) = self.flights.take(id) else { return };
        let pair = flight.pair;
        if code == ROLE_CONFLICT {
            // §7.2.5.1, wherever it came from: both would stay in conflict
            // otherwise. Another answer may have switched the role already.
            self.switch_role(flight.role.other());
            if self.component_of(pair).is_some_and(|c| c.selected.is_none()) {
                return self.trigger(pair);
            }
            // The component is concluded without this pair.
        }
        if !self.is_symmetric(pair, base, from) {
            return self.fail(pair, FailReason::NotSymmetric, now);
        }
        let reason = match code {
            ROLE_CONFLICT => FailReason::RoleConflict,
            _ => FailReason::ErrorResponse(code),
        };
        self.fail(pair, reason, now);
    }

    /// An answer with the right transaction id came, and its integrity was
    /// wrong. It is dropped, and remembered as a reason.
    pub fn unauthentic(&mut self, id: &TransactionId) {
        if let Some(pair) = self.pair_of(id) {
            let count = &mut self.pair_mut(pair).unauthentic;
            *count = count.saturating_add(1);
        }
    }

    /// The same over a path that loses nothing: no other answer will come, so
    /// the transaction ends at once (RFC 8489 §9.1.4).
    pub fn violated(&mut self, id: &TransactionId, now: Time) {
        self.unauthentic(id);
        if let Some(flight) = self.flights.take(id) {
            self.fail(flight.pair, FailReason::WrongIntegrity, now);
        }
    }

    /// RFC 8445 §7.2.5.1: after an answer of 487 the tie-breaker changes.
    pub fn set_tie_breaker(&mut self, tie_breaker: u64) {
        self.former_tie_breaker = Some(std::mem::replace(&mut self.tie_breaker, tie_breaker));
    }

    /// The bases of the valid pairs of a stream.
    pub fn valid_bases(&self, stream: u16) -> Vec<u32> {
        let valid = self.lists.get(usize::from(stream)).map(|list| &list.valid);
        let base = |id: &PairId| self.local(stream, self.pair(*id).local).base;
        valid.into_iter().flatten().map(base).collect()
    }

    /// The bases of the valid pairs of a stream, and of those that are still
    /// checked; whether there are any of those.
    pub fn used_bases(&self, stream: u16) -> (Vec<u32>, bool) {
        let mut used = self.valid_bases(stream);
        let list = self.lists.get(usize::from(stream)).filter(|list| list.seeking);
        let pairs = list.into_iter().flat_map(|list| &list.pairs);
        let pending = pairs.filter(|id| self.pair(**id).is_pending());
        let pending: Vec<u32> =
            pending.map(|id| self.local(stream, self.pair(*id).local).base).collect();
        used.extend(&pending);
        (used, !pending.is_empty())
    }

    /// Whether the peer was heard on the way from a base to an address, in any
    /// session, and consents to it as far as is known.
    pub fn is_heard(&self, base: u32, address: SocketAddr) -> bool {
        let mut listed = self.lists.iter().flat_map(|list| &list.pairs);
        listed.any(|id| {
            let pair = self.pair(*id);
            pair.flags.opened
                && pair.reason != Some(FailReason::ConsentExpired)
                && self.is_symmetric(*id, base, address)
        })
    }

    pub(super) fn is_symmetric(&self, pair: PairId, base: u32, from: SocketAddr) -> bool {
        let pair = self.pair(pair);
        self.local(pair.stream, pair.local).base == base
            && self.remote(pair.stream, pair.remote).address == from
    }

    fn note_answer(&mut self, flight: &Flight, now: Time) {
        let pair = self.pair_mut(flight.pair);
        pair.answered += 1;
        pair.confirmed = Some(now);
        // With several transmissions the answer may be to an earlier one:
        // the sample counts only where there is none.
        let sample = now - flight.last_sent;
        pair.tally.total_round_trip_time += sample;
        if flight.retransmission.sent() <= 1 || pair.rtt.is_none() {
            pair.rtt = Some(sample);
        }
        self.renew_consent(flight.pair, now);
    }

    /// §7.2.5.3.1 and §7.2.5.3.2.
    fn valid_pair(&mut self, pair: PairId, mapped: SocketAddr) -> Valid {
        let p = self.pair(pair).clone();
        let list = &self.lists[usize::from(p.stream)];
        let base = &list.local(p.local).local;
        if base.address == mapped {
            return Valid { pair, local: p.local };
        }
        // Another base may have the same address in another realm
        // (RFC 8445 App. B.2): what belongs to our base comes first.
        let is_it = |l: &&LocalEntry| {
            let Local { component, address, path, .. } = l.local;
            (component, address, path.class) == (p.component, mapped, base.path.class)
        };
        let candidates = || (0..).map(LocalId).zip(&list.locals);
        let known = candidates()
            .find(|(_, l)| is_it(l) && l.local.base == base.base)
            .or_else(|| candidates().find(|(_, l)| is_it(l)))
            .map(|(id, _)| id);
        let Some(known) = known else {
            // The port that an active candidate does without (RFC 6544 §4.5)
            // is no news, and makes it no other candidate.
            let is_port = base.path.class == PairingClass::Active
                && (base.kind, base.address.ip()) == (Kind::Relayed, mapped.ip());
            let found = match is_port {
                true => Local { address: mapped, ..base.clone() },
                false => Local {
                    address: mapped,
                    kind: Kind::PeerReflexive,
                    priority: base.reflexive_priority,
                    related: Some(base.address),
                    foundation: reflexive_foundation(base.foundation),
                    ..base.clone()
                },
            };
            let Some(local) = self.add_image(p.stream, found) else {
                return Valid { pair, local: p.local };
            };
            self.notices.push_back(Notice::LocalFound { stream: p.stream, local });
            return Valid { pair, local };
        };
        let other = list.pairs.iter().copied().find(|id| {
            let q = self.pair(*id);
            q.local == known && q.remote == p.remote && q.state != PairState::Removed
        });
        Valid { pair: other.unwrap_or(pair), local: known }
    }

    /// §7.2.5.3.3.
    fn set_succeeded(&mut self, checked: PairId, valid: PairId, local: LocalId, now: Time) {
        if self.pair(checked).state == PairState::Failed {
            // A cancelled check may be answered after its successor failed.
            self.pair_mut(checked).reason = None;
        }
        for id in [checked, valid] {
            self.set_state(id, PairState::Succeeded);
            self.unqueue(id);
            if !self.pair(id).flags.nominating {
                self.flights.settle(id);
            }
        }
        self.pair_mut(valid).valid = Some(local);
        self.pair_mut(valid).confirmed = Some(now);
        // Beside the selected pair none is valid any more, unless it is
        // nominated too (§8.1.1), or stands by.
        let concluded = self.component_of(valid).is_some_and(|c| c.is_concluded());
        let keeps = !concluded || self.stand_by(valid, now);
        let list = self.list_of(valid);
        let is_new = keeps && !list.valid.contains(&valid);
        let beside = concluded && is_new;
        if is_new {
            list.valid.push(valid);
        }
        self.thaw_group(self.pair(checked).group);
        self.notices.push_back(Notice::Succeeded(checked));
        if let Some(component) = self.component_of(valid) {
            component.first_valid.get_or_insert(now);
        }
        if is_new {
            self.choose_send_path(valid, now);
        }
        if beside && let Some(component) = self.component_of(valid) {
            component.ask_at(now);
        }
    }

    /// Takes a pair off the triggered queue: it has succeeded meanwhile.
    fn unqueue(&mut self, id: PairId) {
        if self.pair(id).flags.queued && !self.pair(id).flags.nominating {
            self.pair_mut(id).flags.queued = false;
            self.list_of(id).triggered.retain(|p| *p != id);
        }
    }

    /// All Frozen pairs of the foundation, in all lists, become Waiting.
    pub(super) fn thaw_group(&mut self, group: u16) {
        if self.groups.group(group).frozen == 0 {
            return;
        }
        let frozen: Vec<PairId> = self
            .lists
            .iter()
            .flat_map(|l| &l.unstarted)
            .map(|(_, id)| *id)
            .filter(|id| self.pair(*id).group == group && self.pair(*id).state == PairState::Frozen)
            .collect();
        for id in frozen {
            self.set_state(id, PairState::Waiting);
        }
    }

    /// An authenticated check passed on the pair.
    pub(super) fn open(&mut self, pair: PairId) {
        let opened = &mut self.pair_mut(pair).flags.opened;
        if !std::mem::replace(opened, true) {
            self.notices.push_back(Notice::Opened(pair));
        }
    }

    /// The priority of a valid pair (§7.2.5.3.2).
    pub(super) fn valid_priority(&self, id: PairId) -> u64 {
        let pair = self.pair(id);
        let list = &self.lists[usize::from(pair.stream)];
        let local = list.local(pair.valid.unwrap_or(pair.local));
        priority_in(self.role, local.local.priority, list.remote(pair.remote).remote.priority)
    }

    /// A new pair is valid: data goes over the best one until one is selected.
    pub(super) fn choose_send_path(&mut self, changed: PairId, now: Time) {
        let (stream, component) = (self.pair(changed).stream, self.pair(changed).component);
        let list = &self.lists[usize::from(stream)];
        let Some(state) = list.components.iter().find(|c| c.id == component) else { return };
        let best = state.selected.or_else(|| {
            list.valid
                .iter()
                .copied()
                .filter(|id| self.pair(*id).component == component && self.has_consent(*id, now))
                .max_by_key(|id| (self.valid_priority(*id), std::cmp::Reverse(*id)))
        });
        // Where consent was lost, only a restart brings data back.
        if state.send == best || state.lost {
            return;
        }
        if let Some(state) = self.lists[usize::from(stream)].component(component) {
            state.send = best;
        }
        self.watch_consent(stream, component, best, now);
        self.notices.push_back(Notice::SendPath { stream, component, pair: best });
    }

    /// A valid pair is so no more; data goes over the next best.
    pub(super) fn invalidate(&mut self, pair: PairId, now: Time) {
        self.list_of(pair).valid.retain(|p| *p != pair);
        let Some(component) = self.component_of(pair) else { return };
        for place in [&mut component.nominee, &mut component.selected] {
            if *place == Some(pair) {
                *place = None;
            }
        }
        component.standby.retain(|consent| consent.pair() != pair);
        self.choose_send_path(pair, now);
    }

    /// The list is concluded when every component has its selected pair
    /// (§8.1.2), and has failed when one can get none (§8.1.2, RFC 8863 §4)
    /// and no more candidates of ours will come (RFC 8838 §8).
    pub(super) fn conclude(&mut self, now: Time) {
        if self.patience.is_some_and(|t| t <= now) {
            self.patience = None;
        }
        for stream in 0..self.lists.len() {
            let list = &self.lists[stream];
            if !list.started || list.state != ListState::Running {
                continue;
            }
            let stream_id = u16::try_from(stream).unwrap_or(u16::MAX);
            if list.components.iter().all(|c| c.selected.is_some()) {
                self.set_list_state(stream_id, ListState::Completed);
            } else if list.decision().is_some_and(|t| t <= now)
                || self.patience.is_none()
                    && list.local_done
                    && !list.remote_held
                    && self.is_hopeless(stream)
            {
                self.set_list_state(stream_id, ListState::Failed);
            }
        }
    }

    /// The stream is given up: nothing of it is sent any more.
    pub fn give_up(&mut self, stream: u16) {
        if self.list_state(stream).is_some_and(|state| state != ListState::Failed) {
            self.set_list_state(stream, ListState::Failed);
        }
    }

    fn set_list_state(&mut self, stream: u16, state: ListState) {
        self.lists[usize::from(stream)].state = state;
        self.notices.push_back(Notice::List { stream, state });
        if state == ListState::Failed {
            self.stop_list(stream);
        }
    }

    /// A list has failed: its pairs must not keep those of other lists
    /// Frozen, and its other components must not send data (§12.1).
    fn stop_list(&mut self, stream: u16) {
        for pair in self.lists[usize::from(stream)].pairs.clone() {
            self.flights.remove_pair(pair);
            let flags = &mut self.pair_mut(pair).flags;
            (flags.nominating, flags.wanted) = (false, false);
            if self.pair(pair).is_pending() {
                self.remove(pair, FailReason::ListFailed);
            }
        }
        let list = &mut self.lists[usize::from(stream)];
        list.triggered.clear();
        list.valid.clear();
        for component in &mut list.components {
            component.stop();
            if component.send.take().is_some() {
                let component = component.id;
                self.notices.push_back(Notice::SendPath { stream, component, pair: None });
            }
        }
    }

    fn is_hopeless(&self, stream: usize) -> bool {
        let list = &self.lists[stream];
        // RFC 8863 §5 lets the patience timer stand for a missing
        // end-of-candidates; it has ended when this is asked.
        list.components.iter().any(|c| {
            c.send.is_none()
                && list
                    .pairs
                    .iter()
                    .map(|p| self.pair(*p))
                    .all(|p| p.component != c.id || !(p.is_pending() || p.flags.queued))
        })
    }

    /// Something new is known of the stream: it is given until `until` to get
    /// a valid pair, unless nothing is pending sooner. Without this bound two
    /// sides whose NATs map by port and let everybody in show each other new
    /// addresses for ever.
    pub fn decide_by(&mut self, stream: u16, until: Time) {
        if let Some(list) = self.lists.get_mut(usize::from(stream)) {
            list.decide_by = list.decide_by.max(Some(until));
        }
    }

    /// Starts the patience timer of RFC 8863, or gives it more time for a
    /// session that begins later.
    pub fn start_patience(&mut self, until: Time) {
        self.patience = self.patience.max(Some(until));
    }
}

/// The foundation of peer-reflexive candidates of the base with this one: the
/// type differs, and so does the foundation (§5.1.1.3).
fn reflexive_foundation(of_base: Foundation) -> Foundation {
    Foundation::new(&format!("p{of_base}")).unwrap_or(of_base)
}

/// A valid pair (§7.2.5.3.2).
struct Valid {
    pair: PairId,
    local: LocalId,
}
