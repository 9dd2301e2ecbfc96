//! The channels of an allocation (RFC 8656 §12).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::timer::Time;
use crate::turn::channel::NUMBERS;
use crate::turn::transactions::TI;

/// How long a channel stays bound (RFC 8656 §12).
const LIFETIME: Duration = Duration::from_secs(600);

/// A channel is bound again when it is so old: a whole transaction before it
/// expires.
const REFRESH: Duration = Duration::from_secs(540);

/// Neither the number nor the peer's address is used otherwise for so long
/// after the channel has expired (RFC 8656 §12).
const REST: Duration = Duration::from_secs(300);

/// Channels at once.
const MAX: usize = 64;

/// The channels that are wanted, and the numbers that are not free yet.
#[derive(Debug, Default)]
pub(super) struct Bindings {
    peers: BTreeMap<SocketAddr, Binding>,
    numbers: BTreeMap<u16, SocketAddr>,
    resting: BTreeMap<u16, (SocketAddr, Time)>,
}

#[derive(Debug)]
struct Binding {
    number: u16,
    /// When the last request was begun; `None`: none was, so that the server
    /// does not know the number.
    asked: Option<Time>,
    /// The server has not answered that.
    is_open: bool,
    /// `None`: the server has not confirmed it, or it has expired.
    expires: Option<Time>,
    /// `None`: nothing is to be done before the server has answered.
    refresh: Option<Time>,
}

impl Bindings {
    /// A channel to `peer` is wanted; `None` if there are as many as there may
    /// be, else its number and whether it is new.
    pub(super) fn want(&mut self, peer: SocketAddr) -> Option<(u16, bool)> {
        if let Some(binding) = self.peers.get(&peer) {
            return Some((binding.number, false));
        }
        if self.peers.len() >= MAX {
            return None;
        }
        let number = self.number_for(peer)?;
        self.resting.remove(&number);
        let binding = Binding { number, asked: None, is_open: false, expires: None, refresh: None };
        self.peers.insert(peer, binding);
        self.numbers.insert(number, peer);
        Some((number, true))
    }

    /// The number that the peer had, as long as it may have no other; else the
    /// first that is free.
    fn number_for(&self, peer: SocketAddr) -> Option<u16> {
        let had = self.resting.iter().find(|(_, (of, _))| *of == peer).map(|(number, _)| *number);
        had.or_else(|| {
            NUMBERS.into_iter().find(|number| {
                !self.numbers.contains_key(number) && !self.resting.contains_key(number)
            })
        })
    }

    /// A request for it is sent.
    pub(super) fn ask(&mut self, peer: SocketAddr, now: Time) {
        if let Some(binding) = self.peers.get_mut(&peer) {
            (binding.asked, binding.is_open) = (Some(now), true);
        }
    }

    /// The server has confirmed a request of `since`; the number if the channel
    /// was not bound before.
    pub(super) fn confirm(&mut self, peer: SocketAddr, since: Time) -> Option<u16> {
        let binding = self.peers.get_mut(&peer)?;
        binding.is_open = false;
        binding.refresh = Some(since + REFRESH);
        binding.expires.replace(since + LIFETIME).is_none().then_some(binding.number)
    }

    /// The channel is not wanted any more, or cannot be had.
    pub(super) fn remove(&mut self, peer: SocketAddr) {
        let Some(binding) = self.peers.remove(&peer) else { return };
        self.numbers.remove(&binding.number);
        if let Some(asked) = binding.asked {
            // A request without an answer may have arrived as late as this.
            let arrived = if binding.is_open { asked + TI } else { asked };
            self.resting.insert(binding.number, (peer, arrived + LIFETIME + REST));
        }
    }

    /// The channels to the ports of one address.
    pub(super) fn of(&self, ip: IpAddr) -> Vec<SocketAddr> {
        self.peers.keys().copied().filter(|peer| peer.ip() == ip).collect()
    }

    pub(super) fn wanted(&self) -> Vec<(SocketAddr, u16)> {
        self.peers.iter().map(|(peer, binding)| (*peer, binding.number)).collect()
    }

    /// The number of a channel that the server has confirmed.
    pub(super) fn number(&self, peer: SocketAddr) -> Option<u16> {
        self.peers.get(&peer).filter(|b| b.expires.is_some()).map(|binding| binding.number)
    }

    /// The number that a channel to the peer has or is to have.
    pub(super) fn wanted_number(&self, peer: SocketAddr) -> Option<u16> {
        self.peers.get(&peer).map(|binding| binding.number)
    }

    /// The peer of a channel, and whether a request for it is on its way: what
    /// the peer sends may be faster than the server's answer (RFC 8656 §12). A
    /// number that rests is still the peer's, and the server may use it.
    pub(super) fn peer(&self, number: u16) -> Option<(SocketAddr, bool)> {
        let Some(peer) = self.numbers.get(&number) else {
            return self.resting.get(&number).map(|(peer, _)| (*peer, false));
        };
        Some((*peer, self.peers.get(peer)?.is_open))
    }

    /// Ends those that have expired, and returns those to bind again.
    pub(super) fn handle_timeout(&mut self, now: Time) -> Vec<(SocketAddr, u16)> {
        let mut due = Vec::new();
        for (peer, binding) in &mut self.peers {
            if binding.refresh.is_some_and(|at| at <= now) {
                binding.refresh = None;
                due.push((*peer, binding.number));
            }
            if binding.expires.is_some_and(|at| at <= now) {
                binding.expires = None;
            }
        }
        self.resting.retain(|_, (_, until)| *until > now);
        due
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        let of_peers =
            self.peers.values().filter_map(|binding| binding.refresh.or(binding.expires));
        of_peers.chain(self.resting.values().map(|(_, until)| *until)).min()
    }
}
