//! Renomination (draft-thatcher-ice-renomination): where both sides know it,
//! the controlling side may nominate another pair at any time, the newest
//! nomination counts, and valid pairs beside the selected one stand by.

use std::cmp::Reverse;
use std::time::Duration;

use thiserror::Error;

use crate::check::consent::Consent;
use crate::check::{Checks, FailReason, ListState, PairId, PairState, PairView, Role};
use crate::timer::Time;

/// Pairs of a component that stand by, with consent of their own. Each costs a
/// check every 5 seconds.
const MAX_STANDBY: usize = 2;

/// Pairs are not changed for a shorter round trip more often than this.
const SETTLE: Duration = Duration::from_secs(10);
/// A round trip is shorter if it is so by this much, and by a quarter.
const MIN_GAIN: Duration = Duration::from_millis(20);
/// Consent checks in a row that are not answered before another pair that
/// answers takes over.
const MISSED: usize = 2;

/// Why a pair cannot be nominated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NotNominated {
    /// Only the controlling agent nominates.
    #[error("only the controlling agent nominates (RFC 8445 §8.1.1)")]
    NotControlling,
    /// The pair is not valid, or not any more.
    #[error("the pair is not valid (RFC 8445 §8.1.1)")]
    NotValid,
    /// A pair of the component is selected, and the peer knows no
    /// renomination.
    #[error("a pair is selected, and the peer does not list the option renomination")]
    NotNegotiated,
}

/// What policies do with a selected pair unless they say otherwise: one that
/// leaves consent checks unanswered gives way to one that does not, a relayed
/// one to a direct one, and a slow one, after a while, to a faster one.
pub(super) fn better_standby(
    now: Time,
    since: Time,
    selected: &PairView,
    standby: &[PairView],
) -> Option<usize> {
    let answering = (0..).zip(standby).filter(|(_, pair)| pair.missed == 0);
    let rtt = |pair: &PairView| pair.rtt.unwrap_or(Duration::MAX);
    let cost = |pair: &PairView| (pair.path.indirect, pair.path.reliable, rtt(pair));
    let (at, best) = answering.min_by_key(|(_, pair)| (cost(pair), Reverse(pair.priority)))?;
    // The peer may have moved to where a new pair leads.
    let younger = best.first_sent > selected.confirmed;
    let fails = selected.missed >= MISSED || selected.missed > 0 && younger;
    let direct = selected.path.indirect && !best.path.indirect;
    let faster = selected.path == best.path
        && now >= since + SETTLE
        && rtt(selected) >= rtt(best).saturating_add(MIN_GAIN)
        && rtt(selected) / 4 * 3 >= rtt(best);
    (fails || direct || faster).then_some(at)
}

impl Checks {
    /// Both sides of a stream know renomination.
    pub fn allow_renomination(&mut self, stream: u16) {
        if let Some(list) = self.lists.get_mut(usize::from(stream)) {
            list.renomination = true;
        }
    }

    /// Both sides of a stream take candidates for as long as it lasts.
    pub fn allow_trickle(&mut self, stream: u16) {
        if let Some(list) = self.lists.get_mut(usize::from(stream)) {
            list.continual = true;
        }
    }

    /// Whether they do.
    pub fn is_continual(&self, stream: u16) -> bool {
        self.lists.get(usize::from(stream)).is_some_and(|list| list.continual)
    }

    /// Nominates a valid pair, by the application's choice.
    ///
    /// # Errors
    /// [`NotNominated`].
    pub fn nominate(&mut self, pair: PairId) -> Result<(), NotNominated> {
        if self.role != Role::Controlling || self.lite {
            return Err(NotNominated::NotControlling);
        }
        let entry = self.pairs.get(pair.0 as usize).filter(|p| p.state == PairState::Succeeded);
        let list = entry.and_then(|p| self.lists.get(usize::from(p.stream)));
        let list = list.filter(|list| list.started && list.valid.contains(&pair));
        let renomination = list.ok_or(NotNominated::NotValid)?.renomination;
        let component = self.component_of(pair).ok_or(NotNominated::NotValid)?;
        let is_decided = component.selected.is_some() || component.nominee.is_some();
        if is_decided && !renomination {
            return Err(NotNominated::NotNegotiated);
        }
        if component.selected != Some(pair) {
            self.begin_nomination(pair);
        }
        Ok(())
    }

    /// The next check of the pair nominates it.
    pub(super) fn begin_nomination(&mut self, pair: PairId) {
        if let Some(component) = self.component_of(pair) {
            component.nominee = Some(pair);
        }
        self.pair_mut(pair).flags.nominating = true;
        self.trigger(pair);
    }

    /// Whether a nomination of the peer is newer than those before. One with a
    /// number is newer than those without (draft §4).
    pub(super) fn is_newest(&mut self, pair: PairId, nomination: Option<u32>) -> bool {
        let last = self.component_of(pair).and_then(|component| component.nomination);
        match (nomination, last) {
            (Some(number), Some(last)) => number > last,
            (None, Some(_)) => false,
            (_, None) => true,
        }
    }

    /// A nomination of the peer counts: those before it that still wait for a
    /// check of ours are forgotten.
    pub(super) fn note_nomination(&mut self, pair: PairId, nomination: Option<u32>) {
        let Some(component) = self.component_of(pair) else { return };
        let id = component.id;
        component.nomination = component.nomination.max(nomination);
        for at in 0..self.list_of(pair).pairs.len() {
            let other = self.list_of(pair).pairs[at];
            if other != pair && self.pair(other).component == id {
                self.pair_mut(other).flags.wanted = false;
            }
        }
    }

    /// A valid pair that is not selected is kept, with consent, if there is
    /// room, a direct one in the place of one that is not; else it is of no use
    /// any more. Returns whether it was kept.
    pub(super) fn stand_by(&mut self, pair: PairId, now: Time) -> bool {
        let renomination = self.list_of(pair).renomination;
        let confirmed = self.pair(pair).confirmed.filter(|_| self.has_consent(pair, now));
        let Some(component) = self.component_of(pair) else { return false };
        let has_consent = component.consent.iter().any(|consent| consent.pair() == pair);
        if has_consent || component.standby.iter().any(|consent| consent.pair() == pair) {
            return true;
        }
        if component.standby.len() == MAX_STANDBY && renomination && confirmed.is_some() {
            self.make_way_for(pair);
        }
        let Some(component) = self.component_of(pair) else { return false };
        match confirmed {
            Some(confirmed) if renomination && component.standby.len() < MAX_STANDBY => {
                component.standby.push(Consent::given(pair, confirmed));
                true
            }
            _ => false,
        }
    }

    /// A pair that stands by and is indirect gives way to one that is not.
    fn make_way_for(&mut self, pair: PairId) {
        if self.is_indirect(pair) {
            return;
        }
        let standby = self
            .component_of(pair)
            .map(|component| component.standby.iter().map(Consent::pair).collect::<Vec<_>>());
        let indirect = standby.into_iter().flatten().filter(|id| self.is_indirect(*id));
        if let Some(least) = indirect.min_by_key(|id| self.pair(*id).priority) {
            self.supersede(least);
        }
    }

    /// What carried data before `pair` was selected stands by with the consent
    /// that it has, in the place of another if need be.
    pub(super) fn keep_former(&mut self, pair: PairId) {
        let renomination = self.list_of(pair).renomination;
        let Some(component) = self.component_of(pair).filter(|_| renomination) else { return };
        let Some(former) = component.consent.take_if(|consent| consent.pair() != pair) else {
            return;
        };
        let room = component.standby.len() < MAX_STANDBY;
        let other = component.standby.first().filter(|_| !room).map(Consent::pair);
        component.standby.push(*former);
        if let Some(other) = other {
            self.supersede(other);
        }
    }

    /// A valid pair beside the selected one serves no more.
    pub(super) fn supersede(&mut self, pair: PairId) {
        let selected = self.component_of(pair).and_then(|c| c.selected);
        let reason = selected.map_or(FailReason::ConsentExpired, FailReason::Superseded);
        self.pair_mut(pair).reason = Some(reason);
        self.list_of(pair).valid.retain(|p| *p != pair);
        self.unlist_triggered(pair);
        if let Some(component) = self.component_of(pair) {
            component.standby.retain(|consent| consent.pair() != pair);
        }
    }

    /// Asks the policy about components whose pair is selected, and nominates
    /// for those that lost it.
    pub(super) fn consider_renominations(&mut self, now: Time) {
        for stream in 0..self.lists.len() {
            let list = &self.lists[stream];
            if !list.started || !list.renomination || list.state == ListState::Failed {
                continue;
            }
            for at in 0..self.lists[stream].components.len() {
                let component = &self.lists[stream].components[at];
                if component.nominee.is_some() {
                    continue;
                }
                let next = match (component.selected, component.send) {
                    (Some(selected), _) => self.better_than(stream, at, selected, now),
                    (None, send) if list_is_over(&self.lists[stream]) => send,
                    _ => None,
                };
                if let Some(pair) = next {
                    self.begin_nomination(pair);
                }
            }
        }
    }

    fn better_than(&self, stream: usize, at: usize, selected: PairId, now: Time) -> Option<PairId> {
        let component = &self.lists[stream].components[at];
        if component.standby.is_empty() {
            return None;
        }
        let view = |id: PairId, missed| PairView { missed, ..self.view(id) };
        let standby: Vec<PairView> =
            component.standby.iter().map(|c| view(c.pair(), c.missed())).collect();
        let since = component.selected_at.unwrap_or(now);
        let selected = view(selected, component.missed());
        let choice = self.policy.renominate(now, since, &selected, &standby)?;
        component.standby.get(choice).map(|consent| consent.pair())
    }
}

/// The list has been decided once: ordinary nomination is over.
fn list_is_over(list: &crate::check::list::List) -> bool {
    list.state == ListState::Completed
}
