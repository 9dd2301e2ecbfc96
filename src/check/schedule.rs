//! What is sent when (RFC 8445 §6.1.4.2, §14): at most one new check a Ta
//! over all lists, at most one retransmission a Ta beside it.

use crate::check::flight::{Flight, MIN_RTO, rto};
use crate::check::list::List;
use crate::check::{
    Checks, FailReason, ListState, Notice, PairId, PairState, Path, Role, StartKind,
};
use crate::rng::Rng;
use crate::stun::{Retransmission, TransactionId};
use crate::timer::{Pacer, Reason, Time};

/// NOMINATION has 24 bits (draft-thatcher-ice-renomination §4).
const MAX_NOMINATION: u32 = (1 << 24) - 1;

impl Checks {
    /// Does everything that is due at `now`. Afterwards
    /// [`Checks::poll_timeout`] is later than `now`.
    pub fn advance(&mut self, now: Time, pacer: &Pacer, rng: &mut Rng) {
        self.expire_flights(now);
        self.advance_consent(now, rng);
        self.consider_nominations(now);
        self.consider_renominations(now);
        self.select_between_lite(now);
        self.conclude(now);
        self.start_next(now, pacer, rng);
        self.release();
    }

    /// Gives memory back once nothing is checked any more.
    fn release(&mut self) {
        let runs = |l: &List| l.state == ListState::Running && !l.retired;
        if self.lists.iter().any(runs) || !self.flights.is_empty() {
            return;
        }
        self.flights.clear();
        // A consent check needs one of each, every few seconds.
        self.starts.shrink_to(1);
        self.notices.shrink_to(1);
        for list in &mut self.lists {
            list.unstarted.shrink_to_fit();
            list.triggered.shrink_to_fit();
        }
    }

    /// When [`Checks::advance`] is to be called next, and what for.
    pub fn poll_timeout(&self) -> Option<(Time, Reason)> {
        let again =
            self.flights.next_deadline().map(|t| (t.max(self.next_again), Reason::Retransmit));
        let components = || self.lists.iter().flat_map(|l| &l.components);
        let decision = self.lists.iter().filter_map(|l| l.decision()).min();
        let reconsider = components().filter_map(|c| c.reconsider).min();
        let consent = self.consents().map(|c| c.deadline()).min();
        [
            self.slot.map(|t| (t, Reason::Check)),
            again,
            reconsider.map(|t| (t, Reason::Nominate)),
            consent.map(|t| (t, Reason::Consent)),
            self.patience.map(|t| (t, Reason::Patience)),
            decision.map(|t| (t, Reason::Patience)),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Starts the next check if its slot has come, and asks for the next slot.
    fn start_next(&mut self, now: Time, pacer: &Pacer, rng: &mut Rng) {
        // Two rounds: the first may use a slot, the second asks for the next.
        for _ in 0..2 {
            if !self.has_work() {
                // A slot that was reserved passes unused.
                (self.slot, self.reserved) = (None, false);
                return;
            }
            if let Some(at) = self.gives_way(now) {
                (self.slot, self.reserved) = (Some(at), false);
                return;
            }
            if self.next_start > now {
                // Ta comes first: a slot reserved for later would hold up
                // the other agents of the process until then.
                self.slot = Some(self.next_start);
                self.reserved = false;
                return;
            }
            if !self.reserved {
                let slot = pacer.reserve(now);
                self.slot = Some(slot);
                self.reserved = true;
                // While others have their turn it cannot get a valid pair.
                for list in &mut self.lists {
                    list.decide_by = list.decide_by.map(|at| at + (slot - now));
                }
            }
            if self.slot.is_some_and(|slot| slot > now) {
                return;
            }
            self.slot = None;
            self.reserved = false;
            if let Some((pair, kind)) = self.next_pair() {
                self.next_start = now + self.ta;
                self.send_check(pair, kind, now, rng);
                self.consider_nominations(now);
            }
        }
    }

    /// Whether any list has a pair to check; thaws Frozen pairs where none
    /// else is left (§6.1.4.2 step 2).
    fn has_work(&mut self) -> bool {
        if self.lite {
            return false;
        }
        let running = self.lists.iter().filter(|l| l.is_checked());
        let triggered = self.lists.iter().any(|l| l.started && !l.triggered.is_empty());
        if triggered || (self.waiting > 0 && running.clone().any(|l| !l.unstarted.is_empty())) {
            return true;
        }
        if !self.thaw || running.clone().all(|l| l.unstarted.is_empty()) {
            return false;
        }
        self.thaw = false;
        (0..self.lists.len()).any(|i| self.thaw_list(i))
    }

    /// Sets to Waiting the topmost Frozen pair of each foundation of which no
    /// pair is Waiting or In-Progress.
    fn thaw_list(&mut self, stream: usize) -> bool {
        let list = &self.lists[stream];
        if !list.is_checked() {
            return false;
        }
        let frozen: Vec<PairId> = list.unstarted.iter().rev().map(|(_, id)| *id).collect();
        let mut thawed = false;
        for id in frozen {
            let group = self.pair(id).group;
            if self.pair(id).state == PairState::Frozen && self.groups.group(group).is_idle() {
                self.groups.group(group).leader = Some(id);
                self.set_state(id, PairState::Waiting);
                thawed = true;
            }
        }
        thawed
    }

    /// The pair that is next: lists by rotation, in each the triggered ones
    /// first, then the highest Waiting one.
    fn next_pair(&mut self) -> Option<(PairId, StartKind)> {
        for _ in 0..self.lists.len() {
            let at = self.next_list % self.lists.len();
            self.next_list = (at + 1) % self.lists.len();
            if let Some(found) = self.next_of_list(at) {
                return Some(found);
            }
        }
        None
    }

    fn next_of_list(&mut self, at: usize) -> Option<(PairId, StartKind)> {
        if !self.lists[at].started {
            return None;
        }
        if let Some(id) = self.lists[at].triggered.pop_front() {
            self.pair_mut(id).flags.queued = false;
            let nominating = self.pair(id).flags.nominating && self.role == Role::Controlling;
            return Some((
                id,
                if nominating { StartKind::Nomination } else { StartKind::Triggered },
            ));
        }
        let list = &self.lists[at];
        if !list.is_checked() {
            return None;
        }
        let is_waiting = |entry: &&(u64, PairId)| self.pair(entry.1).state == PairState::Waiting;
        let mut waiting = list.unstarted.iter().rev().filter(is_waiting).peekable();
        if let Some(&&(highest, _)) = waiting.peek() {
            let equal = waiting.take_while(|(priority, _)| *priority == highest).map(|(_, id)| *id);
            let first = equal.min_by_key(|id| (self.pair(*id).component, *id));
            return first.map(|id| (id, StartKind::Ordinary));
        }
        // This list has none Waiting, though another may.
        self.thaw_list(at).then(|| self.next_of_list(at))?
    }

    fn send_check(&mut self, pair: PairId, kind: StartKind, now: Time, rng: &mut Rng) {
        if kind != StartKind::Nomination || self.pair(pair).state != PairState::Succeeded {
            self.set_state(pair, PairState::InProgress);
        }
        let nomination =
            (kind == StartKind::Nomination && self.list_of(pair).renomination).then(|| {
                self.nominations = (self.nominations + 1) & MAX_NOMINATION;
                self.nominations
            });
        let reliable = self.path(pair).reliable;
        let rto = match reliable {
            // After this, nothing waits for it.
            true => MIN_RTO,
            false => rto(self.ta, self.waiting + self.in_progress, self.pair(pair).rtt),
        };
        let mut retransmission = Retransmission::new(rto);
        let deadline = retransmission.start(now);
        let flight = Flight {
            id: TransactionId(rng.bytes()),
            pair,
            kind,
            role: self.role,
            tie_breaker: self.tie_breaker,
            use_candidate: kind == StartKind::Nomination,
            nomination,
            first_sent: now,
            last_sent: now,
            deadline,
            retransmission,
            reliable,
            cancelled: false,
        };
        self.starts.push_back(flight.request(false));
        let entry = self.pair_mut(pair);
        entry.sent += 1;
        entry.tally.requests_sent += 1;
        entry.first_sent.get_or_insert(now);
        self.flights.push(flight);
    }

    /// What the path under a pair is like.
    pub(super) fn path(&self, pair: PairId) -> Path {
        let pair = self.pair(pair);
        self.local(pair.stream, pair.local).path
    }

    /// Retransmits what is due, one a Ta, and ends what has timed out.
    fn expire_flights(&mut self, now: Time) {
        // Each round ends one flight or moves its deadline past `now`.
        for _ in 0..=self.pairs.len() * 3 {
            let may_send = now >= self.next_again;
            let Some(flight) = self.flights.next().filter(|f| f.deadline <= now) else { return };
            if flight.cancelled {
                let id = flight.id;
                self.flights.take(&id);
                continue;
            }
            let end = flight.end();
            if flight.reliable && now < end {
                flight.deadline = end;
                let pair = flight.pair;
                self.leave_behind(pair);
                continue;
            }
            if !may_send && !flight.reliable {
                return;
            }
            match flight.retransmission.advance(now).filter(|_| now < end) {
                Some(deadline) => {
                    flight.deadline = deadline.min(end);
                    flight.last_sent = now;
                    let start = flight.request(true);
                    self.pair_mut(start.pair).sent += 1;
                    self.starts.push_back(start);
                    self.next_again = now + self.ta;
                    self.leave_behind(start.pair);
                }
                None => {
                    let (id, pair) = (flight.id, flight.pair);
                    self.flights.take(&id);
                    self.timed_out(pair, now);
                }
            }
        }
    }

    /// A check was not answered within its RTO: Frozen pairs of its foundation
    /// wait for it no longer. RFC 8445 §6.1.4.2 has them wait until it has
    /// failed, after 39.5 s; but where candidates are trickled each side may
    /// check another pair of the foundation first, and no filter between them
    /// opens before both check the same.
    fn leave_behind(&mut self, pair: PairId) {
        let group = self.pair(pair).group;
        if !std::mem::replace(&mut self.groups.group(group).overdue, true) {
            self.thaw_group(group);
        }
    }

    fn timed_out(&mut self, pair: PairId, now: Time) {
        let reason = match self.pair(pair).error {
            _ if self.pair(pair).unauthentic > 0 => FailReason::WrongIntegrity,
            Some(kind) => FailReason::Refused(kind),
            None => FailReason::NoAnswer,
        };
        self.fail(pair, reason, now);
    }

    /// A check of the pair failed.
    pub(super) fn fail(&mut self, pair: PairId, reason: FailReason, now: Time) {
        if self.pair(pair).state == PairState::Removed {
            return;
        }
        let was_nominating = std::mem::take(&mut self.pair_mut(pair).flags.nominating);
        // Of the selected pair only consent decides, also when a role switch
        // made us nominate it once more.
        let is_selected = self.component_of(pair).is_some_and(|c| c.selected == Some(pair));
        if self.pair(pair).state == PairState::Succeeded && (!was_nominating || is_selected) {
            if is_selected {
                self.unlist_triggered(pair);
            }
            return;
        }
        self.set_state(pair, PairState::Failed);
        self.pair_mut(pair).reason = Some(reason);
        self.notices.push_back(Notice::Lost(pair, reason));
        self.invalidate(pair, now);
    }
}
