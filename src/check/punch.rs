//! A check that leaves at a moment that was agreed on, from a fresh port to a
//! fresh port.

use std::net::SocketAddr;

use crate::candidate::{ComponentId, Foundation, Kind};
use crate::check::{Checks, FailReason, Local, LocalId, PairId, Refused, Remote};
use crate::net::NotConnected;
use crate::timer::{Pacer, Time};

/// Local candidates of a list; the rest of what is numbered is found by checks.
const MAX_LOCALS: usize = 1_024;

impl Checks {
    /// Checks the path from a base that serves nothing else to an address that
    /// nothing was sent to, before all else that waits. Neither is paired with
    /// anything else: what else left from there would come too early.
    ///
    /// # Errors
    /// [`Refused`] where the address is known already, or there is no room.
    pub fn punch(
        &mut self,
        stream: u16,
        local: Local,
        to: SocketAddr,
    ) -> Result<(LocalId, PairId), Refused> {
        let Local { component, priority, reflexive_priority, .. } = local;
        let class = local.path.class.mate();
        let list = self.lists.get(usize::from(stream)).ok_or(Refused::Component)?;
        let state = list.components.iter().find(|c| c.id == component);
        if !list.takes_candidates(state.ok_or(Refused::Component)?) {
            return Err(Refused::Concluded);
        }
        if list.remote_at(component, to, class).is_some() {
            return Err(Refused::Redundant);
        }
        if list.locals.len() >= MAX_LOCALS {
            return Err(Refused::TooManyPairs);
        }
        if self.listed >= self.limits.pairs {
            self.make_room()?;
        }
        let number = u32::try_from(self.lists[usize::from(stream)].remotes.len());
        let remote = Remote {
            component,
            address: to,
            kind: Kind::PeerReflexive,
            // Its checks will say what the peer gives it; an agent like ours
            // gives it this.
            priority: reflexive_priority,
            class,
            foundation: Foundation::from_number(number.unwrap_or(u32::MAX)),
            signalled: None,
        };
        let remote = self.add_found(stream, remote)?;
        let local = self.push_local(stream, local, false);
        let priority = crate::check::pair::priority_in(self.role, priority, reflexive_priority);
        let pair = self.insert_pair(stream, local, remote, priority, false);
        self.trigger(pair);
        let list = &mut self.lists[usize::from(stream)];
        list.triggered.retain(|id| *id != pair);
        list.triggered.push_front(pair);
        self.next_list = usize::from(stream);
        Ok((local, pair))
    }

    /// No other check begins so late that one at `at` would have to wait.
    pub fn keep_free(&mut self, at: Option<Time>) {
        self.kept_free = at;
    }

    /// What a new check waits for: the moment that is kept free, where it is
    /// so near that the next check could not begin then.
    pub(super) fn gives_way(&self, now: Time) -> Option<Time> {
        let spacing = self.ta.max(Pacer::MIN_SPACING);
        self.kept_free.filter(|at| *at > now && now + spacing > *at)
    }

    /// Fresh ports have shown that the ports of a pair that was never answered
    /// were poisoned.
    pub fn poisoned(&mut self, pair: PairId, now: Time) {
        self.lose(pair, FailReason::NotConnected(NotConnected::Poisoned), now);
    }

    /// A base that served one attempt is given up: nothing came of its pairs.
    pub fn give_up_base(&mut self, base: u32, why: NotConnected, now: Time) {
        let listed = self.lists.iter().flat_map(|list| &list.pairs).copied();
        let is_on = |id: &PairId| {
            let pair = self.pair(*id);
            self.local(pair.stream, pair.local).base == base
        };
        for pair in listed.filter(is_on).collect::<Vec<_>>() {
            self.lose(pair, FailReason::NotConnected(why), now);
        }
    }

    /// Whether the component still looks for a path.
    pub fn takes_candidates(&self, stream: u16, component: ComponentId) -> bool {
        let Some(list) = self.lists.get(usize::from(stream)) else { return false };
        list.components.iter().any(|c| c.id == component && list.takes_candidates(c))
    }

    /// The valid pairs of a stream.
    pub fn valid_pairs(&self, stream: u16) -> &[PairId] {
        self.lists.get(usize::from(stream)).map(|list| &*list.valid).unwrap_or_default()
    }
}
