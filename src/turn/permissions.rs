//! The permissions of an allocation (RFC 8656 §9): the peers that are wanted,
//! and those that the server has confirmed.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::timer::Time;

/// The Permission Lifetime (RFC 8656 §9).
pub(super) const LIFETIME: Duration = Duration::from_secs(300);

/// A shorter lifetime would only have the client refresh without end.
const MIN_LIFETIME: Duration = Duration::from_secs(2);

/// A permission is refreshed so long before it expires: a whole transaction, and
/// more.
const MARGIN: Duration = Duration::from_secs(60);

/// Peers that are permitted at once.
const MAX: usize = 256;

/// The peers that are wanted.
#[derive(Debug)]
pub(super) struct Permissions {
    lifetime: Duration,
    peers: BTreeMap<IpAddr, Permission>,
}

#[derive(Debug, Default)]
struct Permission {
    /// `None`: the server has not confirmed it, or it has expired.
    expires: Option<Time>,
    /// `None`: nothing is to be done before the server has answered.
    refresh: Option<Time>,
}

/// What follows from a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// It is new.
    New,
    /// It was there.
    Known,
    /// There are as many as there may be.
    Full,
}

impl Permissions {
    /// None yet; each lasts so long.
    pub(super) fn new(lifetime: Duration) -> Self {
        Permissions { lifetime: lifetime.clamp(MIN_LIFETIME, LIFETIME), peers: BTreeMap::new() }
    }

    pub(super) fn want(&mut self, peer: IpAddr) -> Wish {
        if self.peers.contains_key(&peer) {
            return Wish::Known;
        }
        if self.peers.len() >= MAX {
            return Wish::Full;
        }
        self.peers.insert(peer, Permission::default());
        Wish::New
    }

    pub(super) fn remove(&mut self, peer: IpAddr) {
        self.peers.remove(&peer);
    }

    pub(super) fn wanted(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.peers.keys().copied()
    }

    /// The server has confirmed a request of `since`; true if the peer was not
    /// permitted before.
    pub(super) fn confirm(&mut self, peer: IpAddr, since: Time) -> bool {
        let Some(permission) = self.peers.get_mut(&peer) else { return false };
        let lifetime = self.lifetime;
        // A minute before the end, or half way there if that is later.
        permission.refresh = Some(since + lifetime.saturating_sub(MARGIN).max(lifetime / 2));
        permission.expires.replace(since + lifetime).is_none()
    }

    pub(super) fn is_permitted(&self, peer: IpAddr) -> bool {
        self.peers.get(&peer).is_some_and(|permission| permission.expires.is_some())
    }

    /// Ends those that have expired, and returns those to refresh.
    pub(super) fn handle_timeout(&mut self, now: Time) -> Vec<IpAddr> {
        let mut due = Vec::new();
        for (peer, permission) in &mut self.peers {
            if permission.refresh.is_some_and(|at| at <= now) {
                permission.refresh = None;
                due.push(*peer);
            }
            if permission.expires.is_some_and(|at| at <= now) {
                permission.expires = None;
            }
        }
        due
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.peers.values().filter_map(|permission| permission.refresh.or(permission.expires)).min()
    }
}
