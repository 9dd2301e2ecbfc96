//! When the controlling agent nominates, and what (RFC 8445 §8.1.1).

use std::any::Any;
use std::fmt;
use std::time::Duration;

use crate::candidate::Kind;
use crate::check::renominate::better_standby;
use crate::check::{Checks, FailReason, ListState, Notice, Pair, PairId, PairState, Path, Role};
use crate::net::NotConnected;
use crate::timer::Time;

/// What a policy sees of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PairView {
    /// Its priority on the check list.
    pub priority: u64,
    /// What its path is like.
    pub path: Path,
    /// Its state: Frozen, Waiting or In-Progress; the valid pair Succeeded.
    pub state: PairState,
    /// The last round-trip time, if a check was answered.
    pub rtt: Option<Duration>,
    /// When its first check was sent.
    pub first_sent: Option<Time>,
    /// When a check was last answered.
    pub confirmed: Option<Time>,
    /// How often a check was sent.
    pub sent: u32,
    /// How many consent checks in a row went unanswered.
    pub missed: usize,
}

impl PairView {
    fn of(pair: &Pair, path: Path) -> Self {
        let Pair { priority, state, rtt, first_sent, confirmed, sent, .. } = *pair;
        PairView { priority, path, state, rtt, first_sent, confirmed, sent, missed: 0 }
    }
}

/// What a policy says of a valid pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nominate it.
    Nominate,
    /// Not now. The policy is asked again when something changes, and at the
    /// given time.
    Wait(Option<Time>),
}

/// Decides when the best valid pair of a component is nominated.
pub trait NominationPolicy: Any + fmt::Debug + Send + Sync {
    /// `valid` is the component's best valid pair, `since` when its first
    /// pair became valid; `open` are the pairs of the component that may
    /// still succeed.
    fn decide(
        &self,
        now: Time,
        since: Time,
        valid: &PairView,
        open: &mut dyn Iterator<Item = PairView>,
    ) -> Decision;

    /// Which of the pairs that stand by is nominated instead of `selected`,
    /// which was selected at `since`; asked where both sides know renomination.
    /// Unless a policy says otherwise: a pair that leaves two consent checks
    /// unanswered, or one that is older than the other, gives way to one that
    /// does not, a relayed one to a direct one, and after 10 s one to another whose round trip is shorter by 20 ms
    /// and by a quarter.
    fn renominate(
        &self,
        now: Time,
        since: Time,
        selected: &PairView,
        standby: &[PairView],
    ) -> Option<usize> {
        better_standby(now, since, selected, standby)
    }
}

/// Nominate as soon as nothing better is likely to come: a direct datagram
/// pair once every higher pair has waited one round trip of this one; a
/// stream once all direct pairs of datagrams were sent twice and those of
/// streams, which open first, have waited two round trips, or a second has
/// passed; an indirect one likewise, after two seconds.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Fast {
    /// How long better pairs than a valid stream are waited for.
    pub stream_patience: Duration,
    /// How long better pairs than a valid indirect pair are waited for.
    pub indirect_patience: Duration,
}

impl Default for Fast {
    fn default() -> Self {
        Fast { stream_patience: Duration::from_secs(1), indirect_patience: Duration::from_secs(2) }
    }
}

impl NominationPolicy for Fast {
    fn decide(
        &self,
        now: Time,
        since: Time,
        valid: &PairView,
        open: &mut dyn Iterator<Item = PairView>,
    ) -> Decision {
        let better = open.filter(|p| p.priority > valid.priority);
        if !valid.path.reliable && !valid.path.indirect {
            return after_one_round_trip(now, valid.rtt.unwrap_or_default(), better);
        }
        let patience =
            if valid.path.indirect { self.indirect_patience } else { self.stream_patience };
        let end = since + patience;
        if now >= end {
            return Decision::Nominate;
        }
        let direct = better.filter(|pair| !pair.path.indirect);
        let (streams, mut datagrams): (Vec<_>, Vec<_>) =
            direct.partition(|pair| pair.path.reliable);
        datagrams.retain(|pair| pair.sent < 2);
        if !datagrams.is_empty() {
            return Decision::Wait(Some(end));
        }
        // They are sent once, and opened before.
        let rtt = valid.rtt.unwrap_or_default() * 2;
        match after_one_round_trip(now, rtt, streams.into_iter()) {
            Decision::Wait(until) => Decision::Wait(Some(until.map_or(end, |at| at.min(end)))),
            Decision::Nominate => Decision::Nominate,
        }
    }
}

fn after_one_round_trip(
    now: Time,
    rtt: Duration,
    better: impl Iterator<Item = PairView>,
) -> Decision {
    let mut wait = None;
    for pair in better {
        // What was not sent yet will be; the policy is asked again then.
        let Some(first_sent) = pair.first_sent else { return Decision::Wait(None) };
        let until = first_sent + rtt;
        if until > now {
            wait = wait.max(Some(until));
        }
    }
    match wait {
        Some(until) => Decision::Wait(Some(until)),
        None => Decision::Nominate,
    }
}

/// Nominate the best pair that there is: wait until no higher pair can still
/// succeed, but at most `patience` from the first valid pair.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Best {
    /// The longest wait.
    pub patience: Duration,
}

impl Default for Best {
    fn default() -> Self {
        Best { patience: Duration::from_secs(3) }
    }
}

impl NominationPolicy for Best {
    fn decide(
        &self,
        now: Time,
        since: Time,
        valid: &PairView,
        open: &mut dyn Iterator<Item = PairView>,
    ) -> Decision {
        let until = since + self.patience;
        if now >= until || open.filter(|p| p.priority > valid.priority).count() == 0 {
            Decision::Nominate
        } else {
            Decision::Wait(Some(until))
        }
    }
}

/// Nominate nothing: the application does it, with [`Checks::nominate`]. Data
/// may go over the best valid pair meanwhile.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByHand;

impl NominationPolicy for ByHand {
    fn decide(
        &self,
        _now: Time,
        _since: Time,
        _valid: &PairView,
        _open: &mut dyn Iterator<Item = PairView>,
    ) -> Decision {
        Decision::Wait(None)
    }

    fn renominate(
        &self,
        _now: Time,
        _since: Time,
        _selected: &PairView,
        _standby: &[PairView],
    ) -> Option<usize> {
        None
    }
}

impl Checks {
    /// Asks the policy about every component that has a valid pair and none
    /// selected.
    pub(super) fn consider_nominations(&mut self, now: Time) {
        for component in self.lists.iter_mut().flat_map(|l| &mut l.components) {
            component.reconsider = None;
        }
        if self.role != Role::Controlling || self.lite {
            return;
        }
        for stream in 0..self.lists.len() {
            let list = &self.lists[stream];
            if !list.started || list.state != ListState::Running || list.valid.is_empty() {
                continue;
            }
            for at in 0..self.lists[stream].components.len() {
                let component = &self.lists[stream].components[at];
                if component.selected.is_some() || component.nominee.is_some() {
                    continue;
                }
                let (Some(best), Some(since)) = (component.send, component.first_valid) else {
                    continue;
                };
                let decision = self.ask_policy(best, since, now);
                let component = &mut self.lists[stream].components[at];
                match decision {
                    Decision::Nominate => self.begin_nomination(best),
                    Decision::Wait(until) => component.reconsider = until.filter(|t| *t > now),
                }
            }
        }
    }

    pub(super) fn view(&self, id: PairId) -> PairView {
        let pair = self.pair(id);
        let path = self.local(pair.stream, pair.local).path;
        PairView::of(pair, Path { indirect: self.is_indirect(id), ..path })
    }

    /// Whether a pair leads through a third party, at our end or at the peer's.
    pub(super) fn is_indirect(&self, id: PairId) -> bool {
        let pair = self.pair(id);
        let remote = self.remote(pair.stream, pair.remote);
        self.local(pair.stream, pair.local).path.indirect || remote.kind == Kind::Relayed
    }

    fn ask_policy(&self, best: PairId, since: Time, now: Time) -> Decision {
        let pair = self.pair(best);
        let list = &self.lists[usize::from(pair.stream)];
        let is_open = |id: &PairId| {
            let other = self.pair(*id);
            other.component == pair.component && other.is_pending()
        };
        let mut open = list.pairs.iter().copied().filter(is_open).map(|id| self.view(id));
        self.policy.decide(now, since, &self.view(best), &mut open)
    }

    /// The pair is nominated: it is selected, and the checks of its component
    /// end (§8.1.1, §8.1.2, §7.3.1.5).
    pub(super) fn nominated(&mut self, pair: PairId, now: Time) {
        let component_id = self.pair(pair).component;
        let p = self.pair_mut(pair);
        p.nominated = true;
        p.flags.nominating = false;
        p.flags.wanted = false;
        self.unlist_triggered(pair);
        if self.pair(pair).state != PairState::Succeeded {
            // A valid pair that is being checked once more.
            self.set_state(pair, PairState::Succeeded);
            self.flights.settle(pair);
        }
        let Some(component) = self.component_of(pair) else { return };
        component.nominee = None;
        component.reconsider = None;
        if component.lost {
            return;
        }
        let before = component.selected.replace(pair);
        if before == Some(pair) {
            return;
        }
        let ended = before.filter(|before| self.is_reopened(*before, pair));
        let Some(component) = self.component_of(pair) else { return };
        component.selected_at = Some(now);
        component.standby.retain(|consent| consent.pair() != pair);
        self.keep_former(pair);
        let list = &self.lists[usize::from(self.pair(pair).stream)];
        let is_other = |id: &PairId| *id != pair && self.pair(*id).component == component_id;
        let mut others: Vec<PairId> = list.pairs.iter().copied().filter(is_other).collect();
        others.sort_by_key(|id| std::cmp::Reverse(self.pair(*id).priority));
        let (continual, renomination) = (list.continual, list.renomination);
        let seeks = renomination && self.is_indirect(pair);
        for id in others {
            let goes_on = continual || seeks && !self.is_indirect(id);
            if !goes_on {
                self.flights.remove_pair(id);
            }
            if self.pair(id).state == PairState::Succeeded {
                // It stays readable, and the peer may be heard on it, but no
                // data goes over it any more (§12.1) unless it stands by.
                self.pair_mut(id).flags.nominating = false;
                let is_valid = self.list_of(id).valid.contains(&id);
                if !(is_valid && self.stand_by(id, now)) {
                    self.supersede(id);
                }
            } else if self.pair(id).state != PairState::Failed && !goes_on {
                self.remove(id, FailReason::Superseded(pair));
            }
        }
        self.pair_mut(pair).reason = None;
        let selected = self.list_of(pair).components.iter().filter_map(|c| c.selected);
        let indirect: Vec<PairId> = selected.collect();
        let seeking = renomination && indirect.into_iter().any(|id| self.is_indirect(id));
        let list = self.list_of(pair);
        list.seeking = seeking;
        if !list.valid.contains(&pair) {
            list.valid.push(pair);
        }
        self.choose_send_path(pair, now);
        self.notices.push_back(Notice::Selected(pair));
        if let Some(ended) = ended {
            self.lose(ended, FailReason::NotConnected(NotConnected::Ended), now);
        }
    }

    pub(super) fn unlist_triggered(&mut self, id: PairId) {
        self.pair_mut(id).flags.queued = false;
        self.list_of(id).triggered.retain(|p| *p != id);
    }
}
