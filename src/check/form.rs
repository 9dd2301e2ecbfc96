//! How pairs are formed and how many are kept (RFC 8445 §6.1.2.2–§6.1.2.6,
//! RFC 8838 §12).

use crate::candidate::{Candidate, ComponentId, Host, PairingClass};
use crate::check::candidates::{LocalEntry, RemoteEntry};
use crate::check::pair::{Flags, priority_in};
use crate::check::{
    Checks, FailReason, Local, LocalId, Notice, Pair, PairId, PairState, Refused, Remote, RemoteId,
    Tally,
};
use crate::net::Family;

/// Local peer-reflexive candidates that are remembered, a stream. The peer
/// chooses what it says it saw.
const MAX_LOCALS_FOUND: usize = 64;

impl Checks {
    /// Adds a candidate of ours that checks are sent from, and pairs it.
    pub fn add_base(&mut self, stream: u16, local: Local) -> LocalId {
        let id = self.push_local(stream, local, true);
        if self.lists[usize::from(stream)].started {
            self.pair_local(stream, id);
        }
        id
    }

    /// So many bases will be added to a stream.
    pub fn expect_bases(&mut self, stream: u16, count: usize) {
        self.lists[usize::from(stream)].locals.reserve_exact(count);
    }

    /// Adds a candidate of ours that is only an image of its base (server- or
    /// peer-reflexive). It forms no pairs: those would be replaced by its
    /// base's and pruned (§6.1.2.4).
    pub fn add_image(&mut self, stream: u16, local: Local) -> Option<LocalId> {
        let images = self.lists[usize::from(stream)].locals.iter().filter(|l| !l.pairable).count();
        (images < MAX_LOCALS_FOUND).then(|| self.push_local(stream, local, false))
    }

    pub(super) fn push_local(&mut self, stream: u16, local: Local, pairable: bool) -> LocalId {
        let foundation = self.groups.local(local.foundation);
        let list = &mut self.lists[usize::from(stream)];
        let id = LocalId(u16::try_from(list.locals.len()).unwrap_or(u16::MAX));
        list.locals.push(LocalEntry { local, pairable, foundation, pairs: 0, ranked: 0 });
        id
    }

    /// Adds a candidate that the peer signalled, and pairs it. One that a check
    /// came from before is the signalled one from now on, even where no more pairs
    /// are formed.
    ///
    /// # Errors
    /// [`Refused`] says which bound or rule keeps it out.
    pub fn add_remote(
        &mut self,
        stream: u16,
        candidate: &Candidate,
        address: std::net::SocketAddr,
    ) -> Result<RemoteId, Refused> {
        let component = candidate.component;
        let list = &mut self.lists[usize::from(stream)];
        let state = list.components.iter().find(|c| c.id == component);
        let takes = list.takes_candidates(state.ok_or(Refused::Component)?);
        let class = PairingClass::of_candidate(candidate);
        let known = list.remote_at(component, address, class);
        if let Some(known) = known {
            let entry = &mut list.remotes[known];
            if entry.remote.signalled.is_some() {
                return Err(Refused::Redundant);
            }
            // The peer was heard from there before its signalling said so.
            entry.remote.kind = candidate.kind;
            entry.remote.foundation = candidate.foundation;
            entry.remote.signalled = Some(Box::new(candidate.clone()));
            entry.foundation = self.groups.remote(candidate.foundation);
            let id = RemoteId(known as u16);
            if list.started && takes {
                self.pair_remote(stream, id);
            }
            return Ok(id);
        }
        if !takes {
            return Err(Refused::Concluded);
        }
        let remote = Remote {
            component,
            address,
            kind: candidate.kind,
            priority: candidate.priority,
            class,
            foundation: candidate.foundation,
            signalled: Some(Box::new(candidate.clone())),
        };
        let slot = self.room_for_remote(stream, &remote)?;
        let foundation = self.groups.remote(remote.foundation);
        let list = &mut self.lists[usize::from(stream)];
        list.signalled += 1;
        let entry = RemoteEntry { remote, foundation, pairs: 0, gone: false };
        let id = place(&mut list.remotes, slot, entry);
        if list.started {
            self.pair_remote(stream, id);
        }
        Ok(id)
    }

    /// Adds a candidate that the peer's check came from (§7.3.1.3). It is
    /// paired with the base that the check arrived on, and no other.
    pub(super) fn add_found(&mut self, stream: u16, remote: Remote) -> Result<RemoteId, Refused> {
        let limit = self.limits.found;
        let list = &mut self.lists[usize::from(stream)];
        if list.found >= limit {
            return Err(Refused::TooManyFound);
        }
        list.found += 1;
        let foundation = self.groups.unique_remote();
        let entry = RemoteEntry { remote, foundation, pairs: 0, gone: false };
        let id = place(&mut list.remotes, None, entry);
        self.notices.push_back(Notice::RemoteFound { stream, remote: id });
        Ok(id)
    }

    /// Checks of a stream may run: the peer's parameters are known.
    pub fn start(&mut self, stream: u16) {
        let list = &mut self.lists[usize::from(stream)];
        if list.started {
            return;
        }
        list.started = true;
        for id in (0..list.remotes.len()).map(|i| RemoteId(i as u16)) {
            self.pair_remote(stream, id);
        }
    }

    fn pair_remote(&mut self, stream: u16, remote: RemoteId) {
        if self.lite {
            return;
        }
        let list = &self.lists[usize::from(stream)];
        let locals: Vec<LocalId> = (0..list.locals.len())
            .map(|i| LocalId(i as u16))
            .filter(|local| self.may_pair(stream, *local, remote))
            .filter(|local| !list.has_pair(&self.pairs, *local, remote))
            .collect();
        if locals.is_empty() {
            return;
        }
        let ranked = self.ranked_base(stream, &locals, remote);
        self.form(stream, ranked, remote, true);
        for local in locals.into_iter().filter(|l| *l != ranked) {
            self.form(stream, local, remote, false);
        }
    }

    fn pair_local(&mut self, stream: u16, local: LocalId) {
        let list = &self.lists[usize::from(stream)];
        let component = list.local(local).local.component;
        let takes = list.components.iter().any(|c| c.id == component && list.takes_candidates(c));
        if self.lite || !takes {
            return;
        }
        let remotes = self.lists[usize::from(stream)].remotes.len();
        for remote in (0..remotes).map(|i| RemoteId(i as u16)) {
            let is_signalled =
                self.lists[usize::from(stream)].remote(remote).remote.signalled.is_some();
            if is_signalled && self.may_pair(stream, local, remote) {
                let first = self.lists[usize::from(stream)].local(local).pairs == 0;
                self.form(stream, local, remote, first);
            }
        }
    }

    /// §6.1.2.2: same component, same family, and what reaches only a link or
    /// only this machine with its like. RFC 6544 §6.2: directions that meet, and
    /// nothing from where only the peer can open a path.
    pub(super) fn may_pair(&self, stream: u16, local: LocalId, remote: RemoteId) -> bool {
        let list = &self.lists[usize::from(stream)];
        let (local, remote) = (list.local(local), list.remote(remote));
        let (ours, theirs) = (local.local.address.ip(), remote.remote.address.ip());
        let path = local.local.path;
        local.pairable
            && (path.dials || !path.reliable)
            && path.class.mate() == remote.remote.class
            && !remote.gone
            && local.local.component == remote.remote.component
            && Family::of(ours) == Family::of(theirs)
            && crate::net::is_link_local_v6(ours) == crate::net::is_link_local_v6(theirs)
            && ours.is_loopback() == theirs.is_loopback()
            && !(path.indirect && is_hidden(&remote.remote))
    }

    /// The base whose pair the remote candidate keeps in any case: the one of
    /// the remote candidate's rank, among those that have been so chosen least.
    fn ranked_base(&self, stream: u16, locals: &[LocalId], remote: RemoteId) -> LocalId {
        let list = &self.lists[usize::from(stream)];
        let Remote { component, address, priority, .. } = list.remote(remote).remote;
        let family = Family::of(address.ip());
        let rank = list
            .remotes
            .iter()
            .filter(|r| !r.gone && r.remote.component == component)
            .filter(|r| Family::of(r.remote.address.ip()) == family && r.remote.priority > priority)
            .count();
        let wish = rank % locals.len();
        let distance = |at: usize| (at + locals.len() - wish) % locals.len();
        let best =
            (0..locals.len()).min_by_key(|at| (list.local(locals[*at]).ranked, distance(*at)));
        locals[best.unwrap_or_default()]
    }

    /// Puts a pair on its list, if there is room or room can be made.
    /// `keep` marks the pair that its remote candidate keeps in any case.
    fn form(&mut self, stream: u16, local: LocalId, remote: RemoteId, keep: bool) {
        let list = &self.lists[usize::from(stream)];
        let ours = list.local(local);
        let theirs = list.remote(remote);
        let priority = priority_in(self.role, ours.local.priority, theirs.remote.priority);
        if self.listed >= self.limits.pairs {
            let (forced, bare) = (keep || ours.pairs == 0, ours.pairs == 0);
            let Some(victim) = self.victim_for(forced, bare, priority) else {
                let notice = Notice::NotFormed { stream, local, remote, priority };
                return self.notices.push_back(notice);
            };
            self.evict(victim);
        }
        self.insert_pair(stream, local, remote, priority, keep);
    }

    /// Takes a pair off its list; what it was stays readable.
    pub(super) fn remove(&mut self, id: PairId, reason: FailReason) {
        let Pair { local, remote, flags, .. } = *self.pair(id);
        self.set_state(id, PairState::Removed);
        let pair = self.pair_mut(id);
        pair.reason = Some(reason);
        pair.flags.queued = false;
        let list = self.list_of(id);
        list.pairs.retain(|p| *p != id);
        list.triggered.retain(|p| *p != id);
        list.valid.retain(|p| *p != id);
        let ours = &mut list.locals[usize::from(local.0)];
        ours.pairs -= 1;
        ours.ranked -= u16::from(flags.ranked);
        list.remotes[usize::from(remote.0)].pairs -= 1;
        self.listed -= 1;
        self.notices.push_back(Notice::Lost(id, reason));
    }

    pub(super) fn insert_pair(
        &mut self,
        stream: u16,
        local: LocalId,
        remote: RemoteId,
        priority: u64,
        ranked: bool,
    ) -> PairId {
        let list = &mut self.lists[usize::from(stream)];
        let component = list.local(local).local.component;
        let ours = &mut list.locals[usize::from(local.0)];
        ours.pairs += 1;
        ours.ranked += u16::from(ranked);
        let theirs = &mut list.remotes[usize::from(remote.0)];
        theirs.pairs += 1;
        let group = self.groups.of(ours.foundation, theirs.foundation);
        let pair = Pair {
            stream,
            component,
            local,
            remote,
            priority,
            state: PairState::Removed,
            valid: None,
            nominated: false,
            reason: None,
            error: None,
            rtt: None,
            confirmed: None,
            first_sent: None,
            sent: 0,
            answered: 0,
            received: 0,
            unauthentic: 0,
            tally: Tally::default(),
            group,
            flags: Flags { ranked, ..Flags::default() },
        };
        let id = self.free.pop().unwrap_or_else(|| {
            PairId(u32::try_from(self.pairs.len()).expect("invariant: pairs are limited"))
        });
        match self.pairs.get_mut(id.0 as usize) {
            Some(slot) => *slot = pair,
            None => {
                // One is common, and room for four is much.
                self.pairs.reserve_exact(usize::from(self.pairs.is_empty()));
                self.pairs.push(pair);
            }
        }
        self.lists[usize::from(stream)].pairs.push(id);
        self.listed += 1;
        self.notices.push_back(Notice::Formed(id));
        self.set_first_state(id, component, priority);
        id
    }

    /// RFC 8445 §6.1.2.6, RFC 8838 §12: of each foundation the pair with the
    /// lowest component and the highest priority is Waiting, the others
    /// Frozen; once one has succeeded, all are Waiting.
    fn set_first_state(&mut self, id: PairId, component: ComponentId, priority: u64) {
        let group = self.pair(id).group;
        let counts = *self.groups.group(group);
        if counts.succeeded > 0 || counts.overdue {
            return self.set_state(id, PairState::Waiting);
        }
        let leader = counts.leader.filter(|l| *l != id).map(|l| (l, self.pair(l)));
        match leader {
            Some((leader, pair))
                if pair.group == group
                    && matches!(pair.state, PairState::Waiting | PairState::InProgress) =>
            {
                let overtakes = (component, std::cmp::Reverse(priority))
                    < (pair.component, std::cmp::Reverse(pair.priority));
                if overtakes {
                    // Candidates come one by one; in one piece, the former
                    // leader would not have been set to Waiting at all.
                    if pair.state == PairState::Waiting && !pair.flags.queued {
                        self.set_state(leader, PairState::Frozen);
                    }
                    self.groups.group(group).leader = Some(id);
                    self.set_state(id, PairState::Waiting);
                } else {
                    self.set_state(id, PairState::Frozen);
                }
            }
            _ if counts.is_idle() => {
                self.groups.group(group).leader = Some(id);
                self.set_state(id, PairState::Waiting);
            }
            _ => self.set_state(id, PairState::Frozen),
        }
    }

    /// No more candidates of ours will come for the stream.
    pub fn local_candidates_done(&mut self, stream: u16) {
        self.lists[usize::from(stream)].local_done = true;
    }

    /// Whether a candidate that was signalled for the stream waits for its
    /// address: it is as good as there, and the list does not fail without it.
    pub fn hold_remote(&mut self, stream: u16, held: bool) {
        self.lists[usize::from(stream)].remote_held = held;
    }

    /// No more candidates of the peer will be signalled for the stream. With
    /// fewer components than ours, it has as many as the peer (§6.1.2.2).
    pub fn remote_candidates_done(&mut self, stream: u16) {
        let list = &mut self.lists[usize::from(stream)];
        list.remote_done = true;
        let theirs = list.remotes.iter().filter(|r| !r.gone).map(|r| r.remote.component);
        if let Some(highest) = theirs.max() {
            let all = std::mem::take(&mut list.components).into_vec();
            list.components = all.into_iter().filter(|c| c.id <= highest).collect();
        }
    }
}

/// The peer does not show the address but to those who can resolve its name:
/// a third party must not learn it from us
/// (draft-ietf-rtcweb-mdns-ice-candidates §3.3.2).
fn is_hidden(remote: &Remote) -> bool {
    remote.signalled.as_ref().is_some_and(|candidate| matches!(candidate.host, Host::Name(_)))
}

/// Puts `entry` in the place `slot`, or at the end.
fn place(remotes: &mut Vec<RemoteEntry>, slot: Option<RemoteId>, entry: RemoteEntry) -> RemoteId {
    match slot.and_then(|id| remotes.get_mut(usize::from(id.0)).map(|r| (id, r))) {
        Some((id, place)) => {
            *place = entry;
            id
        }
        None => {
            // One is common, and room for four is much.
            remotes.reserve_exact(usize::from(remotes.is_empty()));
            remotes.push(entry);
            RemoteId(u16::try_from(remotes.len() - 1).unwrap_or(u16::MAX))
        }
    }
}
