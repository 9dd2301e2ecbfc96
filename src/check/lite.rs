//! Lite agents (RFC 8445 §7.3.2, §8.2): they answer checks and send none. A
//! pair is valid because a full peer nominates it, or, between two lite
//! agents, because nothing better is known.

use crate::check::{Checks, LocalId, PairId, PairState, RemoteId, Role};
use crate::timer::Time;

impl Checks {
    /// This agent is lite: it sends no checks and asks for no consent.
    pub fn set_lite(&mut self) {
        self.lite = true;
    }

    /// The peer of a stream is lite too: no checks pass at all.
    pub fn set_both_lite(&mut self, stream: u16) {
        if let Some(list) = self.lists.get_mut(usize::from(stream)) {
            list.both_lite = true;
        }
    }

    /// A check of a full peer arrived on a lite agent.
    pub(super) fn lite_checked(&mut self, pair: PairId, use_candidate: bool, now: Time) {
        // The peer was there a moment ago. A lite agent knows no more
        // (RFC 7675 §4), and sends no data once it is silent.
        self.pair_mut(pair).confirmed = Some(now);
        self.renew_consent(pair, now);
        let selected = self.component_of(pair).and_then(|c| c.selected);
        let is_higher =
            |other| other != pair && self.pair(pair).priority > self.pair(other).priority;
        let moves = selected.is_none_or(is_higher);
        let reopened = selected.is_some_and(|selected| self.is_reopened(selected, pair));
        if use_candidate && self.role == Role::Controlled && moves || reopened {
            self.select_unchecked(pair, now);
        }
    }

    fn select_unchecked(&mut self, pair: PairId, now: Time) {
        if self.pair(pair).state == PairState::Removed {
            self.relist(pair);
        }
        let local = self.pair(pair).local;
        self.set_state(pair, PairState::Succeeded);
        self.pair_mut(pair).valid = Some(local);
        self.open(pair);
        self.nominated(pair, now);
    }

    /// Between two lite agents (§8.2): once both sides' candidates are known,
    /// the highest pair of each component is selected.
    pub(super) fn select_between_lite(&mut self, now: Time) {
        for stream in 0..self.lists.len() {
            let list = &self.lists[stream];
            let complete = list.started && list.local_done && list.remote_done;
            if !(list.both_lite && complete) {
                continue;
            }
            let stream = u16::try_from(stream).unwrap_or(u16::MAX);
            for at in 0..self.lists[usize::from(stream)].components.len() {
                if self.lists[usize::from(stream)].components[at].selected.is_none()
                    && let Some(pair) = self.highest_unchecked(stream, at)
                {
                    self.select_unchecked(pair, now);
                }
            }
        }
    }

    /// Forms the pair of a component that has the highest priority.
    fn highest_unchecked(&mut self, stream: u16, at: usize) -> Option<PairId> {
        let list = &self.lists[usize::from(stream)];
        let component = list.components[at].id;
        let locals = (0..list.locals.len()).map(|i| LocalId(i as u16));
        let ours = locals.filter(|id| list.local(*id).local.component == component);
        let pairs = ours.flat_map(|local| {
            let remotes = (0..list.remotes.len()).map(|i| RemoteId(i as u16));
            remotes.map(move |remote| (local, remote))
        });
        let formable = pairs.filter(|(local, remote)| self.may_pair(stream, *local, *remote));
        let priority = |(local, remote): &(LocalId, RemoteId)| {
            let (ours, theirs) = (&list.local(*local).local, &list.remote(*remote).remote);
            crate::check::pair::priority_in(self.role, ours.priority, theirs.priority)
        };
        let best = formable.max_by_key(|pair| (priority(pair), std::cmp::Reverse(*pair)))?;
        let priority = priority(&best);
        if self.listed >= self.limits.pairs {
            return None;
        }
        Some(self.insert_pair(stream, best.0, best.1, priority, false))
    }
}
