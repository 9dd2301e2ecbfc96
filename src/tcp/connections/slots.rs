//! The budgets of attempts (RFC 6544 §12), and of connections that others open.

use std::net::IpAddr;
use std::time::Duration;

use crate::rng::Rng;
use crate::tcp::connections::entry::Entry;
use crate::tcp::connections::{Connections, Key, MAX_ENTRIES};
use crate::tcp::ladder::{Event, Phase};
use crate::timer::Time;

/// Attempts under way to one address of a peer (RFC 6544 §12).
pub(super) const PER_ADDRESS: usize = 5;
/// Attempts that an agent begins within a second.
const PER_SECOND: usize = 40;
/// Connections of an agent whose peer has not passed a check, and of them
/// those from one address.
pub(super) const UNPROVEN: usize = 64;
pub(super) const UNPROVEN_PER_ADDRESS: usize = 16;

impl Connections {
    /// Gives slots to those who wait longest, and takes them from silent
    /// attempts that have had their time.
    pub(super) fn grant_slots(&mut self, now: Time, rng: &mut Rng) {
        while self.begun.front().is_some_and(|at| *at + Duration::from_secs(1) <= now) {
            self.begun.pop_front();
        }
        let mut waiting: Vec<(u64, Key)> = self.waiting().collect();
        waiting.sort_unstable();
        for (_, key) in waiting {
            if self.begun.len() >= PER_SECOND {
                return;
            }
            if self.is_full(key.remote.ip()) {
                let Some((_, oldest)) = self.yields_to(key).filter(|(at, _)| *at <= now) else {
                    continue;
                };
                self.happened(oldest, Event::Preempted, now, rng);
            }
            self.begun.push_back(now);
            self.happened(key, Event::Slot, now, rng);
        }
    }

    /// Who waits for a slot, and since when.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (u64, Key)> {
        let queued = self.entries.iter().filter(|entry| entry.phase == Phase::Queued);
        queued.map(|entry| (entry.place, entry.key))
    }

    pub(super) fn under_way(&self, ip: IpAddr) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |e| e.phase.has_socket() && e.key.remote.ip() == ip)
    }

    pub(super) fn is_full(&self, ip: IpAddr) -> bool {
        self.under_way(ip).count() >= PER_ADDRESS
    }

    /// The silent attempt to the same address that gives its slot up to one
    /// that waits, and when: the oldest.
    pub(super) fn yields_to(&self, key: Key) -> Option<(Time, Key)> {
        let preempts = self.find(key)?.preempts;
        let silent = self.under_way(key.remote.ip());
        let silent = silent.filter_map(|entry| Some((entry.yields()?, entry.place, entry.key)));
        let (at, _, oldest) = silent.min()?;
        Some((at.max(preempts), oldest))
    }

    /// When somebody who waits may get a slot.
    pub(super) fn next_slot(&self) -> Option<Time> {
        let is_spent = self.begun.len() >= PER_SECOND;
        let second = self.begun.front().filter(|_| is_spent).map(|at| *at + Duration::from_secs(1));
        let slots = self.waiting().filter_map(|(_, key)| {
            let free = match self.is_full(key.remote.ip()) {
                true => Some(self.yields_to(key)?.0),
                false => None,
            };
            second.max(free)
        });
        slots.min()
    }

    /// Connections on which no check came in time.
    pub(super) fn end_unproven(&mut self, now: Time) {
        let late = |entry: &&Entry| entry.proof_by().is_some_and(|at| at <= now);
        let late: Vec<Key> = self.entries.iter().filter(late).map(|entry| entry.key).collect();
        late.into_iter().for_each(|key| self.drop_entry(key, true));
    }

    /// Makes room for a connection from an address: the oldest unproven one
    /// goes, of the same address where that has its share.
    pub(super) fn make_room(&mut self, ip: IpAddr) {
        let unproven = || self.entries.iter().filter(|entry| entry.proof_by().is_some());
        let of_ip = || unproven().filter(|entry| entry.key.remote.ip() == ip);
        let oldest = if of_ip().count() >= UNPROVEN_PER_ADDRESS {
            of_ip().min_by_key(|entry| entry.proof_by())
        } else if unproven().count() >= UNPROVEN || self.entries.len() >= MAX_ENTRIES {
            unproven().min_by_key(|entry| entry.proof_by())
        } else {
            None
        };
        if let Some(key) = oldest.map(|entry| entry.key) {
            self.drop_entry(key, true);
        }
    }
}
