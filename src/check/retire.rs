//! What a restart leaves of a check list (RFC 8445 §9): a retired list checks
//! nothing more and carries data until the new one can; a removed list leaves
//! nothing, and its number is used again.

use crate::check::groups::Groups;
use crate::check::list::List;
use crate::check::{Checks, FailReason, PairId, PairState};

/// The list that a freed pair belongs to: none.
const NO_LIST: u16 = u16::MAX;

impl Checks {
    /// The stream has a new list. This one sends no more checks and takes no
    /// more candidates; its valid pairs stay, with consent on those that
    /// carry data.
    pub fn retire(&mut self, stream: u16) {
        let list = &mut self.lists[usize::from(stream)];
        (list.started, list.retired, list.decide_by) = (false, true, None);
        for component in &mut list.components {
            (component.nominee, component.reconsider) = (None, None);
        }
        let (pairs, valid) = (list.pairs.clone(), list.valid.clone());
        for pair in pairs {
            self.flights.remove_pair(pair);
            let flags = &mut self.pair_mut(pair).flags;
            (flags.nominating, flags.wanted) = (false, false);
            if valid.contains(&pair) {
                self.unlist_triggered(pair);
            } else {
                self.remove(pair, FailReason::Restarted);
            }
        }
    }

    /// Whether the list was retired.
    pub fn is_retired(&self, stream: u16) -> bool {
        self.lists.get(usize::from(stream)).is_some_and(|list| list.retired)
    }

    /// Forgets a list: nothing of it is sent any more, and the numbers of its
    /// pairs are used again. Notices and starts are to be read before.
    pub fn remove_stream(&mut self, stream: u16) {
        let of_list = |(_, pair): &(PairId, &crate::check::Pair)| pair.stream == stream;
        let all = (0..).map(PairId).zip(&self.pairs);
        let pairs: Vec<PairId> = all.filter(of_list).map(|(id, _)| id).collect();
        for pair in pairs {
            self.flights.remove_pair(pair);
            if self.pair(pair).state != PairState::Removed {
                self.remove(pair, FailReason::Restarted);
            }
            if !self.free.contains(&pair) {
                self.free.push(pair);
            }
            self.pair_mut(pair).stream = NO_LIST;
        }
        self.lists[usize::from(stream)] = List::vacant();
        self.forget_foundations();
    }

    /// Foundations of lists that are gone would add up. They serve pairs that
    /// wait, so they are numbered anew once none does.
    fn forget_foundations(&mut self) {
        let frozen = self.lists.iter().any(|list| !list.unstarted.is_empty());
        if frozen || self.waiting + self.in_progress > 0 {
            return;
        }
        self.groups = Groups::default();
        for list in &mut self.lists {
            for entry in &mut list.locals {
                entry.foundation = self.groups.local(entry.local.foundation);
            }
            for entry in &mut list.remotes {
                entry.foundation = match entry.remote.signalled {
                    Some(_) => self.groups.remote(entry.remote.foundation),
                    None => self.groups.unique_remote(),
                };
            }
            for id in &list.pairs {
                let pair = &mut self.pairs[id.0 as usize];
                let ours = list.locals[usize::from(pair.local.0)].foundation;
                let theirs = list.remotes[usize::from(pair.remote.0)].foundation;
                pair.group = self.groups.of(ours, theirs);
                if let Some(count) = self.groups.group(pair.group).count(pair.state) {
                    *count += 1;
                }
            }
        }
    }
}
