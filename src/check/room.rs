//! Room for pairs and candidates where a limit is reached (RFC 8445 §6.1.2.5):
//! who has to go, so that every base and every remote candidate keeps a pair.

use crate::check::candidates::RemoteEntry;
use crate::check::{Checks, FailReason, PairId, PairState, Refused, Remote, RemoteId};
use crate::net::Family;

impl Checks {
    /// Finds room for one more signalled candidate: best and diverse first.
    /// In a full stream it takes the place of the lowest of the most numerous
    /// class (family and type), if it is higher and that one is unchecked.
    pub(super) fn room_for_remote(
        &mut self,
        stream: u16,
        remote: &Remote,
    ) -> Result<Option<RemoteId>, Refused> {
        let limit = self.limits.remotes;
        let list = &self.lists[usize::from(stream)];
        if list.signalled < limit {
            return Ok(None);
        }
        // Each place is given away once at most, so that what a peer makes us
        // do stays bounded.
        if list.signalled >= limit * 2 {
            return Err(Refused::TooManyRemotes);
        }
        let class = class_of(remote);
        // Of each class how many there are, and the lowest one.
        let mut counts = [0; CLASSES];
        let mut lowest = [None::<(u32, RemoteId)>; CLASSES];
        for (id, RemoteEntry { remote, gone, .. }) in (0..).map(RemoteId).zip(&list.remotes) {
            if *gone || remote.signalled.is_none() {
                continue;
            }
            let class = class_of(remote);
            counts[class] += 1;
            if lowest[class].is_none_or(|(priority, _)| remote.priority < priority) {
                lowest[class] = Some((remote.priority, id));
            }
        }
        let crowded = (0..CLASSES).max_by_key(|class| counts[*class]).unwrap_or_default();
        let Some((priority, id)) = lowest[crowded] else { return Err(Refused::TooManyRemotes) };
        let diverse = class != crowded && counts[class] < limit / 4;
        let unchecked = list
            .pairs
            .iter()
            .map(|p| self.pair(*p))
            .all(|p| p.remote != id || (p.is_unstarted() && !p.flags.queued));
        if !unchecked || !(diverse || priority < remote.priority) {
            return Err(Refused::TooManyRemotes);
        }
        let pairs: Vec<PairId> =
            list.pairs.iter().copied().filter(|p| self.pair(*p).remote == id).collect();
        for pair in pairs {
            self.evict(pair);
        }
        self.lists[usize::from(stream)].remotes[usize::from(id.0)].gone = true;
        Ok(Some(id))
    }

    /// The pair that makes room for one of `priority`, if one does.
    pub(super) fn victim_for(&self, forced: bool, bare: bool, priority: u64) -> Option<PairId> {
        if !forced && self.failed == 0 && self.lowest_unstarted() >= Some(priority) {
            return None;
        }
        let victim = self.victim(forced, bare, priority)?;
        (forced || self.pair(victim).priority < priority).then_some(victim)
    }

    /// The pair that makes room: the lowest whose base and whose remote both
    /// have another one. For a pair that must be kept (`forced`) also one
    /// that its remote candidate was to keep; for a base that has none
    /// (`bare`) even the only pair of a remote candidate, as for a pair of
    /// higher `priority` than that one.
    fn victim(&self, forced: bool, bare: bool, priority: u64) -> Option<PairId> {
        if let Some(failed) = self.lowest_failed() {
            return Some(failed);
        }
        // The lowest that nobody keeps, that its remote was to keep, and that
        // its remote has no other of.
        let mut lowest = [None; 3];
        for list in &self.lists {
            for &(priority, id) in &list.unstarted {
                let pair = self.pair(id);
                if pair.flags.queued || list.local(pair.local).pairs <= 1 {
                    continue;
                }
                let rank = match list.remote(pair.remote).pairs > 1 {
                    true => usize::from(pair.flags.ranked),
                    false => 2,
                };
                let place = &mut lowest[rank];
                *place = Some(place.map_or((priority, id), |other| (priority, id).min(other)));
                if rank == 0 {
                    break;
                }
            }
        }
        let [free, kept, only] = lowest;
        let kept = kept.filter(|_| forced);
        let only = only.filter(|(lowest, _)| bare || (forced && *lowest < priority));
        free.or(kept).or(only).map(|(_, id)| id)
    }

    pub(super) fn lowest_unstarted(&self) -> Option<u64> {
        self.lists
            .iter()
            .filter_map(|list| list.unstarted.first())
            .map(|(priority, _)| *priority)
            .min()
    }

    /// Failed pairs make room first (RFC 8838 §10).
    pub(super) fn lowest_failed(&self) -> Option<PairId> {
        if self.failed == 0 {
            return None;
        }
        let listed = self.lists.iter().flat_map(|l| &l.pairs).copied();
        let failed = listed.filter(|id| {
            let pair = self.pair(*id);
            pair.state == PairState::Failed && !pair.flags.queued
        });
        failed.min_by_key(|id| self.pair(*id).priority)
    }

    /// Takes a pair off its list; its number may be used again.
    pub(super) fn evict(&mut self, id: PairId) {
        self.flights.remove_pair(id);
        self.remove(id, FailReason::Limit);
        self.free.push(id);
    }
}

const CLASSES: usize = 8;

/// Candidates of one class (family and type) stand for each other when room
/// is short.
fn class_of(remote: &Remote) -> usize {
    let v6 = matches!(Family::of(remote.address.ip()), Family::V6);
    usize::from(v6) * 4 + remote.kind as usize
}
