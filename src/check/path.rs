//! Paths under the checks: their bases vanish, and reliable ones have to be
//! opened, and break (RFC 6544 §7.1, §11.1).

use std::io;
use std::net::SocketAddr;

use crate::candidate::PairingClass;
use crate::check::{Checks, FailReason, ListState, Notice, PairId, PairState, Refused, Role};
use crate::net::NotConnected;
use crate::timer::Time;

impl Checks {
    /// The path from a base to an address is there: what is under way on it
    /// is sent now.
    pub fn path_ready(&mut self, base: u32, to: SocketAddr, now: Time) {
        for pair in self.pairs_on(base, to) {
            let mut starts = Vec::new();
            for flight in self.flights.of_pair(pair) {
                // The answer is waited for from now on.
                flight.begin(now);
                starts.push(flight.request(false));
            }
            self.starts.extend(starts);
            self.ask_pair(pair, now);
        }
    }

    /// The path from a base to an address cannot be opened: its pairs fail.
    pub fn path_failed(&mut self, base: u32, to: SocketAddr, why: NotConnected, now: Time) {
        for pair in self.pairs_on(base, to) {
            self.lose(pair, FailReason::NotConnected(why), now);
        }
    }

    /// The path from a base to an address was there and is gone. Returns
    /// whether it is still wanted: a check waits for its answer, or consent
    /// was given on it. Other pairs on it are lost.
    pub fn path_broken(&mut self, base: u32, to: SocketAddr, now: Time) -> bool {
        let mut wanted = false;
        for pair in self.pairs_on(base, to) {
            // A connection that takes its place has shown nothing yet.
            self.pair_mut(pair).flags.opened = false;
            let dials = self.path(pair).dials;
            let asks = self.flights.of_pair(pair).next().is_some();
            if self.suspend_consent(pair, now) {
                let stream = self.pair(pair).stream;
                let component = self.pair(pair).component;
                self.notices.push_back(Notice::SendPath { stream, component, pair: None });
                wanted = true;
            } else if asks && dials {
                wanted = true;
            } else if self.pair(pair).state != PairState::Failed {
                self.lose(pair, FailReason::NotConnected(NotConnected::Ended), now);
            }
        }
        wanted
    }

    /// Whether the peer, heard on `pair`, has opened the connection of the
    /// selected pair again: from another port, as an active candidate does
    /// (RFC 6544 §11.1). As far as we know nothing gets through on the one
    /// before.
    pub(super) fn is_reopened(&self, selected: PairId, pair: PairId) -> bool {
        let ends = |id: PairId| (self.pair(id).stream, self.pair(id).local);
        let mut consents = self.consents().filter(|consent| consent.pair() == selected);
        pair != selected
            && ends(pair) == ends(selected)
            && self.path(pair).reliable
            && consents.any(|consent| consent.suspended().is_some() || consent.missed() > 0)
    }

    /// The selected pair goes on as this one, once a check of ours has passed
    /// on it.
    pub(super) fn follow(&mut self, pair: PairId, now: Time) -> Result<(), Refused> {
        if self.pair(pair).state == PairState::Removed && self.listed >= self.limits.pairs {
            self.make_room()?;
        }
        let nominee = self.component_of(pair).and_then(|component| component.nominee);
        let is_valid = self.list_of(pair).valid.contains(&pair);
        match self.role {
            Role::Controlling if nominee == Some(pair) => {}
            Role::Controlling => self.begin_nomination(pair),
            Role::Controlled if is_valid => self.nominated(pair, now),
            Role::Controlled => {
                self.pair_mut(pair).flags.wanted = true;
                if self.pair(pair).state != PairState::InProgress {
                    self.trigger(pair);
                }
            }
        }
        Ok(())
    }

    /// The system reported an error for datagrams from `base` to `to`. It is
    /// kept as a reason; the check goes on until its transaction ends.
    pub fn path_error(&mut self, base: u32, to: SocketAddr, kind: io::ErrorKind) {
        for list in &self.lists {
            for id in &list.pairs {
                let pair = &mut self.pairs[id.0 as usize];
                let local = &list.local(pair.local).local;
                if local.base == base && list.remote(pair.remote).remote.address == to {
                    pair.error = Some(kind);
                }
            }
        }
    }

    /// A base is gone: its pairs fail at once.
    pub fn base_lost(&mut self, base: u32, now: Time) {
        for list in 0..self.lists.len() {
            for pair in self.lists[list].pairs.clone() {
                let local = self.pair(pair).local;
                if self.lists[list].local(local).local.base != base {
                    continue;
                }
                self.discard(pair, FailReason::AddressGone, now);
            }
            for entry in &mut self.lists[list].locals {
                entry.pairable &= entry.local.base != base;
            }
        }
    }

    /// Nothing will bring back the components that have lost their path.
    pub fn path_lost(&mut self, stream: u16) {
        if let Some(list) = self.lists.get_mut(usize::from(stream)) {
            for component in list.components.iter_mut().filter(|c| c.send.is_none()) {
                component.lost |= list.state == ListState::Completed;
            }
        }
    }

    /// Whether a path is of use: a check is under way on it, or its pair is
    /// valid or in a list that is being checked.
    pub fn is_path_wanted(&self, base: u32, to: SocketAddr) -> bool {
        self.pairs_on(base, to).into_iter().any(|id| {
            let pair = self.pair(id);
            let list = &self.lists[usize::from(pair.stream)];
            list.valid.contains(&id) || list.state == ListState::Running && !list.retired
        })
    }

    /// What answered at an address is not the peer: all pairs with the remote
    /// candidate have failed (RFC 6544 §7.1).
    pub fn remote_failed(&mut self, stream: u16, to: SocketAddr, class: PairingClass, now: Time) {
        let Some(list) = self.lists.get(usize::from(stream)) else { return };
        let is_meant = |id: &PairId| {
            let remote = &list.remote(self.pair(*id).remote).remote;
            (remote.address, remote.class) == (to, class)
        };
        let pairs: Vec<PairId> = list.pairs.iter().copied().filter(is_meant).collect();
        for pair in pairs {
            self.lose(pair, FailReason::NotConnected(NotConnected::NotThePeer), now);
        }
    }

    /// The pairs on the way from a base to an address, in all lists.
    fn pairs_on(&self, base: u32, to: SocketAddr) -> Vec<PairId> {
        let listed = self.lists.iter().flat_map(|list| &list.pairs).copied();
        listed.filter(|id| self.is_symmetric(*id, base, to)).collect()
    }

    /// The pair is of no use any more, whatever it was.
    pub(super) fn lose(&mut self, pair: PairId, reason: FailReason, now: Time) {
        if self.consents().any(|consent| consent.pair() == pair) {
            return self.consent_expired(pair, reason, now);
        }
        if matches!(self.pair(pair).state, PairState::Failed | PairState::Removed) {
            return;
        }
        self.discard(pair, reason, now);
    }

    /// Nothing of a pair goes on.
    fn discard(&mut self, pair: PairId, reason: FailReason, now: Time) {
        self.flights.remove_pair(pair);
        self.unlist_triggered(pair);
        self.set_state(pair, PairState::Failed);
        let entry = self.pair_mut(pair);
        (entry.flags.nominating, entry.flags.wanted) = (false, false);
        entry.reason = Some(reason);
        self.notices.push_back(Notice::Lost(pair, reason));
        self.invalidate(pair, now);
    }
}
