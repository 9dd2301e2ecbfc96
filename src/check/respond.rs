//! What a check of the peer does (RFC 8445 §7.3.1).

use std::net::SocketAddr;

use thiserror::Error;

use crate::candidate::{ComponentId, Foundation, Kind, MAX_PRIORITY, PairingClass};
use crate::check::candidates::RemoteEntry;
use crate::check::pair::priority_in;
use crate::check::{
    Checks, FailReason, ListState, LocalId, PairId, PairState, Remote, RemoteId, Role,
};
use crate::timer::Time;

/// An authenticated check of the peer.
#[derive(Clone, Copy, Debug)]
pub struct PeerRequest {
    /// Where it arrived: our candidate.
    pub local: LocalId,
    /// Where it came from.
    pub from: SocketAddr,
    /// Its PRIORITY attribute.
    pub priority: u32,
    /// It had USE-CANDIDATE.
    pub use_candidate: bool,
    /// The number in its NOMINATION.
    pub nomination: Option<u32>,
}

/// Why a remote candidate or a check of the peer was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refused {
    /// The stream has no such component.
    #[error("the stream has no such component")]
    Component,
    /// The component has its selected pair already (RFC 8838 §13).
    #[error("the component has its selected pair already (RFC 8838 §13)")]
    Concluded,
    /// The address is known already.
    #[error("the address is known already (RFC 8445 §5.1.3)")]
    Redundant,
    /// The stream has as many remote candidates as it may have.
    #[error("the stream has as many remote candidates as it may have")]
    TooManyRemotes,
    /// The stream has as many peer-reflexive candidates as it may have.
    #[error("the stream has as many peer-reflexive candidates as it may have")]
    TooManyFound,
    /// There is no room for another pair (RFC 8445 §6.1.2.5).
    #[error("there is no room for another pair (RFC 8445 §6.1.2.5)")]
    TooManyPairs,
}

impl Checks {
    /// The peer checks the path between `request.local` and `request.from`.
    /// The answer is sent by the caller, whatever comes of this.
    ///
    /// # Errors
    /// [`Refused`] when a new candidate or pair would pass a limit.
    pub fn peer_checked(
        &mut self,
        stream: u16,
        request: &PeerRequest,
        now: Time,
    ) -> Result<(), Refused> {
        let list = &self.lists[usize::from(stream)];
        if list.state == ListState::Failed {
            return Ok(());
        }
        if list.retired {
            if let Some(pair) = self.known_pair(stream, request) {
                self.pair_mut(pair).received += 1;
            }
            return Ok(());
        }
        let component = list.local(request.local).local.component;
        let remote = self.remote_at(stream, component, request)?;
        let pair = self.pair_for(stream, request.local, remote)?;
        self.pair_mut(pair).received += 1;
        self.open(pair);
        self.answer_with_check(pair, request, now)
    }

    /// The pair of a check on a list that forms no more pairs.
    fn known_pair(&self, stream: u16, request: &PeerRequest) -> Option<PairId> {
        let list = &self.lists[usize::from(stream)];
        let is_it = |id: &PairId| {
            let pair = self.pair(*id);
            pair.local == request.local && list.remote(pair.remote).remote.address == request.from
        };
        list.pairs.iter().copied().find(is_it)
    }

    /// §7.3.1.3: the remote candidate that the check came from.
    fn remote_at(
        &mut self,
        stream: u16,
        component: ComponentId,
        request: &PeerRequest,
    ) -> Result<RemoteId, Refused> {
        let list = &self.lists[usize::from(stream)];
        let class = list.local(request.local).local.path.class.mate();
        if let Some(at) = list.remote_at(component, request.from, class) {
            return Ok(RemoteId(at as u16));
        }
        let number = u32::try_from(list.remotes.len()).unwrap_or(u32::MAX);
        // An active candidate is signalled without its port (RFC 6544 §4.5):
        // that a relay is in between is known by the address.
        let is_relays = |entry: &RemoteEntry| {
            let Remote { kind, address, class: of, .. } = entry.remote;
            (kind, of, address.ip()) == (Kind::Relayed, class, request.from.ip())
        };
        let relayed = class == PairingClass::Active && list.remotes.iter().any(is_relays);
        let remote = Remote {
            component,
            address: request.from,
            kind: if relayed { Kind::Relayed } else { Kind::PeerReflexive },
            priority: request.priority.clamp(1, MAX_PRIORITY),
            class,
            foundation: Foundation::from_number(number),
            signalled: None,
        };
        self.add_found(stream, remote)
    }

    /// §7.3.1.4: the pair of the check, put on the list if it is not there.
    fn pair_for(
        &mut self,
        stream: u16,
        local: LocalId,
        remote: RemoteId,
    ) -> Result<PairId, Refused> {
        let list = &self.lists[usize::from(stream)];
        let known = list.pairs.iter().copied().find(|id| {
            let p = self.pair(*id);
            p.local == local && p.remote == remote
        });
        // After the selection a pair may have been taken off the list.
        let known = known.or_else(|| {
            self.pairs(stream)
                .find(|(_, p)| {
                    p.local == local
                        && p.remote == remote
                        && matches!(p.reason, Some(FailReason::Superseded(_)))
                })
                .map(|(id, _)| id)
        });
        if let Some(id) = known {
            return Ok(id);
        }
        let (ours, theirs) = (list.local(local), list.remote(remote));
        let priority = priority_in(self.role, ours.local.priority, theirs.remote.priority);
        if self.listed >= self.limits.pairs {
            self.make_room()?;
        }
        Ok(self.insert_pair(stream, local, remote, priority, false))
    }

    /// A path that the peer was heard on is worth more than one that was not
    /// checked yet, or has not been answered.
    pub(super) fn make_room(&mut self) -> Result<(), Refused> {
        let worth = |id: &PairId| {
            let pair = self.pair(*id);
            let expendable = pair.is_pending()
                && !pair.flags.queued
                && !pair.flags.opened
                && pair.valid.is_none();
            expendable.then_some((pair.is_unstarted() as u8 ^ 1, pair.priority))
        };
        let lowest = self
            .lists
            .iter()
            .flat_map(|l| &l.pairs)
            .filter_map(|id| worth(id).map(|w| (w, *id)))
            .min();
        let id = self.lowest_failed().or(lowest.map(|(_, id)| id));
        self.evict(id.ok_or(Refused::TooManyPairs)?);
        Ok(())
    }

    /// §7.3.1.4 and §7.3.1.5.
    fn answer_with_check(
        &mut self,
        pair: PairId,
        request: &PeerRequest,
        now: Time,
    ) -> Result<(), Refused> {
        if self.lite {
            self.lite_checked(pair, request.use_candidate, now);
            return Ok(());
        }
        let use_candidate = request.use_candidate
            && self.role == Role::Controlled
            && (!self.list_of(pair).renomination || self.is_newest(pair, request.nomination));
        let selected = self.component_of(pair).and_then(|c| c.selected);
        if selected.is_some_and(|selected| self.is_reopened(selected, pair)) {
            return self.follow(pair, now);
        }
        let concluded = match selected {
            Some(selected) => {
                // A peer of RFC 5245 may nominate aggressively: the highest
                // nominated pair is the one that it uses.
                // With renomination it is the newest.
                let moves = use_candidate
                    && selected != pair
                    && (self.list_of(pair).renomination
                        || self.valid_priority(pair) > self.valid_priority(selected));
                !moves
            }
            None => self.component_of(pair).is_some_and(|c| c.is_concluded()),
        };
        // RFC 7675 §5.1: consent that expired is not asked for again.
        let expired = self.pair(pair).reason.is_some_and(FailReason::ends_consent);
        if concluded || expired {
            // Data may come from there; a check of ours would serve nobody.
            if self.pair(pair).is_unstarted() && !self.pair(pair).flags.queued {
                let reason = selected.map_or(FailReason::ConsentExpired, FailReason::Superseded);
                self.remove(pair, reason);
            }
            return Ok(());
        }
        if use_candidate && self.list_of(pair).renomination {
            self.note_nomination(pair, request.nomination);
        }
        match self.pair(pair).state {
            PairState::Succeeded if use_candidate => match self.proven_by(pair) {
                Some(valid) if self.has_consent(valid, now) => self.nominated(valid, now),
                // It was standby for so long that consent ended: ask again.
                _ => {
                    self.pair_mut(pair).flags.wanted = true;
                    self.trigger(pair);
                }
            },
            PairState::Succeeded => {}
            PairState::InProgress => {
                self.pair_mut(pair).flags.wanted |= use_candidate;
                // A check that itself answers one of the peer's left after the
                // path was open. To replace it too, on both sides, would go on
                // for ever: each new check sets off another.
                if !self.flights.is_triggered(pair) {
                    self.flights.cancel(pair);
                    self.trigger(pair);
                }
            }
            PairState::Frozen | PairState::Waiting | PairState::Failed | PairState::Removed => {
                if self.pair(pair).state == PairState::Removed && self.listed >= self.limits.pairs {
                    self.make_room()?;
                }
                self.pair_mut(pair).flags.wanted |= use_candidate;
                self.trigger(pair);
            }
        }
        Ok(())
    }

    /// The valid pair that the check of a Succeeded pair gave (§7.2.5.3.2): as
    /// a rule the pair itself.
    fn proven_by(&self, pair: PairId) -> Option<PairId> {
        let checked = self.pair(pair);
        if checked.valid.is_some() {
            return Some(pair);
        }
        let valid = &self.lists[usize::from(checked.stream)].valid;
        valid.iter().copied().find(|id| self.pair(*id).remote == checked.remote)
    }

    /// Puts a pair in the triggered-check queue (§6.1.4.1).
    pub(super) fn trigger(&mut self, pair: PairId) {
        if self.pair(pair).state == PairState::Removed {
            self.relist(pair);
        }
        if self.pair(pair).state != PairState::Succeeded {
            self.set_state(pair, PairState::Waiting);
            self.pair_mut(pair).reason = None;
        }
        if !std::mem::replace(&mut self.pair_mut(pair).flags.queued, true) {
            self.list_of(pair).triggered.push_back(pair);
        }
    }

    /// Puts a pair that was taken off its list back on it.
    pub(super) fn relist(&mut self, pair: PairId) {
        let (local, remote) = (self.pair(pair).local, self.pair(pair).remote);
        self.pair_mut(pair).flags.ranked = false;
        let list = self.list_of(pair);
        list.pairs.push(pair);
        let (ours, theirs) =
            (&mut list.locals[usize::from(local.0)], &mut list.remotes[usize::from(remote.0)]);
        ours.pairs += 1;
        theirs.pairs += 1;
        let foundations = (ours.foundation, theirs.foundation);
        self.listed += 1;
        // The groups may have been numbered anew while it was off the list.
        self.pair_mut(pair).group = self.groups.of(foundations.0, foundations.1);
    }
}
