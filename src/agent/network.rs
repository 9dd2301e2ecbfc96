//! Networks that move: addresses that come and go, and machines that slept.
//!
//! What is new is told to the peer by an ICE restart, while the old pair stays
//! in use; or trickled into the session, where both sides list `continual`
//! (RFC 8838 §13 forbids that towards others).

use std::net::IpAddr;
use std::time::Duration;

use crate::agent::base::{Base, Purpose};
use crate::agent::{BaseId, Core, Sockets, StreamId};
use crate::candidate::Ranked;
use crate::net;
use crate::timer::Time;

/// An address of the machine, with the scope of a link-local IPv6 address.
pub(super) type Place = (IpAddr, u32);

pub(super) fn place(ranked: &Ranked) -> Place {
    let ip = ranked.address.ip;
    (ip, if net::is_link_local_v6(ip) { ranked.address.index } else { 0 })
}

/// Whether an address reaches beyond its link. Others come and go with every
/// container and tunnel, and are not worth a restart by themselves.
fn reaches_further(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => !v4.is_link_local(),
        IpAddr::V6(_) => !net::is_link_local_v6(ip),
    }
}

impl Core {
    /// The addresses differ from those known before: what is gone is given
    /// up, and what is new is used.
    pub(super) fn addresses_changed(&mut self, addresses: &[Ranked], now: Time) {
        let known: Vec<Place> = addresses.iter().map(place).collect();
        let before = std::mem::replace(&mut self.places, known.into());
        let is_new = |ranked: &&Ranked| !before.contains(&place(ranked));
        let new: Vec<&Ranked> = addresses.iter().filter(is_new).collect();
        let is_gone = |at: &&Place| !self.places.contains(at);
        let gone: Vec<Place> = before.iter().filter(is_gone).copied().collect();
        if new.is_empty() && gone.is_empty() {
            return;
        }
        let streams: Vec<StreamId> = self.streams.iter().map(|stream| stream.id).collect();
        for id in streams {
            let lost = self.give_up(id, &gone, now);
            self.follow(id, &new, lost, now);
        }
    }

    /// Gives up the bases of a stream on addresses that are gone. Returns
    /// whether one of them carried data.
    fn give_up(&mut self, id: StreamId, gone: &[Place], now: Time) -> bool {
        let is_lost = |base: &&Base| {
            base.stream == id
                && matches!(base.purpose, Purpose::Candidates | Purpose::Fresh | Purpose::Leg)
                && gone.contains(&(base.ip, base.scope))
        };
        let mut lost: Vec<BaseId> = self.bases.iter().filter(is_lost).map(|base| base.id).collect();
        let over = self.relays.all.iter().filter(|relay| lost.contains(&relay.leg));
        let relayed: Vec<BaseId> = over.flat_map(|relay| &relay.bases).copied().collect();
        lost.extend(relayed);
        let stream = self.stream(id);
        let carried = stream.is_some_and(|stream| {
            stream.paths.iter().flatten().any(|(base, _)| lost.contains(base))
        });
        for base in lost {
            self.checks.base_lost(base.0, now);
            self.close_base(base, now);
        }
        carried
    }

    /// Uses new addresses for a stream, or gets along without the lost ones.
    fn follow(&mut self, id: StreamId, new: &[&Ranked], lost: bool, now: Time) {
        let Some(stream) = self.stream(id) else { return };
        let gathering = &stream.current.gathering;
        if gathering.awaits_addresses() {
            return;
        }
        let (list, done) = (stream.current.list, gathering.is_done());
        if !self.config.follow_network {
            return self.checks.path_lost(list);
        }
        let continual = self.checks.is_continual(list);
        if continual || !done {
            for ranked in new {
                for at in 0..self.checks.components(list).len() {
                    let component = self.checks.components(list)[at].id;
                    self.use_address(id, list, component, ranked, now);
                }
            }
        } else if lost || new.iter().any(|ranked| reaches_further(ranked.address.ip)) {
            self.recover(id, now);
        }
        if lost && let Ok(stream) = self.stream_mut(id) {
            stream.recovering = true;
        }
    }

    /// Restarts ICE for a stream, as the application would not have to.
    pub(super) fn recover(&mut self, id: StreamId, now: Time) {
        let connected = self.stream(id).is_some_and(|s| s.paths.iter().any(Option::is_some));
        if self.begin_session(id, Sockets::Keep, None, now).is_err() {
            return;
        }
        if let Ok(stream) = self.stream_mut(id) {
            stream.recovering |= connected;
        }
    }

    /// The machine slept, or stood still: nobody knows what became of the
    /// paths, so consent is asked for at once, and where it ran out meanwhile
    /// no data is sent before it is given again (RFC 7675 §5.1).
    pub(super) fn woke(&mut self, slept: Duration, now: Time) {
        self.checks.ask_again(slept, now);
        for stream in &mut self.streams {
            stream.recheck = true;
            stream.recovering |= stream.paths.iter().any(Option::is_some);
        }
        let streams: Vec<StreamId> = self.streams.iter().map(|stream| stream.id).collect();
        streams.into_iter().for_each(|id| self.update_paths(id, now));
        self.reported.reopen();
    }

    /// After a sleep, paths that do not answer are left by a restart.
    pub(super) fn leave_dead_paths(&mut self, now: Time) {
        if !self.streams.iter().any(|stream| stream.recheck) {
            return;
        }
        let streams: Vec<StreamId> = self.streams.iter().map(|stream| stream.id).collect();
        for id in streams {
            let Some(stream) = self.stream(id).filter(|stream| stream.recheck) else { continue };
            let components = self.checks.components(stream.current.list);
            let missed = components.iter().map(|component| component.missed()).max();
            let waits = components.iter().any(|component| component.awaits_consent());
            if missed >= Some(2) {
                if let Ok(stream) = self.stream_mut(id) {
                    stream.recheck = false;
                }
                if self.config.follow_network {
                    self.recover(id, now);
                }
            } else if !waits && let Ok(stream) = self.stream_mut(id) {
                stream.recheck = false;
            }
        }
    }
}
